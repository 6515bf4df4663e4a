//! Persons who have written and are no contacts, on the disk: they wait for a word of the user. And whether strangers are let
//! in at all.

use super::api::{Response, StrangerEntry};
use super::cards::{Contacts, answers_to, shown};
use super::driver::Command;
use super::error::NodeError;
use super::hidden::Outcome;
use super::kept::Kept;
use super::service::Service;
use crate::engine::id::PersonId;
use crate::engine::trust::{Level, Standing};
use crate::security::card::Card;
use crate::security::identity::safety_number;
use crate::security::strangers::{Stranger, Strangers};
use crate::store::meta::Meta;
use std::collections::BTreeMap;
use std::time::Duration;

const KEY: &str = "strangers";
const OPEN: &str = "strangers-open";

/// How the engine stands to who waits, and to who was declined.
const UNKNOWN: Standing = Standing {
    level: Level::Unknown,
    blocked: false,
};
const DECLINED: Standing = Standing {
    level: Level::Unknown,
    blocked: true,
};

/// All of them.
pub(super) struct StrangerBook {
    meta: Meta,
    me: PersonId,
    book: Kept<Strangers>,
}

impl StrangerBook {
    /// Reads what was stored.
    pub(super) fn load(meta: Meta, me: PersonId) -> Result<Self, NodeError> {
        let book = Kept::load(meta.clone(), KEY, Strangers::decode, Strangers::encode)?;
        Ok(Self { meta, me, book })
    }

    /// Whether persons who are no contacts may write. Reads the disk.
    pub(super) fn are_let_in(&self) -> Result<bool, NodeError> {
        Ok(self.meta.get(OPEN)?.is_some_and(|value| value == [1]))
    }

    fn let_in(&self, open: bool) -> Result<(), NodeError> {
        Ok(self.meta.put(OPEN, &[u8::from(open)])?)
    }

    /// What the engine has to know at its start.
    pub(super) fn standings(&self) -> Vec<(PersonId, Standing, Option<Card>)> {
        let book = self.book.get();
        let waiting = book.waiting().iter();
        let waiting = waiting.map(|s| (s.card.person(), UNKNOWN, Some(s.card.clone())));
        let declined = book.declined().map(|person| (person, DECLINED, None));
        waiting.chain(declined).collect()
    }

    /// Whose endpoint proves itself with this link key.
    pub(super) fn by_link_key(&self, key: &[u8; 32]) -> Option<PersonId> {
        let book = self.book.get();
        let proves = |s: &&Stranger| s.card.endpoint_by_link(key).is_some();
        book.waiting().iter().find(proves).map(|s| s.card.person())
    }

    /// Takes in the card that somebody unknown has sent of himself. Who was invited is a contact at once, unless somebody is
    /// called like him. Blocks on the disk.
    pub(super) fn take(
        &self,
        card: Card,
        invited: bool,
        contacts: &Contacts,
    ) -> Result<Outcome, NodeError> {
        let standing = if invited && !contacts.is_taken(&card) {
            let stored = contacts.keep_as(&card, Level::Invited, None)?;
            self.leave(card.person())?;
            stored.standing()
        } else {
            self.book
                .change(|book| Ok(book.take(card.clone(), invited)?))?;
            UNKNOWN
        };
        let card = Box::new(card);
        Ok(Outcome::Met { standing, card })
    }

    /// Makes a contact of who waits. Blocks on the disk.
    fn accept(
        &self,
        person: PersonId,
        alias: Option<String>,
        contacts: &Contacts,
    ) -> Result<Card, NodeError> {
        self.book.change(|book| {
            let stranger = book.remove(person).ok_or_else(|| nobody(""))?;
            let level = match stranger.invited {
                true => Level::Invited,
                false => Level::Known,
            };
            contacts.keep_as(&stranger.card, level, alias)?;
            Ok(stranger.card)
        })
    }

    /// Somebody waits no more, since he is a contact by another way. Blocks on the disk.
    pub(super) fn leave(&self, person: PersonId) -> Result<(), NodeError> {
        let waits = self
            .book
            .get()
            .waiting()
            .iter()
            .any(|s| s.card.person() == person);
        match waits {
            true => self.book.change(|book| Ok(book.remove(person))).map(drop),
            false => Ok(()),
        }
    }

    /// Drops somebody for good. Gives who is forgotten for that. Blocks on the disk.
    fn decline(&self, person: PersonId) -> Result<Option<PersonId>, NodeError> {
        self.book.change(|book| Ok(book.decline(person)))
    }

    /// Counts uptime, on the disk as well. Gives whose time is over. Blocks.
    fn age(&self, uptime: Duration) -> Result<Vec<PersonId>, NodeError> {
        if self.book.get().waiting().is_empty() {
            return Ok(Vec::new());
        }
        self.book.change(|book| Ok(book.age(uptime)))
    }

    /// What people want to know of those who wait, the oldest first. `messages` says how many of each do.
    fn list(&self, messages: &BTreeMap<PersonId, usize>) -> Vec<StrangerEntry> {
        let entry = |stranger: &Stranger| {
            let person = stranger.card.person();
            StrangerEntry {
                name: stranger.card.body().name.clone(),
                person: person.to_string(),
                safety_number: safety_number(self.me, person),
                invited: stranger.invited,
                messages: messages.get(&person).copied().unwrap_or(0),
                left_s: stranger.left_s,
            }
        };
        self.book.get().waiting().iter().map(entry).collect()
    }

    /// Those who wait, the oldest first.
    pub(super) fn persons(&self) -> Vec<PersonId> {
        let book = self.book.get();
        book.waiting().iter().map(|s| s.card.person()).collect()
    }

    /// Finds somebody who waits, by the name he gives himself or the beginning of his key.
    pub(super) fn find(&self, text: &str) -> Result<PersonId, NodeError> {
        let is_meant = |stranger: &&Stranger| answers_to(&stranger.card, text);
        let book = self.book.get();
        let mut found = book.waiting().iter().filter(is_meant);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one.card.person()),
            (Some(_), Some(_)) => Err(NodeError::Usage(format!(
                "several strangers call themselves `{}`; give the person URI that `ostrakon person strangers --json` shows",
                shown(text)
            ))),
            (None, _) => Err(nobody(text)),
        }
    }
}

fn nobody(text: &str) -> NodeError {
    NodeError::NotFound(format!(
        "nobody waits as `{}`; see `ostrakon person list` and `ostrakon person strangers`",
        shown(text)
    ))
}

impl Service {
    /// Lets strangers in or not, or says how it is; and lists those who wait.
    pub(super) async fn strangers(&self, open: Option<bool>) -> Result<Response, NodeError> {
        let _turn = self.0.settings.lock().await;
        if let Some(open) = open {
            self.with_store(move |s| s.contacts.strangers.let_in(open))
                .await?;
            self.order(Command::Strangers(open)).await?;
        }
        let persons = self.0.contacts.strangers.persons();
        let messages = self.ask(|reply| Command::Waiting(persons, reply)).await?;
        self.with_store(move |s| {
            let book = &s.contacts.strangers;
            Ok(Response::Strangers {
                open: book.are_let_in()?,
                strangers: book.list(&messages),
            })
        })
        .await
    }

    /// Makes a contact of a stranger; what he has written comes to the inbox.
    pub(super) async fn accept_stranger(
        &self,
        person: PersonId,
        alias: Option<String>,
    ) -> Result<Response, NodeError> {
        let (card, stored, entry) = self
            .with_store(move |s| {
                let card = s.contacts.strangers.accept(person, alias, &s.contacts)?;
                let stored = s.contacts.standings.get(card.person());
                let entry = s.contacts.entry(&card);
                Ok((card, stored, entry))
            })
            .await?;
        self.order(Command::Standing(person, stored.standing()))
            .await?;
        self.order(Command::Card(Box::new(card))).await?;
        Ok(Response::Person(entry))
    }

    /// Drops a stranger and what he has written.
    pub(super) async fn decline_stranger(&self, person: PersonId) -> Result<Response, NodeError> {
        let forgotten = self
            .with_store(move |s| s.contacts.strangers.decline(person))
            .await?;
        self.order(Command::Standing(person, DECLINED)).await?;
        if let Some(forgotten) = forgotten {
            self.order(Command::Standing(forgotten, UNKNOWN)).await?;
        }
        Ok(Response::Done)
    }

    /// Strangers grow older; whose time is over is a stranger as before he wrote.
    pub(super) async fn age_strangers(&self, uptime: Duration) -> Result<(), NodeError> {
        let _turn = self.0.settings.lock().await;
        let over = self
            .with_store(move |s| s.contacts.strangers.age(uptime))
            .await?;
        for person in over {
            for standing in [DECLINED, UNKNOWN] {
                self.order(Command::Standing(person, standing)).await?;
            }
        }
        Ok(())
    }
}
