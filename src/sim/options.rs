//! What a scenario says of a machine, in the `options` of its node.

use super::relay::QUEUE_BYTES;
use super::work;
use crate::engine::limits::Limits;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::profile::value::{self, ValueError};
use ostrakon_netsim::scenario::{Node, NodeKind, Problem, Scenario, ScenarioError};
use std::time::Duration;

/// The longest that a durable write may take.
const SLOWEST: Duration = Duration::from_secs(60);

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes that a relay keeps before each of its links: `storage`.
    pub storage: usize,
    /// What a durable write of a node's disk takes, beside its bytes: `sync`.
    pub sync: Nanos,
    /// Bytes of arriving files that a node's disk has room for: `disk`.
    pub disk: u64,
    /// The place of the node whose keys a node has: `twin`.
    pub twin: Option<usize>,
    /// How long a generation of a node's sessions lasts: `generation`.
    pub generation: Duration,
}

impl Options {
    /// Of a node of a scenario.
    ///
    /// # Errors
    /// An option that a machine of its kind does not have, or a value that it does not take.
    pub fn of(scenario: &Scenario, node: &Node) -> Result<Self, ScenarioError> {
        let mut options = Self {
            storage: QUEUE_BYTES,
            sync: work::SYNC,
            disk: u64::MAX,
            twin: None,
            generation: Limits::default().generation_every,
        };
        for (key, text) in &node.options {
            let read = match (key.as_str(), node.kind) {
                ("storage", NodeKind::Relay | NodeKind::Courier) => {
                    storage(text).map(|bytes| options.storage = bytes)
                }
                ("disk", NodeKind::Node) => value::bytes(text).map(|bytes| options.disk = bytes),
                ("sync", NodeKind::Node) => sync(text).map(|time| options.sync = time),
                ("generation", NodeKind::Node) => {
                    generation(text).map(|time| options.generation = time)
                }
                ("twin", NodeKind::Node) => {
                    twin(scenario, text).map(|place| options.twin = Some(place))
                }
                _ => return Err(error(scenario, unknown(key, node))),
            };
            read.map_err(|why| {
                let key = format!("{key} of {}", node.name);
                error(scenario, refused(key, text, why.expected))
            })?;
        }
        Ok(options)
    }
}

fn storage(text: &str) -> Result<usize, ValueError> {
    let bytes = value::bytes(text)?;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn sync(text: &str) -> Result<Nanos, ValueError> {
    let expected = "a time of at most 60s, such as 4ms";
    let time = value::time(text).ok().filter(|time| *time <= SLOWEST);
    let nanos = time.and_then(|time| Nanos::try_from(time.as_nanos()).ok());
    nanos.ok_or(ValueError { expected })
}

fn generation(text: &str) -> Result<Duration, ValueError> {
    let expected = "a time of at least 1s, such as 20s";
    let time = value::time(text).ok();
    let time = time.filter(|time| *time >= Duration::from_secs(1));
    time.ok_or(ValueError { expected })
}

/// A node with keys of its own, so that nobody is a twin of a twin.
fn twin(scenario: &Scenario, name: &str) -> Result<usize, ValueError> {
    let expected = "the name of another node, one without a `twin`";
    let own = |node: &Node| node.kind == NodeKind::Node && !node.options.contains_key("twin");
    let mut nodes = scenario.nodes.iter();
    let found = nodes.position(|node| node.name == name && own(node));
    found.ok_or(ValueError { expected })
}

fn unknown(key: &str, node: &Node) -> Problem {
    let (kind, known) = match node.kind {
        NodeKind::Node => ("node", "disk, generation, sync, twin"),
        NodeKind::Relay => ("relay", "storage"),
        NodeKind::Courier => ("courier", "storage"),
    };
    Problem::UnknownKey {
        key: key.chars().take(60).collect(),
        table: format!("the options of {}, a {kind}", node.name),
        nearest: None,
        known: known.into(),
    }
}

/// A value that its key does not take.
pub fn refused(key: String, value: &str, expected: impl Into<String>) -> Problem {
    Problem::Value {
        key,
        value: value.chars().take(60).collect(),
        expected: expected.into(),
    }
}

/// What is wrong with a scenario as a whole.
pub fn error(scenario: &Scenario, problem: Problem) -> ScenarioError {
    ScenarioError {
        file: scenario.file.clone(),
        line: None,
        problem: Box::new(problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, options: &str) -> Result<Options, String> {
        let text = format!(
            "[scenario]\nduration = \"1h\"\n[[node]]\nname = \"a\"\nkind = \"{kind}\"\n{options}"
        );
        let scenario = Scenario::parse("one.toml", &text).map_err(|why| why.to_string())?;
        Options::of(&scenario, &scenario.nodes[0]).map_err(|why| why.to_string())
    }

    /// Guards what a scenario may say of a machine: each option counts, and what is none, or one of another kind of machine,
    /// is refused and not passed over.
    #[test]
    fn a_machine_is_as_its_scenario_says() {
        let bare = read("node", "").unwrap();
        assert_eq!((bare.storage, bare.sync), (QUEUE_BYTES, work::SYNC));
        let slow = read("node", "options = { sync = \"250ms\" }").unwrap();
        assert_eq!(slow.sync, 250_000_000);
        for kind in ["relay", "courier"] {
            let small = read(kind, "options = { storage = \"64MB\" }").unwrap();
            assert_eq!(small.storage, 64_000_000);
        }
        for (kind, bad) in [
            ("node", "sync = \"2min\""),
            ("node", "sync = \"-1s\""),
            ("node", "snyc = \"1s\""),
            ("node", "storage = \"64MB\""),
            ("node", "twin = \"a\""),
            ("node", "twin = \"nobody\""),
            ("relay", "storage = \"lots\""),
            ("relay", "sync = \"4ms\""),
            ("courier", "sync = \"4ms\""),
        ] {
            let why = read(kind, &format!("options = {{ {bad} }}")).unwrap_err();
            assert!(why.contains("one.toml") && why.contains(" a"), "{why}");
        }
    }
}
