//! What happened over time, taken down while a world runs, for a report. It looks and changes nothing.

use super::machine::Machine;
use super::tally;
use crate::engine::id::MessageId;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::profile::Medium;
use ostrakon_netsim::scenario::Scenario;
use ostrakon_netsim::world::{Fault, FaultKind, LinkId, Meddling, Record, Stop, World};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Samples kept at most; when there are more, every other one goes, and what follows is twice as far apart.
const SAMPLES: usize = 800;
/// How far apart samples are at first.
const FIRST_STEP: Nanos = 10_000_000;
/// Up to so many messages, it is taken down how much of each part is there.
pub const FEW: usize = 12;

/// What a row of [`Outcome::links`](super::Outcome::links) has carried up to a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Bytes that left the transmitter.
    pub sent: u64,
    /// Bytes that arrived.
    pub delivered: u64,
    /// Packets that left the transmitter.
    pub sent_packets: u64,
    /// Packets lost by chance.
    pub lost_packets: u64,
    /// Packets dropped by the queue.
    pub queue_dropped: u64,
}

/// A moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Nanos,
    /// What links have carried so far, in the order of the outcome's rows.
    pub carried: Vec<Carried>,
    /// Bytes of each part that its recipient holds, message by message; empty if there are many messages.
    pub held: Vec<Vec<u64>>,
}

/// Something that went wrong, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When it began.
    pub from: Nanos,
    /// When it was over; the end of the run if it did not end.
    pub until: Nanos,
    /// What it was.
    pub what: String,
    /// The links that it happened to, by place.
    pub links: Vec<usize>,
}

/// A run over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// When the run ended.
    pub end: Nanos,
    /// Moments, in order, the first and the last included.
    pub samples: Vec<Sample>,
    /// For each link of the scenario when it was down: no contact, or cut.
    pub down: Vec<Vec<(Nanos, Nanos)>>,
    /// What went wrong.
    pub troubles: Vec<Trouble>,
    /// When so many bytes of the message with the most can have been there at the earliest.
    pub limit: Vec<(Nanos, u64)>,
    /// The number of that message.
    pub largest: usize,
}

/// What the trace says of links and faults.
#[derive(Debug, Default)]
struct Watched {
    ups: Vec<(Nanos, usize, bool)>,
    faults: Vec<(Nanos, usize)>,
}

/// Takes down a run.
pub struct Recorder {
    watched: Rc<RefCell<Watched>>,
    samples: Vec<Sample>,
    step: Nanos,
}

impl Recorder {
    /// Begins to watch a world that has not run yet.
    pub fn new(world: &mut World<Machine>) -> Self {
        let watched = Rc::new(RefCell::new(Watched::default()));
        let into = watched.clone();
        world.watch(move |at, record| {
            let mut watched = into.borrow_mut();
            match record {
                Record::Up(LinkId(link), up) => watched.ups.push((at, *link as usize, *up)),
                Record::Fault(place) => watched.faults.push((at, *place)),
                _ => {}
            }
        });
        Self {
            watched,
            samples: Vec::new(),
            step: FIRST_STEP,
        }
    }

    /// When the next sample is to be taken.
    pub fn next_at(&self) -> Nanos {
        self.samples.last().map_or(0, |last| last.at + self.step)
    }

    /// Takes a sample.
    pub fn sample(&mut self, scenario: &Scenario, media: &[Medium], world: &mut World<Machine>) {
        let counted = tally::count(scenario, world);
        let links = tally::links(scenario, media, &counted, world, None);
        let carried = links.iter().map(|row| Carried {
            sent: row.sent_bytes,
            delivered: row.delivered_bytes,
            sent_packets: row.sent_packets,
            lost_packets: row.lost_packets,
            queue_dropped: row.queue_dropped,
        });
        self.samples.push(Sample {
            at: world.now(),
            carried: carried.collect(),
            held: held(scenario, world),
        });
        if self.samples.len() > SAMPLES {
            let mut odd = false;
            self.samples.retain(|_| {
                odd = !odd;
                odd
            });
            self.step *= 2;
        }
    }

    /// The whole.
    pub fn finish(
        mut self,
        scenario: &Scenario,
        media: &[Medium],
        world: &mut World<Machine>,
    ) -> Series {
        let end = world.now();
        if self.samples.last().is_none_or(|last| last.at < end) {
            self.sample(scenario, media, world);
        }
        let watched = self.watched.borrow();
        let plan = scenario.fault_plan(scenario.seed).faults;
        let troubles = watched.faults.iter().filter_map(|(at, place)| {
            let fault = plan.get(*place)?;
            Some(trouble(scenario, fault, *at, end))
        });
        Series {
            end,
            down: down(scenario.links.len(), &watched.ups, end),
            troubles: troubles.collect(),
            samples: self.samples,
            ..Series::default()
        }
    }
}

/// How much of each part its recipient holds.
fn held(scenario: &Scenario, world: &World<Machine>) -> Vec<Vec<u64>> {
    if scenario.messages.len() > FEW {
        return Vec::new();
    }
    let mut all = Vec::new();
    for (number, message) in (0u64..).zip(&scenario.messages) {
        let id = tally::log(world, message.from).and_then(|log| log.message(number));
        let arriving = arriving(world, message.to, id);
        let arrived = tally::log(world, message.to).map(|log| &log.arrived);
        let parts = (1..=u8::MAX).zip(&message.parts).map(|(part, planned)| {
            let there = arrived
                .zip(id)
                .is_some_and(|(a, id)| a.contains_key(&(id, part)));
            if there {
                return planned.bytes;
            }
            arriving.get(&part).copied().unwrap_or(0)
        });
        all.push(parts.collect());
    }
    all
}

/// Bytes of the parts of a message that is arriving.
fn arriving(world: &World<Machine>, place: usize, id: Option<MessageId>) -> BTreeMap<u8, u64> {
    let machine = world.host(ostrakon_netsim::world::HostId(place as u32));
    let status = machine.node().and_then(super::node::Node::status);
    let inbound = status.into_iter().flat_map(|status| status.inbound);
    let parts = inbound.filter(|message| Some(message.message) == id);
    let parts = parts.flat_map(|message| message.parts);
    parts.map(|part| (part.part, part.held_bytes)).collect()
}

/// When links were down, from what the trace says. What comes up first was down before.
fn down(links: usize, ups: &[(Nanos, usize, bool)], end: Nanos) -> Vec<Vec<(Nanos, Nanos)>> {
    let mut down = vec![Vec::new(); links];
    let mut since: Vec<Option<Nanos>> = vec![None; links];
    let mut known = vec![false; links];
    for (at, link, up) in ups.iter().filter(|(_, link, _)| *link < links) {
        let first = !std::mem::replace(&mut known[*link], true);
        let from = if first && *up { Some(0) } else { since[*link] };
        match (from, *up) {
            (Some(from), true) => {
                down[*link].push((from, *at));
                since[*link] = None;
            }
            (None, false) => since[*link] = Some(*at),
            _ => {}
        }
    }
    for (link, since) in since.iter().enumerate() {
        down[link].extend(since.map(|from| (from, end)));
    }
    down
}

fn trouble(scenario: &Scenario, fault: &Fault, at: Nanos, end: Nanos) -> Trouble {
    let node = |place: u32| {
        let node = scenario.nodes.get(place as usize);
        node.map_or("?", |node| node.name.as_str())
    };
    let link = |link: &LinkId| {
        let link = scenario.links.get(link.0 as usize);
        link.map_or("?", |link| link.name.as_str())
    };
    let (what, lasts, links) = match &fault.kind {
        FaultKind::Stop { host, how, off } => {
            let how = match how {
                Stop::PowerCut => "power cut at",
                _ => "crash of",
            };
            let off = off.unwrap_or(Nanos::MAX);
            (format!("{how} {}", node(host.0)), off, vec![])
        }
        FaultKind::Image { host } => (format!("image of {}", node(host.0)), 0, vec![]),
        FaultKind::Restore { host, of, off, .. } => {
            let what = format!("{} restored from an image of {}", node(host.0), node(of.0));
            (what, *off, vec![])
        }
        FaultKind::ClockJump { host, by } => {
            let by = *by as f64 / 1e9;
            (
                format!("calendar of {} jumps by {by:+.0} s", node(host.0)),
                0,
                vec![],
            )
        }
        FaultKind::ClockDrift { host, ppb } => {
            let ppm = ppb / 1000;
            (
                format!("clocks of {} drift by {ppm:+} ppm", node(host.0)),
                Nanos::MAX,
                vec![],
            )
        }
        FaultKind::Cut {
            links,
            lasts,
            noticed,
        } => {
            let names: Vec<&str> = links.iter().map(link).collect();
            let noticed = if *noticed { "" } else { ", unnoticed" };
            let what = format!("cut of {}{noticed}", names.join(", "));
            (what, lasts.unwrap_or(Nanos::MAX), links.clone())
        }
        FaultKind::Meddle {
            link: on,
            what,
            share_ppm,
            lasts,
            ..
        } => {
            let verb = match what {
                Meddling::Drop => "drops",
                Meddling::Delay(_) => "delays",
                Meddling::Reorder(_) => "reorders",
                Meddling::Duplicate(_) => "doubles",
                Meddling::Corrupt => "changes",
            };
            let share = f64::from(*share_ppm) / 10_000.0;
            let what = format!("{} {verb} {share:.0} % of packets", link(on));
            (what, lasts.unwrap_or(Nanos::MAX), vec![*on])
        }
    };
    Trouble {
        from: at,
        until: at.saturating_add(lasts).min(end),
        what,
        links: links.iter().map(|link| link.0 as usize).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards what is shaded in a report: a link that comes up first was down from the beginning, one that goes down stays
    /// so to the end, and what is said twice counts once.
    #[test]
    fn times_without_a_link_follow_from_its_ups_and_downs() {
        let ups = [
            (5, 0, true),
            (7, 0, false),
            (8, 0, false),
            (9, 0, true),
            (6, 1, false),
            (6, 7, false),
        ];
        let found = down(3, &ups, 10);
        assert_eq!(found, [vec![(0, 5), (7, 9)], vec![(6, 10)], vec![]]);
    }
}
