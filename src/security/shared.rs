//! Messages to several recipients: one content key for the symbols of all, and a signature over what it seals.
//!
//! ```text
//! commitment = H("content key", content key)
//! signature  = Ed25519 of the sending endpoint over "ostrakon shared message v1" ‖ message id
//! label      = PRF(content key, "label", message id)[..6], hint and secret likewise: the content key is an epoch key
//! context    = H("shared context", message id)
//! ```
//!
//! Every recipient can seal symbols as the sender does, so a symbol is only as good as the group. The manifest comes in the
//! recipient's own session and binds the digests of all parts: with them each recipient finds out what others have made up.
//! The session shows a recipient who wrote; the signature does so to somebody whose inbox keys were stolen as well, and
//! to others, so a message to several cannot be denied.

use super::card::{Card, Endpoint};
use super::identity::Identity;
use super::kdf::{Key, hash};
use super::seal::MessageKeys;
use super::session::Epoch;
use crate::engine::id::{MessageId, PersonId};
use crate::wire::shared::{ContentKey, Shared};
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use std::collections::BTreeSet;
use subtle::ConstantTimeEq;

const SIGNED: &[u8] = b"ostrakon shared message v1";

/// Why a manifest for several recipients was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SharedError {
    /// The content key is not the one that was committed to.
    #[error("a content key that is not the committed one")]
    OtherKey,
    /// Whoever got it is not among the recipients.
    #[error("a list of recipients without us")]
    NotListed,
    /// No endpoint of the sender has signed it.
    #[error("a message to several with a wrong signature")]
    Signature,
}

/// The commitment to a content key.
pub fn commitment(key: &Key) -> [u8; 32] {
    hash("content key", &[key.bytes()])
}

/// What a manifest says of these recipients, before it is signed. `key`: 32 random bytes, if a part has symbols of its
/// own.
pub fn unsigned(recipients: BTreeSet<PersonId>, key: Option<&Key>) -> Shared {
    let content = key.map(|key| ContentKey {
        commitment: commitment(key),
        key: key.clone(),
    });
    Shared {
        recipients,
        content,
        signature: [0; 64],
    }
}

/// The signature of a message. It follows from the keys and the id, so the same manifest is always the same bytes.
pub fn sign(me: &Identity, message: MessageId) -> [u8; 64] {
    me.endpoint.sign(&signed(message)).to_bytes()
}

/// Checks what `me` got in a session with the owner of `card`, in this order: that the content key is the committed one, that
/// `me` is a recipient, that an endpoint on the card has signed.
///
/// # Errors
/// [`SharedError`] says what does not hold.
pub fn check(
    shared: &Shared,
    message: MessageId,
    me: PersonId,
    card: &Card,
) -> Result<(), SharedError> {
    let is_committed = |c: &ContentKey| bool::from(commitment(&c.key).ct_eq(&c.commitment));
    // Otherwise recipients of one message hold different keys to its symbols.
    let other = shared.content.as_ref().is_some_and(|c| !is_committed(c));
    if other && cfg!(not(feature = "break-21")) {
        return Err(SharedError::OtherKey);
    }
    // Otherwise whoever seals in the session says who else has got the message, and in whose name.
    if cfg!(feature = "break-23") {
        return Ok(());
    }
    if !shared.recipients.contains(&me) {
        return Err(SharedError::NotListed);
    }
    // Otherwise it is enough to leave the signature out.
    if cfg!(feature = "break-15") && shared.signature == [0; 64] {
        return Ok(());
    }
    let signature = Signature::from_bytes(&shared.signature);
    let has_signed = |endpoint: &Endpoint| {
        let key = VerifyingKey::from_bytes(&endpoint.id);
        key.is_ok_and(|key| key.verify_strict(&signed(message), &signature).is_ok())
    };
    if !card.body().endpoints.iter().any(has_signed) {
        return Err(SharedError::Signature);
    }
    Ok(())
}

/// The keys of the symbols of a message.
pub fn content_keys(key: &Key, message: MessageId) -> MessageKeys {
    let context = hash("shared context", &[&message.0]);
    let epoch = Epoch::of_content(key.clone(), context);
    epoch.message(epoch.label(message))
}

fn signed(message: MessageId) -> Vec<u8> {
    [SIGNED, &message.0].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    fn identity(seed: u64) -> Identity {
        Identity::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(seed))
    }

    fn shared(a: &Identity, b: PersonId, c: PersonId) -> (Shared, MessageId) {
        let id = MessageId([7; 32]);
        let mut shared = unsigned([b, c].into(), Some(&Key::new([5; 32])));
        shared.signature = sign(a, id);
        (shared, id)
    }

    #[test]
    fn what_was_signed_for_its_recipients_is_taken_and_each_change_has_a_name() {
        let (a, b, c) = (identity(1), identity(2).person(), identity(3).person());
        let card = a.card("a", 1, vec![]);
        let (good, id) = shared(&a, b, c);
        assert_eq!(check(&good, id, b, &card), Ok(()));
        let stranger = identity(4);
        let refused = check(&good, id, stranger.person(), &card);
        assert_eq!(refused, Err(SharedError::NotListed));
        let mut other = good.clone();
        other.content.as_mut().unwrap().key = Key::new([6; 32]);
        assert_eq!(check(&other, id, b, &card), Err(SharedError::OtherKey));
        let refused = check(&good, MessageId([8; 32]), b, &card);
        assert_eq!(refused, Err(SharedError::Signature));
        let refused = check(&good, id, b, &stranger.card("d", 1, vec![]));
        assert_eq!(refused, Err(SharedError::Signature));
    }

    #[test]
    fn every_flipped_bit_of_a_signature_is_refused() {
        let (a, b, c) = (identity(1), identity(2).person(), identity(3).person());
        let card = a.card("a", 1, vec![]);
        let (good, id) = shared(&a, b, c);
        for bit in 0..512 {
            let mut bad = good.clone();
            bad.signature[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check(&bad, id, b, &card), Err(SharedError::Signature));
        }
    }

    #[test]
    fn content_keys_differ_by_message_and_by_key() {
        let keys = |key, id| content_keys(&Key::new([key; 32]), MessageId([id; 32])).store();
        assert_eq!(keys(1, 1), keys(1, 1));
        assert_ne!(keys(1, 1), keys(2, 1));
        assert_ne!(keys(1, 1)[..32], keys(1, 2)[..32]);
    }
}
