//! Which devices of a person were added and which removed, and under which number: what they tell each other, since cards
//! cannot.
//!
//! ```text
//! 0      version = 1
//! 1..5   number of the delegation under which the cards were signed
//! 5..    of each device, in the order of ids: 0 if it was removed and 1 if it was added, id 32, number 8;
//!        if added, static key 32, link key 32
//! ```
//!
//! Devices that are apart make cards without knowing of each other, and everywhere only the newest stays. Whether a device that
//! it does not name was removed, or not known to its maker, stands in no card. So the words travel beside the cards: of two
//! words on a device the one with the higher number counts, and of two with one number the removal. They may come in any order
//! and more than once. Where the root has made the keys anew, words of before count no more: who was added had the former keys.

use super::card::{Card, Endpoint};
use crate::wire::read::{Malformed, Reader};
use std::collections::BTreeMap;

/// The media type of a message that holds them.
pub const MEDIA_TYPE: &str = "application/x-ostrakon-devices";
/// The most devices of one person: the card has to stand in the manifest of a message.
pub const MAX_DEVICES: usize = 4;

const VERSION: u8 = 1;
/// Removed devices that are remembered, those with the lowest numbers forgotten first: all words have to stand in one manifest.
const REMOVED: usize = 14;

/// The last word on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    number: u64,
    /// The device, unless it was removed: its static key and its link key.
    added: Option<([u8; 32], [u8; 32])>,
}

impl Word {
    /// Of two words the later one is the greater.
    fn rank(&self) -> impl Ord {
        (self.number, self.added.is_none(), self.added)
    }
}

/// The last word on each device that was added or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The number of the delegation under which the cards are signed that it speaks of.
    delegation: u32,
    words: BTreeMap<[u8; 32], Word>,
}

impl Roster {
    /// What is known of the devices under this delegation: these words, unless they are of another one.
    pub fn under(self, delegation: u32) -> Self {
        match self.delegation == delegation {
            true => self,
            false => Self {
                delegation,
                words: BTreeMap::new(),
            },
        }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// A device is added, by who has this card of ours.
    pub fn add(&mut self, device: &Endpoint, card: &Card) {
        self.say(device.id, Some((device.key, device.link)), card);
    }

    /// A device is removed, by who has this card of ours.
    pub fn remove(&mut self, id: [u8; 32], card: &Card) {
        self.say(id, None, card);
    }

    fn say(&mut self, id: [u8; 32], added: Option<([u8; 32], [u8; 32])>, card: &Card) {
        let before = self.words.get(&id).map_or(0, |word| word.number);
        let number = before.max(card.body().sequence).saturating_add(1);
        self.words.insert(id, Word { number, added });
        self.bound();
    }

    /// Takes over what another device of ours says. Tells whether any of it is news.
    pub fn merge(&mut self, other: &Self) -> bool {
        if other.delegation != self.delegation {
            return false;
        }
        let before = self.clone();
        for (id, word) in &other.words {
            let known = self.words.entry(*id).or_insert(*word);
            if word.rank() > known.rank() {
                *known = *word;
            }
        }
        self.bound();
        *self != before
    }

    /// No more than fits stays, the same everywhere.
    fn bound(&mut self) {
        for (added, most) in [(true, MAX_DEVICES), (false, REMOVED)] {
            let words = self.words.iter();
            let alike = words.filter(|(_, word)| word.added.is_some() == added);
            let mut alike: Vec<(u64, [u8; 32])> =
                alike.map(|(id, word)| (word.number, *id)).collect();
            alike.sort_unstable();
            let surplus = alike.len().saturating_sub(most);
            for (_, id) in alike.iter().take(surplus) {
                self.words.remove(id);
            }
        }
    }

    /// The devices that the card after this one has to name: those of this one but the removed ones, and those that its maker
    /// did not know of, as far as there is room.
    pub fn devices(&self, card: &Card) -> Vec<Endpoint> {
        if card.number() != self.delegation {
            return card.body().endpoints.clone();
        }
        let named = card.body().endpoints.iter();
        let is_gone = |id| self.words.get(id).is_some_and(|word| word.added.is_none());
        let mut devices: Vec<Endpoint> = named.filter(|d| !is_gone(&d.id)).cloned().collect();
        for (id, word) in &self.words {
            let is_named = devices.iter().any(|device| device.id == *id);
            if let Some((key, link)) = word.added
                && !is_named
                && devices.len() < MAX_DEVICES
            {
                let id = *id;
                devices.push(Endpoint { id, key, link });
            }
        }
        devices
    }

    /// The bytes that tell other devices.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.delegation.to_be_bytes());
        for (id, word) in &self.words {
            out.push(u8::from(word.added.is_some()));
            out.extend_from_slice(id);
            out.extend_from_slice(&word.number.to_be_bytes());
            for key in word.added.iter().flat_map(|(key, link)| [key, link]) {
                out.extend_from_slice(key);
            }
        }
        out
    }

    /// Reads what [`Roster::encode`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else, or more than anybody keeps.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.version(VERSION)?;
        let delegation = r.u32()?;
        let mut words: BTreeMap<[u8; 32], Word> = BTreeMap::new();
        while !r.is_empty() {
            let kind = r.u8()?;
            let (id, number) = (r.array()?, r.u64()?);
            let added = match kind {
                0 => None,
                1 => Some((r.array()?, r.array()?)),
                _ => return Err(Malformed::Value("kind of a word on a device")),
            };
            if words.len() >= MAX_DEVICES + REMOVED {
                return Err(Malformed::Value("number of devices"));
            }
            if words.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(Malformed::Value("order of devices"));
            }
            words.insert(id, Word { number, added });
        }
        let mut roster = Self { delegation, words };
        roster.bound();
        Ok(roster)
    }
}

#[cfg(test)]
mod tests;
