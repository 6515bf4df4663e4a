//! Links whose rate, delay or presence changes with time: recorded rates and contact plans.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{MS, SECOND, drain, ms, offered};
use ostrakon_netsim::model::{
    Contact, ContactPlan, Link, LinkSpec, Nanos, Offered, SpecError, Trace, TraceError,
};

/// Guards recorded rates: bytes leave at the opportunities of the file, which repeat; what is not used is gone; and a link
/// that is always offered more carries the mean rate.
#[test]
fn a_trace_says_when_bytes_leave() {
    let trace = Trace::parse("2\n5\n5\n\n10\n").unwrap();
    // Four opportunities of 1504 bytes in 10 ms.
    assert_eq!(trace.mean_rate_bps(), 4 * 1504 * 8 * 100);
    let spec = LinkSpec::new()
        .trace(trace)
        .overhead(0)
        .queue_bytes(1 << 24);
    let at = |offers: &[(Nanos, usize)]| {
        let mut link = Link::new(&spec, 1).unwrap();
        for (now, len) in offers {
            assert_eq!(link.offer(now * MS, *len, ()), Offered::Queued);
        }
        let free = link.line_free_at();
        let times: Vec<Nanos> = drain(&mut link).iter().map(|a| a.at).collect();
        assert_eq!(times.last(), Some(&free));
        times.iter().map(|at| at / MS).collect::<Vec<_>>()
    };
    // Six packets of 1000 bytes fill opportunities to the byte: 1504 at 2, 4512 by 5, 6016 at 10.
    assert_eq!(at(&[(0, 1000); 6]), [2, 5, 5, 5, 10, 10]);
    // Two of 752 bytes share one; a third one comes too late for it.
    assert_eq!(at(&[(0, 752), (1, 752), (2, 752), (3, 100)]), [2, 2, 5, 5]);
    assert_eq!(at(&[(0, 752), (3, 752)]), [2, 5]);
    // The end of the trace is the beginning of its repetition; a day later it is the same.
    assert_eq!(at(&[(10, 1500), (11, 1500), (13, 1500)]), [10, 12, 15]);
    let day = 86_400_000;
    assert_eq!(at(&[(day + 6, 1500)]), [day + 10]);

    // Over ten seconds 4000 opportunities, to the last whole packet.
    let mut link = offered(&spec, 1, 70_000, 0);
    assert_eq!(link.stats(10 * SECOND).sent, 4000 * 1504 / 100);
}

/// Guards the reading of traces: each wrong one is refused by its line.
#[test]
fn wrong_traces_are_refused_by_line() {
    let refused = |text: &str| Trace::parse(text).unwrap_err();
    assert_eq!(refused(""), TraceError::Empty);
    assert_eq!(refused("\n \n"), TraceError::Empty);
    assert_eq!(
        refused("1\n7\n\n5\n"),
        TraceError::Unsorted {
            line: 4,
            time: 5,
            before: 7
        }
    );
    assert!(matches!(
        refused("1\nx 2\n"),
        TraceError::NotATime { line: 2, .. }
    ));
    assert!(matches!(
        refused("1\n-2\n"),
        TraceError::NotATime { line: 2, .. }
    ));
    assert_eq!(refused("0\n0\n"), TraceError::NoTime { line: 2 });
    assert!(
        refused("3\n1\n")
            .to_string()
            .starts_with("line 2: 1 ms comes after 3 ms")
    );
}

fn plan(contacts: &[(u64, Option<u64>)]) -> Vec<Contact> {
    contacts
        .iter()
        .map(|(start, end)| Contact::new(ms(*start), end.map(ms)))
        .collect()
}

/// Guards contacts: a link takes packets from the start of a contact up to its end, at its rate and delay; what has not left
/// by the end is cut, what has left arrives after it; with an open end it stays.
#[test]
fn a_link_is_there_in_its_contacts() {
    let contacts = vec![
        Contact::new(ms(100), Some(ms(200)))
            .rate_bps(1_000_000)
            .delay(ms(1000)),
        Contact::new(ms(200), Some(ms(300))),
        Contact::new(ms(500), None).delay(ms(7)),
    ];
    let plan = ContactPlan::new(contacts).unwrap();
    assert_eq!(plan.next_change(0), Some(100 * MS));
    assert_eq!(plan.next_change(100 * MS), Some(200 * MS));
    assert_eq!(plan.next_change(300 * MS), Some(500 * MS));
    assert_eq!(plan.next_change(500 * MS), None);
    let spec = LinkSpec::new()
        .rate_bps(2_000_000)
        .delay(ms(20))
        .contacts(plan);
    let mut link = Link::new(&spec, 1).unwrap();
    assert_eq!(link.offer(100 * MS - 1, 1222, 0), Offered::Down);
    // 1250 bytes with overhead: 10 ms in the first contact, 5 ms in the others.
    for (at, packet) in [
        (100, 1),
        (195, 2),
        (195, 3),
        (285, 4),
        (290, 5),
        (290, 6),
        (290, 7),
    ] {
        assert!(link.is_up(at * MS));
        assert_eq!(link.offer(at * MS, 1222, packet), Offered::Queued);
    }
    assert!(!link.is_up(300 * MS));
    assert_eq!(link.offer(300 * MS, 1222, 8), Offered::Down);
    assert_eq!(link.offer(500 * MS, 1222, 9), Offered::Queued);
    let arrived: Vec<(Nanos, i32)> = std::iter::from_fn(|| link.poll(5000 * MS))
        .map(|arrival| (arrival.at / MS, arrival.packet))
        .collect();
    // Packet 2 was begun at the old rate and leaves at 205; 5 and 6 leave by 300 and 7 does not.
    assert_eq!(
        arrived,
        [
            (225, 2),
            (230, 3),
            (310, 4),
            (315, 5),
            (320, 6),
            (512, 9),
            (1110, 1)
        ]
    );
    let stats = link.stats(5000 * MS);
    assert_eq!((stats.cut, stats.in_flight()), (3, 0));
}

/// Guards repetition and what is refused of plans.
#[test]
fn contact_plans_repeat_and_are_checked() {
    let plan_ok = ContactPlan::repeating(plan(&[(0, Some(10)), (20, Some(30))]), ms(40)).unwrap();
    for base in [0, 40, 4_000_000] {
        let up = [0, 9, 10, 19, 20, 29, 30, 39].map(|at| plan_ok.at((base + at) * MS).is_some());
        assert_eq!(up, [true, true, false, false, true, true, false, false]);
        let next =
            [0, 10, 25, 30].map(|at| plan_ok.next_change((base + at) * MS).unwrap() / MS - base);
        assert_eq!(next, [10, 20, 30, 40]);
    }
    let refused = |contacts: &[_]| ContactPlan::new(plan(contacts)).unwrap_err();
    assert_eq!(refused(&[]), SpecError::NoContacts);
    assert_eq!(refused(&[(5, Some(5))]), SpecError::ContactEnd { index: 0 });
    assert_eq!(
        refused(&[(0, Some(5)), (4, None)]),
        SpecError::ContactOrder { index: 1 }
    );
    assert_eq!(
        refused(&[(0, None), (4, None)]),
        SpecError::ContactOrder { index: 1 }
    );
    for end in [None, Some(41)] {
        let refused = ContactPlan::repeating(plan(&[(0, end)]), ms(40)).unwrap_err();
        assert_eq!(refused, SpecError::ContactPeriod(ms(40)));
    }
}
