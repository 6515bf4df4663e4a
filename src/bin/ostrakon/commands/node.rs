//! `node`: sends and receives until it is stopped.

use crate::args::{ControlArg, ListenArg};
use crate::ask::unexpected;
use crate::failure::{Failure, Kind, Outcome};
use crate::out::Out;
use crate::plain::one_line;
use crate::unlock;
use ostrakon::node::api::{Request, Response, StatusReport};
use ostrakon::node::{Listen, Node, Options};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often links are looked at for changes.
const EVERY: Duration = Duration::from_millis(250);

/// Runs it until `stop`, then has everything written down.
///
/// # Errors
/// If the home is missing, locked or in use, or the address is taken.
pub async fn run(
    out: Out,
    home: &Path,
    listen: Option<ListenArg>,
    control: ControlArg,
    mut stop: Stop,
) -> Outcome {
    let listen = match listen {
        None => Listen::Default,
        Some(ListenArg(None)) => Listen::Off,
        Some(ListenArg(Some(address))) => Listen::At(address),
    };
    let options = Options {
        listen,
        control: control.into(),
        ..Options::default()
    };
    let start = async {
        let home = unlock::unlocked(home).await?;
        Ok::<_, Failure>(Node::start_when_free(home, options).await?)
    };
    let node = tokio::select! {
        node = start => node?,
        () = stop.asked() => return Ok(()),
    };
    let ended = tokio::select! {
        ended = tell(out, &node) => ended,
        () = stop.asked() => event(out, json!({"event": "stopping"}), "stopping"),
    };
    node.stop().await;
    ended
}

/// Prints where it listens, and then every change of a link.
async fn tell(out: Out, node: &Node) -> Outcome {
    let pid = std::process::id();
    let addr = node.listening();
    let words = match addr {
        Some(addr) => format!("the node is running (process {pid}) and listens on {addr}"),
        None => format!("the node is running (process {pid}) and listens nowhere"),
    };
    let addr = addr.map_or_else(|| "none".into(), |addr| addr.to_string());
    event(
        out,
        json!({"event": "listening", "addr": addr, "pid": pid}),
        &words,
    )?;
    let mut known = BTreeMap::new();
    loop {
        let report = match node.ask(Request::Status).await {
            Response::Status(report) => report,
            Response::Error { kind, text } => {
                return Err(Failure {
                    kind: Kind::Api(kind),
                    text,
                    message: None,
                });
            }
            _ => return Err(unexpected()),
        };
        changes(out, &mut known, &report)?;
        tokio::time::sleep(EVERY).await;
    }
}

/// What is known of a link: whether it is up, and if not why.
type Known = BTreeMap<String, (bool, Option<String>)>;

fn changes(out: Out, known: &mut Known, report: &StatusReport) -> Outcome {
    let mut now = Known::new();
    for link in &report.links {
        let state = (link.up, link.down_reason.clone().filter(|_| !link.up));
        if known.get(&link.name) != Some(&state) {
            let (word, why) = match &state {
                (true, _) => ("up", String::new()),
                (false, None) => ("down", String::new()),
                (false, Some(why)) => ("down", format!(" ({})", one_line(why))),
            };
            let object = json!({
                "event": "link", "name": link.name, "kind": link.kind, "up": link.up, "reason": state.1,
            });
            event(
                out,
                object,
                &format!("link {} is {word}{why}", one_line(&link.name)),
            )?;
        }
        now.insert(link.name.clone(), state);
    }
    *known = now;
    Ok(())
}

/// Prints one event on a line.
pub fn event(out: Out, object: Value, words: &str) -> Outcome {
    out.show(&object, || words.to_owned())
}

/// What asks a program to end: SIGINT, SIGTERM, and if so wanted the end of standard input.
#[derive(Debug)]
pub struct Stop {
    signals: [tokio::signal::unix::Signal; 2],
    with_stdin: bool,
}

impl Stop {
    /// Listens from now on. `with_stdin` is for whoever starts this program and must not leave it behind, however it
    /// ends itself: the system closes its end of a pipe.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn listen(with_stdin: bool) -> Outcome<Self> {
        let take = |kind| {
            signal(kind).map_err(|error| {
                let what = format!("cannot listen for signals: {error}");
                Failure::new(Kind::Other, what, "close other programs and try again")
            })
        };
        let signals = [
            take(SignalKind::interrupt())?,
            take(SignalKind::terminate())?,
        ];
        Ok(Self {
            signals,
            with_stdin,
        })
    }

    /// Waits for one.
    pub async fn asked(&mut self) {
        let [interrupt, terminate] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = stdin_ends(), if self.with_stdin => {}
        }
    }
}

async fn stdin_ends() {
    let read = || std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    // An input that cannot be read is over, too.
    let _over = tokio::task::spawn_blocking(read).await;
}
