//! Asks a home: the node that runs on it, or else the home itself.

use super::api::{Request, Response};
use super::control;
use super::error::NodeError;
use super::home::Home;
use super::lines;
use super::runtime::{Node, Options, PATIENCE, RETRY};
use crate::store::OpenError;
use std::path::{Path, PathBuf};
use tokio::io::BufReader;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep};

/// Somebody to ask.
pub struct Client(Inner);

enum Inner {
    /// A node that runs.
    Remote {
        home: PathBuf,
        from: BufReader<OwnedReadHalf>,
        to: OwnedWriteHalf,
    },
    /// The home, opened without links.
    Local(Box<Node>),
}

impl Client {
    /// Asks the node that runs on the home in `dir` if there is one; otherwise opens the home, without links,
    /// which nobody else can do until [`Client::close`]. Waits up to 10 s for others that have it open.
    ///
    /// # Errors
    /// [`NodeError`] if there is no home, or it is in use and nobody answers.
    pub async fn connect_or_open(dir: &Path) -> Result<Self, NodeError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let home = Home::open(dir)?;
            let path = home.dir().to_owned();
            if let Some(stream) = control::connect(&home.socket()).await {
                let (from, to) = stream.into_split();
                return Ok(Self(Inner::Remote {
                    home: path,
                    from: BufReader::new(from),
                    to,
                }));
            }
            match Node::start(home, Options::offline()).await {
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
        matches!(self.0, Inner::Remote { .. })
    }

    /// Asks.
    ///
    /// # Errors
    /// [`NodeError::Silent`] if the node goes away; what it refuses is [`Response::Error`].
    pub async fn ask(&mut self, request: Request) -> Result<Response, NodeError> {
        match &mut self.0 {
            Inner::Local(node) => Ok(node.ask(request).await),
            Inner::Remote { home, from, to } => {
                let talk = async {
                    lines::write(to, &request).await?;
                    lines::read(from, lines::MAX_RESPONSE).await
                };
                let silent = |reason: String| NodeError::Silent {
                    home: home.clone(),
                    reason,
                };
                match talk.await {
                    Ok(Some(response)) => Ok(response),
                    Ok(None) => Err(silent("it closed the control socket".into())),
                    Err(error) => Err(silent(error.to_string())),
                }
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
