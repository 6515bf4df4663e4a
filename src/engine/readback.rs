//! How much of what has arrived is read back into memory at once, to be solved or digested.

use super::Engine;
use super::geometry::Geometry;
use super::incoming::InPart;

/// Bytes that are read back at once, of all messages together. A block that is larger is read alone.
const READ_BACK_MAX: u64 = 6 << 20;

/// How much is being read back.
#[derive(Debug, Default)]
pub struct ReadBack {
    bytes: u64,
}

impl ReadBack {
    /// Whether so many bytes more may be read back now. They count then.
    pub fn takes(&mut self, bytes: u64) -> bool {
        let takes = self.bytes == 0 || self.bytes.saturating_add(bytes) <= READ_BACK_MAX;
        self.bytes += if takes { bytes } else { 0 };
        takes
    }
}

impl Engine {
    /// What is read back or worked on at this moment.
    pub(super) fn being_read_back(&self) -> ReadBack {
        let messages = self.reading.iter().filter_map(|id| self.inbox.get(id));
        let parts = messages.flat_map(|message| message.parts.values());
        ReadBack {
            bytes: parts.map(InPart::being_read_back).sum(),
        }
    }
}

impl InPart {
    fn being_read_back(&self) -> u64 {
        let Some(geometry) = &self.geometry else {
            return 0;
        };
        let solved = self.blocks.iter().filter(|(_, block)| block.busy);
        let solved: u64 = solved.map(|(block, _)| to_solve(geometry, *block)).sum();
        let digested = self.hashing && self.hashed < geometry.blocks();
        let digested = digested.then(|| geometry.block_len(self.hashed as u16) as u64);
        solved + digested.unwrap_or(0)
    }
}

/// The most bytes that are read to solve a block.
pub fn to_solve(geometry: &Geometry, block: u16) -> u64 {
    let repair = u64::from(geometry.coding.repair) * geometry.coding.symbol_len() as u64;
    geometry.block_len(block) as u64 + repair
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_is_read_at_once_and_something_always_is() {
        let mut now = ReadBack::default();
        assert!(now.takes(READ_BACK_MAX - 10) && now.takes(10));
        assert!(!now.takes(1));
        let mut now = ReadBack::default();
        assert!(
            now.takes(READ_BACK_MAX * 2),
            "a block that is larger waits for ever"
        );
        assert!(!now.takes(1));
    }
}
