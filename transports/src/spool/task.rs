//! The task of a spool link: collects frames into batches, gives credit, and has one file job done at a time.

use super::scan::Step;
use super::worker::{Done, Job, Worker};
use super::{MAX_BATCH_BYTES, SPOOL_MTU, SpoolSpec, batch};
use crate::{EventSender, LinkCounters, LinkEvent, LinkId, LinkOrder};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const CREDIT: usize = 64;
/// What a frame takes in the folder at most: a batch of its own in one block.
const FRAME_COST: u64 = 4096;
const MAX_PURGES: usize = 65_536;
const LEAST_POLL: Duration = Duration::from_millis(10);
/// A folder that took no batch is tried again after this many looks.
const PROBE_LOOKS: u32 = 10;

/// Frames of one tag on their way into a batch.
#[derive(Debug)]
struct Pending {
    frames: Vec<Bytes>,
    bytes: usize,
    due: Instant,
}

/// Whether the folder is there and takes batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    /// Batches can be written.
    Open,
    /// A batch of this size could not be written; it is tried again then.
    Blocked { probe_at: Instant, bytes: u64 },
}

#[derive(Debug)]
pub(super) struct Task {
    link: LinkId,
    spec: SpoolSpec,
    events: EventSender,
    counters: watch::Sender<LinkCounters>,
    worker: Option<Worker>,
    /// Events that the owner has not taken yet; nothing is read meanwhile.
    out: VecDeque<LinkEvent>,
    pending: BTreeMap<u64, Pending>,
    pending_bytes: usize,
    purges: BTreeSet<u64>,
    up: bool,
    told_down: bool,
    writing: Writing,
    /// A pass has found out which batches of ours are there.
    known: bool,
    used: u64,
    credit: usize,
    scan_at: Instant,
}

impl Task {
    pub(super) fn new(
        link: LinkId,
        spec: SpoolSpec,
        events: EventSender,
        counters: watch::Sender<LinkCounters>,
    ) -> Self {
        Self {
            link,
            worker: Some(Worker::new(spec.clone())),
            spec,
            events,
            counters,
            out: VecDeque::new(),
            pending: BTreeMap::new(),
            pending_bytes: 0,
            purges: BTreeSet::new(),
            up: false,
            told_down: false,
            writing: Writing::Open,
            known: false,
            used: 0,
            credit: 0,
            scan_at: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<LinkOrder>) {
        let mut job: Option<JoinHandle<(Worker, Done)>> = None;
        let events = self.events.clone();
        loop {
            if job.is_none() {
                job = self.start();
            }
            let wake = self.wake_at();
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => self.order(order),
                    None => break,
                },
                permit = events.reserve(), if !self.out.is_empty() => match (permit, self.out.pop_front()) {
                    (Ok(permit), Some(event)) => permit.send((self.link, event)),
                    _ => break,
                },
                ended = wait(&mut job), if job.is_some() => {
                    job = None;
                    if !self.take_back(ended) {
                        return;
                    }
                }
                () = tokio::time::sleep_until(wake), if job.is_none() => {}
            }
            self.give_credit();
        }
        self.flush(job).await;
    }

    /// Starts the most urgent job that is due.
    fn start(&mut self) -> Option<JoinHandle<(Worker, Done)>> {
        let job = self.next_job(Instant::now())?;
        let mut worker = self.worker.take()?;
        Some(tokio::task::spawn_blocking(move || {
            let done = worker.run(job);
            (worker, done)
        }))
    }

    fn next_job(&mut self, now: Instant) -> Option<Job> {
        if self.up
            && self.known
            && let Some(tag) = self.purges.pop_first()
        {
            return Some(Job::Purge(tag));
        }
        let limit = self.batch_limit();
        let due = |p: &Pending| p.bytes >= limit || p.due <= now;
        if let Some(tag) = self
            .pending
            .iter()
            .find(|(_, p)| due(p))
            .map(|(tag, _)| *tag)
        {
            return self.write_job(tag);
        }
        match self.writing {
            Writing::Blocked { probe_at, bytes } if probe_at <= now => {
                return Some(Job::Probe(bytes));
            }
            _ => {}
        }
        (self.scan_at <= now && self.out.is_empty()).then_some(Job::Scan)
    }

    fn write_job(&mut self, tag: u64) -> Option<Job> {
        let Pending { frames, bytes, .. } = self.pending.remove(&tag)?;
        self.pending_bytes -= bytes;
        Some(Job::Write { tag, frames })
    }

    /// When there may be a job, if nothing else happens.
    fn wake_at(&self) -> Instant {
        let scan = self.out.is_empty().then_some(self.scan_at);
        let probe = match self.writing {
            Writing::Blocked { probe_at, .. } => Some(probe_at),
            Writing::Open => None,
        };
        let batches = self.pending.values().map(|p| p.due);
        let far = Instant::now() + Duration::from_secs(3600);
        batches.chain(scan).chain(probe).min().unwrap_or(far)
    }

    fn order(&mut self, order: LinkOrder) {
        match order {
            LinkOrder::Transmit { frame, tag } => self.transmit(frame, tag),
            LinkOrder::Purge(tag) => self.purge(tag),
            LinkOrder::Release(_) => {}
        }
    }

    fn transmit(&mut self, frame: Bytes, tag: u64) {
        if self.credit == 0 || frame.len() > SPOOL_MTU {
            self.credit = self.credit.saturating_sub(1);
            self.drop_frames(1);
            return;
        }
        self.credit -= 1;
        let due = Instant::now() + self.spec.batch_delay;
        let pending = self.pending.entry(tag).or_insert(Pending {
            frames: Vec::new(),
            bytes: 0,
            due,
        });
        let bytes = frame.len() + batch::RECORD_OVERHEAD;
        pending.bytes += bytes;
        self.pending_bytes += bytes;
        pending.frames.push(frame);
    }

    fn purge(&mut self, tag: u64) {
        if let Some(useless) = self.pending.remove(&tag) {
            self.pending_bytes -= useless.bytes;
        }
        // Forgetting one purge wastes room in the folder; growing without bound would be worse.
        if self.purges.len() >= MAX_PURGES {
            self.purges.pop_first();
        }
        self.purges.insert(tag);
    }

    /// Takes the result of a job; false if the job was lost.
    fn take_back(&mut self, ended: Option<(Worker, Done)>) -> bool {
        let Some((worker, done)) = ended else {
            tracing::error!(link = self.link.0, "a spool job was lost; the link ends");
            return false;
        };
        self.used = worker.own().used;
        self.worker = Some(worker);
        match done {
            Done::Scan(Ok(step)) => self.scanned(step),
            Done::Scan(Err(error)) => {
                self.scan_at = self.next_look();
                self.writing = Writing::Open;
                self.go_down(format!(
                    "cannot look into {}: {error}; plug the medium in or mount it, it is looked for all the time",
                    self.spec.dir.display()
                ));
            }
            Done::Write { frames, result } => self.wrote(&frames, result),
            Done::Purge {
                tag,
                result: Err(error),
            } => {
                tracing::warn!(link = self.link.0, tag, %error, "cannot delete a batch of ours");
            }
            Done::Purge { .. } => {}
            Done::Probe(Ok(())) => self.unblock(),
            Done::Probe(Err(_)) => {
                if let Writing::Blocked { bytes, .. } = self.writing {
                    let probe_at = self.next_probe();
                    self.writing = Writing::Blocked { probe_at, bytes };
                }
            }
        }
        true
    }

    fn scanned(&mut self, step: Step) {
        if step.finished {
            self.known = true;
            self.scan_at = self.next_look();
        }
        self.go_up();
        self.counters.send_modify(|c| {
            c.garbage += step.damaged + step.foreign;
            c.received_frames += step.frames.len() as u64;
            c.received_bytes += step.frames.iter().map(|f| f.len() as u64).sum::<u64>();
        });
        let received = |frame| LinkEvent::Received {
            frame,
            custody: None,
        };
        self.out.extend(step.frames.into_iter().map(received));
    }

    fn wrote(&mut self, frames: &[Bytes], result: io::Result<()>) {
        let bytes: u64 = frames.iter().map(|f| f.len() as u64).sum();
        let Err(error) = result else {
            self.counters.send_modify(|c| {
                c.sent_frames += frames.len() as u64;
                c.sent_bytes += bytes;
            });
            return;
        };
        self.drop_frames(frames.len());
        let dir = self.spec.dir.display();
        self.go_down(format!(
            "cannot write to {dir}: {error}; make room or make the folder writable, it is tried again by itself"
        ));
        // Without a folder there is nothing to probe. The next look tells whether it can be read.
        if error.kind() != io::ErrorKind::NotFound {
            self.writing = Writing::Blocked {
                probe_at: self.next_probe(),
                bytes,
            };
        }
        self.scan_at = Instant::now();
    }

    fn go_up(&mut self) {
        let writable = self.writing == Writing::Open;
        if self.up || !(writable || self.spec.receives()) {
            return;
        }
        self.up = true;
        self.told_down = false;
        let profile = self.spec.profile(writable);
        self.out.push_back(LinkEvent::Up(profile));
    }

    fn go_down(&mut self, reason: String) {
        let frames = self.pending.values().map(|p| p.frames.len()).sum();
        self.drop_frames(frames);
        self.pending.clear();
        (self.pending_bytes, self.credit) = (0, 0);
        (self.up, self.known) = (false, false);
        if !self.told_down {
            self.told_down = true;
            tracing::info!(link = self.link.0, %reason, "spool down");
            self.out.push_back(LinkEvent::Down(reason));
        }
    }

    fn unblock(&mut self) {
        self.writing = Writing::Open;
        if self.up {
            let profile = self.spec.profile(true);
            self.out.push_back(LinkEvent::Changed(profile));
        }
    }

    /// Gives credit while what is promised fits into the folder's quota and into memory.
    fn give_credit(&mut self) {
        let ready = self.up && self.known && self.writing == Writing::Open && self.spec.sends();
        if !ready || self.credit > CREDIT / 2 || self.pending_bytes >= 2 * self.batch_limit() {
            return;
        }
        let promised = self.pending_bytes as u64 + self.pending.len() as u64 * FRAME_COST;
        let room = self.spec.max_bytes.saturating_sub(self.used + promised) / FRAME_COST;
        let target = CREDIT.min(usize::try_from(room).unwrap_or(CREDIT));
        if target > self.credit {
            self.out.push_back(LinkEvent::Ready(target - self.credit));
            self.credit = target;
        }
    }

    /// Writes what is pending when the owner is gone.
    async fn flush(mut self, mut job: Option<JoinHandle<(Worker, Done)>>) {
        if job.is_some() && !self.take_back(wait(&mut job).await) {
            return;
        }
        while let Some(tag) = self.pending.keys().next().copied() {
            let Some((job, mut worker)) = self.write_job(tag).zip(self.worker.take()) else {
                return;
            };
            let run = tokio::task::spawn_blocking(move || {
                let done = worker.run(job);
                (worker, done)
            });
            if !self.take_back(wait(&mut Some(run)).await) {
                return;
            }
        }
    }

    fn next_look(&self) -> Instant {
        Instant::now() + self.spec.poll_interval.max(LEAST_POLL)
    }

    fn next_probe(&self) -> Instant {
        Instant::now() + self.spec.poll_interval.max(LEAST_POLL) * PROBE_LOOKS
    }

    fn batch_limit(&self) -> usize {
        self.spec.batch_bytes.clamp(1, MAX_BATCH_BYTES)
    }

    fn drop_frames(&self, frames: usize) {
        if frames > 0 {
            self.counters
                .send_modify(|c| c.dropped_frames += frames as u64);
        }
    }
}

/// What a job gives; never, if there is none.
async fn wait(job: &mut Option<JoinHandle<(Worker, Done)>>) -> Option<(Worker, Done)> {
    match job {
        Some(job) => job.await.ok(),
        None => std::future::pending().await,
    }
}
