//! Who takes part.

use std::collections::BTreeMap;

use super::error::{Problem, ScenarioError};
use super::names::Names;
use super::table::{Found, Source, Table};

/// The most nodes that a scenario may have.
pub const MAX_NODES: u64 = 2_000;

/// What a node is to the others. What that means is for the host that plays it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NodeKind {
    /// Sends and receives messages.
    #[default]
    Node,
    /// Passes on what is for others.
    Relay,
    /// Passes on what is for others, and moves about.
    Courier,
}

/// A node of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name, unlike any other's.
    pub name: String,
    /// What it is to the others.
    pub kind: NodeKind,
    /// What its host may want to know, as text.
    pub options: BTreeMap<String, String>,
}

/// Reads `[[node]]` and `[[nodes]]`.
pub(super) fn read<'a>(root: &mut Table<'a>) -> Result<(Vec<Node>, Names<'a>), ScenarioError> {
    let source = root.source;
    let mut names = Names::new(source, "node");
    let mut nodes = Vec::new();
    for mut table in root.tables("node", "[[node]]", "[[node]]")? {
        check_count(
            source,
            table.line,
            "nodes",
            nodes.len() as u64 + 1,
            MAX_NODES,
        )?;
        let Some(name) = table.text("name")? else {
            return Err(table.missing("name", "a name, such as \"clinic\""));
        };
        add(&mut nodes, &mut names, &name, read_rest(table)?)?;
    }
    for mut table in root.tables("nodes", "[[nodes]]", "[[nodes]]")? {
        let Some(prefix) = table.text("prefix")? else {
            return Err(table.missing("prefix", "what the names begin with, such as \"mesh-\""));
        };
        let Some(count) = table.number("count", 1..=u64::MAX)? else {
            return Err(table.missing("count", "how many nodes there are"));
        };
        let line = table.line;
        let kind = read_rest(table)?;
        let all = count.saturating_add(nodes.len() as u64);
        check_count(source, line, "nodes", all, MAX_NODES)?;
        for n in 1..=count {
            let value = format!("{}{n}", prefix.value);
            add(&mut nodes, &mut names, &Found { value, line }, kind.clone())?;
        }
    }
    if nodes.is_empty() {
        return Err(root.missing("node", "at least one node, as [[node]] with a name"));
    }
    Ok((nodes, names))
}

/// Refuses more than `limit`, at the line that goes beyond it.
pub(super) fn check_count(
    source: Source<'_>,
    line: usize,
    what: &'static str,
    count: u64,
    limit: u64,
) -> Result<(), ScenarioError> {
    if count <= limit {
        return Ok(());
    }
    Err(source.error(line, Problem::TooMany { what, count, limit }))
}

fn add(
    nodes: &mut Vec<Node>,
    names: &mut Names<'_>,
    name: &Found<String>,
    (kind, options): (NodeKind, BTreeMap<String, String>),
) -> Result<(), ScenarioError> {
    names.add(name)?;
    let name = name.value.clone();
    nodes.push(Node {
        name,
        kind,
        options,
    });
    Ok(())
}

fn read_rest(mut table: Table<'_>) -> Result<(NodeKind, BTreeMap<String, String>), ScenarioError> {
    let kinds = [
        ("node", NodeKind::Node),
        ("relay", NodeKind::Relay),
        ("courier", NodeKind::Courier),
    ];
    let kind = table.word("kind", &kinds)?.unwrap_or_default();
    let options = match table.table("options", "options")? {
        None => BTreeMap::new(),
        Some(mut open) => open
            .rest()?
            .into_iter()
            .map(|(key, found)| (key, found.value))
            .collect(),
    };
    table.finish()?;
    Ok((kind, options))
}
