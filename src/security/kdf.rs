//! Derivations. The pseudo-random function is keyed BLAKE3 over length-prefixed fields; key agreement uses
//! HKDF-SHA-256 (RFC 5869).

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Thirty-two secret bytes that are wiped when dropped and never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

impl Key {
    /// Takes bytes over.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Draws one.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut bytes[..]);
        Self(*bytes)
    }

    /// The bytes, for storing and for use in a primitive.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// In constant time.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Keyed BLAKE3 over a label and fields, each with its length before it, so that no two lists collide.
pub fn prf(key: &Key, label: &str, fields: &[&[u8]]) -> Key {
    let mut hasher = blake3::Hasher::new_keyed(key.bytes());
    absorb(&mut hasher, label, fields);
    Key(*hasher.finalize().as_bytes())
}

/// Unkeyed BLAKE3 in a context of its own, over a label and fields.
pub fn hash(label: &str, fields: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("ostrakon 2026 hash v1");
    absorb(&mut hasher, label, fields);
    *hasher.finalize().as_bytes()
}

fn absorb(hasher: &mut blake3::Hasher, label: &str, fields: &[&[u8]]) {
    hasher.update(&[label.len() as u8]);
    hasher.update(label.as_bytes());
    for field in fields {
        hasher.update(&(field.len() as u32).to_be_bytes());
        hasher.update(field);
    }
}

/// HKDF-Extract: a root key from a salt and the results of key agreements, in order.
pub fn extract(salt: &[u8; 32], secrets: &[&[u8; 32]]) -> Key {
    let mut extract = hkdf::HkdfExtract::<sha2::Sha256>::new(Some(salt));
    secrets
        .iter()
        .for_each(|secret| extract.input_ikm(&secret[..]));
    let (mut out, _) = extract.finalize();
    let key = Key(out.into());
    out.as_mut_slice().zeroize();
    key
}

/// HKDF-Expand to 32 bytes.
pub fn expand(key: &Key, label: &str, number: u32) -> Key {
    let mut out = [0; 32];
    let info = [label.as_bytes(), &number.to_be_bytes()];
    // 32 bytes of output and a key of 32 bytes are within every bound of RFC 5869.
    if let Ok(hkdf) = hkdf::Hkdf::<sha2::Sha256>::from_prk(key.bytes()) {
        let _ = hkdf.expand_multi_info(&info, &mut out);
    }
    let key = Key(out);
    out.zeroize();
    key
}
