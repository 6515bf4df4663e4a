//! What people will send: the messages of a scenario as drafts, with their contents and the links that may carry them.

use super::content::Content;
use super::log::{Planned, PlannedPart};
use super::people::People;
use crate::engine::io::LinkId;
use crate::engine::message::{LinkPolicy, Priority};
use crate::wire::manifest::Lifetime;
use ostrakon_netsim::scenario::{self, Link, Message, NodeKind, Scenario};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Who sends what.
pub struct Plans {
    /// By the place of the sender, in order of the file.
    pub by_sender: BTreeMap<usize, Vec<Planned>>,
    /// The contents that they refer to, by number.
    pub contents: BTreeMap<u64, Rc<Content>>,
}

impl Plans {
    /// Of a scenario under a seed.
    pub fn of(scenario: &Scenario, people: &People, seed: u64) -> Self {
        let routed = routed(scenario);
        let mut plans = Self {
            by_sender: BTreeMap::new(),
            contents: BTreeMap::new(),
        };
        for (number, message) in (0..).zip(&scenario.messages) {
            let parts = message.parts.iter().zip(0u64..).map(|(part, index)| {
                // One entry of the file has one content, however often and to whomever it is sent.
                let content = seed ^ (message.line as u64) << 32 ^ index << 24;
                let len = usize::try_from(part.bytes).unwrap_or(usize::MAX);
                let entry = plans.contents.entry(content);
                let digest = entry
                    .or_insert_with(|| Rc::new(Content::numbered(content, len)))
                    .digest;
                PlannedPart {
                    name: part.name.clone(),
                    text: part.text,
                    bytes: len,
                    content,
                    digest,
                    priority: priority(part.priority),
                    lifetime: Lifetime::at_least(part.lifetime.map(Duration::from_nanos)),
                    policy: LinkPolicy {
                        links: allowed(scenario, &routed, message, &part.via),
                        max_cost: part.max_cost,
                    },
                }
            });
            let planned = Planned {
                number,
                at: message.at,
                to: people.identities[message.to].person(),
                parts: parts.collect(),
            };
            plans
                .by_sender
                .entry(message.from)
                .or_default()
                .push(planned);
        }
        plans
    }
}

/// The links that nodes have routes by, for each node and recipient.
type Routed = BTreeMap<(usize, usize), BTreeSet<LinkId>>;

/// The links that lead to where the static routes of nodes go. Relays have theirs in their tables.
fn routed(scenario: &Scenario) -> Routed {
    let mut leads: BTreeMap<(usize, usize), Vec<LinkId>> = BTreeMap::new();
    let mut routed = Routed::new();
    for route in &scenario.routes {
        let node = scenario.nodes.get(route.node);
        if node.is_none_or(|node| node.kind != NodeKind::Node) {
            continue;
        }
        let leads = leads.entry((route.node, route.via)).or_insert_with(|| {
            ports(scenario, route.node, |_, link| {
                link.ends.contains(&route.via)
            })
        });
        let links = routed.entry((route.node, route.to)).or_default();
        links.extend(leads.iter());
    }
    routed
}

/// The links that may carry a part: those that it names (any, if none), and of these only those by which its sender has
/// routes for the recipient, if it has any. `None` is all.
fn allowed(
    scenario: &Scenario,
    routed: &Routed,
    message: &Message,
    via: &[usize],
) -> Option<Vec<LinkId>> {
    let named =
        (!via.is_empty()).then(|| ports(scenario, message.from, |place, _| via.contains(&place)));
    let Some(routes) = routed.get(&(message.from, message.to)) else {
        return named;
    };
    let Some(mut links) = named else {
        return Some(routes.iter().copied().collect());
    };
    links.retain(|link| routes.contains(link));
    Some(links)
}

/// The numbers that links have at a node, of those that are wanted by their place in the scenario and what they are.
fn ports(scenario: &Scenario, place: usize, wanted: impl Fn(usize, &Link) -> bool) -> Vec<LinkId> {
    let links = scenario.links.iter().enumerate();
    let own = links.filter(|(_, link)| link.ends.contains(&place));
    let numbered = (0u32..).zip(own);
    let wanted = numbered.filter(|(_, (global, link))| wanted(*global, link));
    wanted.map(|(port, _)| LinkId(port)).collect()
}

fn priority(priority: scenario::Priority) -> Priority {
    match priority {
        scenario::Priority::Urgent => Priority::Urgent,
        scenario::Priority::High => Priority::High,
        scenario::Priority::Normal => Priority::Normal,
        scenario::Priority::Bulk => Priority::Bulk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::tests::BESIDE_A_BLACK_HOLE;

    /// A second way to the relay that stands beside the direct link.
    const SECOND: &str = r#"
        [[link]]
        name = "hole-2"
        between = ["a", "r"]
        profile = "lan"
        kind = "relay"
    "#;

    /// The links that may carry a message from `a` to `b` with these routes and part.
    fn links(routes: &[&str], via: &str) -> Option<Vec<u32>> {
        let routes: String = routes
            .iter()
            .map(|via| format!("[[route]]\nnode = \"a\"\nto = \"b\"\nvia = \"{via}\"\n"))
            .collect();
        let message =
            format!("[[message]]\nfrom = \"a\"\nto = \"b\"\nparts = [{{ text = 9{via} }}]\n");
        let scenario = Scenario::parse(
            "t.toml",
            &format!("{BESIDE_A_BLACK_HOLE}{SECOND}{routes}{message}"),
        )
        .unwrap();
        let people = People::of(&scenario, &[], 1);
        let plans = Plans::of(&scenario, &people, 1);
        let links = plans.by_sender[&0][0].parts[0].policy.links.clone();
        links.map(|links| links.into_iter().map(|link| link.0).collect())
    }

    /// Guards that a route of a node holds: what it has for the recipient goes by the links that lead there and by no
    /// other, several routes are choices, and a part that names links keeps to these as well.
    #[test]
    fn a_route_of_a_node_restricts_what_it_sends() {
        assert_eq!(links(&[], ""), None);
        assert_eq!(links(&["r"], ""), Some(vec![1, 2]));
        assert_eq!(links(&["b"], ""), Some(vec![0]));
        assert_eq!(links(&["r", "b"], ""), Some(vec![0, 1, 2]));
        assert_eq!(links(&[], ", via = \"hole\""), Some(vec![1]));
        assert_eq!(
            links(&["r"], ", via = [\"good\", \"hole-2\"]"),
            Some(vec![2])
        );
        assert_eq!(links(&["b"], ", via = \"hole\""), Some(vec![]));
    }
}
