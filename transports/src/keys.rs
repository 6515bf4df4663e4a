//! Link keys: who is at the far end of a QUIC connection.
//!
//! Every endpoint has one Ed25519 key pair. Both sides of a connection show theirs as a raw public key
//! (RFC 7250) and prove possession in the TLS 1.3 handshake (RFC 8446, section 4.4.3). There is no
//! certificate, no authority and no name: a key is either the expected one or it is not.

use ed25519_dalek::SigningKey;
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// DER of a SubjectPublicKeyInfo for Ed25519 up to the 32 bytes of the key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// DER of a PKCS #8 private key for Ed25519 up to the 32 bytes of the seed (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Derives the key with which a restarted endpoint resets connections that it has forgotten.
const RESET_CONTEXT: &str = "ostrakon 2026 quic stateless reset v1";

/// The Ed25519 seed of an endpoint. Wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct LinkSecret([u8; 32]);

impl LinkSecret {
    /// Takes a seed of 32 random bytes. The caller wipes its own copy.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// The public key that belongs to this seed.
    pub fn public(&self) -> LinkKey {
        LinkKey(SigningKey::from_bytes(&self.0).verifying_key().to_bytes())
    }

    /// The private key in PKCS #8 (RFC 5958), as TLS libraries read it. To be wiped after use.
    pub(crate) fn pkcs8(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let mut der = zeroize::Zeroizing::new(Vec::with_capacity(48));
        der.extend_from_slice(&PKCS8_PREFIX);
        der.extend_from_slice(&self.0);
        der
    }

    /// The key for stateless resets (RFC 9000, section 10.3). The same after a restart, so that a peer
    /// learns at once that its old connection is gone.
    pub(crate) fn reset_key(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(blake3::derive_key(RESET_CONTEXT, &self.0))
    }
}

impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecret(..)")
    }
}

/// The public Ed25519 key of an endpoint. Equality takes the same time for every pair of keys.
#[derive(Clone, Copy, PartialOrd, Ord)]
pub struct LinkKey(pub [u8; 32]);

impl PartialEq for LinkKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for LinkKey {}

impl std::hash::Hash for LinkKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl LinkKey {
    /// The key as a SubjectPublicKeyInfo in DER, the form that RFC 7250 puts into the handshake.
    pub fn spki(&self) -> [u8; 44] {
        let mut der = [0; 44];
        der[..12].copy_from_slice(&SPKI_PREFIX);
        der[12..].copy_from_slice(&self.0);
        der
    }

    /// Reads exactly the form that [`LinkKey::spki`] writes; anything else is `None`.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        let key = der.strip_prefix(&SPKI_PREFIX)?;
        Some(Self(key.try_into().ok()?))
    }
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkKey({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The DER is that of RFC 8410: the example key pair of its sections 10.1 and 10.3.
    #[test]
    fn der_is_that_of_rfc_8410() {
        let secret = LinkSecret::from_seed([
            0xd4, 0xee, 0x72, 0xdb, 0xf9, 0x13, 0x58, 0x4a, 0xd5, 0xb6, 0xd8, 0xf1, 0xf7, 0x69,
            0xf8, 0xad, 0x3a, 0xfe, 0x7c, 0x28, 0xcb, 0xf1, 0xd4, 0xfb, 0xe0, 0x97, 0xa8, 0x8f,
            0x44, 0x75, 0x58, 0x42,
        ]);
        let public = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
        assert_eq!(secret.public().to_string(), public);
        assert_eq!(secret.pkcs8().len(), 48);
        let spki = secret.public().spki();
        assert_eq!(LinkKey::from_spki(&spki), Some(secret.public()));
        let from_ring =
            ring::signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&secret.pkcs8());
        use ring::signature::KeyPair as _;
        assert_eq!(from_ring.unwrap().public_key().as_ref(), &secret.public().0);
    }

    /// A key is read only in its one exact form, and a secret never shows in debug output.
    #[test]
    fn only_the_exact_form_is_read_and_no_secret_is_shown() {
        let spki = LinkKey([7; 32]).spki();
        assert_eq!(LinkKey::from_spki(&spki[..43]), None);
        assert_eq!(LinkKey::from_spki(&[&spki[..], &[0]].concat()), None);
        let mut other_algorithm = spki;
        other_algorithm[8] = 0x71;
        assert_eq!(LinkKey::from_spki(&other_algorithm), None);
        let shown = format!("{:?}", LinkSecret::from_seed([0xab; 32]));
        assert_eq!(shown, "LinkSecret(..)");
    }
}
