//! What frames cost on a connection: the packets that they leave in, shared among them by their lengths.

use quinn_proto::ConnectionHandle;
use std::collections::VecDeque;

/// What has left of a connection at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lump {
    /// Of which connection.
    pub(super) handle: ConnectionHandle,
    /// Frames in it.
    pub(super) frames: u64,
    /// Packets.
    pub(super) packets: u64,
    /// Bytes of these packets.
    pub(super) bytes: u64,
}

/// Frames of a connection that have not left yet, in the order in which they will: what groups them, and their length.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<(Option<u64>, usize)>);

impl Waiting {
    /// A frame waits to leave. Without a tag it is nobody's.
    pub(super) fn push(&mut self, tag: Option<u64>, len: usize) {
        self.0.push_back((tag, len));
    }

    /// None waits any more. The library may have thrown some away that had become too large.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Some have left: what each tag's frames cost, with so many bytes of headers to a packet. What else is in those packets,
    /// acknowledgements or padding, counts for the frames.
    pub(super) fn left(&mut self, lump: &Lump, headers: usize) -> Vec<(u64, u64)> {
        let frames = usize::try_from(lump.frames).unwrap_or(usize::MAX);
        let gone: Vec<_> = self.0.drain(..frames.min(self.0.len())).collect();
        let all: u64 = gone.iter().map(|(_, len)| *len as u64).sum();
        let cost = lump.bytes + lump.packets * headers as u64;
        let each = gone
            .into_iter()
            .filter_map(|(tag, len)| Some((tag?, cost * len as u64 / all.max(1))));
        each.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards that packets count once, whole, and for whose frames are in them.
    #[test]
    fn packets_are_shared_by_the_lengths_of_their_frames() {
        let mut waiting = Waiting::default();
        for (tag, len) in [(Some(1), 300), (Some(2), 100), (None, 0), (Some(1), 500)] {
            waiting.push(tag, len);
        }
        let lump = |frames, packets, bytes| Lump {
            handle: ConnectionHandle(0),
            frames,
            packets,
            bytes,
        };
        assert_eq!(waiting.left(&lump(0, 1, 40), 28), []);
        let both = waiting.left(&lump(3, 1, 472), 28);
        assert_eq!(both, [(1, 375), (2, 125)]);
        assert_eq!(waiting.left(&lump(1, 1, 572), 28), [(1, 600)]);
        assert_eq!(waiting.left(&lump(1, 1, 572), 28), []);
    }
}
