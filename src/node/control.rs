//! The control socket: a Unix socket in the home, for processes of the same user.

use super::error::{NodeError, stopped};
use super::lines;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

/// The most clients at once. For a further one, who has asked nothing for the longest time makes way.
const CLIENTS: usize = 64;
/// How long a client may take for its first question, and for taking an answer.
const SLOW: Duration = Duration::from_secs(10);

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
        let (mut clients, idle) = (JoinSet::new(), Idle::default());
        loop {
            let full = clients.len() >= CLIENTS;
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(_) = clients.join_next(), if !clients.is_empty() => {}
                () = idle.one_more.notified(), if full => idle.close_longest(),
                accepted = self.listener.accept(), if !full => match accepted {
                    Ok((stream, _)) if is_ours(&stream) => {
                        let (service, idle) = (service.clone(), idle.clone());
                        clients.spawn(async move {
                            if let Err(error) = talk(stream, &service, &idle).await {
                                tracing::debug!(%error, "a control client left");
                            }
                        });
                    }
                    Ok(_) => tracing::warn!("another user knocked at the control socket"),
                    Err(error) => {
                        tracing::warn!(%error, "the control socket fails");
                        // Out of descriptors, most likely: some will be free soon.
                        tokio::time::sleep(Duration::from_millis(100)).await;
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

/// Clients that have asked nothing that is not answered yet.
#[derive(Clone, Default)]
struct Idle {
    /// In the order in which they began to be; what closes each.
    waiting: Arc<Mutex<BTreeMap<u64, oneshot::Sender<()>>>>,
    /// There is one more.
    one_more: Arc<Notify>,
}

impl Idle {
    /// Waits for what a client has to say; nothing if it has to make way.
    async fn until<T>(
        &self,
        said: impl Future<Output = io::Result<Option<T>>>,
    ) -> io::Result<Option<T>> {
        let (close, closed) = oneshot::channel();
        let number = self.enter(close);
        let heard = tokio::select! {
            biased;
            heard = said => heard,
            _ = closed => Ok(None),
        };
        self.waiting().remove(&number);
        heard
    }

    fn enter(&self, close: oneshot::Sender<()>) -> u64 {
        let mut waiting = self.waiting();
        let number = waiting.last_key_value().map_or(0, |(last, _)| last + 1);
        waiting.insert(number, close);
        self.one_more.notify_one();
        number
    }

    /// Closes the one that has been so for the longest time.
    fn close_longest(&self) {
        self.waiting().pop_first();
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fails after a time that is enough for whoever means to.
async fn in_time<T>(done: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(SLOW, done).await?
}

async fn talk<A: Answers>(stream: UnixStream, service: &A, idle: &Idle) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    let mut first = true;
    loop {
        let asked = idle.until(lines::read::<A::Request>(&mut from, lines::MAX_REQUEST));
        let asked = match std::mem::take(&mut first) {
            true => in_time(async { Ok(asked.await) }).await?,
            false => asked.await,
        };
        let response = match asked {
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
                in_time(lines::write(&mut to, &A::unreadable(text))).await?;
                return Err(error);
            }
        };
        in_time(lines::write(&mut to, &response)).await?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Says what it is told.
    #[derive(Clone)]
    struct Echo;

    impl Answers for Echo {
        type Request = String;
        type Response = String;

        async fn answer(&self, request: String) -> String {
            request
        }

        fn ends_with_client(_: &String) -> bool {
            false
        }

        fn unreadable(text: String) -> String {
            text
        }
    }

    async fn ask(stream: &mut UnixStream) -> io::Result<Option<String>> {
        let (from, mut to) = stream.split();
        lines::write(&mut to, &"there").await?;
        lines::read(&mut BufReader::new(from), lines::MAX_RESPONSE).await
    }

    fn serve() -> (tempfile::TempDir, PathBuf, watch::Sender<bool>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(Socket::bind(path.clone()).unwrap().serve(Echo, stopped));
        (dir, path, stop)
    }

    /// Whoever holds many connections and asks nothing keeps nobody from asking, not even who has asked before.
    #[tokio::test]
    async fn idle_clients_make_way() {
        let (_dir, path, _stop) = serve();
        let mut asks = UnixStream::connect(&path).await.unwrap();
        let mut idle = Vec::new();
        for n in 0..5 * CLIENTS {
            idle.push(UnixStream::connect(&path).await.unwrap());
            if n % (CLIENTS / 2) == 0 {
                let said = tokio::time::timeout(SLOW / 2, ask(&mut asks)).await;
                assert_eq!(said.unwrap().unwrap().as_deref(), Some("there"), "{n}");
            }
        }
        let mut late = UnixStream::connect(&path).await.unwrap();
        let said = tokio::time::timeout(SLOW / 2, ask(&mut late)).await;
        assert_eq!(said.unwrap().unwrap().as_deref(), Some("there"));
        // The first of them is not there any more, the last one is.
        assert_eq!(idle[0].read(&mut [0]).await.unwrap(), 0);
        assert!(ask(idle.last_mut().unwrap()).await.unwrap().is_some());
    }

    /// Half a question is none; who has asked may be silent for long.
    #[tokio::test(start_paused = true)]
    async fn who_asks_nothing_whole_is_not_waited_for() {
        let (_dir, path, _stop) = serve();
        let mut known = UnixStream::connect(&path).await.unwrap();
        assert!(ask(&mut known).await.unwrap().is_some());
        let mut half = UnixStream::connect(&path).await.unwrap();
        half.write_all(b"\"the").await.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(half.read(&mut [0]).await.unwrap(), 0);
        assert!(began.elapsed() >= SLOW);
        tokio::time::sleep(SLOW * 3).await;
        assert!(ask(&mut known).await.unwrap().is_some());
    }
}
