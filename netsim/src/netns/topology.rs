//! A network made of a scenario: its nodes and links, without its messages, faults and expectations.

use super::names::{HostName, NameError, NetworkName};
use super::plan::{Plan, PlanError, PlannedLink};
use super::shape::{Shape, ShapeError};
use crate::scenario::{Link, Scenario, ScenarioError, Shape as Joined};

/// A scenario that cannot be a network here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// The scenario itself is wrong.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// A node whose name cannot be a host's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A link that cannot be one here.
    #[error("{file}:{line}: {why}")]
    Shape {
        /// The scenario's file.
        file: String,
        /// Where the link stands.
        line: usize,
        /// What is wrong with it.
        why: ShapeError,
    },
    /// Nodes and links that do not go together.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl Plan {
    /// The nodes of a scenario as hosts, with its links, contacts included, in their order. Times of contacts count from
    /// the start of the network.
    ///
    /// # Errors
    ///
    /// Names and links that cannot be here, such as couriers.
    pub fn of_scenario(
        name: NetworkName,
        scenario: &Scenario,
        seed: u64,
    ) -> Result<Self, TopologyError> {
        let hosts = scenario.nodes.iter().map(|node| node.name.parse());
        let hosts = hosts.collect::<Result<Vec<HostName>, _>>()?;
        let mut links = Vec::new();
        for (link, medium) in scenario.links.iter().zip(scenario.media()?) {
            let shape = Shape::planned(&link.name, &link.profile, medium);
            let shape = shape.map_err(|why| TopologyError::Shape {
                file: scenario.file.clone(),
                line: link.line,
                why,
            })?;
            links.push(PlannedLink {
                name: Some(link.name.clone()),
                ends: link.ends.clone(),
                deaf: deaf(link),
                shape,
            });
        }
        let plan = Self {
            name,
            hosts,
            links,
            seed,
        };
        plan.validate()?;
        Ok(plan)
    }
}

/// Which ends of a channel do not hear which, by their places among the ends.
fn deaf(link: &Link) -> Vec<(usize, usize)> {
    let Joined::Shared { hears: Some(hears) } = &link.shape else {
        return Vec::new();
    };
    let mut deaf = Vec::new();
    for (from, a) in link.ends.iter().enumerate() {
        for (to, b) in link.ends.iter().enumerate() {
            if from != to && !hears.contains(&(*a, *b)) && !hears.contains(&(*b, *a)) {
                deaf.push((from, to));
            }
        }
    }
    deaf
}
