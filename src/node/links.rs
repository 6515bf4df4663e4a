//! The links of a running node: configured ones, and those that others open to us.
//!
//! The engine knows a link by one number for the life of the process. A transport task may end and be followed
//! by another for the same link, so each task has a number of its own, its *slot*; events of a slot that was
//! given up are ignored.

use super::address::Address;
use super::api::{LinkConfig, OneWay, RateControl};
use super::cards::Contacts;
use super::courier::FIRST_COURIER;
use super::linkbook::{FIRST_UNCONFIGURED, MAX_OF_ONE, Record};
use crate::engine::ends::End;
use crate::engine::id::PersonId;
use crate::engine::io::{self, Input, LinkId, Reach};
use crate::security::identity::Identity;
use crate::wire::MIN_MTU;
use bytes::Bytes;
use ostrakon_transports as transport;
use ostrakon_transports::keys::LinkKey;
use ostrakon_transports::quic::{Congestion, Incoming, PeerSpec, QuicEndpoint, QuicSettings};
use ostrakon_transports::relay::{MailboxOwner, RelayClient, RelaySpec};
use ostrakon_transports::serial::{SerialLink, SerialSpec};
use ostrakon_transports::spool::{SpoolLink, SpoolSpec};
use ostrakon_transports::{Direction, LinkEvent, LinkHandle, LinkOrder};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;

/// Links of unknown endpoints at once. They bring frames and get none, until a card says whose they are.
const MAX_UNKNOWN: usize = 8;
/// Purges that wait for room in the orders of one link.
const MAX_PURGES: usize = 4096;
/// Loss to assume of a one-way line that nobody said anything about, in parts per million.
const ONEWAY_LOSS: u32 = 100_000;
/// Loss to assume of any other link.
const USUAL_LOSS: u32 = 10_000;

/// A link that an endpoint has opened to us: the endpoint's key, and its number for the link.
type Guest = ([u8; 32], u32);

/// One link.
pub(super) struct Link {
    /// As users know it.
    pub(super) name: String,
    /// `quic`, `relay`, `serial` or `spool`.
    pub(super) kind: &'static str,
    /// As configured, if it is.
    pub(super) config: Option<LinkConfig>,
    /// How much it may have under way, if that is for it to decide.
    pub(super) control: Option<RateControl>,
    /// Carries frames now.
    pub(super) up: bool,
    /// Why it does not.
    pub(super) reason: Option<String>,
    /// What is wrong although it does.
    pub(super) notice: Option<&'static str>,
    /// Its frame size when last up.
    pub(super) mtu: usize,
    person: Option<PersonId>,
    /// Of an endpoint that is not known yet.
    unknown: Option<Guest>,
    /// What the transport said of it last.
    last: Option<transport::LinkProfile>,
    record: Option<Record>,
    handle: Option<LinkHandle>,
    slot: u32,
    /// Frames that the engine had credit for, and that wait for room in the link's orders. Nothing else gives that credit back.
    frames: VecDeque<LinkOrder>,
    release: Option<u64>,
    purges: VecDeque<u64>,
}

impl Link {
    /// One that is not up yet.
    fn new(name: String, kind: &'static str, slot: u32, handle: Option<LinkHandle>) -> Self {
        Self {
            name,
            kind,
            config: None,
            control: None,
            up: false,
            reason: None,
            notice: None,
            mtu: 0,
            person: None,
            unknown: None,
            last: None,
            record: None,
            handle,
            slot,
            frames: VecDeque::new(),
            release: None,
            purges: VecDeque::new(),
        }
    }

    fn profile(&self, p: &transport::LinkProfile, end: Option<End>) -> io::LinkProfile {
        let config = self.config.as_ref();
        let oneway = config.and_then(|c| c.oneway);
        let refuses = oneway == Some(OneWay::Receive) || self.unknown.is_some();
        let can_send = p.direction != Direction::ReceiveOnly && !refuses;
        let can_receive = p.direction != Direction::SendOnly && oneway != Some(OneWay::Send);
        let usual = match can_receive || p.store_and_forward {
            true => USUAL_LOSS,
            false => ONEWAY_LOSS,
        };
        let loss = config.and_then(|c| c.loss_percent);
        let envelope = if p.store_and_forward {
            crate::wire::envelope::LEN
        } else {
            0
        };
        let limit = config
            .and_then(|c| c.mtu)
            .unwrap_or(p.mtu)
            .max(MIN_MTU + envelope);
        let direct = self.kind != "relay";
        io::LinkProfile {
            mtu: p.mtu.min(limit),
            rate_bps: config.and_then(|c| c.rate_bps).or(p.rate_bps),
            rtt: p.rtt.or(configured_rtt(config)),
            can_send,
            can_receive,
            enveloped: p.store_and_forward,
            courier: self.kind == "spool",
            reach: match (end, self.person) {
                (Some(end), _) if direct => Reach::Endpoint(end),
                (None, Some(person)) if direct => Reach::Person(person),
                _ => Reach::Anyone,
            },
            cost: config.map_or(0, |c| c.cost),
            loss_ppm: loss.map_or(usual, |percent| u32::from(percent) * 10_000),
        }
    }

    /// Hands over what waits for room in the link's orders, frames first. Gives the number of those that nobody takes any more.
    fn pump(&mut self) -> u64 {
        let Some(handle) = &self.handle else {
            return self.drop_frames();
        };
        while let Some(frame) = self.frames.pop_front() {
            match handle.orders.try_send(frame) {
                Ok(()) => {}
                Err(TrySendError::Full(frame)) => {
                    self.frames.push_front(frame);
                    return 0;
                }
                Err(TrySendError::Closed(_)) => return 1 + self.drop_frames(),
            }
        }
        if let Some(upto) = self.release
            && handle.orders.try_send(LinkOrder::Release(upto)).is_ok()
        {
            self.release = None;
        }
        while let Some(tag) = self.purges.front() {
            // The last places are for frames.
            if handle.orders.capacity() * 2 <= handle.orders.max_capacity()
                || handle.orders.try_send(LinkOrder::Purge(*tag)).is_err()
            {
                break;
            }
            self.purges.pop_front();
        }
        0
    }

    /// Credit is void once a link is down, and so are the frames that it was used for.
    fn drop_frames(&mut self) -> u64 {
        std::mem::take(&mut self.frames).len() as u64
    }
}

/// What users know a link by that somebody has opened to us.
fn guest_name(contacts: &Contacts, person: Option<PersonId>, number: u32) -> String {
    let Some(person) = person else {
        return "quic:unknown".to_owned();
    };
    let name = contacts.name(person);
    match number {
        0 => format!("quic:{name}"),
        _ => format!("quic:{name}:{number}"),
    }
}

fn configured_rtt(config: Option<&LinkConfig>) -> Option<Duration> {
    Some(Duration::from_millis(config?.rtt_ms?))
}

/// All links.
pub(super) struct Links {
    identity: Arc<Identity>,
    contacts: Arc<Contacts>,
    spool_origin: [u8; 8],
    /// Dials; missing where links are not wanted.
    dialer: Option<QuicEndpoint>,
    /// Of links that others open.
    guest_control: RateControl,
    events: transport::EventSender,
    links: BTreeMap<LinkId, Link>,
    slots: BTreeMap<u32, LinkId>,
    next_slot: u32,
    guests: BTreeMap<Guest, LinkId>,
    next_guest: u32,
    /// Numbers of links of others that are over. They are used again, since the engine remembers how much each has asked for.
    free: Vec<LinkId>,
    /// Frames that a link did not take.
    lost_frames: u64,
}

impl Links {
    /// No links yet. Without `dialer` none is ever started. `guest_control` is that of the endpoint which takes connections.
    pub(super) fn new(
        identity: Arc<Identity>,
        contacts: Arc<Contacts>,
        spool_origin: [u8; 8],
        dialer: Option<QuicEndpoint>,
        guest_control: RateControl,
        events: transport::EventSender,
    ) -> Self {
        Self {
            identity,
            contacts,
            spool_origin,
            dialer,
            guest_control,
            events,
            links: BTreeMap::new(),
            slots: BTreeMap::new(),
            next_slot: 0,
            guests: BTreeMap::new(),
            next_guest: FIRST_UNCONFIGURED,
            free: Vec::new(),
            lost_frames: 0,
        }
    }

    /// All links by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&LinkId, &Link)> {
        self.links.iter()
    }

    /// What the transports dropped, by reason.
    pub(super) fn dropped(&self) -> [(&'static str, u64); 4] {
        let mut sums = [
            ("link: not carried", self.lost_frames),
            ("link: dropped by the transport", 0),
            ("link: refused by the relay", 0),
            ("link: no frame", 0),
        ];
        for handle in self.links.values().filter_map(|l| l.handle.as_ref()) {
            let counters = *handle.counters.borrow();
            sums[1].1 += counters.dropped_frames;
            sums[2].1 += counters.refused_frames;
            sums[3].1 += counters.garbage;
        }
        sums
    }

    /// Whether another device of ours has made a card that does not name this one.
    pub(super) fn is_removed(&self) -> bool {
        let us = self.identity.described();
        let own = self.contacts.own();
        own.is_some_and(|card| !card.body().endpoints.contains(&us))
    }

    /// The name of a link.
    pub(super) fn name(&self, link: LinkId) -> String {
        match self.links.get(&link) {
            Some(link) => link.name.clone(),
            None if link.0 >= FIRST_COURIER => "spool by hand".into(),
            None => format!("link {}", link.0),
        }
    }

    /// Starts a configured link, or says in its entry why it cannot be.
    pub(super) fn start(&mut self, record: Record) -> Option<Input> {
        let id = LinkId(record.id);
        let down = self.end(id);
        let address = record.address().ok();
        let kind = address.as_ref().map_or("unknown", Address::kind);
        let paced = address.filter(Address::paces_itself);
        let control = paced.map(|_| record.config.control.unwrap_or_default());
        let (slot, name) = (self.new_slot(), record.config.name.clone());
        let started = self.spawn(slot, &record);
        let (handle, reason) = match started {
            Ok(handle) => (handle, Some("not up yet".to_owned())),
            Err(reason) => (None, Some(reason)),
        };
        self.slots.insert(slot, id);
        let link = Link {
            config: Some(record.config.clone()),
            control,
            reason,
            person: record.person(),
            record: Some(record),
            ..Link::new(name, kind, slot, handle)
        };
        self.links.insert(id, link);
        down
    }

    /// Starts again what waited for this person's card.
    pub(super) fn card_changed(&mut self, person: PersonId) -> Vec<Input> {
        let met = self.meet(person);
        let concerns = |link: &&Link| link.person == Some(person) && link.kind == "quic";
        let records: Vec<Record> = self
            .links
            .values()
            .filter(concerns)
            .filter(|link| !link.up)
            .filter_map(|link| link.record.clone())
            .collect();
        let started = records.into_iter().filter_map(|r| self.start(r));
        met.into_iter().chain(started).collect()
    }

    /// Links of unknown endpoints that a new card names are this person's from now on.
    fn meet(&mut self, person: PersonId) -> Vec<Input> {
        let contacts = self.contacts.clone();
        let mut changed = Vec::new();
        for (id, link) in &mut self.links {
            let Some(guest) = link.unknown else { continue };
            let key = guest.0;
            if contacts.by_link_key(&key) != Some(person) {
                continue;
            }
            (link.unknown, link.person) = (None, Some(person));
            link.name = guest_name(&contacts, Some(person), guest.1);
            self.guests.insert(guest, *id);
            if let Some(last) = link.last.clone().filter(|_| link.up) {
                let profile = link.profile(&last, contacts.end_by_link_key(&key));
                changed.push(Input::LinkUp { link: *id, profile });
            }
        }
        changed
    }

    /// Ends the links to a person that is blocked. Configured ones wait until it is let in again.
    pub(super) fn shut_out(&mut self, person: PersonId) -> Vec<Input> {
        let concerns = |link: &Link| link.person == Some(person) && link.kind == "quic";
        let links = self.links.iter().filter(|(_, link)| concerns(link));
        let ends: Vec<(LinkId, Option<Record>)> =
            links.map(|(id, link)| (*id, link.record.clone())).collect();
        let end = |(id, record)| match record {
            Some(record) => self.start(record),
            None => self.end(id),
        };
        ends.into_iter().filter_map(end).collect()
    }

    /// Starts the links to relays again, which makes the relays hand over once more what was not released.
    pub(super) fn reconnect_relays(&mut self) -> Vec<Input> {
        let relays = self.links.values().filter(|link| link.kind == "relay");
        let records: Vec<Record> = relays.filter_map(|link| link.record.clone()).collect();
        records.into_iter().filter_map(|r| self.start(r)).collect()
    }

    /// Ends a link that comes back under its number; the input tells the engine if it was up.
    fn end(&mut self, id: LinkId) -> Option<Input> {
        let link = self.links.remove(&id)?;
        self.slots.remove(&link.slot);
        self.lost_frames += link.frames.len() as u64;
        link.up.then_some(Input::LinkDown { link: id })
    }

    /// Ends a link for good.
    pub(super) fn remove(&mut self, id: LinkId) -> Input {
        self.end(id);
        self.guests.retain(|_, guest| *guest != id);
        if id.0 >= FIRST_UNCONFIGURED {
            self.free.push(id);
        }
        Input::LinkGone { link: id }
    }

    /// Takes a connection that an endpoint opened to us. A former one of the same link ends. Of unknown endpoints a few
    /// are let in while somebody unknown is waited for.
    pub(super) fn accept(&mut self, incoming: Incoming) -> Vec<Input> {
        let guest = (incoming.peer.0, incoming.number);
        // The card may have been replaced since the key was judged.
        let person = self.contacts.by_link_key(&guest.0);
        if person.is_none() && !self.contacts.door.is_open() {
            return Vec::new();
        }
        if !self.has_room_for(guest, person.is_some()) {
            tracing::info!(remote = %incoming.remote, ?person, "a link too many was refused");
            incoming.refuse();
            return Vec::new();
        }
        let (over, id) = self.place_of(guest);
        let Some(id) = id else {
            return Vec::from_iter(over);
        };
        self.guests.insert(guest, id);
        let slot = self.new_slot();
        tracing::info!(remote = %incoming.remote, ?person, "a node connected");
        let handle = incoming.into_link(transport::LinkId(slot), self.events.clone());
        self.slots.insert(slot, id);
        let name = guest_name(&self.contacts, person, guest.1);
        let link = Link {
            control: Some(self.guest_control),
            person,
            unknown: person.is_none().then_some(guest),
            ..Link::new(name, "quic", slot, Some(handle))
        };
        self.links.insert(id, link);
        Vec::from_iter(over)
    }

    /// Whether one more link of an endpoint may be. One that is down gives way; if all were up, and one had to, its end would
    /// dial again, and so for ever.
    fn has_room_for(&self, guest: Guest, known: bool) -> bool {
        if self.guests.contains_key(&guest) {
            return true;
        }
        if known {
            return self.of_one(&guest.0).filter(|id| self.is_up(*id)).count() < MAX_OF_ONE;
        }
        self.links
            .values()
            .filter(|link| link.unknown.is_some())
            .count()
            < MAX_UNKNOWN
    }

    /// The links that an endpoint has opened to us.
    fn of_one(&self, key: &[u8; 32]) -> impl Iterator<Item = LinkId> + use<'_> {
        let its = self.guests.range((*key, 0)..=(*key, u32::MAX));
        its.map(|(_, id)| *id)
    }

    fn is_up(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.up)
    }

    /// What is over for it, and the number of a link: that which it has, or a free one.
    fn place_of(&mut self, guest: Guest) -> (Option<Input>, Option<LinkId>) {
        if let Some(id) = self.guests.get(&guest).copied() {
            return (self.end(id), Some(id));
        }
        let full = self.of_one(&guest.0).count() >= MAX_OF_ONE;
        let down = self.of_one(&guest.0).find(|id| full && !self.is_up(*id));
        let over = down.map(|id| self.remove(id));
        (over, self.next_id())
    }

    fn next_id(&mut self) -> Option<LinkId> {
        if let Some(id) = self.free.pop() {
            return Some(id);
        }
        let id = LinkId(self.next_guest);
        self.next_guest = self.next_guest.checked_add(1)?;
        Some(id)
    }

    /// What an event of a transport means for the engine.
    pub(super) fn event(&mut self, slot: u32, event: LinkEvent) -> Option<Input> {
        let id = *self.slots.get(&slot)?;
        let link = self.links.get_mut(&id)?;
        if let LinkEvent::Down(_) = &event {
            self.lost_frames += link.drop_frames();
        }
        self.lost_frames += link.pump();
        match event {
            LinkEvent::Up(profile) | LinkEvent::Changed(profile) => {
                if !link.up {
                    tracing::info!(link = %link.name, mtu = profile.mtu, "up");
                }
                (link.up, link.reason, link.notice) = (true, None, profile.notice);
                link.last = Some(profile.clone());
                let end = profile
                    .peer_key
                    .and_then(|key| self.contacts.end_by_link_key(&key));
                let profile = link.profile(&profile, end);
                link.mtu = profile.mtu;
                Some(Input::LinkUp { link: id, profile })
            }
            LinkEvent::Down(reason) => {
                tracing::info!(link = %link.name, %reason, "down");
                (link.reason, link.notice) = (Some(reason), None);
                if link.unknown.is_some() {
                    return Some(self.remove(id));
                }
                std::mem::replace(&mut link.up, false).then_some(Input::LinkDown { link: id })
            }
            LinkEvent::Ready(frames) => link.up.then_some(Input::LinkReady { link: id, frames }),
            LinkEvent::Received { frame, custody } => Some(Input::Received {
                link: id,
                frame,
                custody,
            }),
        }
    }

    /// Has a frame carried.
    pub(super) fn transmit(&mut self, id: LinkId, frame: Bytes, tag: u64) {
        let Some(link) = self.links.get_mut(&id) else {
            self.lost_frames += 1;
            return;
        };
        link.frames.push_back(LinkOrder::Transmit { frame, tag });
        self.lost_frames += link.pump();
    }

    /// Lets go of frames that the far side holds.
    pub(super) fn release(&mut self, id: LinkId, upto: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.release = link.release.max(Some(upto));
            self.lost_frames += link.pump();
        }
    }

    /// Has frames of a group dropped wherever they wait on our side.
    pub(super) fn purge(&mut self, tag: u64) {
        for link in self.links.values_mut().filter(|l| l.kind == "spool") {
            // A purge forgotten wastes room in a folder, no more.
            if link.purges.len() < MAX_PURGES {
                link.purges.push_back(tag);
            }
            self.lost_frames += link.pump();
        }
    }

    fn new_slot(&mut self) -> u32 {
        self.next_slot = self.next_slot.wrapping_add(1);
        self.next_slot
    }

    /// Starts the transport. `Ok(None)` where links are not wanted.
    fn spawn(&self, slot: u32, record: &Record) -> Result<Option<LinkHandle>, String> {
        let Some(dialer) = &self.dialer else {
            return Ok(None);
        };
        let slot = transport::LinkId(slot);
        let events = self.events.clone();
        let config = &record.config;
        let address = record.address().map_err(|e| e.to_string())?;
        Ok(Some(match address {
            Address::Quic { at } => {
                let (key, others) = self.expected_keys(record)?;
                let peer = PeerSpec {
                    address: at,
                    key,
                    others,
                    number: record.id,
                    settings: quic_settings(config),
                };
                dialer.connect(slot, peer, events)
            }
            Address::Relay { at, key } => {
                let spec = RelaySpec {
                    address: at,
                    key: LinkKey(key),
                    settings: quic_settings(config),
                    mailbox: (config.oneway != Some(OneWay::Send)).then(|| self.mailbox()),
                    grants: record.grants(),
                    settlements: None,
                };
                RelayClient::spawn(slot, spec, dialer, events)
            }
            Address::Serial { path, baud, mtu } => {
                let mut spec = SerialSpec::new(path, baud);
                spec.mtu = mtu.or(config.mtu).unwrap_or(spec.mtu);
                spec.rate_bps = config.rate_bps;
                spec.direction = direction(config);
                SerialLink::spawn(slot, spec, events)
            }
            Address::Spool { dir } => {
                let mut spec = SpoolSpec::new(dir, self.spool_origin);
                spec.direction = direction(config);
                SpoolLink::spawn(slot, spec, events)
            }
        }))
    }

    fn mailbox(&self) -> MailboxOwner {
        MailboxOwner::from_seed(zeroize::Zeroizing::new(
            *self.identity.mailbox_seed().bytes(),
        ))
    }

    /// Any endpoint of the person may be at the far side.
    fn expected_keys(&self, record: &Record) -> Result<(LinkKey, Vec<LinkKey>), String> {
        let person = record.person();
        let blocked = |person| self.contacts.standings.get(person).blocked;
        if person.is_some_and(blocked) {
            return Err("the person at the far side is blocked".to_owned());
        }
        let own = self.identity.link_key();
        let card = person.and_then(|person| self.contacts.get(person));
        let endpoints = card.iter().flat_map(|card| &card.body().endpoints);
        let mut keys = endpoints.map(|e| e.link).filter(|key| *key != own);
        keys.next()
            .map(|first| (LinkKey(first), keys.map(LinkKey).collect()))
            .ok_or_else(|| {
                "no contact card of the person at the far side is known; import it".to_owned()
            })
    }
}

fn direction(config: &LinkConfig) -> Direction {
    match config.oneway {
        None => Direction::Both,
        Some(OneWay::Send) => Direction::SendOnly,
        Some(OneWay::Receive) => Direction::ReceiveOnly,
    }
}

fn quic_settings(config: &LinkConfig) -> QuicSettings {
    QuicSettings {
        congestion: config.control.unwrap_or_default().into(),
        ..QuicSettings::of_path(config.rate_bps, configured_rtt(Some(config)))
    }
}

impl From<RateControl> for Congestion {
    fn from(control: RateControl) -> Self {
        match control {
            RateControl::Own => Self::Model,
            RateControl::Shared => Self::Shared,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use ostrakon_transports::LinkCounters;
    use tokio::sync::{mpsc, watch};

    /// Guards the credit of a link whose orders are full for a while: what the engine has given for it leaves, in order, once
    /// there is room.
    #[test]
    fn a_frame_waits_for_room_in_the_orders_of_its_link() {
        let (sender, mut orders) = mpsc::channel(2);
        let (_counts, counters) = watch::channel(LinkCounters::default());
        let handle = LinkHandle {
            orders: sender,
            counters,
        };
        let mut link = Link::new("line".into(), "quic", 1, Some(handle));
        link.release = Some(7);
        let mut carried = Vec::new();
        for tag in 0..5 {
            let frame = Bytes::from_static(b"frame");
            link.frames.push_back(LinkOrder::Transmit { frame, tag });
            assert_eq!(link.pump(), 0);
        }
        for _ in 0..4 {
            while let Ok(order) = orders.try_recv() {
                carried.push(order);
            }
            assert_eq!(link.pump(), 0);
        }
        let tags = carried.iter().filter_map(|order| match order {
            LinkOrder::Transmit { tag, .. } => Some(*tag),
            _ => None,
        });
        assert_eq!(tags.collect::<Vec<u64>>(), [0, 1, 2, 3, 4]);
        assert!(link.release.is_none());
        drop(orders);
        let frame = Bytes::from_static(b"frame");
        link.frames.push_back(LinkOrder::Transmit { frame, tag: 9 });
        assert_eq!(
            link.pump(),
            1,
            "nobody takes it any more, and it is counted"
        );
    }
}
