//! Every bound of the engine in one value.

use std::time::Duration;

/// Bounds. Reaching one is an error with a name and a counter, never growth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest part, in bytes.
    pub part_bytes: u64,
    /// Largest message, all parts together, in bytes.
    pub message_bytes: u64,
    /// Largest manifest, in bytes.
    pub manifest_bytes: usize,
    /// Largest part that may stand inside its manifest, in bytes.
    pub inline_bytes: usize,
    /// Recipients of one message of ours.
    pub recipients: usize,
    /// Messages waiting to be sent; one to several counts for each of them.
    pub outbox_messages: usize,
    /// Messages arriving at once from all senders.
    pub inbox_messages: usize,
    /// Messages arriving at once from one person. This and the next two hold for persons who are verified; others may
    /// have less, see [`Limits::quota`].
    pub inbox_messages_per_person: usize,
    /// Bytes of all messages arriving at once from one person: room is reserved for them on the disk.
    pub inbox_bytes_per_person: u64,
    /// Manifests of one person of which some chunks are here.
    pub manifests_per_person: usize,
    /// Sessions that others have opened with us.
    pub sessions: usize,
    /// Sessions that one sending endpoint may have open with us.
    pub sessions_per_endpoint: usize,
    /// Verified fragments that came before their manifest, in bytes of frames.
    pub early_bytes: usize,
    /// Frames that no session explains yet, in bytes.
    pub quarantine_bytes: usize,
    /// Bytes of source blocks kept in memory for sending.
    pub block_cache_bytes: usize,
    /// Fragments remembered as under way, per link.
    pub outstanding: usize,
    /// Preambles examined per second and link: each costs a key agreement.
    pub preambles_per_second: u32,
    /// Hints compared per second and link, for fragments of messages that nothing is known of: each costs a keyed hash, and
    /// a fragment one for each session that others have opened.
    pub hints_per_second: u32,
    /// Delivered messages that are remembered, the oldest forgotten first.
    pub ledger: usize,
    /// How long a generation of a session lasts, if the session is used and its recipient answers.
    pub generation_every: Duration,
    /// Messages that one person may have called off before anything of them came, the oldest forgotten first.
    pub unseen_cancellations_per_person: usize,
    /// Invitations of ours that are open at once.
    pub invitations: usize,
    /// Invitations that are over and remembered, the oldest forgotten first.
    pub invitations_over: usize,
    /// Unknown persons whose card is here and who wait for a word of the user.
    pub strangers: usize,
    /// Messages of one unknown person that wait with it.
    pub stranger_messages: usize,
    /// Their manifests together, in bytes.
    pub stranger_bytes: usize,
    /// Sessions of unknown persons whose card is not here yet.
    pub stranger_sessions: usize,
    /// Sessions of unknown persons that are agreed upon in a minute, whoever they are and by whatever link: each costs
    /// three key agreements.
    pub stranger_sessions_per_minute: u32,
    /// Messages of unknown persons that are taken in a minute, whoever they are.
    pub stranger_messages_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            part_bytes: 10 << 30,
            message_bytes: 64 << 30,
            manifest_bytes: 24 << 10,
            inline_bytes: 1 << 10,
            recipients: 64,
            outbox_messages: 100_000,
            inbox_messages: 10_000,
            inbox_messages_per_person: 2_000,
            inbox_bytes_per_person: 64 << 30,
            manifests_per_person: 256,
            sessions: 4096,
            sessions_per_endpoint: 8,
            early_bytes: 4 << 20,
            quarantine_bytes: 1 << 20,
            block_cache_bytes: 16 << 20,
            outstanding: 1 << 16,
            preambles_per_second: 50,
            hints_per_second: 400_000,
            ledger: 1_000_000,
            generation_every: Duration::from_secs(24 * 3600),
            unseen_cancellations_per_person: 1_000,
            invitations: 64,
            invitations_over: 256,
            strangers: 16,
            stranger_messages: 8,
            stranger_bytes: 64 << 10,
            stranger_sessions: 16,
            stranger_sessions_per_minute: 30,
            stranger_messages_per_minute: 60,
        }
    }
}

/// A bound that was reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// A part is too large.
    #[error("part {part} has {len} bytes, at most {max} are possible; split the file")]
    Part {
        /// Which.
        part: u8,
        /// Its length.
        len: u64,
        /// The bound.
        max: u64,
    },
    /// A message is too large.
    #[error("the message has {len} bytes, at most {max} are possible; send several messages")]
    Message {
        /// Its length.
        len: u64,
        /// The bound.
        max: u64,
    },
    /// No part, or more than 255.
    #[error("a message has 1 to 255 parts, not {0}; send several messages")]
    Parts(usize),
    /// The manifest is too large.
    #[error(
        "the list of parts takes {len} bytes, at most {max} are possible; shorten names or send several messages"
    )]
    Manifest {
        /// Its length.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// A name or a media type is too long.
    #[error("the name or media type of part {0} is longer than 255 bytes; shorten it")]
    Name(u8),
    /// Too many recipients.
    #[error(
        "the message has {len} recipients, at most {max} are possible; send it to some at a time"
    )]
    Recipients {
        /// How many.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// The outbox is full.
    #[error("the outbox holds {0} messages already; wait until some are delivered or cancel some")]
    Outbox(usize),
}
