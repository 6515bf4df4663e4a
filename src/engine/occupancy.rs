//! How full the engine is, for a simulation that looks whether its bounds hold.

use super::Engine;

/// Everything that [`Limits`](super::limits::Limits) bounds and that grows with what others send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Messages waiting to be sent.
    pub outbox_messages: usize,
    /// Messages arriving.
    pub inbox_messages: usize,
    /// Manifests of which some chunks are here.
    pub manifests: usize,
    /// Bytes of verified fragments that came before their manifest.
    pub early_bytes: usize,
    /// Bytes of frames that no session explains yet.
    pub quarantine_bytes: usize,
    /// Source blocks in memory, and their bytes with those of their repair symbols.
    pub blocks: usize,
    /// See `blocks`.
    pub block_bytes: usize,
    /// The most fragments remembered as under way on a link.
    pub outstanding: usize,
    /// Sessions that others have opened.
    pub sessions: usize,
    /// Delivered messages that are remembered.
    pub ledger: usize,
}

impl Engine {
    /// How full it is.
    pub fn occupancy(&self) -> Occupancy {
        let block_bytes = self.loaded.iter().map(|key| self.block_bytes(key));
        let outstanding = self.links.values().map(|link| link.sent.len());
        Occupancy {
            outbox_messages: self.outbox.len(),
            inbox_messages: self.inbox.len(),
            manifests: self.assembling.len(),
            early_bytes: self.assembling.early_bytes(),
            quarantine_bytes: self.quarantine_bytes,
            blocks: self.loaded.len(),
            block_bytes: block_bytes.sum(),
            outstanding: outstanding.max().unwrap_or(0),
            sessions: self.sessions.receiving(),
            ledger: self.ledger.len(),
        }
    }
}
