//! Runs a scenario under a seed, in the mode that it names, and tells what came of it.

use super::build;
use super::check::{Witness, violations};
use super::line::Line;
use super::log::{Log, Planned};
use super::machine::Machine;
use super::outcome::{LinkOutcome, MessageOutcome, Outcome, PartOutcome};
use crate::engine::id::MessageId;
use data_encoding::HEXLOWER;
use ostrakon_netsim::model::{LinkStats, Nanos};
use ostrakon_netsim::profile::Medium;
use ostrakon_netsim::scenario::{Link, Mode, Scenario, ScenarioError};
use ostrakon_netsim::world::{HostId, LinkId, World};
use std::collections::BTreeMap;
use std::time::Instant;

/// Useful bytes over IP bytes of a full packet with one sealed fragment in a QUIC datagram: a constant of the bound, not
/// of an implementation.
const USEFUL: f64 = 0.94;
/// How often it is looked whether everything is over.
const LOOK: Nanos = 1_000_000_000;

/// How a message and its recipient know each other.
struct Tracked<'a> {
    id: MessageId,
    planned: &'a Planned,
    sender: &'a Log,
    recipient: Option<&'a Log>,
}

/// Runs a scenario to its end, or until every message is confirmed. `progress` is told the time of the world.
///
/// # Errors
/// [`ScenarioError`] if the scenario cannot be.
pub fn run(
    scenario: &Scenario,
    seed: u64,
    progress: &mut dyn FnMut(Nanos),
) -> Result<Outcome, ScenarioError> {
    let mut scenario = build::with_headers(scenario)?;
    scenario.seed = seed;
    let began = Instant::now();
    let mut world = build::world(&scenario, seed)?;
    let total = scenario.messages.len();
    let quiet_from = scenario.messages.iter().map(|m| m.at).max().unwrap_or(0);
    let mut at = 0;
    while at < scenario.duration {
        at = (at + LOOK).min(scenario.duration);
        world.run_until(at, |_| false);
        progress(at);
        if at > quiet_from && is_over(&world, total) {
            break;
        }
    }
    outcome(&scenario, &mut world, began)
}

/// Whether every message was confirmed or given up.
fn is_over(world: &World<Machine>, total: usize) -> bool {
    let logs = world.hosts().filter_map(|(_, machine)| machine.node());
    let over = |log: &Log| {
        let confirmed = log.confirmed.keys().filter(|(_, part)| *part == 0).count();
        confirmed + log.expired.len() + log.refused.len()
    };
    logs.map(|node| over(&node.log)).sum::<usize>() >= total
}

fn outcome(
    scenario: &Scenario,
    world: &mut World<Machine>,
    began: Instant,
) -> Result<Outcome, ScenarioError> {
    let now = world.now();
    let media = scenario.media()?;
    let stats = all_stats(scenario, world);
    let links = links(scenario, world, &media, &stats);
    let world = &*world;
    let witnesses: Vec<Witness<'_>> = world
        .hosts()
        .filter_map(|(id, machine)| {
            let node = machine.node()?;
            Some(Witness {
                person: node.person_id()?,
                name: world.name(id),
                log: &node.log,
            })
        })
        .collect();
    let mut violations = violations(&witnesses);
    let messages = messages(scenario, world);
    violations.extend(unmet(scenario, &messages));
    let largest =
        (messages.iter().zip(&scenario.messages)).max_by_key(|(outcome, _)| outcome.bytes);
    let (mut limit, mut nominal, mut achieved) = (None, None, None);
    if let Some((outcome, message)) = largest {
        let bound = |loss: &dyn Fn(usize, usize) -> f64| {
            bound(scenario, message, outcome.bytes, loss).map(|at| seconds(at) - outcome.at_s)
        };
        limit = bound(&|link, way| drawn_loss(&media, &stats, link, way));
        nominal = bound(&|link, way| nominal_loss(&media, link, way));
        achieved = outcome.delivered_s.map(|at| at - outcome.at_s);
    }
    let counts = world.counts();
    let count =
        |some: &dyn Fn(&MessageOutcome) -> bool| messages.iter().filter(|m| some(m)).count() as u64;
    Ok(Outcome {
        scenario: scenario.name.clone(),
        title: scenario.title.clone(),
        mode: scenario.mode.name(),
        seed: scenario.seed,
        trace: (scenario.mode == Mode::Model).then(|| HEXLOWER.encode(&world.trace_hash())),
        events: counts.events,
        packets: counts.packets,
        frames: witnesses.iter().map(|w| w.log.sent_frames).sum(),
        virtual_s: seconds(now),
        wall_s: began.elapsed().as_secs_f64(),
        sent: witnesses.iter().map(|w| w.log.sent.len() as u64).sum(),
        delivered: count(&|m| m.delivered_s.is_some()),
        confirmed: count(&|m| m.confirmed_s.is_some()),
        achieved_s: achieved,
        limit_s: limit,
        nominal_limit_s: nominal,
        ratio: limit
            .zip(achieved)
            .map(|(limit, achieved)| limit / achieved),
        messages,
        links,
        dropped: dropped(world),
        violations,
    })
}

fn dropped(world: &World<Machine>) -> BTreeMap<String, BTreeMap<&'static str, u64>> {
    let nodes = world.hosts();
    let dropped = nodes.filter_map(|(id, machine)| {
        let counts = match machine {
            Machine::Node(node) => node.dropped(),
            Machine::Relay(relay) => relay.dropped.clone(),
        };
        (!counts.is_empty()).then(|| (world.name(id).to_owned(), counts))
    });
    dropped.collect()
}

fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}

fn messages(scenario: &Scenario, world: &World<Machine>) -> Vec<MessageOutcome> {
    let log = |place: usize| {
        let machine = world.host(HostId(place as u32));
        machine.node().map(|node| &node.log)
    };
    let mut tracked: BTreeMap<u64, Tracked<'_>> = BTreeMap::new();
    for message in &scenario.messages {
        let Some(sender) = log(message.from) else {
            continue;
        };
        for (id, planned) in &sender.sent {
            tracked.entry(planned.number).or_insert(Tracked {
                id: *id,
                planned,
                sender,
                recipient: None,
            });
        }
    }
    let name = |place: usize| scenario.nodes[place].name.clone();
    let mut out = Vec::with_capacity(scenario.messages.len());
    for (number, message) in (0..).zip(&scenario.messages) {
        let known = tracked.get_mut(&number);
        if let Some(tracked) = known {
            tracked.recipient = log(message.to);
        }
        let known = tracked.get(&number);
        let delivered = |part: u8| {
            let tracked = known?;
            let arrived = tracked.recipient?.arrived.get(&(tracked.id, part))?;
            Some(seconds(arrived.at))
        };
        let confirmed = |part: u8| {
            let tracked = known?;
            let at = tracked.sender.confirmed.get(&(tracked.id, part))?;
            Some(seconds(*at))
        };
        let parts = (1..=u8::MAX)
            .zip(&message.parts)
            .map(|(id, part)| PartOutcome {
                name: part.name.clone(),
                bytes: part.bytes,
                delivered_s: delivered(id),
            });
        out.push(MessageOutcome {
            number,
            from: name(message.from),
            to: name(message.to),
            at_s: known.map_or(seconds(message.at), |t| seconds(t.planned.at)),
            bytes: message.parts.iter().map(|part| part.bytes).sum(),
            delivered_s: delivered(0),
            confirmed_s: confirmed(0),
            parts: parts.collect(),
        });
    }
    out
}

/// What the scenario expected and did not come.
fn unmet(scenario: &Scenario, messages: &[MessageOutcome]) -> Vec<String> {
    let expect = &scenario.expect;
    let mut unmet = Vec::new();
    let by = expect.by.map_or(f64::INFINITY, seconds);
    let share = |some: &dyn Fn(&MessageOutcome) -> Option<f64>| {
        let there = messages
            .iter()
            .filter(|m| some(m).is_some_and(|at| at <= by));
        there.count() as u64 * 1_000_000 / messages.len().max(1) as u64
    };
    let mut want = |what: &str, wanted: Option<u32>, got: u64| {
        if let Some(wanted) = wanted.filter(|wanted| got < u64::from(*wanted)) {
            let percent = |ppm: f64| ppm / 10_000.0;
            unmet.push(format!(
                "expected {} % of the messages {what}, saw {} %",
                percent(f64::from(wanted)),
                percent(got as f64)
            ));
        }
    };
    want("delivered", expect.delivered_ppm, share(&|m| m.delivered_s));
    want("confirmed", expect.confirmed_ppm, share(&|m| m.confirmed_s));
    unmet
}

/// Both directions of every link, in order, where there are any.
fn all_stats(scenario: &Scenario, world: &mut World<Machine>) -> Vec<[Option<LinkStats>; 2]> {
    let links = 0..scenario.links.len();
    let stats = links.map(|link| {
        let mut stats = world.link_stats(LinkId(link as u32)).into_iter();
        [stats.next().flatten(), stats.next().flatten()]
    });
    stats.collect()
}

fn links(
    scenario: &Scenario,
    world: &World<Machine>,
    media: &[Medium],
    stats: &[[Option<LinkStats>; 2]],
) -> Vec<LinkOutcome> {
    let mut out = Vec::new();
    for (place, (link, medium)) in scenario.links.iter().zip(media).enumerate() {
        let peak = world.peak_queue(LinkId(place as u32));
        for way in 0..2 {
            let counted = stats.get(place).and_then(|ways| ways[way]);
            let Some((stats, (from, to))) = counted.zip(ends(link, way)) else {
                continue;
            };
            let line = Line::out_of(medium, way);
            out.push(LinkOutcome {
                link: link.name.clone(),
                from: scenario.nodes[from].name.clone(),
                to: scenario.nodes[to].name.clone(),
                rate_bps: line.and_then(|line| line.rate_bps),
                delay_s: line.map_or(0.0, |line| line.delay.as_secs_f64()),
                queue_bytes: line.map_or(0, |line| line.queue_bytes),
                peak_queue_bytes: peak,
                nominal_loss: nominal_loss(media, place, way),
                offered_bytes: stats.offered_line_bytes,
                sent_bytes: stats.sent_line_bytes,
                lost_bytes: stats.lost_line_bytes,
                queue_dropped: stats.queue_full + stats.aqm,
                delivered_bytes: stats.delivered_line_bytes,
            });
        }
    }
    out
}

fn ends(link: &Link, way: usize) -> Option<(usize, usize)> {
    let (a, b) = link.between()?;
    Some(if way == 0 { (a, b) } else { (b, a) })
}

/// The loss that a seed has drawn: lost bytes of transmitted ones.
fn drawn_loss(media: &[Medium], stats: &[[Option<LinkStats>; 2]], link: usize, way: usize) -> f64 {
    match stats.get(link).and_then(|ways| ways[way]) {
        Some(stats) if stats.sent_line_bytes > 0 => {
            stats.lost_line_bytes as f64 / stats.sent_line_bytes as f64
        }
        _ => nominal_loss(media, link, way),
    }
}

fn nominal_loss(media: &[Medium], link: usize, way: usize) -> f64 {
    let line = media.get(link).and_then(|medium| Line::out_of(medium, way));
    line.map_or(0.0, |line| line.loss)
}

/// The earliest time at which `bytes` can have arrived if links carry what is left of their rates after loss and headers.
fn bound(
    scenario: &Scenario,
    message: &ostrakon_netsim::scenario::Message,
    bytes: u64,
    loss: &dyn Fn(usize, usize) -> f64,
) -> Option<Nanos> {
    let mut useful = scenario.clone();
    let media = scenario.media().ok()?;
    for (place, (link, medium)) in useful.links.iter_mut().zip(&media).enumerate() {
        for (way, key) in [(0, "rate"), (1, "rate-back")] {
            let rate = Line::out_of(medium, way).and_then(|line| line.rate_bps);
            let share = USEFUL * (1.0 - loss(place, way));
            if let Some(rate) = rate {
                let rate = ((rate as f64 * share) as u64).max(1);
                link.profile.set(key, &format!("{rate}bit")).ok()?;
            }
        }
    }
    useful.bound(message, bytes).ok().flatten()
}
