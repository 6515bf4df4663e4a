//! Work that blocks, beside the task of the engine: the store's thread, reads, computations, the inbox.
//!
//! Each kind has a lane: a queue of what waits and a bound on what is under way. The queues hold what the
//! engine asked for; it asks for more only when it is given more, so while a queue is long nothing is taken
//! from links ([`Lanes::behind`]).

use super::hidden::{Hidden, Outcome};
use crate::engine::id::MessageId;
use crate::engine::io::{self, Batch, FileId, Job, StoreError, Token};
use crate::store::inbox::Put;
use crate::store::{Handle, Store};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// Batches at the store's thread at once.
const BATCHES: usize = 64;
/// Reads at once; each takes the room of a block.
const FETCHES: usize = 3;
/// Computations at once.
const JOBS: usize = 2;
/// Waiting tasks from which on links are not read.
const BEHIND: usize = 64;
/// Results that wait to be taken: all that can be under way fits.
const RESULTS: usize = 2 * (BATCHES + FETCHES + JOBS + 1);
/// How long after a failure the inbox is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The end of some work.
#[derive(Debug)]
pub(super) enum Done {
    /// A batch.
    Persisted(Token, Result<(), StoreError>),
    /// A read.
    Fetched(Token, Result<Bytes, StoreError>),
    /// A computation.
    Computed(Token, io::Done),
    /// Something for the application's tables; with the chore if it has to be tried again.
    Chore(Option<Chore>, Option<(MessageId, u8)>),
    /// A message that is not for people is done with.
    Hidden(Outcome, (MessageId, u8)),
}

/// Something for the application's tables.
#[derive(Debug)]
pub(super) enum Chore {
    /// A delivery into the inbox.
    Deliver {
        /// The message.
        message: MessageId,
        /// The part, or 0.
        part: u8,
        /// The content is a file to be kept.
        file: bool,
        /// The row.
        row: Vec<u8>,
    },
    /// A message that is not for people.
    Hidden(Hidden),
    /// A setting; removed if without value. Not tried again.
    Note {
        /// Its name.
        key: String,
        /// Its value.
        value: Option<Vec<u8>>,
    },
}

impl Chore {
    /// The part whose file it puts into the inbox.
    pub(super) fn file(&self) -> Option<(MessageId, u8)> {
        match self {
            Self::Deliver {
                message,
                part,
                file: true,
                ..
            } => Some((*message, *part)),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Fetch {
    token: Token,
    file: FileId,
    range: (u64, usize),
    last: bool,
}

/// All lanes.
pub(super) struct Lanes {
    handle: Handle,
    done: mpsc::Sender<Done>,
    store: Option<(mpsc::Sender<Arc<Batch>>, JoinHandle<()>)>,
    batches: VecDeque<Arc<Batch>>,
    at_store: usize,
    fetches: VecDeque<Fetch>,
    fetching: usize,
    jobs: VecDeque<(Token, Job)>,
    computing: usize,
    chores: VecDeque<Chore>,
    chore: bool,
}

impl Lanes {
    /// Gives the store its thread. Results come by the receiver.
    pub(super) fn start(store: Store) -> std::io::Result<(Self, mpsc::Receiver<Done>)> {
        let handle = store.handle();
        let (done, results) = mpsc::channel(RESULTS);
        let (batches, inbox) = mpsc::channel(BATCHES);
        let finished = done.clone();
        let thread = std::thread::Builder::new()
            .name("ostrakon-store".into())
            .spawn(move || serve(store, inbox, &finished))?;
        let lanes = Self {
            handle,
            done,
            store: Some((batches, thread)),
            batches: VecDeque::new(),
            at_store: 0,
            fetches: VecDeque::new(),
            fetching: 0,
            jobs: VecDeque::new(),
            computing: 0,
            chores: VecDeque::new(),
            chore: false,
        };
        Ok((lanes, results))
    }

    /// Writes down.
    pub(super) fn persist(&mut self, batch: Arc<Batch>) {
        self.batches.push_back(batch);
        self.pump();
    }

    /// Reads a range of so many bytes, for the last time or not.
    pub(super) fn fetch(&mut self, token: Token, file: FileId, range: (u64, usize), last: bool) {
        self.fetches.push_back(Fetch {
            token,
            file,
            range,
            last,
        });
        self.pump();
    }

    /// Computes.
    pub(super) fn compute(&mut self, token: Token, job: Job) {
        self.jobs.push_back((token, job));
        self.pump();
    }

    /// Changes the application's tables, in order.
    pub(super) fn chore(&mut self, chore: Chore) {
        self.chores.push_back(chore);
        self.pump();
    }

    /// Takes note of a result and starts what it made room for.
    pub(super) fn ended(&mut self, done: &mut Done) {
        match done {
            Done::Persisted(..) => self.at_store = self.at_store.saturating_sub(1),
            Done::Fetched(..) => self.fetching = self.fetching.saturating_sub(1),
            Done::Computed(..) => self.computing = self.computing.saturating_sub(1),
            Done::Chore(again, _) => {
                self.chore = false;
                if let Some(chore) = again.take() {
                    self.chores.push_front(chore);
                }
            }
            Done::Hidden(..) => self.chore = false,
        }
        self.pump();
    }

    /// So much waits that nothing new should be taken in.
    pub(super) fn behind(&self) -> bool {
        let queues = [
            self.batches.len(),
            self.fetches.len(),
            self.jobs.len(),
            self.chores.len(),
        ];
        queues.into_iter().any(|len| len >= BEHIND)
    }

    /// Nothing waits and nothing is under way.
    pub(super) fn idle(&self) -> bool {
        let waiting = self.batches.len() + self.fetches.len() + self.jobs.len() + self.chores.len();
        waiting + self.at_store + self.fetching + self.computing == 0 && !self.chore
    }

    /// Ends the store's thread once it has applied what it was given. Blocks.
    pub(super) fn close(mut self) {
        if let Some((batches, thread)) = self.store.take() {
            drop(batches);
            if thread.join().is_err() {
                tracing::error!("the store's thread ended by a defect; please report it");
            }
        }
    }

    fn pump(&mut self) {
        while self.at_store < BATCHES
            && let Some(batch) = self.batches.pop_front()
        {
            let Some((store, _)) = &self.store else {
                return;
            };
            if let Err(refused) = store.try_send(batch) {
                // It always fits; only a store whose thread is gone refuses.
                self.batches.push_front(refused.into_inner());
                break;
            }
            self.at_store += 1;
        }
        while self.fetching < FETCHES
            && let Some(fetch) = self.fetches.pop_front()
        {
            self.fetching += 1;
            let handle = self.handle.clone();
            self.spawn(move || {
                let (offset, len) = fetch.range;
                let bytes = handle.fetch(fetch.file, offset, len);
                if fetch.last {
                    handle.let_go(fetch.file, offset, len);
                }
                Done::Fetched(fetch.token, bytes)
            });
        }
        while self.computing < JOBS
            && let Some((token, job)) = self.jobs.pop_front()
        {
            self.computing += 1;
            self.spawn(move || Done::Computed(token, job.run()));
        }
        if !self.chore
            && let Some(chore) = self.chores.pop_front()
        {
            self.chore = true;
            self.start_chore(chore);
        }
    }

    /// Bytes that are free on the disk of the home.
    pub(super) fn free_bytes(&self) -> Result<u64, StoreError> {
        self.handle.free_bytes()
    }

    fn spawn(&self, work: impl FnOnce() -> Done + Send + 'static) {
        let done = self.done.clone();
        tokio::task::spawn_blocking(move || {
            // Nobody to hear of it: the node stops.
            let _ = done.blocking_send(work());
        });
    }

    fn start_chore(&self, chore: Chore) {
        let handle = self.handle.clone();
        let done = self.done.clone();
        tokio::spawn(async move {
            let work = tokio::task::spawn_blocking(move || do_chore(&handle, chore));
            let Ok(ended) = work.await else { return };
            if matches!(ended, Done::Chore(Some(_), _)) {
                tokio::time::sleep(RETRY).await;
            }
            let _ = done.send(ended).await;
        });
    }
}

fn serve(mut store: Store, mut batches: mpsc::Receiver<Arc<Batch>>, done: &mpsc::Sender<Done>) {
    while let Some(batch) = batches.blocking_recv() {
        let result = store.apply(&batch);
        if done
            .blocking_send(Done::Persisted(batch.token, result))
            .is_err()
        {
            tracing::debug!("a batch was written while the node stopped");
        }
    }
}

fn do_chore(handle: &Handle, chore: Chore) -> Done {
    match &chore {
        Chore::Deliver {
            message,
            part,
            file,
            row,
        } => {
            let inbox = handle.inbox();
            let known = inbox.get(*message, *part).ok().flatten().is_some();
            let kept = match *file && !known {
                true => inbox.keep_incoming(*message, *part).map(drop),
                false => Ok(()),
            };
            match kept.and_then(|()| inbox.put(*message, *part, row)) {
                Ok(put) => {
                    if !known && matches!(put, Put::Known(_)) {
                        // It was deleted: what was kept just now has no entry.
                        let _ = std::fs::remove_file(inbox.content_path(*message, *part));
                    }
                    tracing::debug!(?message, part, ?put, "delivered");
                    Done::Chore(None, Some((*message, *part)))
                }
                Err(error) => {
                    tracing::warn!(?message, part, %error, "cannot deliver yet");
                    Done::Chore(Some(chore), None)
                }
            }
        }
        Chore::Hidden(hidden) => match hidden.take() {
            Err(error) => {
                tracing::warn!(from = ?hidden.from, %error, "cannot be kept yet");
                Done::Chore(Some(chore), None)
            }
            Ok(outcome) => Done::Hidden(outcome, (hidden.message, hidden.part)),
        },
        Chore::Note { key, value } => {
            let meta = handle.meta();
            let done = match value {
                Some(value) => meta.put(key, value),
                None => meta.delete(key).map(drop),
            };
            if let Err(error) = done {
                tracing::warn!(%key, %error, "cannot keep a note");
            }
            Done::Chore(None, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::io::FileKind;
    use crate::security::kdf::Key;
    use crate::security::rows::RowKey;

    /// A delivery that the engine repeats after the user has deleted it leaves nothing behind.
    #[test]
    fn what_was_deleted_is_not_kept_again() {
        let dir = tempfile::tempdir().unwrap();
        let key = RowKey::new(Key::new([1; 32]));
        let (store, _) = Store::open(dir.path(), key).unwrap();
        let (handle, message) = (store.handle(), MessageId([7; 32]));
        let (inbox, file) = (handle.inbox(), true);
        let kind = FileKind::Incoming;
        let part = 1;
        let arrived = handle.payload_path(FileId {
            kind,
            message,
            part,
        });
        std::fs::write(arrived, b"content").unwrap();
        let deliver = || {
            let row = b"row".to_vec();
            let chore = Chore::Deliver {
                message,
                part,
                file,
                row,
            };
            let done = do_chore(&handle, chore);
            assert!(matches!(done, Done::Chore(None, Some(_))), "{done:?}");
            inbox.content_path(message, part).exists()
        };
        assert!(deliver() && deliver());
        assert!(inbox.remove(message, part).unwrap());
        assert!(!deliver());
        assert_eq!(inbox.list(0, 9).unwrap(), []);
    }
}
