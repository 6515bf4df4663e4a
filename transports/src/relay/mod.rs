//! Mailboxes on a relay: frames are stored for whoever is away, over QUIC streams.
//!
//! The client hands over frames; the relay makes them durable, says of each what became of it, and keeps them until
//! the owner of the mailbox fetched and released them, the urgent first and then in the order in which they came.
//! The relay reads nothing of a frame but the mailbox tag and the class that its caller finds for it. Who owns a
//! mailbox shows by a signature over the TLS session; see [`mailbox_tag`]. Who may fill one, and how fast, the
//! relay's owner decides; see [`Guest`].
//!
//! A relay that passes frames on to another one is a client of that one: see [`RelaySpec::settlements`].

mod client;
mod connection;
mod guest;
mod mailbox;
mod record;
mod server;
mod store;
mod upstream;
mod window;

pub use client::{RELAY_MTU, RelayClient, RelaySpec};
pub use guest::{Guest, GuestOf, MAX_GRANTS};
pub use mailbox::{MailboxOwner, MailboxTag, TAGS, mailbox_tag, mailbox_tags};
pub use record::{Fate, GrantAnswer, MAX_GRANT};
pub use server::{RelayCounters, RelayLimits, RelayServer};
pub use store::{
    CLASSES, Cursor, Fetched, HeldFrame, MailboxStore, Place, Reader, Sorted, Sorter, StoreFuture,
    StoreRefusal, Subscription, Verdict, Watchers,
};
pub use upstream::Settlements;
