//! Small messages: all of one is in one frame, and that frame leaves in as many copies as it takes for one to arrive.
//!
//! A frame that is lost is made good with the next round of its manifest, a round trip and more later. Where a copy costs
//! next to nothing against that, copies leave beforehand: on distinct links first, so that a link that dies costs nothing.

use super::ends::End;
use super::io::{LinkId, Reach};
use super::link::{Link, Mode};
use super::message::{INLINE, Priority};
use super::outgoing::Outgoing;
use super::{Engine, PersonId};
use std::collections::BTreeSet;
use std::time::Duration;

/// Bytes that a frame needs beside its part, envelope and name included.
const BESIDE: usize = 192;
/// Further copies leave until all are lost with at most this chance, in parts per million.
const ALL_LOST_PPM: u64 = 10_000;
/// The most copies, all links together; but one goes by each link.
const COPIES_MAX: usize = 3;
/// A copy is cheap if sending it takes at most this part of a round trip.
const CHEAP: u32 = 10;
/// Copies on one link are this part of a round trip apart: a short burst does not take both, and the later one is not late.
const APART: u32 = 256;

impl Engine {
    /// Up to how many bytes the only part of a message to these persons had better stand in its manifest. Where every link
    /// to them that is up takes a kilobyte in one frame, that saves a frame and what it would cost to lose either of two. A
    /// thin link sends only those slices again that were lost, and on a line that many hear a part leaves once for all.
    pub fn inline_bytes(&self, to: &BTreeSet<PersonId>) -> usize {
        let most = self.limits.inline_bytes;
        let leads = |reach: Reach| match reach {
            Reach::Anyone => true,
            Reach::Person(person) | Reach::Endpoint(End { person, .. }) => to.contains(&person),
        };
        let up = |link: &&Link| {
            link.profile
                .as_ref()
                .is_some_and(|p| p.can_send && leads(p.reach))
        };
        let wide = |link: &Link| link.room() >= BESIDE + most && !link.is_shared_line();
        let mut up = self.links.values().filter(up).peekable();
        match up.peek().is_some() && up.all(wide) {
            true => most,
            false => INLINE.min(most),
        }
    }

    /// In how many copies the frame of a message leaves by a link, if it has only one.
    pub(super) fn copies(&self, id: LinkId, seq: u64) -> usize {
        let Some(message) = self
            .outbox
            .get(&seq)
            .filter(|message| message.is_in_a_hurry())
        else {
            return 1;
        };
        let able = self.links.iter();
        let able = able.filter(|(id, link)| self.may_copy(**id, link, message));
        let mut able: Vec<(LinkId, u64)> = able
            .map(|(id, link)| (*id, u64::from(link.loss_ppm())))
            .collect();
        // What is beyond one each goes by another link each time.
        let first = seq % (able.len() as u64).max(1);
        able.rotate_left(first as usize);
        let Some(place) = able.iter().position(|(able, _)| *able == id) else {
            return 1;
        };
        let losses: Vec<u64> = able.iter().map(|(_, loss)| *loss).collect();
        copies_at(place, &losses)
    }

    /// Whether what leaves by a link is answered at once and known to be lost now and then, and a copy of a message costs
    /// little there.
    fn may_copy(&self, id: LinkId, link: &Link, message: &Outgoing) -> bool {
        let free = link
            .toward(message.end())
            .filter(|profile| profile.cost == 0);
        free.is_some_and(|profile| message.allows(0, id, profile))
            && self.mode(id, message.seq) == Some(Mode::Attached)
            && !link.is_enveloped()
            && !link.is_unanswered(self.now)
            && message.fits_short(link.room())
            && link.takes_little(message.frame_len())
    }
}

/// The copies of the link at a place among those that lose so much each, in parts per million.
fn copies_at(place: usize, losses: &[u64]) -> usize {
    let mut left = losses
        .iter()
        .fold(1_000_000, |left, loss| left * loss / 1_000_000);
    let mut copies = vec![1; losses.len()];
    for (turn, loss) in (0..losses.len()).zip(losses).cycle() {
        let all: usize = copies.iter().sum();
        if left <= ALL_LOST_PPM || all >= COPIES_MAX {
            break;
        }
        copies[turn] += 1;
        left = left * loss / 1_000_000;
    }
    copies.get(place).copied().unwrap_or(1)
}

impl Link {
    /// Whether a frame of so many bytes takes a small part of a round trip. Not, if either is not known.
    fn takes_little(&self, bytes: usize) -> bool {
        let profile = self.profile.as_ref();
        let told = profile.and_then(|p| p.rate_bps).map(|bits| bits / 8);
        let rate = told.max(self.rate.rate_measured()).filter(|rate| *rate > 0);
        let trip = self.rate.least_rtt().or(profile.and_then(|p| p.rtt));
        let Some((rate, trip)) = rate.zip(trip) else {
            return false;
        };
        Duration::from_micros(bytes as u64 * 1_000_000 / rate) <= trip / CHEAP
    }

    /// How long after a copy the next one leaves by the same link.
    pub(super) fn copies_apart(&self) -> Duration {
        let trip = self.rate.least_rtt();
        let told = || self.profile.as_ref().and_then(|p| p.rtt);
        trip.or_else(told).unwrap_or_default() / APART
    }
}

impl Outgoing {
    /// Whether a loss would cost it more than a copy does: it is not bulk, and nothing follows its manifest.
    fn is_in_a_hurry(&self) -> bool {
        let urgent = self.priority() < Priority::Bulk;
        urgent && self.parts.is_empty() && !self.withdrawn && !self.manifest_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards how many copies leave: one each, further ones in turn until all are lost in one of a hundred cases, three at
    /// most; none more where nothing is lost, or more links than that carry one each.
    #[test]
    fn copies_are_as_many_as_loss_asks_for() {
        let all = |losses: &[u64]| -> Vec<usize> {
            (0..losses.len())
                .map(|place| copies_at(place, losses))
                .collect()
        };
        assert_eq!(all(&[0]), [1]);
        assert_eq!(all(&[10_000]), [1]);
        assert_eq!(all(&[50_000]), [2]);
        assert_eq!(all(&[200_000]), [3]);
        assert_eq!(all(&[900_000]), [3]);
        assert_eq!(all(&[100_000, 100_000]), [1, 1]);
        assert_eq!(all(&[200_000, 200_000]), [2, 1]);
        assert_eq!(all(&[200_000, 0]), [1, 1]);
        assert_eq!(all(&[500_000; 4]), [1; 4]);
    }
}
