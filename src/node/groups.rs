//! Groups: names for several people, kept in the store. They are our own business and nobody else sees them.

use super::api::{GroupEntry, Response};
use super::cards::Contacts;
use super::error::NodeError;
use crate::engine::id::PersonId;
use crate::store::meta::Meta;
use std::collections::BTreeSet;

const PREFIX: &str = "group/";
/// What stands before the name of a group where people and groups are named.
const MARK: char = '@';
/// The most groups.
const MAX_GROUPS: usize = 64;
/// The most people in one.
const MAX_PEOPLE: usize = 64;
/// The longest name, in characters.
const MAX_NAME: usize = 32;

/// All groups. Changes are durable once their call returns; callers take turns.
pub(super) struct Groups<'a> {
    meta: Meta,
    contacts: &'a Contacts,
}

impl<'a> Groups<'a> {
    /// Those of a home.
    pub(super) fn new(meta: Meta, contacts: &'a Contacts) -> Self {
        Self { meta, contacts }
    }

    /// Adds people to a group, which begins with the first. Blocks on the disk.
    pub(super) fn add(&self, name: &str, people: &[String]) -> Result<Response, NodeError> {
        let name = checked(name)?;
        let old = self.get(&name)?;
        let is_new = old.is_none();
        if is_new && self.all()?.len() >= MAX_GROUPS {
            return Err(NodeError::Usage(format!(
                "there are {MAX_GROUPS} groups already; delete one with `ostrakon group delete`"
            )));
        }
        let mut members = old.unwrap_or_default();
        members.extend(self.people(people)?);
        if members.len() > MAX_PEOPLE {
            return Err(NodeError::Usage(format!(
                "a group has at most {MAX_PEOPLE} people; make a second one"
            )));
        }
        self.put(&name, &members)?;
        Ok(Response::Group(self.entry(name, &members)))
    }

    /// Takes people out of a group; it stays, also without people. Blocks on the disk.
    pub(super) fn remove(&self, name: &str, people: &[String]) -> Result<Response, NodeError> {
        let name = checked(name)?;
        let mut members = self.get(&name)?.ok_or_else(|| unknown(&name))?;
        for (text, person) in people.iter().zip(self.people(people)?) {
            if !members.remove(&person) {
                return Err(NodeError::NotFound(format!(
                    "`{text}` is not in the group {name}; see `ostrakon group list`"
                )));
            }
        }
        self.put(&name, &members)?;
        Ok(Response::Group(self.entry(name, &members)))
    }

    /// Forgets a group. Blocks on the disk.
    pub(super) fn delete(&self, name: &str) -> Result<Response, NodeError> {
        let name = checked(name)?;
        match self.meta.delete(&format!("{PREFIX}{name}"))? {
            true => Ok(Response::Done),
            false => Err(unknown(&name)),
        }
    }

    /// All groups, by name. Reads the disk.
    pub(super) fn list(&self) -> Result<Response, NodeError> {
        let all = self.all()?.into_iter();
        let groups = all.map(|(name, members)| self.entry(name, &members));
        let groups = groups.collect();
        Ok(Response::Groups { groups })
    }

    /// Whom a text names: one person, or several people and groups with commas between them. Reads the disk.
    ///
    /// A name may hold a comma. Where a text can be read both ways, neither is taken: who chooses such a name must not get
    /// what is meant for others.
    pub(super) fn recipients(&self, text: &str) -> Result<BTreeSet<PersonId>, NodeError> {
        let several: Vec<&str> = text.split(',').map(str::trim).collect();
        let grouped = several.iter().any(|name| name.starts_with(MARK));
        let mut found = BTreeSet::new();
        let each = several
            .iter()
            .try_for_each(|name| self.named(name, &mut found));
        if several.len() == 1 {
            return each.map(|()| found);
        }
        match (self.contacts.find(text), each) {
            (Ok(_), Ok(())) => Err(NodeError::Usage(format!(
                "`{}` is the name of one person and of several; name them by their keys, see `ostrakon person list`",
                shown(text)
            ))),
            (Ok(one), Err(_)) if !grouped => Ok([one.person()].into()),
            (_, each) => each.map(|()| found),
        }
    }

    fn named(&self, name: &str, found: &mut BTreeSet<PersonId>) -> Result<(), NodeError> {
        let Some(group) = name.strip_prefix(MARK) else {
            found.insert(self.contacts.find(name)?.person());
            return Ok(());
        };
        let group = checked(group)?;
        let members = self.get(&group)?.ok_or_else(|| unknown(&group))?;
        if members.is_empty() {
            return Err(NodeError::Usage(format!(
                "nobody is in the group {group}; add people with `ostrakon group add`"
            )));
        }
        found.extend(members);
        Ok(())
    }

    fn people(&self, names: &[String]) -> Result<Vec<PersonId>, NodeError> {
        if names.is_empty() {
            return Err(NodeError::Usage(
                "nobody is named; give one person or several".into(),
            ));
        }
        let find = |name: &String| Ok(self.contacts.find(name)?.person());
        names.iter().map(find).collect()
    }

    fn get(&self, name: &str) -> Result<Option<BTreeSet<PersonId>>, NodeError> {
        let row = self.meta.get(&format!("{PREFIX}{name}"))?;
        Ok(row.map(|bytes| members(&bytes)))
    }

    fn put(&self, name: &str, members: &BTreeSet<PersonId>) -> Result<(), NodeError> {
        let row: Vec<u8> = members.iter().flat_map(|person| person.0).collect();
        Ok(self.meta.put(&format!("{PREFIX}{name}"), &row)?)
    }

    fn all(&self) -> Result<Vec<(String, BTreeSet<PersonId>)>, NodeError> {
        let rows = self.meta.list(PREFIX)?.into_iter();
        let named = rows.filter_map(|(key, bytes)| {
            let name = key.strip_prefix(PREFIX)?;
            Some((name.to_owned(), members(&bytes)))
        });
        Ok(named.collect())
    }

    fn entry(&self, name: String, members: &BTreeSet<PersonId>) -> GroupEntry {
        // Those of the contacts, which are in the order of their names.
        let all = self.contacts.list().into_iter();
        let cards = all.filter(|card| members.contains(&card.person()));
        let persons = cards.map(|card| self.contacts.entry(&card)).collect();
        GroupEntry { name, persons }
    }
}

fn members(row: &[u8]) -> BTreeSet<PersonId> {
    let (keys, _) = row.as_chunks::<32>();
    keys.iter().map(|key| PersonId(*key)).collect()
}

/// The name of a group, in lower case, with or without its mark.
fn checked(name: &str) -> Result<String, NodeError> {
    let low = name.trim().to_lowercase();
    let bare = low.strip_prefix(MARK).unwrap_or(&low);
    let allowed = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    if bare.is_empty() || bare.chars().count() > MAX_NAME || !bare.chars().all(allowed) {
        return Err(NodeError::Usage(format!(
            "a group is called by 1 to {MAX_NAME} letters, digits, `-` and `_`; choose such a name"
        )));
    }
    Ok(bare.to_owned())
}

fn shown(text: &str) -> String {
    let visible = text.trim().chars().filter(|c| !c.is_control());
    visible.take(80).collect()
}

fn unknown(name: &str) -> NodeError {
    NodeError::NotFound(format!(
        "no group is called {name}; see `ostrakon group list`, or begin it with `ostrakon group add`"
    ))
}
