//! Messages from node to node, of which people see nothing in the inbox: cards, introductions, comparisons by voice, and
//! what was read on another device.

use super::cards::Contacts;
use super::error::NodeError;
use super::marks;
use crate::engine::id::{MessageId, PersonId};
use crate::engine::trust::Standing;
use crate::security::card::{self, Card};
use crate::security::{introduction, roster, voice};
use bytes::Bytes;
use std::sync::Arc;

/// What such a message holds, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The newest card of its sender.
    Card,
    /// The sender vouches for the card of somebody else.
    Introduction,
    /// A step of a comparison by voice.
    Voice,
    /// What was read on another device of ours.
    Marks,
    /// Which devices of ours another one has added and removed.
    Roster,
}

impl Content {
    /// What a part of this media type holds, if it is not for people.
    pub(super) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            card::MEDIA_TYPE => Some(Self::Card),
            introduction::MEDIA_TYPE => Some(Self::Introduction),
            voice::MEDIA_TYPE => Some(Self::Voice),
            marks::MEDIA_TYPE => Some(Self::Marks),
            roster::MEDIA_TYPE => Some(Self::Roster),
            _ => None,
        }
    }
}

/// Such a message.
#[derive(Debug)]
pub(super) struct Hidden {
    /// The message.
    pub(super) message: MessageId,
    /// The part.
    pub(super) part: u8,
    /// Its sender.
    pub(super) from: PersonId,
    /// What it holds.
    pub(super) content: Content,
    /// The sender has used an invitation of ours.
    pub(super) invited: bool,
    /// The bytes of that.
    pub(super) bytes: Bytes,
    /// Where it belongs.
    pub(super) contacts: Arc<Contacts>,
}

/// What follows from such a message.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing.
    Done,
    /// Somebody has a new card.
    Card(Box<Card>),
    /// Somebody who was no contact has sent his card.
    Met {
        /// How we stand to him now.
        standing: Standing,
        /// His card.
        card: Box<Card>,
    },
    /// Another endpoint of ours has made a card for us.
    OwnCard(Box<Card>),
    /// Another endpoint of ours has added or removed devices.
    Roster,
    /// Somebody may wait for the next step of a comparison by voice.
    Voice(PersonId),
}

impl Hidden {
    /// Takes it in: durably, or not at all. Blocks on the disk.
    ///
    /// # Errors
    /// Only those of the store; then it is to be tried again. What else is wrong is logged, and the message is done with.
    pub(super) fn take(&self) -> Result<Outcome, NodeError> {
        let (contacts, from, bytes) = (&self.contacts, self.from, &self.bytes);
        let taken = match self.content {
            Content::Card if contacts.is_me(from) => {
                contacts.update_own(bytes).map(|card| match card {
                    Some(card) => Outcome::OwnCard(Box::new(card)),
                    None => Outcome::Done,
                })
            }
            Content::Card => contacts.update(from, bytes, self.invited),
            Content::Introduction => {
                let taken = contacts.introductions.take(from, bytes, contacts);
                taken.map(|()| Outcome::Done)
            }
            Content::Marks if contacts.is_me(from) => {
                contacts.marks.take(bytes).map(|()| Outcome::Done)
            }
            Content::Roster if contacts.is_me(from) => {
                contacts.update_roster(bytes).map(|news| match news {
                    true => Outcome::Roster,
                    false => Outcome::Done,
                })
            }
            Content::Marks | Content::Roster => Err(NodeError::Usage(
                "somebody else says what another device of ours would; it is not taken".into(),
            )),
            Content::Voice => {
                let taken = contacts.voices.take(from, bytes);
                taken.map(|()| Outcome::Voice(from))
            }
        };
        match taken {
            Err(error) if !matches!(error, NodeError::Store(_)) => {
                tracing::warn!(?from, what = ?self.content, %error, "not taken");
                Ok(Outcome::Done)
            }
            taken => taken,
        }
    }
}
