//! Scenarios: nodes, links, traffic, faults and expectations as a TOML file says them, read into plain checked values.
//!
//! Nothing here knows what protocol runs on the nodes. [`Scenario::parse`] reads and checks a text, [`Scenario::set`]
//! applies overrides, [`Scenario::check_reach`] says whether every recipient can be reached in time, and
//! [`Scenario::build`] makes a [`World`](crate::world::World) of it with hosts of the caller's. The schema with all its
//! fields is in `docs/scenarios.md`.
//!
//! ```
//! use ostrakon_netsim::scenario::Scenario;
//!
//! let text = r#"
//!     [scenario]
//!     name = "greeting"
//!     duration = "1min"
//!
//!     [[node]]
//!     name = "a"
//!     [[node]]
//!     name = "b"
//!
//!     [[link]]
//!     between = ["a", "b"]
//!     profile = "geo"
//!
//!     [[message]]
//!     from = "a"
//!     to = "b"
//!     parts = [{ text = 160 }, { file = "300kB", priority = "bulk" }]
//! "#;
//! let mut scenario = Scenario::parse("greeting.toml", text)?;
//! scenario.set("rate", "13mbit")?;
//! scenario.check_reach()?;
//! assert_eq!(scenario.messages[0].parts[1].bytes, 300_000);
//! # Ok::<(), ostrakon_netsim::scenario::ScenarioError>(())
//! ```

mod build;
mod contacts;
mod couriers;
mod error;
mod expect;
mod faults;
mod flows;
mod like;
mod links;
mod media;
mod names;
mod nodes;
mod places;
mod reach;
mod read;
mod set;
mod table;
mod traffic;
mod units;

pub use contacts::{Contact, Occurrence};
pub use error::{Problem, ScenarioError};
pub use expect::Expect;
pub use faults::Faults;
pub use flows::{Control, Flow, FlowControl, Judged};
pub use links::{Carrier, Halt, Link, Shape};
pub use nodes::{MAX_NODES, Node, NodeKind};
pub use read::{Files, Mode, Scenario, Start};
pub use traffic::{Message, Part, Priority, Route};

use crate::model::Nanos;

/// The longest that a scenario may last: ten years of 365 days.
pub const MAX_DURATION: Nanos = 3650 * 86_400 * 1_000_000_000;
/// The most links that a scenario may have.
pub const MAX_LINKS: u64 = 50_000;
/// The most messages, each recipient and repetition counted.
pub const MAX_MESSAGES: u64 = 100_000;
/// The most parts of all messages together, each recipient and repetition counted.
pub const MAX_ALL_PARTS: u64 = 1_000_000;
/// The most routes, each node and recipient counted.
pub const MAX_ROUTES: u64 = 1_000_000;
/// The most contacts, each link and repetition counted.
pub const MAX_CONTACTS: u64 = 200_000;
/// The most stops of couriers, each round counted.
pub const MAX_STOPS: u64 = 200_000;
/// The most flows of others.
pub const MAX_FLOWS: u64 = 64;
/// The most faults, each node, link and repetition counted.
pub const MAX_FAULTS: u64 = 10_000;
/// The most bytes of a scenario's text.
pub const MAX_TEXT: u64 = 4 << 20;
/// The most bytes of all recorded rates that a scenario names, each file counted once: 64 MiB.
pub const MAX_TRACES: u64 = 64 << 20;
