//! The inbox prekeys of a person: a ratchet, so that all endpoints of the person derive the same keys without talking,
//! and what was erased cannot be derived again.
//!
//! ```text
//! private_n = Expand(S_n, "prekey", n)        S_n+1 = Expand(S_n, "prekey next", n)
//! ```
//!
//! One prekey is current for [`PERIOD`] of uptime. A card publishes it and the next one, and senders use the next: so a
//! card that is given away today can be used for at least 90 days of uptime. The state of the oldest usable prekey is
//! kept; all older ones are erased, and with them what was sealed to them.

use super::card::Prekey;
use super::kdf::{Key, expand};
use crate::wire::read::{Malformed, Reader};
use rand_core::CryptoRng;
use std::time::Duration;
use x25519_dalek::{PublicKey, StaticSecret};

/// How long a prekey is the current one, in uptime: 30 days.
pub const PERIOD: Duration = Duration::from_secs(30 * 24 * 3600);
/// Prekeys behind the current one that still open sessions. Without the bound, nothing is ever erased.
pub const BEHIND: u32 = if cfg!(feature = "break-25") {
    u32::MAX
} else {
    2
};
/// Prekeys ahead of the current one that do: another endpoint of the person, or the time before a backup was restored,
/// may have published them.
pub const AHEAD: u32 = 64;
/// Bytes of the encoding.
pub const LEN: usize = 4 + 4 + 4 + 32;

/// The ratchet. Wiped when dropped.
#[derive(Clone, Debug)]
pub struct Prekeys {
    first: u32,
    seed: Key,
    current: u32,
    age_s: u32,
}

impl Prekeys {
    /// Begins a ratchet.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self {
            first: 0,
            seed: Key::draw(rng),
            current: 0,
            age_s: 0,
        }
    }

    /// A ratchet of new secrets, whose numbers are above all that this one can have published.
    pub fn anew(&self, rng: &mut impl CryptoRng) -> Self {
        let first = self.current.saturating_add(2 * AHEAD);
        Self {
            first,
            current: first,
            ..Self::generate(rng)
        }
    }

    /// The number of the current prekey.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// The private half of a prekey, unless it is erased or absurdly far ahead.
    pub fn secret(&self, id: u32) -> Option<StaticSecret> {
        if id < self.first || id > self.current.saturating_add(AHEAD) {
            return None;
        }
        let seed = (self.first..id).fold(self.seed.clone(), |seed, n| next(&seed, n));
        Some(private(&seed, id))
    }

    /// What a card says of them: the current one and the next.
    pub fn published(&self) -> Vec<Prekey> {
        let ids = [self.current, self.current.saturating_add(1)];
        let public = |id| {
            let key = PublicKey::from(&self.secret(id)?).to_bytes();
            Some(Prekey { id, key })
        };
        ids.into_iter().filter_map(public).collect()
    }

    /// Counts uptime. Tells whether another prekey is current now, so that a new card is due.
    pub fn age(&mut self, uptime: Duration) -> bool {
        let seconds = u32::try_from(uptime.as_secs()).unwrap_or(u32::MAX);
        self.age_s = self.age_s.saturating_add(seconds);
        let due = u64::from(self.age_s) >= PERIOD.as_secs();
        if due {
            self.advance();
        }
        due
    }

    /// Goes on to the prekey that another endpoint of the person has as the current one. Tells whether it did.
    pub fn catch_up(&mut self, current: u32) -> bool {
        let behind = (self.current..current.min(self.current.saturating_add(AHEAD))).count();
        (0..behind).for_each(|_| self.advance());
        behind > 0
    }

    /// Goes on to the next prekey, and erases the one that falls out of use.
    pub fn advance(&mut self) {
        self.current = self.current.saturating_add(1);
        self.age_s = 0;
        while self.first.saturating_add(BEHIND) < self.current {
            self.seed = next(&self.seed, self.first);
            self.first += 1;
        }
    }

    /// Appends the encoding: oldest usable prekey 4, current 4, seconds that it was current 4, seed of the oldest 32.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.current.to_be_bytes());
        out.extend_from_slice(&self.age_s.to_be_bytes());
        out.extend_from_slice(self.seed.bytes());
    }

    /// Reads what [`Prekeys::encode`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (first, current, age_s) = (r.u32()?, r.u32()?, r.u32()?);
        let seed = Key::new(r.array()?);
        if first > current || current - first > BEHIND {
            return Err(Malformed::Value("prekeys"));
        }
        Ok(Self {
            first,
            seed,
            current,
            age_s,
        })
    }
}

fn private(seed: &Key, id: u32) -> StaticSecret {
    StaticSecret::from(*expand(seed, "prekey", id).bytes())
}

fn next(seed: &Key, id: u32) -> Key {
    expand(seed, "prekey next", id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    fn prekeys() -> Prekeys {
        Prekeys::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(3))
    }

    fn stored(prekeys: &Prekeys) -> Vec<u8> {
        let mut out = Vec::new();
        prekeys.encode(&mut out);
        out
    }

    /// Two endpoints of a person agree without talking, and one that was restored from a backup agrees with the other.
    #[test]
    fn copies_of_the_ratchet_derive_the_same_keys_whenever_they_advance() {
        let (mut a, b) = (prekeys(), prekeys());
        (0..5).for_each(|_| a.advance());
        for id in 3..=5 + AHEAD {
            let both = [&a, &b].map(|p| p.secret(id).map(|s| s.to_bytes()));
            assert!(both[0].is_some());
            assert!(both[0] == both[1] || id > AHEAD, "prekey {id}");
        }
        assert_eq!(a.published()[1].id, 6);
        assert!(b.secret(AHEAD + 1).is_none());
    }

    #[test]
    fn a_card_stays_usable_for_ninety_days_of_uptime_and_then_its_prekey_is_erased() {
        let mut prekeys = prekeys();
        let day = Duration::from_secs(24 * 3600);
        // Given away on the last day of a period.
        (0..29).for_each(|_| assert!(!prekeys.age(day)));
        let used = prekeys.published()[1].id;
        for _ in 0..91 {
            assert!(prekeys.secret(used).is_some());
            prekeys.age(day);
        }
        assert!(prekeys.secret(used).is_none());
        let state = stored(&prekeys);
        let restored = Prekeys::decode(&mut Reader::new(&state)).unwrap();
        assert!(restored.secret(used).is_none());
        assert_eq!(stored(&restored), state);
    }

    /// Guards that a device that was off has the same prekeys as one that was not, once it has seen its card, and that a
    /// card leads it no further than is sane.
    #[test]
    fn an_endpoint_that_aged_less_catches_up() {
        let (mut a, mut b) = (prekeys(), prekeys());
        (0..5).for_each(|_| a.advance());
        assert!(b.catch_up(a.current()));
        assert!(!b.catch_up(3) && !b.catch_up(5));
        assert_eq!(stored(&a), stored(&b));
        b.catch_up(u32::MAX);
        assert_eq!(b.current(), 5 + AHEAD);
    }

    #[test]
    fn a_state_that_would_derive_for_ever_is_refused() {
        let mut bad = stored(&prekeys());
        bad[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        let refused = Prekeys::decode(&mut Reader::new(&bad)).unwrap_err();
        assert_eq!(refused, Malformed::Value("prekeys"));
    }
}
