//! Shared channels and couriers in a world.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use bytes::Bytes;
use ostrakon_netsim::model::{ChannelSpec, CourierSpec, Nanos, Stop};
use ostrakon_netsim::world::{
    Air, End, FaultKind, FaultPlan, Host, HostId, Meddling, Notice, Out, Port, Way, World,
    WorldError,
};

const SECOND: Nanos = 1_000_000_000;
const MINUTE: Nanos = 60 * SECOND;

/// Sends `frames` frames, the next each time that its transmitter is free or its port comes up.
#[derive(Default)]
struct Station {
    frames: u64,
    paced: bool,
    /// When each frame came, and from whom.
    got: Vec<(Nanos, u8)>,
    links: Vec<(Nanos, bool)>,
    name: u8,
}

impl Station {
    fn new(name: u8, frames: u64, paced: bool) -> Self {
        Self {
            frames,
            paced,
            name,
            ..Self::default()
        }
    }

    fn next(&mut self, port: Port, out: &mut Out<'_>) {
        if self.frames > 0 {
            self.frames -= 1;
            out.send(port, vec![self.name; 100]);
        }
    }
}

impl Host for Station {
    fn start(&mut self, _now: Nanos, _out: &mut Out<'_>) {}
    fn packet(&mut self, now: Nanos, _port: Port, packet: Bytes, _out: &mut Out<'_>) {
        self.got.push((now, packet[0]));
    }
    fn link(&mut self, now: Nanos, port: Port, up: bool, out: &mut Out<'_>) {
        self.links.push((now, up));
        if up && !self.paced {
            self.next(port, out);
        }
    }
    fn ready(&mut self, _now: Nanos, port: Port, out: &mut Out<'_>) {
        self.next(port, out);
    }
}

fn stations(frames: &[u64], paced: bool) -> (World<Station>, Vec<HostId>) {
    let mut world = World::new(3);
    let add = |(name, frames): (u8, &u64)| {
        world.add_host(format!("{name}"), Station::new(name, *frames, paced))
    };
    let hosts = (0..).zip(frames).map(add).collect();
    (world, hosts)
}

/// Guards shared air: everyone who is to hear a frame does, the transmitter tells when it is free although others
/// decide when it may send, and a station out of earshot hears nothing.
#[test]
fn a_channel_is_heard_by_all_in_reach_and_tells_its_hosts() {
    let (mut world, hosts) = stations(&[50, 0, 0], true);
    let mut air = Air::new(ChannelSpec::rate_bps(9600));
    air.levels.push((0, 2, None));
    let link = world.add_channel(&hosts, &air).unwrap();
    assert_eq!(world.run_until(1000 * SECOND, |_| false), End::Idle);
    assert_eq!(world.host(hosts[1]).got.len(), 50);
    assert_eq!(world.host(hosts[2]).got.len(), 0);
    let stats = world.station_stats(link);
    assert_eq!(
        (stats[0].sent, stats[1].delivered, stats[2].delivered),
        (50, 50, 0)
    );
    assert!(
        stats[0].keyed_nanos == world.now(),
        "the line is never idle"
    );

    // Two that talk at once on a channel without carrier sense collide, and both go on.
    let (mut world, hosts) = stations(&[20, 20, 0], true);
    let link = world
        .add_channel(&hosts, &Air::new(ChannelSpec::rate_bps(9600)))
        .unwrap();
    assert_eq!(world.run_until(1000 * SECOND, |_| false), End::Idle);
    let stats = world.station_stats(link);
    assert_eq!(
        (stats[0].sent, stats[1].sent, stats[2].collided),
        (20, 20, 40)
    );
}

/// Guards faults on channels: a cut silences all for its time, and meddling concerns every receiver by itself.
#[test]
fn a_channel_is_cut_and_meddled_with() {
    let (mut world, hosts) = stations(&[100, 0], true);
    let link = world
        .add_channel(&hosts, &Air::new(ChannelSpec::rate_bps(9600)))
        .unwrap();
    let cut = FaultKind::Cut {
        links: vec![link],
        lasts: Some(SECOND),
        noticed: true,
    };
    let meddle = |way| FaultKind::Meddle {
        link,
        way,
        what: Meddling::Drop,
        share_ppm: 1_000_000,
        lasts: Some(SECOND),
    };
    let plan = FaultPlan::new()
        .at(SECOND, cut)
        .at(4 * SECOND, meddle(Way::Both));
    world.add_faults(&plan).unwrap();
    assert_eq!(world.run_until(1000 * SECOND, |_| false), End::Idle);
    let b = world.host(hosts[1]);
    assert_eq!(b.links, [(0, true), (SECOND, false), (2 * SECOND, true)]);
    let during = |from: Nanos, to: Nanos| {
        b.got
            .iter()
            .filter(|(at, _)| (from..to).contains(at))
            .count()
    };
    assert!(during(0, SECOND) > 5);
    assert_eq!(
        (during(SECOND, 2 * SECOND), during(4 * SECOND, 5 * SECOND)),
        (0, 0)
    );
    assert_eq!(b.got.len() as u64, 100 - 1 - world.counts().meddled_dropped);
}

/// Guards couriers: a host sees the courier come and go, loads it while it is there, and gets what it brings.
#[test]
fn a_courier_comes_and_goes() {
    let (mut world, hosts) = stations(&[3, 1], false);
    let minutes = |n| Duration::from_secs(60u64 * n);
    let stops = vec![
        Stop::new(0, minutes(10), minutes(15)),
        Stop::new(1, minutes(40), minutes(45)),
    ];
    let spec = CourierSpec::new(stops).every(minutes(60));
    assert_eq!(
        world.add_courier(&hosts[..1], &spec, Notice::Line),
        Err(WorldError::NoPlace(1))
    );
    let link = world.add_courier(&hosts, &spec, Notice::Line).unwrap();
    world.run_until(180 * MINUTE - 1, |_| false);
    let at_village: Vec<_> = world
        .host(hosts[0])
        .links
        .iter()
        .map(|(at, up)| (at / MINUTE, *up))
        .collect();
    assert_eq!(
        at_village,
        [
            (10, true),
            (15, false),
            (70, true),
            (75, false),
            (130, true),
            (135, false)
        ]
    );
    // One frame each time that it comes.
    let in_town: Vec<_> = world
        .host(hosts[1])
        .got
        .iter()
        .map(|(at, from)| (at / MINUTE, *from))
        .collect();
    assert_eq!(in_town, [(40, 0), (100, 0), (160, 0)]);
    assert_eq!(world.host(hosts[0]).got.len(), 1);
    let stats = world.courier_stats(link).unwrap();
    assert_eq!((stats.loaded, stats.delivered, stats.absent), (4, 4, 0));
    assert_eq!(world.peak_queue(link), 100);
}
