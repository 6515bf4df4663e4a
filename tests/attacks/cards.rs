//! Contact cards that are old, or written otherwise than in their one way.

use crate::harness::*;
use crate::world::{SECOND, World};
use ostrakon::engine::io::{Input, Table};
use ostrakon::security::card::{Card, CardError};
use ostrakon::security::identity::Identity;
use ostrakon::security::session::SendSession;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// Delegation and signature of a card that a delegate has signed.
const TRAILER: usize = 100 + 64;

/// Guards that an older card never replaces a newer one, and that an endpoint which the newest card does not name any more
/// opens no session.
#[test]
fn attack_26_stale_card_and_revoked_endpoint() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let old = world.identity(M);
        let mut keys = old.encode().to_vec();
        keys[145..177].copy_from_slice(&world.bytes(32));
        let new = Identity::decode(&keys).unwrap();
        let (first, second) = (old.card("m", 1, vec![]), new.card("m", 2, vec![]));
        let stale = CardError::Stale { known: 2, got: 1 };
        assert_eq!(first.replaces(&second), Err(stale));
        assert_eq!(second.replaces(&first), Ok(()));
        world.input(B, Input::Card(Box::new(second)));
        let card = world.identity(B).card("b", 1, vec![]);
        for (identity, sessions, strangers) in [(&old, 0, 1), (&new, 1, 1)] {
            let session = SendSession::open(identity, &card, &mut world.rng).unwrap();
            give(&mut world, B, &session.preamble(identity));
            pass(&mut world, SECOND);
            assert_eq!(occupancy(&world, B).sessions, sessions);
            assert_eq!(dropped(&world, B, "preamble of a stranger"), strangers);
        }
    });
}

/// Guards that a session ends with the endpoint that has opened it: once the newest card does not name that any more, what is
/// sealed in the session is nobody's.
#[test]
fn attack_26_sessions_of_a_revoked_endpoint() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let peer = Peer::announced(&mut world, M, B);
        let (before, after) = (text(1, "before"), text(2, "after"));
        give(&mut world, B, &peer.short(&before));
        pass(&mut world, SECOND);
        assert!(world.delivered(B, peer.id(&before)));
        let mut keys = peer.me.encode().to_vec();
        keys[145..177].copy_from_slice(&world.bytes(32));
        let new = Identity::decode(&keys).unwrap();
        world.input(B, Input::Card(Box::new(new.card("m", 2, vec![]))));
        for frame in [peer.session.preamble(&peer.me).into(), peer.short(&after)] {
            give(&mut world, B, &frame);
            pass(&mut world, SECOND);
        }
        assert!(!world.delivered(B, peer.id(&after)));
        assert_eq!(occupancy(&world, B).sessions, 0);
        let rows = world.nodes[B].disk.restored().rows;
        assert!(
            !rows
                .iter()
                .any(|(table, key, _)| *table == Table::Session && key[0] == b'r')
        );
    });
}

/// Guards that no number helps whoever holds the root's former delegate, or the root's own former signature, once there
/// is a later one; and that nobody can be his own delegate's root.
#[test]
fn attack_26_what_a_former_delegate_signs_is_stale_whatever_its_number() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let me = Identity::generate(&mut rng);
    let mut root = me.root().unwrap();
    let first = me.without_root(&mut root, &mut rng);
    let second = first.renewed(&mut root, &mut rng);
    let cards = [
        me.card("Amina", u64::MAX, vec![]),
        first.card("Amina", u64::MAX, vec![]),
        second.card("Amina", 1, vec![]),
    ];
    assert_eq!(cards.each_ref().map(Card::number), [0, 1, 2]);
    for (older, newer) in [(0, 1), (0, 2), (1, 2)] {
        let [older, newer] = [&cards[older], &cards[newer]];
        assert_eq!(newer.replaces(older), Ok(()));
        assert_eq!(older.replaces(newer), Err(CardError::Replaced));
    }
    // A thief's own root does not make a delegate of somebody else.
    let mut forged = second.card("Amina", 2, vec![]).bytes().to_vec();
    let mut other = Identity::generate(&mut rng).root().unwrap();
    let thief = me.without_root(&mut other, &mut rng);
    let own = thief.card("Amina", 2, vec![]);
    forged.truncate(forged.len() - TRAILER);
    forged.extend_from_slice(&own.bytes()[own.bytes().len() - TRAILER..]);
    assert_eq!(Card::decode(&forged), Err(CardError::Signature));
}

/// Guards that a card has one encoding: none with longer integers, open lengths, keys named twice, things added or nested
/// without end is taken, although its owner has signed it.
#[test]
fn attack_36_non_canonical_or_nested_cbor() {
    seeds(0..1, |seed| {
        let world = World::new(seed, &NAMES);
        let stolen = Stolen::from(&world.identity(B));
        let card = world.identity(B).card("b", 1, vec![]);
        let plain = &card.bytes()[3..card.bytes().len() - 64];
        assert_eq!(Card::decode(&stolen.sign(plain)).as_ref(), Ok(&card));
        assert_eq!(plain[..2], [0x89, 1], "nine fields, the first is 1");
        let rest = &plain[2..];
        let refused: [Vec<u8>; 8] = [
            // The number 1 in two, three and nine bytes; an array without a length; a field more.
            [&[0x89, 0x18, 1], rest].concat(),
            [&[0x89, 0x19, 0, 1], rest].concat(),
            [&[0x89, 0x1b, 0, 0, 0, 0, 0, 0, 0, 1], rest].concat(),
            [&[0x9f, 1], rest, &[0xff]].concat(),
            [&[0x8a, 1], rest, &[0]].concat(),
            // Bytes behind the end; a map with one key twice; arrays in arrays.
            [plain, &[0]].concat(),
            [&[0xa9, 0, 1, 0], rest].concat(),
            [&[0x89, 1][..], &[0x81; 3000], &[0]].concat(),
        ];
        for (index, cbor) in refused.iter().enumerate() {
            let read = Card::decode(&stolen.sign(cbor));
            assert_eq!(read, Err(CardError::Encoding), "encoding {index}");
        }
        let nested = [&[0x9f; 4000][..], &[0x9f]].concat();
        assert_eq!(
            Card::decode(&stolen.sign(&nested[..4000])),
            Err(CardError::Encoding)
        );
    });
}
