//! Random worlds under random faults: what holds in all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use bytes::Bytes;
use ostrakon_netsim::model::{ChannelSpec, CourierSpec, LinkSpec, Nanos, Stop};
use ostrakon_netsim::world::{
    Air, FaultPlan, Host, HostId, LinkId, Notice, Out, Pair, Port, World,
};
use proptest::prelude::*;

const SECOND: Nanos = 1_000_000_000;
const SPAN: Nanos = 20 * SECOND;

/// Sends packets of random length to random ports at random times, for a time.
struct Chatter {
    ports: u64,
    until: Nanos,
}

impl Chatter {
    fn draw(out: &mut Out<'_>) -> u64 {
        let mut bytes = [0; 8];
        out.random(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

impl Host for Chatter {
    fn start(&mut self, now: Nanos, out: &mut Out<'_>) {
        let (wait, job) = (Self::draw(out) % SECOND, Self::draw(out) % SECOND);
        out.wake_at(now + wait);
        out.after(job, 7);
    }
    fn packet(&mut self, _now: Nanos, port: Port, packet: Bytes, out: &mut Out<'_>) {
        if packet.len() > 1000 {
            out.send(port, packet.slice(..packet.len() / 3));
        }
    }
    fn ready(&mut self, _now: Nanos, port: Port, out: &mut Out<'_>) {
        if out.world_now() < self.until {
            out.send(port, vec![1; 50]);
        }
    }
    fn timer(&mut self, now: Nanos, out: &mut Out<'_>) {
        // A port too many, and packets above the MTU.
        let port = Port((Self::draw(out) % (self.ports + 1)) as u32);
        let (len, wait) = (Self::draw(out) % 1600, Self::draw(out) % (SECOND / 20));
        out.send(port, vec![2; len as usize]);
        if out.world_now() < self.until {
            out.wake_at(now + wait);
        }
    }
    fn done(&mut self, _now: Nanos, token: u64, out: &mut Out<'_>) {
        out.note("done", "", token);
    }
}

fn world(seed: u64, fault_seed: u64, pairs: &[(u32, u32, bool)], told: Notice) -> World<Chatter> {
    let mut world = World::new(seed);
    for n in 0..4 {
        world.add_host(
            format!("{n}"),
            Chatter {
                ports: 4,
                until: SPAN,
            },
        );
    }
    let spec = LinkSpec::new()
        .rate_bps(500_000)
        .delay(Duration::from_millis(20))
        .loss(0.05)
        .corrupt(0.05)
        .queue_bytes(20_000);
    for &(a, b, oneway) in pairs.iter().filter(|(a, b, _)| a != b) {
        let pair = if oneway {
            Pair::one_way(spec.clone())
        } else {
            Pair::symmetric(spec.clone())
        };
        let pair = pair.notice(told).tells(a < b);
        world.add_pair(HostId(a), HostId(b), &pair).unwrap();
    }
    let all: Vec<HostId> = (0..4).map(HostId).collect();
    world
        .add_channel(&all, &Air::new(ChannelSpec::rate_bps(19_200)))
        .unwrap();
    let second = Duration::from_secs;
    let stops = (0..4).map(|n| Stop::new(n as usize, second(n), second(n + 1)));
    let courier = CourierSpec::new(stops.collect())
        .capacity(100_000)
        .every(second(4));
    world.add_courier(&all, &courier, told).unwrap();
    let links = pairs.iter().filter(|(a, b, _)| a != b).count() as u32 + 2;
    world
        .add_faults(&FaultPlan::random(fault_seed, 4, links, SPAN))
        .unwrap();
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Guards the accounts and repeatability, whatever is joined how and goes wrong when: each packet that a medium hands out
    /// comes to a host or is dropped for a reason that was counted, and a second run is the same.
    #[test]
    fn every_packet_is_accounted_for(
        seed: u64,
        fault_seed: u64,
        pairs in prop::collection::vec((0u32..4, 0u32..4, any::<bool>()), 1..5),
        told in prop::sample::select(vec![Notice::Nothing, Notice::Line, Notice::Peer]),
    ) {
        let run = || {
            let mut world = world(seed, fault_seed, &pairs, told);
            // Time enough for all that is held back or aboard.
            world.run_until(3 * SPAN, |_| false);
            world
        };
        let (mut world, again) = (run(), run());
        prop_assert_eq!(world.trace_hash(), again.trace_hash());
        prop_assert_eq!(world.counts(), again.counts());
        prop_assert_eq!(world.notes(), again.notes());
        let mut handed_out = 0;
        for link in (0..8).map(LinkId) {
            let pair = world.link_stats(link);
            handed_out += pair.iter().flatten().map(|stats| stats.delivered).sum::<u64>();
            handed_out += world.station_stats(link).iter().map(|stats| stats.delivered).sum::<u64>();
            handed_out += world.courier_stats(link).map_or(0, |stats| stats.delivered);
        }
        let counts = world.counts();
        let came = counts.arrived + counts.host_down + counts.cut_unnoticed + counts.meddled_dropped;
        prop_assert_eq!(came, handed_out + counts.meddled_doubled, "{:?}", counts);
        prop_assert!(counts.arrived > 0 && counts.no_way > 0);
    }
}
