//! What the owner of a relay decides of each client: what it may store, and how fast.

use super::mailbox::MailboxTag;
use super::record::GrantAnswer;
use super::store::{Sorted, StoreFuture, Verdict};
use crate::keys::LinkKey;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// How many grants a client may show on one connection.
pub const MAX_GRANTS: usize = 8;

/// One client of a relay, as its owner deals with it. Calls come in the order in which the client sent.
pub trait Guest: Send {
    /// The client shows a grant, at most [`MAX_GRANT`](super::MAX_GRANT) bytes.
    fn show(&mut self, grant: &[u8]) -> GrantAnswer;

    /// Takes a frame or a piece into account before anything else is done with it. If a time is given, it was not, and
    /// is brought again after that time; meanwhile nothing is read from the client.
    fn pace(&mut self, frame: &[u8]) -> Option<Duration>;

    /// Makes a frame of it.
    fn sort(&mut self, frame: &[u8]) -> Sorted;

    /// Stores frames under their tags. The future is ready once all that were stored are durable, with one
    /// verdict a frame, in order.
    fn store(&mut self, frames: Vec<(MailboxTag, Bytes)>) -> StoreFuture<'_, Vec<Verdict>>;
}

/// Makes a guest of each client that comes, by the key that it has proved.
pub type GuestOf = Arc<dyn Fn(LinkKey) -> Box<dyn Guest> + Send + Sync>;
