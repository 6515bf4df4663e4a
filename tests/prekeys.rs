//! Prekeys go on with uptime: what was recorded closes for thieves, and nobody is cut off.
//!
//! Every test says its seed when it fails; run it again with `OSTRAKON_SEED=N cargo test --test prekeys NAME`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, reason = "the world is shared with other tests")]

#[path = "sim/store.rs"]
mod store;
#[path = "sim/thief.rs"]
mod thief;
#[path = "sim/world.rs"]
mod world;

use bytes::Bytes;
use ostrakon::engine::id::MessageId;
use ostrakon::engine::io::{Batch, Event, Input, Record, Token};
use ostrakon::engine::message::Priority;
use ostrakon::engine::opened_by_others;
use std::time::Duration;
use world::{SECOND, Spec, World, seeds};

const DAY: u64 = 24 * 3600 * SECOND;
/// Rotations after which the prekey that a card named last is erased.
const ERASED: u32 = 4;

/// The inbox prekeys of a node go on, as they do with uptime.
fn rotate(world: &mut World, node: usize, times: u32) {
    let mut identity = world.identity(node);
    (0..times).for_each(|_| identity.prekeys.advance());
    world.nodes[node].keys = identity.encode().to_vec();
    world.input(node, Input::Prekeys(Box::new(identity.prekeys.clone())));
}

/// The file of a message to the second node is there as it was sent.
fn arrived(world: &World, id: MessageId, file: &[u8]) {
    let content = world.content(1, id, 1).unwrap();
    assert!(content == file, "other bytes arrived");
}

/// The same, and nothing was handed over twice.
fn arrived_once(world: &World, id: MessageId, file: &[u8]) {
    arrived(world, id, file);
    assert!(world.nodes[1].inbox.values().all(|times| *times == 1));
}

/// Somebody gets the newest card of somebody else.
fn give_card(world: &mut World, of: usize, to: usize) {
    let card = world.identity(of).card("newest", 2, vec![]);
    world.input(to, Input::Card(Box::new(card)));
}

/// Who has stolen the keys and the sessions of a node: does what was recorded open to him, by the sessions or by the
/// prekeys? That it was delivered before does not matter to him, so he forgets the ledger.
fn opens(world: &World, node: usize, of: usize, recorded: &[Bytes]) -> bool {
    [world.session_rows(node), Vec::new()]
        .into_iter()
        .any(|rows| world.opens(&world.nodes[node].keys, of, rows, recorded))
}

/// Attack 25: a device is seized, and the thief holds a recording of everything that was ever sent to it.
#[test]
fn attack_25_a_seized_device_opens_nothing_of_erased_prekeys_and_epochs() {
    seeds(0..3, |seed| {
        let mut world = World::new(seed, &["a", "b"]);
        world.link(0, 1, &Spec::default());
        world.nodes[0].keep_sent = true;
        let id = world.send(
            0,
            1,
            &[("", b"where the wounded are".to_vec(), Priority::Normal)],
        );
        let until = world.now + 60 * SECOND;
        assert!(world.run_until(until, |w| w.confirmed(0, id)));
        let recorded = std::mem::take(&mut world.nodes[0].sent);
        assert!(
            opens(&world, 1, 0, &recorded),
            "at once it is open to the thief"
        );
        for day in 0..20 {
            let id = world.send(0, 1, &[("", vec![day], Priority::Normal)]);
            let until = world.now + DAY;
            assert!(world.run_until(until, |w| w.confirmed(0, id)));
            world.at(until, |_| {});
            world.run_until(until, |_| false);
        }
        assert!(
            opens(&world, 1, 0, &recorded),
            "by the prekey, which is there"
        );
        rotate(&mut world, 1, ERASED);
        assert!(!opens(&world, 1, 0, &recorded));
        let later = std::mem::take(&mut world.nodes[0].sent);
        assert!(opens(&world, 1, 0, &later), "the last days are open to him");
    });
}

/// A card that lay in a drawer for longer than prekeys live: its owner is told, and what waits is sealed anew.
#[test]
fn what_was_sealed_to_an_erased_prekey_arrives_once_the_new_card_is_there() {
    seeds(0..5, |seed| {
        let mut world = World::new(seed, &["a", "b"]);
        let link = world.link(0, 1, &Spec::default());
        world.set_link(link, false);
        let file = world.bytes(300_000);
        let id = world.send(0, 1, &[("map", file.clone(), Priority::Normal)]);
        rotate(&mut world, 1, ERASED);
        world.set_link(link, true);
        let until = world.now + 300 * SECOND;
        let told = Event::CardOutdated {
            person: world.person(0),
        };
        assert!(world.run_until(until, |w| w.nodes[1].events.contains(&told)));
        let known = world.nodes[1].events.iter().filter(|e| **e == told).count();
        assert_eq!((known, world.delivered(1, id)), (1, false));
        give_card(&mut world, 1, 0);
        let until = world.now + 300 * SECOND;
        assert!(world.run_until(until, |w| w.confirmed(0, id)));
        arrived(&world, id, &file);
    });
}

/// The card of a recipient changes in the middle of a transfer, and its sender is killed soon after.
#[test]
fn a_new_session_in_the_middle_of_a_transfer_loses_nothing_and_delivers_once() {
    seeds(0..20, |seed| {
        let mut world = World::new(seed, &["a", "b"]);
        let spec = Spec {
            loss: 0.1,
            rtt: Duration::from_millis(600),
            ..Spec::default()
        };
        world.link(0, 1, &spec);
        let file = world.bytes(2_000_000);
        let id = world.send(0, 1, &[("map", file.clone(), Priority::Normal)]);
        let when = world.below(3 * SECOND);
        world.run_until(world.now + when, |_| false);
        rotate(&mut world, 1, 1);
        give_card(&mut world, 1, 0);
        let text = world.send(0, 1, &[("", b"after".to_vec(), Priority::Urgent)]);
        let when = world.below(SECOND);
        world.run_until(world.now + when, |_| false);
        world.kill(0, true);
        world.start(0);
        let until = world.now + 300 * SECOND;
        assert!(world.run_until(until, |w| w.confirmed(0, id) && w.confirmed(0, text)));
        arrived_once(&world, id, &file);
    });
}

/// The shared keys of a node are made anew, as its root does while it does not run.
fn renew(world: &mut World, node: usize) {
    world.kill(node, true);
    let me = world.identity(node);
    let mut root = me.root().unwrap();
    let keys = me.renewed(&mut root, &mut world.rng);
    world.nodes[node].keys = keys.encode().to_vec();
    let mut rows = world.session_rows(node);
    rows.retain(opened_by_others);
    let records = rows.into_iter();
    let records = records.map(|(table, key, _)| Record::Delete { table, key });
    let batch = Batch {
        token: Token(0),
        records: records.collect(),
        durable: true,
    };
    world.nodes[node].disk.apply(&batch).unwrap();
    world.start(node);
}

/// Guards that who has all that a device had, its endpoint's keys aside, reads nothing that is sealed after the root has renewed
/// the keys and the sender has the new card; and that what was under way arrives, once.
#[test]
fn attack_26_stolen_shared_keys_open_nothing_of_what_comes_after_their_renewal() {
    seeds(0..10, |seed| {
        let mut world = World::new(seed, &["a", "b"]);
        world.link(0, 1, &Spec::default());
        let file = world.bytes(2_000_000);
        let id = world.send(0, 1, &[("map", file.clone(), Priority::Normal)]);
        let when = world.below(3 * SECOND);
        world.run_until(world.now + when, |_| false);
        let (stolen, rows) = (world.nodes[1].keys.clone(), world.session_rows(1));
        renew(&mut world, 1);
        give_card(&mut world, 1, 0);
        world.nodes[0].keep_sent = true;
        let text = world.send(0, 1, &[("", b"after".to_vec(), Priority::Urgent)]);
        let until = world.now + 300 * SECOND;
        assert!(world.run_until(until, |w| w.confirmed(0, id) && w.confirmed(0, text)));
        arrived_once(&world, id, &file);
        let sent = std::mem::take(&mut world.nodes[0].sent);
        assert!(!world.opens(&stolen, 0, rows, &sent));
        assert!(opens(&world, 1, 0, &sent), "what is new opens to the owner");
    });
}
