//! The values that cross the border of the engine: everything that goes in, everything that comes out.
//!
//! Time is [`Time`], nanoseconds since an origin of the caller's choosing that never runs backwards while the
//! engine lives. It is not a calendar: what needs one gets it as [`Input::Calendar`], and works without.

use crate::engine::coding;
use crate::engine::ends::End;
use crate::engine::id::{MessageId, PersonId};
use crate::engine::limits::LimitError;
use crate::security::invitation::{self, Ticket};
use crate::security::kdf::Key;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A moment: nanoseconds since the caller's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// The moment `d` later.
    pub fn after(self, d: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Names a link for as long as the engine lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// Names one request of the engine to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Which messages a link can bring nearer to their recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The far side is an endpoint of this person and passes nothing on.
    Person(PersonId),
    /// The far side is this very endpoint and passes nothing on.
    Endpoint(End),
    /// Anybody may be reached: a relay, a spool, a shared line.
    Anyone,
}

/// What the engine knows of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkProfile {
    /// The largest frame, in bytes; at least [`crate::wire::MIN_MTU`].
    pub mtu: usize,
    /// The rate in bits per second, if configured or remembered.
    pub rate_bps: Option<u64>,
    /// The round-trip time, if configured or measured below.
    pub rtt: Option<Duration>,
    /// Frames can be sent here.
    pub can_send: bool,
    /// Frames, so also reports, can come back by this very link.
    pub can_receive: bool,
    /// Frames get a carrier envelope, since a relay or a spool lies between.
    pub enveloped: bool,
    /// Frames leave by courier (a spool): nothing can be expected back soon, so everything is put there once, and again
    /// only what turns out to be lost.
    pub courier: bool,
    /// Whom it reaches.
    pub reach: Reach,
    /// What a megabyte costs, in the user's own unit; 0 is free.
    pub cost: u32,
    /// Loss to assume in parts per million where nothing was measured; plans one-way links.
    pub loss_ppm: u32,
}

/// A file of bulk bytes that the store keeps for the engine. The engine names, the store places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// What it holds.
    pub kind: FileKind,
    /// The message.
    pub message: MessageId,
    /// The part, from 1.
    pub part: u8,
}

/// What a bulk file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// The snapshot of a part to send. The host makes it before [`Input::Send`]; the engine only reads and removes.
    Outgoing,
    /// The content of a part as it arrives, symbols in place.
    Incoming,
    /// Repair symbols of a part, in their slots, each until its block is solved. Sparse.
    Repair,
}

impl FileKind {
    /// Whether a store sets the room of such a file aside when it makes it, so that a full disk is found at the start.
    /// Repair symbols come in small number, leave holes, and give their room back as their blocks are solved.
    pub fn is_reserved(self) -> bool {
        self == Self::Incoming
    }
}

/// The tables of small durable state. Keys and values are the engine's own and opaque to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Messages to send, until nobody can ask for them any more.
    Outbox,
    /// Messages arriving: manifest, and bitmaps of what is here.
    Inbox,
    /// Sessions with other endpoints.
    Session,
    /// Ids of messages delivered, so that a late copy is known for one.
    Ledger,
}

/// One change of durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Set a key. Only in a durable batch.
    Put {
        /// Where.
        table: Table,
        /// Its key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// Remove a key. Only in a durable batch.
    Delete {
        /// Where.
        table: Table,
        /// Its key.
        key: Vec<u8>,
    },
    /// Create a file of this length, without content, or leave an existing one as it is. Only in a durable batch.
    Create {
        /// Which.
        file: FileId,
        /// Its length in bytes.
        len: u64,
    },
    /// Write bytes in place. The file was created before, in this batch or an earlier one.
    Write {
        /// Which.
        file: FileId,
        /// Where, in bytes from its start.
        offset: u64,
        /// What.
        bytes: Bytes,
    },
    /// Remove a file, or do nothing if there is none. Only in a durable batch; done after its keys are durable.
    Remove {
        /// Which.
        file: FileId,
    },
    /// Give back the room of a range that is not read any more, as far as the store can. Only in a durable batch; done after
    /// its keys are durable. The range may be written again.
    Vacate {
        /// Which.
        file: FileId,
        /// Where, in bytes from its start.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// A note of cheap progress, kept until the next durable batch, which makes it needless.
    Journal(Vec<u8>),
}

/// A batch of changes.
///
/// A *cheap* batch holds only writes and notes; it is done once the kernel has them, writes before notes, so
/// that a killed process loses nothing of it. A *durable* batch is done once this and every earlier batch would
/// survive a power cut: bulk bytes first, then keys in one atomic commit. The commit empties the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Comes back in [`Input::Persisted`].
    pub token: Token,
    /// In order.
    pub records: Vec<Record>,
    /// Whether it must survive a power cut before it counts.
    pub durable: bool,
}

/// What a store gives back after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Every key, by table and then key, in order.
    pub rows: Vec<(Table, Vec<u8>, Vec<u8>)>,
    /// Notes of cheap progress since the last durable batch that did survive, in order.
    pub journal: Vec<Vec<u8>>,
}

/// Why the store could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space left.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Any other failure to read or write.
    #[error("the disk failed: {0}")]
    Io(String),
    /// What is stored is not what was written.
    #[error("stored state is damaged: {0}")]
    Corrupt(String),
}

/// Heavy work, a pure function: see [`coding::Job`].
#[derive(Debug)]
pub enum Job {
    /// Code or decode a source block.
    Code(coding::Job),
    /// Advance a digest by one range of a part.
    Digest {
        /// State so far.
        hasher: Box<blake3::Hasher>,
        /// What comes next.
        bytes: Bytes,
    },
}

impl Job {
    /// Does the work. Never blocks, never fails: a job that cannot be done says so in its result.
    pub fn run(self) -> Done {
        match self {
            Self::Code(job) => Done::Code(job.run()),
            Self::Digest { mut hasher, bytes } => {
                hasher.update(&bytes);
                Done::Digest { hasher }
            }
        }
    }
}

/// The result of a [`Job`].
#[derive(Debug)]
pub enum Done {
    /// Of coding.
    Code(coding::Done),
    /// Of hashing.
    Digest {
        /// State now.
        hasher: Box<blake3::Hasher>,
    },
}

/// What the recipient's application gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub message: MessageId,
    /// Who sent it.
    pub from: PersonId,
    /// The part, or 0 for the message as a whole, once all its parts were delivered.
    pub part: u8,
}

/// Everything that goes in.
#[derive(Debug)]
pub enum Input {
    /// Take a message. Its snapshots are in the store already.
    Send(Box<crate::engine::message::Draft>),
    /// Give up a message of ours, or drop one that is arriving.
    Cancel(MessageId),
    /// A frame came. `custody` is the far side's number for it, if it holds it until released.
    Received {
        /// By which link.
        link: LinkId,
        /// As it came. It may be a slice of a larger buffer: what the engine keeps, it copies.
        frame: Bytes,
        /// See [`Output::Release`].
        custody: Option<u64>,
    },
    /// A link is there, or its profile changed.
    LinkUp {
        /// Which.
        link: LinkId,
        /// What it is like.
        profile: LinkProfile,
    },
    /// A link is gone; its credit is void.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// A link is over for good. Its number may be given to another one.
    LinkGone {
        /// Which.
        link: LinkId,
    },
    /// A link has room for so many further frames.
    LinkReady {
        /// Which.
        link: LinkId,
        /// How many.
        frames: usize,
    },
    /// A batch is done.
    Persisted(Token),
    /// A batch failed; nothing of it counts. The engine gives it again later.
    PersistFailed(Token, StoreError),
    /// Bytes asked for.
    Fetched(Token, Result<Bytes, StoreError>),
    /// Work asked for.
    Computed(Token, Done),
    /// The application has the delivery, durably.
    DeliverAck {
        /// The message.
        message: MessageId,
        /// The part, or 0 for the whole.
        part: u8,
    },
    /// A contact card of somebody, verified and newer than the one before. Needed at start as well: cards are
    /// the host's to keep.
    Card(Box<crate::security::card::Card>),
    /// How we stand to somebody, which may be no contact. Needed at start as well, before the cards: standings are the
    /// host's to keep.
    Standing(PersonId, crate::engine::trust::Standing),
    /// An invitation of ours is open from now on: see [`Event::Invited`].
    Invite {
        /// Random.
        id: invitation::Id,
        /// Random, and told with the invitation.
        secret: Key,
        /// For how long it is good, in seconds of uptime.
        seconds: u32,
    },
    /// An invitation of ours is open no more: see [`Event::Uninvited`].
    Uninvite(invitation::Id),
    /// An invitation of somebody else, by which the next session with that person is opened. Needed at start as well,
    /// before the cards, until [`Event::TicketDone`]: it is the host's to keep.
    Ticket(PersonId, Ticket),
    /// Whether persons who are no contacts and have no invitation may open sessions; not, until it is said.
    Strangers(bool),
    /// The largest message that our card says we take, in bytes; any, until it is said.
    Largest(Option<u64>),
    /// The calendar, as far as this machine knows it: seconds since 1970 at `now`. May be wrong or never come.
    Calendar(u64),
    /// Our inbox prekeys, which went on: what falls out of use opens no session any more.
    Prekeys(Box<crate::security::prekeys::Prekeys>),
    /// Bytes that the store has room for at present. Messages that need more wait with their senders; until it comes,
    /// room counts as unbounded.
    Room(u64),
    /// Write down everything now: the host is about to stop.
    Flush,
    /// The time of the last [`Output::Timeout`] has come.
    Timeout,
}

/// Everything that comes out.
#[derive(Debug)]
pub enum Output {
    /// Carry a frame.
    Transmit {
        /// By which link.
        link: LinkId,
        /// The frame.
        frame: Bytes,
        /// Frames of one message have one tag: see [`Output::Purge`].
        tag: u64,
    },
    /// Frames that the far side of this link holds for us up to this number are durable here.
    Release {
        /// Which link.
        link: LinkId,
        /// The highest custody number.
        upto: u64,
    },
    /// Frames with this tag are of no use any more, wherever they wait on our side.
    Purge {
        /// As in `Transmit`.
        tag: u64,
    },
    /// Write down.
    Persist(Arc<Batch>),
    /// Read a range of a file.
    Fetch {
        /// Comes back.
        token: Token,
        /// Which file.
        file: FileId,
        /// From where.
        offset: u64,
        /// How many bytes.
        len: usize,
        /// They are hardly asked for again: memory in which the system holds them may go.
        last: bool,
    },
    /// Do heavy work.
    Compute {
        /// Comes back.
        token: Token,
        /// What.
        job: Job,
    },
    /// Hand over a part or a whole message. Repeated after a restart until acknowledged. With the whole of it the files of its
    /// parts go: the application has kept what it wants.
    Deliver(Delivery),
    /// Something worth telling people.
    Event(Event),
    /// Nothing more to do until this moment; `None` waits for an input.
    Timeout(Option<Time>, Why),
}

/// What a timeout waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing is due.
    Idle,
    /// When a window of cheap progress closes.
    Journal,
    /// When a report is due.
    Report,
    /// When fragments that nobody reported on count as lost.
    Loss,
    /// When a message that is unanswered is offered again.
    Probe,
    /// When the store is tried again.
    StoreRetry,
    /// When a lifetime ends.
    Lifetime,
}

/// Something worth telling people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message was taken and is durable.
    Accepted {
        /// Its id.
        message: MessageId,
        /// The caller's number from the draft.
        request: u64,
    },
    /// A message was refused.
    Refused {
        /// The caller's number from the draft.
        request: u64,
        /// Why.
        why: SendError,
    },
    /// A recipient reported a part, or with part 0 the message, as whole and durable there.
    Confirmed {
        /// The message.
        message: MessageId,
        /// Who.
        by: PersonId,
        /// The part or 0.
        part: u8,
    },
    /// A manifest of a new message arrived.
    Arriving {
        /// The message.
        message: MessageId,
        /// Its sender.
        from: PersonId,
    },
    /// A lifetime ended, or a message was cancelled, before all arrived.
    Expired {
        /// The message.
        message: MessageId,
        /// The other side: the recipient of what is ours, the sender of what was arriving.
        person: PersonId,
    },
    /// A part of a message to several arrived whole but is not what its digest says: one of the recipients may have made
    /// symbols up. All of it is asked for anew, sealed to us alone.
    Spoiled {
        /// The message.
        message: MessageId,
        /// The part.
        part: u8,
    },
    /// A part arrived whole but is not what its digest says: its sender or a disk is at fault. The message is refused.
    DigestMismatch {
        /// The message.
        message: MessageId,
        /// The part.
        part: u8,
    },
    /// Somebody whose card is known seems to seal to a prekey of ours that is erased, and needs our newest card. Told once
    /// a day; nothing shows that it is true.
    CardOutdated {
        /// Who.
        person: PersonId,
    },
    /// Somebody has heard of a later life of this home than it knows of itself: it was restored from an older image, or
    /// somebody runs a copy of it. Told once an hour at most; nothing shows that he does not lie.
    HomeWentBack {
        /// Who.
        by: PersonId,
    },
    /// The same of somebody else's home.
    PeerWentBack {
        /// Whose.
        person: PersonId,
    },
    /// An invitation of ours is open, and that is durable.
    Invited {
        /// Which.
        id: invitation::Id,
    },
    /// An invitation of ours was not opened: too many are.
    NotInvited {
        /// Which.
        id: invitation::Id,
    },
    /// An invitation of ours is closed, and that is durable.
    Uninvited {
        /// Which.
        id: invitation::Id,
    },
    /// The invitation of somebody has done its work, or somebody knows us without: it is needed no more.
    TicketDone {
        /// Who has invited us.
        person: PersonId,
    },
    /// The store failed: nothing new is taken in until it works again.
    StoreFailed(StoreError),
    /// The store works again.
    StoreRecovered,
    /// A one-way link has sent what it had planned.
    OneWayDone {
        /// The message.
        message: MessageId,
        /// To whom.
        to: PersonId,
        /// The link.
        link: LinkId,
        /// With what probability that suffices, in parts per million, at the loss that was assumed.
        success_ppm: u32,
    },
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// A bound was reached.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Nobody to send to.
    #[error("the message has no recipient; name a person or a group")]
    NoRecipient,
    /// No contact card of the recipient.
    #[error("no contact card of this person is known")]
    UnknownPerson,
    /// The recipient is blocked.
    #[error("this person is blocked; let it in again with `ostrakon person unblock` first")]
    Blocked,
    /// No session can be opened with the recipient's card.
    #[error("the contact card of this person has unusable keys; ask for a new one")]
    UnusableCard,
    /// Two parts with one number.
    #[error("two parts have the id {0}")]
    DuplicatePart(u8),
    /// The very same message is in the outbox.
    #[error("this message is in the outbox already")]
    Duplicate,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
