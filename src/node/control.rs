//! The control socket: a Unix socket in the home, for processes of the same user.

use super::error::{NodeError, stopped};
use super::lines;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The most clients at once; further ones wait.
const CLIENTS: usize = 64;

/// Who answers what comes over a control socket. Clones are the same.
pub(super) trait Answers: Clone + Send + Sync + 'static {
    /// What is asked.
    type Request: DeserializeOwned + Send;
    /// What is answered.
    type Response: Serialize + Send + Sync;

    /// Answers. An error is an answer, too.
    fn answer(&self, request: Self::Request) -> impl Future<Output = Self::Response> + Send;

    /// Whether it is not wanted any more once who asked has left: it takes long, and changes nothing before its end.
    fn ends_with_client(request: &Self::Request) -> bool;

    /// What to say of a request that does not read, in these words.
    fn unreadable(text: String) -> Self::Response;
}

/// The socket file. Removed when dropped; whoever drops it still holds the lock of the store, so it is not
/// another process's.
pub(super) struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Makes the socket. The caller holds the lock of the store, so a socket that is there is a dead one.
    pub(super) fn bind(path: PathBuf) -> Result<Self, NodeError> {
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.file_type().is_socket() => {
                fs::remove_file(&path).map_err(NodeError::file("remove", &path))?;
            }
            Ok(_) => {
                let source =
                    io::Error::new(io::ErrorKind::AlreadyExists, "something else has this name");
                return Err(NodeError::file("make the control socket", path)(source));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(NodeError::file("look at", path)(e)),
        }
        let listener = UnixListener::bind(&path).map_err(NodeError::file(
            "make the control socket (is its path too long?)",
            &path,
        ))?;
        let socket = Self { path, listener };
        fs::set_permissions(&socket.path, fs::Permissions::from_mode(0o600))
            .map_err(NodeError::file("protect", &socket.path))?;
        Ok(socket)
    }

    /// Answers clients until told to stop; then those that wait for an answer are cut off.
    pub(super) async fn serve(self, service: impl Answers, mut stop: watch::Receiver<bool>) {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(_) = clients.join_next(), if !clients.is_empty() => {}
                accepted = self.listener.accept(), if clients.len() < CLIENTS => match accepted {
                    Ok((stream, _)) if is_ours(&stream) => {
                        let service = service.clone();
                        clients.spawn(async move {
                            if let Err(error) = talk(stream, &service).await {
                                tracing::debug!(%error, "a control client left");
                            }
                        });
                    }
                    Ok(_) => tracing::warn!("another user knocked at the control socket"),
                    Err(error) => {
                        tracing::warn!(%error, "the control socket fails");
                        // Out of descriptors, most likely: some will be free soon.
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
            }
        }
        clients.shutdown().await;
    }
}

fn is_ours(stream: &UnixStream) -> bool {
    let me = rustix::process::getuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == me)
}

async fn talk<A: Answers>(stream: UnixStream, service: &A) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    loop {
        let response = match lines::read::<A::Request>(&mut from, lines::MAX_REQUEST).await {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => {
                let ends = A::ends_with_client(&request);
                tokio::select! {
                    biased;
                    response = service.answer(request) => response,
                    () = left(&mut from), if ends => return Ok(()),
                }
            }
            Err(error) => {
                let text = format!(
                    "the request does not read ({error}); use the program of the node's version"
                );
                lines::write(&mut to, &A::unreadable(text)).await?;
                return Err(error);
            }
        };
        lines::write(&mut to, &response).await?;
    }
}

/// Waits until a client has left. What it asks next waits its turn.
async fn left(from: &mut BufReader<OwnedReadHalf>) {
    if from.fill_buf().await.is_ok_and(|next| !next.is_empty()) {
        std::future::pending().await
    }
}

/// Asks the node behind a socket, if there is one.
pub(super) async fn connect(path: &Path) -> Option<UnixStream> {
    let stream = UnixStream::connect(path).await.ok()?;
    // A socket of somebody else could only be there if the home were theirs.
    is_ours(&stream).then_some(stream)
}
