//! A message as a person means it, before it becomes fragments.

use crate::engine::geometry::{Blocks, Coding};
use crate::engine::id::{MessageId, PersonId};
use crate::engine::io::LinkId;
use crate::engine::io::SendError;
use crate::engine::limits::{LimitError, Limits};
use crate::security::kdf::Key;
use crate::security::shared;
use crate::wire::manifest::{Body, Lifetime, Manifest, PartEntry};
use crate::wire::shared::RECIPIENTS_MAX;
use bytes::Bytes;
use std::collections::BTreeSet;

/// Parts up to so many bytes stand in the manifest, whatever the links are like.
pub const INLINE: usize = 256;

/// How urgent a part is. Lower leaves first, whatever came before it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before everything else, on several links at once.
    Urgent,
    /// Before ordinary parts.
    High,
    /// What nobody said anything about.
    Normal,
    /// When nothing else waits.
    Bulk,
}

impl Priority {
    /// Its number on the wire, 0 to 3.
    pub fn code(self) -> u8 {
        match self {
            Self::Urgent => 0,
            Self::High => 1,
            Self::Normal => 2,
            Self::Bulk => 3,
        }
    }

    /// From its number on the wire; others are read as bulk, so that a later version may add some.
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Urgent,
            1 => Self::High,
            2 => Self::Normal,
            _ => Self::Bulk,
        }
    }
}

/// Which links may carry a part. It is the sender's own business and does not travel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkPolicy {
    /// Only these, if given.
    pub links: Option<Vec<LinkId>>,
    /// Only links that cost at most this much a megabyte, if given.
    pub max_cost: Option<u32>,
}

/// What a part consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Bytes small enough to stand in the manifest.
    Inline(Bytes),
    /// A snapshot in the store, as [`crate::engine::io::FileKind::Outgoing`].
    Snapshot {
        /// Its length in bytes.
        len: u64,
        /// Its BLAKE3 digest.
        digest: [u8; 32],
    },
}

/// A part to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftPart {
    /// Its number, 1 to 255, unique in the message.
    pub id: u8,
    /// Its media type (RFC 2045), such as `text/plain`.
    pub media_type: String,
    /// A name for people; may be empty.
    pub name: String,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it is worth carrying.
    pub lifetime: Lifetime,
    /// Which links may carry it.
    pub policy: LinkPolicy,
    /// Its bytes.
    pub content: Content,
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The caller's number, which comes back in the answer.
    pub request: u64,
    /// To whom: at least one.
    pub to: BTreeSet<PersonId>,
    /// Eight random bytes.
    pub salt: [u8; 8],
    /// Thirty-two random bytes, which seal the symbols of a message to several.
    pub content_key: Key,
    /// Seconds since 1970, if the sender has a clock it believes.
    pub created: Option<u32>,
    /// How large the blocks of its parts are, see [`crate::engine::Engine::blocks`].
    pub blocks: Blocks,
    /// The parts.
    pub parts: Vec<DraftPart>,
}

impl Draft {
    /// The manifest of this draft; if it goes to several, still without its signature.
    ///
    /// # Errors
    /// If a bound is exceeded, part numbers repeat, or nobody is named.
    pub fn manifest(&self, limits: &Limits) -> Result<Manifest, SendError> {
        let len = self.to.len();
        let max = limits.recipients.min(RECIPIENTS_MAX);
        match len {
            0 => return Err(SendError::NoRecipient),
            len if len > max => return Err(LimitError::Recipients { len, max }.into()),
            _ => {}
        }
        if self.parts.is_empty() || self.parts.len() > 255 {
            return Err(LimitError::Parts(self.parts.len()).into());
        }
        let mut seen = [false; 256];
        let mut entries = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            if part.id == 0 || std::mem::replace(&mut seen[usize::from(part.id)], true) {
                return Err(SendError::DuplicatePart(part.id));
            }
            entries.push(part.entry(self.blocks, limits)?);
        }
        let mut manifest = Manifest {
            salt: self.salt,
            created: self.created,
            parts: entries,
            shared: None,
        };
        if len > 1 {
            let key = manifest.is_coded().then_some(&self.content_key);
            manifest.shared = Some(shared::unsigned(self.to.clone(), key));
        }
        if manifest.bytes() > limits.message_bytes {
            return Err(LimitError::Message {
                len: manifest.bytes(),
                max: limits.message_bytes,
            }
            .into());
        }
        let len = manifest.encode().len();
        if len > limits.manifest_bytes {
            return Err(LimitError::Manifest {
                len,
                max: limits.manifest_bytes,
            }
            .into());
        }
        Ok(manifest)
    }

    /// The id that this draft gets when `from` sends it.
    ///
    /// # Errors
    /// As [`Draft::manifest`].
    pub fn message_id(&self, from: PersonId, limits: &Limits) -> Result<MessageId, SendError> {
        let to = self.to.first().ok_or(SendError::NoRecipient)?;
        Ok(self.manifest(limits)?.message_id(from, *to))
    }
}

impl DraftPart {
    fn entry(&self, blocks: Blocks, limits: &Limits) -> Result<PartEntry, SendError> {
        if self.name.len() > 255 || self.media_type.len() > 255 {
            return Err(LimitError::Name(self.id).into());
        }
        let body = match &self.content {
            Content::Inline(bytes) if bytes.len() > limits.inline_bytes => {
                return Err(too_large(
                    self.id,
                    bytes.len() as u64,
                    limits.inline_bytes as u64,
                ));
            }
            Content::Inline(bytes) => Body::Inline(bytes.clone()),
            Content::Snapshot { len, .. } if *len > limits.part_bytes => {
                return Err(too_large(self.id, *len, limits.part_bytes));
            }
            Content::Snapshot { len, digest } => Body::Coded {
                len: *len,
                digest: *digest,
                coding: Coding::choose_in(blocks, *len),
            },
        };
        Ok(PartEntry {
            id: self.id,
            priority: self.priority.code(),
            lifetime: self.lifetime,
            media_type: self.media_type.clone(),
            name: self.name.clone(),
            body,
        })
    }
}

fn too_large(part: u8, len: u64, max: u64) -> SendError {
    LimitError::Part { part, len, max }.into()
}
