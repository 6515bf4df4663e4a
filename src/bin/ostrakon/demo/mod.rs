//! `demo`: the whole program at work on this machine, without root, network or arguments.
//!
//! Two homes, a relay and both nodes are real processes of this very program; between them stand emulated links: a
//! satellite (10 Mbit/s, 600 ms, 5 % loss), a way to a relay (2 Mbit/s, 80 ms) and a serial line (9600 baud). While a
//! text and a file are on their way, the satellite is cut and the sender is killed and started again.

mod bound;
mod children;
mod claims;
mod folder;
mod script;
mod table;
mod tally;
mod watch;
mod world;

use crate::args::DemoArgs;
use crate::failure::{Failure, Kind, Outcome};
use crate::out::Out;
use crate::plain::{bytes, one_line};
use crate::progress::{Screen, Stream};
use folder::Folder;
use script::{Record, Script};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tally::Summary;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout, timeout_at};
use watch::Watch;
use world::World;

/// How long the figures may take to be collected at the end.
const COLLECT: Duration = Duration::from_secs(15);

/// Plays it and shows the figures.
///
/// # Errors
/// If any of what the demo claims did not hold, on Ctrl-C, and if the machine does not let it begin.
pub async fn run(out: Out, args: DemoArgs) -> Outcome {
    let given = args.file.as_deref().map(folder::given).transpose()?;
    let folder = Folder::new(args.keep)?;
    let played = tokio::select! {
        played = play(out, &args, &folder, given) => played,
        stopped = stop_signal() => stopped,
    };
    if args.keep {
        eprintln!(
            "Both homes and all logs are kept in {}",
            folder.path().display()
        );
    }
    played
}

/// Whatever asks us to end. The processes end with what `play` holds.
async fn stop_signal() -> Outcome {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let [interrupt, terminate, hangup] = kinds.map(signal);
    let refused = |error| {
        Failure::new(
            Kind::Other,
            format!("cannot listen for signals: {error}"),
            "try again",
        )
    };
    let (mut interrupt, mut terminate, mut hangup) = (
        interrupt.map_err(refused)?,
        terminate.map_err(refused)?,
        hangup.map_err(refused)?,
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Err(Failure::new(
        Kind::Interrupted,
        "the demo was stopped; its processes are ended",
        "run it again: ostrakon demo",
    ))
}

async fn play(
    out: Out,
    args: &DemoArgs,
    folder: &Folder,
    given: Option<(PathBuf, u64)>,
) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(args.give_up);
    let (file, file_bytes) = given.map_or_else(|| folder.sample(), Ok)?;
    let stream = if out.json { Stream::Err } else { Stream::Out };
    let mut watch = Watch::new(Screen::new(stream), file_bytes);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    watch.say(&format!(
        "amina sends a text and {} ({}) to bo, by three links at once:\n  \
         satellite  10 Mbit/s, 600 ms round trip, 5 % loss\n  \
         relay      2 Mbit/s, 80 ms round trip, store and forward\n  \
         serial     9600 baud, frames of 222 bytes",
        one_line(&name),
        bytes(file_bytes)
    ))?;
    let mut world = World::build(folder.path(), args.corrupt).await?;
    let shown = perform(out, &mut world, &mut watch, &file, folder.path(), deadline).await;
    world.end().await;
    shown
}

async fn perform(
    out: Out,
    world: &mut World,
    watch: &mut Watch,
    file: &Path,
    dir: &Path,
    deadline: Instant,
) -> Outcome {
    let mut record = Record::default();
    let mut script = Script {
        world,
        watch,
        record: &mut record,
    };
    let played = timeout_at(deadline, script.play(file)).await;
    watch.settle();
    let collected = timeout(
        COLLECT,
        tally::collect(world, watch, &record, file, &dir.join("saved")),
    )
    .await;
    let mut broken = Vec::new();
    if let Ok(Err(failure)) = played {
        if failure.kind == Kind::BrokenPipe {
            return Err(failure);
        }
        broken.push(failure.text.replace('\n', "; "));
    }
    let summary = match collected {
        Ok(Ok(summary)) => summary,
        Ok(Err(failure)) => {
            broken.push(failure.text.replace('\n', "; "));
            Summary::default()
        }
        Err(_) => Summary::default(),
    };
    broken.extend(claims::broken(&summary, watch.file_bytes));
    out.show(&summary, || {
        format!("\n{}", table::render(&summary, world, &record))
    })?;
    verdict(out, &broken)
}

/// Fails if anything that the demo claims did not hold.
fn verdict(out: Out, broken: &[String]) -> Outcome {
    if broken.is_empty() {
        let claims =
            "Delivered once, whole and unchanged, over three links, through a cut and a crash.";
        return if out.json {
            Ok(())
        } else {
            out.text(&format!("\n{claims}"))
        };
    }
    let what = format!(
        "the demo did not show what it claims: {}",
        broken.join("; ")
    );
    Err(Failure::new(
        Kind::Unproven,
        what,
        "run it again on a quieter machine, or with --keep and read the logs",
    ))
}
