//! Invitations used by those, or as often, as they were not meant for. B knows nobody; A has an invitation of B, and M lies.

use crate::harness::*;
use crate::world::{MS, SECOND, Spec, World};
use ostrakon::engine::id::MessageId;
use ostrakon::engine::io::{Event, Input};
use ostrakon::engine::message::Priority;
use ostrakon::engine::trust::Level;
use ostrakon::security::identity::Identity;
use ostrakon::security::invitation::Ticket;
use ostrakon::security::kdf::Key;
use ostrakon::security::session::SendSession;

const DAY: u32 = 24 * 3600;

/// A world in which B knows nobody and strangers are not let in.
fn world(seed: u64) -> World {
    let mut world = World::new(seed, &NAMES);
    world.unknown = [(B, A), (B, M)].into();
    world.kill(B, false);
    world.start(B);
    world
}

fn ticket(id: u8) -> Ticket {
    Ticket {
        id: [id; 8],
        secret: Key::new([id ^ 0x5a; 32]),
    }
}

/// B makes an invitation, which is durable.
fn invite(world: &mut World, id: u8, seconds: u32) -> Ticket {
    let ticket = ticket(id);
    let (id, secret) = (ticket.id, ticket.secret.clone());
    world.input(
        B,
        Input::Invite {
            id,
            secret,
            seconds,
        },
    );
    pass(world, SECOND);
    assert!(world.nodes[B].events.contains(&Event::Invited { id }));
    ticket
}

/// A takes an invitation of B in, and sends its card and a text.
fn use_up(world: &mut World, ticket: Ticket) -> MessageId {
    let b = world.person(B);
    world.input(A, Input::Ticket(b, ticket));
    let card = own_card(world, A);
    send_card(world, A, B, &card);
    world.send(A, B, &[("", b"it is me".to_vec(), Priority::Urgent)])
}

/// A contact who seals what he likes, in a session by an invitation.
fn peer(world: &mut World, me: Identity, ticket: &Ticket) -> Peer {
    let card = own_card(world, B);
    let session = SendSession::open_by(&me, &card, Some(ticket), &mut world.rng).unwrap();
    Peer::of(me, session, card.person())
}

/// Guards what an invitation is for: somebody unknown is let in with what he wrote, also through a power cut in between and
/// over a link that loses, and as nobody more than invited.
#[test]
fn attack_28_who_is_invited_gets_in_and_nobody_else() {
    seeds(0..4, |seed| {
        let mut world = world(seed);
        let ticket = invite(&mut world, 1, DAY);
        let spec = Spec {
            loss: 0.2,
            ..Spec::default()
        };
        world.link(A, B, &spec);
        let id = use_up(&mut world, ticket);
        if seed % 2 == 1 {
            pass(&mut world, 60 * MS + seed * 13 * MS);
            world.kill(B, true);
            world.start(B);
        }
        let end = world.now + 60 * SECOND;
        assert!(world.run_until(end, |world| world.delivered(B, id)
            && world.confirmed(A, id)));
        assert!(world.content(B, id, 1).unwrap() == b"it is me");
        let a = world.person(A);
        assert_eq!(world.met[&(B, a)].0.level, Level::Invited);
        let b = world.person(B);
        let done = Event::TicketDone { person: b };
        assert!(world.nodes[A].events.contains(&done));
        // It goes on as with any contact, and in the other direction.
        let back = world.send(B, A, &[("", b"welcome".to_vec(), Priority::Urgent)]);
        let end = world.now + 60 * SECOND;
        assert!(world.run_until(end, |world| world.delivered(A, back)));
    });
}

/// Guards that an invitation is good once: not for another person, not for the same one again, not through a restart, not
/// when it was taken back or its time is over.
#[test]
fn attack_28_an_invitation_used_too_often() {
    seeds(0..1, |seed| {
        let mut world = world(seed);
        let used = invite(&mut world, 1, DAY);
        let first = world.identity(A);
        let genuine = peer(&mut world, first, &used);
        announce(&mut world, &genuine);
        assert_eq!(occupancy(&world, B).sessions, 1);
        for restart in [false, true] {
            if restart {
                world.kill(B, true);
                world.start(B);
            }
            let (a, m) = (world.identity(A), world.identity(M));
            for me in [a, m] {
                let again = peer(&mut world, me, &used);
                announce(&mut world, &again);
            }
            assert_eq!(occupancy(&world, B).sessions, 1, "used again");
            // The session that came of it goes on, and is announced as often as need be.
            announce(&mut world, &genuine);
            assert_eq!(occupancy(&world, B).sessions, 1);
            assert_eq!(dropped(&world, B, "invitation that was used"), 2);
        }
        let card = own_card(&world, A);
        assert!(speak(&mut world, &genuine, &card, 1));

        let revoked = invite(&mut world, 2, DAY);
        world.input(B, Input::Uninvite(revoked.id));
        let over = invite(&mut world, 3, 100);
        pass(&mut world, 50 * SECOND);
        world.kill(B, false);
        world.start(B);
        pass(&mut world, 110 * SECOND);
        for (ticket, why) in [
            (revoked, "invitation that was revoked"),
            (over, "invitation that has run out"),
        ] {
            let me = world.identity(M);
            let late = peer(&mut world, me, &ticket);
            announce(&mut world, &late);
            assert_eq!(dropped(&world, B, why), 1);
        }
        assert_eq!(occupancy(&world, B).sessions, 1);
    });
}

/// Guards that an invitation lets in whom it was used by: no id without its secret, and nobody with the card of somebody
/// else or of another endpoint.
#[test]
fn attack_28_an_invitation_forged_or_for_the_card_of_somebody_else() {
    seeds(0..1, |seed| {
        let mut world = world(seed);
        let good = invite(&mut world, 1, DAY);
        let wrong = Ticket {
            secret: Key::new([0; 32]),
            ..good.clone()
        };
        for forged in [&wrong, &ticket(9)] {
            let me = world.identity(M);
            let forged = peer(&mut world, me, forged);
            announce(&mut world, &forged);
        }
        assert_eq!(dropped(&world, B, "preamble that does not open"), 1);
        assert_eq!(dropped(&world, B, "invitation that is not known"), 1);
        assert_eq!(occupancy(&world, B).sessions, 0);

        // M has the invitation and says that he is A, whose card he has as well.
        let mut keys = world.identity(M).encode().to_vec();
        keys[5..37].copy_from_slice(&world.identity(A).encode()[5..37]);
        let liar = Identity::decode(&keys).unwrap();
        let card = own_card(&world, A);
        assert_eq!(liar.person(), card.person());
        let liar = peer(&mut world, liar, &good);
        announce(&mut world, &liar);
        assert_eq!(occupancy(&world, B).sessions, 1, "he has the secret");
        assert!(!speak(&mut world, &liar, &card, 1));
        let other = own_card(&world, M);
        assert!(!speak(&mut world, &liar, &other, 2));
        assert_eq!(dropped(&world, B, "card of another person"), 2);
        assert_eq!(
            dropped(&world, B, "message of a stranger before its card"),
            2
        );
        assert!(world.met.is_empty());
        assert!(world.nodes[B].inbox.is_empty());
        // Nor has he got A in, who writes as a stranger later.
        world.input(B, Input::Strangers(true));
        let (me, to) = (world.identity(A), own_card(&world, B));
        let session = SendSession::open(&me, &to, &mut world.rng).unwrap();
        let stranger = Peer::of(me, session, to.person());
        announce(&mut world, &stranger);
        assert!(!speak(&mut world, &stranger, &card, 3));
        assert_eq!(world.met[&(B, card.person())].0.level, Level::Unknown);
    });
}
