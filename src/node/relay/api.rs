//! What an operator asks of a relay: the same questions whether it is running, then over its control socket, or not,
//! then on its directory itself. JSON, one object a line, in both directions.

use super::super::address::Address;
use super::super::api::{ErrorKind, RateControl};
use super::super::grants::{GrantEntry, GrantOrder};
use super::{Counters, Slowed};
use crate::engine::id::to_base32;
use crate::security::spending::{Row, Statement};
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
    /// Show a grant to the next relay, or none any more. Answered with [`Response::Done`].
    LinkGrant {
        /// The name of the link.
        name: String,
        /// The grant; without one all are forgotten.
        grant: Option<String>,
    },
    /// Make a grant. Answered with [`Response::Grant`].
    GrantIssue {
        /// What it is to allow.
        #[serde(flatten)]
        order: GrantOrder,
        /// It is over when the relay's counter was turned so often.
        turns: u64,
    },
    /// What was issued here. Answered with [`Response::Grants`].
    GrantList,
    /// Have a grant and all that was made from it count no more. Answered with [`Response::Revoked`].
    GrantRevoke {
        /// The grant, or the beginning of its id.
        grant: String,
    },
    /// Advance a counter by one, which ends grants. Answered with [`Response::Turned`].
    GrantTurn {
        /// Whose, by its key; the relay's own if it is missing.
        issuer: Option<String>,
    },
    /// Have the grants of another issuer count. Answered with [`Response::Trusted`].
    GrantTrust {
        /// Its key in base32, in the address of a relay, or in a contact card.
        issuer: String,
        /// They count no more.
        forget: bool,
    },
    /// What grants have cost here. Answered with [`Response::Spent`].
    GrantSpent,
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
    /// A grant that was made.
    Grant(GrantEntry),
    /// What was issued, and whose grants count beside.
    Grants {
        /// The relay's own counter.
        counter: u64,
        /// They.
        grants: Vec<Issued>,
        /// The others, with their counters here.
        issuers: Vec<Issuer>,
    },
    /// What counts no more.
    Revoked {
        /// The id.
        id: String,
    },
    /// A counter was turned.
    Turned {
        /// Its value now.
        counter: u64,
    },
    /// Whose grants count, or count no more.
    Trusted(Issuer),
    /// A signed statement.
    Spent(Spent),
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
    /// How much it may have under way to another relay; [`RateControl::Own`] if not given.
    #[serde(default)]
    pub control: Option<RateControl>,
    /// Grants that are shown to the next relay.
    #[serde(default)]
    pub grants: Vec<String>,
}

impl LinkConfig {
    /// How much it may have under way, if that is for it to decide.
    pub fn controlled(&self) -> Option<RateControl> {
        let address = Address::parse(&self.uri).ok()?;
        let decides = address.paces_itself();
        decides.then(|| self.control.unwrap_or_default())
    }
}

/// A grant that was issued here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// What it says.
    #[serde(flatten)]
    pub entry: GrantEntry,
    /// It was revoked.
    pub revoked: bool,
    /// The counter has gone on.
    pub over: bool,
    /// The frames that it has paid for here.
    pub spent_frames: u64,
    /// Their bytes.
    pub spent_bytes: u64,
}

/// Somebody whose grants count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// The key.
    pub key: String,
    /// How far its counter is here.
    pub counter: u64,
}

/// What grants have cost at one relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The signed statement as text, to be compared with those of other relays.
    pub statement: String,
    /// The relay's key.
    pub relay: String,
    /// The number of the statement.
    pub number: u64,
    /// What it says, a link each.
    pub links: Vec<SpentLink>,
}

/// What one link of a grant allows and has cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpentLink {
    /// The id of the first link of the grant.
    pub root: String,
    /// The id of this link.
    pub id: String,
    /// Who issued the grant.
    pub issuer: String,
    /// Who holds it.
    pub holder: String,
    /// What it allows.
    pub frames: u64,
    /// Likewise.
    pub bytes: u64,
    /// What it has cost.
    pub spent_frames: u64,
    /// Likewise.
    pub spent_bytes: u64,
}

impl SpentLink {
    /// For people.
    pub fn of(row: &Row) -> Self {
        Self {
            root: to_base32(&row.root),
            id: to_base32(&row.id),
            issuer: to_base32(&row.issuer),
            holder: to_base32(&row.holder),
            frames: row.granted.frames,
            bytes: row.granted.bytes,
            spent_frames: row.spent.frames,
            spent_bytes: row.spent.bytes,
        }
    }
}

impl Spent {
    /// A statement and its signed text.
    pub(super) fn of(statement: &Statement, text: String) -> Self {
        Self {
            statement: text,
            relay: to_base32(&statement.relay),
            number: statement.number,
            links: statement.rows.iter().map(SpentLink::of).collect(),
        }
    }
}

/// What grants do at a relay. Counts are since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantStatus {
    /// Frames need one.
    pub required: bool,
    /// The relay's own counter.
    pub counter: u64,
    /// Grants that clients showed, by what became of them.
    pub shown: BTreeMap<String, u64>,
    /// Frames that had to wait.
    pub slowed: Slowed,
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
    /// How much connections that clients open may have under way, if it runs.
    #[serde(default)]
    pub control: Option<RateControl>,
    /// What it counted.
    pub counters: Counters,
    /// Its links, by name.
    pub links: Vec<LinkStatus>,
    /// Its routes, that of all others last.
    pub routes: Vec<RouteStatus>,
    /// Frames that were dropped or refused here, by reason. Those that came more than once are among them.
    pub dropped: BTreeMap<String, u64>,
    /// Its grants, and who was held up.
    #[serde(default)]
    pub grants: GrantStatus,
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
    /// What is wrong although it does.
    #[serde(default)]
    pub notice: Option<String>,
    /// How much it may have under way, if that is for it to decide.
    #[serde(default)]
    pub control: Option<RateControl>,
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
