//! What stands at the end of the manifest of a message to several recipients.
//!
//! ```text
//! 0      number of recipients, 2 to 255
//! 1..    their root keys, 32 bytes each, rising
//!        [commitment to the content key, 32 bytes: if a part has symbols of its own]
//!        -- the message id is the hash of all up to here --
//!        [content key, 32 bytes: likewise]
//!        signature of the sending endpoint, 64 bytes
//! ```
//!
//! Every recipient gets the same manifest, each sealed in a session of its own. [`crate::security::shared`] makes and
//! checks what stands here.

use super::read::{Malformed, Reader};
use crate::engine::id::PersonId;
use crate::security::kdf::Key;
use std::collections::BTreeSet;

/// Most recipients of one message.
pub const RECIPIENTS_MAX: usize = 255;

/// What a manifest says of several recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// To whom the message goes: 2 to [`RECIPIENTS_MAX`].
    pub recipients: BTreeSet<PersonId>,
    /// What symbols are sealed with. There if and only if a part has symbols of its own.
    pub content: Option<ContentKey>,
    /// Ed25519, by the sending endpoint.
    pub signature: [u8; 64],
}

/// The key of all symbols of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentKey {
    /// Which key it is. ChaCha20-Poly1305 does not say so: one frame may open under two keys.
    pub commitment: [u8; 32],
    /// The key. Secret.
    pub key: Key,
}

impl Shared {
    /// Appends what the message id is made of.
    pub(super) fn encode_core(&self, out: &mut Vec<u8>) {
        out.push(self.recipients.len() as u8);
        self.recipients
            .iter()
            .for_each(|person| out.extend_from_slice(&person.0));
        if let Some(content) = &self.content {
            out.extend_from_slice(&content.commitment);
        }
    }

    /// Appends what follows it.
    pub(super) fn encode_rest(&self, out: &mut Vec<u8>) {
        if let Some(content) = &self.content {
            out.extend_from_slice(content.key.bytes());
        }
        out.extend_from_slice(&self.signature);
    }

    /// Reads both. `coded`: a part has symbols of its own.
    pub(super) fn decode(r: &mut Reader<'_>, coded: bool) -> Result<Self, Malformed> {
        let count = usize::from(r.u8()?);
        if count < 2 {
            return Err(Malformed::Value("number of recipients"));
        }
        let mut recipients = BTreeSet::new();
        for _ in 0..count {
            let person = PersonId(r.array()?);
            if recipients.last() >= Some(&person) {
                return Err(Malformed::Value("order of recipients"));
            }
            recipients.insert(person);
        }
        let commitment: Option<[u8; 32]> = coded.then(|| r.array()).transpose()?;
        let content = match commitment {
            Some(commitment) => Some(ContentKey {
                commitment,
                key: Key::new(r.array()?),
            }),
            None => None,
        };
        Ok(Self {
            recipients,
            content,
            signature: r.array()?,
        })
    }
}
