//! What simulated people send: bytes that follow from a number, so that nobody has to keep them to compare.

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// The content of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its bytes.
    pub bytes: Bytes,
    /// Their BLAKE3 digest.
    pub digest: [u8; 32],
}

impl Content {
    /// The content with this number. Equal numbers and lengths give equal bytes.
    pub fn numbered(number: u64, len: usize) -> Self {
        let mut bytes = vec![0; len];
        ChaCha8Rng::seed_from_u64(number).fill_bytes(&mut bytes);
        let digest = *blake3::hash(&bytes).as_bytes();
        Self {
            bytes: bytes.into(),
            digest,
        }
    }
}
