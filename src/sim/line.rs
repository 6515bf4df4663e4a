//! One way over a link, whatever the link is made of.

use ostrakon_netsim::model::{Airtime, ChannelSpec, LinkSpec};
use ostrakon_netsim::profile::Medium;
use std::time::Duration;

/// What a machine that sends on a link, and whoever judges it, has to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Bytes of the largest packet that a host may hand over.
    pub mtu: usize,
    /// Bits a second, if it is a fixed rate.
    pub rate_bps: Option<u64>,
    /// Bytes that each packet takes beside its own.
    pub overhead: usize,
    /// Propagation delay.
    pub delay: Duration,
    /// The share of packets that is lost on average, queues aside.
    pub loss: f64,
    /// Bytes that its queue holds.
    pub queue_bytes: u64,
}

impl Line {
    /// The way out of the `station`-th end of a link, if there is one.
    pub fn out_of(medium: &Medium, station: usize) -> Option<Self> {
        match medium {
            Medium::Pair { forward, .. } if station == 0 => Some(Self::pair(forward)),
            Medium::Pair { back, .. } => back.as_deref().map(Self::pair),
            Medium::Channel(spec) => Some(Self {
                mtu: spec.mtu.saturating_sub(spec.overhead),
                rate_bps: match &spec.airtime {
                    Airtime::Rate { rate_bps, .. } => Some(*rate_bps),
                    Airtime::LoRa(_) => lora_rate(spec),
                    _ => None,
                },
                overhead: spec.overhead,
                delay: spec.delay,
                loss: spec.loss,
                queue_bytes: spec.queue_bytes.unwrap_or(0) as u64,
            }),
            Medium::Courier(spec) => Some(Self {
                mtu: spec.mtu.saturating_sub(spec.overhead),
                rate_bps: spec.rate_bps,
                overhead: spec.overhead,
                delay: Duration::ZERO,
                loss: spec.loss,
                queue_bytes: spec.capacity,
            }),
            _ => None,
        }
    }

    /// The way into the `station`-th end of a link from the other one.
    pub fn into(medium: &Medium, station: usize) -> Option<Self> {
        Self::out_of(medium, usize::from(station == 0))
    }

    fn pair(spec: &LinkSpec) -> Self {
        let burst = spec.burst.as_ref();
        let bad = burst.map_or(0.0, |burst| burst.bad_share() * burst.loss_bad);
        let good = burst.map_or(1.0, |burst| 1.0 - burst.bad_share());
        Self {
            mtu: spec.mtu.saturating_sub(spec.overhead),
            rate_bps: spec.rate_bps,
            overhead: spec.overhead,
            delay: spec.delay,
            loss: bad + good * spec.loss,
            queue_bytes: spec.queue_limit(),
        }
    }
}

/// What LoRa carries of full frames, its duty cycle counted in.
fn lora_rate(spec: &ChannelSpec) -> Option<u64> {
    let airtime = spec.frame_time(spec.mtu) as f64 / 1e9;
    let share = spec.duty.as_ref().map_or(1.0, |duty| duty.share);
    (airtime > 0.0).then(|| ((spec.mtu as f64 * 8.0 / airtime * share) as u64).max(1))
}
