//! Spools by hand: a folder is filled with all that waits for others, or read once.
//!
//! To the engine, either is a link that comes up, carries frames one way, and goes.

use super::api::Response;
use super::error::NodeError;
use crate::engine::io::{Input, LinkId, LinkProfile, Reach, StoreError};
use bytes::Bytes;
use ostrakon_transports::spool::{
    self, ExportSummary, ImportSummary, OwnBatch, SPOOL_MTU, SpoolError,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The first number of links that are a folder done by hand. Each gets another: what the engine has put into one
/// folder has to go into the next one as well.
pub(super) const FIRST_COURIER: u32 = 1 << 31;

/// Frames asked for at once.
const CREDIT: usize = 64;
/// Frames are written out from so many bytes on.
const WRITE_AT: usize = 4 << 20;
/// While a write is under way, frames are asked for up to so many bytes.
const HELD_MAX: usize = 8 << 20;
/// Frames read from a folder that wait for the engine.
const READ_AHEAD: usize = 256;
/// The engine has nothing more once it was silent for this long with no work under way.
const SILENCE: Duration = Duration::from_millis(300);
/// The same while it is busy with other links.
const LONG_SILENCE: Duration = Duration::from_secs(5);

/// How often a folder is read at most, if frames in it come before what they belong to.
const PASSES: u32 = 4;
/// An import is given up when a failing store has taken nothing for so long.
const STUCK: Duration = Duration::from_secs(10);

/// The answer to whoever asked.
pub(super) type Reply = oneshot::Sender<Response>;

/// The profile of a courier's link.
pub(super) fn profile(sends: bool) -> LinkProfile {
    LinkProfile {
        mtu: SPOOL_MTU,
        rate_bps: None,
        rtt: None,
        can_send: sends,
        can_receive: !sends,
        enveloped: true,
        courier: true,
        reach: Reach::Anyone,
        cost: 0,
        loss_ppm: 10_000,
    }
}

/// A folder being filled.
pub(super) struct Export {
    pub(super) link: LinkId,
    dir: PathBuf,
    origin: [u8; 8],
    reply: Reply,
    held: BTreeMap<u64, Vec<Bytes>>,
    held_bytes: usize,
    credit: usize,
    last: Instant,
    summary: ExportSummary,
    writing: Option<oneshot::Receiver<Result<ExportSummary, SpoolError>>>,
    failed: Option<SpoolError>,
    /// What this node has put there on earlier occasions, of messages that are written anew.
    older: JoinHandle<Vec<OwnBatch>>,
    written: BTreeSet<u64>,
}

/// What a folder needs next.
pub(super) enum Step {
    /// This input.
    Feed(Input),
    /// To be looked at again soon.
    Wait,
    /// Nothing: it is done.
    Done,
}

impl Export {
    /// Begins. Batches of earlier occasions go at once if their messages are not in `wanted` any more.
    pub(super) fn new(
        link: LinkId,
        dir: PathBuf,
        origin: [u8; 8],
        wanted: BTreeSet<u64>,
        reply: Reply,
    ) -> Self {
        let folder = dir.clone();
        let older = tokio::task::spawn_blocking(move || clear(&folder, origin, &wanted));
        Self {
            link,
            older,
            written: BTreeSet::new(),
            dir,
            origin,
            reply,
            held: BTreeMap::new(),
            held_bytes: 0,
            credit: 0,
            last: Instant::now(),
            summary: ExportSummary::default(),
            writing: None,
            failed: None,
        }
    }

    /// A frame for the folder.
    pub(super) fn take(&mut self, frame: Bytes, tag: u64) {
        self.credit = self.credit.saturating_sub(1);
        self.held_bytes += frame.len();
        self.held.entry(tag).or_default().push(frame);
        self.last = Instant::now();
    }

    /// Frames with this tag are of no use any more.
    pub(super) fn purge(&mut self, tag: u64) {
        if let Some(frames) = self.held.remove(&tag) {
            self.held_bytes -= frames.iter().map(Bytes::len).sum::<usize>();
        }
    }

    /// Goes on. `idle` says that the engine waits for no work.
    pub(super) fn step(&mut self, idle: bool) -> Step {
        self.look_at_write();
        if self.failed.is_some() {
            return Step::Done;
        }
        let silent = self.last.elapsed() > if idle { SILENCE } else { LONG_SILENCE };
        if self.writing.is_none() {
            if self.held_bytes >= WRITE_AT || (silent && !self.held.is_empty()) {
                self.write();
            } else if silent {
                return Step::Done;
            }
        }
        if self.credit <= CREDIT / 2 && self.held_bytes < HELD_MAX {
            let frames = CREDIT - self.credit;
            self.credit = CREDIT;
            let link = self.link;
            return Step::Feed(Input::LinkReady { link, frames });
        }
        Step::Wait
    }

    fn look_at_write(&mut self) {
        let Some(writing) = &mut self.writing else {
            return;
        };
        match writing.try_recv() {
            Ok(Ok(wrote)) => {
                self.summary.batches += wrote.batches;
                self.summary.frames += wrote.frames;
                self.summary.bytes += wrote.bytes;
            }
            Ok(Err(error)) => self.failed = Some(error),
            Err(oneshot::error::TryRecvError::Empty) => return,
            Err(oneshot::error::TryRecvError::Closed) => {
                let source = std::io::Error::other("the work was cut off");
                let dir = self.dir.clone();
                self.failed = Some(SpoolError::Write { dir, source });
            }
        }
        self.writing = None;
    }

    fn write(&mut self) {
        let (done, writing) = oneshot::channel();
        let (dir, origin) = (self.dir.clone(), self.origin);
        let held = std::mem::take(&mut self.held);
        self.written.extend(held.keys());
        self.held_bytes = 0;
        tokio::task::spawn_blocking(move || {
            // Whoever asked may be gone.
            let _ = done.send(write_all(&dir, origin, held));
        });
        self.writing = Some(writing);
    }

    /// Answers, once what was written anew has taken the place of what was there.
    pub(super) fn finish(self) {
        let Some(error) = self.failed else {
            tokio::spawn(async move {
                let mut older = self.older.await.unwrap_or_default();
                older.retain(|batch| self.written.contains(&batch.tag));
                // What cannot be removed stays and takes its room, no more.
                let _ = tokio::task::spawn_blocking(move || spool::remove(&older)).await;
                let _ = self.reply.send(Response::Exported {
                    frames: self.summary.frames,
                    batches: self.summary.batches,
                });
            });
            return;
        };
        let _ = self.reply.send(NodeError::from(error).response());
    }
}

/// Removes this node's batches of messages that are over, and gives those of messages that are not. Receipts, which are
/// of no message, stay.
fn clear(dir: &std::path::Path, origin: [u8; 8], wanted: &BTreeSet<u64>) -> Vec<OwnBatch> {
    // A folder that cannot be listed cannot be written to either, and that is told.
    let mut own = spool::own_batches(dir, origin).unwrap_or_default();
    own.retain(|batch| batch.tag != 0);
    let (current, over) = own
        .into_iter()
        .partition(|batch: &OwnBatch| wanted.contains(&batch.tag));
    let over: Vec<OwnBatch> = over;
    spool::remove(&over);
    current
}

fn write_all(
    dir: &std::path::Path,
    origin: [u8; 8],
    held: BTreeMap<u64, Vec<Bytes>>,
) -> Result<ExportSummary, SpoolError> {
    let mut sum = ExportSummary::default();
    for (tag, frames) in held {
        let wrote = spool::export(dir, origin, tag, frames)?;
        sum.batches += wrote.batches;
        sum.frames += wrote.frames;
        sum.bytes += wrote.bytes;
    }
    Ok(sum)
}

/// A folder being read.
pub(super) struct Import {
    pub(super) link: LinkId,
    dir: PathBuf,
    origin: [u8; 8],
    frames: mpsc::Receiver<Read>,
    reply: Reply,
    summary: Option<Result<ImportSummary, SpoolError>>,
    last: Instant,
    /// How often the folder was read, and how many frames the engine had left out before the last time.
    passes: u32,
    left_out: u64,
}

enum Read {
    Frame(Bytes),
    End(Result<ImportSummary, SpoolError>),
}

impl Import {
    /// Begins to read. `left_out`: what the engine has left out so far since it came before its manifest.
    pub(super) fn start(
        link: LinkId,
        dir: PathBuf,
        origin: [u8; 8],
        left_out: u64,
        reply: Reply,
    ) -> Self {
        Self {
            link,
            frames: read(dir.clone(), origin),
            dir,
            origin,
            reply,
            summary: None,
            last: Instant::now(),
            passes: 1,
            left_out,
        }
    }

    /// The next input: frames, and after the last of them a flush. Never ready once the folder is read.
    pub(super) async fn next(&mut self) -> Input {
        if self.summary.is_some() {
            return std::future::pending().await;
        }
        let read = self.frames.recv().await;
        self.last = Instant::now();
        match read {
            Some(Read::Frame(frame)) => Input::Received {
                link: self.link,
                frame,
                custody: None,
            },
            Some(Read::End(summary)) => {
                self.summary = Some(summary);
                Input::Flush
            }
            None => {
                self.summary = Some(Ok(ImportSummary::default()));
                Input::Flush
            }
        }
    }

    /// All frames are taken in, and what follows from them is durable.
    pub(super) fn is_over(&self, idle: bool) -> bool {
        let limit = if idle { SILENCE } else { LONG_SILENCE };
        self.summary.is_some() && self.last.elapsed() > limit
    }

    /// Nothing was taken in for long, since the store fails.
    pub(super) fn is_stuck(&self) -> bool {
        self.last.elapsed() > STUCK
    }

    /// Reads the folder once more if frames were left out because they came before their manifest, which may be here
    /// now. Tells whether it does.
    pub(super) fn read_again(&mut self, left_out: u64) -> bool {
        let early = left_out.saturating_sub(self.left_out);
        if early == 0 || self.passes >= PASSES || !matches!(self.summary, Some(Ok(_))) {
            return false;
        }
        self.passes += 1;
        self.left_out = left_out;
        self.frames = read(self.dir.clone(), self.origin);
        self.summary = None;
        self.last = Instant::now();
        true
    }

    /// Answers; `failed` is why the store takes nothing more.
    pub(super) fn finish(self, failed: Option<String>) {
        let response = match (failed, self.summary) {
            (Some(text), _) => NodeError::from(StoreError::Io(text)).response(),
            (None, Some(Ok(sum))) => Response::Imported {
                frames: sum.frames,
                batches: sum.batches,
                damaged: sum.damaged,
                foreign: sum.foreign,
            },
            (None, Some(Err(error))) => NodeError::from(error).response(),
            (None, None) => NodeError::Stopped.response(),
        };
        let _ = self.reply.send(response);
    }
}

/// Reads a folder from its beginning.
fn read(dir: PathBuf, origin: [u8; 8]) -> mpsc::Receiver<Read> {
    let (send, frames) = mpsc::channel(READ_AHEAD);
    tokio::task::spawn_blocking(move || {
        let read = spool::import(&dir, Some(origin), |frame| {
            // Fails only if the node stops.
            let _ = send.blocking_send(Read::Frame(frame));
        });
        let _ = send.blocking_send(Read::End(read));
    });
    frames
}
