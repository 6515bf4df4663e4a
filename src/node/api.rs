//! What the command line asks of a node: the same questions whether a node is running, then over its control
//! socket, or not, then on the home itself. JSON, one object a line, in both directions. A path that is no UTF-8 is
//! an array of its bytes.

use super::grants::{GrantEntry, GrantOrder};
use super::paths;
pub use crate::engine::trust::Level;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A question or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Queue a message. Answered with [`Response::Queued`] once it is durable.
    Send(SendRequest),
    /// Give up a message of ours.
    Cancel {
        /// Its id or the beginning of it.
        message: String,
    },
    /// List the inbox. Answered with [`Response::Inbox`].
    Inbox,
    /// The text of a message. Answered with [`Response::Text`].
    Read {
        /// Its id or the beginning of it.
        message: String,
    },
    /// Write the parts of a message into a folder, under safe names. Answered with [`Response::Saved`].
    Save {
        /// Its id or the beginning of it.
        message: String,
        /// An existing or new folder, absolute.
        #[serde(with = "paths::one")]
        dir: PathBuf,
    },
    /// Take messages with their files out of the inbox, all or, if one is not there, none. Answered with
    /// [`Response::Deleted`].
    Delete {
        /// Their ids or the beginnings of them.
        messages: Vec<String>,
    },
    /// What is under way. Answered with [`Response::Status`].
    Status,
    /// Import a contact card, or an invitation, as text. Answered with [`Response::Person`].
    PersonAdd {
        /// The text form.
        card: String,
    },
    /// Say how large messages may be that others send us, in bytes, or that any may come, or, without a word on that, ask.
    /// Answered with [`Response::Largest`].
    Largest {
        /// The bound.
        bytes: Option<u64>,
        /// There is none any more.
        #[serde(default)]
        any: bool,
    },
    /// Let strangers in or not, or, without a word on that, ask. Answered with [`Response::Strangers`].
    Strangers {
        /// Let them in.
        open: Option<bool>,
    },
    /// Make an invitation. Answered with [`Response::Invitation`].
    Invite {
        /// For how many days of uptime it is good.
        days: u16,
    },
    /// All invitations. Answered with [`Response::Invitations`].
    InviteList,
    /// Take an open invitation back. Answered with [`Response::Done`].
    InviteRevoke {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Everybody known. Answered with [`Response::Persons`].
    PersonList,
    /// One person. Answered with [`Response::Person`].
    PersonShow {
        /// Name, person URI or the beginning of its key.
        person: String,
    },
    /// The safety number with somebody was compared. Answered with [`Response::Person`].
    PersonVerify {
        /// Name, person URI or the beginning of its key.
        person: String,
        /// The number as the other side sees it; only its digits count.
        number: String,
    },
    /// Begin to compare a short number by voice, or go on with it. Answered with [`Response::Voice`].
    PersonVoice {
        /// Name, person URI or the beginning of its key.
        person: String,
        /// Begin anew, even if one is under way.
        again: bool,
    },
    /// The other side has read a number aloud, which ends the comparison. Answered with [`Response::Person`].
    PersonVoiceCompare {
        /// Name, person URI or the beginning of its key.
        person: String,
        /// The number; only its digits count.
        number: String,
    },
    /// Take back what was said of somebody: verified or introduced he is no more. Answered with [`Response::Person`].
    PersonRevoke {
        /// Name, person URI or the beginning of its key.
        person: String,
    },
    /// Take nothing more from somebody and send nothing, or let somebody in again. Answered with [`Response::Person`].
    PersonBlock {
        /// Name, person URI or the beginning of its key.
        person: String,
        /// Block, rather than let in.
        blocked: bool,
    },
    /// Vouch for two contacts to each other. Answered with [`Response::Introduced`].
    PersonIntroduce {
        /// Name, person URI or the beginning of its key.
        first: String,
        /// The same of the other.
        second: String,
        /// For how many days of uptime.
        days: u16,
        /// A word to both, or nothing.
        note: String,
    },
    /// Make a contact of somebody who was introduced, or has written as a stranger. Answered with [`Response::Person`].
    PersonAccept {
        /// Name, person URI or the beginning of its key.
        person: String,
        /// What a stranger is to be called here, rather than as its card says.
        #[serde(default)]
        alias: Option<String>,
    },
    /// Drop an introduction or a stranger. Answered with [`Response::Done`].
    PersonDecline {
        /// Name, person URI or the beginning of its key.
        person: String,
    },
    /// Add people to a group, which begins with the first. Answered with [`Response::Group`].
    GroupAdd {
        /// Its name.
        group: String,
        /// Names, person URIs or the beginnings of their keys.
        persons: Vec<String>,
    },
    /// Take people out of a group. Answered with [`Response::Group`].
    GroupRemove {
        /// Its name.
        group: String,
        /// As in `GroupAdd`.
        persons: Vec<String>,
    },
    /// All groups. Answered with [`Response::Groups`].
    GroupList,
    /// Forget a group. Answered with [`Response::Done`].
    GroupDelete {
        /// Its name.
        group: String,
    },
    /// Make the device that shows a code another one of ours. Answered with [`Response::Enrolled`].
    DeviceAdd {
        /// The text form of the code.
        code: String,
    },
    /// Our devices. Answered with [`Response::Devices`].
    DeviceList,
    /// Name a device of ours no more. Answered with [`Response::Devices`].
    DeviceRemove {
        /// Its URI or the beginning of its key.
        device: String,
    },
    /// One's own card. Answered with [`Response::Card`].
    Card,
    /// Configure a link. Answered with [`Response::Done`]; a running node starts it at once.
    LinkAdd(LinkConfig),
    /// All configured links. Answered with [`Response::Links`].
    LinkList,
    /// Forget a link. Answered with [`Response::LinkRemoved`].
    LinkRemove {
        /// Its name.
        name: String,
    },
    /// Have a link to a relay show a grant, or none any more. Answered with [`Response::Done`]; a running node shows it at
    /// once.
    LinkGrant {
        /// The name of the link.
        name: String,
        /// The grant; without one all are forgotten.
        grant: Option<String>,
    },
    /// Make a narrower grant of one that is ours, for somebody else. Answered with [`Response::Grant`].
    GrantNarrow {
        /// The grant.
        grant: String,
        /// What the other one is to allow.
        #[serde(flatten)]
        order: GrantOrder,
    },
    /// Write all that waits for others into a folder of batches. Answered with [`Response::Exported`].
    SpoolExport {
        /// The folder, absolute.
        #[serde(with = "paths::one")]
        dir: PathBuf,
    },
    /// Take in the batches of a folder. Answered with [`Response::Imported`].
    SpoolImport {
        /// The folder, absolute.
        #[serde(with = "paths::one")]
        dir: PathBuf,
    },
}

/// A message to queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendRequest {
    /// Name, person URI or the beginning of its key; `@NAME` is a group. Several with commas between them.
    pub person: String,
    /// A text; becomes part 1, urgent unless `priority` says otherwise.
    pub text: Option<String>,
    /// Files, absolute paths; each becomes a part.
    #[serde(with = "paths::many")]
    pub files: Vec<PathBuf>,
    /// `urgent`, `high`, `normal` or `bulk`, for all parts.
    pub priority: Option<String>,
    /// Seconds.
    pub lifetime_s: Option<u64>,
    /// Names of the links that may carry it; all if empty.
    pub via: Vec<String>,
    /// Links above this cost do not carry it.
    pub max_cost: Option<u32>,
}

/// A configured link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkConfig {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// `quic://host:port`, `relay://host:port?key=…`, `serial:/dev/…?baud=…`, `spool:/path`.
    pub uri: String,
    /// Whom a direct link reaches; needed for `quic` if more than one person is known.
    pub person: Option<String>,
    /// Bits per second, if known.
    pub rate_bps: Option<u64>,
    /// Round-trip time in milliseconds, if known.
    pub rtt_ms: Option<u64>,
    /// Largest frame, where the medium asks for one.
    pub mtu: Option<usize>,
    /// Cost of a megabyte in the user's own unit.
    pub cost: u32,
    /// Nothing comes back by this link: `send` or `receive`.
    pub oneway: Option<OneWay>,
    /// Loss to expect in percent, for planning where nobody reports.
    pub loss_percent: Option<u8>,
    /// How much it may have under way, on kinds `quic` and `relay`; [`RateControl::Own`] if not given.
    #[serde(default)]
    pub control: Option<RateControl>,
}

/// How much a connection may have under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateControl {
    /// As much as the path carries: the path is ours alone.
    #[default]
    Own,
    /// A fair share beside others.
    Shared,
}

impl RateControl {
    /// As users name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Shared => "shared",
        }
    }
}

/// The direction of a one-way link, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OneWay {
    /// Only sends.
    Send,
    /// Only receives.
    Receive,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Response {
    /// It was done.
    Done,
    /// A link is forgotten.
    LinkRemoved {
        /// URIs of messages that wait and that no other link may carry: they are to be given up and sent again.
        waiting: Vec<String>,
    },
    /// A message is queued, durably.
    Queued {
        /// Its URI.
        message: String,
        /// The names of its recipients.
        to: Vec<String>,
    },
    /// The inbox.
    Inbox {
        /// Newest last.
        messages: Vec<InboxEntry>,
    },
    /// A text.
    Text {
        /// The message.
        message: String,
        /// Its text parts, in order.
        texts: Vec<String>,
    },
    /// Files written.
    Saved {
        /// Where.
        #[serde(with = "paths::many")]
        files: Vec<PathBuf>,
    },
    /// Messages that are no longer in the inbox.
    Deleted {
        /// Their URIs.
        messages: Vec<String>,
    },
    /// What is under way.
    Status(StatusReport),
    /// A person.
    Person(PersonEntry),
    /// Persons.
    Persons {
        /// By name.
        persons: Vec<PersonEntry>,
        /// Those who may become contacts, the oldest introduction first.
        introductions: Vec<IntroductionEntry>,
    },
    /// How large messages may be that others send us.
    Largest {
        /// In bytes; any without it.
        bytes: Option<u64>,
    },
    /// Strangers.
    Strangers {
        /// They are let in.
        open: bool,
        /// Those who wait, the oldest first.
        strangers: Vec<StrangerEntry>,
    },
    /// An invitation that was just made.
    Invitation {
        /// Its id.
        id: String,
        /// The text form. Secret.
        text: String,
        /// For how many seconds of uptime it is good.
        left_s: u64,
    },
    /// Invitations.
    Invitations {
        /// The last change last.
        invitations: Vec<InvitationEntry>,
    },
    /// How far a comparison by voice is.
    Voice {
        /// Six digits, once both sides are committed.
        number: Option<String>,
        /// The other side has begun anew, so this one leads nowhere.
        overtaken: bool,
    },
    /// Two introductions are queued, durably.
    Introduced {
        /// The URIs of the messages that hold them.
        messages: Vec<String>,
    },
    /// A group.
    Group(GroupEntry),
    /// Groups.
    Groups {
        /// By name.
        groups: Vec<GroupEntry>,
    },
    /// A device has a place among ours.
    Enrolled {
        /// Its URI.
        device: String,
        /// What it has to be given, sealed for it, in base64.
        sealed: String,
    },
    /// Our devices.
    Devices {
        /// As our card names them.
        devices: Vec<DeviceEntry>,
    },
    /// A card.
    Card {
        /// The text form.
        text: String,
        /// Whom it describes.
        person: String,
        /// The name in it.
        name: String,
        /// The address of the mailbox in it.
        mailbox: String,
    },
    /// Links.
    Links {
        /// By name.
        links: Vec<LinkConfig>,
    },
    /// A grant.
    Grant(GrantEntry),
    /// A folder was filled.
    Exported {
        /// Frames written.
        frames: u64,
        /// Batches written.
        batches: u64,
    },
    /// A folder was read.
    Imported {
        /// Frames taken in.
        frames: u64,
        /// Batches read.
        batches: u64,
        /// Records or files that were damaged.
        damaged: u64,
        /// Files that are none of ours.
        foreign: u64,
    },
    /// It could not be done.
    Error {
        /// For exit codes, see [`ErrorKind`].
        kind: ErrorKind,
        /// For people, ending with what to do next.
        text: String,
    },
}

/// Classes of errors. Each has an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The order makes no sense: exit 2.
    Usage,
    /// Nothing of that name: exit 3.
    NotFound,
    /// The home is missing, of another version, or in use: exit 4.
    Home,
    /// The disk is full or failed: exit 5.
    Store,
    /// A bound was reached: exit 6.
    Limit,
    /// Input that is damaged or forged: exit 7.
    BadInput,
    /// The node does not answer: exit 8.
    Node,
    /// The keys are locked, and the passphrase is missing or wrong: exit 9.
    Locked,
}

/// A message in the inbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InboxEntry {
    /// Its URI.
    pub message: String,
    /// The sender's name as we know it.
    pub from: String,
    /// Who else it went to; strangers by the beginning of their keys.
    pub also: Vec<String>,
    /// When the first part was delivered here, seconds since 1970.
    pub received: u64,
    /// When the sender's clock says it was made.
    pub created: Option<u64>,
    /// All parts were delivered.
    pub complete: bool,
    /// A list with it was shown before, here or on another device of ours.
    #[serde(default)]
    pub seen: bool,
    /// Its text was shown or its files were written out, here or on another device of ours.
    #[serde(default)]
    pub read: bool,
    /// How often the whole message was delivered; more than once would be a defect.
    pub deliveries: u64,
    /// Parts delivered so far.
    pub parts: Vec<InboxPart>,
}

/// A delivered part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InboxPart {
    /// Its number.
    pub part: u8,
    /// Its name, made safe for use as a file name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its length.
    pub bytes: u64,
    /// When it was delivered, milliseconds since 1970.
    pub delivered_at_ms: u64,
}

/// What is under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Whether a node is running, and its process id.
    pub node: Option<u32>,
    /// Messages to others: those under way and those done lately. One to several has an entry for each recipient.
    pub outbound: Vec<OutboundEntry>,
    /// Messages arriving.
    pub inbound: Vec<InboundEntry>,
    /// Links.
    pub links: Vec<LinkEntry>,
    /// What was dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Why the store is failing, if it is.
    pub store_failing: Option<String>,
    /// The names of persons from whom nothing is taken.
    pub blocked: Vec<String>,
    /// How many strangers wait for a word of the user.
    #[serde(default)]
    pub strangers: usize,
    /// What its owner has to know and act upon, in words.
    pub warnings: Vec<String>,
}

/// A message to somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutboundEntry {
    /// Its URI.
    pub message: String,
    /// The recipient's name.
    pub to: String,
    /// The receipt came: all parts are delivered there.
    pub complete: bool,
    /// It was given up: lifetime over, or cancelled.
    pub expired: bool,
    /// Seconds to go.
    pub eta_s: Option<u64>,
    /// Its parts.
    pub parts: Vec<PartProgress>,
    /// Notes for people, such as what a one-way link has planned and how likely that suffices.
    pub notes: Vec<String>,
}

/// A message from somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InboundEntry {
    /// Its URI.
    pub message: String,
    /// The sender's name.
    pub from: String,
    /// Its parts.
    pub parts: Vec<PartProgress>,
    /// Bytes that came although they were held or no longer needed.
    pub surplus_bytes: u64,
}

/// How far a part is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartProgress {
    /// Its number.
    pub part: u8,
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Bytes that are durably there (outbound) or here (inbound).
    pub held_bytes: u64,
    /// All of it, verified.
    pub complete: bool,
    /// Inbound only: by link name, the bytes that this link was first to bring.
    pub first_seen_bytes: BTreeMap<String, u64>,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkEntry {
    /// Its name; links that others opened to us are named `kind:person`.
    pub name: String,
    /// `quic`, `relay`, `serial` or `spool`.
    pub kind: String,
    /// Whether it is up.
    pub up: bool,
    /// Why it is down.
    pub down_reason: Option<String>,
    /// What is wrong although it is up.
    #[serde(default)]
    pub notice: Option<String>,
    /// Cost of a megabyte.
    pub cost: u32,
    /// How much it may have under way, if that is for it to decide.
    #[serde(default)]
    pub control: Option<RateControl>,
    /// Its frame size now.
    pub mtu: usize,
    /// Measured loss in percent.
    pub loss_percent: f64,
    /// Measured rate in bits per second.
    pub rate_bps: u64,
    /// Round-trip time in milliseconds, reports included.
    pub rtt_ms: Option<u64>,
    /// Frames sent.
    pub sent_frames: u64,
    /// Fragments among them.
    pub sent_fragments: u64,
    /// Bytes of frames sent.
    pub sent_bytes: u64,
    /// Frames received.
    pub received_frames: u64,
    /// Authentic fragments received.
    pub received_fragments: u64,
    /// Bytes of frames received.
    pub received_bytes: u64,
    /// Authentic fragments that were here already.
    pub duplicates: u64,
    /// Bytes of parts that this link was first to bring.
    pub first_seen_bytes: u64,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEntry {
    /// Its name, without the `@`.
    pub name: String,
    /// Who is in it.
    pub persons: Vec<PersonEntry>,
}

/// A device of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEntry {
    /// Its URI.
    pub device: String,
    /// It is the one that answers.
    pub this: bool,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonEntry {
    /// Our name for them.
    pub name: String,
    /// Their URI.
    pub person: String,
    /// The number of their card.
    pub card_sequence: u64,
    /// 60 digits to compare aloud.
    pub safety_number: String,
    /// Where they fetch their frames.
    pub relays: Vec<String>,
    /// How sure it is that this is the person.
    pub level: Level,
    /// The name of who introduced them, if somebody did.
    pub introduced_by: Option<String>,
    /// Nothing is taken from them and nothing sent.
    pub blocked: bool,
    /// The largest message that they take, in bytes, as their card says.
    #[serde(default)]
    pub largest: Option<u64>,
}

/// Somebody who has written and is no contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrangerEntry {
    /// What he calls himself.
    pub name: String,
    /// His URI.
    pub person: String,
    /// 60 digits to compare aloud.
    pub safety_number: String,
    /// He has used an invitation of ours, and calls himself like a contact.
    pub invited: bool,
    /// How many of his messages wait.
    pub messages: usize,
    /// Seconds of uptime that he still waits.
    pub left_s: u32,
}

/// An invitation of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationEntry {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub state: InvitationState,
    /// Seconds of uptime that it is still good, if it is open.
    pub left_s: Option<u64>,
    /// The name of who has used it.
    pub used_by: Option<String>,
}

/// How an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationState {
    /// It can be used.
    Open,
    /// Somebody has used it.
    Used,
    /// It was taken back.
    Revoked,
    /// Its time is over.
    RunOut,
}

/// An introduction that waits to be accepted or declined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntroductionEntry {
    /// What the person is called, as its card says.
    pub name: String,
    /// The URI of the person.
    pub person: String,
    /// Our name for who introduces.
    pub introducer: String,
    /// How sure it is that this one is who it is called.
    pub introducer_level: Level,
    /// A word of who introduces.
    pub note: String,
    /// Seconds of uptime that it is still good.
    pub left_s: u32,
    /// 60 digits to compare aloud with the person.
    pub safety_number: String,
}
