//! Grants as people write and read them, for nodes and for relays alike.

use super::error::NodeError;
use super::home::random32;
use crate::engine::id::{from_base32, to_base32};
use crate::security::card::Card;
use crate::security::grant::{Grant, GrantError, LAST_PRIORITY, MAX_MAILBOXES, MailboxKey, Terms};
use crate::security::identity::Identity;
use crate::security::mailbox;
use ed25519_dalek::SigningKey;
use ostrakon_transports::relay::MAX_GRANTS as MAX_SHOWN;
use serde::{Deserialize, Serialize};

/// The names of priorities, by their code.
const PRIORITIES: [&str; 4] = ["urgent", "high", "normal", "bulk"];

/// What a new grant is to allow. What is missing is as much as can be granted, or as in the one that it is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantOrder {
    /// For whom: a link key in base32, the address of a relay, or a contact card.
    pub to: String,
    /// For which mailboxes, as addresses or contact cards.
    #[serde(default)]
    pub mailboxes: Vec<String>,
    /// The most bytes, in all.
    pub bytes: Option<u64>,
    /// The most frames, in all.
    pub frames: Option<u64>,
    /// `urgent`, `high`, `normal` or `bulk`.
    pub priority: Option<String>,
    /// The last value of the issuer's counter with which it is good.
    pub until: Option<u64>,
}

/// A grant, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantEntry {
    /// The grant itself.
    pub grant: String,
    /// The id of its last link.
    pub id: String,
    /// The id of its first link, which all share that were made from one.
    pub root: String,
    /// How many links it has.
    pub links: usize,
    /// The key of who issued it.
    pub issuer: String,
    /// The key of who holds it.
    pub holder: String,
    /// The mailboxes that it is for; all of the relay if there is none.
    pub mailboxes: Vec<String>,
    /// The most bytes, in all.
    pub bytes: u64,
    /// The most frames, in all.
    pub frames: u64,
    /// The most urgent priority.
    pub priority: String,
    /// The last value of the issuer's counter with which it is good.
    pub until: u64,
}

impl GrantEntry {
    /// Reads a grant and checks its signatures.
    ///
    /// # Errors
    /// [`NodeError::Grant`] says what is wrong and what to do.
    pub fn read(text: &str) -> Result<Self, NodeError> {
        Ok(Self::of(&Grant::from_text(text)?))
    }

    /// What a grant says.
    pub fn of(grant: &Grant) -> Self {
        let terms = grant.terms();
        let mailboxes = grant.mailboxes().iter().map(|key| mailbox::address(&key.0));
        Self {
            grant: grant.to_text(),
            id: to_base32(&grant.id()),
            root: to_base32(&grant.root()),
            links: grant.links().count(),
            issuer: to_base32(grant.issuer()),
            holder: to_base32(&terms.holder),
            mailboxes: mailboxes.collect(),
            bytes: terms.bytes,
            frames: terms.frames,
            priority: PRIORITIES[usize::from(terms.priority.min(LAST_PRIORITY))].to_owned(),
            until: terms.until,
        }
    }
}

impl GrantOrder {
    /// The terms of a link. What the order leaves out is as in `most`.
    pub(super) fn terms(&self, most: &Terms) -> Result<Terms, NodeError> {
        let mut mailboxes = Vec::new();
        for text in &self.mailboxes {
            mailboxes.push(read_mailbox(text)?);
        }
        mailboxes.sort_unstable();
        mailboxes.dedup();
        if mailboxes.len() > MAX_MAILBOXES {
            return Err(NodeError::Usage(format!(
                "a grant names at most {MAX_MAILBOXES} mailboxes; issue another one for the rest"
            )));
        }
        let random = random32().map_err(|source| NodeError::System {
            what: "random bytes",
            source,
        })?;
        let mut salt = [0; 8];
        salt.copy_from_slice(&random[..8]);
        Ok(Terms {
            holder: read_key(&self.to)?,
            mailboxes,
            bytes: self.bytes.unwrap_or(most.bytes),
            frames: self.frames.unwrap_or(most.frames),
            priority: match &self.priority {
                None => most.priority,
                Some(name) => read_priority(name)?,
            },
            until: self.until.unwrap_or(most.until),
            salt,
        })
    }
}

fn read_priority(name: &str) -> Result<u8, NodeError> {
    let code = PRIORITIES.iter().position(|known| *known == name);
    let code = code.and_then(|code| u8::try_from(code).ok());
    code.ok_or_else(|| NodeError::Usage("give urgent, high, normal or bulk as the priority".into()))
}

/// The link key that a text names: in base32, in the address of a relay, or in a contact card.
pub(super) fn read_key(text: &str) -> Result<[u8; 32], NodeError> {
    let text = text.trim();
    let address = text
        .get(..6)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("relay:"));
    let named = match text.rsplit_once("?key=") {
        Some((_, key)) if address => key,
        _ => text,
    };
    let key = from_base32(named).ok().and_then(|key| key.try_into().ok());
    if let Some(key) = key {
        return Ok(key);
    }
    let card = Card::from_text(text).map_err(|_| {
        NodeError::Usage(
            "a key has 52 characters of base32; give one, the address of a relay, or a file with a contact card".into(),
        )
    })?;
    match card.body().endpoints.first() {
        Some(endpoint) => Ok(endpoint.link),
        None => Err(NodeError::Usage(
            "the card names no device; ask for a new one".into(),
        )),
    }
}

fn read_mailbox(text: &str) -> Result<MailboxKey, NodeError> {
    if let Some(key) = mailbox::from_address(text) {
        return Ok(MailboxKey(key));
    }
    let card = Card::from_text(text).map_err(|_| {
        NodeError::Usage(
            "this names no mailbox; give the address that its owner shows with `ostrakon card --mailbox`, or a file with a contact card".into(),
        )
    })?;
    Ok(MailboxKey(card.body().mailbox))
}

/// Makes a narrower grant of one that this node holds.
pub(super) fn narrow(
    text: &str,
    order: &GrantOrder,
    me: &Identity,
) -> Result<GrantEntry, NodeError> {
    let grant = Grant::from_text(text)?;
    let key = SigningKey::from_bytes(me.link_seed().bytes());
    let narrower = grant.narrow(order.terms(grant.terms())?, &key)?;
    Ok(GrantEntry::of(&narrower))
}

/// Adds a grant to those that a link shows, or forgets all. `holder` is the key with which the link is proved, where it is
/// known.
pub(super) fn add_grant(
    shown: &mut Vec<String>,
    grant: Option<&str>,
    holder: Option<[u8; 32]>,
) -> Result<(), NodeError> {
    let Some(text) = grant else {
        shown.clear();
        return Ok(());
    };
    let grant = Grant::from_text(text)?;
    if holder.is_some_and(|holder| grant.terms().holder != holder) {
        return Err(GrantError::Holder.into());
    }
    let text = grant.to_text();
    if shown.contains(&text) {
        return Ok(());
    }
    if shown.len() >= MAX_SHOWN {
        return Err(NodeError::Usage(format!(
            "a link shows at most {MAX_SHOWN} grants; forget them first with --forget"
        )));
    }
    shown.push(text);
    Ok(())
}
