//! How we stand to persons: how sure it is who they are, who introduced them, who is blocked.

use super::error::NodeError;
use crate::engine::id::{PersonId, from_base32, to_base32};
use crate::engine::trust::{Level, Standing};
use crate::store::meta::Meta;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

const PREFIX: &str = "standing/";

/// What is kept of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) level: Level,
    /// Who has introduced this person, as a URI.
    pub(super) introducer: Option<String>,
    pub(super) blocked: bool,
    /// What the person is called here, rather than as its card says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) alias: Option<String>,
}

impl Stored {
    /// As it is written down.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // A level and a flag always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads it. What does not read may have been a person who is blocked, and counts as one.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, "a stored standing does not read; the person is blocked");
            Self {
                blocked: true,
                ..Self::default()
            }
        })
    }

    /// For the engine.
    pub(super) fn standing(&self) -> Standing {
        Standing {
            level: self.level,
            blocked: self.blocked,
        }
    }
}

/// All of them. Changes are durable before they are seen.
pub(super) struct Standings {
    meta: Meta,
    known: Mutex<BTreeMap<PersonId, Stored>>,
}

impl Standings {
    /// Reads what was stored.
    pub(super) fn load(meta: Meta) -> Result<Self, NodeError> {
        let mut known = BTreeMap::new();
        for (key, bytes) in meta.list(PREFIX)? {
            let person = key.strip_prefix(PREFIX).and_then(|k| from_base32(k).ok());
            let Some(person) = person.and_then(|bytes| bytes.try_into().ok()) else {
                tracing::warn!(%key, "a stored standing is of nobody");
                continue;
            };
            known.insert(PersonId(person), Stored::of_bytes(&bytes));
        }
        let known = Mutex::new(known);
        Ok(Self { meta, known })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<PersonId, Stored>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How we stand to a person.
    pub(super) fn get(&self, person: PersonId) -> Stored {
        self.known().get(&person).cloned().unwrap_or_default()
    }

    /// Everybody of whom something is kept.
    pub(super) fn list(&self) -> Vec<(PersonId, Stored)> {
        let known = self.known();
        known.iter().map(|(p, s)| (*p, s.clone())).collect()
    }

    /// Changes how we stand to a person. Blocks on the disk; callers take turns.
    pub(super) fn set(&self, person: PersonId, stored: Stored) -> Result<(), NodeError> {
        let key = format!("{PREFIX}{}", to_base32(&person.0));
        self.meta.put(&key, &stored.to_bytes())?;
        self.known().insert(person, stored);
        Ok(())
    }
}
