//! The measurements: each brings up a link of its own, sends over it, and compares.

use std::process::Child;
use std::time::Duration;

use ostrakon_netsim::netns::{LatenessReport, NetworkName, Order, find_up, order};

use super::Row;
use super::traffic::{Ends, Flow, echo_times, send_and_count};
use crate::arguments::Up;
use crate::failure::Failure;
use crate::launch::launch;
use crate::live::report;

/// Bytes of IPv4 and UDP headers (RFC 791, RFC 768).
const HEADERS: usize = 28;
/// An IP packet of the measurements of rate.
const PACKET: usize = 1200;
/// An IP packet of the measurements of loss and round trips.
const SMALL_PACKET: usize = 100;
/// Packets that a measurement of loss sends.
const LOSS_PACKETS: u64 = 100_000;

/// The link that something is measured on, both ways alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    rate_bps: u64,
    delay: Duration,
    loss: f64,
}

impl Link {
    pub(super) fn new(rate_bps: u64) -> Self {
        Self {
            rate_bps,
            delay: Duration::ZERO,
            loss: 0.0,
        }
    }

    pub(super) fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub(super) fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    fn changes(&self) -> Vec<String> {
        vec![
            format!("rate={}", self.rate_bps),
            format!("delay={}ms", self.delay.as_millis()),
            format!("loss={}", self.loss),
        ]
    }
}

/// Round trips of small packets, 100 a second: the median within 1 ms or 1 %, 99 % within 5 ms.
pub(super) fn round_trip(link: &Link, lasting: Duration) -> Result<Vec<Row>, Failure> {
    let network = Network::up(link)?;
    let mut times = echo_times(&network.ends()?, SMALL_PACKET - HEADERS, lasting)?;
    let lateness = network.lateness()?;
    times.sort();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        let time = times.get(index.min(times.len().saturating_sub(1)));
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    };
    let line = 2.0 * (SMALL_PACKET * 8) as f64 / link.rate_bps as f64;
    let expected = (2.0 * link.delay.as_secs_f64() + line) * 1e3;
    let what = format!("round trip of {} ms", 2 * link.delay.as_millis());
    let row = |which: &str, tolerance, measured| {
        let what = format!("{what}, {which}");
        Row::new(what, "ms", expected, tolerance, measured, lateness)
    };
    Ok(vec![
        row("median", (0.01 * expected).max(1.0), at(0.5)),
        row("99th percentile", 5.0, at(0.99)),
    ])
}

/// The rate at which packets come out of a link that is offered a tenth more than it carries: within 2 %.
pub(super) fn rate(link: &Link, lasting: Duration) -> Result<Vec<Row>, Failure> {
    let network = Network::up(link)?;
    let counted = send_and_count(
        &network.ends()?,
        &Flow {
            payload: PACKET - HEADERS,
            packets_per_second: 1.1 * packets_per_second(link.rate_bps),
            lasting,
        },
    )?;
    let expected = link.rate_bps as f64 / 1e6;
    // The first packet's bytes came before the time that is counted.
    let bits = counted.received.saturating_sub(1) as f64 * (PACKET * 8) as f64;
    let measured = bits / counted.receiving.as_secs_f64() / 1e6;
    Ok(vec![Row::new(
        format!("rate of {expected} Mbit/s"),
        "Mbit/s",
        expected,
        0.02 * expected,
        measured,
        network.lateness()?,
    )])
}

/// The share of packets that are lost: within three standard deviations of a binomial distribution.
pub(super) fn loss(link: &Link) -> Result<Vec<Row>, Failure> {
    let network = Network::up(link)?;
    let each_second = 20_000;
    let counted = send_and_count(
        &network.ends()?,
        &Flow {
            payload: SMALL_PACKET - HEADERS,
            packets_per_second: each_second as f64,
            lasting: Duration::from_secs(LOSS_PACKETS / each_second),
        },
    )?;
    let sent = counted.sent as f64;
    let deviation = (link.loss * (1.0 - link.loss) / sent).sqrt();
    Ok(vec![Row::new(
        format!(
            "loss of {} % of {} packets",
            100.0 * link.loss,
            counted.sent
        ),
        "%",
        100.0 * link.loss,
        100.0 * 3.0 * deviation,
        100.0 * (sent - counted.received as f64) / sent,
        network.lateness()?,
    )])
}

/// 300 Mbit/s one way in packets of 1200 bytes: sent within 2 %, at most 0.1 % lost on a link that loses nothing.
pub(super) fn flow(link: &Link, lasting: Duration) -> Result<Vec<Row>, Failure> {
    const RATE_BPS: u64 = 300_000_000;
    let network = Network::up(link)?;
    let counted = send_and_count(
        &network.ends()?,
        &Flow {
            payload: PACKET - HEADERS,
            packets_per_second: packets_per_second(RATE_BPS),
            lasting,
        },
    )?;
    let lateness = network.lateness()?;
    let sent = counted.sent as f64;
    let rate = sent * (PACKET * 8) as f64 / counted.sending.as_secs_f64() / 1e6;
    let lost = 100.0 * (sent - counted.received as f64) / sent;
    let seconds = lasting.as_secs();
    Ok(vec![
        Row::new(
            format!("flow of 300 Mbit/s for {seconds} s, sent"),
            "Mbit/s",
            300.0,
            6.0,
            rate,
            lateness,
        ),
        Row::new(
            format!("flow of 300 Mbit/s for {seconds} s, unintended loss"),
            "%",
            0.0,
            0.1,
            lost,
            lateness,
        ),
    ])
}

fn packets_per_second(rate_bps: u64) -> f64 {
    rate_bps as f64 / (PACKET * 8) as f64
}

/// A network that ends with this value, or with this process.
struct Network {
    name: NetworkName,
    carrier: Child,
}

impl Network {
    fn up(link: &Link) -> Result<Self, Failure> {
        let name: NetworkName = format!("check-{}", std::process::id()).parse()?;
        let up = Up {
            name: name.clone(),
            profile: Some("lan".to_owned()),
            topology: None,
            seed: Some(1),
            changes: link.changes(),
        };
        let carrier = launch(&up, true)?;
        Ok(Self { name, carrier })
    }

    fn ends(&self) -> Result<Ends, Failure> {
        let record = find_up(&self.name)?;
        let [a, b] = record.hosts.as_slice() else {
            return Err(Failure::new(format!(
                "{} has not two hosts: end it by `netsim down {}`",
                self.name, self.name
            )));
        };
        Ends::open(a, b)
    }

    fn lateness(&self) -> Result<LatenessReport, Failure> {
        let report = report(&self.name)?;
        let all = report.links.iter().flat_map(|link| &link.directions);
        let none = LatenessReport {
            median_us: 0.0,
            p99_us: 0.0,
            worst_us: 0.0,
        };
        Ok(all.fold(none, |worst, direction| LatenessReport {
            median_us: worst.median_us.max(direction.lateness.median_us),
            p99_us: worst.p99_us.max(direction.lateness.p99_us),
            worst_us: worst.worst_us.max(direction.lateness.worst_us),
        }))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // If the order fails, the carrier ends because its input does.
        let _asked = order(&self.name, self.carrier.id(), &Order::End);
        drop(self.carrier.stdin.take());
        let _ended = self.carrier.wait();
    }
}
