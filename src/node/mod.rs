//! The runtime around the engine: a home on the disk, links, the control socket, the relay.
//!
//! ```text
//!   control socket, command line         links (transports)        UDP socket
//!            |  Request                      |  LinkEvent             | connections
//!        [service] --- Command ---------> [driver: the engine] <------+
//!            |                               |        ^
//!            +--> inbox, settings     Persist, Fetch, | Persisted, Fetched,
//!                     (store)         Compute, Deliver| Computed, DeliverAck
//!                                            v        |
//!                                     [store thread, worker threads]
//! ```
//!
//! One task drives the engine: one input, then all its outputs. Whatever blocks happens elsewhere and comes
//! back as an input. Every queue is bounded; when the disk or the workers fall behind, links are not read.
//!
//! [`Client`] asks a node: a running one over its control socket, or else it opens the home itself, without
//! links, so that whatever needs no link works in the same way with no node running.

mod address;
pub mod api;
mod cards;
mod client;
mod control;
mod copying;
mod courier;
mod devices;
mod driver;
mod error;
pub mod grants;
mod groups;
mod hidden;
mod history;
pub mod home;
mod inbox;
mod introductions;
mod invites;
mod joining;
mod kept;
mod keyfile;
mod keys;
mod lanes;
mod largest;
mod lines;
mod linkbook;
mod links;
mod marks;
mod paths;
mod people;
mod reading;
pub mod relay;
mod root;
mod runtime;
mod send;
mod service;
mod standings;
mod status;
mod strangers;
mod tickets;
mod upkeep;
mod voices;

pub use client::Client;
pub use error::NodeError;
pub use home::{Home, HomeError};
pub use joining::{Joining, hand_over, read_sealed, wait};
pub use lines::MAX_TEXT;
pub use root::RootFile;
pub use runtime::{DEFAULT_PORT, Listen, Node, Options};
