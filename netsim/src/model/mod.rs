//! What links, channels and couriers do to packets and bytes, without a clock and without IO.
//!
//! * [`Link`]: one direction between two ends. A link there and one back is a pair; without one back it is one-way.
//! * [`Channel`]: air that stations share, one transmitter at a time.
//! * [`Courier`]: storage that goes from place to place.
//! * [`SerialLine`]: bytes, one after another.
//!
//! The first three are driven alike: offer packets, then poll when `next_at` says, or later. What they hold is of a type that
//! the caller chooses, and is given back at the far end.
//!
//! Time is an argument, in [`Nanos`] since an origin that the caller chooses; it must not run backwards (an earlier time
//! than the last one given is taken as that last one). Randomness comes from ChaCha8 seeded with a number, with a stream
//! of its own for each purpose, so that, for instance, turning corruption on does not change which packets are lost.
//!
//! ```
//! use std::time::Duration;
//! use ostrakon_netsim::model::{Link, LinkSpec, Offered};
//!
//! // 1 Mbit/s, 20 ms: 1222 bytes and 28 of headers take 10 ms on the line, so 30 ms in all.
//! let spec = LinkSpec::new().rate_bps(1_000_000).delay(Duration::from_millis(20));
//! let mut link = Link::new(&spec, 7)?;
//! assert_eq!(link.offer(0, 1222, "a packet"), Offered::Queued);
//! assert_eq!(link.next_at(), Some(30_000_000));
//! assert_eq!(link.poll(30_000_000).map(|arrival| arrival.packet), Some("a packet"));
//! # Ok::<(), ostrakon_netsim::model::SpecError>(())
//! ```

mod burst;
mod chance;
mod channel;
mod codel;
mod contact;
mod courier;
mod duty;
mod error;
mod flight;
mod line;
mod link;
mod lora;
mod pacer;
mod queue;
mod serial;
mod spec;
mod stats;
mod trace;
mod way;

pub use burst::{Burst, BurstClock};
pub use channel::{Access, Airtime, Channel, ChannelSpec, MAX_STATIONS, Reception, StationStats};
pub use contact::{Contact, ContactPlan};
pub use courier::{Courier, CourierSpec, CourierStats, SetDown, Stop};
pub use duty::{Duty, DutyRule};
pub use error::SpecError;
pub use link::{Arrival, Link, Offered};
pub use lora::LoRa;
pub use serial::{SerialLine, SerialSpec, SerialStats};
pub use spec::{LinkSpec, Qdisc};
pub use stats::LinkStats;
pub use trace::{Trace, TraceError};

/// Nanoseconds since an origin that the caller chooses.
pub type Nanos = u64;
