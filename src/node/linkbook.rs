//! The configured links: names, addresses and numbers, kept in the store.

use super::address::Address;
use super::api::{LinkConfig, OneWay, RateControl, Response};
use super::cards::Contacts;
use super::error::NodeError;
use super::grants::add_grant;
use super::home::random32;
use crate::engine::id::{PersonId, to_base32};
use crate::security::grant::Grant;
use crate::store::meta::Meta;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

const PREFIX: &str = "link/";
const NEXT: &str = "link-next";
/// The first number of links that are not configured: those that others open, and folders done by hand.
pub(super) const FIRST_UNCONFIGURED: u32 = 1 << 16;
/// Rates, in bits per second.
const RATES: RangeInclusive<u64> = 1..=1_000_000_000_000;
/// Round-trip times, in milliseconds.
const RTTS: RangeInclusive<u64> = 1..=24 * 3600 * 1000;
/// The most links.
const MAX_LINKS: usize = 64;
/// The most links that a node takes of one other node.
pub(super) const MAX_OF_ONE: usize = 8;
/// The most relays that a card names.
pub(super) const MAX_RELAYS: usize = 8;

/// A configured link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its number, below [`FIRST_UNCONFIGURED`], never used for another link.
    pub(super) id: u32,
    /// Whom it reaches, as a URI, if it reaches one person only.
    pub(super) person: Option<String>,
    /// As the user wrote it.
    pub(super) config: LinkConfig,
    /// Grants that it shows to its relay.
    #[serde(default)]
    grants: Vec<String>,
}

impl Record {
    /// Where it leads.
    pub(super) fn address(&self) -> Result<Address, NodeError> {
        Address::parse(&self.config.uri)
    }

    /// What it shows to its relay.
    pub(super) fn grants(&self) -> Vec<Bytes> {
        let grants = self
            .grants
            .iter()
            .filter_map(|text| Grant::from_text(text).ok());
        grants.map(|grant| grant.bytes().to_vec().into()).collect()
    }

    /// Whom it reaches, if it reaches one person only.
    pub(super) fn person(&self) -> Option<PersonId> {
        self.person.as_deref().and_then(|uri| uri.parse().ok())
    }
}

/// All configured links. Changes are durable before they are seen.
pub(super) struct Linkbook {
    meta: Meta,
    records: Mutex<BTreeMap<String, Record>>,
}

impl Linkbook {
    /// Reads the stored links; one that does not read any more is left out and logged.
    pub(super) fn load(meta: Meta) -> Result<Self, NodeError> {
        let mut records = BTreeMap::new();
        for (key, bytes) in meta.list(PREFIX)? {
            match serde_json::from_slice::<Record>(&bytes) {
                Ok(record) => {
                    records.insert(record.config.name.clone(), record);
                }
                Err(error) => tracing::warn!(%key, %error, "a stored link does not read"),
            }
        }
        let records = Mutex::new(records);
        Ok(Self { meta, records })
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All links, by name.
    pub(super) fn list(&self) -> Vec<Record> {
        self.records().values().cloned().collect()
    }

    /// The same for who asks, each with the name of whom it reaches, also where nobody had to say it.
    pub(super) fn shown(&self, contacts: &Contacts) -> Response {
        let shown = |record: Record| {
            let name = record.person().map(|person| contacts.name(person));
            LinkConfig {
                person: name.or(record.config.person),
                ..record.config
            }
        };
        let links = self.list().into_iter().map(shown).collect();
        Response::Links { links }
    }

    /// The link of this name.
    pub(super) fn find(&self, name: &str) -> Result<Record, NodeError> {
        self.records().get(name).cloned().ok_or_else(|| {
            NodeError::NotFound(format!(
                "no link is called `{name}`; see `ostrakon link list`"
            ))
        })
    }

    /// Adds a link. Blocks on the disk; callers take turns.
    pub(super) fn add(&self, config: LinkConfig, who: &Contacts) -> Result<Record, NodeError> {
        check(&config)?;
        let address = Address::parse(&config.uri)?;
        check_frame(config.mtu, &address)?;
        check_control(config.control, &address)?;
        if let Address::Spool { dir } = &address {
            check_folder(dir, config.oneway)?;
        }
        let person = person(&config, &address, who)?;
        self.admit(&config, &address)?;
        if let Some(person) = person.filter(|_| matches!(address, Address::Quic { .. })) {
            self.admit_to(person, who)?;
        }
        let id = self.next_id()?;
        let record = Record {
            id,
            person: person.map(|p| p.to_string()),
            config,
            grants: Vec::new(),
        };
        self.meta.put(NEXT, &id.saturating_add(1).to_be_bytes())?;
        self.keep(record)
    }

    fn keep(&self, record: Record) -> Result<Record, NodeError> {
        let value = serde_json::to_vec(&record).map_err(|e| NodeError::Usage(e.to_string()))?;
        let name = record.config.name.clone();
        self.meta.put(&format!("{PREFIX}{name}"), &value)?;
        self.records().insert(name, record.clone());
        Ok(record)
    }

    /// Has a link show a grant to its relay, or none any more. `holder` is the link key of this node. Blocks on the disk;
    /// callers take turns.
    pub(super) fn set_grant(
        &self,
        name: &str,
        grant: Option<&str>,
        holder: [u8; 32],
    ) -> Result<Record, NodeError> {
        let mut record = self.find(name)?;
        if !matches!(record.address()?, Address::Relay { .. }) {
            return Err(NodeError::Usage(format!(
                "`{name}` leads to no relay, and nobody else asks for a grant; leave it out"
            )));
        }
        add_grant(&mut record.grants, grant, Some(holder))?;
        self.keep(record)
    }

    /// Whether there is room for this link and its name is free.
    fn admit(&self, config: &LinkConfig, address: &Address) -> Result<(), NodeError> {
        let records = self.records();
        if records.contains_key(&config.name) {
            return Err(NodeError::Usage(format!(
                "a link is called `{}` already; remove it with `ostrakon link rm {}`, or choose another name",
                config.name, config.name
            )));
        }
        let relays = relays_of(records.values()).len();
        let relay = matches!(address, Address::Relay { .. });
        if records.len() >= MAX_LINKS || (relay && relays >= MAX_RELAYS) {
            return Err(NodeError::Usage(format!(
                "there are at most {MAX_LINKS} links, {MAX_RELAYS} of them to relays; remove one first"
            )));
        }
        Ok(())
    }

    /// Whether one more link may lead to a person: the node there takes no more than so many.
    fn admit_to(&self, person: PersonId, who: &Contacts) -> Result<(), NodeError> {
        let records = self.records();
        let leads = |record: &&Record| {
            let quic = matches!(record.address(), Ok(Address::Quic { .. }));
            quic && record.person() == Some(person)
        };
        if records.values().filter(leads).count() < MAX_OF_ONE {
            return Ok(());
        }
        Err(NodeError::Usage(format!(
            "{MAX_OF_ONE} links lead to {} already, and a node takes no more of one; remove one first with `ostrakon link rm`",
            who.name(person)
        )))
    }

    fn next_id(&self) -> Result<u32, NodeError> {
        let stored = self.meta.get(NEXT)?;
        let stored = stored.and_then(|b| Some(u32::from_be_bytes(b.try_into().ok()?)));
        let used = self.records().values().map(|r| r.id).max();
        let id = stored.unwrap_or(1).max(used.map_or(1, |id| id + 1));
        if id >= FIRST_UNCONFIGURED {
            return Err(NodeError::Usage(
                "the numbers of links are used up; make a new home".into(),
            ));
        }
        Ok(id)
    }

    /// The numbers of all links.
    pub(super) fn numbers(&self) -> BTreeSet<u32> {
        self.records().values().map(|record| record.id).collect()
    }

    /// Forgets a link and returns it. Blocks on the disk; callers take turns.
    pub(super) fn remove(&self, name: &str) -> Result<Record, NodeError> {
        let record = self.find(name)?;
        self.meta.delete(&format!("{PREFIX}{name}"))?;
        self.records().remove(name);
        Ok(record)
    }

    /// The relays from which we fetch, for our contact card.
    pub(super) fn relays(&self) -> Vec<String> {
        relays_of(self.records().values())
    }
}

fn relays_of<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<String> {
    let fetched = |record: &&Record| {
        record.config.oneway != Some(OneWay::Send)
            && matches!(record.address(), Ok(Address::Relay { .. }))
    };
    let mut relays: Vec<String> = records
        .filter(fetched)
        .map(|r| r.config.uri.clone())
        .collect();
    relays.sort();
    relays.dedup();
    relays
}

/// Whether a link may have this name and address.
pub(super) fn check_name(name: &str, uri: &str) -> Result<(), NodeError> {
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 32 || !name.chars().all(letters) {
        return Err(NodeError::Usage(
            "the name of a link has 1 to 32 letters, digits, `-` and `_`; choose another".into(),
        ));
    }
    if uri.len() > 255 {
        return Err(NodeError::Usage(
            "a link address has at most 255 bytes; shorten it".into(),
        ));
    }
    Ok(())
}

fn check(config: &LinkConfig) -> Result<(), NodeError> {
    check_name(&config.name, &config.uri)?;
    if config.loss_percent.is_some_and(|p| p > 95) {
        return Err(NodeError::Usage(
            "a loss of more than 95 percent cannot be planned for; give at most 95".into(),
        ));
    }
    if config.rate_bps.is_some_and(|rate| !RATES.contains(&rate)) {
        return Err(NodeError::Usage(
            "a rate is from 1 bit/s to 1000 Gbit/s; leave it out if it is unknown".into(),
        ));
    }
    if config.rtt_ms.is_some_and(|rtt| !RTTS.contains(&rtt)) {
        return Err(NodeError::Usage(
            "a round-trip time is from 1 ms to 1 day; leave it out if it is unknown".into(),
        ));
    }
    Ok(())
}

/// Whether a link there can be told to keep to such frames.
pub(super) fn check_frame(mtu: Option<usize>, address: &Address) -> Result<(), NodeError> {
    let frames = address.frames();
    if mtu.is_none_or(|mtu| frames.contains(&mtu)) {
        return Ok(());
    }
    Err(NodeError::Usage(format!(
        "a frame on a {} link has {} to {} bytes; give that, or leave it out",
        address.kind(),
        frames.start(),
        frames.end()
    )))
}

/// Whether a link there has anything to control.
pub(super) fn check_control(
    control: Option<RateControl>,
    address: &Address,
) -> Result<(), NodeError> {
    if control.is_none() || address.paces_itself() {
        return Ok(());
    }
    Err(NodeError::Usage(format!(
        "a {} link shares its line with nobody, so there is no control to choose; leave it out",
        address.kind()
    )))
}

/// A folder that is not there may be on a stick that is not in; one that is there has to be of use.
pub(super) fn check_folder(dir: &Path, oneway: Option<OneWay>) -> Result<(), NodeError> {
    let refuse = |what: &str, error: io::Error| {
        let dir = dir.display();
        NodeError::Usage(format!(
            "cannot {what} {dir}: {error}; give a folder in which that may be done, or --oneway"
        ))
    };
    let listed = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed.map(drop),
    };
    if oneway != Some(OneWay::Send) {
        listed.map_err(|e| refuse("read the folder", e))?;
    }
    if oneway != Some(OneWay::Receive) {
        let random = random32().map_err(|e| refuse("write into", e))?;
        let probe = dir.join(format!(".ostrakon-{}.tmp", to_base32(&random[..10])));
        let written = File::create_new(&probe).and_then(|_| fs::remove_file(&probe));
        written.map_err(|e| refuse("write into", e))?;
    }
    Ok(())
}

fn person(
    config: &LinkConfig,
    address: &Address,
    who: &Contacts,
) -> Result<Option<PersonId>, NodeError> {
    if let Some(text) = &config.person {
        return Ok(Some(who.find_or_us(text)?));
    }
    if !matches!(address, Address::Quic { .. }) {
        return Ok(None);
    }
    match who.list().as_slice() {
        [] => Err(NodeError::NotFound(
            "a quic link leads to a person, and nobody is known; import the contact card first"
                .into(),
        )),
        [one] => Ok(Some(one.person())),
        _ => Err(NodeError::Usage(
            "a quic link leads to one person; say to whom with --person".into(),
        )),
    }
}
