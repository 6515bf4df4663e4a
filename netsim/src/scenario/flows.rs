//! Who else uses a link: `[[flow]]`, and when shares are judged: `[judged]`.

use std::ops::Range;

use super::MAX_FLOWS;
use super::error::{Problem, ScenarioError};
use super::links::{Carrier, Link};
use super::names::Names;
use super::nodes::check_count;
use super::read::Scenario;
use super::table::Table;
use super::units::show;
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
    /// Where it stands in the file.
    pub line: usize,
}

impl Scenario {
    /// The time in which shares are judged: as the file says, else the whole duration.
    #[must_use]
    pub fn judging(&self) -> Range<Nanos> {
        let whole = 0..self.duration;
        self.judged
            .map_or(whole, |judged| judged.from..judged.until)
    }
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
    let line = table.line;
    table.finish()?;
    Ok(Some(Judged { from, until, line }))
}

/// Checks that shares are judged within the duration, of flows that there are and that begin before judging ends, and that
/// only links which can be shared are to be.
pub(super) fn check(scenario: &Scenario) -> Result<(), ScenarioError> {
    let late = |line, key: &str, value, expected: String| {
        let (key, value) = (key.into(), show(value));
        let problem = Problem::Value {
            key,
            value,
            expected,
        };
        Err(scenario.error(Some(line), problem))
    };
    if let Some(judged) = scenario.judged {
        if judged.until > scenario.duration {
            let expected = format!("a time within the duration of {}", show(scenario.duration));
            return late(judged.line, "until of [judged]", judged.until, expected);
        }
        if scenario.flows.is_empty() {
            let (table, why) = (
                "[judged]".into(),
                "without flows of others there is nothing to judge: give a [[flow]], or leave it out",
            );
            return Err(scenario.error(Some(judged.line), Problem::Together { table, why }));
        }
    }
    let end = scenario.judging().end;
    for flow in &scenario.flows {
        let latest = flow.start.saturating_add(flow.spread);
        if latest >= end {
            let expected = format!("times whose sum is before {}, when the run ends", show(end));
            return late(flow.line, "start and spread of [[flow]]", latest, expected);
        }
    }
    let shared = |link: &&Link| link.control == Control::Shared && link.carrier != Carrier::Quic;
    match scenario.links.iter().find(shared) {
        Some(link) => {
            let (table, why) = (
                format!("link `{}`", link.name),
                "only a link of kind \"quic\" can have `control = \"shared\"`: give it that `kind`, or leave `control` out",
            );
            Err(scenario.error(Some(link.line), Problem::Together { table, why }))
        }
        None => Ok(()),
    }
}
