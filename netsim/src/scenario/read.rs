//! A whole scenario, and its reading.

use std::path::Path;

use toml::de::DeTable;

use crate::model::Nanos;
use crate::world::FaultPlan;

use super::contacts::{Contact, Occurrence};
use super::error::{Problem, ScenarioError};
use super::expect::Expect;
use super::faults::Faults;
use super::links::Link;
use super::nodes::{Node, check_count};
use super::table::{Source, Table};
use super::traffic::{Message, Route};
use super::units::{self, show};
use super::{MAX_DURATION, MAX_TEXT, contacts, expect, faults, links, nodes, traffic};

/// What the nodes know of their links when the scenario begins. A hint for hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// Nothing: no connection, no rate, no path MTU.
    Cold,
    /// What an earlier transfer taught them.
    #[default]
    Warm,
}

/// What of a host's transports takes part. A hint for hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Links alone: hosts pace themselves, and headers are counted.
    #[default]
    Model,
    /// Links of kind `quic` run the QUIC library that the host uses in the field.
    Quic,
}

impl Mode {
    /// As it stands in files and outputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        let known = MODES.iter().find(|(_, mode)| *mode == self);
        known.map_or("", |(name, _)| name)
    }
}

/// A scenario: plain values, checked against each other. Places are indexes into `nodes` and `links`.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The file, for messages.
    pub file: String,
    /// Its short name.
    pub name: String,
    /// What it shows, in a few words.
    pub title: String,
    /// What it shows, at length.
    pub description: String,
    /// How long it lasts.
    pub duration: Nanos,
    /// The seed, unless whoever runs it gives another.
    pub seed: u64,
    /// What the nodes know of their links.
    pub start: Start,
    /// What of the transports takes part.
    pub mode: Mode,
    /// Who takes part.
    pub nodes: Vec<Node>,
    /// What joins them.
    pub links: Vec<Link>,
    /// When links are there.
    pub contacts: Vec<Contact>,
    /// Who passes on what.
    pub routes: Vec<Route>,
    /// What is sent, in order of time.
    pub messages: Vec<Message>,
    /// What goes wrong.
    pub faults: Faults,
    /// What is to come out.
    pub expect: Expect,
}

impl Scenario {
    /// Reads a scenario from a file. Files that it names are looked for beside it.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, and as [`parse`](Self::parse).
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        let refused = |problem| ScenarioError {
            file: file.clone(),
            line: None,
            problem: Box::new(problem),
        };
        let text = read_bounded(path).map_err(|why| refused(Problem::Read(why.to_string())))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse_with(&file, &text, &|name| read_bounded(&folder.join(name)))
    }

    /// Reads a scenario that names no other files. `file` is what messages call it; its stem is the default of the
    /// scenario's name.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its line and the remedy.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        Self::parse_with(file, text, &|_| Err(std::io::ErrorKind::NotFound.into()))
    }

    /// Reads a scenario; `files` gives the text of a file that it names.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_with(file: &str, text: &str, files: Files<'_>) -> Result<Self, ScenarioError> {
        let source = Source { file, text };
        check_count(source, 1, "bytes of text", text.len() as u64, MAX_TEXT)?;
        let parsed = DeTable::parse(text).map_err(|why| {
            let line = why.span().map_or(1, |span| source.line(&span));
            source.error(line, Problem::Syntax(why.message().trim().into()))
        })?;
        let mut root = Table::new(source, "the file", 1, parsed.get_ref());
        let Some(head) = root.table("scenario", "[scenario]")? else {
            return Err(root.missing("scenario", "a table [scenario] with a `duration`"));
        };
        let head = Head::read(head)?;
        let (nodes, node_names) = nodes::read(&mut root)?;
        let (links, link_names) = links::read(&mut root, &node_names, files)?;
        let contacts = contacts::read(&mut root, &links, &link_names)?;
        let scenario = Self {
            file: file.into(),
            name: head.name.unwrap_or_else(|| stem(file)),
            title: head.title,
            description: head.description,
            duration: head.duration,
            seed: head.seed,
            start: head.start,
            mode: head.mode,
            routes: traffic::read_routes(&mut root, &node_names)?,
            messages: traffic::read_messages(
                &mut root,
                &nodes,
                &node_names,
                (&links, &link_names),
            )?,
            faults: faults::read(&mut root, &node_names, &links, &link_names)?,
            expect: expect::read(&mut root)?,
            nodes,
            links,
            contacts,
        };
        root.finish()?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Checks what overrides may have changed: links that can be, contacts that do not overlap, times within the
    /// duration.
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        self.media()?;
        let late = |line, key: &str, at| {
            let expected = format!("a time within the duration of {}", show(self.duration));
            let (key, value) = (key.into(), show(at));
            self.error(
                Some(line),
                Problem::Value {
                    key,
                    value,
                    expected,
                },
            )
        };
        match self
            .messages
            .iter()
            .find(|message| message.at >= self.duration)
        {
            Some(message) => Err(late(message.line, "at", message.at)),
            None => Ok(()),
        }
    }

    /// For each link the times that it is there within the duration, in order; `None` if it is there always.
    ///
    /// # Errors
    ///
    /// Contacts that overlap, or too many of them: after an override of the duration, for it is checked before.
    pub fn occurrences(&self) -> Result<Vec<Option<Vec<Occurrence>>>, ScenarioError> {
        contacts::occurrences(self)
    }

    /// All faults, the random ones drawn from the seed of the run if they have none of their own.
    #[must_use]
    pub fn fault_plan(&self, seed: u64) -> FaultPlan {
        let mut plan = self.faults.plan.clone();
        for (place, own) in (0u64..).zip(&self.faults.random) {
            let seed = own.unwrap_or(seed.wrapping_add(place));
            let (hosts, links) = (self.nodes.len() as u32, self.links.len() as u32);
            plan.faults
                .extend(FaultPlan::random(seed, hosts, links, self.duration).faults);
        }
        plan
    }

    /// The links that a node is on, by place, in the order of its ports in a world.
    #[must_use]
    pub fn ports(&self, node: usize) -> Vec<usize> {
        let links = self.links.iter().enumerate();
        let links = links.filter(|(_, link)| link.ends.contains(&node));
        links.map(|(place, _)| place).collect()
    }

    pub(super) fn error(&self, line: Option<usize>, problem: Problem) -> ScenarioError {
        let (file, problem) = (self.file.clone(), Box::new(problem));
        ScenarioError {
            file,
            line,
            problem,
        }
    }
}

/// Gives the text of a file that a scenario names.
pub type Files<'a> = &'a dyn Fn(&str) -> std::io::Result<String>;

/// The text of a file, unless it is too long.
fn read_bounded(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_TEXT {
        let why = format!("it has more than {MAX_TEXT} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why));
    }
    std::fs::read_to_string(path)
}

/// The table `[scenario]`.
struct Head {
    name: Option<String>,
    title: String,
    description: String,
    duration: Nanos,
    seed: u64,
    start: Start,
    mode: Mode,
}

/// A duration that a scenario may last.
pub(super) fn duration(text: &str) -> Option<Nanos> {
    units::duration(text).filter(|duration| (1..=MAX_DURATION).contains(duration))
}

/// What a duration of a scenario has to look like.
pub(super) const DURATION: &str = "a duration above 0 and of at most 3650d, such as \"6h\"";
/// The words for [`Mode`].
pub(super) const MODES: [(&str, Mode); 2] = [("model", Mode::Model), ("quic", Mode::Quic)];
/// The words for [`Start`].
pub(super) const STARTS: [(&str, Start); 2] = [("cold", Start::Cold), ("warm", Start::Warm)];

impl Head {
    fn read(mut table: Table<'_>) -> Result<Self, ScenarioError> {
        let text = |table: &mut Table<'_>, key| -> Result<Option<String>, ScenarioError> {
            Ok(table.text(key)?.map(|found| found.value))
        };
        let name = text(&mut table, "name")?;
        let title = text(&mut table, "title")?.unwrap_or_default();
        let description = text(&mut table, "description")?.unwrap_or_default();
        let Some(duration) = table.quantity("duration", duration, DURATION)? else {
            return Err(table.missing("duration", DURATION));
        };
        let seed = table.number("seed", 0..=i64::MAX as u64)?.unwrap_or(1);
        let start = table.word("start", &STARTS)?.unwrap_or_default();
        let mode = table.word("mode", &MODES)?.unwrap_or_default();
        table.finish()?;
        Ok(Self {
            name,
            title: title.trim().into(),
            description: description.trim().into(),
            duration: duration.value,
            seed,
            start,
            mode,
        })
    }
}

fn stem(file: &str) -> String {
    let stem = Path::new(file).file_stem();
    stem.map_or_else(
        || "scenario".into(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}
