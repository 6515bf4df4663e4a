//! The loop: the next event, and whom it concerns.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha8Rng;

use crate::model::{CourierStats, LinkStats, Nanos, StationStats};

use super::build::{Stream, stream};
use super::clock::Clock;
use super::count::{Counts, Note};
use super::fault::{Fault, LinkId};
use super::host::Request;
use super::medium::Medium;
use super::packets::Late;
use super::queue::{Queue, Shelf};
use super::trace::{Record, Trace};
use super::{Host, HostId, Image, Out, Port};

/// A host with what belongs to its machine.
#[derive(Debug)]
pub(super) struct Place<H> {
    pub(super) name: String,
    pub(super) host: H,
    pub(super) running: bool,
    /// Whether the machine has power.
    pub(super) powered: bool,
    /// Counts stops: what was meant for an earlier process is dropped.
    pub(super) life: u32,
    pub(super) clock: Clock,
    pub(super) rng: ChaCha8Rng,
    pub(super) ports: Vec<Attachment>,
    /// What the host asked for, on its own clock.
    pub(super) wake: Option<Nanos>,
    /// For when the queue has an event that looks at `wake`.
    pub(super) wake_queued: Option<Nanos>,
    /// Of its disk, the newest first.
    pub(super) images: VecDeque<Image>,
}

/// Where a port leads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attachment {
    pub(super) medium: u32,
    pub(super) station: u32,
}

/// Something to come. Small, for the queue moves it about.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Start { host: u32, life: u32 },
    Timer(u32),
    Done { host: u32, life: u32, token: u64 },
    Poll(u32),
    Ready { medium: u32, station: u32 },
    Contact(u32),
    Late(u32),
    Fault(u32),
    FaultEnd(u32),
    Action(u32),
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The condition came to hold.
    Done,
    /// Time is up.
    TimeUp,
    /// Nothing is left that could happen.
    Idle,
    /// The bound on events was reached; see [`World::limit_events`].
    EventLimit,
}

type Action<H> = Box<dyn FnOnce(&mut World<H>)>;

/// Hosts and media in virtual time. See the [module](super).
pub struct World<H: Host> {
    pub(super) seed: u64,
    pub(super) now: Nanos,
    pub(super) queue: Queue<What>,
    pub(super) places: Vec<Place<H>>,
    pub(super) media: Vec<Medium>,
    pub(super) trace: Trace,
    pub(super) counts: Counts,
    pub(super) notes: Vec<Note>,
    pub(super) actions: Shelf<Action<H>>,
    pub(super) late: Shelf<Late>,
    pub(super) faults: Vec<Fault>,
    pub(super) by_event: BTreeMap<u64, Vec<usize>>,
    pub(super) meddling_rng: ChaCha8Rng,
    /// Empty between calls; kept for its memory.
    requests: Vec<Request>,
    event_limit: u64,
}

impl<H: Host> World<H> {
    /// An empty world at time 0.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: 0,
            queue: Queue::new(),
            places: Vec::new(),
            media: Vec::new(),
            trace: Trace::new(seed),
            counts: Counts::default(),
            notes: Vec::new(),
            actions: Shelf::new(),
            late: Shelf::new(),
            faults: Vec::new(),
            by_event: BTreeMap::new(),
            meddling_rng: stream(seed, Stream::Meddling, 0),
            requests: Vec::new(),
            event_limit: u64::MAX,
        }
    }

    /// Bounds the events of all runs together, so that a host that asks to be woken at once for ever ends as an error.
    pub fn limit_events(&mut self, events: u64) {
        self.event_limit = events;
    }

    /// Runs until a condition holds, which is asked before each event, or until the time is past `until`. A world with
    /// contacts that repeat is never idle.
    pub fn run_until(&mut self, until: Nanos, mut done: impl FnMut(&Self) -> bool) -> End {
        loop {
            if done(self) {
                return End::Done;
            }
            if self.counts.events >= self.event_limit {
                return End::EventLimit;
            }
            match self.queue.next_at() {
                None => return End::Idle,
                Some(at) if at > until => {
                    self.now = self.now.max(until);
                    return End::TimeUp;
                }
                Some(_) => self.step(),
            };
        }
    }

    /// Takes the next event. False if nothing is left.
    pub fn step(&mut self) -> bool {
        if self.strike_by_event() {
            return true;
        }
        let Some((at, what)) = self.queue.pop() else {
            return false;
        };
        self.now = self.now.max(at);
        match what {
            What::Start { host, life } => self.start(host as usize, life),
            What::Timer(host) => self.timer(host as usize, at),
            What::Done { host, life, token } => self.done(host as usize, life, token),
            What::Poll(medium) => self.poll(medium as usize, at),
            What::Ready { medium, station } => self.ready(medium as usize, station as usize, at),
            What::Contact(medium) => self.contact(medium as usize),
            What::Late(place) => self.late(place),
            What::Fault(place) => self.strike(place as usize),
            What::FaultEnd(place) => self.relent(place as usize),
            What::Action(place) => {
                if let Some(action) = self.actions.take(place) {
                    self.event(&Record::Action);
                    action(self);
                }
            }
        }
        true
    }

    /// Calls a host from outside, as an event: a command of its user. `None` if it is stopped or not there.
    pub fn call<R>(
        &mut self,
        host: HostId,
        command: impl FnOnce(&mut H, Nanos, &mut Out<'_>) -> R,
    ) -> Option<R> {
        if !self.is_running(host) {
            return None;
        }
        self.event(&Record::Action);
        self.with_host(host.0 as usize, command)
    }

    /// Lets a host act now, and obeys it.
    pub(super) fn with_host<R>(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut H, Nanos, &mut Out<'_>) -> R,
    ) -> Option<R> {
        let mut requests = std::mem::take(&mut self.requests);
        let now = self.now;
        let place = self.places.get_mut(index)?;
        let mut out = Out {
            requests: &mut requests,
            rng: &mut place.rng,
            calendar: place.clock.calendar(now),
            world_now: now,
        };
        let result = act(&mut place.host, place.clock.local(now), &mut out);
        for request in requests.drain(..) {
            self.obey(index, request);
        }
        self.requests = requests;
        Some(result)
    }

    /// Counts an event and puts it into the trace.
    pub(super) fn event(&mut self, record: &Record<'_>) {
        self.counts.events += 1;
        self.trace.add(self.now, record);
    }

    pub(super) fn push(&mut self, at: Nanos, what: What) {
        self.queue.push(at.max(self.now), what);
        self.counts.peak_events = self.counts.peak_events.max(self.queue.len() as u64);
    }

    /// The true time, in nanoseconds since the world began.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// A host, to look at.
    ///
    /// # Panics
    ///
    /// If `host` is not from this world.
    #[must_use]
    pub fn host(&self, host: HostId) -> &H {
        &self.places[host.0 as usize].host
    }

    /// A host, to change from outside without an event.
    ///
    /// # Panics
    ///
    /// If `host` is not from this world.
    pub fn host_mut(&mut self, host: HostId) -> &mut H {
        &mut self.places[host.0 as usize].host
    }

    /// The name of a host; empty if it is not from this world.
    #[must_use]
    pub fn name(&self, host: HostId) -> &str {
        self.places
            .get(host.0 as usize)
            .map_or("", |place| &place.name)
    }

    /// All hosts, in the order in which they were added.
    pub fn hosts(&self) -> impl Iterator<Item = (HostId, &H)> {
        let hosts = self.places.iter().enumerate();
        hosts.map(|(i, place)| (HostId(i as u32), &place.host))
    }

    /// Whether a host's program runs.
    #[must_use]
    pub fn is_running(&self, host: HostId) -> bool {
        self.places
            .get(host.0 as usize)
            .is_some_and(|place| place.running)
    }

    /// What a host's monotonic clock shows.
    #[must_use]
    pub fn local(&self, host: HostId) -> Nanos {
        self.places
            .get(host.0 as usize)
            .map_or(0, |place| place.clock.local(self.now))
    }

    /// The port by which a host is on a medium, if it is.
    #[must_use]
    pub fn port(&self, host: HostId, link: LinkId) -> Option<Port> {
        let stations = &self.media.get(link.0 as usize)?.stations;
        stations.iter().find(|s| s.host == host).map(|s| s.port)
    }

    /// The counts of a pair: `[0]` from its first end to its second, `[1]` back. `None` for a direction that does not
    /// exist, and for other media.
    pub fn link_stats(&mut self, link: LinkId) -> [Option<LinkStats>; 2] {
        let now = self.now;
        let medium = self.media.get_mut(link.0 as usize);
        medium.map_or([None; 2], |medium| medium.kind.link_stats(now))
    }

    /// The counts of a channel, station by station; nothing for other media.
    pub fn station_stats(&mut self, link: LinkId) -> Vec<StationStats> {
        let now = self.now;
        let Some(medium) = self.media.get_mut(link.0 as usize) else {
            return Vec::new();
        };
        let stations = 0..medium.stations.len();
        stations
            .filter_map(|station| medium.kind.station_stats(now, station))
            .collect()
    }

    /// The counts of a courier; `None` for other media.
    pub fn courier_stats(&mut self, link: LinkId) -> Option<CourierStats> {
        let now = self.now;
        self.media.get_mut(link.0 as usize)?.kind.courier_stats(now)
    }

    /// The most bytes that waited at one transmitter of a medium or were aboard a courier, overhead included.
    #[must_use]
    pub fn peak_queue(&self, link: LinkId) -> u64 {
        self.media
            .get(link.0 as usize)
            .map_or(0, |medium| medium.peak_queue)
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What hosts have noted so far, in order.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The hash of all events so far, and of the seed.
    #[must_use]
    pub fn trace_hash(&self) -> [u8; 32] {
        self.trace.hash()
    }

    /// Hands every further record of the trace to `sink` as well, with its time.
    pub fn watch(&mut self, sink: impl FnMut(Nanos, &Record<'_>) + 'static) {
        self.trace.set_sink(Box::new(sink));
    }
}
