//! Introductions that came, on the disk: they wait for a word of the user.

use super::api::IntroductionEntry;
use super::cards::{Contacts, answers_to, shown};
use super::error::NodeError;
use super::kept::Kept;
use crate::engine::id::PersonId;
use crate::security::card::Card;
use crate::security::identity::safety_number;
use crate::security::introduction::{Id, IntroductionError};
use crate::security::introductions::{Introductions, Waiting};
use crate::store::meta::Meta;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const KEY: &str = "introductions";

/// All of them.
pub(super) struct IntroductionBook {
    me: PersonId,
    book: Kept<Introductions>,
    refused: AtomicU64,
}

impl IntroductionBook {
    /// Reads what was stored.
    pub(super) fn load(meta: Meta, me: PersonId) -> Result<Self, NodeError> {
        let book = Kept::load(meta, KEY, Introductions::decode, Introductions::encode)?;
        let refused = AtomicU64::new(0);
        Ok(Self { me, book, refused })
    }

    /// Takes in what a contact has sent. Blocks on the disk.
    pub(super) fn take(
        &self,
        from: PersonId,
        bytes: &[u8],
        contacts: &Contacts,
    ) -> Result<(), NodeError> {
        let known = |person| contacts.get(person);
        let taken = self
            .book
            .change(|book| Ok(book.take(bytes, from, self.me, known)?));
        if matches!(taken, Err(NodeError::Introduction(_))) {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// How many were refused since the start.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Makes a contact of who is introduced. Blocks on the disk.
    pub(super) fn accept(&self, text: &str, contacts: &Contacts) -> Result<Card, NodeError> {
        let (introducer, id) = self.find(text)?;
        self.book.change(|book| {
            let known = contacts.list();
            let introduction = book.accept(introducer, id, &known)?;
            if contacts.is_taken(introduction.card()) {
                return Err(IntroductionError::NameTaken.into());
            }
            contacts.keep_introduced(introduction.card(), introducer)?;
            Ok(introduction.card().clone())
        })
    }

    /// Who is introduced by this name or key.
    pub(super) fn person(&self, text: &str) -> Result<PersonId, NodeError> {
        let (introducer, id) = self.find(text)?;
        let book = self.book.get();
        let mut all = book.waiting().iter().map(|waiting| &waiting.introduction);
        let found = all.find(|one| one.introducer() == introducer && one.terms().id == id);
        let found = found.ok_or(IntroductionError::Spent)?;
        Ok(found.card().person())
    }

    /// Drops an introduction. Blocks on the disk.
    pub(super) fn decline(&self, text: &str) -> Result<(), NodeError> {
        let (introducer, id) = self.find(text)?;
        self.book.change(|book| match book.decline(introducer, id) {
            true => Ok(()),
            false => Err(IntroductionError::Spent.into()),
        })
    }

    /// Counts uptime, on the disk as well. Blocks.
    pub(super) fn age(&self, uptime: Duration) -> Result<(), NodeError> {
        if self.book.get().waiting().is_empty() {
            return Ok(());
        }
        self.book.change(|book| {
            book.age(uptime);
            Ok(())
        })
    }

    /// What people want to know of those that wait.
    pub(super) fn list(&self, contacts: &Contacts) -> Vec<IntroductionEntry> {
        let entry = |waiting: &Waiting| {
            let introduction = &waiting.introduction;
            let (card, introducer) = (introduction.card(), introduction.introducer());
            IntroductionEntry {
                name: card.body().name.clone(),
                person: card.person().to_string(),
                introducer: contacts.name(introducer),
                introducer_level: contacts.standings.get(introducer).level,
                note: introduction.terms().note.clone(),
                left_s: waiting.left_s,
                safety_number: safety_number(self.me, card.person()),
            }
        };
        self.book.get().waiting().iter().map(entry).collect()
    }

    /// Finds the oldest introduction of a person, by its name or the beginning of its key, as contacts are found.
    fn find(&self, text: &str) -> Result<(PersonId, Id), NodeError> {
        let book = self.book.get();
        let is_meant = |w: &&Waiting| answers_to(w.introduction.card(), text);
        let found: Vec<&Waiting> = book.waiting().iter().filter(is_meant).collect();
        let person = |w: &&Waiting| w.introduction.card().person();
        let persons: BTreeSet<PersonId> = found.iter().map(person).collect();
        match found.first() {
            Some(first) if persons.len() == 1 => {
                let introduction = &first.introduction;
                Ok((introduction.introducer(), introduction.terms().id))
            }
            Some(_) => Err(NodeError::Usage(format!(
                "several persons are introduced as `{}`; give the person URI that `ostrakon person list` shows",
                shown(text)
            ))),
            None => Err(NodeError::NotFound(format!(
                "nobody is introduced as `{}`; see `ostrakon person list`",
                shown(text)
            ))),
        }
    }
}
