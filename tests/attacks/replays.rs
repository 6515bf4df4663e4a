//! Genuine frames, again.

use crate::harness::*;
use crate::world::{MS, SECOND, Spec, World};
use ostrakon::engine::io::Table;
use ostrakon::engine::message::Priority;

/// What the disk of B holds, in bytes.
fn stored(world: &World, table: Option<Table>) -> usize {
    let restored = world.nodes[B].disk.restored();
    let rows = restored
        .rows
        .iter()
        .filter(|(t, ..)| table.is_none_or(|table| table == *t));
    let rows: usize = rows.map(|(_, key, value)| key.len() + value.len()).sum();
    rows + restored.journal.iter().map(Vec::len).sum::<usize>()
}

/// Guards that a million replays, by several links and through restarts, deliver nothing again and take no disk.
#[test]
fn attack_04_a_million_replays() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.link(A, B, &Spec::default());
        world.nodes[A].keep_sent = true;
        let parts = [
            ("note", vec![b'x'; 100], Priority::Urgent),
            ("map", world.bytes(60_000), Priority::Normal),
        ];
        let id = world.send(A, B, &parts);
        let end = world.now + 30 * SECOND;
        assert!(world.run_until(end, |w| w.confirmed(A, id)));
        world.nodes[A].keep_sent = false;
        let frames = std::mem::take(&mut world.nodes[A].sent);
        pass(&mut world, 10 * SECOND);
        // Nothing new comes from now on.
        world.kill(A, false);
        let before = stored(&world, None);
        for round in 0u64..1000 {
            if round % 250 == 249 {
                world.kill(B, round % 500 == 499);
                world.start(B);
            }
            for _ in 0..1000 {
                let pick = world.below(frames.len() as u64) as usize;
                let link = world.below(4) as u32;
                give_by(&mut world, B, link, &frames[pick]);
            }
            pass(&mut world, 50 * MS);
        }
        pass(&mut world, 10 * SECOND);
        assert_eq!(world.nodes[B].inbox_writes, 3, "delivered again");
        assert_eq!(stored(&world, None), before, "bytes on the disk");
        assert!(world.status(B).inbound.is_empty());
    });
}

/// Guards that what belongs to an epoch whose key is gone does not open any more, although the message itself has long
/// been forgotten; and that keys of old epochs do not pile up on the disk.
#[test]
fn attack_05_replay_after_its_epoch_was_erased() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.limits.ledger = 4;
        world.kill(B, false);
        world.start(B);
        let mut peer = Peer::announced(&mut world, M, B);
        let old = peer.short(&text(0, "old"));
        give(&mut world, B, &old);
        pass(&mut world, SECOND);
        let mut rows = Vec::new();
        for epoch in 1..40 {
            peer.session.advance();
            give(&mut world, B, &peer.short(&text(epoch, "new")));
            pass(&mut world, SECOND);
            rows.push(stored(&world, Some(Table::Session)));
        }
        assert_eq!(world.nodes[B].inbox_writes, 40 * 2);
        assert_eq!(rows[20], rows[38], "keys of 21 and of 39 epochs");
        for restart in [false, true] {
            if restart {
                world.kill(B, true);
                world.start(B);
            }
            let unexplained = dropped(&world, B, "fragment of an unknown session");
            give(&mut world, B, &old);
            give(&mut world, B, &peer.session.preamble(&peer.me));
            give(&mut world, B, &old);
            pass(&mut world, SECOND);
            assert_eq!(world.nodes[B].inbox_writes, 40 * 2, "delivered again");
            let now = dropped(&world, B, "fragment of an unknown session");
            assert_eq!(now, unexplained + 2);
        }
    });
}

/// Guards that messages of a session which gave way to newer ones stay out, although its announcement opens it again.
#[test]
fn attack_05_replay_after_its_session_gave_way() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let peer = Peer::announced(&mut world, M, B);
        let old = peer.short(&text(0, "old"));
        give(&mut world, B, &old);
        pass(&mut world, SECOND);
        let newer = world.limits.sessions_per_endpoint;
        for n in 0..newer {
            let peer = Peer::announced(&mut world, M, B);
            give(&mut world, B, &peer.short(&text(n as u8 + 1, "new")));
            pass(&mut world, SECOND);
        }
        let delivered = world.nodes[B].inbox_writes;
        assert_eq!(delivered as usize, 2 * (1 + newer));
        for restart in [false, true] {
            if restart {
                world.kill(B, true);
                world.start(B);
            }
            give(&mut world, B, &old);
            give(&mut world, B, &peer.session.preamble(&peer.me));
            give(&mut world, B, &old);
            pass(&mut world, SECOND);
            assert_eq!(occupancy(&world, B).sessions, newer);
            assert_eq!(world.nodes[B].inbox_writes, delivered, "delivered again");
        }
    });
}
