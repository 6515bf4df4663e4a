//! One copy for several: a symbol that leaves for one of them by a link that others hear as well counts for those too.
//!
//! Others are the endpoints of one person, and the recipients of a message to several, as far as they take symbols under the
//! same label. A relay or a folder keeps frames by mailbox, hence for all endpoints of a person and for nobody else. On a
//! shared line, where frames have no envelope, who answers there hears it; where nobody can answer, everybody it may reach
//! is taken to hear it, as for what is sent to one.

use super::Engine;
use super::detached::Lot;
use super::id::PersonId;
use super::io::LinkId;
use super::link::{Link, Mode, Sent};
use super::outgoing::Outgoing;
use super::pool::{Draw, Run, carrier};

impl Engine {
    /// Runs of a part have left by a link for one recipient.
    pub(super) fn count_for_others(&mut self, id: LinkId, seq: u64, part: u8, runs: &[(Run, u32)]) {
        let shared_line = self.links.get(&id).is_some_and(Link::is_shared_line);
        let Some(message) = self.outbox.get(&seq) else {
            return;
        };
        let (label, to) = (message.symbol_keys().label(), message.to);
        let others = self.places_of(message.id).filter(|s| *s != seq);
        let hears = |other: &u64| {
            let other = self.outbox.get(other);
            other.is_some_and(|other| {
                let near = shared_line || other.to == to;
                near && other.symbol_keys().label() == label
            })
        };
        let others: Vec<u64> = others.filter(hears).collect();
        for (run, _) in runs {
            for other in &others {
                self.overhear(id, *other, part, *run, to);
            }
        }
    }

    fn overhear(
        &mut self,
        id: LinkId,
        seq: u64,
        part: u8,
        run: Run,
        meant: PersonId,
    ) -> Option<()> {
        let mode = self.mode(id, seq)?;
        let weight = self.weight(id, self.outbox.get(&seq)?.end());
        let (message, link) = (self.outbox.get_mut(&seq)?, self.links.get_mut(&id)?);
        if !message.hears(link, mode, part, id, meant) || link.sent.len() >= self.limits.outstanding
        {
            return None;
        }
        let draw = Draw {
            slices: run.count,
            weight,
            loss_ppm: link.loss_ppm(),
            link: carrier(id),
        };
        let state = message.parts.get_mut(&part)?;
        let carried = link.is_carried_both_ways();
        let weight = match mode {
            Mode::Attached => state.pool.hear(&run, &draw).then_some(weight)?,
            // What the relay holds, the cursor passes over.
            Mode::Detached if link.is_relayed() => {
                state.pool.hear(&run, &draw).then_some(weight)?
            }
            Mode::Detached => {
                let lot = Lot {
                    slices: draw.slices,
                    loss_ppm: draw.loss_ppm,
                    carrier: None,
                    most: 1,
                };
                let next = state.next_detached(id, &lot);
                next.first().filter(|step| step.run == run)?;
                state.took_detached(id, &next, carried);
                carried.then_some(0)?
            }
            Mode::Silent => return None,
        };
        // It took room on the link once.
        link.push(Sent {
            seq,
            part,
            run,
            weight,
            weighed: weight,
            at: self.now,
            number: 0,
            bytes: 0,
        });
        Some(())
    }
}

impl Outgoing {
    /// Whether the recipient hears what leaves by a link for another one.
    fn hears(&self, link: &Link, mode: Mode, part: u8, id: LinkId, meant: PersonId) -> bool {
        let Some(profile) = link.toward(self.end()) else {
            return false;
        };
        let there = mode == Mode::Detached || self.to == meant || link.is_near(self.end());
        let wanted = self.durable && self.hold_until.is_none() && !self.waits_for_room();
        there && wanted && self.allows(part, id, profile)
    }
}
