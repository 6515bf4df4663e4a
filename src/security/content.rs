//! The seal on bulk files of a home.
//!
//! ```text
//! 0..8     "OSTRCONT"
//! 8..32    nonce, drawn anew for each file
//! 32..64   PRF(content key, "content head", nonce): shows that this is a head, and of this home
//! 64..     the content under ChaCha20 (RFC 8439, section 2.4), with the key PRF(content key, "content file", nonce);
//!          each GiB of it from block 0 on, under a nonce of 4 zero bytes and its number of 8 bytes
//! ```
//!
//! Pieces are written in any order and read at any place, so there is no tag: what was changed on the disk reads as
//! something else. Parts of messages have digests, which are compared before they are delivered.
//!
//! A stream cipher must not meet two contents at one place of one file. The bytes of a part at a place follow from the id
//! of its message, and a file that is made again has another nonce. Symbols that another recipient of a message made up can
//! be overwritten in place by the right ones; he knows both.

use super::kdf::{Key, prf};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use subtle::ConstantTimeEq;

const MARK: [u8; 8] = *b"OSTRCONT";
/// Length of a nonce, in bytes.
pub const NONCE: usize = 24;
/// By how much a sealed file is longer, in bytes.
pub const HEAD: usize = MARK.len() + NONCE + 32;
/// What is sealed under one nonce of the cipher, whose counter reaches to 256 GiB.
const SEGMENT: u64 = 1 << 30;

/// Seals the files of one home. Wiped when dropped.
#[derive(Clone, Debug)]
pub struct ContentKey(Key);

/// Seals and opens one file. Wiped when dropped.
#[derive(Clone, Debug)]
pub struct FileKey(Key);

impl ContentKey {
    /// Takes a key over that is used for nothing else.
    pub fn new(key: Key) -> Self {
        Self(key)
    }

    /// The head of a new file, and its key. The nonce never was used before.
    pub fn begin(&self, nonce: [u8; NONCE]) -> ([u8; HEAD], FileKey) {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&MARK);
        head[8..32].copy_from_slice(&nonce);
        head[32..].copy_from_slice(self.check(&nonce).bytes());
        (head, self.file(&nonce))
    }

    /// The key of the file with this head; nothing if it is none of this home, so that the file is not sealed.
    pub fn resume(&self, head: &[u8; HEAD]) -> Option<FileKey> {
        let (mark, rest) = head.split_first_chunk::<8>()?;
        let (nonce, check) = rest.split_first_chunk::<NONCE>()?;
        let ours = *mark == MARK && bool::from(self.check(nonce).bytes()[..].ct_eq(check));
        ours.then(|| self.file(nonce))
    }

    fn check(&self, nonce: &[u8; NONCE]) -> Key {
        prf(&self.0, "content head", &[nonce])
    }

    fn file(&self, nonce: &[u8; NONCE]) -> FileKey {
        FileKey(prf(&self.0, "content file", &[nonce]))
    }
}

impl FileKey {
    /// Seals or opens bytes that lie at this offset of the content, in place.
    pub fn apply(&self, mut offset: u64, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let within = offset % SEGMENT;
            let left = usize::try_from(SEGMENT - within).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at_mut(left.min(bytes.len()));
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&(offset / SEGMENT).to_be_bytes());
            let mut cipher = ChaCha20::new(self.0.bytes().into(), &nonce.into());
            cipher.seek(within);
            cipher.apply_keystream(now);
            offset += now.len() as u64;
            bytes = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> ContentKey {
        ContentKey::new(Key::new([n; 32]))
    }

    /// What was sealed piece by piece, in any order and across segments, opens as a whole and in other pieces.
    #[test]
    fn pieces_open_wherever_they_are_cut() {
        let (head, file) = key(1).begin([7; NONCE]);
        let start = SEGMENT - 100;
        let plain: Vec<u8> = (0..300u32).map(|n| n as u8).collect();
        let mut sealed = plain.clone();
        file.apply(start, &mut sealed);
        for piece in [1, 7, 64, 100, 299] {
            let mut again = plain.clone();
            for (index, bytes) in again.chunks_mut(piece).enumerate().rev() {
                file.apply(start + (index * piece) as u64, bytes);
            }
            assert_eq!(again, sealed, "pieces of {piece}");
        }
        let opened = key(1).resume(&head).unwrap();
        opened.apply(start, &mut sealed);
        assert_eq!(sealed, plain);
    }

    /// No two files and no two segments of one share their key stream.
    #[test]
    fn every_file_and_segment_has_a_stream_of_its_own() {
        let mut streams = std::collections::BTreeSet::new();
        for (home, nonce) in [(1, 1), (1, 2), (2, 1)] {
            let (_, file) = key(home).begin([nonce; NONCE]);
            for segment in [0, 1, 300] {
                let mut stream = [0; 64];
                file.apply(segment * SEGMENT, &mut stream);
                assert!(streams.insert(stream), "{home} {nonce} {segment}");
            }
        }
    }

    /// A head with a bit flipped, or of another home, is none.
    #[test]
    fn a_head_is_known_for_what_it_is() {
        let (head, _) = key(1).begin([7; NONCE]);
        assert!(key(2).resume(&head).is_none());
        for bit in 0..HEAD * 8 {
            let mut changed = head;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(key(1).resume(&changed).is_none(), "bit {bit}");
        }
    }
}
