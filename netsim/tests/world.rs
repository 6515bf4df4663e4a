//! Worlds with a toy protocol in them: repeatable, on time, and struck by faults when they should be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod toy;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ostrakon_netsim::model::{LinkSpec, Nanos};
use ostrakon_netsim::world::{
    End, FaultKind, FaultPlan, HostId, LinkId, Meddling, Notice, Pair, Record, Stop, Way, World,
    WorldError,
};
use toy::{MS, SECOND, Toy};

const LEN: usize = 1222;
/// The time of a data packet and of an acknowledgement on a line of 10 Mbit/s, headers of 28 bytes included.
const DATA: Nanos = 1_000_000;
const ACK: Nanos = 35_200;
const WRITE: Nanos = 2 * MS;

fn satellite(loss: f64) -> LinkSpec {
    let delay = Duration::from_millis(50);
    LinkSpec::new()
        .rate_bps(10_000_000)
        .delay(delay)
        .loss(loss)
        .queue_bytes(1_000_000)
}

struct Run {
    world: World<Toy>,
    a: HostId,
    b: HostId,
    link: LinkId,
    total: u64,
}

impl Run {
    fn new(seed: u64, total: u64, window: u64, pair: &Pair) -> Self {
        let mut world = World::new(seed);
        let a = world.add_host("a", Toy::sender(total, window, LEN, 300 * MS));
        let b = world.add_host("b", Toy::receiver());
        let link = world.add_pair(a, b, pair).unwrap();
        Self {
            world,
            a,
            b,
            link,
            total,
        }
    }

    fn faults(mut self, plan: &FaultPlan) -> Self {
        self.world.add_faults(plan).unwrap();
        self
    }

    /// Runs to the end, and says what was wrong with it, if anything.
    fn finish(&mut self) -> Result<(), String> {
        let (a, total) = (self.a, self.total);
        let end = self
            .world
            .run_until(600 * SECOND, |w| w.host(a).as_sender().acked == total);
        let taken = self.world.host(self.b).as_receiver().taken;
        match (end, taken == total) {
            (End::Done, true) => Ok(()),
            _ => Err(format!(
                "{end:?}, {taken} of {total} at {} ms",
                self.world.now() / MS
            )),
        }
    }
}

/// Guards repeatability: one seed is one trace, and the hash sees everything that differs between two.
#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let run = |seed, faults: &FaultPlan| {
        let pair = Pair::symmetric(satellite(0.1).corrupt(0.05));
        let mut run = Run::new(seed, 300, 20, &pair).faults(faults);
        run.finish().unwrap();
        (run.world.trace_hash(), run.world.counts(), run.world.now())
    };
    let faults = FaultPlan::random(1, 2, 1, 4 * SECOND);
    assert_eq!(run(1, &faults), run(1, &faults));
    assert_ne!(run(1, &faults).0, run(2, &faults).0);
    assert_ne!(run(1, &faults).0, run(1, &FaultPlan::new()).0);
}

/// Guards repeatability across builds and machines: this hash was taken once. It changes when a model draws otherwise, and
/// then all results of a seed change with it.
#[test]
fn the_trace_is_the_same_on_every_machine() {
    let faults = FaultPlan::random(11, 2, 1, 4 * SECOND);
    let pair = Pair::symmetric(satellite(0.1).corrupt(0.05));
    let mut run = Run::new(7, 500, 20, &pair).faults(&faults);
    run.finish().unwrap();
    let hex: String = run
        .world
        .trace_hash()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        "0457340d0f7e262cc888b1d6b188af4bd1496ffcde31b2a96eb5533f3b07278f"
    );
}

/// Guards time: with one packet at a time each costs a round trip, two serializations and the receiver's disk, exactly.
#[test]
fn stop_and_wait_takes_what_the_formula_says() {
    let mut run = Run::new(3, 50, 1, &Pair::symmetric(satellite(0.0)));
    run.finish().unwrap();
    assert_eq!(run.world.now(), 50 * (DATA + ACK + 100 * MS + WRITE));
}

/// Guards throughput: with the pipe full the line never rests, so the last acknowledgement comes after all
/// serializations.
#[test]
fn a_window_above_the_bandwidth_delay_product_fills_the_line() {
    let mut run = Run::new(3, 5000, 200, &Pair::symmetric(satellite(0.0)));
    run.finish().unwrap();
    assert_eq!(run.world.now(), 5000 * DATA + ACK + 100 * MS + WRITE);
    let stats = run.world.link_stats(run.link);
    assert_eq!(stats[0].unwrap().delivered, 5000);
    assert!(run.world.peak_queue(run.link) <= 200 * 1250);
}

/// Guards faults at events, the toy's disk, and recovery: whichever event is followed by a crash or power cut of either
/// host, the transfer ends, and what was acknowledged is never lost.
#[test]
fn a_stop_after_every_single_event_is_survived() {
    let pair = Pair::symmetric(satellite(0.02));
    let mut plain = Run::new(5, 40, 8, &pair);
    plain.finish().unwrap();
    let events = plain.world.counts().events;
    assert!(events > 100);
    for event in 1..events {
        for host in [plain.a, plain.b] {
            for how in [Stop::Crash, Stop::PowerCut] {
                let off = Some(70 * MS);
                let stop = FaultKind::Stop { host, how, off };
                let mut run =
                    Run::new(5, 40, 8, &pair).faults(&FaultPlan::new().after_events(event, stop));
                run.finish()
                    .unwrap_or_else(|why| panic!("{how:?} of {host:?} after {event}: {why}"));
                let now = run.world.now();
                run.world.run_until(now + SECOND, |_| false);
                let starts = match host == run.a {
                    true => &run.world.host(host).as_sender().starts,
                    false => &run.world.host(host).as_receiver().starts,
                };
                // A stop before the first start does nothing.
                let before_start = host == run.b && event <= 2;
                let expected = if before_start { 1 } else { 2 };
                assert_eq!(starts.len(), expected, "{how:?} of {host:?} after {event}");
            }
        }
    }
}

/// Guards the clocks that a host sees: a crash leaves the monotonic clock alone, a power cut begins it anew, the
/// calendar goes on and jumps, drift makes timers early or late in true time.
#[test]
fn a_host_sees_its_own_clocks() {
    let host = HostId(1);
    let stop = |how| FaultKind::Stop {
        host,
        how,
        off: Some(SECOND),
    };
    let plan = FaultPlan::new()
        .at(10 * SECOND, stop(Stop::Crash))
        .at(
            20 * SECOND,
            FaultKind::ClockJump {
                host,
                by: -5 * SECOND as i64,
            },
        )
        .at(30 * SECOND, stop(Stop::PowerCut))
        .at(
            40 * SECOND,
            FaultKind::ClockDrift {
                host,
                ppb: 100_000_000,
            },
        )
        .at(50 * SECOND, stop(Stop::Crash));
    let mut run = Run::new(1, 1, 1, &Pair::symmetric(satellite(0.0))).faults(&plan);
    assert_eq!(run.world.run_until(60 * SECOND, |_| false), End::Idle);
    let starts = &run.world.host(run.b).as_receiver().starts;
    let epoch = starts[0].1;
    let seconds: Vec<_> = starts
        .iter()
        .map(|(mono, cal)| (mono / SECOND, (cal - epoch) / SECOND as i64))
        .collect();
    // Drift adds a tenth of what follows the 40th second: 11 s become 12.1 s.
    assert_eq!(seconds, [(0, 0), (11, 11), (0, 26), (21, 47)]);

    let plan = FaultPlan::new().at(
        1,
        FaultKind::ClockDrift {
            host: HostId(0),
            ppb: 500_000_000,
        },
    );
    let mut run = Run::new(1, 2, 1, &Pair::one_way(satellite(0.0))).faults(&plan);
    run.world.run_until(4900 * MS, |_| false);
    // The timer of 300 ms comes each 200 ms, and nothing can be acknowledged.
    let counts = run.world.counts();
    assert_eq!((counts.packets - counts.no_way, counts.no_way), (25, 25));
}

/// Guards cuts: packets do not cross, ports that notice hear of it, those that do not never do, and overlapping cuts
/// end with the last one.
#[test]
fn cuts_are_noticed_by_those_who_can() {
    let cut = |at, lasts, noticed| {
        let links = vec![LinkId(0)];
        FaultPlan::new().at(
            at,
            FaultKind::Cut {
                links,
                lasts: Some(lasts),
                noticed,
            },
        )
    };
    let mut plan = cut(100 * MS, 1000 * MS, true);
    plan.faults.extend(cut(600 * MS, 1000 * MS, true).faults);
    plan.faults.extend(cut(3000 * MS, 500 * MS, false).faults);
    for (notice, expected) in [
        (Notice::Line, vec![(0, true), (100, false), (1600, true)]),
        (Notice::Nothing, vec![]),
    ] {
        let pair = Pair::symmetric(satellite(0.0)).notice(notice);
        let mut run = Run::new(1, 40, 1, &pair).faults(&plan);
        run.finish().unwrap();
        let links = &run.world.host(run.b).as_receiver().links;
        let told: Vec<_> = links.iter().map(|(at, up)| (at / MS, *up)).collect();
        assert_eq!(told, expected, "{notice:?}");
        assert!(run.world.counts().cut_unnoticed > 0);
        // 40 packets at 103 ms and a timeout of up to 300 ms behind each outage.
        let least = 40 * 103 * MS + 1500 * MS + 500 * MS;
        assert!(
            (least..least + 900 * MS).contains(&run.world.now()),
            "{} ms",
            run.world.now() / MS
        );
    }
}

/// Guards [`Notice::Peer`]: the far program's end is noticed as the loss of the link, its restart as its return.
#[test]
fn a_session_notices_that_the_peer_is_gone() {
    let stop = FaultKind::Stop {
        host: HostId(0),
        how: Stop::Crash,
        off: Some(SECOND),
    };
    let pair = Pair::symmetric(satellite(0.0)).notice(Notice::Peer);
    let mut run = Run::new(1, 40, 1, &pair).faults(&FaultPlan::new().at(SECOND, stop));
    run.finish().unwrap();
    let links = &run.world.host(run.b).as_receiver().links;
    assert_eq!(*links, [(0, true), (SECOND, false), (2 * SECOND, true)]);
}

/// Guards meddling: each kind does to packets what it says, to the share that it says, in its time and direction only.
#[test]
fn meddling_does_what_it_says() {
    let run = |what, way, share_ppm, lasts| {
        let link = LinkId(0);
        let meddle = FaultKind::Meddle {
            link,
            way,
            what,
            share_ppm,
            lasts,
        };
        let plan = FaultPlan::new().at(0, meddle);
        let mut run = Run::new(1, 2000, 50, &Pair::symmetric(satellite(0.0))).faults(&plan);
        run.finish().unwrap_or_else(|why| panic!("{what:?}: {why}"));
        let crossed = run.world.link_stats(link)[0].unwrap().delivered;
        (run.world, crossed)
    };
    let receiver = |world: &World<Toy>| {
        let receiver = world.host(HostId(1)).as_receiver();
        (receiver.bad, receiver.copies)
    };
    let (plain, _) = run(Meddling::Drop, Way::Both, 0, None);
    assert_eq!(receiver(&plain), (0, 0));

    let (world, crossed) = run(Meddling::Drop, Way::Forward, 50_000, None);
    assert_share(world.counts().meddled_dropped, crossed, 0.05);

    let (world, crossed) = run(Meddling::Corrupt, Way::Forward, 50_000, None);
    assert_share(world.counts().meddled_corrupted, crossed, 0.05);
    assert_eq!(receiver(&world).0, world.counts().meddled_corrupted);

    let (world, crossed) = run(Meddling::Duplicate(0), Way::Forward, 200_000, None);
    assert_share(world.counts().meddled_doubled, crossed, 0.2);
    assert_eq!(receiver(&world), (0, world.counts().meddled_doubled));
    assert_eq!(world.now(), plain.now());

    // All are late by the same, so none overtakes another.
    let (world, _) = run(Meddling::Delay(7 * MS), Way::Both, 1_000_000, None);
    assert_eq!(receiver(&world), (0, 0));
    assert!(world.now() > plain.now() + 14 * MS);

    let (world, _) = run(Meddling::Reorder(20 * MS), Way::Forward, 1_000_000, None);
    assert!(receiver(&world).1 > 0);
    assert!(
        (2..=21).contains(&world.counts().peak_late),
        "one a millisecond, for up to 20 ms"
    );

    let (world, _) = run(Meddling::Drop, Way::Back, 1_000_000, Some(SECOND));
    assert!(world.counts().meddled_dropped > 0);
    assert!(world.now() > plain.now() + 800 * MS);
}

/// Meddled with, out of those that crossed, is within four standard deviations of what it should be.
fn assert_share(meddled: u64, crossed: u64, share: f64) {
    let expected = crossed as f64 * share;
    let spread = 4.0 * (expected * (1.0 - share)).sqrt();
    assert!(
        (meddled as f64 - expected).abs() < spread,
        "{meddled} of {crossed}"
    );
}

/// Guards random plans: they keep the bounds that their documentation states, and the toy gets through all of them.
#[test]
fn random_faults_keep_their_bounds_and_leave_time_to_recover() {
    for seed in 0..200 {
        let span = 10 * SECOND;
        let plan = FaultPlan::random(seed, 2, 1, span);
        assert_eq!(plan, FaultPlan::random(seed, 2, 1, span));
        let mut run = Run::new(seed, 500, 20, &Pair::symmetric(satellite(0.01))).faults(&plan);
        run.finish()
            .unwrap_or_else(|why| panic!("seed {seed}: {why}\n{plan:#?}"));
        let ends = plan.faults.iter().map(|fault| {
            let ostrakon_netsim::world::When::At(at) = fault.when else {
                panic!("{fault:?}")
            };
            match &fault.kind {
                FaultKind::Stop { off, .. } => at + off.unwrap(),
                FaultKind::Cut { lasts, .. } => at + lasts.unwrap(),
                FaultKind::Meddle {
                    lasts, share_ppm, ..
                } => {
                    assert!(*share_ppm <= 300_000);
                    at + lasts.unwrap()
                }
                _ => at,
            }
        });
        assert!(
            ends.max().unwrap() <= span / 8 * 5,
            "seed {seed}: {plan:#?}"
        );
    }
    assert_ne!(
        FaultPlan::random(1, 2, 1, SECOND),
        FaultPlan::random(2, 2, 1, SECOND)
    );
    assert_eq!(FaultPlan::random(1, 0, 0, SECOND), FaultPlan::new());
}

/// Guards named errors for worlds that cannot be.
#[test]
fn what_cannot_be_is_refused_by_name() {
    let mut run = Run::new(1, 1, 1, &Pair::symmetric(satellite(0.0)));
    let pair = Pair::symmetric(satellite(0.0));
    assert_eq!(
        run.world.add_pair(run.a, run.a, &pair),
        Err(WorldError::Loop(run.a))
    );
    assert_eq!(
        run.world.add_pair(run.a, HostId(9), &pair),
        Err(WorldError::NoHost(HostId(9)))
    );
    let plan = FaultPlan::new().at(
        0,
        FaultKind::ClockJump {
            host: HostId(4),
            by: 1,
        },
    );
    assert_eq!(
        run.world.add_faults(&plan),
        Err(WorldError::NoHost(HostId(4)))
    );
    let (link, way, what) = (LinkId(3), Way::Both, Meddling::Drop);
    let plan = FaultPlan::new().at(
        0,
        FaultKind::Meddle {
            link,
            way,
            what,
            share_ppm: 1,
            lasts: None,
        },
    );
    assert_eq!(
        run.world.add_faults(&plan),
        Err(WorldError::NoLink(LinkId(3)))
    );
}

/// Guards driving from outside: actions at their time, calls and stops now, a sink that sees what is hashed, and a bound
/// on events that ends a host which never lets time pass.
#[test]
fn a_world_can_be_driven_and_watched() {
    let mut run = Run::new(1, 40, 1, &Pair::symmetric(satellite(0.0)));
    let (a, b) = (run.a, run.b);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&seen);
    run.world.watch(move |at, record| {
        if let Record::Start(host) | Record::Stop(host, _) = record {
            sink.borrow_mut().push((at, *host));
        }
    });
    run.world.at(SECOND, move |world| {
        assert!(world.stop(b, Stop::Crash));
        assert!(!world.stop(b, Stop::Crash), "it is stopped already");
        assert_eq!(world.call(b, |_, now, _| now), None);
    });
    run.world.at(2 * SECOND, move |world| world.restart(b));
    run.finish().unwrap();
    let expected = [(0, a), (0, b), (SECOND, b), (2 * SECOND, b)];
    assert_eq!(*seen.borrow(), expected);
    let local = run.world.call(a, |_, now, out| {
        out.note("asked", "from outside", now);
        now
    });
    assert_eq!(local, Some(run.world.now()));
    assert_eq!(
        run.world.notes().last().map(|note| note.text.as_str()),
        Some("from outside")
    );

    let mut run = Run::new(1, 40, 1, &Pair::one_way(satellite(0.0)));
    run.world.limit_events(1000);
    assert_eq!(run.world.run_until(Nanos::MAX, |_| false), End::EventLimit);
    assert_eq!(run.world.counts().events, 1000);
}

/// Guards a shared pair: packets of two pairs of hosts pass one queue and one transmitter, which is as full as both fill
/// it, and each host hears its own partner alone. What is no pair, or a host that is on it, is refused.
#[test]
fn further_hosts_share_the_line_of_a_pair() {
    const PACKETS: u64 = 100;
    let mut run = Run::new(3, PACKETS, PACKETS, &Pair::symmetric(satellite(0.0)));
    let world = &mut run.world;
    let c = world.add_host("c", Toy::sender(PACKETS, PACKETS, LEN, 300 * MS));
    let d = world.add_host("d", Toy::receiver());
    world.share_pair(run.link, c, d).unwrap();
    let twice = WorldError::Loop(run.a);
    assert_eq!(world.share_pair(run.link, d, run.a), Err(twice));
    let nowhere = WorldError::NoLink(LinkId(7));
    assert_eq!(world.share_pair(LinkId(7), c, d), Err(nowhere));
    let own = world.port(run.a, run.link);
    assert_eq!((own, world.port(d, run.link)), (own, own));
    let both = |world: &World<Toy>| {
        let acked = |host| world.host(host).as_sender().acked;
        (acked(run.a), acked(c)) == (PACKETS, PACKETS)
    };
    assert_eq!(world.run_until(SECOND, both), End::Done);
    for receiver in [run.b, d] {
        assert_eq!(world.host(receiver).as_receiver().taken, PACKETS);
    }
    let stats = world.link_stats(run.link)[0].unwrap();
    assert_eq!((stats.sent, stats.queue_full), (2 * PACKETS, 0));
    // All are offered at 0: the n-th of them has waited for n times the time of one.
    let waits: u128 = (1..=2 * PACKETS).map(|n| u128::from(n * DATA)).sum();
    let bytes = LEN as u128 + 28;
    assert_eq!(stats.queue_byte_nanos, waits * bytes);
}
