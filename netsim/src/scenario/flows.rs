//! Who else uses a link: `[[flow]]`, and when shares are judged: `[judged]`.

use super::MAX_FLOWS;
use super::error::ScenarioError;
use super::links::Link;
use super::names::Names;
use super::nodes::check_count;
use super::table::Table;
use crate::model::Nanos;

/// How much a sender of a link may have in flight. A hint for hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Control {
    /// As if the link were its own alone.
    #[default]
    Own,
    /// Fair beside others.
    Shared,
}

/// What a foreign flow goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowControl {
    /// CUBIC (RFC 9438).
    Cubic,
    /// BBR.
    Bbr,
    /// There is no such flow. For overrides.
    Absent,
}

impl FlowControl {
    /// As it stands in files and outputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        let known = FLOW_CONTROLS.iter().find(|(_, control)| *control == self);
        known.map_or("", |(name, _)| name)
    }
}

/// The words for [`Control`].
pub(super) const CONTROLS: [(&str, Control); 2] =
    [("own", Control::Own), ("shared", Control::Shared)];
/// The words for [`FlowControl`].
pub(super) const FLOW_CONTROLS: [(&str, FlowControl); 3] = [
    ("cubic", FlowControl::Cubic),
    ("bbr", FlowControl::Bbr),
    ("none", FlowControl::Absent),
];

/// A connection of somebody else over a link, from its first end to its second, which always has something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Which link, by place: one between two nodes.
    pub link: usize,
    /// What it goes by.
    pub control: FlowControl,
    /// When it begins at the earliest.
    pub start: Nanos,
    /// How much later it begins at most, by chance.
    pub spread: Nanos,
    /// Where it stands in the file.
    pub line: usize,
}

/// The time in which shares are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// When it begins.
    pub from: Nanos,
    /// When it ends; after it begins.
    pub until: Nanos,
}

/// Reads `[[flow]]`.
pub(super) fn read(
    root: &mut Table<'_>,
    links: &[Link],
    names: &Names<'_>,
) -> Result<Vec<Flow>, ScenarioError> {
    let mut flows = Vec::new();
    for mut table in root.tables("flow", "[[flow]]", "[[flow]]")? {
        let count = flows.len() as u64 + 1;
        check_count(table.source, table.line, "flows", count, MAX_FLOWS)?;
        let Some(link) = table.text("link")? else {
            return Err(table.missing("link", "the name of a link between two nodes"));
        };
        let link = names.find(&link)?;
        if links[link].between().is_none() {
            return Err(
                table.together("a flow shares a link `between` two nodes: name such a link")
            );
        }
        let Some(control) = table.word("control", &FLOW_CONTROLS)? else {
            return Err(table.missing("control", "what it goes by, such as \"cubic\""));
        };
        flows.push(Flow {
            link,
            control,
            start: table.duration("start")?.unwrap_or(0),
            spread: table.duration("spread")?.unwrap_or(0),
            line: table.line,
        });
        table.finish()?;
    }
    Ok(flows)
}

/// Reads `[judged]`.
pub(super) fn read_judged(root: &mut Table<'_>) -> Result<Option<Judged>, ScenarioError> {
    let Some(mut table) = root.table("judged", "[judged]")? else {
        return Ok(None);
    };
    let from = table.duration("from")?.unwrap_or(0);
    let Some(until) = table.duration("until")? else {
        return Err(table.missing("until", "when judging ends, such as \"70s\""));
    };
    if until <= from {
        return Err(table.together("judging ends after it begins: give a later `until`"));
    }
    table.finish()?;
    Ok(Some(Judged { from, until }))
}
