//! What signs the cards and introductions of a person: the root key, or a key that the root has put in its place. Then the
//! root can stay where no thief of a device gets at it.
//!
//! ```text
//! by the root      content ‖ signature 64
//! by a delegate    content ‖ delegation 100 ‖ signature 64, over content and delegation
//! delegation       number 4 ‖ key 32 ‖ signature 64 by the root over "OR" ‖ version 1 ‖ number ‖ key
//! ```
//!
//! Whoever reads tells the two apart by a version in the content. Of two delegates the one with the higher number speaks
//! for the person, and before all of them the root did: see [`super::card::Card::replaces`].

use crate::engine::id::PersonId;
use crate::wire::read::{Malformed, Reader};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// What the root signs begins so, unlike cards and introductions.
const HEAD: [u8; 3] = *b"OR\x01";
/// Bytes of a signature.
const SIGNATURE: usize = 64;
/// Bytes of a delegation.
const DELEGATION: usize = 4 + 32 + SIGNATURE;
/// Secret bytes of a signer, at most.
pub(super) const LEN: usize = 32 + DELEGATION + 32;

/// That the root has put a key in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delegation {
    /// Counts up from 1.
    number: u32,
    key: [u8; 32],
    by_root: [u8; SIGNATURE],
}

impl Delegation {
    fn statement(number: u32, key: &[u8; 32]) -> Vec<u8> {
        [&HEAD[..], &number.to_be_bytes(), key].concat()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.by_root);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            number: r.u32()?,
            key: r.array()?,
            by_root: r.array()?,
        })
    }

    /// Signs that `key` is in the place of `root`.
    pub(super) fn sign(root: &SigningKey, number: u32, key: [u8; 32]) -> Self {
        let by_root = root.sign(&Self::statement(number, &key)).to_bytes();
        Self {
            number,
            key,
            by_root,
        }
    }

    fn is_of(&self, root: &[u8; 32]) -> bool {
        let statement = Self::statement(self.number, &self.key);
        self.number > 0 && is_signed(root, &statement, &self.by_root)
    }
}

/// Whether a delegate signs, as a version says that is one more then than `by_root`.
pub(super) fn is_delegated(version: u8, by_root: u8) -> Result<bool, Malformed> {
    match version.checked_sub(by_root) {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        _ => Err(Malformed::Version(version)),
    }
}

/// How many bytes stand behind the content.
pub(super) fn trailer_len(delegated: bool) -> usize {
    SIGNATURE + if delegated { DELEGATION } else { 0 }
}

/// The number of the delegation under which a person has signed, 0 for the root itself; nothing if somebody else has. The
/// last [`trailer_len`] bytes are the trailer.
pub(super) fn verify(root: &[u8; 32], delegated: bool, bytes: &[u8]) -> Option<u32> {
    let (signed, signature) = bytes.split_last_chunk::<SIGNATURE>()?;
    if !delegated {
        return is_signed(root, signed, signature).then_some(0);
    }
    let (_, delegation) = signed.split_last_chunk::<DELEGATION>()?;
    let delegation = Delegation::read(&mut Reader::new(delegation)).ok()?;
    let good = delegation.is_of(root) && is_signed(&delegation.key, signed, signature);
    good.then_some(delegation.number)
}

fn is_signed(key: &[u8; 32], signed: &[u8], signature: &[u8; SIGNATURE]) -> bool {
    let signature = Signature::from_bytes(signature);
    let key = VerifyingKey::from_bytes(key);
    key.is_ok_and(|key| key.verify_strict(signed, &signature).is_ok())
}

/// The secret half. Wiped when dropped.
#[derive(Clone)]
pub(super) enum Signer {
    /// The root itself.
    Root(SigningKey),
    /// A key in its place.
    Delegate {
        /// Whose.
        root: [u8; 32],
        /// What the root has signed.
        delegation: Delegation,
        /// The key.
        key: SigningKey,
    },
}

impl Signer {
    /// Who signs.
    pub(super) fn person(&self) -> PersonId {
        PersonId(match self {
            Self::Root(key) => key.verifying_key().to_bytes(),
            Self::Delegate { root, .. } => *root,
        })
    }

    /// Whether it is a key in the place of the root.
    pub(super) fn is_delegate(&self) -> bool {
        matches!(self, Self::Delegate { .. })
    }

    /// The version of what it signs or is kept in: see [`is_delegated`].
    pub(super) fn version(&self, by_root: u8) -> u8 {
        by_root + u8::from(self.is_delegate())
    }

    /// The number of its delegation; 0 for the root.
    pub(super) fn number(&self) -> u32 {
        match self {
            Self::Root(_) => 0,
            Self::Delegate { delegation, .. } => delegation.number,
        }
    }

    /// Appends the trailer to a content that says by its version which one it is.
    pub(super) fn sign(&self, content: &mut Vec<u8>) {
        let key = match self {
            Self::Root(key) => key,
            Self::Delegate {
                delegation, key, ..
            } => {
                delegation.encode(content);
                key
            }
        };
        let signature = key.sign(content);
        content.extend_from_slice(&signature.to_bytes());
    }

    /// Appends the secret bytes: the seed of the root, or root 32, delegation 100 and seed 32.
    pub(super) fn encode(&self, out: &mut Zeroizing<Vec<u8>>) {
        let key = match self {
            Self::Root(key) => key,
            Self::Delegate {
                root,
                delegation,
                key,
            } => {
                out.extend_from_slice(root);
                delegation.encode(out);
                key
            }
        };
        out.extend_from_slice(key.as_bytes());
    }

    /// Reads what [`Signer::encode`] wrote.
    pub(super) fn read(r: &mut Reader<'_>, delegated: bool) -> Result<Self, Malformed> {
        let key = |r: &mut Reader<'_>| {
            Ok::<_, Malformed>(SigningKey::from_bytes(&Zeroizing::new(r.array()?)))
        };
        if !delegated {
            return Ok(Self::Root(key(r)?));
        }
        let (root, delegation) = (r.array()?, Delegation::read(r)?);
        let key = key(r)?;
        if !delegation.is_of(&root) || key.verifying_key().to_bytes() != delegation.key {
            return Err(Malformed::Value("delegation"));
        }
        Ok(Self::Delegate {
            root,
            delegation,
            key,
        })
    }
}
