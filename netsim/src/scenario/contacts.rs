//! When links are there: `[[contact]]`.

use crate::model::Nanos;

use super::MAX_CONTACTS;
use super::error::{Problem, ScenarioError};
use super::links::{Link, select};
use super::names::Names;
use super::read::Scenario;
use super::table::Table;
use super::units::{self, show};

/// A time in which links are there, perhaps again and again. A link with contacts is there only in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The links, by place.
    pub links: Vec<usize>,
    /// When it begins.
    pub from: Nanos,
    /// When it ends; `None` is never.
    pub until: Option<Nanos>,
    /// After how long it comes again, if it does.
    pub every: Option<Nanos>,
    /// Bits a second; `None` is the link's own.
    pub rate_bps: Option<u64>,
    /// The delay; `None` is the link's own.
    pub delay: Option<Nanos>,
    /// Where it stands in the file.
    pub line: usize,
}

/// One of the times that a contact comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// When it begins.
    pub from: Nanos,
    /// When it ends; `None` is never.
    pub until: Option<Nanos>,
    /// Bits a second; `None` is the link's own.
    pub rate_bps: Option<u64>,
    /// The delay; `None` is the link's own.
    pub delay: Option<Nanos>,
}

pub(super) fn read(
    root: &mut Table<'_>,
    links: &[Link],
    names: &Names<'_>,
) -> Result<Vec<Contact>, ScenarioError> {
    let mut contacts = Vec::new();
    for mut table in root.tables("contact", "[[contact]]", "[[contact]]")? {
        let Some(chosen) = table.texts("link")? else {
            return Err(table.missing("link", "the name of a link, or a list"));
        };
        let chosen = select(&chosen, links, names)?;
        if chosen.iter().any(|place| links[*place].between().is_none()) {
            return Err(
                table.together("only a link `between` two nodes has contacts: name such a link")
            );
        }
        let from = table.duration("from")?.unwrap_or(0);
        let until = table.duration("until")?;
        let every = table.duration("every")?;
        if let Some(until) = until.filter(|until| *until <= from) {
            let link = chosen
                .first()
                .map(|place| links[*place].name.clone())
                .unwrap_or_default();
            let (from, until) = (show(from), show(until));
            return Err(table.error(table.line, Problem::Backwards { link, from, until }));
        }
        if every.is_some() && until.is_none() {
            return Err(table.together(
                "a contact that comes again has an end: give `until`, or leave out `every`",
            ));
        }
        if every == Some(0) {
            return Err(
                table.together("`every` cannot be 0: give the time from one beginning to the next")
            );
        }
        let rate = table.quantity("rate", units::rate, units::RATE)?;
        let contact = Contact {
            links: chosen,
            from,
            until,
            every,
            rate_bps: rate.map(|rate| rate.value),
            delay: table.duration("delay")?,
            line: table.line,
        };
        table.finish()?;
        contacts.push(contact);
    }
    Ok(contacts)
}

/// For each link the times that it is there within the duration, in order; `None` if it is there always.
pub(super) fn occurrences(
    scenario: &Scenario,
) -> Result<Vec<Option<Vec<Occurrence>>>, ScenarioError> {
    let mut lists: Vec<Option<Vec<(Occurrence, usize)>>> = vec![None; scenario.links.len()];
    let mut count = 0u64;
    for contact in &scenario.contacts {
        let left = scenario.duration.saturating_sub(contact.from);
        let times = contact.every.map_or(1, |every| left.div_ceil(every).max(1));
        count = count.saturating_add(times.saturating_mul(contact.links.len() as u64));
        if count > MAX_CONTACTS {
            let (what, limit) = ("contacts", MAX_CONTACTS);
            let problem = Problem::TooMany { what, count, limit };
            return Err(scenario.error(Some(contact.line), problem));
        }
        let all = (0..times).map(|n| (contact.occurrence(n), contact.line));
        for &link in &contact.links {
            if let Some(list) = lists.get_mut(link) {
                list.get_or_insert_default().extend(all.clone());
            }
        }
    }
    let in_order = |(list, link): (Option<Vec<(Occurrence, usize)>>, &Link)| {
        let Some(mut list) = list else {
            return Ok(None);
        };
        list.sort_by_key(|(occurrence, _)| occurrence.from);
        let overlap = list.iter().zip(list.iter().skip(1));
        let overlap = overlap.map(|((before, _), after)| (before.until, after));
        for (until, (after, line)) in overlap {
            if until.is_none_or(|until| until > after.from) {
                let (link, at) = (link.name.clone(), show(after.from));
                return Err(scenario.error(Some(*line), Problem::Overlap { link, at }));
            }
        }
        Ok(Some(
            list.into_iter().map(|(occurrence, _)| occurrence).collect(),
        ))
    };
    lists
        .into_iter()
        .zip(&scenario.links)
        .map(in_order)
        .collect()
}

impl Contact {
    /// The `n`-th time that it comes, from 0.
    fn occurrence(&self, n: u64) -> Occurrence {
        let shift = self.every.unwrap_or(0).saturating_mul(n);
        Occurrence {
            from: self.from.saturating_add(shift),
            until: self.until.map(|until| until.saturating_add(shift)),
            rate_bps: self.rate_bps,
            delay: self.delay,
        }
    }
}
