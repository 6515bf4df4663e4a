//! The engine of the field as a host of a simulated world: with a disk, workers, an application, and links.
//!
//! It does what the node does with its runtime: takes one input at a time, drains the outputs, and gives back what was
//! asked for, here after a modelled time. What the application has taken is the host's own log and survives everything.

mod app;

use super::content::Content;
use super::disk::Disk;
use super::gauge::Gauge;
use super::log::{Kept, Log, Planned};
use super::paced::{self, PacedPorts};
use super::quic::{self, QuicPorts};
use super::setup::{Person, PortSetup};
use super::work::{self, Pending};
use crate::engine::id::PersonId;
use crate::engine::io::{Event, Input, LinkId, Output, Time};
use crate::engine::limits::Limits;
use crate::engine::status::Status;
use crate::engine::trust::{Level, Standing};
use crate::engine::{Config, Engine};
use crate::security::identity::Identity;
use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::world::{Host, Image, Out, Port, Stop};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Room for frames that a link without a transmitter to wait for says it has.
const UNTOLD_ROOM: usize = 1 << 40;

/// A node.
pub struct Node {
    person: Person,
    limits: Limits,
    ports: Vec<PortSetup>,
    /// Those of the ports that run QUIC.
    quic: QuicPorts,
    /// Those that pace themselves as QUIC does.
    paced: PacedPorts,
    plan: VecDeque<Planned>,
    contents: BTreeMap<u64, Rc<Content>>,
    engine: Option<Engine>,
    disk: Disk,
    /// What a durable write takes, beside its bytes.
    pub sync: Nanos,
    store_free: Nanos,
    /// When each transport that paces has sent all that it was given.
    busy_until: BTreeMap<LinkId, Nanos>,
    pending: BTreeMap<u64, Pending>,
    next_pending: u64,
    /// When the engine wants to be called, and what the world was asked for.
    due: Option<Nanos>,
    gauge: Gauge,
    /// The disk is an older one than the last process had.
    went_back: bool,
    /// What happened.
    pub log: Log,
}

/// An image of a node's disk: what the engine has on it, and what the application has.
struct DiskImage {
    disk: Disk,
    kept: Kept,
}

impl Node {
    /// A machine that was never started. `plan` is what its person will send, in order of time.
    pub fn new(person: Person, limits: Limits, plan: Vec<Planned>, clock: quic::Clock) -> Self {
        Self {
            person,
            limits,
            ports: Vec::new(),
            quic: QuicPorts::new(clock),
            paced: PacedPorts::default(),
            plan: plan.into(),
            contents: BTreeMap::new(),
            engine: None,
            disk: Disk::default(),
            sync: work::SYNC,
            store_free: 0,
            busy_until: BTreeMap::new(),
            pending: BTreeMap::new(),
            next_pending: 0,
            due: None,
            gauge: Gauge::default(),
            went_back: false,
            log: Log::default(),
        }
    }

    /// Has its disk hold so many bytes of arriving files.
    pub fn limit_disk(&mut self, bytes: u64) {
        self.disk.capacity = bytes;
    }

    /// Configures the next port.
    pub fn add_port(&mut self, setup: PortSetup) {
        self.ports.push(setup);
    }

    /// Has the port that was configured last run QUIC. `known` is its link if it knows the other end already.
    pub fn run_quic(&mut self, setup: quic::Setup, known: Option<quic::Link>) {
        if let Some((i, port)) = (0..).zip(&self.ports).last() {
            let profile = port.profile.clone();
            self.quic.add(LinkId(i), setup, profile, known);
        }
    }

    /// Has the port that was configured last pace itself.
    pub fn run_paced(&mut self, setup: paced::Setup) {
        if let Some((i, port)) = (0..).zip(&self.ports).last() {
            self.paced.add(LinkId(i), setup, port.profile.clone());
        }
    }

    /// Gives the node a content that its plan refers to.
    pub fn add_content(&mut self, number: u64, content: Rc<Content>) {
        self.contents.insert(number, content);
    }

    /// What the running engine says of itself.
    pub fn status(&self) -> Option<Status> {
        self.engine.as_ref().map(|engine| engine.status(Time(0)))
    }

    /// Key exchanges within the sessions that the running engine has opened.
    pub fn generations(&self) -> u32 {
        let engine = self.engine.as_ref();
        engine.map_or(0, Engine::generations)
    }

    /// What the running engine has dropped, by reason.
    pub fn dropped(&self) -> BTreeMap<&'static str, u64> {
        let mut dropped = self
            .status()
            .map(|status| status.dropped)
            .unwrap_or_default();
        if self.quic.dropped() > 0 {
            dropped.insert("link: dropped by the transport", self.quic.dropped());
        }
        dropped
    }

    /// Whose it is.
    pub fn person_id(&self) -> Option<PersonId> {
        let identity = Identity::decode(&self.person.keys).ok();
        identity.map(|identity| identity.person())
    }

    fn input(&mut self, now: Nanos, input: Input, out: &mut Out<'_>) {
        if let Some(engine) = &mut self.engine {
            let time = self.gauge.time(now);
            engine.handle_input(Time(now), input);
            let full = self.gauge.look(engine, &self.limits);
            [time, full]
                .into_iter()
                .flatten()
                .for_each(|what| self.log.violation(what));
        }
        loop {
            let Some(engine) = &mut self.engine else {
                return;
            };
            match engine.poll_output() {
                Output::Timeout(at, _) => {
                    self.due = at.map(|at| at.0);
                    self.log.sealed(&engine.take_seal_marks());
                    return;
                }
                output => self.output(now, output, out),
            }
        }
    }

    /// Says how much room the disk has, if that is bounded.
    fn tell_room(&mut self, now: Nanos, out: &mut Out<'_>) {
        if self.disk.capacity < u64::MAX {
            self.input(now, Input::Room(self.disk.room()), out);
        }
    }

    fn output(&mut self, now: Nanos, output: Output, out: &mut Out<'_>) {
        match output {
            Output::Transmit { link, frame, tag } => {
                self.log.sent_frame(tag);
                if frame.len() > self.mtu(link) {
                    self.log.violation(format!(
                        "a frame of {} bytes on link {}",
                        frame.len(),
                        link.0
                    ));
                }
                if self.quic.has(link) {
                    return self.quic.send(link, frame, tag);
                }
                let beside = self.ports.get(link.0 as usize).map_or(0, |p| p.beside);
                self.log.cost(tag, (frame.len() + beside) as u64);
                if self.paced.has(link) {
                    return self.paced.send(link, frame);
                }
                self.pace(now, link, frame.len(), out);
                out.send(Port(link.0), frame);
            }
            Output::Persist(batch) => {
                self.store_free = self.store_free.max(now) + work::writing(&batch, self.sync);
                let wait = self.store_free - now;
                self.later(wait, Pending::Persist(batch), out);
            }
            Output::Fetch {
                token,
                file,
                offset,
                len,
                ..
            } => {
                let fetch = Pending::Fetch {
                    token,
                    file,
                    offset,
                    len,
                };
                self.later(work::reading(len), fetch, out);
            }
            Output::Compute { token, job } => {
                let wait = work::computing(&job);
                self.later(wait, Pending::Compute(token, Box::new(job)), out);
            }
            Output::Deliver(delivery) => self.later(self.sync, Pending::Deliver(delivery), out),
            Output::Event(event) => self.event(out.world_now(), event),
            Output::Release { .. } | Output::Purge { .. } | Output::Timeout(..) => {}
        }
    }

    /// A transport that paces has room again once a frame has had its time.
    fn pace(&mut self, now: Nanos, link: LinkId, len: usize, out: &mut Out<'_>) {
        let setup = self.ports.get(link.0 as usize);
        let Some((rate, overhead)) = setup.and_then(|setup| setup.pace) else {
            return;
        };
        let took = (len as u64 + overhead) * 8_000_000_000 / rate.max(1);
        let free = self.busy_until.entry(link).or_default();
        *free = (*free).max(now) + took;
        let wait = *free - now;
        self.later(wait, Pending::Ready(link), out);
    }

    fn mtu(&self, link: LinkId) -> usize {
        let setup = self.ports.get(link.0 as usize);
        setup.map_or(0, |setup| setup.profile.mtu)
    }

    fn later(&mut self, wait: Nanos, what: Pending, out: &mut Out<'_>) {
        self.next_pending += 1;
        self.pending.insert(self.next_pending, what);
        out.after(wait, self.next_pending);
    }

    fn event(&mut self, at: Nanos, event: Event) {
        match event {
            Event::Accepted { message, .. } => {
                let engine = self.engine.as_ref();
                let tag = engine.and_then(|engine| engine.tag(message));
                self.log.accepted(at, message, tag);
            }
            Event::Refused { request, why } => {
                self.log.refused.push((request, why.to_string()));
            }
            Event::Confirmed { message, part, .. } => self.log.confirmed(at, message, part),
            Event::Expired { message, .. } => self.log.expired(at, message),
            Event::DigestMismatch { message, part } | Event::Spoiled { message, part } => self
                .log
                .violation(format!("part {part} of {message} is not what was sent")),
            Event::OneWayDone { success_ppm, .. } => self.log.planned_ppm.push(success_ppm),
            Event::HomeWentBack { .. } | Event::PeerWentBack { .. } => self.log.alarms += 1,
            Event::Arriving { .. }
            | Event::CardOutdated { .. }
            | Event::Invited { .. }
            | Event::NotInvited { .. }
            | Event::Uninvited { .. }
            | Event::TicketDone { .. }
            | Event::StoreFailed(_)
            | Event::StoreRecovered => {}
        }
    }

    /// Asks the world for a call when the engine or the person is next due.
    fn set_alarm(&self, now: Nanos, out: &mut Out<'_>) {
        let until_plan = self
            .plan
            .front()
            .map(|p| p.at.saturating_sub(out.world_now()));
        let plan = until_plan.map(|wait| now.saturating_add(wait));
        let all = [self.due, plan, self.quic.due(), self.paced.due()];
        match all.into_iter().flatten().min() {
            Some(at) => out.wake_at(at),
            None => out.sleep(),
        }
    }

    /// Drives the links that run QUIC or pace themselves until they have nothing to tell.
    fn drive(&mut self, now: Nanos, out: &mut Out<'_>) {
        loop {
            let input = self.quic.poll(now, out);
            let Some(input) = input.or_else(|| self.paced.poll(now, out)) else {
                break;
            };
            self.input(now, input, out);
        }
        for (tag, bytes) in self.quic.take_costs() {
            self.log.cost(tag, bytes);
        }
        self.set_alarm(now, out);
    }

    fn set_port(&mut self, now: Nanos, port: Port, up: bool, out: &mut Out<'_>) {
        let link = LinkId(port.0);
        if self.quic.has(link) {
            // A connection finds out by itself.
            return;
        }
        match (self.paced.has(link), up) {
            (true, true) => return self.paced.up(now, link, out),
            (true, false) => return self.paced.down(link),
            (false, true) => {}
            (false, false) => return self.input(now, Input::LinkDown { link }, out),
        }
        let Some(setup) = self.ports.get(port.0 as usize).cloned() else {
            return;
        };
        let profile = setup.profile;
        self.input(now, Input::LinkUp { link, profile }, out);
        if !setup.tells {
            let frames = if setup.pace.is_some() { 1 } else { UNTOLD_ROOM };
            self.input(now, Input::LinkReady { link, frames }, out);
        }
    }
}

impl Host for Node {
    fn start(&mut self, now: Nanos, out: &mut Out<'_>) {
        let mut seed = [0; 32];
        out.random(&mut seed);
        let identity = match Identity::decode(&self.person.keys) {
            Ok(identity) => identity,
            Err(error) => return self.log.violation(format!("the keys do not read: {error}")),
        };
        let config = Config {
            identity,
            limits: self.limits.clone(),
            seed,
            restored: self.disk.restored(),
        };
        match Engine::new(config, Time(now)) {
            Ok(engine) => self.engine = Some(engine),
            Err(damaged) => return self.log.violation(damaged.to_string()),
        }
        self.ask_again(out.world_now());
        self.tell_room(now, out);
        let seconds = u64::try_from(out.calendar() / 1_000_000_000).unwrap_or(0);
        self.input(now, Input::Calendar(seconds), out);
        for card in self.person.cards.clone().iter() {
            let standing = Standing {
                level: Level::Verified,
                blocked: false,
            };
            self.input(now, Input::Standing(card.person(), standing), out);
            self.input(now, Input::Card(Box::new(card.clone())), out);
        }
        if let Err(error) = self.quic.start(now, out) {
            return self.log.violation(error.to_string());
        }
        for port in 0..self.ports.len() {
            if self.ports.get(port).is_some_and(|setup| !setup.notices) {
                self.set_port(now, Port(port as u32), true, out);
            }
        }
        // What is to be sent at once waits for the alarm: before it the world says which links are up.
        self.drive(now, out);
    }

    fn packet(&mut self, now: Nanos, port: Port, packet: Bytes, out: &mut Out<'_>) {
        let link = LinkId(port.0);
        if self.quic.has(link) {
            self.quic.receive(now, link, &packet);
        } else if self.paced.has(link) {
            self.paced.receive(now, link, &packet);
        } else {
            let received = Input::Received {
                link,
                frame: packet,
                custody: None,
            };
            self.input(now, received, out);
        }
        self.drive(now, out);
    }

    fn link(&mut self, now: Nanos, port: Port, up: bool, out: &mut Out<'_>) {
        self.set_port(now, port, up, out);
        self.drive(now, out);
    }

    fn ready(&mut self, now: Nanos, port: Port, out: &mut Out<'_>) {
        if self.paced.has(LinkId(port.0)) {
            return;
        }
        let ready = Input::LinkReady {
            link: LinkId(port.0),
            frames: 1,
        };
        self.input(now, ready, out);
        self.drive(now, out);
    }

    fn timer(&mut self, now: Nanos, out: &mut Out<'_>) {
        self.send_due(now, out);
        if self.due.is_some_and(|due| due <= now) {
            self.input(now, Input::Timeout, out);
        }
        self.drive(now, out);
    }

    fn done(&mut self, now: Nanos, token: u64, out: &mut Out<'_>) {
        let answer = match self.pending.remove(&token) {
            None => return,
            Some(Pending::Persist(batch)) => {
                let token = batch.token;
                match self.disk.apply(&batch) {
                    Ok(()) => {
                        self.log.applied(&batch);
                        self.tell_room(now, out);
                        Input::Persisted(token)
                    }
                    Err(error) => Input::PersistFailed(token, error),
                }
            }
            Some(Pending::Fetch {
                token,
                file,
                offset,
                len,
            }) => Input::Fetched(token, self.disk.read(&file, offset, len)),
            Some(Pending::Compute(token, job)) => Input::Computed(token, job.run()),
            Some(Pending::Ready(link)) => Input::LinkReady { link, frames: 1 },
            Some(Pending::Deliver(delivery)) => {
                self.take(out.world_now(), &delivery);
                Input::DeliverAck {
                    message: delivery.message,
                    part: delivery.part,
                }
            }
        };
        self.input(now, answer, out);
        self.drive(now, out);
    }

    fn stop(&mut self, _now: Nanos, how: Stop) {
        self.engine = None;
        self.pending.clear();
        self.busy_until.clear();
        self.quic.stop();
        self.paced.stop();
        (self.due, self.store_free) = (None, 0);
        self.gauge = Gauge::default();
        if how == Stop::PowerCut {
            self.disk.power_cut();
        }
        self.log.restarted();
    }

    fn image(&self) -> Image {
        Image::new(DiskImage {
            disk: self.disk.image(),
            kept: self.log.kept().clone(),
        })
    }

    fn restore(&mut self, image: Option<&Image>) {
        let capacity = self.disk.capacity;
        let (mut disk, kept) = match image.and_then(Image::get::<DiskImage>) {
            Some(image) => (image.disk.clone(), image.kept.clone()),
            None => (Disk::default(), Kept::default()),
        };
        disk.capacity = capacity;
        self.disk = disk;
        self.log.went_back(kept);
        self.went_back = true;
    }
}
