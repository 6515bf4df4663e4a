//! Whether every recipient can be reached before the scenario ends.

use std::collections::BTreeMap;

use crate::model::{Airtime, Contact, LinkSpec, Nanos};
use crate::profile::Medium;
use crate::reach::{Hop, Window, delivery_bound, earliest_arrivals};

use super::MAX_DURATION;
use super::couriers::check_stops;
use super::error::{Problem, ScenarioError};
use super::like::nanos;
use super::links::{Halt, Link, Shape};
use super::nodes::NodeKind;
use super::read::Scenario;
use super::traffic::Message;
use super::units::show;

impl Scenario {
    /// Checks that something sent to each recipient can be there within the duration, if nothing goes wrong: over links
    /// in their contacts, relays, couriers and static routes. Not if the scenario expects otherwise.
    ///
    /// # Errors
    ///
    /// The first message that comes too late.
    pub fn check_reach(&self) -> Result<(), ScenarioError> {
        if self.expect.unreachable {
            return Ok(());
        }
        let all = self.hops()?;
        // Whoever sets out later does not arrive sooner, so the last message of a pair speaks for all.
        let mut last: BTreeMap<(usize, usize), &Message> = BTreeMap::new();
        for message in &self.messages {
            let known = last.entry((message.from, message.to)).or_insert(message);
            if message.at > known.at {
                *known = message;
            }
        }
        let mut known: Option<(usize, Nanos, Vec<Option<Nanos>>)> = None;
        for message in last.into_values() {
            // Without routes, where a message may go does not depend on its recipient.
            let again = !self.routes.is_empty()
                || known
                    .as_ref()
                    .is_none_or(|(from, at, _)| (*from, *at) != (message.from, message.at));
            if again {
                let hops = self.allowed(&all, message);
                let arrivals =
                    earliest_arrivals(self.nodes.len(), &hops, message.from, message.at, 0);
                known = Some((message.from, message.at, arrivals));
            }
            let arrivals = known.as_ref().map(|(_, _, arrivals)| arrivals);
            let earliest = arrivals.and_then(|arrivals| *arrivals.get(message.to)?);
            if earliest.is_none_or(|at| at > self.duration) {
                return Err(self.unreachable(message));
            }
        }
        Ok(())
    }

    /// A time before which no protocol can have brought `bytes` bytes of a message to its recipient, if nothing goes
    /// wrong and nothing is lost; `None` if they do not fit into the scenario. See [`delivery_bound`].
    ///
    /// # Errors
    ///
    /// As [`media`](Self::media).
    pub fn bound(&self, message: &Message, bytes: u64) -> Result<Option<Nanos>, ScenarioError> {
        Ok(self.bound_over(&self.media()?, message, bytes, &|_, _| 1.0))
    }

    /// As [`bound`](Self::bound), over links of which only a share of the rate is of use. `media` is what
    /// [`media`](Self::media) gives; `share` is asked for each link by its place and the end that sends, and says 0 to 1.
    #[must_use]
    pub fn bound_over(
        &self,
        media: &[Medium],
        message: &Message,
        bytes: u64,
        share: &dyn Fn(usize, usize) -> f64,
    ) -> Option<Nanos> {
        let mut hops = Vec::new();
        for (place, (link, medium)) in self.links.iter().zip(media).enumerate() {
            for mut hop in hops_of(link, medium, self.duration) {
                let end = link.ends.iter().position(|end| *end == hop.from);
                let share = share(place, end.unwrap_or(0));
                for window in &mut hop.windows {
                    let rate = window.rate_bps;
                    window.rate_bps = rate.map(|rate| ((rate as f64 * share) as u64).max(1));
                }
                hops.push(hop);
            }
        }
        let hops = self.allowed(&hops, message);
        let (from, to, at) = (message.from, message.to, message.at);
        delivery_bound(self.nodes.len(), &hops, from, to, at, bytes)
    }

    fn unreachable(&self, message: &Message) -> ScenarioError {
        let name = |place: usize| {
            self.nodes
                .get(place)
                .map(|node| node.name.clone())
                .unwrap_or_default()
        };
        let problem = Problem::Unreachable {
            from: name(message.from),
            to: name(message.to),
            at: show(message.at),
            duration: show(self.duration),
            earliest: self.if_it_went_on(message).map(show),
        };
        self.error(Some(message.line), problem)
    }

    /// When a message would arrive if the scenario lasted ten times as long.
    fn if_it_went_on(&self, message: &Message) -> Option<Nanos> {
        let mut longer = self.clone();
        longer.duration = self.duration.saturating_mul(10).min(MAX_DURATION);
        let hops = longer.allowed(&longer.hops().ok()?, message);
        let arrivals = earliest_arrivals(self.nodes.len(), &hops, message.from, message.at, 0);
        arrivals.get(message.to).copied().flatten()
    }

    /// All hops there are, whoever passes on.
    fn hops(&self) -> Result<Vec<Hop>, ScenarioError> {
        check_stops(self)?;
        let links = self.links.iter().zip(self.media()?);
        Ok(links
            .flat_map(|(link, medium)| hops_of(link, &medium, self.duration))
            .collect())
    }

    /// The hops that a message may take: out of its sender, and out of nodes that pass on, where their routes say if
    /// they have one for its recipient.
    fn allowed(&self, hops: &[Hop], message: &Message) -> Vec<Hop> {
        let routed = self.routes.iter().filter(|route| route.to == message.to);
        let routed: Vec<_> = routed.collect();
        let passes_on = |place: usize| {
            let relays = self
                .nodes
                .get(place)
                .is_some_and(|node| node.kind != NodeKind::Node);
            relays
                || routed
                    .iter()
                    .any(|route| route.node == place || route.via == place)
        };
        let may = |hop: &&Hop| {
            let mut routes = routed
                .iter()
                .filter(|route| route.node == hop.from)
                .peekable();
            (hop.from == message.from || passes_on(hop.from))
                && (routes.peek().is_none() || routes.any(|route| route.via == hop.to))
        };
        hops.iter().filter(may).cloned().collect()
    }
}

fn hops_of(link: &Link, medium: &Medium, end: Nanos) -> Vec<Hop> {
    let hop = |(from, to): (usize, usize), windows: Vec<Window>| Hop { from, to, windows };
    match (medium, &link.shape) {
        (Medium::Courier(spec), Shape::Courier { halts, every }) => {
            let rides = rides(halts, *every, end, Some(spec.capacity));
            rides
                .into_iter()
                .map(|(ends, windows)| hop(ends, windows))
                .collect()
        }
        (Medium::Pair { forward, back }, _) => {
            let Some((a, b)) = link.between() else {
                return Vec::new();
            };
            let back = back.iter().map(|spec| hop((b, a), windows(spec, end)));
            std::iter::once(hop((a, b), windows(forward, end)))
                .chain(back)
                .collect()
        }
        (Medium::Channel(spec), _) => {
            let rate = match spec.airtime {
                Airtime::Rate { rate_bps, .. } => Some(rate_bps),
                _ => None,
            };
            // No frame is shorter than one without content.
            let delay = nanos(spec.delay).saturating_add(nanos(spec.tx_delay));
            let pairs = link
                .ends
                .iter()
                .flat_map(|a| link.ends.iter().map(move |b| (*a, *b)));
            let pairs = pairs.filter(|(a, b)| a != b && link.hear_each_other(*a, *b));
            pairs
                .map(|ends| hop(ends, vec![Window::always(rate, delay)]))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// When a link is there, until the scenario ends. The rate of a recording is left out: it is not known beforehand.
fn windows(spec: &LinkSpec, end: Nanos) -> Vec<Window> {
    let rate_bps = spec.rate_bps.filter(|_| spec.trace.is_none());
    let Some(plan) = &spec.contacts else {
        return vec![Window::always(rate_bps, nanos(spec.delay))];
    };
    let rounds = plan.period().map_or(1, |period| end / period.max(1) + 1);
    let window = |shift: Nanos, contact: &Contact| Window {
        from: shift.saturating_add(nanos(contact.start)),
        until: contact.end.map(|end| shift.saturating_add(nanos(end))),
        rate_bps: contact.rate_bps.or(rate_bps),
        delay: nanos(contact.delay.unwrap_or(spec.delay)),
        capacity: None,
    };
    let shifts = (0..rounds).map(|n| plan.period().unwrap_or(0).saturating_mul(n));
    shifts
        .flat_map(|shift| {
            plan.contacts()
                .iter()
                .map(move |contact| window(shift, contact))
        })
        .collect()
}

/// The rides of a courier between any two places, for as long as the scenario lasts: from each halt to the next one at
/// each other place.
fn rides(
    halts: &[Halt],
    every: Option<Nanos>,
    duration: Nanos,
    capacity: Option<u64>,
) -> BTreeMap<(usize, usize), Vec<Window>> {
    let rounds = every.map_or(1, |every| duration / every.max(1) + 1);
    let round = |n: u64| {
        let shift = every.unwrap_or(0).saturating_mul(n);
        halts.iter().map(move |halt| {
            (
                halt.node,
                halt.arrives.saturating_add(shift),
                halt.leaves.saturating_add(shift),
            )
        })
    };
    let mut places: Vec<usize> = halts.iter().map(|halt| halt.node).collect();
    places.sort_unstable();
    places.dedup();
    let mut rides: BTreeMap<(usize, usize), Vec<Window>> = BTreeMap::new();
    for n in 0..rounds {
        for (i, (from, _, leaves)) in round(n).enumerate() {
            let mut seen = vec![from];
            // What lies after it in this round, and before it in the next.
            let next = round(n + 1).take(if n + 1 < rounds { i } else { 0 });
            for (to, arrives, _) in round(n).skip(i + 1).chain(next) {
                if seen.len() == places.len() {
                    break;
                }
                if !seen.contains(&to) {
                    seen.push(to);
                    let ride = Window::ride(leaves, arrives, capacity);
                    rides.entry((from, to)).or_default().push(ride);
                }
            }
        }
    }
    rides
}
