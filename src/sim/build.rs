//! From a scenario to a world of machines: keys, cards, ports, plans.
//!
//! A node learns of its links what an operator would configure: the size of frames, which way they go, what they cost,
//! the rate of a modem. With `start = "warm"` also what an earlier transfer would have left: rate and round trip.

use super::flows;
use super::line::Line;
use super::machine::Machine;
use super::node::Node;
use super::options::{self, Options};
use super::paced;
use super::people::People;
use super::plans::Plans;
use super::quic;
use super::quic_links::{self, Known};
use super::relay::{Relay, RelayPort};
use super::setup::PortSetup;
use super::shares::Watch;
use crate::engine::io::{LinkProfile, Reach};
use crate::engine::limits::Limits;
use crate::security::mailbox;
use crate::wire::{MIN_MTU, envelope};
use ostrakon_netsim::profile::Medium;
use ostrakon_netsim::scenario::{self, Carrier, NodeKind, Scenario, ScenarioError, Shape, Start};
use ostrakon_netsim::world::{Notice, Port, World};
use std::time::Duration;

/// Bytes that a QUIC datagram adds to a frame on each packet, beside IP and UDP: short header with an 8-byte connection
/// id and a packet number of 2 (RFC 9000, section 17.3.1), the frame type and length of a datagram (RFC 9221), and the
/// tag.
const QUIC_BYTES: usize = 1 + 8 + 2 + 3 + 16;
/// Bytes of the largest frame that is put on a stick.
const SPOOL_MTU: usize = 1390;

/// The world of a scenario under a seed, and what is to be watched of flows of others in it.
///
/// # Errors
/// As [`Scenario::build`], and what the mode does not have.
pub fn world(
    scenario: &Scenario,
    media: &[Medium],
    seed: u64,
) -> Result<(World<Machine>, Watch), ScenarioError> {
    flows::check_mode(scenario)?;
    let options = scenario
        .nodes
        .iter()
        .map(|node| Options::of(scenario, node));
    let options: Vec<Options> = options.collect::<Result<_, _>>()?;
    let people = People::of(scenario, &options, seed);
    let mut plans = Plans::of(scenario, &people, seed);
    let plan = &Plan {
        scenario,
        media,
        people,
        options,
        clock: quic::Clock::new(),
    };
    plan.check_sizes()?;
    quic_links::check(scenario, media)?;
    let mut known = quic_links::known(plan, seed);
    let mut world = scenario.build(seed, |place, node| match node.kind {
        NodeKind::Node => Machine::Node(Box::new(make_node(plan, place, &mut plans, &mut known))),
        NodeKind::Relay | NodeKind::Courier => Machine::Relay(Box::new(make_relay(plan, place))),
    })?;
    let present = flows::present(scenario, seed);
    let ends = flows::join(scenario, media, &mut world, &present, plan.clock)?;
    Ok((world, Watch::new(scenario, present, ends)))
}

/// Whether a scenario can run.
///
/// # Errors
/// [`ScenarioError`] that says why not.
pub fn can_be(scenario: &Scenario) -> Result<(), ScenarioError> {
    let (scenario, media) = with_headers(scenario)?;
    world(&scenario, &media, scenario.seed).map(drop)
}

/// What machines are made from.
pub(super) struct Plan<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) media: &'a [Medium],
    pub(super) people: People,
    /// What each machine is like.
    options: Vec<Options>,
    pub(super) clock: quic::Clock,
}

/// A link at one of its ends.
pub(super) struct Attached<'a> {
    pub(super) link: &'a scenario::Link,
    /// Its place among the links of the scenario.
    pub(super) number: usize,
    pub(super) medium: &'a Medium,
    /// Which of its ends.
    pub(super) station: usize,
}

impl Plan<'_> {
    /// Whether the frames of the engine fit all links of nodes. What is below segments in the field, and not here.
    fn check_sizes(&self) -> Result<(), ScenarioError> {
        for (place, node) in self.scenario.nodes.iter().enumerate() {
            for at in self.attached(place).filter(|_| node.kind == NodeKind::Node) {
                let line = Line::out_of(at.medium, at.station);
                let (mtu, profile) = (line.map(|line| line.mtu), profile(self, place, &at));
                let envelope = if profile.enveloped { envelope::LEN } else { 0 };
                let least = MIN_MTU + envelope;
                if let Some(mtu) = mtu.filter(|mtu| *mtu < least) {
                    let problem = options::refused(
                        format!("mtu of {}", at.link.name),
                        &format!("{mtu} bytes of a frame"),
                        format!("room for frames of {least} bytes beside the link's own headers"),
                    );
                    return Err(options::error(self.scenario, problem));
                }
            }
        }
        Ok(())
    }

    /// The links of a node in the order of its ports.
    fn attached(&self, place: usize) -> impl Iterator<Item = Attached<'_>> {
        let links = self.scenario.links.iter().zip(self.media).enumerate();
        links.filter_map(move |(number, (link, medium))| {
            let station = link.ends.iter().position(|end| *end == place)?;
            Some(Attached {
                link,
                number,
                medium,
                station,
            })
        })
    }
}

/// Links that stand for QUIC lose the bytes of its headers; those that run it have them in their packets. With what links
/// are made of then.
///
/// # Errors
/// A packet size that leaves no room for them.
pub fn with_headers(scenario: &Scenario) -> Result<(Scenario, Vec<Medium>), ScenarioError> {
    let mut scenario = scenario.clone();
    let media = scenario.media()?;
    let links = scenario.links.iter().zip(&media);
    let headers: Vec<usize> = links
        .map(|(link, medium)| header_bytes(&scenario, link, medium))
        .collect();
    for ((link, medium), bytes) in scenario.links.iter_mut().zip(&media).zip(headers) {
        if let Medium::Pair { forward, .. } = medium
            && bytes > 0
        {
            let bytes = (forward.overhead + bytes).to_string();
            // A key that every pair has; values that do not go together are told of when the world is built.
            let _ = link.profile.set("overhead", &bytes);
        }
    }
    let media = scenario.media()?;
    Ok((scenario, media))
}

/// Bytes of QUIC that packets of a link take and that nobody puts into them.
fn header_bytes(scenario: &Scenario, link: &scenario::Link, medium: &Medium) -> usize {
    match link.carrier {
        _ if quic_links::runs(scenario, link, medium) => 0,
        _ if quic_links::pace_themselves(scenario, link, medium) => QUIC_BYTES - paced::HEADER,
        Carrier::Quic | Carrier::Relay => QUIC_BYTES,
        _ => 0,
    }
}

fn make_node(plan: &Plan<'_>, place: usize, plans: &mut Plans, known: &mut Known) -> Node {
    let sends = plans.by_sender.remove(&place).unwrap_or_default();
    let contents: Vec<u64> = sends
        .iter()
        .flat_map(|planned| planned.parts.iter().map(|part| part.content))
        .collect();
    let person = plan.people.persons[place].clone();
    let options = &plan.options[place];
    let limits = Limits {
        generation_every: options.generation,
        ..Limits::default()
    };
    let mut node = Node::new(person, limits, sends, plan.clock);
    node.sync = options.sync;
    node.limit_disk(options.disk);
    for number in contents {
        if let Some(content) = plans.contents.get(&number) {
            node.add_content(number, content.clone());
        }
    }
    for at in plan.attached(place) {
        let profile = profile(plan, place, &at);
        let tells = at.link.profile.tells();
        let line = Line::out_of(at.medium, at.station);
        let quic = quic_links::runs(plan.scenario, at.link, at.medium)
            .then(|| quic_links::setup(plan, place, &at, &profile));
        let paced = quic_links::pace_themselves(plan.scenario, at.link, at.medium)
            .then(|| quic_links::paced_setup(&profile, line));
        let numbers = paced.as_ref().map_or(0, |_| paced::HEADER);
        let paces = !tells && !profile.courier && paced.is_none();
        node.add_port(PortSetup {
            profile,
            tells,
            notices: at.link.notice != Notice::Nothing,
            pace: line
                .filter(|_| paces)
                .and_then(|line| Some((line.rate_bps?, line.overhead as u64))),
            beside: line.map_or(0, |line| line.overhead) + numbers,
        });
        if let Some(setup) = quic {
            node.run_quic(setup, known.remove(&(at.number, at.station)));
        }
        if let Some(setup) = paced {
            node.run_paced(setup);
        }
    }
    node
}

fn make_relay(plan: &Plan<'_>, place: usize) -> Relay {
    let mut relay = Relay::new(plan.options[place].storage);
    for at in plan.attached(place) {
        let line = Line::out_of(at.medium, at.station);
        relay.add_port(RelayPort {
            profile: profile(plan, place, &at),
            tells: at.link.profile.tells(),
            notices: at.link.notice != Notice::Nothing,
            rate_bps: line.and_then(|line| line.rate_bps),
            overhead: line.map_or(0, |line| line.overhead as u64),
        });
    }
    let port_to = |neighbour: usize| {
        let mut links = plan.attached(place).enumerate();
        let found = links.find(|(_, at)| at.link.ends.contains(&neighbour));
        found.map(|(port, _)| Port(port as u32))
    };
    for (to, identity) in plan.people.identities.iter().enumerate() {
        let mut routes = plan.scenario.routes.iter();
        let route = routes.find(|route| route.node == place && route.to == to);
        let via = route.map_or(to, |route| route.via);
        if let Some(port) = port_to(via) {
            let key = identity.mailbox_key();
            relay.route((0..mailbox::TAGS).map(|i| mailbox::tag(&key, i)), port);
        }
    }
    relay
}

/// What a node's engine is told of a link.
pub(super) fn profile(plan: &Plan<'_>, place: usize, at: &Attached<'_>) -> LinkProfile {
    let out = Line::out_of(at.medium, at.station);
    let back = Line::into(at.medium, at.station);
    let courier = matches!(at.link.shape, Shape::Courier { .. });
    let warm = plan.scenario.start == Start::Warm;
    let tells = at.link.profile.tells();
    let packet = out.or(back).map_or(0, |line| line.mtu);
    let mtu = if quic_links::pace_themselves(plan.scenario, at.link, at.medium) {
        paced::frame_mtu(packet)
    } else {
        packet
    };
    let trip = out.zip(back).map(|(out, back)| out.delay + back.delay);
    LinkProfile {
        mtu: mtu
            .min(if courier { SPOOL_MTU } else { usize::MAX })
            .max(MIN_MTU),
        rate_bps: out
            .and_then(|line| line.rate_bps)
            .filter(|_| tells || warm || back.is_none())
            .map(|rate| {
                at.link
                    .remembered_bps
                    .filter(|_| warm && !tells)
                    .unwrap_or(rate)
            }),
        rtt: trip.filter(|trip| warm && *trip > Duration::ZERO),
        can_send: out.is_some(),
        can_receive: back.is_some(),
        enveloped: matches!(at.link.carrier, Carrier::Relay | Carrier::Spool),
        courier,
        reach: reach(plan, place, at.link),
        cost: at.link.cost,
        loss_ppm: at.link.assume_loss_ppm.unwrap_or(0),
    }
}

/// A link straight to somebody's node reaches that person only; others may reach anyone.
fn reach(plan: &Plan<'_>, place: usize, link: &scenario::Link) -> Reach {
    let other = link.between().map(|(a, b)| if a == place { b } else { a });
    let is_node = |other: &usize| {
        let node = plan.scenario.nodes.get(*other);
        node.is_some_and(|node| node.kind == NodeKind::Node)
    };
    match other.filter(is_node) {
        Some(other) => Reach::Person(plan.people.identities[other].person()),
        None => Reach::Anyone,
    }
}
