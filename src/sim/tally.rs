//! From a world that has run to plain values: what became of messages, and what links have carried.

use super::bound::{Counted, nominal_loss};
use super::line::Line;
use super::log::{Log, Planned};
use super::machine::Machine;
use super::outcome::{ContactTime, Contacts, LinkOutcome, MessageOutcome, PartOutcome};
use crate::engine::id::MessageId;
use ostrakon_netsim::model::{
    BurstClock, Contact, CourierStats, LinkSpec, LinkStats, Nanos, StationStats,
};
use ostrakon_netsim::profile::Medium;
use ostrakon_netsim::scenario::{Priority, Scenario};
use ostrakon_netsim::world::{HostId, LinkId, World};
use std::collections::BTreeMap;

/// Seconds, for people.
pub fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}

/// What counts of all pairs of links are now.
pub fn count(scenario: &Scenario, world: &mut World<Machine>) -> Counted {
    let links = 0..scenario.links.len() as u32;
    Counted {
        at: world.now(),
        links: links.map(|link| world.link_stats(LinkId(link))).collect(),
    }
}

/// What the engines and relays that run have dropped, by node and reason.
pub fn dropped(world: &World<Machine>) -> BTreeMap<String, BTreeMap<&'static str, u64>> {
    let nodes = world.hosts();
    let dropped = nodes.filter_map(|(id, machine)| {
        let counts = match machine {
            Machine::Node(node) => node.dropped(),
            Machine::Relay(relay) => relay.dropped.clone(),
            Machine::Flow(_) => BTreeMap::new(),
        };
        (!counts.is_empty()).then(|| (world.name(id).to_owned(), counts))
    });
    dropped.collect()
}

/// The log of a node, by its place in the scenario.
pub fn log(world: &World<Machine>, place: usize) -> Option<&Log> {
    let machine = world.host(HostId(place as u32));
    machine.node().map(|node| &node.log)
}

/// What became of every message of the scenario.
pub fn messages(scenario: &Scenario, world: &World<Machine>) -> Vec<MessageOutcome> {
    let mut sent: BTreeMap<u64, (MessageId, &Planned)> = BTreeMap::new();
    for place in 0..scenario.nodes.len() {
        let sends = log(world, place).into_iter().flat_map(|log| &log.sent);
        sent.extend(sends.map(|(id, planned)| (planned.number, (*id, planned))));
    }
    let name = |place: usize| scenario.nodes[place].name.clone();
    let mut out = Vec::with_capacity(scenario.messages.len());
    for (number, message) in (0..).zip(&scenario.messages) {
        let known = sent.get(&number);
        let (sender, recipient) = (log(world, message.from), log(world, message.to));
        let delivered = |part: u8| {
            let arrived = recipient?.arrived.get(&(known?.0, part))?;
            Some(seconds(arrived.at))
        };
        let accepted = || Some(seconds(*sender?.accepted.get(&known?.0)?));
        let confirmed = || Some(seconds(*sender?.confirmed.get(&(known?.0, 0))?));
        let frames = sender.zip(known);
        let frames = frames.map(|(log, (id, _))| log.frames_of(*id));
        let frames = frames.unwrap_or_default();
        let parts = (1..=u8::MAX).zip(&message.parts);
        let parts = parts.map(|(id, part)| PartOutcome {
            name: part.name.clone(),
            text: part.text,
            priority: priority_name(part.priority),
            bytes: part.bytes,
            delivered_s: delivered(id),
        });
        out.push(MessageOutcome {
            number,
            from: name(message.from),
            to: name(message.to),
            at_s: seconds(known.map_or(message.at, |(_, planned)| planned.at)),
            accepted_s: accepted(),
            bytes: message.bytes(),
            frames: frames.count,
            offered_bytes: frames.bytes,
            delivered_s: delivered(0),
            confirmed_s: confirmed(),
            parts: parts.collect(),
        });
    }
    out
}

fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Urgent => "urgent",
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Bulk => "bulk",
    }
}

/// What all links have carried. With `loss`, what the limit takes as lost of a link out of one of its ends, also what else
/// the limit is computed from.
pub fn links(
    scenario: &Scenario,
    media: &[Medium],
    counted: &Counted,
    world: &mut World<Machine>,
    loss: Option<&dyn Fn(usize, usize) -> f64>,
) -> Vec<LinkOutcome> {
    let mut out = Vec::new();
    let name = |place: usize| scenario.nodes[place].name.clone();
    for (place, (link, medium)) in scenario.links.iter().zip(media).enumerate() {
        let id = LinkId(place as u32);
        let (stations, courier) = (world.station_stats(id), world.courier_stats(id));
        let blank = |kind, end| LinkOutcome {
            peak_queue_bytes: world.peak_queue(id),
            nominal_loss: nominal_loss(media, place, end),
            limit_loss: loss.map_or(0.0, |loss| loss(place, end)),
            contacts: loss.and_then(|_| contacts(medium, end, counted.at)),
            ..blank(&link.name, kind, medium, end)
        };
        match medium {
            Medium::Pair { forward, back } => {
                let ways = counted.links.get(place).copied().unwrap_or_default();
                let specs = [Some(forward), back.as_ref()];
                for (end, (stats, spec)) in ways.into_iter().zip(specs).enumerate() {
                    if let Some((stats, spec)) = stats.zip(spec) {
                        let ends = (name(link.ends[end]), name(link.ends[1 - end]));
                        out.push(pair(blank("pair", end), ends, &stats, spec, counted.at));
                    }
                }
            }
            Medium::Channel(spec) => {
                let ends = link.ends.iter().zip(&stations).enumerate();
                out.extend(ends.map(|(end, (node, stats))| {
                    station(blank("radio", end), name(*node), stats, spec.overhead)
                }));
            }
            _ => out.extend(courier.map(|stats| carried(blank("courier", 0), &stats))),
        }
    }
    out
}

fn station(blank: LinkOutcome, from: String, stats: &StationStats, overhead: usize) -> LinkOutcome {
    LinkOutcome {
        from,
        offered_packets: stats.offered,
        offered_bytes: stats.offered_bytes + stats.offered * overhead as u64,
        sent_packets: stats.sent,
        sent_bytes: stats.sent_line_bytes,
        lost_packets: stats.lost + stats.collided + stats.deaf,
        queue_dropped: stats.queue_full,
        cut_packets: stats.cut,
        delivered_bytes: stats.delivered_bytes,
        ..blank
    }
}

fn carried(blank: LinkOutcome, stats: &CourierStats) -> LinkOutcome {
    LinkOutcome {
        offered_packets: stats.offered,
        offered_bytes: stats.offered_bytes,
        sent_packets: stats.loaded,
        sent_bytes: stats.offered_bytes,
        lost_packets: stats.lost,
        queue_dropped: stats.full,
        cut_packets: stats.absent,
        delivered_bytes: stats.delivered_bytes,
        ..blank
    }
}

/// A row with what is known beforehand.
fn blank(name: &str, kind: &'static str, medium: &Medium, end: usize) -> LinkOutcome {
    let line = Line::out_of(medium, end);
    LinkOutcome {
        rate_bps: line.and_then(|line| line.rate_bps),
        delay_s: line.map_or(0.0, |line| line.delay.as_secs_f64()),
        queue_bytes: line.map_or(0, |line| line.queue_bytes),
        ..blank_row(name, kind)
    }
}

/// A row of which nothing is known.
pub fn blank_row(name: &str, kind: &'static str) -> LinkOutcome {
    LinkOutcome {
        link: name.to_owned(),
        kind,
        from: "*".into(),
        to: "*".into(),
        rate_bps: None,
        delay_s: 0.0,
        queue_bytes: 0,
        peak_queue_bytes: 0,
        contacts: None,
        nominal_loss: 0.0,
        limit_loss: 0.0,
        bad_share: None,
        offered_packets: 0,
        offered_bytes: 0,
        sent_packets: 0,
        sent_bytes: 0,
        lost_packets: 0,
        lost_bytes: None,
        queue_dropped: 0,
        queue_dropped_bytes: None,
        cut_packets: 0,
        delivered_bytes: 0,
    }
}

fn pair(
    blank: LinkOutcome,
    (from, to): (String, String),
    stats: &LinkStats,
    spec: &LinkSpec,
    now: Nanos,
) -> LinkOutcome {
    let burst = spec.burst.as_ref();
    let timed = burst.is_some_and(|burst| matches!(burst.clock, BurstClock::Time { .. }));
    LinkOutcome {
        from,
        to,
        bad_share: timed.then(|| stats.bad_nanos as f64 / now.max(1) as f64),
        offered_packets: stats.offered,
        offered_bytes: stats.offered_line_bytes,
        sent_packets: stats.sent,
        sent_bytes: stats.sent_line_bytes,
        lost_packets: stats.lost,
        lost_bytes: Some(stats.lost_line_bytes),
        queue_dropped: stats.queue_full + stats.aqm,
        queue_dropped_bytes: Some(stats.queue_dropped_line_bytes),
        cut_packets: stats.cut,
        delivered_bytes: stats.delivered_line_bytes,
        ..blank
    }
}

/// The contacts of a pair that have begun by now, each once if they come again; none if it is there always.
fn contacts(medium: &Medium, end: usize, now: Nanos) -> Option<Contacts> {
    let plan = match medium {
        Medium::Pair { forward, .. } if end == 0 => forward.contacts.as_ref(),
        Medium::Pair { back, .. } => back.as_ref()?.contacts.as_ref(),
        _ => None,
    }?;
    let begun = |contact: &&Contact| contact.start.as_nanos() <= u128::from(now);
    let time = |contact: &Contact| ContactTime {
        from_s: contact.start.as_secs_f64(),
        until_s: contact.end.map(|end| end.as_secs_f64()),
        rate_bps: contact.rate_bps,
        delay_s: contact.delay.map(|delay| delay.as_secs_f64()),
    };
    Some(Contacts {
        every_s: plan.period().map(seconds),
        times: plan.contacts().iter().filter(begun).map(time).collect(),
    })
}
