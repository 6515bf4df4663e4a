//! One copy for several: a symbol of a message to several that leaves for one of them by a link that others hear as well
//! counts for those too.
//!
//! It does so on shared lines only, where frames have no envelope: a relay or a folder keeps frames by mailbox. Whoever
//! answers on the line hears it; where nobody can answer, everybody it may reach is taken to hear it, as for what is sent
//! to one.

use super::Engine;
use super::io::LinkId;
use super::link::{Link, Mode, Sent};
use super::outgoing::Outgoing;
use super::pool::{Draw, Run, carrier};

impl Engine {
    /// A run of a part has left by a link for one recipient.
    pub(super) fn count_for_others(&mut self, id: LinkId, seq: u64, part: u8, run: Run) {
        if !self.links.get(&id).is_some_and(Link::is_shared_line) {
            return;
        }
        let Some(message) = self.outbox.get(&seq).filter(|m| m.is_shared()) else {
            return;
        };
        let message = message.id;
        let others: Vec<u64> = self.places_of(message).filter(|s| *s != seq).collect();
        for other in others {
            self.overhear(id, other, part, run);
        }
    }

    fn overhear(&mut self, id: LinkId, seq: u64, part: u8, run: Run) -> Option<()> {
        let mode = self.mode(id, seq)?;
        let weight = self.weight(id, self.outbox.get(&seq)?.to);
        let (message, link) = (self.outbox.get_mut(&seq)?, self.links.get_mut(&id)?);
        if !message.hears(link, mode, part, id) || link.sent.len() >= self.limits.outstanding {
            return None;
        }
        let draw = Draw {
            slices: run.count,
            weight,
            loss_ppm: link.loss_ppm(),
            link: carrier(id),
        };
        let state = message.parts.get_mut(&part)?;
        let weight = match mode {
            Mode::Attached => state.pool.hear(&run, &draw).then_some(weight)?,
            Mode::Detached => {
                let next = state.next_detached(id, draw.slices, draw.loss_ppm, None);
                if next != Some(run) {
                    return None;
                }
                state.took_detached(id, &run, false);
                return Some(());
            }
            Mode::Silent => return None,
        };
        // It took room on the link once.
        link.push(Sent {
            seq,
            part,
            run,
            weight,
            at: self.now,
            number: 0,
            bytes: 0,
        });
        Some(())
    }
}

impl Outgoing {
    /// Whether the recipient hears what leaves by a link for another one.
    fn hears(&self, link: &Link, mode: Mode, part: u8, id: LinkId) -> bool {
        let Some(profile) = link.toward(self.to) else {
            return false;
        };
        let there = mode == Mode::Detached || link.near.contains(&self.to);
        let wanted = self.durable && self.is_shared() && self.hold_until.is_none();
        there && wanted && self.allows(part, id, profile)
    }
}
