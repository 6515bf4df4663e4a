//! What an operator asks of a relay: the same questions whether it is running, then over its control socket, or not,
//! then on its directory itself. JSON, one object a line, in both directions.

use super::super::api::ErrorKind;
use super::Counters;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where frames for a mailbox go that are to stay until their owner fetches them.
pub const HERE: &str = "here";
/// Every mailbox that has no route of its own.
pub const ALL: &str = "*";

/// A question or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// What it holds, passes on and drops. Answered with [`Response::Status`].
    Status,
    /// Configure a link to pass frames on by. Answered with [`Response::Done`].
    LinkAdd(LinkConfig),
    /// All links. Answered with [`Response::Links`].
    LinkList,
    /// Forget a link that no route needs. Answered with [`Response::Done`].
    LinkRemove {
        /// Its name.
        name: String,
    },
    /// What was put into the folder of this link has reached the other side. Answered with [`Response::Released`].
    LinkRelease {
        /// Its name.
        name: String,
    },
    /// Have frames for a mailbox leave by a link. Answered with [`Response::Route`].
    RouteAdd {
        /// The address of the mailbox, a contact card of its owner, or [`ALL`].
        mailbox: String,
        /// The name of the link, or [`HERE`].
        via: String,
    },
    /// All routes. Answered with [`Response::Routes`].
    RouteList,
    /// Forget a route. Answered with [`Response::Done`].
    RouteRemove {
        /// As in [`Request::RouteAdd`], or the name under which the route is listed.
        mailbox: String,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// It is done, durably.
    Done,
    /// See [`Status`].
    Status(Box<Status>),
    /// All links, by name.
    Links {
        /// They.
        links: Vec<LinkConfig>,
    },
    /// The route that was made.
    Route(Route),
    /// All routes, that of all others last.
    Routes {
        /// They.
        routes: Vec<Route>,
    },
    /// Frames that were let go of.
    Released {
        /// How many.
        frames: u64,
    },
    /// It could not be done.
    Error {
        /// The class.
        kind: ErrorKind,
        /// Why, and what to do next.
        text: String,
    },
}

/// A link by which a relay passes frames on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkConfig {
    /// Its name: letters, digits, `-` and `_`, and not [`HERE`].
    pub name: String,
    /// `relay://host:port?key=…` or `spool:/path`.
    pub uri: String,
    /// Largest frame in bytes, if the way asks for one; what is larger crosses in pieces.
    pub mtu: Option<usize>,
    /// Bits per second, if known.
    pub rate_bps: Option<u64>,
}

/// A static route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The address of the mailbox, or [`ALL`].
    pub mailbox: String,
    /// What the card called its owner, if the route was made from one.
    pub owner: Option<String>,
    /// The name of the link, or [`HERE`].
    pub via: String,
}

/// What a relay holds, passes on and drops. Counts are since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// It runs. If not, nothing was counted.
    pub running: bool,
    /// Why the store failed last, such as a full disk, and what to do; nothing once it takes something again. What
    /// waits is not known if it cannot be read either.
    #[serde(default)]
    pub store_error: Option<String>,
    /// What it counted.
    pub counters: Counters,
    /// Its links, by name.
    pub links: Vec<LinkStatus>,
    /// Its routes, that of all others last.
    pub routes: Vec<RouteStatus>,
    /// Frames that were dropped or refused here, by reason. Those that came more than once are among them.
    pub dropped: BTreeMap<String, u64>,
}

/// A link as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Its name.
    pub name: String,
    /// Where it leads.
    pub uri: String,
    /// It carries frames now.
    pub up: bool,
    /// Why it does not.
    pub down_reason: Option<String>,
    /// Frames that wait for it, or that a folder holds and nobody has released.
    pub waiting_frames: u64,
    /// What those count for, in bytes.
    pub waiting_bytes: u64,
    /// Frames that the far side holds now.
    pub forwarded: u64,
    /// Frames written into the folder, those written anew included.
    pub exported: u64,
    /// Frames that a folder brought.
    pub imported: u64,
    /// Frames that were dropped before this link, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// A route and what waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// The route.
    #[serde(flatten)]
    pub route: Route,
    /// Frames that are held for it.
    pub waiting_frames: u64,
    /// What those count for, in bytes.
    pub waiting_bytes: u64,
}
