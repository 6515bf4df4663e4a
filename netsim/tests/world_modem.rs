//! Transmitters that tell when they are free, as modems do; and how fast a world runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use bytes::Bytes;
use ostrakon_netsim::model::{Contact, ContactPlan, LinkSpec, Nanos};
use ostrakon_netsim::world::{
    End, FaultKind, FaultPlan, Host, LinkId, Notice, Out, Pair, Port, World,
};

const SECOND: Nanos = 1_000_000_000;

/// Gives the transmitter the next frame each time when it is free.
#[derive(Default)]
struct Modem {
    frames: u64,
    len: usize,
    got: u64,
    /// Cheap to send again and again.
    frame: Bytes,
}

impl Modem {
    fn new(frames: u64, len: usize) -> Self {
        let frame = vec![7; len].into();
        Self {
            frames,
            len,
            got: 0,
            frame,
        }
    }
}

impl Host for Modem {
    fn start(&mut self, _now: Nanos, _out: &mut Out<'_>) {}

    fn packet(&mut self, _now: Nanos, _port: Port, packet: Bytes, _out: &mut Out<'_>) {
        assert_eq!(packet.len(), 92);
        self.got += 1;
    }

    fn ready(&mut self, _now: Nanos, port: Port, out: &mut Out<'_>) {
        if self.frames > 0 {
            self.frames -= 1;
            debug_assert_eq!(self.frame.len(), self.len);
            out.send(port, self.frame.clone());
        }
    }
}

fn world(frames: u64, spec: &LinkSpec, notice: Notice, plan: &FaultPlan) -> (World<Modem>, LinkId) {
    let mut world = World::new(1);
    let a = world.add_host("a", Modem::new(frames, 92));
    let b = world.add_host("b", Modem::new(0, 92));
    let pair = Pair::one_way(spec.clone()).notice(notice).tells(true);
    let link = world.add_pair(a, b, &pair).unwrap();
    world.add_faults(plan).unwrap();
    (world, link)
}

/// Guards the pull of a modem: the line is never idle and never has more than one frame, so that what is sent is
/// decided at the last moment. Also across cuts, whether the modem notices them or goes on sending into the air.
#[test]
fn a_modem_that_tells_is_kept_busy_frame_by_frame() {
    // 92 bytes and 28 of headers at 9600 bit/s take 100 ms.
    let spec = LinkSpec::new()
        .rate_bps(9600)
        .delay(Duration::from_millis(5));
    let cut = |noticed| {
        FaultPlan::new().at(
            2 * SECOND + 50_000_000,
            FaultKind::Cut {
                links: vec![LinkId(0)],
                lasts: Some(SECOND),
                noticed,
            },
        )
    };
    for (notice, plan, arrive, seconds) in [
        (Notice::Line, FaultPlan::new(), 100, 10_005_000_000),
        // The frame on the line is lost; the next leaves when the line is back, at 3.05 s.
        (
            Notice::Line,
            cut(true),
            99,
            3_050_000_000 + 7_900_000_000 + 5_000_000,
        ),
        // Frames that would have arrived from 2.05 s to 3.05 s are lost, which nobody notices.
        (Notice::Line, cut(false), 90, 10_005_000_000),
        (Notice::Nothing, cut(true), 90, 10_005_000_000),
    ] {
        let (mut world, link) = world(100, &spec, notice, &plan);
        assert_eq!(world.run_until(60 * SECOND, |_| false), End::Idle);
        let got = world.hosts().map(|(_, host)| host.got).sum::<u64>();
        assert_eq!(got, arrive, "{notice:?} {plan:?}");
        let last = world.now();
        assert!(
            last >= seconds && last <= seconds + 1,
            "{last} ns, {notice:?} {plan:?}"
        );
        assert_eq!(world.peak_queue(link), 120);
    }
}

/// Guards contact plans: a transmitter is told that it is free at the beginning of each contact, and what it cannot
/// send before the end is lost.
#[test]
fn a_modem_works_in_its_contacts() {
    let contact =
        |start, end| Contact::new(Duration::from_secs(start), Some(Duration::from_secs(end)));
    let contacts = vec![contact(10, 12), contact(20, 22).rate_bps(960)];
    let spec = LinkSpec::new()
        .rate_bps(9600)
        .contacts(ContactPlan::new(contacts).unwrap());
    for notice in [Notice::Line, Notice::Nothing] {
        let (mut world, link) = world(100, &spec, notice, &FaultPlan::new());
        assert_eq!(world.run_until(60 * SECOND, |_| false), End::Idle);
        // One in 100 ms, then one a second; the first contact ends just as its last frame has left.
        let got = world.hosts().map(|(_, host)| host.got).sum::<u64>();
        assert_eq!(got, 20 + 2, "{notice:?}");
        let stats = world.link_stats(link)[0].unwrap();
        assert!(
            stats.cut <= 2 && stats.offered == 22 + stats.cut,
            "{notice:?} {stats}"
        );
    }
}

/// Prints how many events a second of processor time a world takes: `cargo test --release -p ostrakon-netsim --test
/// world_modem -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn events_a_second() {
    let spec = LinkSpec::new()
        .rate_bps(100_000_000)
        .delay(Duration::from_millis(30))
        .loss(0.01);
    for hosts in [2, 50] {
        let mut world = World::new(1);
        let each = 2_000_000 / (hosts / 2);
        for _ in 0..hosts / 2 {
            let a = world.add_host("a", Modem::new(each, 92));
            let b = world.add_host("b", Modem::new(0, 92));
            world
                .add_pair(a, b, &Pair::one_way(spec.clone()).tells(true))
                .unwrap();
        }
        let begin = std::time::Instant::now();
        world.run_until(Nanos::MAX, |_| false);
        let took = begin.elapsed().as_secs_f64();
        let counts = world.counts();
        println!(
            "{hosts} hosts: {} events, {} packets in {took:.2} s, {:.2} million events/s, queue {} at most",
            counts.events,
            counts.packets,
            counts.events as f64 / took / 1e6,
            counts.peak_events,
        );
    }
}
