//! One end of a QUIC link: the dialling side tries for ever, several times at once, and greets on what comes through first, or
//! next if that is not answered; the listening side takes whoever has greeted last.

use super::endpoint::Driven;
use super::session::{Session, greet, say_hello};
use bytes::Bytes;
use ostrakon_transports::LinkEvent;
use ostrakon_transports::keys::{LinkKey, LinkSecret};
use ostrakon_transports::quic::parts::{
    Backoff, RACERS, STEADY, dialling, listening, patience, pause,
};
use ostrakon_transports::quic::{EndpointError, QuicSettings};
use quinn_proto::{ClientConfig, ConnectionHandle, Dir, Event, StreamEvent, StreamId, VarInt};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::time::Instant;

/// Connections that others begin and that have not greeted, at most.
const CALLERS: usize = 64;
/// The owner ended the connection.
const DONE: VarInt = VarInt::from_u32(0);

/// Which end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Begins the connection, and again when it is lost.
    Dials,
    /// Waits for the other.
    Listens,
}

/// What an operator configures of an end.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which end.
    pub side: Side,
    /// Its own key.
    pub secret: LinkSecret,
    /// The key of the other end.
    pub peer: LinkKey,
    /// As for links of the field.
    pub settings: QuicSettings,
    /// Bytes that the network adds to each packet.
    pub headers: usize,
}

/// One end of a link.
pub struct Link {
    setup: Setup,
    driven: Driven,
    /// What it dials with, if it dials.
    client: Option<ClientConfig>,
    backoff: Backoff,
    /// When it dials next.
    dials: Option<Instant>,
    /// Connections of which one may become the link.
    early: Vec<Session>,
    /// The link, or the connection that has greeted to become it.
    session: Option<Session>,
    /// When another one may greet, of those that came through.
    greets: Option<Instant>,
    random: ChaCha8Rng,
    events: VecDeque<LinkEvent>,
    costs: Vec<(u64, u64)>,
    /// Frames that the transport has dropped.
    pub dropped: u64,
}

impl Link {
    /// An end that knows nothing of the other. The dialling one begins at `now`.
    ///
    /// # Errors
    /// [`EndpointError::Tls`] if the key is not usable.
    pub fn new(setup: Setup, seed: [u8; 32], now: Instant) -> Result<Self, EndpointError> {
        let mut random = ChaCha8Rng::from_seed(seed);
        let mut seed = [0; 32];
        random.fill_bytes(&mut seed);
        let (config, server, client) = match setup.side {
            Side::Dials => {
                let (config, client) = dialling(&setup.secret, setup.peer, &setup.settings)?;
                (config, None, Some(client))
            }
            Side::Listens => {
                let (config, server) = listening(&setup.secret, &setup.settings)?;
                (config, Some(server), None)
            }
        };
        Ok(Self {
            driven: Driven::new(config, server, seed),
            dials: client.is_some().then_some(now),
            client,
            setup,
            backoff: Backoff::default(),
            early: Vec::new(),
            session: None,
            greets: None,
            random,
            events: VecDeque::new(),
            costs: Vec::new(),
            dropped: 0,
        })
    }

    /// A packet came. [`Link::advance`] has to follow.
    pub fn receive(&mut self, now: Instant, packet: &[u8]) {
        self.driven.receive(now, packet);
    }

    /// Takes a frame; `tag` groups it with others. [`Link::advance`] has to follow.
    pub fn send(&mut self, frame: Bytes, tag: u64) {
        let sent = self.session.as_mut().is_some_and(|session| {
            let connection = self.driven.connection(session.handle);
            connection.is_some_and(|connection| session.send(connection, frame, tag))
        });
        self.dropped += u64::from(!sent);
    }

    /// Does what is due: the packets that leave, in order.
    pub fn advance(&mut self, now: Instant) -> Vec<Bytes> {
        if self.dials.is_some_and(|at| at <= now) {
            self.dial(now);
        }
        if self.greets.is_some_and(|at| at <= now) {
            self.greet_next(now);
        }
        let sessions = self.session.iter().chain(&self.early);
        let late = sessions.filter(|session| session.is_late(now));
        let late: Vec<ConnectionHandle> = late.map(|session| session.handle).collect();
        for handle in late {
            let why = "no answer in time (check that the far side runs and that UDP passes)";
            self.lose(handle, why, now);
        }
        loop {
            let happened = self.driven.advance(now);
            if happened.is_empty() {
                break;
            }
            for (handle, event) in happened {
                self.event(handle, event, now);
            }
        }
        self.look(now);
        self.driven.advance(now);
        self.count();
        self.driven.take_leaving()
    }

    /// What the frames of each tag have cost since it was last asked, in bytes of packets with all headers.
    pub fn take_costs(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.costs)
    }

    fn count(&mut self) {
        let lumps = self.driven.take_lumps();
        let Some(session) = &mut self.session else {
            return;
        };
        if let Some(connection) = self.driven.connection(session.handle) {
            let costs = session.left(connection, &lumps, self.setup.headers);
            self.costs.extend(costs);
        }
    }

    /// The next thing that happened.
    pub fn poll(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// When [`Link::advance`] has to be called if nothing comes before.
    pub fn due(&mut self) -> Option<Instant> {
        let sessions = self.session.iter().chain(&self.early);
        let session = sessions.filter_map(Session::due).min();
        let all = [self.dials, self.greets, session, self.driven.due()];
        all.into_iter().flatten().min()
    }

    /// Begins another attempt, and says when the next one does.
    fn dial(&mut self, now: Instant) {
        self.dials = None;
        let Some(config) = self.client.clone() else {
            return;
        };
        let settings = &self.setup.settings;
        let pause = pause(settings.initial_rtt);
        let first = now + settings.connect_timeout;
        let mut racers = self.session.iter().chain(&self.early);
        let until = racers.next().map_or(first, Session::until);
        if racers.count() + 1 >= RACERS {
            self.dials = Some(now + pause);
            return;
        }
        match self.driven.connect(now, config) {
            Ok(handle) => {
                self.early.push(Session::new(handle, until));
                self.dials = Some(now + pause);
            }
            Err(error) if self.early.is_empty() => self.end(&error.to_string(), now),
            Err(_) => {}
        }
    }

    fn event(&mut self, handle: ConnectionHandle, event: Event, now: Instant) {
        let went = match event {
            Event::Connected => self.connected(handle, now),
            Event::ConnectionLost { reason } => Err(reason.to_string()),
            event => self.step(handle, event, now),
        };
        if let Err(why) = went {
            self.lose(handle, &why, now);
        }
    }

    /// A handshake is over. Who dials greets, unless an answer is waited for.
    fn connected(&mut self, handle: ConnectionHandle, now: Instant) -> Result<(), String> {
        if self.setup.side == Side::Listens {
            if self.early.len() >= CALLERS {
                return Err("too many connections".into());
            }
            let until = now + self.setup.settings.connect_timeout;
            self.early.push(Session::new(handle, until));
            return Ok(());
        }
        let mut racers = self.early.iter_mut();
        let Some(racer) = racers.find(|racer| racer.handle == handle) else {
            return Ok(());
        };
        racer.came_through();
        if self.greets.is_none_or(|at| at <= now) {
            self.greet_next(now);
        }
        Ok(())
    }

    /// Greets on the next connection that came through, if there is one, instead of one that was not answered.
    fn greet_next(&mut self, now: Instant) {
        let Some(at) = self.early.iter().position(Session::is_through) else {
            // Whoever comes through next.
            self.greets = self.greets.filter(|at| *at > now);
            return;
        };
        let next = self.early.swap_remove(at);
        let handle = next.handle;
        if let Some(unanswered) = self.session.replace(next) {
            self.close(unanswered.handle, now);
        }
        let Some(connection) = self.driven.connection(handle) else {
            return;
        };
        self.greets = Some(now + patience(connection.rtt()));
        if let Err(why) = greet(connection) {
            self.lose(handle, &why, now);
        }
    }

    /// The greeting was answered: what else came through, or may yet, is not needed.
    fn won(&mut self, now: Instant) {
        (self.dials, self.greets) = (None, None);
        for racer in std::mem::take(&mut self.early) {
            self.close(racer.handle, now);
        }
    }

    /// Goes on with the greeting. An error ends the session.
    fn step(&mut self, handle: ConnectionHandle, event: Event, now: Instant) -> Result<(), String> {
        let mut sessions = self.session.iter_mut().chain(&mut self.early);
        let Some(session) = sessions.find(|session| session.handle == handle) else {
            return Ok(());
        };
        let Some(connection) = self.driven.connection(handle) else {
            return Ok(());
        };
        let stream = match event {
            Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                connection.streams().accept(Dir::Bi)
            }
            Event::Stream(StreamEvent::Readable { id }) => Some(id),
            _ => None,
        };
        let Some(stream) = stream else {
            return Ok(());
        };
        session.hear(connection, stream)?;
        match session.is_greeted() && !session.is_up() {
            true => self.greeted(handle, stream, now),
            false => Ok(()),
        }
    }

    /// The other end has greeted: from now on this connection is the link.
    fn greeted(
        &mut self,
        handle: ConnectionHandle,
        stream: StreamId,
        now: Instant,
    ) -> Result<(), String> {
        let listens = self.setup.side == Side::Listens;
        if !listens {
            self.won(now);
        } else {
            // Who comes anew has lost the former connection, whatever that still seems to be.
            self.end("the peer connected anew", now);
            let caller = self.early.iter().position(|caller| caller.handle == handle);
            self.session = caller.map(|at| self.early.swap_remove(at));
        }
        let (Some(session), Some(connection)) = (&mut self.session, self.driven.connection(handle))
        else {
            return Ok(());
        };
        if listens {
            say_hello(connection, stream)?;
        }
        let rate = self.setup.settings.rate_bps;
        let up = session.carry(connection, self.setup.peer, rate, now)?;
        self.events.push_back(up);
        Ok(())
    }

    fn look(&mut self, now: Instant) {
        let Some(session) = &mut self.session else {
            return;
        };
        let Some(connection) = self.driven.connection(session.handle) else {
            return;
        };
        if let Err(why) = session.look(connection, now, &mut self.events) {
            self.end(&why, now);
        }
    }

    /// A connection can not become the link, or be it any more.
    fn lose(&mut self, handle: ConnectionHandle, why: &str, now: Instant) {
        let is_it = |session: &mut Session| session.handle == handle;
        if let Some(session) = self.session.take_if(is_it) {
            let races = self.client.is_some() && !session.is_up() && !self.early.is_empty();
            if !races {
                self.session = Some(session);
                return self.end(why, now);
            }
            self.close(handle, now);
            self.greets = None;
            return self.greet_next(now);
        }
        let before = self.early.len();
        self.early.retain(|session| session.handle != handle);
        self.close(handle, now);
        let was_early = self.early.len() < before;
        let none_left = self.early.is_empty() && self.session.is_none();
        if was_early && none_left && self.client.is_some() {
            self.end(why, now);
        }
    }

    fn close(&mut self, handle: ConnectionHandle, now: Instant) {
        if let Some(connection) = self.driven.connection(handle) {
            connection.close(now, DONE, Bytes::new());
        }
    }

    /// Ends the session, if there is one; a dialling side dials again after a while.
    fn end(&mut self, why: &str, now: Instant) {
        self.greets = None;
        if let Some(session) = self.session.take() {
            self.close(session.handle, now);
            if session.is_up() {
                self.events.push_back(LinkEvent::Down(why.into()));
            }
            if session.carried(now) >= STEADY {
                self.backoff.reset();
            }
        }
        if self.client.is_some() {
            self.dials = Some(now + self.backoff.wait_by(self.random.next_u32()));
        }
    }
}
