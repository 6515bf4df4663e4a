//! Requests about persons: who is verified, who is blocked, who is introduced.

use super::api::Response;
use super::driver::Command;
use super::error::NodeError;
use super::home::random32;
use super::send::Note;
use super::service::{Inner, Service};
use super::standings::Stored;
use crate::engine::id::PersonId;
use crate::engine::trust::Level;
use crate::security::card::Card;
use crate::security::identity::safety_number;
use crate::security::introduction::{Introduction, MAX_NOTE, MAX_TIME, Terms};
use std::time::Duration;

/// Seconds of a day.
const DAY: u32 = 24 * 3600;
/// The longest introduction, in bytes: it has to stand in the manifest of its message.
const MAX_INTRODUCTION: usize = 1024;

impl Service {
    /// The number that the other side sees makes a person a verified one, if it is ours too.
    pub(super) async fn person_verify(
        &self,
        person: String,
        number: String,
    ) -> Result<Response, NodeError> {
        self.change_standing(person, move |s, card, stored| {
            let me = s.keys.identity().person();
            if digits(&number) != digits(&safety_number(me, card.person())) {
                return Err(NodeError::SafetyNumber(card.body().name.clone()));
            }
            stored.level = Level::Verified;
            Ok(())
        })
        .await
    }

    /// A person is neither verified nor introduced any more.
    pub(super) async fn person_revoke(&self, person: String) -> Result<Response, NodeError> {
        self.change_standing(person, |_, _, stored| {
            (stored.level, stored.introducer) = (Level::Known, None);
            Ok(())
        })
        .await
    }

    /// Shuts a person out, or lets it in again.
    pub(super) async fn person_block(
        &self,
        person: String,
        blocked: bool,
    ) -> Result<Response, NodeError> {
        self.change_standing(person, move |_, _, stored| {
            stored.blocked = blocked;
            Ok(())
        })
        .await
    }

    async fn change_standing(
        &self,
        person: String,
        change: impl FnOnce(&Inner, &Card, &mut Stored) -> Result<(), NodeError> + Send + 'static,
    ) -> Result<Response, NodeError> {
        let _turn = self.0.settings.lock().await;
        let (who, standing, entry) = self
            .with_store(move |s| {
                let card = s.contacts.find(&person)?;
                let who = card.person();
                let mut stored = s.contacts.standings.get(who);
                change(s, &card, &mut stored)?;
                s.contacts.standings.set(who, stored.clone())?;
                Ok((who, stored.standing(), s.contacts.entry(&card)))
            })
            .await?;
        self.order(Command::Standing(who, standing)).await?;
        Ok(Response::Person(entry))
    }

    /// Sends each of two contacts the card of the other, signed for.
    pub(super) async fn person_introduce(
        &self,
        [first, second]: [&str; 2],
        days: u16,
        note: String,
    ) -> Result<Response, NodeError> {
        let contacts = &self.0.contacts;
        let (first, second) = (contacts.find(first)?, contacts.find(second)?);
        if first.person() == second.person() {
            return Err(NodeError::Usage(
                "both names mean the same person; name two contacts".into(),
            ));
        }
        let both = [
            self.introduction(&first, &second, days, &note)?,
            self.introduction(&second, &first, days, &note)?,
        ];
        let mut messages = Vec::new();
        for one in both {
            let queued = self.send_note(Note::introduction(&one), one.recipient());
            if let Response::Queued { message, .. } = queued.await? {
                messages.push(message);
            }
        }
        Ok(Response::Introduced { messages })
    }

    fn introduction(
        &self,
        to: &Card,
        about: &Card,
        days: u16,
        note: &str,
    ) -> Result<Introduction, NodeError> {
        let random = random32().map_err(NodeError::random)?;
        let mut id = [0; 16];
        id.copy_from_slice(&random[..16]);
        let terms = Terms {
            id,
            seconds: u32::from(days).saturating_mul(DAY),
            note: note.to_owned(),
        };
        terms.check().map_err(|_| {
            NodeError::Usage(format!(
                "an introduction is good for 1 to {} days, and its note has at most {MAX_NOTE} bytes, all of them visible; choose others",
                MAX_TIME / DAY
            ))
        })?;
        if self.0.contacts.standings.get(to.person()).blocked {
            return Err(crate::engine::io::SendError::Blocked.into());
        }
        let identity = self.0.keys.identity();
        let made = identity.introduce(to.person(), about, terms);
        if made.bytes().len() > MAX_INTRODUCTION {
            return Err(NodeError::Usage(format!(
                "the card of {} names too many relays to be sent along; hand it over yourself",
                super::cards::shown(&about.body().name)
            )));
        }
        Ok(made)
    }

    /// Makes a contact of who was introduced.
    pub(super) async fn person_accept(
        &self,
        person: String,
        alias: Option<String>,
    ) -> Result<Response, NodeError> {
        let _turn = self.0.settings.lock().await;
        if let Some(stranger) = self.stranger(&person, alias.is_some())? {
            return self.accept_stranger(stranger, alias).await;
        }
        let (card, stored, entry) = self
            .with_store(move |s| {
                let card = s.contacts.introductions.accept(&person, &s.contacts)?;
                s.contacts.strangers.leave(card.person())?;
                let stored = s.contacts.standings.get(card.person());
                let entry = s.contacts.entry(&card);
                Ok((card, stored, entry))
            })
            .await?;
        let who: PersonId = card.person();
        self.order(Command::Standing(who, stored.standing()))
            .await?;
        self.order(Command::Card(Box::new(card))).await?;
        Ok(Response::Person(entry))
    }

    /// The stranger who is meant, unless it is somebody who was introduced.
    fn stranger(&self, text: &str, alias: bool) -> Result<Option<PersonId>, NodeError> {
        let contacts = &self.0.contacts;
        let stranger = contacts.strangers.find(text);
        match (contacts.introductions.person(text), stranger) {
            (Err(NodeError::NotFound(_)), stranger) => stranger.map(Some),
            (Ok(introduced), Ok(stranger)) if introduced != stranger => {
                Err(NodeError::Usage(format!(
                    "`{}` was introduced, and a stranger calls himself so; give the person URI of the one you mean",
                    super::cards::shown(text)
                )))
            }
            (_, Ok(stranger)) if alias => Ok(Some(stranger)),
            (introduced, _) => introduced.map(|_| None),
        }
    }

    /// Drops an introduction, or a stranger.
    pub(super) async fn person_decline(&self, person: String) -> Result<Response, NodeError> {
        if let Some(stranger) = self.stranger(&person, false)? {
            return self.decline_stranger(stranger).await;
        }
        self.with_store(move |s| s.contacts.introductions.decline(&person))
            .await?;
        Ok(Response::Done)
    }

    /// Introductions that wait grow older.
    pub(super) async fn age_introductions(&self, uptime: Duration) -> Result<(), NodeError> {
        self.with_store(move |s| s.contacts.introductions.age(uptime))
            .await
    }
}

/// What counts of a number that people read aloud.
pub(super) fn digits(text: &str) -> Vec<char> {
    text.chars().filter(char::is_ascii_digit).collect()
}
