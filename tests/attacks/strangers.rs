//! Strangers in any number, at a node that lets them in: what they cost is bounded, and contacts go on. B knows A and not M.

use crate::harness::*;
use crate::manifests::coded;
use crate::world::{MS, SECOND, Spec, World};
use ostrakon::engine::message::Priority;
use ostrakon::security::card::{Card, MEDIA_TYPE};
use ostrakon::security::identity::Identity;
use ostrakon::security::session::SendSession;

const MINUTE: u64 = 60 * SECOND;
/// The link of the strangers.
const BY: u32 = 7;

/// A world in which B lets strangers in and knows A alone.
fn world(seed: u64) -> World {
    let mut world = World::new(seed, &NAMES);
    world.open = true;
    world.unknown = [(B, M)].into();
    world.kill(B, false);
    world.start(B);
    world
}

/// Somebody new, with his card.
fn somebody(world: &mut World) -> (Peer, Card) {
    let me = Identity::generate(&mut world.rng);
    let card = me.card("somebody", 1, vec![]);
    let to = own_card(world, B);
    let session = SendSession::open(&me, &to, &mut world.rng).unwrap();
    (Peer::of(me, session, to.person()), card)
}

fn say(world: &mut World, peer: &Peer, manifest: &ostrakon::wire::manifest::Manifest) {
    for chunk in peer.chunks(&peer.keys(manifest), &manifest.encode()) {
        give_by(world, B, BY, &chunk);
    }
    pass(world, 100 * MS);
}

/// A contact sends something, and it comes.
fn contact_goes_on(world: &mut World) {
    let id = world.send(A, B, &[("", b"water".to_vec(), Priority::Urgent)]);
    let end = world.now + MINUTE;
    assert!(world.run_until(end, |w| w.delivered(B, id) && w.confirmed(A, id)));
}

/// Guards that what strangers have us keep is bounded in number and in bytes, waits without being delivered, and holds no
/// contact up; and that they begin no files.
#[test]
fn attack_08_strangers_fill_their_places_and_no_more() {
    seeds(0..1, |seed| {
        let mut world = world(seed);
        world.link(A, B, &Spec::default());
        let (places, each) = (world.limits.strangers, world.limits.stranger_messages);
        let mut full = 0;
        for round in 0..3 * places {
            let (peer, card) = somebody(&mut world);
            give_by(&mut world, B, BY, &peer.session.preamble(&peer.me));
            say(&mut world, &peer, &single(0, MEDIA_TYPE, card.bytes()));
            for salt in 1..=2 * each as u8 {
                say(&mut world, &peer, &text(salt, &"x".repeat(200)));
            }
            say(&mut world, &peer, &coded(99, 10_000, [7; 32]));
            pass(&mut world, MINUTE);
            let now = occupancy(&world, B);
            assert!(now.inbox_messages <= places * each, "{now:?}");
            let rows = world.nodes[B].disk.restored().rows.len();
            match round {
                round if round + 1 == places => full = rows,
                round if round >= places => assert!(rows <= full + 2, "{rows} after {full}"),
                _ => {}
            }
        }
        assert_eq!(occupancy(&world, B).inbox_messages, places * each);
        assert_eq!(world.met.len(), places);
        assert!(dropped(&world, B, "file of a stranger") > 0);
        assert!(dropped(&world, B, "too many strangers") > 0);
        // Cards came out and nothing else, also after a restart.
        world.kill(B, true);
        world.start(B);
        contact_goes_on(&mut world);
        let whole = world.nodes[B].inbox.keys().filter(|(_, part)| *part == 0);
        assert_eq!(whole.count(), places + 1);
        assert_eq!(occupancy(&world, B).inbox_messages, places * each);
    });
}

/// Guards that however many strangers announce themselves, only so many a minute are agreed with, by whatever links they
/// come, and that sessions of those who say no more do not pile up.
#[test]
fn attack_09_a_flood_of_strangers() {
    seeds(0..1, |seed| {
        let mut world = world(seed);
        world.link(A, B, &Spec::default());
        let most = world.limits.stranger_sessions_per_minute as u64;
        let mut announced = 0;
        for _ in 0..60 {
            for link in [BY, BY + 1] {
                let (peer, _) = somebody(&mut world);
                give_by(&mut world, B, link, &peer.session.preamble(&peer.me));
                announced += 1;
            }
            pass(&mut world, SECOND);
            let sessions = occupancy(&world, B).sessions;
            assert!(sessions <= world.limits.stranger_sessions + 1);
        }
        let refused = dropped(&world, B, "too many strangers");
        assert!(
            announced - refused <= 2 * most,
            "{refused} of {announced} were refused"
        );
        contact_goes_on(&mut world);
    });
}

/// Guards that nobody speaks before his card, or with the card of somebody else, and that where strangers are not let in
/// nothing begins.
#[test]
fn attack_09_strangers_where_none_are_let_in() {
    seeds(0..1, |seed| {
        let mut world = world(seed);
        let (peer, card) = somebody(&mut world);
        let (_, other) = somebody(&mut world);
        announce(&mut world, &peer);
        assert!(!speak(&mut world, &peer, &other, 1));
        assert_eq!(dropped(&world, B, "card of another person"), 1);
        assert_eq!(
            dropped(&world, B, "message of a stranger before its card"),
            1
        );
        assert_eq!(occupancy(&world, B).inbox_messages, 0);
        assert!(!speak(&mut world, &peer, &card, 2), "it waits");
        let both = occupancy(&world, B).inbox_messages;
        assert_eq!(both, 2, "what came ahead of the card waits as well");
        world.open = false;
        world.kill(B, false);
        world.start(B);
        let (late, _) = somebody(&mut world);
        announce(&mut world, &late);
        assert_eq!(dropped(&world, B, "preamble of a stranger"), 1);
        assert_eq!(occupancy(&world, B).sessions, 1);
    });
}
