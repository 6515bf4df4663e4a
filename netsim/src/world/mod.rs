//! A world of hosts and links in virtual time, repeatable to the byte from one seed.
//!
//! A [`World`] takes discrete events in order of time, and those of equal time in the order in which they were caused.
//! It owns the hosts (anything that implements [`Host`]) and the media between them, calls a host for each event, and
//! takes what the host asks for in return. Nothing in it reads a clock or draws randomness from outside, so the same
//! hosts, media, faults and seed give the same [trace](Record), whose running BLAKE3 hash ([`World::trace_hash`]) is
//! the same in debug and release builds and on every machine.
//!
//! ```
//! use bytes::Bytes;
//! use ostrakon_netsim::model::{LinkSpec, Nanos};
//! use ostrakon_netsim::world::{End, Host, Out, Pair, Port, World};
//!
//! /// Sends one greeting, answers every packet with the next number.
//! struct Counter { first: bool, last: u8 }
//!
//! impl Host for Counter {
//!     fn start(&mut self, _now: Nanos, out: &mut Out<'_>) {
//!         if self.first {
//!             out.send(Port(0), vec![0]);
//!         }
//!     }
//!     fn packet(&mut self, _now: Nanos, port: Port, packet: Bytes, out: &mut Out<'_>) {
//!         self.last = packet[0];
//!         out.send(port, vec![packet[0] + 1]);
//!     }
//! }
//!
//! let mut world = World::new(7);
//! let a = world.add_host("a", Counter { first: true, last: 0 });
//! let b = world.add_host("b", Counter { first: false, last: 0 });
//! let satellite = LinkSpec::new().rate_bps(10_000_000).delay(std::time::Duration::from_millis(300));
//! world.add_pair(a, b, &Pair::symmetric(satellite))?;
//! let end = world.run_until(10_000_000_000, |world| world.host(b).last == 4);
//! assert_eq!(end, End::Done);
//! // Five crossings of 300 ms, and 29 bytes at 10 Mbit/s each.
//! assert_eq!(world.now(), 5 * (300_000_000 + 23_200));
//! # Ok::<(), ostrakon_netsim::world::WorldError>(())
//! ```
//!
//! What hosts see of time is their own clock, see [`Host`]. What goes wrong is a [`FaultPlan`], which is data. Checking
//! that a protocol withstands it is for the test that drives the world.

mod build;
mod clock;
mod count;
mod fault;
mod host;
mod image;
mod kind;
mod medium;
mod obey;
mod packets;
mod ports;
mod queue;
mod run;
mod strike;
mod trace;

pub use build::WorldError;
pub use clock::MAX_DRIFT_PPB;
pub use count::{Counts, Note};
pub use fault::{
    Fault, FaultKind, FaultPlan, LinkId, MAX_CLOCK_JUMP, MAX_OUTAGE, Meddling, RANDOM_FAULTS,
    Rollbacks, Way, When,
};
pub use host::{Host, HostId, Out, Port, Stop};
pub use image::{Image, MAX_IMAGES};
pub use medium::{Air, Notice, Pair};
pub use run::{End, World};
pub use trace::{Record, fingerprint};
