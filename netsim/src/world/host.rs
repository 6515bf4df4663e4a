//! What a simulated machine is to the world: a handler of events that answers by asking for things.

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use super::Image;
use crate::model::Nanos;

/// A host of a world, numbered in the order in which hosts were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u32);

/// A host's end of a medium: port `i` is the `i`-th medium that the host was attached to, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u32);

/// How a host is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The process is killed; the machine goes on. What it gave to the kernel is kept.
    Crash,
    /// The machine loses power. Only what reached the medium is kept, and the monotonic clock begins anew at 0.
    PowerCut,
}

/// A program on a machine, driven by the world.
///
/// Every call is one event. `now` is the host's own monotonic clock in nanoseconds: it begins at 0 when the host is
/// added, and again after each power cut, and runs fast or slow if a fault says so. Nothing else is known of time
/// except [`Out::calendar`]. A host that reads another clock, another source of randomness, or a table in random order
/// is not repeatable.
///
/// After [`stop`](Self::stop) nothing is called until [`start`](Self::start); what the host forgets in between is up to
/// it. Timers, jobs and packets on their way to a host that is stopped are gone.
pub trait Host {
    /// The program starts: at the beginning, and after each crash or power cut that is followed by a restart.
    fn start(&mut self, now: Nanos, out: &mut Out<'_>);

    /// A packet came in by `port`.
    fn packet(&mut self, now: Nanos, port: Port, packet: Bytes, out: &mut Out<'_>);

    /// The medium of `port` came up or went down. Only on ports that notice, see [`Notice`](super::Notice).
    fn link(&mut self, _now: Nanos, _port: Port, _up: bool, _out: &mut Out<'_>) {}

    /// The transmitter of `port` has nothing left to send: once when the port comes up, and then each time when all
    /// that was given to it has left. Only on ports that tell, such as modems.
    fn ready(&mut self, _now: Nanos, _port: Port, _out: &mut Out<'_>) {}

    /// The moment asked for by [`Out::wake_at`] has come.
    fn timer(&mut self, _now: Nanos, _out: &mut Out<'_>) {}

    /// What was asked for by [`Out::after`] is done.
    fn done(&mut self, _now: Nanos, _token: u64, _out: &mut Out<'_>) {}

    /// The program ends here and now, without warning. What its disk keeps is for the host to decide.
    fn stop(&mut self, _now: Nanos, _how: Stop) {}

    /// An image of the disk as it is, whether the program runs or not.
    fn image(&self) -> Image {
        Image::default()
    }

    /// The program is stopped, and its disk becomes that of an image, or a new one.
    fn restore(&mut self, _image: Option<&Image>) {}
}

impl<H: Host + ?Sized> Host for Box<H> {
    fn start(&mut self, now: Nanos, out: &mut Out<'_>) {
        (**self).start(now, out);
    }
    fn packet(&mut self, now: Nanos, port: Port, packet: Bytes, out: &mut Out<'_>) {
        (**self).packet(now, port, packet, out);
    }
    fn link(&mut self, now: Nanos, port: Port, up: bool, out: &mut Out<'_>) {
        (**self).link(now, port, up, out);
    }
    fn ready(&mut self, now: Nanos, port: Port, out: &mut Out<'_>) {
        (**self).ready(now, port, out);
    }
    fn timer(&mut self, now: Nanos, out: &mut Out<'_>) {
        (**self).timer(now, out);
    }
    fn done(&mut self, now: Nanos, token: u64, out: &mut Out<'_>) {
        (**self).done(now, token, out);
    }
    fn stop(&mut self, now: Nanos, how: Stop) {
        (**self).stop(now, how);
    }
    fn image(&self) -> Image {
        (**self).image()
    }
    fn restore(&mut self, image: Option<&Image>) {
        (**self).restore(image);
    }
}

/// What a host asks of the world during one call. Requests take effect in order, when the call returns.
#[derive(Debug)]
pub struct Out<'a> {
    pub(super) requests: &'a mut Vec<Request>,
    pub(super) rng: &'a mut ChaCha8Rng,
    pub(super) calendar: i64,
    pub(super) world_now: Nanos,
}

/// One request.
#[derive(Debug)]
pub(super) enum Request {
    Send(Port, Bytes),
    WakeAt(Option<Nanos>),
    After(Nanos, u64),
    Note(&'static str, String, u64),
}

impl Out<'_> {
    /// Gives a packet to the transmitter of `port`. As with a datagram socket nobody says what became of it; the counts
    /// of the link do. On a port that the host does not have, or whose medium goes the other way only, it is dropped
    /// and counted ([`Counts::no_way`](super::Counts::no_way)).
    pub fn send(&mut self, port: Port, packet: impl Into<Bytes>) {
        self.requests.push(Request::Send(port, packet.into()));
    }

    /// Asks for [`Host::timer`] at `at` on the host's own clock. A host has one such moment: a new one replaces it. A
    /// moment that has passed comes at once, as an event of its own.
    pub fn wake_at(&mut self, at: Nanos) {
        self.requests.push(Request::WakeAt(Some(at)));
    }

    /// Takes back what [`wake_at`](Self::wake_at) asked for.
    pub fn sleep(&mut self) {
        self.requests.push(Request::WakeAt(None));
    }

    /// Asks for [`Host::done`] with `token` after `delay` nanoseconds of the host's own clock: a disk write, a
    /// computation. Any number of them may be under way.
    pub fn after(&mut self, delay: Nanos, token: u64) {
        self.requests.push(Request::After(delay, token));
    }

    /// Puts a note into the trace and into [`World::notes`](super::World::notes): a name, a text and a number of the
    /// host's choice. The world stamps it with the true time.
    pub fn note(&mut self, name: &'static str, text: impl Into<String>, value: u64) {
        self.requests.push(Request::Note(name, text.into(), value));
    }

    /// The host's calendar clock: nanoseconds since the beginning of 1970 (UTC, no leap seconds), which faults may jump
    /// and drift. It survives a power cut.
    #[must_use]
    pub fn calendar(&self) -> i64 {
        self.calendar
    }

    /// The true time of the world. For measuring; a host whose behaviour depends on it sees what no machine sees.
    #[must_use]
    pub fn world_now(&self) -> Nanos {
        self.world_now
    }

    /// Fills `bytes` from the host's own stream of randomness under the world's seed. It goes on across restarts.
    pub fn random(&mut self, bytes: &mut [u8]) {
        self.rng.fill_bytes(bytes);
    }
}
