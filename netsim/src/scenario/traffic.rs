//! What is sent: messages, their parts, and the static routes they may take.

use super::error::ScenarioError;
use super::links::{self, Link};
use super::names::Names;
use super::nodes::{Node, NodeKind, check_count};
use super::table::Table;
use super::units;
use super::{MAX_ALL_PARTS, MAX_MESSAGES, MAX_ROUTES};
use crate::model::Nanos;

/// The most bytes of one part, for whoever plays it has it in memory: 1 GiB.
const MAX_PART: u64 = 1 << 30;
/// The most parts of a message.
const MAX_PARTS: u64 = 255;
/// The most bytes of a part's name.
const MAX_PART_NAME: usize = 255;

/// What the size of a part has to look like.
pub(super) const PART_SIZE: &str = "a size of at most 1 GiB, such as \"300kB\"";

/// All links, and their names.
type Links<'a> = (&'a [Link], &'a Names<'a>);

/// How urgent a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Before all else.
    Urgent,
    /// Before most.
    High,
    /// As usual.
    Normal,
    /// When there is nothing else.
    Bulk,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Whether it is a text rather than a file.
    pub text: bool,
    /// Its bytes.
    pub bytes: u64,
    /// How urgent it is.
    pub priority: Priority,
    /// For how long it is worth carrying, if not for ever.
    pub lifetime: Option<Nanos>,
    /// The links that may carry it, by place; empty for any.
    pub via: Vec<usize>,
    /// The most that a link may cost that carries it.
    pub max_cost: Option<u32>,
}

/// A message from one node to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The sender, by place.
    pub from: usize,
    /// The recipient, by place.
    pub to: usize,
    /// When it is given to the sender.
    pub at: Nanos,
    /// What it consists of; at least one.
    pub parts: Vec<Part>,
    /// Where it stands in the file.
    pub line: usize,
}

impl Message {
    /// Bytes of all its parts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// What a node does with what is for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Who passes on, by place.
    pub node: usize,
    /// What is for this node.
    pub to: usize,
    /// To this neighbour.
    pub via: usize,
}

pub(super) fn read_routes(
    root: &mut Table<'_>,
    nodes: &Names<'_>,
) -> Result<Vec<Route>, ScenarioError> {
    let mut routes = Vec::new();
    for mut table in root.tables("route", "[[route]]", "[[route]]")? {
        let places = |table: &mut Table<'_>, key: &'static str| match table.texts(key)? {
            Some(texts) => nodes.select(&texts),
            None => Err(table.missing(key, "the name of a node, or a list of names")),
        };
        let (from, to) = (places(&mut table, "node")?, places(&mut table, "to")?);
        let via = match table.text("via")? {
            Some(name) => nodes.find(&name)?,
            None => return Err(table.missing("via", "the name of a node")),
        };
        let circles = from.iter().any(|node| *node == via || to.contains(node));
        if circles {
            return Err(table.together(
                "a route leads from a node to another: let `to` and `via` differ from `node`",
            ));
        }
        let (source, line) = (table.source, table.line);
        table.finish()?;
        let count = (from.len() as u64).saturating_mul(to.len() as u64);
        let count = count.saturating_add(routes.len() as u64);
        check_count(source, line, "routes", count, MAX_ROUTES)?;
        let pairs = from
            .iter()
            .flat_map(|node| to.iter().map(move |to| (*node, *to)));
        routes.extend(pairs.map(|(node, to)| Route { node, to, via }));
    }
    Ok(routes)
}

/// Reads `[[message]]`; each recipient and repetition becomes a message of its own.
pub(super) fn read_messages(
    root: &mut Table<'_>,
    nodes: &[Node],
    names: &Names<'_>,
    links: Links<'_>,
) -> Result<Vec<Message>, ScenarioError> {
    let mut messages: Vec<Message> = Vec::new();
    let mut all_parts = 0u64;
    for mut table in root.tables("message", "[[message]]", "[[message]]")? {
        let from = ends(&mut table, "from", nodes, names)?;
        let to = ends(&mut table, "to", nodes, names)?;
        let times = repetitions(&mut table)?;
        let parts = read_parts(&mut table, links)?;
        let line = table.line;
        let source = table.source;
        let lonely = from.iter().all(|from| to.iter().all(|to| from == to));
        if lonely {
            return Err(table.together("a message to oneself is none: let `from` and `to` differ"));
        }
        table.finish()?;
        let count = (from.len() as u64)
            .saturating_mul(to.len() as u64)
            .saturating_mul(times.count);
        check_count(
            source,
            line,
            "messages",
            count.saturating_add(messages.len() as u64),
            MAX_MESSAGES,
        )?;
        all_parts = all_parts.saturating_add(count.saturating_mul(parts.len() as u64));
        check_count(source, line, "parts", all_parts, MAX_ALL_PARTS)?;
        for at in times.all() {
            for &from in &from {
                for &to in to.iter().filter(|to| **to != from) {
                    let parts = parts.clone();
                    messages.push(Message {
                        from,
                        to,
                        at,
                        parts,
                        line,
                    });
                }
            }
        }
    }
    messages.sort_by_key(|message| message.at);
    Ok(messages)
}

/// Nodes by name or pattern; `*` is all that are not relays or couriers.
fn ends(
    table: &mut Table<'_>,
    key: &'static str,
    nodes: &[Node],
    names: &Names<'_>,
) -> Result<Vec<usize>, ScenarioError> {
    let Some(texts) = table.texts(key)? else {
        return Err(table.missing(key, "the name of a node, a list of names, or \"*\""));
    };
    let is_node = |place: &usize| {
        nodes
            .get(*place)
            .is_some_and(|node| node.kind == NodeKind::Node)
    };
    if texts.iter().any(|text| text.value == "*") {
        let all: Vec<usize> = (0..nodes.len()).filter(is_node).collect();
        if all.is_empty() {
            return Err(table.together(
                "`*` is all nodes of kind \"node\", and there is none: give a node this kind",
            ));
        }
        return Ok(all);
    }
    for text in &texts {
        let chosen = names.select(std::slice::from_ref(text))?;
        if let Some(other) = chosen.iter().find(|place| !is_node(place)) {
            let (value, expected) = (format!("`{}`", names.name(*other)), NO_PERSON);
            return Err(table.refuse(key, text.line, &value, expected));
        }
    }
    names.select(&texts)
}

/// What is said of a relay or courier that is to send or receive.
const NO_PERSON: &str =
    "names of nodes of kind \"node\", for relays and couriers only pass on what is for others";

/// Times that something happens at.
pub(super) struct Times {
    at: Nanos,
    every: Nanos,
    count: u64,
}

impl Times {
    pub(super) fn all(&self) -> impl Iterator<Item = Nanos> {
        let (at, every) = (self.at, self.every);
        (0..self.count).map(move |n| at.saturating_add(every.saturating_mul(n)))
    }
}

/// Reads `at`, `every` and `count`.
pub(super) fn repetitions(table: &mut Table<'_>) -> Result<Times, ScenarioError> {
    let at = table.duration("at")?.unwrap_or(0);
    let every = table.duration("every")?;
    let count = table.number("count", 1..=MAX_MESSAGES)?;
    match (every, count) {
        (None, None) => Ok(Times {
            at,
            every: 0,
            count: 1,
        }),
        (Some(every), Some(count)) if every > 0 => Ok(Times { at, every, count }),
        (Some(_), Some(_)) => {
            Err(table.together("`every` cannot be 0: give the time between two repetitions"))
        }
        _ => Err(table.together("`every` and `count` go together: give both, or neither")),
    }
}

fn read_parts(table: &mut Table<'_>, links: Links<'_>) -> Result<Vec<Part>, ScenarioError> {
    let tables = table.tables("parts", "a part in `parts`", "parts = [{ text = 160 }]")?;
    if tables.is_empty() {
        return Err(table.missing(
            "parts",
            "a list of parts, such as [{ text = 160 }, { file = \"300kB\" }]",
        ));
    }
    check_count(
        table.source,
        table.line,
        "parts",
        tables.len() as u64,
        MAX_PARTS,
    )?;
    let parts = tables.into_iter().enumerate();
    parts
        .map(|(place, table)| read_part(place, table, links))
        .collect()
}

/// The size of a part.
pub(super) fn part_size(text: &str) -> Option<u64> {
    units::size(text).filter(|bytes| *bytes <= MAX_PART)
}

fn read_part(place: usize, mut table: Table<'_>, links: Links<'_>) -> Result<Part, ScenarioError> {
    let size = |table: &mut Table<'_>, key| table.quantity(key, part_size, PART_SIZE);
    let (text, file) = (size(&mut table, "text")?, size(&mut table, "file")?);
    let (bytes, is_text) = match (text, file) {
        (Some(text), None) => (text.value, true),
        (None, Some(file)) => (file.value, false),
        _ => return Err(table.together("a part has either `text` or `file`: give the size of one")),
    };
    let name = table.plain_text("name")?;
    if let Some(name) = name
        .as_ref()
        .filter(|name| name.value.len() > MAX_PART_NAME)
    {
        let value = format!("{} bytes long", name.value.len());
        return Err(table.refuse("name", name.line, &value, "a name of at most 255 bytes"));
    }
    let words = [
        ("urgent", Priority::Urgent),
        ("high", Priority::High),
        ("normal", Priority::Normal),
        ("bulk", Priority::Bulk),
    ];
    let by_default = if is_text {
        Priority::Urgent
    } else {
        Priority::Normal
    };
    let part = Part {
        name: name
            .map(|name| name.value)
            .unwrap_or_else(|| format!("{}-{}", if is_text { "text" } else { "file" }, place + 1)),
        text: is_text,
        bytes,
        priority: table.word("priority", &words)?.unwrap_or(by_default),
        lifetime: table.duration("lifetime")?,
        via: match table.texts("via")? {
            Some(via) => links::select(&via, links.0, links.1)?,
            None => Vec::new(),
        },
        max_cost: table
            .number("max-cost", 0..=u64::from(u32::MAX))?
            .map(|cost| cost as u32),
    };
    table.finish()?;
    Ok(part)
}
