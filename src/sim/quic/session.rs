//! A connection of a link from the greeting to its end: what the field's link task does between two waits.

use super::costs::{Lump, Waiting};
use bytes::Bytes;
use ostrakon_transports::LinkEvent;
use ostrakon_transports::keys::LinkKey;
use ostrakon_transports::quic::parts::{
    BEAT, HELLO, News, PROFILE_LOOK, ProfileWatch, Reading, Silence, UNHEARD, Valve, hello, pace,
};
use quinn_proto::{Connection, ConnectionHandle, Dir, SendDatagramError, StreamId};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a link is numbered, as a scenario says of each which ends it has.
const NUMBER: u32 = 0;

/// A connection that is, or is to become, the link.
pub(super) struct Session {
    /// Which connection.
    pub(super) handle: ConnectionHandle,
    /// The greeting has to be over by then.
    until: Instant,
    /// The handshake is over.
    through: bool,
    /// What the other end has said of its greeting.
    heard: Vec<u8>,
    carrier: Option<Carrier>,
}

/// What a connection has that carries frames.
struct Carrier {
    since: Instant,
    /// Frames that have not left yet, and the room where there are none.
    waiting: Waiting,
    room: usize,
    valve: Valve,
    profile: ProfileWatch,
    /// When the profile is to be looked at.
    look: Option<Instant>,
    looked: Instant,
    /// When the valve is to be looked at; at once if it is not known.
    credit: Option<Instant>,
    silence: Silence,
    /// When the silence is to be looked at.
    beat: Option<Instant>,
    /// Frames were given since the valve was looked at.
    given: bool,
    /// One of them was too large.
    too_large: bool,
}

impl Session {
    /// A connection that has until then to become a link.
    pub(super) fn new(handle: ConnectionHandle, until: Instant) -> Self {
        Self {
            handle,
            until,
            through: false,
            heard: Vec::new(),
            carrier: None,
        }
    }

    /// Until when it has to become a link.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// The handshake is over.
    pub(super) fn came_through(&mut self) {
        self.through = true;
    }

    /// Whether it can greet.
    pub(super) fn is_through(&self) -> bool {
        self.through
    }

    /// Whether it carries frames.
    pub(super) fn is_up(&self) -> bool {
        self.carrier.is_some()
    }

    /// For how long it has carried frames.
    pub(super) fn carried(&self, now: Instant) -> Duration {
        let since = self.carrier.as_ref().map(|carrier| carrier.since);
        since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }

    /// The greeting has taken too long.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        !self.is_up() && self.until <= now
    }

    /// Reads of the other end's greeting what is there. An error if it is none.
    pub(super) fn hear(
        &mut self,
        connection: &mut Connection,
        stream: StreamId,
    ) -> Result<(), String> {
        let mut stream = connection.recv_stream(stream);
        let Ok(mut chunks) = stream.read(true) else {
            return Ok(());
        };
        while let Ok(Some(chunk)) = chunks.next(HELLO - self.heard.len()) {
            self.heard.extend_from_slice(&chunk.bytes);
            if self.heard.len() == HELLO {
                break;
            }
        }
        let _ = chunks.finalize();
        match hello(NUMBER).starts_with(&self.heard) {
            true => Ok(()),
            false => Err("the peer said no proper hello (compare the versions)".into()),
        }
    }

    /// Whether the other end has greeted.
    pub(super) fn is_greeted(&self) -> bool {
        self.heard == hello(NUMBER)
    }

    /// From now on it carries frames.
    pub(super) fn carry(
        &mut self,
        connection: &mut Connection,
        peer: LinkKey,
        rate_bps: Option<u64>,
        now: Instant,
    ) -> Result<LinkEvent, String> {
        let profile = ProfileWatch::new(reading(connection), peer.0, rate_bps, now)?;
        let space = connection.datagrams().send_buffer_space();
        let told = profile.told().clone();
        self.carrier = Some(Carrier {
            since: now,
            waiting: Waiting::default(),
            room: space,
            valve: Valve::new(space, told.mtu, now),
            profile,
            look: None,
            looked: now,
            credit: Some(now),
            silence: Silence::new(now),
            beat: None,
            given: false,
            too_large: false,
        });
        Ok(LinkEvent::Up(told))
    }

    /// Takes a frame. False if it was dropped.
    pub(super) fn send(&mut self, connection: &mut Connection, frame: Bytes, tag: u64) -> bool {
        let Some(carrier) = &mut self.carrier else {
            return false;
        };
        carrier.valve.used(frame.len());
        carrier.given = true;
        let len = frame.len();
        let sent = connection.datagrams().send(frame, false);
        // The buffer holds more than all credit that the valve ever gives.
        debug_assert!(!matches!(sent, Err(SendDatagramError::Blocked(_))));
        carrier.too_large |= sent.is_err();
        if sent.is_ok() {
            carrier.waiting.push(Some(tag), len);
        }
        sent.is_ok()
    }

    /// Packets have left: what the frames in them cost, by tag.
    pub(super) fn left(
        &mut self,
        connection: &mut Connection,
        lumps: &[Lump],
        headers: usize,
    ) -> Vec<(u64, u64)> {
        let Some(carrier) = &mut self.carrier else {
            return Vec::new();
        };
        let own = lumps.iter().filter(|lump| lump.handle == self.handle);
        let costs = own.flat_map(|lump| carrier.waiting.left(lump, headers));
        let costs = costs.collect();
        if connection.datagrams().send_buffer_space() >= carrier.room {
            carrier.waiting.clear();
        }
        costs
    }

    /// Looks after credit and profile, and hands over what came. An error says why the connection cannot go on.
    pub(super) fn look(
        &mut self,
        connection: &mut Connection,
        now: Instant,
        events: &mut VecDeque<LinkEvent>,
    ) -> Result<(), String> {
        let Some(carrier) = &mut self.carrier else {
            return Ok(());
        };
        while let Some(frame) = connection.datagrams().recv() {
            if frame.is_empty() {
                continue;
            }
            let custody = None;
            events.push_back(LinkEvent::Received { frame, custody });
        }
        carrier.watch(connection, now, events)?;
        carrier.credit(connection, now, events);
        carrier.listen(connection, now, events);
        Ok(())
    }

    /// When it is to be looked at again.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.carrier {
            None => Some(self.until),
            Some(carrier) => {
                let all = [carrier.look, carrier.credit, carrier.beat];
                all.into_iter().flatten().min()
            }
        }
    }
}

impl Carrier {
    /// Tells a change of the profile. The task of the field looks every [`PROFILE_LOOK`], and when a frame was too large; here it is looked only where
    /// something has happened since, which sees the same.
    fn watch(
        &mut self,
        connection: &mut Connection,
        now: Instant,
        events: &mut VecDeque<LinkEvent>,
    ) -> Result<(), String> {
        let at = *self.look.get_or_insert(now.max(self.looked + PROFILE_LOOK));
        if at > now && !self.too_large {
            return Ok(());
        }
        (self.look, self.looked, self.too_large) = (None, now, false);
        if let Some(changed) = self.profile.look(reading(connection), now)? {
            events.push_back(LinkEvent::Changed(changed));
        }
        self.given = true;
        Ok(())
    }

    /// Tells the controller how long nothing was heard, and asks for a sign where nothing else does. Tells the owner when the
    /// path seems dead, and when it is not any more.
    fn listen(
        &mut self,
        connection: &mut Connection,
        now: Instant,
        events: &mut VecDeque<LinkEvent>,
    ) {
        let controller = || connection.congestion_state().clone_box();
        let (silence, asks) = self.silence.listen(&connection.stats(), controller, now);
        self.beat = silence.map(|_| now + BEAT);
        match self.silence.news(silence) {
            None => {}
            Some(News::Died) => events.push_back(LinkEvent::Down(UNHEARD.into())),
            Some(News::Lives) => {
                self.valve.forget();
                self.given = true;
                events.push_back(LinkEvent::Up(self.profile.told().clone()));
            }
        }
        if asks && self.valve.is_empty() {
            // A frame that waits does as well.
            if connection.datagrams().send(Bytes::new(), false).is_ok() {
                self.waiting.push(None, 0);
            }
        }
    }

    /// Gives credit where the task of the field would: when frames were given, the time has come, or the profile was
    /// looked at.
    fn credit(
        &mut self,
        connection: &mut Connection,
        now: Instant,
        events: &mut VecDeque<LinkEvent>,
    ) {
        if !self.given && self.credit.is_none_or(|at| at > now) {
            return;
        }
        self.given = false;
        let mtu = self.profile.told().mtu;
        let pace = pace(connection.congestion_state().clone_box());
        self.valve.measure(&connection.stats().path, mtu, pace, now);
        let due = self.valve.due(connection.datagrams().send_buffer_space());
        if due > 0 {
            self.valve.gave(due);
            events.push_back(LinkEvent::Ready(due));
        }
        self.credit = match due {
            0 => self.valve.look_again().map(|pause| now + pause),
            _ => None,
        };
    }
}

/// Says the greeting on a stream of one's own.
pub(super) fn greet(connection: &mut Connection) -> Result<(), String> {
    let stream = connection.streams().open(Dir::Bi);
    let stream = stream.ok_or("the peer takes no stream (compare the versions)")?;
    say_hello(connection, stream)
}

/// Says the greeting.
pub(super) fn say_hello(connection: &mut Connection, stream: StreamId) -> Result<(), String> {
    let mut stream = connection.send_stream(stream);
    match (stream.write(&hello(NUMBER)), stream.finish()) {
        (Ok(written), Ok(())) if written == HELLO => Ok(()),
        _ => Err("the hello could not be said".into()),
    }
}

fn reading(connection: &mut Connection) -> Reading {
    Reading {
        mtu: connection.datagrams().max_size(),
        rtt: connection.rtt(),
    }
}
