//! The bound that a transfer is measured against: what no protocol can do better, computed from what the links have done
//! and nothing that the engine says of itself.

use super::line::Line;
use ostrakon_netsim::model::{BurstClock, LinkStats, Nanos};
use ostrakon_netsim::profile::Medium;
use ostrakon_netsim::scenario::{Message, Scenario};

/// Useful bytes over IP bytes of a full packet with one sealed fragment in a QUIC datagram: a constant of the bound, not
/// of an implementation.
const USEFUL: f64 = 0.94;

/// Counts of all links at a moment: of each both directions, where there are any.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// When.
    pub at: Nanos,
    /// By link and sending end.
    pub links: Vec<[Option<LinkStats>; 2]>,
}

impl Counted {
    fn way(&self, link: usize, way: usize) -> LinkStats {
        let ways = self.links.get(link);
        ways.and_then(|ways| ways[way & 1]).unwrap_or_default()
    }
}

/// What the links did from one moment to another.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The first moment.
    pub from: &'a Counted,
    /// The second.
    pub to: &'a Counted,
}

impl Span<'_> {
    /// The share that a direction has lost: of its time, for bursts clocked by time; of its bytes otherwise. Where nothing
    /// was sent, what it loses on average.
    pub fn loss(&self, media: &[Medium], link: usize, way: usize) -> f64 {
        if let Some(bad) = self.bad_share(media, link, way) {
            return bad;
        }
        let (before, after) = (self.from.way(link, way), self.to.way(link, way));
        let sent = after.sent_line_bytes - before.sent_line_bytes;
        if sent == 0 {
            return nominal_loss(media, link, way);
        }
        (after.lost_line_bytes - before.lost_line_bytes) as f64 / sent as f64
    }

    /// What bursts clocked by time have cost: the share of time that was bad times what is lost then, and beside it what is
    /// lost in good times on average.
    fn bad_share(&self, media: &[Medium], link: usize, way: usize) -> Option<f64> {
        let Medium::Pair { forward, back } = media.get(link)? else {
            return None;
        };
        let spec = if way == 0 {
            Some(forward)
        } else {
            back.as_ref()
        }?;
        let burst = spec.burst.as_ref()?;
        if !matches!(burst.clock, BurstClock::Time { .. }) || self.to.at <= self.from.at {
            return None;
        }
        let (before, after) = (self.from.way(link, way), self.to.way(link, way));
        let bad = (after.bad_nanos - before.bad_nanos) as f64 / (self.to.at - self.from.at) as f64;
        Some(bad * burst.loss_bad + (1.0 - bad) * spec.loss)
    }
}

/// What a direction loses on average.
pub fn nominal_loss(media: &[Medium], link: usize, way: usize) -> f64 {
    let line = media.get(link).and_then(|medium| Line::out_of(medium, way));
    line.map_or(0.0, |line| line.loss)
}

/// The earliest time at which `bytes` of a message can have arrived if links carry what is left of their rates after loss
/// and headers.
pub fn earliest(
    scenario: &Scenario,
    media: &[Medium],
    message: &Message,
    bytes: u64,
    loss: &dyn Fn(usize, usize) -> f64,
) -> Option<Nanos> {
    let share = |link: usize, way: usize| USEFUL * (1.0 - loss(link, way)).max(0.0);
    scenario.bound_over(media, message, bytes, &share)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = r#"
        [scenario]
        duration = "1h"
        [[node]]
        name = "a"
        [[node]]
        name = "b"
        [[link]]
        name = "link"
        between = ["a", "b"]
        profile = "geo"
        rate = "8mbit"
        rtt = "600ms"
        [[message]]
        from = "a"
        to = "b"
        at = "1s"
        parts = [{ file = "1MB" }]
    "#;

    fn counted(at: Nanos, sent: u64, lost: u64, bad: Nanos) -> Counted {
        let mut stats = LinkStats::default();
        (stats.sent_line_bytes, stats.lost_line_bytes) = (sent, lost);
        stats.bad_nanos = bad;
        Counted {
            at,
            links: vec![[Some(stats), None]],
        }
    }

    /// Guards the definition: independent loss is what was lost of what was transmitted meanwhile, bursts are the share of
    /// time that was bad meanwhile, and what happened before or after is left out.
    #[test]
    fn loss_is_of_bytes_and_bursts_are_of_time() {
        const S: Nanos = 1_000_000_000;
        let mut scenario = Scenario::parse("t.toml", SCENARIO).unwrap();
        let (from, to) = (counted(S, 1000, 500, S), counted(11 * S, 2000, 700, 4 * S));
        let span = Span {
            from: &from,
            to: &to,
        };
        let media = scenario.media().unwrap();
        assert!((span.loss(&media, 0, 0) - 0.2).abs() < 1e-12);
        scenario.set("loss", "0").unwrap();
        scenario.set("bad", "10%").unwrap();
        scenario.set("burst", "200ms").unwrap();
        let media = scenario.media().unwrap();
        assert!((span.loss(&media, 0, 0) - 0.3).abs() < 1e-12);
    }

    /// Guards the formula of one link: the delay, and then the bytes at what is left of the rate.
    #[test]
    fn the_bound_of_one_link_is_the_formula() {
        let scenario = Scenario::parse("t.toml", SCENARIO).unwrap();
        let media = scenario.media().unwrap();
        let message = &scenario.messages[0];
        let at = earliest(&scenario, &media, message, 1_000_000, &|_, _| 0.2).unwrap();
        let formula = 1.0 + 0.3 + 8e6 / (8e6 * 0.8 * 0.94);
        assert!((at as f64 / 1e9 / formula - 1.0).abs() < 1e-6, "{at}");
    }
}
