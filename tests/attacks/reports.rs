//! What a node can be made to say, and what it can be made to believe.

use crate::harness::*;
use crate::world::{MS, SECOND, Spec, World};
use bytes::Bytes;
use ostrakon::engine::id::MessageId;
use ostrakon::engine::message::Priority;
use ostrakon::wire::manifest::{CANCEL, REPORT, SESSION_ACK};
use ostrakon::wire::report::{Header, Writer};

/// What B sends while it is given a message in part, and forgeries or none besides.
fn answers(seed: u64, forge: bool) -> Vec<Bytes> {
    let mut world = World::new(seed, &NAMES);
    let file = world.bytes(100_000);
    let (_, frames) = recorded(&mut world, &[&[("map", file, Priority::Normal)]]);
    world.nodes[B].keep_sent = true;
    for frame in frames.iter().take(30) {
        give(&mut world, B, frame);
        pass(&mut world, 40 * MS);
    }
    pass(&mut world, 5 * SECOND);
    assert_eq!(world.status(B).inbound.len(), 1);
    for frame in frames.iter().take(60) {
        let mut forged = frame.to_vec();
        let end = forged.len() - 1;
        // The kind and the label stay, so that it is looked at as what it claims to be.
        for at in [10, 12, end] {
            forged[at] ^= 1;
            if forge {
                give(&mut world, B, &forged);
            }
        }
        pass(&mut world, 200 * MS);
    }
    std::mem::take(&mut world.nodes[B].sent)
}

/// Guards that whether a forged frame came near a key or not shows in nothing that leaves: a node that is given forgeries
/// sends, at all times, the very bytes that it would have sent without.
#[test]
fn attack_22_partitioning_oracle_by_receipts() {
    seeds(0..2, |seed| {
        let silent = answers(seed, false);
        assert!(!silent.is_empty(), "reports of what did come");
        assert!(silent == answers(seed, true), "a forgery was answered");
    });
}

fn receipt(id: MessageId, complete: bool) -> Vec<u8> {
    let header = Header {
        complete,
        manifest: true,
        unwanted: !complete,
        message: id.0[..16].try_into().unwrap(),
        number: u32::MAX,
        ..Header::default()
    };
    Writer::new(&header, 200).finish()
}

/// Guards that a contact of the sender confirms or refuses nothing that was sent to somebody else, and shows no session
/// of others as known.
#[test]
fn attack_29_forged_receipt() {
    seeds(0..2, |seed| {
        let mut world = World::new(seed, &NAMES);
        let file = world.bytes(20_000);
        let (ids, _) = recorded(&mut world, &[&[("map", file.clone(), Priority::Normal)]]);
        let mut peer = Peer::announced(&mut world, M, A);
        for complete in [true, false] {
            let forged = peer.control(u8::from(complete), REPORT, &receipt(ids[0], complete));
            give(&mut world, A, &forged);
        }
        give(&mut world, A, &peer.control(3, CANCEL, &ids[0].0));
        give(&mut world, A, &peer.control(4, SESSION_ACK, &[0; 16]));
        // Bytes of no session, and of a session with somebody else.
        peer.session.advance();
        let other = Peer::new(&mut world, B, M);
        give(
            &mut world,
            A,
            &other.control(5, REPORT, &receipt(ids[0], true)),
        );
        assert_eq!(dropped(&world, A, "report of somebody else"), 2);
        assert_eq!(world.status(A).outbound.len(), 1, "it is still to be sent");
        assert!(!world.confirmed(A, ids[0]));
        world.set_link_silently(0, true);
        let end = world.now + 600 * SECOND;
        assert!(world.run_until(end, |w| w.confirmed(A, ids[0])));
        assert!(world.content(B, ids[0], 1) == Some(file));
    });
}

/// Guards that nobody calls off what somebody else sends: neither while it arrives nor beforehand, although he knows its
/// name.
#[test]
fn attack_29_forged_cancellation() {
    seeds(0..2, |seed| {
        for early in [true, false] {
            let mut world = World::new(seed, &NAMES);
            let file = world.bytes(20_000);
            let parts = [("map", file.clone(), Priority::Normal)];
            let (ids, frames) = recorded(&mut world, &[&parts]);
            let peer = Peer::announced(&mut world, M, B);
            if !early {
                for frame in frames.iter().take(4) {
                    give(&mut world, B, frame);
                }
                assert_eq!(world.status(B).inbound.len(), 1);
            }
            give(&mut world, B, &peer.control(1, CANCEL, &ids[0].0));
            pass(&mut world, SECOND);
            world.link(A, B, &Spec::default());
            let end = world.now + 600 * SECOND;
            let all = world.run_until(end, |w| w.confirmed(A, ids[0]));
            assert!(all, "called off by somebody else, early: {early}");
            assert!(world.content(B, ids[0], 1) == Some(file));
        }
    });
}

/// Guards that a contact who calls off messages that never were pushes none out of the ledger: what was delivered before is
/// not delivered again.
#[test]
fn attack_29_cancellations_of_messages_that_never_were() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        (
            world.limits.ledger,
            world.limits.unseen_cancellations_per_person,
        ) = (20, 5);
        world.kill(B, false);
        world.start(B);
        let (ids, frames) = recorded(&mut world, &[&[("", b"water".to_vec(), Priority::Urgent)]]);
        for frame in &frames {
            give(&mut world, B, frame);
        }
        pass(&mut world, SECOND);
        assert!(world.delivered(B, ids[0]));
        let peer = Peer::announced(&mut world, M, B);
        for salt in 0..100 {
            give(&mut world, B, &peer.control(salt, CANCEL, &[salt; 32]));
            pass(&mut world, SECOND);
        }
        assert_eq!(occupancy(&world, B).ledger, 6);
        let writes = world.nodes[B].inbox_writes;
        for frame in &frames {
            give(&mut world, B, frame);
        }
        pass(&mut world, SECOND);
        assert_eq!(world.nodes[B].inbox_writes, writes, "delivered again");
    });
}
