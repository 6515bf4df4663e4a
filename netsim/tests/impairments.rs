//! What else a packet link may do to packets, each against its closed formula.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{MS, SECOND, digest, drain, ms, offered};
use ostrakon_netsim::model::{
    Burst, BurstClock, Contact, ContactPlan, Link, LinkSpec, Nanos, Qdisc, SpecError,
};

/// Guards jitter: packets far apart are late by a uniform time from 0 to the most (mean within three standard deviations,
/// the extremes within 0.1 % of the ends), and packets close together keep their order or not, as asked.
#[test]
fn jitter_is_uniform_and_keeps_order_if_asked() {
    const N: u64 = 100_000;
    let most = 20 * MS;
    let spec = LinkSpec::new().delay(ms(50)).queue_bytes(1 << 30);
    let mut link = offered(&spec.clone().jitter(ms(20), true), 11, N, 21 * MS);
    let late: Vec<Nanos> = drain(&mut link)
        .iter()
        .map(|arrival| arrival.at - arrival.packet * 21 * MS - 50 * MS)
        .collect();
    let mean = late.iter().sum::<Nanos>() as f64 / N as f64;
    // The variance of the uniform distribution is most² / 12.
    let sigma = most as f64 / (12.0 * N as f64).sqrt();
    assert!(
        (mean - most as f64 / 2.0).abs() <= 3.0 * sigma,
        "seed 11: {mean}"
    );
    let (least, largest) = (late.iter().min().unwrap(), late.iter().max().unwrap());
    assert!(*least < most / 1000 && *largest <= most && *largest > most - most / 1000);

    for in_order in [true, false] {
        let spec = spec.clone().jitter(ms(20), in_order);
        let mut link = offered(&spec, 12, 1000, MS);
        let arrivals = drain(&mut link);
        let sorted = arrivals.is_sorted_by_key(|arrival| arrival.packet);
        assert_eq!((arrivals.len(), sorted), (1000, in_order));
        assert_eq!(link.stats(u64::MAX).reordered > 0, !in_order);
    }
}

/// Guards reordering and duplication: the shares are binomial within three standard deviations; a packet held back arrives
/// exactly that much later, overtaken, and counts once; a copy comes right behind its packet and is marked.
#[test]
fn held_back_and_doubled_packets_are_counted() {
    const N: u64 = 100_000;
    let spec = LinkSpec::new()
        .delay(ms(50))
        .reorder(0.05, ms(5))
        .duplicate(0.1)
        .queue_bytes(1 << 30);
    let mut link = offered(&spec, 13, N, MS);
    let arrivals = drain(&mut link);
    let late = |n: &Nanos| *n - 50 * MS;
    let held_back = arrivals
        .iter()
        .filter(|arrival| !arrival.copy)
        .filter(|arrival| match late(&arrival.at) - arrival.packet * MS {
            0 => false,
            by => {
                assert_eq!(by, 5 * MS);
                true
            }
        })
        .count() as u64;
    let stats = link.stats(u64::MAX);
    let copies: Vec<u64> = arrivals
        .iter()
        .filter(|a| a.copy)
        .map(|a| a.packet)
        .collect();
    for pair in arrivals.windows(2).filter(|pair| pair[1].copy) {
        assert_eq!((pair[0].packet, pair[0].at), (pair[1].packet, pair[1].at));
    }
    assert_eq!(copies.iter().collect::<BTreeSet<_>>().len(), copies.len());
    assert_eq!(stats.duplicated, copies.len() as u64);
    assert_eq!((stats.delivered, stats.in_flight()), (N, 0));
    // One that was held back is overtaken unless all within 5 ms behind it were held back as well.
    assert!(stats.reordered <= held_back && stats.reordered > held_back * 99 / 100);
    // sigma = sqrt(10⁵ · 0.05 · 0.95) = 68.9 and sqrt(10⁵ · 0.1 · 0.9) = 94.9
    assert!(held_back.abs_diff(5000) <= 206, "seed 13: {held_back}");
    assert!(stats.duplicated.abs_diff(10_000) <= 284, "seed 13: {stats}");
}

/// Guards the bursts clocked by time: the share of bad time, the loss, and the correlation of losses over a time follow the
/// formulas. Over `T` of a two-state process the variance of the share is `2 s (1 - s) τ / T` with `1/τ = 1/G + 1/B`.
#[test]
fn bursts_follow_time() {
    let (bad, interval, n) = (0.2, 10 * MS, 1_000_000u64);
    let burst = Burst::share(bad, ms(200)).unwrap().loss_bad(0.7);
    assert!((burst.bad_share() - bad).abs() < 1e-6);
    let spec = LinkSpec::new().loss(0.01).burst(burst);
    let mut link = Link::new(&spec, 14).unwrap();
    let mut lost = Vec::new();
    for k in 0..n {
        link.offer(k * interval, 100, ());
        lost.push(link.poll(k * interval).is_none());
    }
    let span = (n * interval) as f64;
    let tau = 1.0 / (1.0 / (200.0 * MS as f64) + 1.0 / (800.0 * MS as f64));
    let sigma = (2.0 * bad * (1.0 - bad) * tau / span).sqrt();
    let share = link.stats(n * interval).bad_nanos as f64 / span;
    assert!(
        (share - bad).abs() <= 3.0 * sigma,
        "seed 14: share {share}, sigma {sigma}"
    );

    let mean = lost.iter().filter(|lost| **lost).count() as f64 / n as f64;
    let expected = 0.01 * (1.0 - bad) + 0.7 * bad;
    // The binomial part of the variance adds to that of the share.
    let sigma = (sigma * sigma * 0.69 * 0.69 + expected * (1.0 - expected) / n as f64).sqrt();
    assert!(
        (mean - expected).abs() <= 3.0 * sigma,
        "seed 14: loss {mean}"
    );

    // Covariance of the losses at a distance of 100 ms: (0.7 - 0.01)² s (1 - s) e^(-t/τ), within 5 %.
    let apart = 10;
    let both = lost.windows(apart + 1).filter(|w| w[0] && w[apart]).count() as f64;
    let covariance = both / (n as f64 - apart as f64) - mean * mean;
    let formula = 0.69 * 0.69 * bad * (1.0 - bad) * (-(100.0 * MS as f64) / tau).exp();
    assert!(
        (covariance / formula - 1.0).abs() < 0.05,
        "seed 14: {covariance} {formula}"
    );
}

/// Guards what the two clocks differ in: after a silence of many bursts the channel clocked by time is bad with its share
/// only, that clocked by packets is as bad as it was. And a silence of years takes no time to pass.
#[test]
fn silence_does_not_freeze_a_channel_clocked_by_time() {
    let loss_after_loss = |burst: Burst, pause: Nanos| {
        let mut link = Link::new(&LinkSpec::new().burst(burst), 15).unwrap();
        let (mut now, mut first, mut both) = (0, 0, 0);
        for _ in 0..20_000 {
            now += 100 * SECOND;
            link.offer(now, 100, ());
            if link.poll(now).is_none() {
                first += 1;
                now += pause;
                link.offer(now, 100, ());
                both += u32::from(link.poll(now).is_none());
            }
        }
        f64::from(both) / f64::from(first)
    };
    let timed = Burst::share(0.2, ms(200)).unwrap();
    let counted = Burst::per_packet(0.01, 0.04);
    assert!((counted.bad_share() - 0.2).abs() < 1e-9);
    // About 4000 first losses: sigma = sqrt(0.2 · 0.8 / 4000) = 0.0063
    let after = loss_after_loss(timed.clone(), 10 * SECOND);
    assert!((after - 0.2).abs() < 0.02, "seed 15: {after}");
    let at_once = loss_after_loss(timed.clone(), MS);
    assert!((at_once - 0.995).abs() < 0.01, "seed 15: {at_once}");
    // The channel stands still: it leaves the bad state before a packet with probability 0.04.
    let frozen = loss_after_loss(counted, 10 * SECOND);
    assert!((frozen - 0.96).abs() < 0.02, "seed 15: {frozen}");

    let mut link = Link::<()>::new(&LinkSpec::new().burst(timed), 15).unwrap();
    let stats = link.stats(u64::MAX);
    let share = stats.bad_nanos as f64 / u64::MAX as f64;
    assert!((share - 0.2).abs() < 0.001, "{share}");
}

/// Guards the independence of impairments: turning any of the others on does not change which packets are lost, when those
/// without it arrive, or which are damaged.
#[test]
fn one_impairment_does_not_change_another() {
    let base = LinkSpec::new()
        .delay(ms(50))
        .loss(0.2)
        .corrupt(0.1)
        .queue_bytes(1 << 30);
    let run = |spec: &LinkSpec| {
        let arrivals = drain(&mut offered(spec, 16, 2000, MS));
        arrivals
            .iter()
            .filter(|arrival| !arrival.copy)
            .map(|arrival| (arrival.packet, arrival.damaged))
            .collect::<BTreeSet<_>>()
    };
    let plain = run(&base);
    let others = [
        base.clone().jitter(ms(9), false),
        base.clone().reorder(0.3, ms(20)),
        base.clone().duplicate(0.3),
        base.clone()
            .burst(Burst::share(0.3, ms(20)).unwrap().loss_bad(0.2)),
        base.clone().rate_bps(10_000_000).qdisc(Qdisc::codel()),
    ];
    for other in others {
        assert_eq!(run(&other), plain, "{other:?}");
    }
}

/// Guards laziness: with every impairment on, a link that is asked whenever it says, one that is asked after each offer and
/// one that is only asked at the end hand out the same packets at the same times, and end with the same counts.
#[test]
fn a_link_asked_late_says_the_same() {
    let contacts = vec![
        Contact::new(ms(0), Some(ms(700))).delay(ms(90)),
        Contact::new(ms(700), Some(ms(900))).rate_bps(300_000),
    ];
    let spec = LinkSpec::new()
        .rate_bps(800_000)
        .delay(ms(30))
        .jitter(ms(9), false)
        .loss(0.05)
        .burst(Burst::share(0.2, ms(30)).unwrap())
        .reorder(0.1, ms(40))
        .duplicate(0.1)
        .corrupt(0.1)
        .qdisc(Qdisc::codel())
        .contacts(ContactPlan::repeating(contacts, ms(1000)).unwrap());
    let run = |seed, ask: &dyn Fn(&mut Link<u64>, Nanos) -> Vec<_>| {
        let mut link = Link::new(&spec, seed).unwrap();
        let mut arrivals = Vec::new();
        for n in 0..20_000 {
            // A little more than the line carries, and now and then a pause.
            let now = n * MS + n / 500 * 300 * MS;
            arrivals.extend(ask(&mut link, now));
            link.offer(now, 100, n);
        }
        arrivals.extend(drain(&mut link));
        (arrivals, link.stats(60 * SECOND))
    };
    let mut digests = Vec::new();
    for seed in 0..5 {
        let in_time = run(seed, &|link, now| {
            let due = |link: &Link<u64>| link.next_at().filter(|at| *at <= now);
            let mut arrivals = Vec::new();
            while let Some(at) = due(link) {
                let all = std::iter::from_fn(|| link.poll(at)).inspect(|a| assert_eq!(a.at, at));
                arrivals.extend(all);
            }
            arrivals
        });
        let each_time = run(seed, &|link, now| {
            std::iter::from_fn(|| link.poll(now)).collect()
        });
        let at_the_end = run(seed, &|_, _| Vec::new());
        assert!(in_time == each_time && in_time == at_the_end, "seed {seed}");
        let stats = in_time.1;
        let all = [
            stats.lost,
            stats.aqm,
            stats.cut,
            stats.reordered,
            stats.duplicated,
            stats.corrupted,
        ];
        assert!(all.iter().all(|count| *count > 0), "seed {seed}: {stats}");
        assert_eq!(stats.in_flight(), 0);
        let times: Vec<Nanos> = in_time
            .0
            .iter()
            .map(|a| a.at + u64::from(a.damaged))
            .collect();
        digests.push(digest(&times));
    }
    // Pins the sequence itself, on every machine and in every build.
    assert_eq!(
        digests[..2],
        [6_375_943_387_194_736_311, 8_067_741_183_318_265_222]
    );
}

/// Guards CoDel on a link: a queue that stands at the same rate in and out is brought down to its target (and one packet);
/// drop-tail keeps it for ever. A link that has no queue never drops.
#[test]
fn codel_drains_a_standing_queue() {
    // 1000 bytes with overhead take 1 ms; 200 of them wait from the start.
    let spec = LinkSpec::new().rate_bps(8_000_000).queue_bytes(1 << 20);
    let run = |spec: &LinkSpec, burst: u64| {
        let mut link = Link::new(spec, 17).unwrap();
        for n in 0..burst {
            link.offer(0, 972, n);
        }
        for ms in 1..60_000 {
            link.offer(ms * MS, 972, ms);
            while link.poll(ms * MS).is_some() {}
        }
        (link.queued_bytes(59_999 * MS), link.stats(59_999 * MS).aqm)
    };
    assert_eq!(run(&spec, 200), (200_000, 0));
    let codel = spec.clone().qdisc(Qdisc::codel());
    let (queued, dropped) = run(&codel, 200);
    assert!(queued <= 6000, "{queued}");
    assert_eq!(dropped, (200_000 - queued) / 1000);
    assert_eq!(run(&codel, 1), (1000, 0));
    let zero = Qdisc::CoDel {
        target: Duration::ZERO,
        interval: ms(100),
    };
    assert!(matches!(
        spec.qdisc(zero).validate(),
        Err(SpecError::CoDel { .. })
    ));
}

/// Guards the framing: at 8N1 a byte takes ten bits, with stuffing a fraction more, to the nanosecond.
#[test]
fn bytes_take_their_bits() {
    for (bits, expected) in [(8.0, 80), (10.0, 100), (8.063, 80), (8.13, 81)] {
        let spec = LinkSpec::new()
            .rate_bps(1000)
            .overhead(0)
            .bits_per_byte(bits);
        let mut link = Link::new(&spec, 1).unwrap();
        link.offer(0, 10, ());
        assert_eq!(link.line_free_at() / MS, expected, "{bits}");
    }
    let refused = LinkSpec::new().bits_per_byte(0.5).validate();
    assert_eq!(refused, Err(SpecError::LineBits(0.5)));
}

/// Guards the checks of bursts.
#[test]
fn impossible_bursts_are_refused() {
    assert_eq!(
        Burst::share(1.0, ms(1)).unwrap_err(),
        SpecError::BadShare(1.0)
    );
    assert!(Burst::share(f64::NAN, ms(1)).is_err());
    let refused = |burst| LinkSpec::new().burst(burst).validate().unwrap_err();
    let short = Burst::timed(ms(1), Duration::from_nanos(1));
    assert!(matches!(short.clock, BurstClock::Time { .. }));
    assert!(matches!(refused(short), SpecError::BurstMean(_)));
    assert!(matches!(
        refused(Burst::per_packet(0.1, 1.1)),
        SpecError::Probability {
            name: "bad_to_good",
            ..
        }
    ));
}
