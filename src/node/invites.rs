//! Invitations of ours: made, listed, taken back.

use super::api::{InvitationEntry, InvitationState, Response};
use super::cards::Contacts;
use super::driver::Command;
use super::error::NodeError;
use super::home::random32;
use super::service::Service;
use crate::engine::id::to_base32;
use crate::engine::invitations::State;
use crate::engine::io::{Input, Time};
use crate::security::invitation::{Id, Invitation, Ticket};
use crate::security::kdf::Key;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Seconds of a day.
const DAY: u32 = 24 * 3600;
/// The most days.
const MAX_DAYS: u16 = 366;
/// The shortest beginning of an id that names an invitation, in characters.
const SHORTEST: usize = 4;

/// What is done with an invitation.
pub(super) enum Order {
    /// It is open from now on, for so many seconds of uptime.
    Open(Ticket, u32),
    /// It is open no more.
    Close(Id),
}

impl Order {
    /// Which.
    pub(super) fn id(&self) -> Id {
        match self {
            Self::Open(ticket, _) => ticket.id,
            Self::Close(id) => *id,
        }
    }

    /// For the engine.
    pub(super) fn input(self) -> Input {
        match self {
            Self::Open(Ticket { id, secret }, seconds) => Input::Invite {
                id,
                secret,
                seconds,
            },
            Self::Close(id) => Input::Uninvite(id),
        }
    }
}

/// Those who wait for the engine's word.
#[derive(Default)]
pub(super) struct Pending(BTreeMap<Id, oneshot::Sender<bool>>);

impl Pending {
    /// Somebody waits.
    pub(super) fn wait(&mut self, id: Id, reply: oneshot::Sender<bool>) {
        self.0.insert(id, reply);
    }

    /// It was done, or not.
    pub(super) fn done(&mut self, id: Id, done: bool) {
        if let Some(reply) = self.0.remove(&id) {
            // Whoever asked may have given up.
            let _ = reply.send(done);
        }
    }
}

/// What people want to know of them, the last change last.
pub(super) fn list(all: &[(Id, State)], now: Time, contacts: &Contacts) -> Vec<InvitationEntry> {
    let entry = |(id, state): &(Id, State)| {
        let used_by = match state {
            State::Used { by, .. } => Some(*by),
            _ => None,
        };
        InvitationEntry {
            id: to_base32(id),
            state: match state {
                State::Open { .. } => InvitationState::Open,
                State::Used { .. } => InvitationState::Used,
                State::Revoked => InvitationState::Revoked,
                State::RunOut => InvitationState::RunOut,
            },
            left_s: state.left_s(now),
            used_by: used_by.map(|person| contacts.name(person)),
        }
    };
    all.iter().map(entry).collect()
}

impl Service {
    /// Makes an invitation.
    pub(super) async fn invite(&self, days: u16) -> Result<Response, NodeError> {
        if !(1..=MAX_DAYS).contains(&days) {
            return Err(NodeError::Usage(format!(
                "an invitation is good for 1 to {MAX_DAYS} days; choose others"
            )));
        }
        let card = self.newest_card().await?;
        let random = || random32().map_err(NodeError::random);
        let mut id = Id::default();
        let len = id.len();
        id.copy_from_slice(&random()?[..len]);
        let secret = Key::new(*random()?);
        let ticket = Ticket { id, secret };
        let seconds = u32::from(days).saturating_mul(DAY);
        let order = Order::Open(ticket.clone(), seconds);
        if !self.ask(|reply| Command::Invite(order, reply)).await? {
            return Err(NodeError::TooManyInvitations);
        }
        Ok(Response::Invitation {
            id: to_base32(&id),
            text: Invitation { ticket, card }.to_text(),
            left_s: u64::from(seconds),
        })
    }

    /// Lists all invitations.
    pub(super) async fn invitations(&self) -> Result<Response, NodeError> {
        let invitations = self.ask(Command::Invitations).await?;
        Ok(Response::Invitations { invitations })
    }

    /// Takes an open invitation back, by the beginning of its id.
    pub(super) async fn uninvite(&self, text: &str) -> Result<Response, NodeError> {
        let low = text.trim().to_ascii_lowercase();
        let all = self.ask(Command::Invitations).await?;
        let mut open = all
            .iter()
            .filter(|entry| entry.state == InvitationState::Open)
            .filter(|entry| low.len() >= SHORTEST && entry.id.starts_with(&low));
        let id = match (open.next(), open.next()) {
            (Some(one), None) => crate::engine::id::from_base32(&one.id).unwrap_or_default(),
            (Some(_), Some(_)) => {
                return Err(NodeError::Usage(
                    "several invitations begin so; give more of the id".into(),
                ));
            }
            (None, _) => Vec::new(),
        };
        let id = Id::try_from(id).map_err(|_| {
            NodeError::NotFound("no open invitation has this id; see `ostrakon invite list`".into())
        })?;
        let order = Order::Close(id);
        self.ask(|reply| Command::Invite(order, reply)).await?;
        Ok(Response::Done)
    }
}
