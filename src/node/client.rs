//! Asks a home: the node that runs on it, or else the home itself.

use super::api::{Request, Response};
use super::control;
use super::error::NodeError;
use super::home::Home;
use super::lines;
use super::runtime::{Node, Options, PATIENCE, RETRY};
use crate::store::OpenError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, timeout};

/// How long a node may take to take a question and to answer it.
pub(super) const ANSWER: Duration = Duration::from_secs(15);

/// Somebody to ask.
pub struct Client(Inner);

enum Inner {
    /// A node that runs.
    Remote(Remote),
    /// The home, opened without links.
    Local(Box<Node>),
}

impl Client {
    /// Asks the node that runs on the home in `dir` if there is one; otherwise opens the home, without links,
    /// which nobody else can do until [`Client::close`]. Waits up to 10 s for others that have it open.
    ///
    /// # Errors
    /// [`NodeError`] if there is no home, its keys are locked and no node runs, or it is in use and nobody answers.
    pub async fn connect_or_open(dir: &Path) -> Result<Self, NodeError> {
        Self::of(Home::open(dir)?).await
    }

    /// The same for a home that was opened, and unlocked if it has a passphrase and no node runs.
    ///
    /// # Errors
    /// As [`Client::connect_or_open`].
    pub async fn of(home: Home) -> Result<Self, NodeError> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(stream) = control::connect(&home.socket()).await {
                let dir = home.dir().to_owned();
                return Ok(Self(Inner::Remote(Remote::new(dir, stream))));
            }
            match Node::start(home.clone(), Options::offline()).await {
                Ok(node) => return Ok(Self(Inner::Local(Box::new(node)))),
                // It starts, stops, or answers another client.
                Err(NodeError::Open(OpenError::InUse { .. })) if Instant::now() < until => {
                    sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether a node runs on this home.
    pub fn is_running(&self) -> bool {
        matches!(self.0, Inner::Remote(_))
    }

    /// Asks. A node that runs has 15 s to answer; for what is work of any length, it has to show within that time
    /// that it is there.
    ///
    /// # Errors
    /// [`NodeError::Silent`] if the node goes away or hangs; then this client is of no more use. [`NodeError::Unsure`] if it went
    /// away with a message that it was to queue. What the node refuses is [`Response::Error`].
    pub async fn ask(&mut self, request: Request) -> Result<Response, NodeError> {
        match &mut self.0 {
            Inner::Local(node) => Ok(node.ask(request).await),
            Inner::Remote(node) => {
                let limit = limit(&request);
                if limit.is_none() {
                    let _: Response = node.ask(&Request::LinkList, Some(ANSWER)).await?;
                }
                let queues = matches!(request, Request::Send(_));
                node.ask(&request, limit)
                    .await
                    .map_err(|error| match error {
                        NodeError::Silent { reason, .. } if queues => NodeError::Unsure(reason),
                        error => error,
                    })
            }
        }
    }

    /// Lets the home go. What was promised is durable before, but only this makes room for others at once.
    pub async fn close(self) {
        if let Inner::Local(node) = self.0 {
            node.stop().await;
        }
    }
}

/// A node or a relay behind its control socket.
pub(super) struct Remote {
    home: PathBuf,
    from: BufReader<OwnedReadHalf>,
    /// Missing after a failure: an answer that is late must not pass for that to another question.
    to: Option<OwnedWriteHalf>,
}

impl Remote {
    /// Whoever runs on `home` behind this socket.
    pub(super) fn new(home: PathBuf, stream: UnixStream) -> Self {
        let (from, to) = stream.into_split();
        Self {
            home,
            from: BufReader::new(from),
            to: Some(to),
        }
    }

    /// Asks, and waits for the answer for as long as `limit`.
    pub(super) async fn ask<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        request: &Q,
        limit: Option<Duration>,
    ) -> Result<A, NodeError> {
        let answer = self.talk(request, limit).await;
        answer.map_err(|reason| {
            self.to = None;
            NodeError::Silent {
                home: self.home.clone(),
                reason,
            }
        })
    }

    async fn talk<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        request: &Q,
        limit: Option<Duration>,
    ) -> Result<A, String> {
        let to = self.to.as_mut().ok_or("it failed before")?;
        let late = |_| format!("it hangs for {} s", ANSWER.as_secs());
        let written = timeout(ANSWER, lines::write(to, request)).await;
        written.map_err(late)?.map_err(|error| error.to_string())?;
        let read = lines::read(&mut self.from, lines::MAX_RESPONSE);
        let answer = match limit {
            Some(limit) => timeout(limit, read).await.map_err(late)?,
            None => read.await,
        };
        match answer {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err("it closed the control socket".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// How long a node may take for this; `None` for what takes as long as files and disks are large and slow.
fn limit(request: &Request) -> Option<Duration> {
    match request {
        Request::Send(_)
        | Request::Save { .. }
        | Request::Delete { .. }
        | Request::DeviceAdd { .. }
        | Request::DeviceRemove { .. }
        | Request::SpoolExport { .. }
        | Request::SpoolImport { .. } => None,
        _ => Some(ANSWER),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::api::SendRequest;

    /// Who sends and loses the node meanwhile learns that the message may be queued, and where to look: to send it again at once
    /// could send it twice.
    #[tokio::test]
    async fn a_node_that_goes_away_may_have_queued_the_message() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home");
        let home = Home::create(&path, "Ada").unwrap();
        let socket = tokio::net::UnixListener::bind(home.socket()).unwrap();
        let node = async {
            let (stream, _) = socket.accept().await.unwrap();
            let (from, mut to) = stream.into_split();
            let mut from = BufReader::new(from);
            let asked: Option<Request> = lines::read(&mut from, lines::MAX_RESPONSE).await.unwrap();
            assert_eq!(asked, Some(Request::LinkList));
            let links = Vec::new();
            lines::write(&mut to, &Response::Links { links })
                .await
                .unwrap();
            let asked: Option<Request> = lines::read(&mut from, lines::MAX_RESPONSE).await.unwrap();
            assert!(matches!(asked, Some(Request::Send(_))));
        };
        let send = async {
            let mut client = Client::connect_or_open(&path).await.unwrap();
            client.ask(Request::Send(SendRequest::default())).await
        };
        let (answer, ()) = tokio::join!(send, node);
        let error = answer.unwrap_err().to_string();
        assert!(
            error.contains("whether the message is queued") && error.contains("ostrakon status"),
            "{error}"
        );
    }

    /// A node that is stopped or hangs holds nobody up, whatever it is asked.
    #[tokio::test(start_paused = true)]
    async fn a_node_that_hangs_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home");
        let home = Home::create(&path, "Ada").unwrap();
        let _hangs = std::os::unix::net::UnixListener::bind(home.socket()).unwrap();
        let large = SendRequest {
            text: Some("x".repeat(lines::MAX_TEXT)),
            ..SendRequest::default()
        };
        for request in [Request::Status, Request::Send(large)] {
            let mut client = Client::connect_or_open(&path).await.unwrap();
            for reason in ["it hangs for 15 s", "it failed before"] {
                let error = client.ask(request.clone()).await.unwrap_err().to_string();
                assert!(
                    error.contains("does not answer") && error.contains(reason),
                    "{error}"
                );
            }
        }
    }
}
