//! The link models in real time, for any program: network namespaces joined by TUN devices (Linux, root).
//!
//! A network is a few hosts, each a network namespace, and links and radio channels between them. Programs started in a
//! namespace see a device of an ordinary kind; what they send goes through the same [`Link`](crate::model::Link) or
//! [`Channel`](crate::model::Channel) as in virtual time. The program `netsim` is the way to use it, and `docs/netsim.md`
//! tells how.
//!
//! One background process, the carrier, makes everything a network needs, carries its packets, takes orders over a socket,
//! and removes everything again. Namespaces are known by their inode, so none that the carrier did not make is removed, and
//! whatever a killed carrier left is removed by whoever next looks ([`find`]).
//!
//! # What is added to the model
//!
//! A packet is offered to the model when the carrier's thread has read it from the sender's device, and handed to the
//! receiver's kernel when that thread wakes at or after the time that the model says: never early, and late by some tens of
//! microseconds on an idle machine. [`LatenessReport`] says how late in fact. Rates hold all the same, since the model's
//! times do not depend on when the thread wakes.
//!
//! A thread that is held up reads later what programs sent meanwhile, as one burst. Up to 10,000 packets wait in the kernel;
//! what is above that is dropped there, and counted as missed.
//!
//! # What happens outside the model
//!
//! Lengths and rates count IP packets, on radio with the link layer's headers ([`Shape`]). The kernel cuts TCP's large segments
//! before they reach the device. Damage is done to the IP packet, so the receiving kernel's checksums usually turn it into
//! loss. A receiving program's full socket buffer shows nowhere here. The kernel's own neighbour discovery and multicast
//! are off, so a link without traffic is silent.

mod air;
mod carry;
mod control;
mod device;
mod direction;
mod hurry;
mod ip;
mod line;
mod names;
mod network;
mod plan;
mod report;
mod shape;
mod space;
mod state;
mod topology;
mod turn;

pub use carry::{READY, carry};
pub use control::{Answer, Order, OrderError, end, order};
pub use hurry::hurry;
pub use ip::IpError;
pub use names::{HostName, NameError, NetworkName};
pub use network::NetworkError;
pub use plan::{Plan, PlanError, PlannedLink};
pub use report::{DirectionReport, LatenessReport, LinkReport, NetworkReport, StationReport};
pub use shape::{Shape, ShapeError};
pub use space::SpaceError;
pub use state::{Found, HostRecord, Record, StateError, find, find_up, log_path, names};
pub use topology::TopologyError;
