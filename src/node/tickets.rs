//! What is done once for a new contact: its invitation is used, and it is sent our card if it may not know us.

use super::error::NodeError;
use crate::engine::id::{PersonId, from_base32, to_base32};
use crate::security::invitation::Ticket;
use crate::security::kdf::Key;
use crate::store::meta::Meta;
use crate::wire::read::{Malformed, Reader};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

const PREFIX: &str = "ticket/";
const UNMET: &str = "unmet/";

/// Both, on the disk.
pub(super) struct Tickets {
    meta: Meta,
    /// Contacts that nothing has come of, and that were sent nothing by us.
    unmet: Mutex<BTreeSet<PersonId>>,
}

impl Tickets {
    /// Reads what was stored.
    pub(super) fn load(meta: Meta) -> Result<Self, NodeError> {
        let rows = meta.list(UNMET)?.into_iter();
        let unmet = rows.filter_map(|(key, _)| person(&key, UNMET)).collect();
        let unmet = Mutex::new(unmet);
        Ok(Self { meta, unmet })
    }

    /// An invitation of a person is to be used. Blocks on the disk.
    pub(super) fn put(&self, of: PersonId, ticket: &Ticket) -> Result<(), NodeError> {
        let value = [&ticket.id[..], ticket.secret.bytes()].concat();
        Ok(self.meta.put(&row(of), &value)?)
    }

    /// All that are to be used. Reads the disk.
    pub(super) fn list(&self) -> Result<Vec<(PersonId, Ticket)>, NodeError> {
        let rows = self.meta.list(PREFIX)?.into_iter();
        let read =
            |(key, value): (String, Vec<u8>)| Some((person(&key, PREFIX)?, ticket(&value).ok()?));
        Ok(rows.filter_map(read).collect())
    }

    /// A contact is new, and may not know us. Blocks on the disk.
    pub(super) fn expect(&self, of: PersonId) -> Result<(), NodeError> {
        self.meta.put(&unmet(of), &[])?;
        self.lock().insert(of);
        Ok(())
    }

    /// Whether a contact may not know us yet.
    pub(super) fn is_unmet(&self, person: PersonId) -> bool {
        self.lock().contains(&person)
    }

    /// A contact knows us, or will. Gives the row that goes.
    pub(super) fn met(&self, person: PersonId) -> Option<String> {
        self.lock().remove(&person).then(|| unmet(person))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<PersonId>> {
        self.unmet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The row with an invitation of a person.
pub(super) fn row(person: PersonId) -> String {
    format!("{PREFIX}{}", to_base32(&person.0))
}

fn unmet(person: PersonId) -> String {
    format!("{UNMET}{}", to_base32(&person.0))
}

fn person(key: &str, prefix: &str) -> Option<PersonId> {
    let bytes = from_base32(key.strip_prefix(prefix)?).ok()?;
    bytes.try_into().ok().map(PersonId)
}

fn ticket(bytes: &[u8]) -> Result<Ticket, Malformed> {
    let mut r = Reader::new(bytes);
    let (id, secret) = (r.array()?, Key::new(r.array()?));
    r.finish()?;
    Ok(Ticket { id, secret })
}
