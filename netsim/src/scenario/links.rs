//! What joins the nodes: pairs of links, shared channels, couriers, each by a profile and what differs from it.

use std::collections::BTreeMap;

use crate::model::{Nanos, Trace};
use crate::profile::Profile;
use crate::world::Notice;

use super::MAX_LINKS;
use super::error::{Problem, ScenarioError};
use super::flows::Control;
use super::like;
use super::names::Names;
use super::nodes::check_count;
use super::places;
use super::read::Files;
use super::table::{Found, Table};

/// Which kind of transport a host may want to run on a link. A hint for the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Datagrams with congestion control.
    Quic,
    /// A connection to a relay.
    Relay,
    /// Frames on a serial line or radio.
    Serial,
    /// Files on a medium that is carried.
    Spool,
}

/// A courier's halt at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halt {
    /// Where, by place.
    pub node: usize,
    /// When it comes, since the beginning of a round.
    pub arrives: Nanos,
    /// When it leaves; not before it comes.
    pub leaves: Nanos,
}

/// How the ends of a link hear of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A pair of links between the first end and the second.
    Between,
    /// One channel for all.
    Shared {
        /// Which ends hear each other, by place; all if not said.
        hears: Option<Vec<(usize, usize)>>,
    },
    /// A courier that goes from end to end.
    Courier {
        /// In order of time.
        halts: Vec<Halt>,
        /// After how long the round begins anew; `None` for one round.
        every: Option<Nanos>,
    },
}

/// A link of a scenario. What it is made of says [`Scenario::media`](super::Scenario::media).
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Its name, unlike any other's.
    pub name: String,
    /// The name of the entry that made it and others, if it did.
    pub group: Option<String>,
    /// The nodes on it, by place, each once.
    pub ends: Vec<usize>,
    /// How they hear of each other.
    pub shape: Shape,
    /// What it is like.
    pub profile: Profile,
    /// A recorded rate of the way from the first end to the second, and back.
    pub traces: [Option<Trace>; 2],
    /// The transport that suits it.
    pub carrier: Carrier,
    /// How much its ends may have in flight, where they decide that themselves.
    pub control: Control,
    /// What its ends learn of its state.
    pub notice: Notice,
    /// What its use costs, in units of the scenario's choice.
    pub cost: u32,
    /// The loss that a sender without reports is to assume, in millionths.
    pub assume_loss_ppm: Option<u32>,
    /// The rate that its ends remember with `start = "warm"`, in bits a second, where it is not its own.
    pub remembered_bps: Option<u64>,
    /// Where it stands in the file.
    pub line: usize,
}

impl Link {
    /// The two ends of a pair.
    #[must_use]
    pub fn between(&self) -> Option<(usize, usize)> {
        match (&self.shape, self.ends.as_slice()) {
            (Shape::Between, [a, b]) => Some((*a, *b)),
            _ => None,
        }
    }
}

impl Link {
    /// Whether two nodes on a channel hear each other.
    pub(super) fn hear_each_other(&self, a: usize, b: usize) -> bool {
        match &self.shape {
            Shape::Shared { hears: Some(pairs) } => {
                pairs.contains(&(a, b)) || pairs.contains(&(b, a))
            }
            _ => true,
        }
    }
}

/// The links that names, patterns and names of groups mean.
pub(super) fn select(
    texts: &[Found<String>],
    links: &[Link],
    names: &Names<'_>,
) -> Result<Vec<usize>, ScenarioError> {
    let mut chosen = Vec::new();
    for text in texts {
        // No group has the name of a link.
        if names.has(&text.value) {
            chosen.push(names.find(text)?);
            continue;
        }
        let group = links.iter().enumerate();
        let group = group.filter(|(_, link)| link.group.as_ref() == Some(&text.value));
        let mut places: Vec<usize> = group.map(|(place, _)| place).collect();
        if places.is_empty() {
            places = names.select(std::slice::from_ref(text))?;
        }
        chosen.extend(places);
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// Reads `[[link]]`. `files` gives the text of a file that the scenario names.
pub(super) fn read<'a>(
    root: &mut Table<'a>,
    nodes: &Names<'_>,
    files: Files<'_>,
) -> Result<(Vec<Link>, Names<'a>), ScenarioError> {
    let source = root.source;
    let mut links: Vec<Link> = Vec::new();
    let mut names = Names::new(source, "link");
    let mut traces = like::Traces::new(files);
    let mut numbers = BTreeMap::new();
    for mut table in root.tables("link", "[[link]]", "[[link]]")? {
        let line = table.line;
        let name = table.text("name")?;
        let places = places::read(&mut table, nodes)?;
        let all = (links.len() + places.len()) as u64;
        check_count(source, line, "links", all, MAX_LINKS)?;
        let group = name.as_ref().filter(|_| table.has("among"));
        let group = group.map(|name| name.value.clone());
        let like = like::read(table, places.first(), &mut traces)?;
        for (n, (ends, shape)) in (1..).zip(places) {
            let value = match (&name, &group) {
                (Some(_), Some(group)) => format!("{group}-{n}"),
                (Some(name), None) => name.value.clone(),
                (None, _) => free_name(&ends, nodes, &names, &mut numbers),
            };
            let at = name.as_ref().map_or(line, |name| name.line);
            names.add(&Found {
                value: value.clone(),
                line: at,
            })?;
            let shape = like::fit(shape, &ends, &like.profile);
            let (ends, shape) = shape.map_err(|why| {
                let table = "[[link]]".into();
                source.error(line, Problem::Together { table, why })
            })?;
            links.push(Link {
                name: value,
                group: group.clone(),
                ends,
                shape,
                ..like.clone()
            });
        }
    }
    let groups = links
        .iter()
        .filter(|link| link.group.as_ref().is_some_and(|name| names.has(name)));
    if let Some(link) = groups.into_iter().next() {
        let (what, name) = ("link", link.group.clone().unwrap_or_default());
        return Err(source.error(link.line, Problem::Twice { what, name }));
    }
    Ok((links, names))
}

/// `a-b`, or `a-b-2` if that is taken. `numbers` has the last number tried for each, so that none is tried twice.
fn free_name(
    ends: &[usize],
    nodes: &Names<'_>,
    taken: &Names<'_>,
    numbers: &mut BTreeMap<String, u64>,
) -> String {
    let ends: Vec<&str> = ends.iter().take(2).map(|end| nodes.name(*end)).collect();
    let mut name: String = ends.join("-").chars().take(60).collect();
    if taken.has(&name) {
        let number = numbers.entry(name.clone()).or_insert(1);
        loop {
            *number += 1;
            let numbered = format!("{name}-{number}");
            if !taken.has(&numbered) {
                name = numbered;
                break;
            }
        }
    }
    name
}
