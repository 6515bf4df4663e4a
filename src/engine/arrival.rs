//! A frame on its way through the engine.

use super::io::LinkId;
use bytes::Bytes;

/// A frame that came, its envelope taken off.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// By which link.
    pub link: LinkId,
    /// What came.
    pub frame: Bytes,
    /// For how many seconds its carriers say that it has been on its way.
    pub age_s: u32,
}

impl Arrival {
    /// The same, to be kept: without the buffer that its frame may be a slice of.
    pub fn to_keep(&self) -> Self {
        let frame = Bytes::copy_from_slice(&self.frame);
        Self { frame, ..*self }
    }
}
