//! Two ends of a link over a line that loses packets by chance, without a world around them.

use super::{Clock, Link, Meeting, Setup, Side};
use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use ostrakon_transports::LinkEvent;
use ostrakon_transports::keys::LinkSecret;
use ostrakon_transports::quic::QuicSettings;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SECOND: Nanos = 1_000_000_000;
const DELAY: Nanos = 50_000_000;

/// Two ends, the line between them, and what they have told.
struct Pair {
    clock: Clock,
    ends: [Link; 2],
    flying: BTreeMap<(Nanos, u64), (usize, Bytes)>,
    number: u64,
    now: Nanos,
    loss_percent: u32,
    chance: ChaCha8Rng,
    /// Frames that each end may still send, and the size of its frames; none while it is down.
    credit: [Option<(usize, usize)>; 2],
    /// How often each was up, and the frames that each has received, by the number in them.
    ups: [usize; 2],
    received: [Vec<u64>; 2],
}

fn end(side: Side, clock: Clock, now: Nanos) -> Link {
    let secrets = [1, 2].map(|i| LinkSecret::from_seed([i; 32]));
    let [dials, listens] = secrets;
    let (secret, peer) = match side {
        Side::Dials => (dials, listens.public()),
        Side::Listens => (listens, dials.public()),
    };
    let settings = QuicSettings::default();
    let setup = Setup {
        side,
        secret,
        peer,
        settings,
        headers: 28,
    };
    Link::new(setup, [side as u8; 32], clock.at(now)).unwrap()
}

impl Pair {
    fn new(clock: Clock, ends: [Link; 2], loss_percent: u32, seed: u64) -> Self {
        Self {
            clock,
            ends,
            flying: BTreeMap::new(),
            number: 0,
            now: 0,
            loss_percent,
            chance: ChaCha8Rng::seed_from_u64(seed),
            credit: [None; 2],
            ups: [0; 2],
            received: [vec![], vec![]],
        }
    }

    /// Drives both ends until that time.
    fn run_until(&mut self, until: Nanos) {
        loop {
            for from in 0..2 {
                self.drive(from);
            }
            let dues = self.ends.iter_mut().filter_map(Link::due);
            let dues = dues.map(|at| self.clock.fires(at, self.now));
            let next = dues.chain(self.flying.keys().map(|(at, _)| *at)).min();
            self.now = next.map_or(until, |next| next.min(until));
            while let Some(next) = self.flying.first_entry()
                && next.key().0 <= self.now
            {
                let (to, packet) = next.remove();
                self.ends[to].receive(self.clock.at(self.now), &packet);
            }
            if self.now == until {
                return;
            }
        }
    }

    fn drive(&mut self, from: usize) {
        for packet in self.ends[from].advance(self.clock.at(self.now)) {
            self.number += 1;
            if self.chance.next_u32() % 100 >= self.loss_percent {
                let key = (self.now + DELAY, self.number);
                self.flying.insert(key, (1 - from, packet));
            }
        }
        while let Some(event) = self.ends[from].poll() {
            match event {
                LinkEvent::Up(profile) => {
                    self.ups[from] += 1;
                    self.credit[from] = Some((0, profile.mtu));
                }
                LinkEvent::Changed(profile) => {
                    self.credit[from] = self.credit[from].map(|(frames, _)| (frames, profile.mtu));
                }
                LinkEvent::Ready(more) => {
                    self.credit[from] = self.credit[from].map(|(frames, mtu)| (frames + more, mtu));
                }
                LinkEvent::Down(_) => self.credit[from] = None,
                LinkEvent::Received { frame, .. } => {
                    let number = u64::from_le_bytes(frame[..8].try_into().unwrap());
                    assert!(frame[8..].iter().all(|byte| *byte == number as u8));
                    self.received[from].push(number);
                }
            }
        }
    }

    /// Sends up to so many frames from one end as it gets credit, for so long at most. Their numbers begin at `first`.
    fn send(&mut self, from: usize, first: u64, frames: u64, limit: Nanos) -> u64 {
        let until = self.now + limit;
        let mut sent = 0;
        while sent < frames && self.now < until {
            if let Some((credit, mtu)) = &mut self.credit[from]
                && *credit > 0
            {
                *credit -= 1;
                let number = first + sent;
                let mut frame = vec![number as u8; *mtu];
                frame[..8].copy_from_slice(&number.to_le_bytes());
                self.ends[from].send(frame.into(), 0);
                sent += 1;
            } else {
                self.run_until(self.now + SECOND / 1000);
            }
        }
        sent
    }
}

/// Guards the adapter: over a line that loses a fifth the ends find each other; whole frames of the size that was told
/// pass both ways, each at most once and about as many as the line lets through; and all of that again after the dialling
/// end has lost its memory.
#[test]
fn frames_pass_both_ways_over_a_lossy_line_and_again_after_a_restart() {
    for seed in 1..6 {
        let clock = Clock::new();
        let ends = [end(Side::Dials, clock, 0), end(Side::Listens, clock, 0)];
        let mut pair = Pair::new(clock, ends, 20, seed);
        for life in 1..=2 {
            pair.run_until(pair.now + 60 * SECOND);
            assert_eq!(pair.ups.map(|ups| ups >= life), [true; 2], "seed {seed}");
            for from in 0..2 {
                pair.received[1 - from].clear();
                let sent = pair.send(from, 1000 * life as u64, 400, 120 * SECOND);
                assert_eq!(sent, 400, "seed {seed}, from {from}");
                pair.run_until(pair.now + 2 * SECOND);
                let got = &pair.received[1 - from];
                let once: BTreeSet<&u64> = got.iter().collect();
                assert_eq!(once.len(), got.len(), "seed {seed}: a frame came twice");
                assert!(
                    (270..380).contains(&got.len()),
                    "seed {seed}: {} of 400",
                    got.len()
                );
            }
            pair.ends[0] = end(Side::Dials, clock, pair.now);
            pair.credit[0] = None;
        }
    }
}

/// Guards that who is lost at first is not lost for long: attempts run beside each other, where the timers of one alone would
/// leave it silent from the third second to the sixth. One of them is the link at both ends.
#[test]
fn a_line_that_was_dead_at_first_is_found_by_an_attempt_that_began_later() {
    let clock = Clock::new();
    let ends = [end(Side::Dials, clock, 0), end(Side::Listens, clock, 0)];
    let mut pair = Pair::new(clock, ends, 100, 1);
    pair.run_until(3 * SECOND + SECOND / 10);
    pair.loss_percent = 0;
    pair.run_until(4 * SECOND + SECOND / 2);
    assert_eq!(pair.ups, [1, 1]);
    pair.run_until(60 * SECOND);
    assert!(pair.ups == [1, 1] && pair.credit.iter().all(Option::is_some));
}

/// Guards what `start = "warm"` promises: both ends are up before anything was sent, with the round-trip time of the line
/// and the path MTU, which is that of a full frame or the least there is; and what they have to tell of it is all that they
/// have to tell.
#[test]
fn acquainted_ends_begin_with_a_connection() {
    let clock = Clock::new();
    for (mtu, most) in [(1472, 1412), (1300, 1200)] {
        let meeting = Meeting {
            delays: [Duration::from_nanos(DELAY); 2],
            mtu,
        };
        let before = clock.earlier(meeting.lead());
        let mut ends = [end(Side::Dials, before, 0), end(Side::Listens, before, 0)];
        let [first, second] = &mut ends;
        meeting.hold(&mut [first, second], before);
        for end in &mut ends {
            let (mut mtu, mut rtt) = (0, Duration::ZERO);
            while let Some(event) = end.poll() {
                match event {
                    LinkEvent::Up(told) | LinkEvent::Changed(told) => {
                        (mtu, rtt) = (told.mtu, told.rtt.unwrap());
                    }
                    LinkEvent::Ready(frames) => assert!(frames > 0),
                    other => panic!("{other:?}"),
                }
            }
            // A datagram has at most 40 bytes around it.
            assert!((most - 40..most).contains(&mtu), "{mtu} of {most}");
            assert!(rtt.abs_diff(Duration::from_nanos(2 * DELAY)) < Duration::from_millis(10));
        }
    }
}
