//! A frame came: whose it is, whether it is authentic, and where it belongs.
//!
//! What is cheap comes first: a known label is looked up, a delivered message is dropped before any key is
//! touched, and a preamble is examined only as often as its link may ask for it.

use super::arrival::Arrival;
use super::assembly::Assembly;
use super::gate::Gate;
use super::io::{Event, LinkId};
use super::lifetimes::Mortal;
use super::link::Link;
use super::sessions::Announced;
use super::strangers::CARDLESS;
use super::{Effect, Engine, MessageId, PersonId, Route};
use crate::security::announcement::Announcement;
use crate::security::seal::MessageKeys;
use crate::security::session::{Epoch, RecvSession, SessionError, SessionId};
use crate::wire::envelope::Envelope;
use crate::wire::fragment::{Kind, Label, ManifestChunk, Place, View};
use crate::wire::piece::{self, Piece};
use crate::wire::{FrameKind, frame_kind, preamble};
use bytes::Bytes;
use std::time::Duration;

/// How often at most it is told that somebody has an outdated card of ours.
const STALE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What is counted whenever something of a blocked person comes.
const BLOCKED: &str = "frame of a blocked person";

impl Engine {
    pub(super) fn on_frame(&mut self, id: LinkId, frame: Bytes, custody: Option<u64>) {
        let refuses = self.writer.refuses();
        let link = self.links.entry(id).or_insert_with(|| Link::new(id));
        link.stats.received_frames += 1;
        link.stats.received_bytes += frame.len() as u64;
        if let Some(number) = custody {
            link.custody_broken |= refuses;
            if !link.custody_broken {
                link.custody.0 = link.custody.0.max(number);
                let within = if self.dirty.is_empty() {
                    Duration::ZERO
                } else {
                    super::SYNC_INTERVAL
                };
                self.want_sync(within);
            }
        }
        if refuses {
            return self.count("store busy or failing");
        }
        self.on_inner(Arrival {
            link: id,
            frame,
            age_s: 0,
        });
        // That it was kept is to be told all the same.
        self.turned_away &= custody.is_none();
    }

    fn on_inner(&mut self, arrival: Arrival) {
        match frame_kind(&arrival.frame) {
            FrameKind::Envelope => self.on_envelope(&arrival),
            FrameKind::Fragment(_) => self.turned_away = !self.on_fragment(&arrival),
            FrameKind::Escape(ext) if preamble::is_extension(ext) => self.on_preamble(&arrival),
            FrameKind::Escape(ext) if ext == piece::MARK[1] => self.on_piece(&arrival),
            FrameKind::Escape(_) => self.count("unknown extended kind"),
            FrameKind::Unknown => self.count("unknown kind"),
        }
    }

    /// A piece of a frame that was too large for the last hop.
    fn on_piece(&mut self, arrival: &Arrival) {
        let Ok(piece) = Piece::decode(&arrival.frame) else {
            return self.count("malformed piece");
        };
        let joined = self
            .reassembly
            .entry(arrival.link)
            .or_default()
            .take(&piece);
        let Some(frame) = joined else { return };
        if frame_kind(&frame) == FrameKind::Escape(piece::MARK[1]) {
            return self.count("pieces of a piece");
        }
        self.on_inner(Arrival {
            frame,
            ..arrival.clone()
        });
    }

    fn on_envelope(&mut self, arrival: &Arrival) {
        match Envelope::unwrap(&arrival.frame) {
            Ok((envelope, _)) if !self.my_tags.contains(&envelope.tag) => {
                self.count("mailbox of somebody else")
            }
            Ok((_, inner))
                if matches!(frame_kind(inner), FrameKind::Envelope)
                    || inner.starts_with(&piece::MARK) =>
            {
                self.count("envelope around what cannot be in one")
            }
            Ok((envelope, inner)) => self.on_inner(Arrival {
                link: arrival.link,
                frame: arrival.frame.slice_ref(inner),
                age_s: envelope.age,
            }),
            Err(_) => self.count("malformed envelope"),
        }
    }

    fn on_preamble(&mut self, arrival: &Arrival) {
        let frame = &arrival.frame;
        if let Some(from) = self.sessions.known_preamble(frame) {
            if self.standings.is_blocked(from) {
                self.count(BLOCKED);
            }
            return;
        }
        // Without the limit, every forgery costs a key agreement.
        if !self.gate(arrival.link).preamble() && cfg!(not(feature = "break-09")) {
            return self.count("too many preambles");
        }
        let announced = match Announcement::open(&self.me, frame) {
            Ok(announced) => announced,
            Err(why) => return self.count_refused_session(why),
        };
        let from = announced.sender();
        if self.standings.is_blocked(from) {
            return self.count(BLOCKED);
        }
        // On a shared line or in the mailbox, what we send to ourselves comes back.
        if announced.endpoint() == self.me.endpoint_key() {
            return self.count("preamble of this endpoint");
        }
        let named = match self.cards.get(&from) {
            Some(card) => announced.is_of(card),
            // Who has our keys, and no card of ours here names him, is no device of ours any more.
            None => from != self.me.person(),
        };
        if !named {
            return self.count("preamble of a stranger");
        }
        if announced.generation() > 0 {
            return self.on_later_generation(&announced, frame);
        }
        if let Some(id) = announced.invitation() {
            return self.on_invited(announced, id, frame);
        }
        let stranger = self.is_stranger(from);
        if stranger && let Some(why) = self.stranger_refusal(from) {
            return self.count(why);
        }
        match announced.accept(&self.me, None) {
            Ok(session) => {
                if stranger {
                    self.make_room_for_stranger(from);
                }
                self.on_session(session, frame);
            }
            Err(SessionError::Prekey(from)) if !stranger => self.on_stale(from),
            Err(why) => self.count_refused_session(why),
        }
    }

    pub(super) fn count_refused_session(&mut self, why: SessionError) {
        self.count(match why {
            SessionError::Stranger => "preamble of a stranger",
            SessionError::LowOrder => "preamble with a low-order key",
            SessionError::EpochTooFar => "preamble of an epoch too far ahead",
            SessionError::Prekey(_) => "preamble for a prekey that is gone",
            _ => "preamble that does not open",
        });
    }

    fn gate(&mut self, link: LinkId) -> &Gate {
        let (limits, clock) = (&self.limits, &self.clock);
        let new = || Gate::new(limits, clock);
        self.gates.entry(link).or_insert_with(new)
    }

    /// Somebody has announced a session.
    pub(super) fn on_session(&mut self, session: RecvSession, frame: &[u8]) {
        if self.sessions.is_past(&session) {
            return self.tell_unknown(session.peer(), session.id(), frame);
        }
        let (announced, session, records) = self.sessions.announce(session, frame, &self.limits);
        records
            .into_iter()
            .for_each(|record| self.writer.durable(record));
        self.waiting.push(Effect::SessionKnown(session));
        self.want_sync(Duration::ZERO);
        if let Announced::New(from) = announced {
            // Who opens a session may have lost his disk, and ours with it.
            self.announce_again(from);
        }
        if announced != Announced::Known {
            self.leave_quarantine();
        }
    }

    /// Somebody seems to seal to a prekey of ours that is erased: a new card would help.
    fn on_stale(&mut self, from: PersonId) {
        self.count("preamble for a prekey that is gone");
        let told = self.told_stale.get(&from).copied();
        if told.is_none_or(|at| self.now.since(at) >= STALE_EVERY) {
            self.told_stale.insert(from, self.now);
            self.event(Event::CardOutdated { person: from });
        }
    }

    /// Frames that nothing explained are looked at again, once.
    pub(super) fn leave_quarantine(&mut self) {
        self.quarantine_bytes = 0;
        for arrival in std::mem::take(&mut self.quarantine) {
            self.on_fragment(&arrival);
        }
    }

    /// Tells whether it was looked at: a link may have only so many examined that lead nowhere.
    pub(super) fn on_fragment(&mut self, arrival: &Arrival) -> bool {
        let Ok(view) = View::parse(&arrival.frame) else {
            self.count("malformed fragment");
            return false;
        };
        let id = arrival.link;
        match self.routes.get(&view.label).copied() {
            Some(Route::Done(message)) => {
                self.link_counts(id, |stats| stats.duplicates += 1);
                self.count("fragment of a delivered message");
                self.answer_late_copy(message);
            }
            Some(Route::Incoming(message)) => {
                self.on_known(id, message, &view);
            }
            Some(Route::Spent) => {
                self.link_counts(id, |stats| stats.duplicates += 1);
                self.count("symbol for several that is not needed here");
            }
            None if self.assembling.keys(view.label).is_some() => {
                self.on_assembling(arrival, &view);
            }
            None if !self.may_ask(id) => {
                self.count("too many fragments of unknown messages");
                return false;
            }
            None => self.on_unknown(arrival, &view),
        }
        true
    }

    /// Whether a link may have another hint compared with those of all sessions.
    fn may_ask(&mut self, link: LinkId) -> bool {
        let sessions = self.sessions.receiving();
        // Otherwise a flood of garbage has every session's keys tried on every frame.
        self.gate(link).hints(sessions) || cfg!(feature = "break-07")
    }

    pub(super) fn link_counts(
        &mut self,
        id: LinkId,
        update: impl FnOnce(&mut super::status::Link),
    ) {
        if let Some(link) = self.links.get_mut(&id) {
            update(&mut link.stats);
        }
    }

    /// A fragment of a message whose manifest is here.
    fn on_known(&mut self, id: LinkId, message: MessageId, view: &View<'_>) {
        let Some(incoming) = self.inbox.get(&message) else {
            return;
        };
        let mut keys = incoming.keys.iter().chain(&incoming.content);
        let keys = keys.find(|keys| keys.label() == view.label);
        let Some((place, plain)) = keys.and_then(|keys| keys.open_in(&mut self.opened, view).ok())
        else {
            // Otherwise an answer tells that keys were tried.
            if cfg!(feature = "break-22") {
                self.tell_again(message);
            }
            return self.count("fragment that does not authenticate");
        };
        if self.standings.is_blocked(incoming.from) {
            return self.count(BLOCKED);
        }
        let content = incoming.content.as_ref();
        let shared = content.is_some_and(|keys| keys.label() == view.label);
        // Another recipient may have sealed it.
        let sender = incoming.sender();
        if !shared && !self.is_stranger(sender.person) {
            self.heard.insert(sender, (self.now, id));
        }
        self.link_counts(id, |stats| stats.received_fragments += 1);
        if shared && place.part == 0 {
            return self.count("fragment out of range");
        }
        if place.part == 0 {
            // The sender offers the manifest anew: it does not know what is here.
            self.link_counts(id, |stats| stats.duplicates += 1);
            return self.tell_again(message);
        }
        self.on_symbol(id, message, view.kind, place, plain);
    }

    /// A fragment with a label that nothing is known of.
    fn on_unknown(&mut self, arrival: &Arrival, view: &View<'_>) {
        // Otherwise a full quarantine shuts out what a session explains.
        let bytes = self.quarantine_bytes + arrival.frame.len();
        if cfg!(feature = "break-08") && bytes > self.limits.quarantine_bytes {
            return self.count("fragment of an unknown session");
        }
        for (session, epoch, keys) in self.sessions.candidates(view) {
            let Ok((place, plain)) = keys.open(view) else {
                // Otherwise a hint is enough to move the window of epochs.
                if cfg!(feature = "break-06") {
                    self.sessions.verified(session, &epoch);
                }
                continue;
            };
            self.link_counts(arrival.link, |stats| stats.received_fragments += 1);
            let Some(keys) = self.on_first(arrival, session, &epoch, keys, (view.kind, &plain))
            else {
                return;
            };
            return self.add_to_assembly(arrival, keys, place, &plain);
        }
        self.count("fragment of an unknown session");
        self.keep_in_quarantine(arrival);
    }

    /// Keeps a frame that something to come may explain. The oldest give way.
    fn keep_in_quarantine(&mut self, arrival: &Arrival) {
        self.quarantine_bytes += arrival.frame.len();
        self.quarantine.push_back(arrival.to_keep());
        // Otherwise what nobody explains is kept for ever.
        while self.quarantine_bytes > self.limits.quarantine_bytes
            && cfg!(not(feature = "break-07"))
        {
            let Some(oldest) = self.quarantine.pop_front() else {
                break;
            };
            self.quarantine_bytes -= oldest.frame.len();
        }
    }

    /// The first fragment under a label has opened. Gives the label if a manifest is to be assembled for it.
    fn on_first(
        &mut self,
        arrival: &Arrival,
        session: SessionId,
        epoch: &Epoch,
        keys: MessageKeys,
        (kind, plain): (Kind, &Bytes),
    ) -> Option<Label> {
        let peer = self.sessions.opener(session)?;
        if self.standings.is_blocked(peer.person) {
            self.count(BLOCKED);
            return None;
        }
        let (from, moved) = self.sessions.verified(session, epoch)?;
        if let Some(record) = moved {
            self.writer.durable(record);
            self.want_sync(super::SYNC_INTERVAL);
        }
        // Of strangers nothing is remembered beyond what waits.
        if !self.is_stranger(from.person) {
            self.heard.insert(from, (self.now, arrival.link));
            self.meet(from, arrival.link);
            self.drop_ticket(from.person);
            self.came_near(arrival.link, from);
        }
        if kind == Kind::Short {
            if self.is_ahead_of_card(from.person, plain) {
                self.count(CARDLESS);
                self.keep_in_quarantine(arrival);
            } else {
                self.on_manifest(from, epoch, keys, (plain, arrival.age_s));
            }
            return None;
        }
        let label = keys.label();
        let assembly = Assembly::new(self.now, from, epoch.clone(), keys);
        let (quota, most) = (self.quota(from.person), self.limits.inbox_messages);
        if !self.assembling.open(assembly, &quota, most) {
            self.count("too many manifests under way");
            return None;
        }
        self.watch(Mortal::Manifest(label));
        Some(label)
    }

    fn on_assembling(&mut self, arrival: &Arrival, view: &View<'_>) {
        let opened = self.assembling.keys(view.label).map(|keys| keys.open(view));
        let Some(Ok((place, plain))) = opened else {
            return self.count("fragment that does not authenticate");
        };
        self.link_counts(arrival.link, |stats| stats.received_fragments += 1);
        self.add_to_assembly(arrival, view.label, place, &plain);
    }

    fn add_to_assembly(&mut self, arrival: &Arrival, label: Label, place: Place, plain: &Bytes) {
        if place.part != 0 {
            let quota = self.assembling.from(label).map(|from| self.quota(from));
            let most = self.limits.early_bytes;
            let kept = quota.is_some_and(|q| self.assembling.keep(label, arrival, &q, most));
            if !kept {
                self.count("fragment too long before its manifest");
            }
            return;
        }
        let added = ManifestChunk::decode(plain).is_ok_and(|chunk| {
            usize::from(chunk.manifest_len) <= self.limits.manifest_bytes
                && self.assembling.add(self.now, label, &chunk, place.symbol)
        });
        if !added {
            return self.count("malformed manifest chunk");
        }
        let Some(bytes) = self.assembling.whole(label) else {
            return;
        };
        let Some(assembly) = self.assembling.close(label) else {
            return;
        };
        self.on_manifest(
            assembly.from,
            &assembly.epoch,
            assembly.keys,
            (&bytes, arrival.age_s),
        );
        for early in &assembly.early {
            self.on_fragment(early);
        }
    }
}
