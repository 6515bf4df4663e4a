//! How links are shared with flows of others: who had how much of a link in the time that is judged, and how long its queue
//! was, beside that of CUBIC alone.

use super::flows::{self, Present};
use super::machine::Machine;
use super::tally::seconds;
use ostrakon_netsim::model::{LinkSpec, LinkStats, Nanos};
use ostrakon_netsim::profile::Medium;
use ostrakon_netsim::scenario::{Link, Scenario, ScenarioError};
use ostrakon_netsim::world::{HostId, LinkId, World};
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::Range;

/// The fewest bytes of a link by which shares are judged: about a hundred packets.
const LEAST_JUDGED: u64 = 120_000;

/// A link that is shared.
#[derive(Clone, Debug, Serialize)]
pub struct Share {
    /// The link's name.
    pub link: String,
    /// From when on is judged, in seconds.
    pub from_s: f64,
    /// And until when.
    pub until_s: f64,
    /// IP bytes that came from the first end to the second beside those of the flows.
    pub own_bytes: u64,
    /// The flows.
    pub flows: Vec<FlowShare>,
    /// Jain's index of all these: 1 if all have the same, 1 over their number if one has all.
    pub jain: Option<f64>,
    /// The share of the rate that all have together.
    #[serde(rename = "use")]
    pub used: Option<f64>,
    /// The mean queue of the way from the first end to the second, in bytes.
    pub mean_queue_bytes: f64,
    /// The same with one more CUBIC flow in place of the nodes.
    pub cubic_queue_bytes: f64,
    /// The first of these two over the second.
    pub queue_ratio: Option<f64>,
    /// Jain's index there.
    pub cubic_jain: Option<f64>,
}

/// A flow of somebody else.
#[derive(Clone, Debug, Serialize)]
pub struct FlowShare {
    /// `cubic` or `bbr`.
    pub control: &'static str,
    /// When it began, in seconds.
    pub start_s: f64,
    /// IP bytes of it that came to its far end.
    pub bytes: u64,
}

/// What links have done up to a moment.
#[derive(Clone, Debug)]
struct Mark {
    /// Of each link the way from its first end to its second.
    links: Vec<LinkStats>,
    /// IP bytes of each flow that have come.
    flows: Vec<u64>,
}

/// What is looked at in a run with flows.
pub struct Watch {
    present: Vec<Present>,
    ends: Vec<HostId>,
    judged: Range<Nanos>,
    marks: Vec<Mark>,
}

impl Watch {
    /// Of flows with the hosts at their far ends.
    pub fn new(scenario: &Scenario, present: Vec<Present>, ends: Vec<HostId>) -> Self {
        Self {
            present,
            ends,
            judged: scenario.judging(),
            marks: Vec::new(),
        }
    }

    /// When the next mark is to be taken; none if there is nothing to judge, or not any more.
    pub fn next_at(&self) -> Option<Nanos> {
        let moments = [self.judged.start, self.judged.end];
        let next = moments.get(self.marks.len()).copied();
        next.filter(|_| !self.ends.is_empty())
    }

    /// When all is judged, if there is anything to judge.
    pub fn ends_at(&self) -> Option<Nanos> {
        (!self.ends.is_empty()).then_some(self.judged.end)
    }

    /// Takes a mark.
    pub fn mark(&mut self, media: &[Medium], world: &mut World<Machine>) {
        let links = (0..media.len() as u32).map(|link| {
            let [forward, _] = world.link_stats(LinkId(link));
            forward.unwrap_or_default()
        });
        let links = links.collect();
        let flows = self.ends.iter().zip(&self.present).map(|(end, flow)| {
            let overhead = forward(media, flow.link).map_or(0, |spec| spec.overhead as u64);
            match world.host(*end) {
                Machine::Flow(flow) => flow.bytes + flow.packets * overhead,
                _ => 0,
            }
        });
        let flows = flows.collect();
        self.marks.push(Mark { links, flows });
    }

    /// What each shared link has shown, beside CUBIC alone under the same seed.
    ///
    /// # Errors
    /// As [`flows::alone`].
    pub fn judge(
        &self,
        scenario: &Scenario,
        media: &[Medium],
    ) -> Result<Vec<Share>, ScenarioError> {
        match self.ends.is_empty() {
            true => Ok(Vec::new()),
            false => Ok(self.shares(scenario, media, &of_cubic(scenario, media)?)),
        }
    }

    /// What is wrong if all messages were over when judging ended: nobody has sent in the end.
    pub fn too_early(&self, over: bool) -> Option<String> {
        let until = self.ends_at().filter(|_| over).map(seconds)?;
        Some(format!(
            "all messages were over before {until} s, and shares are judged until then: give larger files"
        ))
    }

    /// What is wrong if next to nothing came over a link while it was judged: a few packets tell nobody's share.
    pub fn too_little(shares: &[Share]) -> impl Iterator<Item = String> + '_ {
        shares.iter().filter_map(|share| {
            let flows: u64 = share.flows.iter().map(|flow| flow.bytes).sum();
            let all = share.own_bytes.saturating_add(flows);
            let (link, from, until) = (&share.link, share.from_s, share.until_s);
            (all < LEAST_JUDGED).then(|| {
                format!(
                    "{link}: {all} bytes came from {from} s to {until} s, and shares of less than {LEAST_JUDGED} tell \
                     nothing: give a higher rate, or judge for longer"
                )
            })
        })
    }

    fn shares(&self, scenario: &Scenario, media: &[Medium], cubic: &Self) -> Vec<Share> {
        let links = (0..).zip(&scenario.links);
        let shared = links.filter(|(place, _)| self.present.iter().any(|f| f.link == *place));
        let share = |(place, link): (usize, &Link)| {
            let flows = self.flows(place);
            let all = self.grown(place, |stats| u128::from(stats.delivered_line_bytes))?;
            let all = u64::try_from(all).unwrap_or(u64::MAX);
            let foreign: u64 = flows.iter().map(|flow| flow.bytes).sum();
            // What a fault delays or doubles comes to a host at another time or more often than the link counts it.
            let own_bytes = all.saturating_sub(foreign);
            let rate = forward(media, place).and_then(|spec| spec.rate_bps);
            let mean_queue_bytes = self.mean_queue(place)?;
            let cubic_queue_bytes = cubic.mean_queue(place)?;
            Some(Share {
                link: link.name.clone(),
                from_s: seconds(self.judged.start),
                until_s: seconds(self.judged.end),
                own_bytes,
                jain: jain(flows.iter().map(|flow| flow.bytes).chain([own_bytes])),
                flows,
                used: rate.map(|rate| all as f64 * 8e9 / (rate as f64 * self.span() as f64)),
                mean_queue_bytes,
                cubic_queue_bytes,
                queue_ratio: (cubic_queue_bytes > 0.0)
                    .then(|| mean_queue_bytes / cubic_queue_bytes),
                cubic_jain: jain(cubic.flows(place).iter().map(|flow| flow.bytes)),
            })
        };
        shared.filter_map(share).collect()
    }

    /// What the flows of a link had of it.
    fn flows(&self, link: usize) -> Vec<FlowShare> {
        let [from, until] = self.marks.as_slice() else {
            return Vec::new();
        };
        let came = from.flows.iter().zip(&until.flows);
        let flows = self.present.iter().zip(came);
        let own = flows.filter(|(flow, _)| flow.link == link);
        own.map(|(flow, (from, until))| FlowShare {
            control: flow.control.name(),
            start_s: seconds(flow.at),
            bytes: until - from,
        })
        .collect()
    }

    /// By how much a count of a link has grown.
    fn grown(&self, link: usize, of: impl Fn(&LinkStats) -> u128) -> Option<u128> {
        let [from, until] = self.marks.as_slice() else {
            return None;
        };
        Some(of(until.links.get(link)?) - of(from.links.get(link)?))
    }

    fn mean_queue(&self, link: usize) -> Option<f64> {
        let grown = self.grown(link, |stats| stats.queue_byte_nanos)?;
        Some(grown as f64 / self.span() as f64)
    }

    /// How long is judged.
    fn span(&self) -> Nanos {
        (self.judged.end - self.judged.start).max(1)
    }
}

/// The way of a link from its first end to its second, if it is a pair.
fn forward(media: &[Medium], link: usize) -> Option<&LinkSpec> {
    match media.get(link)? {
        Medium::Pair { forward, .. } => Some(forward),
        _ => None,
    }
}

/// The same flows with one more that goes by CUBIC on each of their links, in place of the nodes.
fn of_cubic(scenario: &Scenario, media: &[Medium]) -> Result<Watch, ScenarioError> {
    let seed = scenario.seed;
    let mut present = flows::present(scenario, seed);
    let first = scenario.messages.iter().map(|message| message.at).min();
    let links: BTreeSet<usize> = present.iter().map(|flow| flow.link).collect();
    let more = links.into_iter();
    present.extend(more.map(|link| flows::cubic(link, first.unwrap_or(0), seed)));
    let (mut world, ends) = flows::alone(scenario, media, seed, &present)?;
    let mut watch = Watch::new(scenario, present, ends);
    while let Some(at) = watch.next_at() {
        world.run_until(at, |_| false);
        watch.mark(media, &mut world);
    }
    Ok(watch)
}

/// Jain's index (Jain, Chiu and Hawe, 1984); none of nothing.
fn jain(parts: impl Iterator<Item = u64>) -> Option<f64> {
    let parts = parts.map(|part| part as f64);
    let (count, sum, squares) = parts.fold((0.0, 0.0, 0.0), |(count, sum, squares), part| {
        (count + 1.0, sum + part, squares + part * part)
    });
    (squares > 0.0).then(|| sum * sum / (count * squares))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards the index: equal shares are 1, one that has all is one over their number, and two to one is 0.9.
    #[test]
    fn the_index_of_equals_is_one() {
        let of = |parts: &[u64]| jain(parts.iter().copied());
        assert_eq!(of(&[5, 5, 5]), Some(1.0));
        assert_eq!(of(&[8, 0]), Some(0.5));
        assert!((of(&[2, 1]).unwrap() - 0.9).abs() < 1e-12);
        assert_eq!(of(&[0, 0]), None);
    }
}
