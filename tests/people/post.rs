//! A relay that runs within a test.
#![allow(dead_code, reason = "each test binary uses its part of the relay")]

use crate::people::{Someone, link};
use ostrakon::node::api::Request;
use ostrakon::node::relay::{Limits, Relay};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A relay with a directory that outlives it.
pub struct Post {
    pub dir: TempDir,
    pub relay: Arc<Relay>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Post {
    /// A new one.
    pub async fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap(), Limits::default()).await
    }

    /// In a directory that may have been a relay's before.
    pub async fn at(dir: TempDir, limits: Limits) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let relay = Arc::new(Relay::open(dir.path(), any, limits).await.unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let runs = relay.clone();
        let running = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            runs.run(shutdown, None, |_| {}).await.unwrap();
        });
        Self {
            dir,
            relay,
            stop,
            running,
        }
    }

    /// Gives somebody a link to it, called `post`.
    pub async fn serve(&self, someone: &Someone) {
        let post = link("post", self.relay.uri(None), None);
        someone.done(Request::LinkAdd(post)).await;
    }

    /// How many frames it holds.
    pub fn held(&self) -> u64 {
        self.relay.counters().held_frames
    }

    /// Ends it. Gives its directory.
    pub async fn close(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.running.await.unwrap();
        self.dir
    }
}
