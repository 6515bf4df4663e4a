//! A manifest has to reach its recipient: it is offered in rounds, by every link that any part may use.

use super::Engine;
use super::io::{LinkId, Time};
use super::link::{Link, Ready};
use super::outgoing::{Offer, Outgoing};
use super::redundancy;
use super::seals::Seals;
use super::serve::Found;
use crate::security::session::SessionId;
use crate::wire::fragment::{Kind, Place};
use crate::wire::manifest;
use bytes::Bytes;
use std::time::Duration;

/// Rounds of a manifest on a link where nobody can answer.
const ONE_WAY_ROUNDS: u32 = 8;
/// Symbols on a link from one round of the manifest to the next, while its recipient has not answered: symbols without a
/// manifest are of little use.
const OFFER_EVERY: u32 = 64;
/// The same where nobody can answer: what is carried is heard or read in any order, and perhaps not all of it.
const OFFER_EVERY_ONE_WAY: u32 = 500;
/// The first rounds there follow each other sooner: what comes before the manifest is kept, but of a contact that nobody
/// has verified no more than a mebibyte. That is more than so many of the largest symbols.
const KEPT_SYMBOLS: u32 = 512;
/// After so many rounds that nobody has answered the recipient may have lost the session, with his disk or by an older one.
const ROUNDS_IN_DOUBT: u32 = 2;
/// An unanswered message changes its label once its epoch is so far behind.
const EPOCHS_BEHIND: u32 = 8;

impl Engine {
    /// The next chunk of a manifest, or the whole of a short message; of a message that was given up, the note that
    /// says so.
    pub(super) fn next_offer(&mut self, id: LinkId, seq: u64) -> Found {
        self.relabel(seq);
        let (Some(message), Some(link)) = (self.outbox.get(&seq), self.links.get(&id)) else {
            return Found::Later(None);
        };
        let now = self.now;
        let whole = message.withdrawn || message.fits_short(link.room());
        let round = if whole {
            1
        } else {
            round_len(message, link.loss_ppm())
        };
        let offer = match message.offer_due(id, link, round, now) {
            Ok(offer) => offer,
            Err(later) => return Found::Later(later),
        };
        let copies = self.copies(id, seq);
        let (Some(message), Some(link)) = (self.outbox.get_mut(&seq), self.links.get(&id)) else {
            return Found::Later(None);
        };
        message.offered(id, link, offer, copies, now);
        let (to, in_doubt) = (message.end(), offer.rounds >= ROUNDS_IN_DOUBT);
        if in_doubt && !message.manifest_there {
            self.announce_again(to);
        }
        self.offered_to_siblings(id, seq, (offer.chunk, round), copies);
        let Some(message) = self.outbox.get_mut(&seq) else {
            return Found::Later(None);
        };
        if message.withdrawn {
            let (to, message) = (message.end(), Bytes::copy_from_slice(&message.id.0));
            let note = self.control(to, manifest::CANCEL, message);
            return note.map_or(Found::Later(None), Found::Frames);
        }
        let frame = if whole {
            Some(message.seal_short(&mut self.seals))
        } else {
            message.seal_chunk(offer.chunk, &mut self.seals)
        };
        let Some(frame) = frame else {
            return Found::Later(None);
        };
        message.sent_fragments += 1;
        let mark = message.postmark(message.priority(), now);
        Found::Frames(Ready::one(mark, frame))
    }

    /// A message that nobody answered gets a label of the present session and epoch, before the recipient has erased
    /// the old one.
    fn relabel(&mut self, seq: u64) {
        let Some(message) = self.outbox.get_mut(&seq).filter(|m| !m.manifest_there) else {
            return;
        };
        let Some(sending) = self.sessions.existing(message.to) else {
            return;
        };
        let (session, epoch) = sending.place();
        let is_old = |(of, then): (SessionId, u32)| {
            session != of || epoch.saturating_sub(then) > EPOCHS_BEHIND
        };
        if !is_old(message.sealed_in) {
            return;
        }
        let (id, to) = (message.id, message.to);
        // One label serves all endpoints of the person, so one copy does.
        let siblings = self.siblings(seq).into_iter();
        let mut siblings = siblings.filter_map(|seq| self.outbox.get(&seq));
        let known = siblings.find(|sibling| !is_old(sibling.sealed_in));
        let known = known.map(|sibling| (sibling.keys.clone(), sibling.sealed_in));
        let (keys, sealed_in) = match known {
            Some(known) => known,
            None => {
                let Some(sending) = self.sessions.existing(to) else {
                    return;
                };
                let keys = sending.keys(id, self.now);
                self.writer.durable(sending.record(to, self.now));
                (keys, sending.place())
            }
        };
        if let Some(message) = self.outbox.get_mut(&seq) {
            (message.keys, message.sealed_in) = (keys, sealed_in);
            self.writer.durable(message.record(self.now));
            let to = message.to;
            self.want_sync(Duration::from_secs(1));
            self.plan_offer(to);
        }
    }
}

impl Outgoing {
    /// What a link offers now, or when to look again.
    fn offer_due(
        &self,
        id: LinkId,
        link: &Link,
        round: usize,
        now: Time,
    ) -> Result<Offer, Option<Time>> {
        let mut offer = self.offers.get(&id).copied().unwrap_or(Offer {
            chunk: 0,
            left: round,
            copies: 0,
            rounds: 0,
            next: now,
            symbols: 0,
        });
        if offer.symbols >= self.offer_every(link, offer.rounds) {
            (offer.left, offer.symbols, offer.next) = (round, 0, now);
        }
        if offer.next > now {
            return Err(Some(offer.next));
        }
        if offer.left == 0 {
            if let Some(later) = self.waits_for_word(link, now) {
                return Err(Some(later));
            }
            if !self.may_repeat(link, offer.rounds) {
                return Err(None);
            }
        }
        // What fits one frame is a round, also where the round was begun on a thinner link.
        offer.left = if offer.left == 0 || round == 1 {
            round
        } else {
            offer.left
        };
        Ok(offer)
    }

    /// Symbols on a link from one round to the next, after so many rounds.
    pub fn offer_every(&self, link: &Link, rounds: u32) -> u32 {
        match link.answers() {
            true if self.manifest_there => u32::MAX,
            true => OFFER_EVERY,
            false => one_way_every(rounds, link.loss_ppm()),
        }
    }

    /// The chance that the rounds of a link on which nobody can answer do not suffice, those included that are still to
    /// come.
    pub fn manifest_failure(&self, id: LinkId, link: &Link) -> f64 {
        if self.manifest_there {
            return 0.0;
        }
        let least = match &link.profile {
            Some(profile) if !profile.courier => ONE_WAY_ROUNDS,
            _ => 0,
        };
        let loss_ppm = link.loss_ppm();
        let rounds = self.offers.get(&id).map_or(0, |offer| offer.rounds);
        let round = u32::try_from(round_len(self, loss_ppm)).unwrap_or(u32::MAX);
        let sent = rounds.max(least).saturating_mul(round);
        let (source, all) = (self.source_chunks() as u32, self.chunks() as u32);
        redundancy::manifest_failure(source, all, sent, loss_ppm)
    }

    /// The offer has left by this link, as one of so many copies.
    fn offered(&mut self, id: LinkId, link: &Link, offer: Offer, copies: usize, now: Time) {
        let mut offer = offer;
        offer.chunk = (offer.chunk + 1) % self.chunks().max(1);
        offer.left -= 1;
        if offer.left == 0 && offer.rounds == 0 && offer.copies + 1 < copies {
            offer.copies += 1;
            offer.next = now.after(link.copies_apart());
        } else if offer.left == 0 {
            offer.rounds += 1;
            offer.next = now.after(pause(link, offer.rounds));
        }
        self.offers.insert(id, offer);
    }

    /// When to look again, if the recipient has the manifest and was heard of lately.
    fn waits_for_word(&self, link: &Link, now: Time) -> Option<Time> {
        let heard = self.heard.filter(|_| self.manifest_there)?;
        let until = heard.after(link.silence_limit());
        (until > now).then_some(until)
    }

    /// Whether an unanswered manifest may be offered another time. Of what the person has, an endpoint that may be away for
    /// good is told a few times.
    fn may_repeat(&self, link: &Link, rounds: u32) -> bool {
        let Some(profile) = &link.profile else {
            return false;
        };
        let there = link.is_near(self.end()) || link.leads_to(self.end());
        let goes_on = profile.can_receive && (!self.follows() || there);
        goes_on || (!profile.courier && rounds < ONE_WAY_ROUNDS)
    }

    /// A chunk that left for another endpoint of the person counts as an offer to this one too, if it is due here.
    pub fn overhear_offer(
        &mut self,
        id: LinkId,
        link: &Link,
        (chunk, round): (usize, usize),
        copies: usize,
        now: Time,
    ) {
        if let Ok(offer) = self.offer_due(id, link, round, now)
            && offer.chunk == chunk
        {
            self.offered(id, link, offer, copies, now);
            self.sent_fragments += 1;
        }
    }

    fn seal_short(&self, seals: &mut Seals) -> Bytes {
        let manifest = self.manifest.encode();
        seals.seal(&self.keys, Kind::Short, &Place::SHORT, &manifest)
    }

    fn seal_chunk(&self, index: usize, seals: &mut Seals) -> Option<Bytes> {
        let place = Place {
            symbol: u16::try_from(index).ok()?,
            ..Place::SHORT
        };
        Some(seals.seal(&self.keys, Kind::Narrow, &place, self.chunk(index)?))
    }
}

/// Chunks of one round: all source chunks, and parity for twice the loss to reckon with.
fn round_len(message: &Outgoing, loss_ppm: u32) -> usize {
    let source = message.source_chunks();
    let extra = (source as u64 * u64::from(loss_ppm) * 2).div_ceil(1_000_000) as usize;
    (source + extra).min(message.chunks())
}

/// Symbols from one round to the next where nobody can answer. All rounds before what is kept is full are lost in one of a
/// million cases at most.
fn one_way_every(rounds: u32, loss_ppm: u32) -> u32 {
    let soon = redundancy::copies(loss_ppm).max(1);
    match rounds < soon {
        true => (KEPT_SYMBOLS / soon).clamp(1, OFFER_EVERY_ONE_WAY),
        false => OFFER_EVERY_ONE_WAY,
    }
}

/// How long to wait before the next round: twice as long each time, up to a minute, ten where a relay keeps what
/// it was given, or as long as the answer to a courier takes.
fn pause(link: &Link, rounds: u32) -> Duration {
    let most = if link.is_enveloped() { 600 } else { 60 };
    let doubled = link
        .patience()
        .saturating_mul(1 << (rounds.saturating_sub(1)).min(12));
    doubled.min(Duration::from_secs(most).max(link.patience()))
}
