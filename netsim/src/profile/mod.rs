//! Shipped link profiles: what links of a kind are like, with the source of each number, and overrides by key and value.
//!
//! ```
//! use ostrakon_netsim::profile::{Medium, Profile};
//!
//! let mut profile = Profile::named("geo")?;
//! profile.set("rate", "13mbit")?;
//! profile.set("loss", "17%")?;
//! let Medium::Pair { forward, .. } = profile.medium()? else {
//!     panic!("a satellite link is a pair");
//! };
//! assert_eq!(forward.rate_bps, Some(13_000_000));
//! println!("{}", profile.source());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Conventions
//!
//! * Profiles are starting points: every number may be overridden, and numbers that were chosen rather than measured say so.
//! * *Forward* is from the network towards the terminal, phone or spacecraft, as satellite operators call it; *back* is the
//!   other way.
//! * A packet handed to an IP link is the payload of a UDP datagram: its overhead is 28 bytes, and its MTU of 1500 bytes
//!   includes them. Whoever hands over IP packets sets `overhead` to 0. On radio, the overhead is that of the link layer.
//! * Queues are measured in bandwidth-delay products: the rate of a direction times the round trip, and at least 30,000
//!   bytes and one MTU.
//! * Independent loss holds in both directions. Bursts hold forward, and back where the profile has them both ways.

mod change;
mod error;
mod keys;
mod shipped;
pub mod value;

pub use error::ProfileError;
pub use keys::Key;

use std::time::Duration;

use crate::model::{ChannelSpec, CourierSpec, LinkSpec, SpecError};

/// The smallest queue in bytes.
const MIN_QUEUE: u64 = 30_000;

/// A kind of link, with what was changed about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    name: &'static str,
    title: &'static str,
    source: &'static str,
    tells: bool,
    /// Without queues of a pair, which follow from the rest.
    medium: Medium,
    queue: QueueSize,
}

/// What a link is made of.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Medium {
    /// A link from one end to the other, and one back unless the pair is one-way.
    Pair {
        /// From the first end to the second.
        forward: Box<LinkSpec>,
        /// From the second end to the first.
        back: Option<Box<LinkSpec>>,
    },
    /// A channel that stations share.
    Channel(Box<ChannelSpec>),
    /// Storage that travels. The timetable is one between two places and may be replaced.
    Courier(CourierSpec),
}

/// The queues of a pair.
#[derive(Debug, Clone, Copy, PartialEq)]
enum QueueSize {
    Bytes(u64),
    /// In bandwidth-delay products.
    Products(f64),
}

impl Profile {
    /// The profile of this name.
    ///
    /// # Errors
    ///
    /// A name that there is not, with the one most like it and all there are.
    pub fn named(name: &str) -> Result<Self, ProfileError> {
        let mut all = Self::all();
        match all.iter().position(|profile| profile.name == name) {
            Some(index) => Ok(all.swap_remove(index)),
            None => Err(ProfileError::Unknown {
                nearest: error::nearest(name, &Self::names()),
                names: Self::names(),
                name: name.to_owned(),
            }),
        }
    }

    /// All shipped profiles, from near to far and fast to slow.
    #[must_use]
    pub fn all() -> Vec<Self> {
        shipped::all()
    }

    /// The names of all shipped profiles.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        Self::all().iter().map(|profile| profile.name).collect()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// Where each of its numbers comes from.
    #[must_use]
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// Whether a host is told when the line is free, as by a modem; then it need not fill a queue to keep the line busy.
    #[must_use]
    pub fn tells(&self) -> bool {
        self.tells
    }

    /// Changes a value. What the keys are, and what they take, say [`keys`](Self::keys).
    ///
    /// # Errors
    ///
    /// A key that this profile does not have, or a value that the key does not take.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ProfileError> {
        keys::set(self, key, value)
    }

    /// Changes a value, given as `key=value`.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set), and a text without `=`.
    pub fn change(&mut self, change: &str) -> Result<(), ProfileError> {
        let (key, value) = change
            .split_once('=')
            .ok_or_else(|| ProfileError::NoChange(change.to_owned()))?;
        self.set(key.trim(), value.trim())
    }

    /// The keys that this profile takes.
    #[must_use]
    pub fn keys(&self) -> Vec<&'static Key> {
        keys::of(&self.medium)
    }

    /// What the link is made of, with the changes, checked.
    ///
    /// # Errors
    ///
    /// Values that do not go together, such as an MTU below the overhead.
    pub fn medium(&self) -> Result<Medium, SpecError> {
        let mut medium = self.medium.clone();
        match &mut medium {
            Medium::Pair { forward, back } => {
                let delay_back = back.as_ref().map_or(forward.delay, |back| back.delay);
                let round_trip = forward.delay.saturating_add(delay_back);
                for spec in std::iter::once(forward).chain(back) {
                    self.queue.apply(spec, round_trip);
                    spec.validate()?;
                }
            }
            Medium::Channel(channel) => channel.validate()?,
            Medium::Courier(courier) => courier.validate()?,
        }
        Ok(medium)
    }
}

impl QueueSize {
    fn apply(self, spec: &mut LinkSpec, round_trip: Duration) {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Products(_) if spec.rate_bps.is_none() && spec.trace.is_none() => return,
            Self::Products(count) => {
                let product = spec.carried_in(round_trip) as f64 * count;
                (product as u64).max(MIN_QUEUE).max(spec.mtu as u64)
            }
        };
        spec.queue_bytes = Some(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
}
