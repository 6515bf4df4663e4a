//! A world made of a scenario.

use crate::profile::Medium;
use crate::world::{Air, Host, HostId, Pair, World, WorldError};

use super::error::{Problem, ScenarioError};
use super::links::{Link, Shape};
use super::nodes::Node;
use super::read::Scenario;

impl Scenario {
    /// Makes a world: hosts by `host`, which is given each node's place, then the links, then the faults. `HostId` and
    /// `LinkId` in it are places in [`nodes`](Self::nodes) and [`links`](Self::links), and a node's port `i` is the
    /// `i`-th link that it is on. Messages are for the caller to give to the hosts, with [`World::at`].
    ///
    /// # Errors
    ///
    /// As [`media`](Self::media).
    pub fn build<H: Host>(
        &self,
        seed: u64,
        mut host: impl FnMut(usize, &Node) -> H,
    ) -> Result<World<H>, ScenarioError> {
        let mut world = World::new(seed);
        for (place, node) in self.nodes.iter().enumerate() {
            world.add_host(node.name.clone(), host(place, node));
        }
        for (link, medium) in self.links.iter().zip(self.media()?) {
            let added = add(&mut world, link, medium);
            added.map_err(|why| {
                let (link, line) = (link.name.clone(), Some(link.line));
                let why = why.to_string();
                self.error(line, Problem::Link { link, why })
            })?;
        }
        let faults = world.add_faults(&self.fault_plan(seed));
        faults.map_err(|why| self.error(None, Problem::Faults(why.to_string())))?;
        Ok(world)
    }
}

fn add<H: Host>(world: &mut World<H>, link: &Link, medium: Medium) -> Result<(), WorldError> {
    let hosts: Vec<HostId> = link.ends.iter().map(|end| HostId(*end as u32)).collect();
    let tells = link.profile.tells();
    match (medium, hosts.as_slice()) {
        (Medium::Pair { forward, back }, [a, b]) => {
            let pair = Pair {
                forward: Some(*forward),
                back: back.map(|back| *back),
                notice: link.notice,
                tells,
            };
            world.add_pair(*a, *b, &pair)?;
        }
        (Medium::Channel(spec), _) => {
            let air = Air {
                spec: *spec,
                levels: deaf(link),
                notice: link.notice,
                tells,
            };
            world.add_channel(&hosts, &air)?;
        }
        (Medium::Courier(spec), _) => {
            world.add_courier(&hosts, &spec, link.notice)?;
        }
        // A pair has two ends: reading sees to that.
        (Medium::Pair { .. }, _) => {}
    }
    Ok(())
}

/// The stations of a channel that do not hear each other.
fn deaf(link: &Link) -> Vec<(usize, usize, Option<i16>)> {
    let Shape::Shared { hears: Some(_) } = &link.shape else {
        return Vec::new();
    };
    let pairs = (0..link.ends.len()).flat_map(|a| (0..link.ends.len()).map(move |b| (a, b)));
    let deaf = pairs.filter(|(a, b)| a != b && !link.hear_each_other(link.ends[*a], link.ends[*b]));
    deaf.map(|(a, b)| (a, b, None)).collect()
}
