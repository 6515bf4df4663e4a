//! Mailboxes on a relay: frames are stored for whoever is away, over QUIC streams.
//!
//! The client hands over whole frames; the relay makes them durable, says so, and keeps them until the owner
//! of the mailbox fetched and released them. The relay reads nothing of a frame but the mailbox tag that its
//! caller finds for it. Who owns a mailbox shows by a signature over the TLS session; see [`mailbox_tag`].

mod client;
mod connection;
mod mailbox;
mod record;
mod server;
mod store;
mod upstream;

pub use client::{RELAY_MTU, RelayClient, RelaySpec};
pub use mailbox::{MailboxOwner, MailboxTag, TAGS, mailbox_tag, mailbox_tags};
pub use server::{RelayCounters, RelayLimits, RelayServer, TagOf};
pub use store::{
    HeldFrame, MailboxStore, StoreFuture, StoreRefusal, Subscription, Verdict, Watchers,
};
