//! A whole scenario, and its reading.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use toml::de::DeTable;

use crate::model::Nanos;
use crate::world::{FaultPlan, When};

use super::contacts::{Contact, Occurrence};
use super::error::{Problem, ScenarioError};
use super::expect::Expect;
use super::faults::Faults;
use super::flows::{Flow, Judged};
use super::links::Link;
use super::nodes::{Node, check_count};
use super::table::{Found, Source, Table, line_ends};
use super::traffic::{Message, Route};
use super::units::{self, show};
use super::{
    MAX_DURATION, MAX_TEXT, MAX_TRACES, contacts, couriers, expect, faults, flows, links, nodes,
    traffic,
};

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
    /// Who else uses links.
    pub flows: Vec<Flow>,
    /// When shares are judged; the whole duration if not given.
    pub judged: Option<Judged>,
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
        let text = read_bounded(path, MAX_TEXT).map_err(|error| {
            let (kind, why) = (error.kind(), error.to_string());
            refused(Problem::Read { kind, why })
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let left = Cell::new(MAX_TRACES);
        Self::parse_with(&file, &text, &|name| {
            let text = read_regular(&folder.join(name), left.get())?;
            left.set(left.get().saturating_sub(text.len() as u64));
            Ok(text)
        })
    }

    /// Reads a scenario that names no other files. `file` is what messages call it; its stem is the default of the
    /// scenario's name.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its line and the remedy.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        Self::parse_with(file, text, &|_| Err(io::ErrorKind::NotFound.into()))
    }

    /// Reads a scenario; `files` gives the text of a file that it names.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_with(file: &str, text: &str, files: Files<'_>) -> Result<Self, ScenarioError> {
        let ends = line_ends(text);
        let source = Source { file, ends: &ends };
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
            flows: flows::read(&mut root, &links, &link_names)?,
            judged: flows::read_judged(&mut root)?,
            faults: faults::read(&mut root, &node_names, &links, &link_names)?,
            expect: expect::read(&mut root)?,
            nodes,
            links,
            contacts,
        };
        root.finish()?;
        scenario.check()?;
        scenario.check_faults()?;
        Ok(scenario)
    }

    /// Checks what overrides may have changed: links that can be, contacts that do not overlap, times within the
    /// duration.
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        couriers::check_stops(self)?;
        self.media()?;
        flows::check(self)?;
        let late = |message: &&Message| message.at >= self.duration;
        match self.messages.iter().find(late) {
            Some(message) => Err(self.late(message.line, message.at)),
            None => Ok(()),
        }
    }

    /// Checks that each fault comes within the duration that the file gives. An override may leave some out.
    fn check_faults(&self) -> Result<(), ScenarioError> {
        let faults = self.faults.plan.faults.iter().zip(&self.faults.lines);
        let mut times = faults.filter_map(|(fault, line)| match fault.when {
            When::At(at) => Some((*line, at)),
            When::AfterEvents(_) => None,
        });
        match times.find(|(_, at)| *at >= self.duration) {
            Some((line, at)) => Err(self.late(line, at)),
            None => Ok(()),
        }
    }

    fn late(&self, line: usize, at: Nanos) -> ScenarioError {
        let expected = format!("a time within the duration of {}", show(self.duration));
        let (key, value) = ("at".into(), show(at));
        let problem = Problem::Value {
            key,
            value,
            expected,
        };
        self.error(Some(line), problem)
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
        for (place, rollbacks) in (0u64..).zip(&self.faults.rollbacks) {
            let seed = rollbacks.seed.unwrap_or(seed.wrapping_add(place));
            let drawn = rollbacks.plan(seed, self.duration);
            plan.faults.extend(drawn.faults);
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
pub type Files<'a> = &'a dyn Fn(&str) -> io::Result<String>;

/// The text of a file, unless it is too long. No more is read of one that never ends.
fn read_bounded(path: &Path, most: u64) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut text)?;
    if text.len() as u64 > most {
        let why = format!("it has more than the {most} bytes that may be");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    String::from_utf8(text)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}

/// The same of a file that a scenario names: no pipe that nobody writes to holds up whoever reads it.
fn read_regular(path: &Path, most: u64) -> io::Result<String> {
    if std::fs::metadata(path)?.is_file() {
        return read_bounded(path, most);
    }
    let why = "it is no regular file";
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
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
        let name = table.plain_text("name")?.map(|found| found.value);
        let text = |found: Option<Found<String>>| {
            found.map_or_else(String::new, |found| found.value.trim().into())
        };
        let title = text(table.plain_text("title")?);
        let description = text(table.plain_lines("description")?);
        let Some(duration) = table.quantity("duration", duration, DURATION)? else {
            return Err(table.missing("duration", DURATION));
        };
        let seed = table.number("seed", 0..=i64::MAX as u64)?.unwrap_or(1);
        let start = table.word("start", &STARTS)?.unwrap_or_default();
        let mode = table.word("mode", &MODES)?.unwrap_or_default();
        table.finish()?;
        Ok(Self {
            name,
            title,
            description,
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
