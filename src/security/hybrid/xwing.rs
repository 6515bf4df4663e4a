//! As the crate does it: draft-connolly-cfrg-xwing-kem-06. A secret key is a seed of 32 bytes.

use crate::security::kdf::Key;
use rand_core::CryptoRng;
use x_wing::{
    Ciphertext, DecapsulationKeyRejectNonContrib, Decapsulator, Encapsulate, EncapsulationKey,
    KeyExport, TryDecapsulate,
};
use zeroize::Zeroize;

/// The secret half of an X-Wing key, and the public one, which takes a while to derive.
#[derive(Clone, Debug)]
pub struct Secret {
    seed: Key,
    public: Vec<u8>,
}

impl Secret {
    /// Draws one.
    pub fn draw(rng: &mut impl CryptoRng) -> Option<Self> {
        Self::restore(Key::draw(rng))
    }

    /// From a stored seed.
    pub fn restore(seed: Key) -> Option<Self> {
        let public = key(&seed).encapsulation_key().to_bytes().to_vec();
        Some(Self { seed, public })
    }

    /// What to store of it.
    pub fn seed(&self) -> &Key {
        &self.seed
    }

    /// The public half.
    pub fn public(&self) -> Vec<u8> {
        self.public.clone()
    }

    /// Opens a ciphertext; nothing if it has another length or is made to give a known result.
    pub fn open(&self, ciphertext: &[u8]) -> Option<Key> {
        let ciphertext = Ciphertext::try_from(ciphertext).ok()?;
        let secret = key(&self.seed).try_decapsulate(&ciphertext).ok()?;
        Some(taken(secret))
    }
}

fn key(seed: &Key) -> DecapsulationKeyRejectNonContrib {
    DecapsulationKeyRejectNonContrib::from(*seed.bytes())
}

/// Makes a secret for the owner of a key: the ciphertext, and the secret. Nothing if it is no key.
pub fn encapsulate(public: &[u8], rng: &mut impl CryptoRng) -> Option<(Vec<u8>, Key)> {
    let key = EncapsulationKey::try_from(public).ok()?;
    let (ciphertext, secret) = key.encapsulate_with_rng(rng);
    Some((ciphertext.to_vec(), taken(secret)))
}

fn taken(mut secret: x_wing::SharedKey) -> Key {
    let key = Key::new(secret.0);
    secret.0.zeroize();
    key
}
