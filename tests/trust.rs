//! How far a person is trusted orders what it may have under way, and of a person who is blocked nothing is taken.
//!
//! Every test says its seed when it fails; run it again with `OSTRAKON_SEED=N cargo test --test trust NAME`.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    dead_code,
    reason = "the world and what attackers have are shared with other tests"
)]

#[path = "attacks/harness.rs"]
mod harness;
#[path = "sim/store.rs"]
mod store;
#[path = "sim/world.rs"]
mod world;

use bytes::Bytes;
use harness::*;
use ostrakon::engine::id::MessageId;
use ostrakon::engine::io::{Event, Input, SendError};
use ostrakon::engine::message::Priority;
use ostrakon::engine::trust::{Level, Standing};
use world::{MS, SECOND, Spec, World};

const BLOCKED: &str = "frame of a blocked person";

fn level(level: Level) -> Standing {
    Standing {
        level,
        blocked: false,
    }
}

fn blocked(blocked: bool) -> Standing {
    let level = Level::Verified;
    Standing { level, blocked }
}

/// A node stands otherwise to another one from now on, through restarts as well.
fn stand(world: &mut World, node: usize, other: usize, standing: Standing) {
    world.standings.insert((node, other), standing);
    let person = world.person(other);
    world.input(node, Input::Standing(person, standing));
}

fn files(world: &mut World, from: usize, count: usize) -> Vec<MessageId> {
    let file = |world: &mut World| {
        let file = world.bytes(100_000);
        world.send(from, B, &[("map", file, Priority::Normal)])
    };
    (0..count).map(|_| file(world)).collect()
}

/// What a stranger writes waits, also through a power cut, and its sender is told that it is here and not delivered. It comes
/// out when the user takes the stranger in; of one who is declined nothing stays.
#[test]
fn what_a_stranger_writes_waits_until_he_is_taken_in() {
    seeds(0..4, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.open = true;
        world.unknown = [(B, A), (B, M)].into();
        world.kill(B, false);
        world.start(B);
        let ids = [A, M].map(|node| {
            let spec = Spec {
                loss: 0.1,
                ..Spec::default()
            };
            world.link(node, B, &spec);
            let card = own_card(&world, node);
            send_card(&mut world, node, B, &card);
            world.send(node, B, &[("", b"may I?".to_vec(), Priority::Urgent)])
        });
        let [a, m] = [A, M].map(|node| world.person(node));
        let waits = |world: &World, who| {
            let engine = world.nodes[B].engine.as_ref();
            engine.map_or(0, |engine| engine.waiting_of(who).len())
        };
        let end = world.now + 60 * SECOND;
        assert!(world.run_until(end, |world| waits(world, a) + waits(world, m) == 2));
        if seed % 2 == 1 {
            pass(&mut world, SECOND);
            world.kill(B, true);
            world.start(B);
        }
        pass(&mut world, 60 * SECOND);
        assert_eq!((waits(&world, a), waits(&world, m)), (1, 1));
        assert!(!world.delivered(B, ids[0]) && !world.confirmed(A, ids[0]));
        for (who, standing) in [
            (a, level(Level::Known)),
            (
                m,
                Standing {
                    level: Level::Unknown,
                    blocked: true,
                },
            ),
        ] {
            world.met.get_mut(&(B, who)).unwrap().0 = standing;
            world.input(B, Input::Standing(who, standing));
        }
        let end = world.now + 60 * SECOND;
        assert!(world.run_until(end, |world| world.confirmed(A, ids[0])));
        assert!(world.delivered(B, ids[0]) && !world.delivered(B, ids[1]));
        assert_eq!(waits(&world, m), 0);
        // The sender of the one goes on as a contact, that of the other as if nobody was there.
        let more = world.send(A, B, &[("", b"thanks".to_vec(), Priority::Urgent)]);
        world.send(M, B, &[("", b"and I?".to_vec(), Priority::Urgent)]);
        pass(&mut world, 60 * SECOND);
        assert!(world.delivered(B, more));
        assert_eq!(world.status(B).inbound.len(), 0);
        assert_eq!(occupancy(&world, B).sessions, 1);
    });
}

/// Guards that who was declined, and is taken in by his card later on, is heard: his endpoint learns that the session which it
/// takes for known was thrown away, also if it loses power before it can say anything in it.
#[test]
fn who_was_declined_and_is_taken_in_is_heard() {
    seeds(0..4, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.open = true;
        world.unknown = [(B, M)].into();
        world.kill(B, false);
        world.start(B);
        let link = world.link(M, B, &Spec::default());
        let (m, card) = (world.person(M), own_card(&world, M));
        send_card(&mut world, M, B, &card);
        world.send(M, B, &[("", b"may I?".to_vec(), Priority::Urgent)]);
        pass(&mut world, 10 * SECOND);
        let declined = Standing {
            level: Level::Unknown,
            blocked: true,
        };
        for standing in [declined, level(Level::Known)] {
            world.met.get_mut(&(B, m)).unwrap().0 = standing;
            world.input(B, Input::Standing(m, standing));
        }
        world.set_link_silently(link, false);
        world.nodes[B].keep_sent = true;
        world.input(B, Input::Card(Box::new(card)));
        let message = world.send(B, M, &[("", b"come in".to_vec(), Priority::Urgent)]);
        pass(&mut world, 100 * MS);
        // All of it gets there, and no answer back.
        for frame in std::mem::take(&mut world.nodes[B].sent) {
            give(&mut world, M, &frame);
        }
        pass(&mut world, 2 * SECOND);
        assert!(world.delivered(M, message) && !world.confirmed(B, message));
        if seed % 2 == 1 {
            world.kill(M, true);
        }
        world.set_link_silently(link, true);
        if seed % 2 == 1 {
            world.start(M);
        }
        let end = world.now + 300 * SECOND;
        assert!(world.run_until(end, |world| world.confirmed(B, message)));
    });
}

/// An introduced person has half the room of a verified one, a known one a quarter. Who has met the bound keeps nobody else
/// back, and all comes in the end.
#[test]
fn levels_order_what_a_person_may_have_under_way() {
    seeds(0..2, |seed| {
        let mut world = World::new(seed, &["verified", "b", "introduced", "known"]);
        world.limits.inbox_bytes_per_person = 500_000;
        // Nothing is over before everything has been offered.
        world.sync = 2 * SECOND;
        world.kill(B, false);
        world.start(B);
        stand(&mut world, B, 2, level(Level::Introduced));
        stand(&mut world, B, 3, level(Level::Known));
        let senders = [0, 2, 3];
        for sender in senders {
            world.link(sender, B, &Spec::default());
        }
        let sent = senders.map(|sender| files(&mut world, sender, 5));
        let persons = senders.map(|sender| world.person(sender));
        let mut most = [0; 3];
        let end = world.now + 300 * SECOND;
        let all = world.run_until(end, |w| {
            let inbound = w.status(B).inbound;
            for (most, person) in most.iter_mut().zip(persons) {
                *most = (*most).max(inbound.iter().filter(|m| m.from == person).count());
            }
            sent.iter().flatten().all(|id| w.delivered(B, *id))
        });
        assert!(all, "{:?}", world.status(B).dropped);
        assert_eq!(most, [5, 2, 1], "messages at once");
    });
}

/// Who begins manifests without end fills its own places alone, and fewer of them the less it is trusted.
#[test]
fn levels_order_how_many_manifests_a_person_may_begin() {
    seeds(0..1, |seed| {
        for (standing, most) in [
            (Level::Known, 64),
            (Level::Introduced, 128),
            (Level::Verified, 256),
        ] {
            let mut world = World::new(seed, &NAMES);
            stand(&mut world, B, M, level(standing));
            let peer = Peer::announced(&mut world, M, B);
            for salt in 0..300_u16 {
                let name = format!("{salt:0>400}");
                let manifest = text(salt as u8, &name);
                let chunks = peer.chunks(&peer.keys(&manifest), &manifest.encode());
                give(&mut world, B, &chunks[0]);
            }
            assert_eq!(occupancy(&world, B).manifests, most);
            let other = Peer::announced(&mut world, A, B);
            let manifest = text(1, &"x".repeat(400));
            for chunk in other.chunks(&other.keys(&manifest), &manifest.encode()) {
                give(&mut world, B, &chunk);
            }
            pass(&mut world, SECOND);
            assert!(world.delivered(B, other.id(&manifest)));
        }
    });
}

/// What is arriving ends, nothing is taken and nothing leaves, through a restart as well. Once the person is let in again it
/// learns what has ended, and everything else comes, in both directions.
#[test]
fn nothing_is_taken_of_a_blocked_person_and_nothing_is_sent_to_it() {
    seeds(0..3, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.link(A, B, &Spec::default());
        let file = world.bytes(3_000_000);
        let to_b = world.send(A, B, &[("map", file.clone(), Priority::Normal)]);
        let arriving = |w: &World| !w.status(B).inbound.is_empty();
        let end = world.now + 20 * SECOND;
        assert!(world.run_until(end, arriving));
        pass(&mut world, 500 * MS);
        let to_a = world.send(B, A, &[("map", file.clone(), Priority::Normal)]);
        pass(&mut world, 200 * MS);
        assert!(arriving(&world) && !world.delivered(B, to_b));
        stand(&mut world, B, A, blocked(true));
        assert!(world.status(B).inbound.is_empty());
        let later = world.send(A, B, &[("map", file.clone(), Priority::Normal)]);
        for restart in [false, true] {
            if restart {
                world.kill(B, true);
                world.start(B);
            }
            world.nodes[B].keep_sent = true;
            world.nodes[B].sent.clear();
            pass(&mut world, 30 * SECOND);
            assert_eq!(world.nodes[B].sent, Vec::<Bytes>::new());
            assert!(dropped(&world, B, BLOCKED) > 0);
            assert!(world.status(B).inbound.is_empty());
            assert_eq!(occupancy(&world, B).manifests, 0);
        }
        let text = |world: &mut World| {
            world.send(B, A, &[("", b"water".to_vec(), Priority::Urgent)]);
            world.nodes[B].events.pop().unwrap()
        };
        let refused = Event::Refused {
            request: 1,
            why: SendError::Blocked,
        };
        assert_eq!(text(&mut world), refused);
        let given_up = Event::Expired {
            message: to_b,
            person: world.person(B),
        };
        assert!(!world.nodes[A].events.contains(&given_up));
        assert!(!world.delivered(B, later) && !world.confirmed(B, to_a));
        stand(&mut world, B, A, blocked(false));
        let end = world.now + 600 * SECOND;
        let over = |w: &World| w.confirmed(A, later) && w.confirmed(B, to_a);
        assert!(world.run_until(end, over));
        assert!(world.nodes[A].events.contains(&given_up));
        assert!(!world.delivered(B, to_b));
        assert!(world.content(B, later, 1).unwrap() == file);
        assert!(world.content(A, to_a, 1).unwrap() == file);
    });
}

/// A blocked person opens no session and gets no receipt, neither for what was delivered before nor for what it calls off.
#[test]
fn a_blocked_person_gets_no_answer() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.link(M, B, &Spec::default());
        let peer = Peer::announced(&mut world, M, B);
        let before = text(1, "before");
        give(&mut world, B, &peer.short(&before));
        pass(&mut world, SECOND);
        assert!(world.delivered(B, peer.id(&before)));
        pass(&mut world, 60 * SECOND);
        stand(&mut world, B, M, blocked(true));
        world.nodes[B].keep_sent = true;
        let second = Peer::new(&mut world, M, B);
        let sessions = occupancy(&world, B).sessions;
        let after = text(2, "after");
        let called_off = peer.id(&text(3, "never"));
        for frame in [
            Bytes::from(peer.session.preamble(&peer.me)),
            second.session.preamble(&second.me).into(),
            peer.short(&before),
            peer.short(&after),
            peer.control(4, "application/vnd.ostrakon.cancel", &called_off.0),
        ] {
            give(&mut world, B, &frame);
            pass(&mut world, 10 * SECOND);
        }
        assert_eq!(world.nodes[B].sent, Vec::<Bytes>::new());
        assert_eq!(occupancy(&world, B).sessions, sessions);
        assert_eq!(dropped(&world, B, BLOCKED), 4, "all but the late copy");
        assert!(!world.delivered(B, peer.id(&after)));
        stand(&mut world, B, M, blocked(false));
        give(&mut world, B, &peer.short(&after));
        pass(&mut world, SECOND);
        assert!(world.delivered(B, peer.id(&after)));
        assert!(!world.nodes[B].sent.is_empty());
    });
}

/// Guards that a message which is larger than our card allows costs us a line in the ledger and no more, that its sender is told,
/// and that others come.
#[test]
fn what_is_larger_than_our_card_allows_is_not_begun_and_its_sender_is_told() {
    seeds(0..4, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.input(B, Input::Largest(Some(200_000)));
        world.link(A, B, &Spec::default());
        let (large, small) = (world.bytes(200_001), world.bytes(200_000));
        let large = world.send(A, B, &[("film", large, Priority::Normal)]);
        let small = world.send(A, B, &[("map", small, Priority::Normal)]);
        let told = Event::Expired {
            message: large,
            person: world.person(B),
        };
        let end = world.now + 60 * SECOND;
        assert!(world.run_until(end, |w| {
            w.confirmed(A, small) && w.nodes[A].events.contains(&told)
        }));
        assert_eq!(dropped(&world, B, "message larger than our card allows"), 1);
        assert!(!world.delivered(B, large) && world.delivered(B, small));
        let begun =
            |event: &Event| matches!(event, Event::Arriving { message, .. } if *message == large);
        assert!(!world.nodes[B].events.iter().any(begun));
    });
}
