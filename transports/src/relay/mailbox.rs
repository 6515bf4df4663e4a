//! Mailboxes: their tags, and the proof of owning one.
//!
//! A mailbox is an Ed25519 key pair. Frames for it carry one of [`TAGS`] tags, which follow from its public
//! key, so that a relay can tell from a proven key which frames its holder may fetch, without any table.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use quinn::Connection;
use zeroize::Zeroizing;

/// A mailbox tag as it stands in carrier envelopes.
pub type MailboxTag = [u8; 8];

/// How many tags a mailbox has.
pub const TAGS: u8 = 64;

const TAG_CONTEXT: &str = "ostrakon 2026 mailbox tag v1";
const PROOF_LABEL: &[u8] = b"ostrakon mailbox proof v1";
const SIGNED_LENGTH: usize = PROOF_LABEL.len() + 32 + 32;

/// Tag `index` of the mailbox with this public key: the first 8 bytes of BLAKE3 in key derivation mode with
/// the context `ostrakon 2026 mailbox tag v1` over the key and the index as one byte.
///
/// Relays serve the indices below [`TAGS`].
pub fn mailbox_tag(public_key: &[u8; 32], index: u8) -> MailboxTag {
    let mut hasher = blake3::Hasher::new_derive_key(TAG_CONTEXT);
    hasher.update(public_key).update(&[index]);
    let mut tag = MailboxTag::default();
    hasher.finalize_xof().fill(&mut tag);
    tag
}

/// All tags of the mailbox with this public key.
pub fn mailbox_tags(public_key: &[u8; 32]) -> Vec<MailboxTag> {
    (0..TAGS).map(|i| mailbox_tag(public_key, i)).collect()
}

/// The holder of a mailbox, able to prove it. The seed is wiped from memory when dropped.
#[derive(Clone)]
pub struct MailboxOwner(SigningKey);

impl MailboxOwner {
    /// Takes the 32-byte seed of the mailbox's Ed25519 key.
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The mailbox's public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs that the holder is at this end of this very connection.
    pub(super) fn prove(&self, connection: &Connection) -> Option<MailboxProof> {
        let public_key = self.public_key();
        let signature = self.0.sign(&signed_bytes(connection, &public_key)?);
        Some(MailboxProof {
            public_key,
            signature: signature.to_bytes(),
        })
    }
}

impl std::fmt::Debug for MailboxOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MailboxOwner(..)")
    }
}

/// A claim to a mailbox, good for one connection only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MailboxProof {
    pub(super) public_key: [u8; 32],
    pub(super) signature: [u8; 64],
}

impl MailboxProof {
    /// Verifies the claim for this connection. Weak keys and malleable signatures are refused
    /// (RFC 8032, section 5.1.7, strictly).
    pub(super) fn verify(&self, connection: &Connection) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.public_key) else {
            return false;
        };
        let Some(signed) = signed_bytes(connection, &self.public_key) else {
            return false;
        };
        let signature = Signature::from_bytes(&self.signature);
        key.verify_strict(&signed, &signature).is_ok()
    }
}

/// What is signed: a label, a secret of this TLS session alone (RFC 8446, section 7.5), and the key. A relay
/// that is shown a proof cannot pass it on to another relay as its own.
fn signed_bytes(connection: &Connection, public_key: &[u8; 32]) -> Option<[u8; SIGNED_LENGTH]> {
    let mut exported = [0; 32];
    connection
        .export_keying_material(&mut exported, PROOF_LABEL, public_key)
        .ok()?;
    let mut signed = [0; SIGNED_LENGTH];
    let (label, rest) = signed.split_at_mut(PROOF_LABEL.len());
    label.copy_from_slice(PROOF_LABEL);
    rest[..32].copy_from_slice(&exported);
    rest[32..].copy_from_slice(public_key);
    Some(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The derivation never changes: senders and relays of all versions have to agree on it. The values were
    /// computed from the definition, apart from this code.
    #[test]
    fn tags_are_what_they_always_were() {
        let key = std::array::from_fn(|i| i as u8);
        let hex = |tag: MailboxTag| u64::from_be_bytes(tag);
        assert_eq!(hex(mailbox_tag(&key, 0)), 0x7d51_109e_2dee_3fc8);
        assert_eq!(hex(mailbox_tag(&key, 63)), 0x7c71_a0e8_283f_2232);
        let tags = mailbox_tags(&key);
        assert_eq!(tags.len(), 64);
        let distinct: std::collections::BTreeSet<_> = tags.iter().collect();
        assert_eq!(distinct.len(), 64);
    }

    /// A holder's debug output shows nothing of the seed.
    #[test]
    fn no_secret_is_shown() {
        let owner = MailboxOwner::from_seed(Zeroizing::new([0xab; 32]));
        assert_eq!(format!("{owner:?}"), "MailboxOwner(..)");
    }
}
