//! In a program built without the feature: there are no secrets, and no offer can be answered.

use crate::security::kdf::Key;
use rand_core::CryptoRng;

/// The secret half of an X-Wing key; here nobody has one.
#[derive(Clone, Debug)]
pub enum Secret {}

impl Secret {
    /// Draws one, which cannot be.
    pub fn draw(_rng: &mut impl CryptoRng) -> Option<Self> {
        None
    }

    /// From the seed that another program has stored.
    pub fn restore(_seed: Key) -> Option<Self> {
        None
    }

    /// What to store of it.
    pub fn seed(&self) -> &Key {
        match *self {}
    }

    /// The public half.
    pub fn public(&self) -> Vec<u8> {
        match *self {}
    }

    /// Opens a ciphertext.
    pub fn open(&self, _ciphertext: &[u8]) -> Option<Key> {
        match *self {}
    }
}

/// Makes a secret for the owner of a key, which cannot be.
pub fn encapsulate(_public: &[u8], _rng: &mut impl CryptoRng) -> Option<(Vec<u8>, Key)> {
    None
}
