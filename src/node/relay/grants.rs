//! The grants of a relay: whose count, which it has issued and revoked, and how far the counters are that end them.

use super::super::error::NodeError;
use super::super::grants::{GrantEntry, GrantOrder, read_key};
use super::api::{GrantStatus, Issued, Issuer, Spent};
use super::mailboxes::Mailboxes;
use crate::engine::id::{from_base32, to_base32};
use crate::security::grant::{Grant, GrantError, GrantId, Terms};
use crate::security::spending::{Row, Statement};
use ed25519_dalek::SigningKey;
use ostrakon_transports::relay::GrantAnswer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Settings: the relay's own counter; whose grants count beside its own, with the counter of each; what was issued;
/// what was revoked.
const COUNTER: &str = "grant-counter";
const ISSUER: &str = "grant-issuer/";
const ISSUED: &str = "grant-issued/";
const REVOKED: &str = "grant-revoked/";
/// The most others whose grants count.
const MAX_ISSUERS: usize = 64;
/// The most grants that are remembered as issued, and as revoked.
const MAX_GRANTS: usize = 10_000;
/// How many turns of the counter what is over is remembered, so that statements can still be compared.
const REMEMBERED: u64 = 1;

/// A link of a grant that does not count any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Revoked {
    issuer: String,
    until: u64,
}

#[derive(Default)]
struct State {
    counter: u64,
    issuers: BTreeMap<[u8; 32], u64>,
    issued: BTreeMap<GrantId, Grant>,
    revoked: BTreeMap<GrantId, Revoked>,
    /// What became of grants that clients showed.
    shown: BTreeMap<&'static str, u64>,
}

/// All of it. Changes are durable before they are seen; callers that change something take turns.
pub(super) struct Grants {
    mailboxes: Arc<Mailboxes>,
    state: Mutex<State>,
    /// Signs and names the relay. Known where the key was read.
    key: OnceLock<SigningKey>,
    /// Frames need a grant.
    required: OnceLock<bool>,
}

impl Grants {
    /// Takes what is stored; what does not read any more is left out and logged.
    pub(super) fn new(mailboxes: Arc<Mailboxes>, stored: &[(String, Vec<u8>)]) -> Self {
        let mut state = State::default();
        for (name, value) in stored {
            if state.read(name, value).is_none() {
                tracing::warn!(name, "a stored grant does not read");
            }
        }
        Self {
            mailboxes,
            state: Mutex::new(state),
            key: OnceLock::new(),
            required: OnceLock::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The relay has this key.
    pub(super) fn know_key(&self, seed: &[u8; 32]) {
        let _ = self.key.set(SigningKey::from_bytes(seed));
    }

    /// The relay runs, and stores without a grant or does not.
    pub(super) fn require(&self, required: bool) {
        let _ = self.required.set(required);
    }

    pub(super) fn are_required(&self) -> bool {
        self.required.get().copied().unwrap_or_default()
    }

    fn own(&self) -> Option<[u8; 32]> {
        Some(self.key.get()?.verifying_key().to_bytes())
    }

    fn key(&self) -> Result<&SigningKey, NodeError> {
        self.key.get().ok_or_else(|| {
            NodeError::Usage("the relay has no key yet; start it once with: ostrakon relay".into())
        })
    }

    /// Whether a grant counts now for who proved this key.
    pub(super) fn judge(&self, grant: &Grant, client: &[u8; 32]) -> GrantAnswer {
        let state = self.state();
        let counter = match self.own() == Some(*grant.issuer()) {
            true => Some(state.counter),
            false => state.issuers.get(grant.issuer()).copied(),
        };
        let Some(counter) = counter else {
            return GrantAnswer::Issuer;
        };
        if grant.links().any(|(id, _)| state.revoked.contains_key(id)) {
            return GrantAnswer::Revoked;
        }
        match grant.check(client, counter) {
            Ok(()) => GrantAnswer::Taken,
            Err(GrantError::Over) => GrantAnswer::Over,
            Err(_) => GrantAnswer::Holder,
        }
    }

    /// Counts what became of a grant that a client showed.
    pub(super) fn count(&self, answer: GrantAnswer) {
        *self.state().shown.entry(name_of(answer)).or_default() += 1;
    }

    /// What an operator is shown.
    pub(super) fn status(&self) -> GrantStatus {
        let state = self.state();
        let shown = state.shown.iter().map(|(name, n)| ((*name).to_owned(), *n));
        GrantStatus {
            required: self.are_required(),
            counter: state.counter,
            shown: shown.collect(),
            slowed: Default::default(),
        }
    }

    /// Makes a grant. Good for one value of the counter, unless the order says more.
    pub(super) async fn issue(
        &self,
        order: GrantOrder,
        turns: u64,
    ) -> Result<GrantEntry, NodeError> {
        let key = self.key()?;
        let until = self.state().counter.saturating_add(turns.saturating_sub(1));
        let most = Terms {
            holder: [0; 32],
            mailboxes: Vec::new(),
            bytes: u64::MAX,
            frames: u64::MAX,
            priority: 0,
            until,
            salt: [0; 8],
        };
        let grant = Grant::issue(order.terms(&most)?, key)?;
        if self.state().issued.len() >= MAX_GRANTS {
            return Err(GrantError::TooMany(MAX_GRANTS).into());
        }
        let name = format!("{ISSUED}{}", to_base32(&grant.id()));
        self.set(name, Some(grant.bytes().to_vec())).await?;
        let entry = GrantEntry::of(&grant);
        self.state().issued.insert(grant.id(), grant);
        Ok(entry)
    }

    /// What was issued and is not forgotten, with what it has cost here.
    pub(super) async fn issued(&self) -> Result<Vec<Issued>, NodeError> {
        let spent = self.spent().await?;
        let state = self.state();
        let entries = state.issued.iter().map(|(id, grant)| {
            let row = spent.iter().find(|row| row.id == *id);
            let spent = row.map(|row| row.spent).unwrap_or_default();
            Issued {
                entry: GrantEntry::of(grant),
                revoked: state.revoked.contains_key(id),
                over: state.counter > grant.terms().until,
                spent_frames: spent.frames,
                spent_bytes: spent.bytes,
            }
        });
        Ok(entries.collect())
    }

    /// Whose grants count beside the relay's own.
    pub(super) fn issuers(&self) -> Vec<Issuer> {
        let issuers = self.state().issuers.clone().into_iter();
        let shown = issuers.map(|(key, counter)| Issuer {
            key: to_base32(&key),
            counter,
        });
        shown.collect()
    }

    /// Has a grant, or a link of one, and all that was made from it count no more. Returns the id.
    pub(super) async fn revoke(&self, text: &str) -> Result<String, NodeError> {
        let (id, revoked) = self.find(text).await?;
        if self.state().revoked.len() >= MAX_GRANTS {
            return Err(GrantError::TooMany(MAX_GRANTS).into());
        }
        let shown = to_base32(&id);
        self.set(format!("{REVOKED}{shown}"), Some(json(&revoked)?))
            .await?;
        self.state().revoked.insert(id, revoked);
        Ok(shown)
    }

    /// The link that a text names: a grant, the beginning of the id of one that was issued here or spent here.
    async fn find(&self, text: &str) -> Result<(GrantId, Revoked), NodeError> {
        let text = text.trim().to_ascii_lowercase();
        if text.contains(':') {
            let grant = Grant::from_text(&text)?;
            let issuer = to_base32(grant.issuer());
            let until = grant.terms().until;
            return Ok((grant.id(), Revoked { issuer, until }));
        }
        let mut known: BTreeMap<GrantId, Revoked> = BTreeMap::new();
        for row in self.spent().await? {
            let issuer = to_base32(&row.issuer);
            let until = row.until;
            known.insert(row.id, Revoked { issuer, until });
        }
        for (id, grant) in &self.state().issued {
            let issuer = to_base32(grant.issuer());
            let until = grant.terms().until;
            known.insert(*id, Revoked { issuer, until });
        }
        let mut named = known
            .into_iter()
            .filter(|(id, _)| to_base32(id).starts_with(&text));
        match (named.next(), named.next()) {
            (Some(found), None) if text.len() >= 4 => Ok(found),
            (Some(_), _) => Err(NodeError::Usage(
                "this names more than one grant; give more of the id, at least four characters".into(),
            )),
            (None, _) => Err(NodeError::NotFound(
                "no grant of that id was issued or spent here; see `ostrakon relay grant list`, or give the grant itself".into(),
            )),
        }
    }

    /// Advances a counter: the relay's own, or that of an issuer whose grants count. What is long over is forgotten.
    pub(super) async fn turn(&self, issuer: Option<&str>) -> Result<u64, NodeError> {
        let issuer = match issuer {
            Some(text) => Some(self.trusted(text)?),
            None => None,
        };
        let counter = match issuer {
            None => self.state().counter,
            Some(key) => self.state().issuers.get(&key).copied().unwrap_or_default(),
        };
        let counter = counter.saturating_add(1);
        let name = match &issuer {
            None => COUNTER.to_owned(),
            Some(key) => format!("{ISSUER}{}", to_base32(key)),
        };
        self.set(name, Some(counter.to_be_bytes().to_vec())).await?;
        match issuer {
            None => self.state().counter = counter,
            Some(key) => drop(self.state().issuers.insert(key, counter)),
        }
        if let Some(key) = issuer.or(self.own()) {
            self.forget(key, counter.saturating_sub(REMEMBERED)).await?;
        }
        Ok(counter)
    }

    /// Forgets what was over before an issuer's counter had this value.
    async fn forget(&self, issuer: [u8; 32], counter: u64) -> Result<(), NodeError> {
        let text = to_base32(&issuer);
        let mut names = Vec::new();
        {
            let mut state = self.state();
            state.revoked.retain(|id, revoked| {
                let keep = revoked.issuer != text || revoked.until >= counter;
                if !keep {
                    names.push(format!("{REVOKED}{}", to_base32(id)));
                }
                keep
            });
            state.issued.retain(|id, grant| {
                let keep = *grant.issuer() != issuer || grant.terms().until >= counter;
                if !keep {
                    names.push(format!("{ISSUED}{}", to_base32(id)));
                }
                keep
            });
        }
        for name in names {
            self.set(name, None).await?;
        }
        let forgotten = self
            .mailboxes
            .with(move |store| store.forget_spent(&issuer, counter));
        Ok(forgotten.await?)
    }

    /// Has the grants of another issuer count here, or count no more.
    pub(super) async fn trust(&self, text: &str, forget: bool) -> Result<Issuer, NodeError> {
        if forget {
            let key = self.trusted(text)?;
            self.set(format!("{ISSUER}{}", to_base32(&key)), None)
                .await?;
            let counter = self.state().issuers.remove(&key).unwrap_or_default();
            let key = to_base32(&key);
            return Ok(Issuer { key, counter });
        }
        let key = read_key(text)?;
        if self.own() == Some(key) {
            return Err(NodeError::Usage(
                "this is the relay's own key, whose grants count anyway; leave it out".into(),
            ));
        }
        let known = self.state().issuers.get(&key).copied();
        if known.is_none() && self.state().issuers.len() >= MAX_ISSUERS {
            return Err(NodeError::Usage(format!(
                "there are at most {MAX_ISSUERS} issuers; forget one first with --forget"
            )));
        }
        let counter = known.unwrap_or_default();
        let name = format!("{ISSUER}{}", to_base32(&key));
        self.set(name, Some(counter.to_be_bytes().to_vec())).await?;
        self.state().issuers.insert(key, counter);
        let key = to_base32(&key);
        Ok(Issuer { key, counter })
    }

    fn trusted(&self, text: &str) -> Result<[u8; 32], NodeError> {
        let key = read_key(text)?;
        match self.state().issuers.contains_key(&key) {
            true => Ok(key),
            false => Err(NodeError::NotFound(
                "no issuer of that key is trusted; see `ostrakon relay grant list`".into(),
            )),
        }
    }

    async fn spent(&self) -> Result<Vec<Row>, NodeError> {
        Ok(self.mailboxes.with(|store| store.spent()).await?)
    }

    /// What grants have cost here, signed.
    pub(super) async fn statement(&self) -> Result<Spent, NodeError> {
        let key = self.key()?;
        let rows = self.spent().await?;
        let number = self.mailboxes.with(|store| store.next_statement()).await?;
        let statement = Statement {
            relay: key.verifying_key().to_bytes(),
            number,
            counter: self.state().counter,
            rows,
        };
        Ok(Spent::of(&statement, statement.sign(key)))
    }

    async fn set(&self, name: String, value: Option<Vec<u8>>) -> Result<(), NodeError> {
        let set = self
            .mailboxes
            .with(move |store| store.set(&name, value.as_deref()));
        Ok(set.await?)
    }
}

impl State {
    /// Takes a setting, if it is one of grants and reads.
    fn read(&mut self, name: &str, value: &[u8]) -> Option<()> {
        let number = || Some(u64::from_be_bytes(value.try_into().ok()?));
        let key = |text: &str| from_base32(text).ok()?.try_into().ok();
        if name == COUNTER {
            self.counter = number()?;
        } else if let Some(text) = name.strip_prefix(ISSUER) {
            self.issuers.insert(key(text)?, number()?);
        } else if name.strip_prefix(ISSUED).is_some() {
            let grant = Grant::decode(value).ok()?;
            self.issued.insert(grant.id(), grant);
        } else if let Some(text) = name.strip_prefix(REVOKED) {
            self.revoked
                .insert(key(text)?, serde_json::from_slice(value).ok()?);
        }
        Some(())
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, NodeError> {
    serde_json::to_vec(value).map_err(|error| NodeError::Usage(error.to_string()))
}

/// What an operator reads of an answer.
fn name_of(answer: GrantAnswer) -> &'static str {
    match answer {
        GrantAnswer::Taken => "taken",
        GrantAnswer::Unusable => "damaged or forged",
        GrantAnswer::Holder => "of another key",
        GrantAnswer::Issuer => "of an unknown issuer",
        GrantAnswer::Over => "over",
        GrantAnswer::Revoked => "revoked",
        GrantAnswer::Later => "shown too often",
    }
}
