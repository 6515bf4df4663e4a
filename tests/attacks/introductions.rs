//! Introductions by a contact who lies, and introductions used otherwise than they were meant. A contact's introductions
//! reach the recipient as sealed messages, so they are given here as those of their sender.

use crate::harness::*;
use crate::world::World;
use ostrakon::engine::id::PersonId;
use ostrakon::security::card::{Card, CardError};
use ostrakon::security::identity::{Identity, safety_number};
use ostrakon::security::introduction::{Introduction, IntroductionError, Terms};
use ostrakon::security::introductions::Introductions;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::BTreeMap;
use std::time::Duration;

const HOUR: u32 = 3600;

/// Who is introduced to: contacts, and introductions that wait.
struct Recipient {
    me: PersonId,
    contacts: BTreeMap<PersonId, Card>,
    book: Introductions,
}

impl Recipient {
    fn new(me: &Identity) -> Self {
        Self {
            me: me.person(),
            contacts: BTreeMap::new(),
            book: Introductions::default(),
        }
    }

    fn knows(&mut self, card: &Card) {
        self.contacts.insert(card.person(), card.clone());
    }

    fn take(&mut self, from: &Identity, bytes: &[u8]) -> Result<(), IntroductionError> {
        let known = |person| self.contacts.get(&person).cloned();
        self.book.take(bytes, from.person(), self.me, known)
    }

    /// As a host does: the card becomes a contact's, in the place of whatever stood under its key.
    fn accept(&mut self, one: &Introduction) -> Result<(), IntroductionError> {
        let (introducer, id) = (one.introducer(), one.terms().id);
        let accepted = self.book.accept(introducer, id, self.contacts.values())?;
        self.knows(accepted.card());
        Ok(())
    }

    /// Whose key a message to this name is sealed to, as people are looked up: one person, or nobody.
    fn called(&self, name: &str) -> Option<PersonId> {
        let named = |card: &&Card| card.body().name == name;
        let mut found = self.contacts.values().filter(named);
        let first = found.next()?.person();
        found.next().is_none().then_some(first)
    }
}

fn terms(id: u8) -> Terms {
    Terms {
        id: [id; 16],
        seconds: HOUR,
        note: String::new(),
    }
}

fn somebody(seed: u64) -> Identity {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(seed))
}

/// Guards that whoever introduces can put neither himself nor an older card into the place of a contact, and that a card of
/// his own making under a name that is free shows another safety number than the person whose name it bears.
#[test]
fn attack_27_an_introducer_in_the_middle() {
    seeds(0..1, |seed| {
        let world = World::new(seed, &NAMES);
        let [a, b, m] = [A, B, M].map(|node| world.identity(node));
        let (old, new) = (b.card("Bo", 1, vec![]), b.card("Bo", 2, vec![]));
        let double = somebody(seed + 100).card(" bO", 1, vec![]);
        let mut recipient = Recipient::new(&a);
        // He introduces before the contact is one, so that nothing stands in the way of his introductions yet.
        let own = m.introduce(a.person(), &double, terms(1));
        let stale = m.introduce(a.person(), &old, terms(2));
        for one in [&own, &stale] {
            assert_eq!(recipient.take(&m, one.bytes()), Ok(()));
        }
        recipient.knows(&new);
        assert_eq!(recipient.accept(&own), Err(IntroductionError::NameTaken));
        assert_eq!(recipient.accept(&stale), Err(IntroductionError::Known));
        assert_eq!(recipient.contacts.get(&b.person()), Some(&new));
        assert_eq!(recipient.called("Bo"), Some(b.person()));
        // Once the person is a contact, what would replace its card does not even wait.
        let late = m.introduce(a.person(), &old, terms(3));
        let taken = recipient.take(&m, late.bytes());
        assert_eq!(taken, Err(IntroductionError::Known));
        let mut fresh = Recipient::new(&a);
        assert_eq!(fresh.take(&m, own.bytes()), Ok(()));
        assert_eq!(fresh.accept(&own), Ok(()));
        let shown = safety_number(a.person(), own.card().person());
        assert_ne!(shown, safety_number(a.person(), b.person()));
    });
}

/// Guards that nobody can change what somebody else has signed, whose card it brings, or speak in a contact's name.
#[test]
fn attack_27_an_introduction_forged_or_with_another_card() {
    seeds(0..1, |seed| {
        let world = World::new(seed, &NAMES);
        let [a, b, m] = [A, B, M].map(|node| world.identity(node));
        let n = somebody(seed + 200);
        let genuine = n.introduce(a.person(), &b.card("Bo", 1, vec![]), terms(1));
        let len = genuine.bytes().len() - genuine.card().bytes().len();
        let mut recipient = Recipient::new(&a);
        // Another card behind the signature: his own, another one of the same person, one that is damaged.
        let mut damaged = genuine.card().bytes().to_vec();
        damaged[40] ^= 1;
        let cards = [
            somebody(seed + 300).card("Bo", 1, vec![]).bytes().to_vec(),
            b.card("Bo", 2, vec![]).bytes().to_vec(),
            damaged,
        ];
        for card in cards {
            let spliced = [&genuine.bytes()[..len], &card].concat();
            let taken = recipient.take(&n, &spliced);
            assert_eq!(taken, Err(IntroductionError::OtherCard));
        }
        // His own signature under another's name.
        let own = m.introduce(a.person(), genuine.card(), terms(1));
        let mut bytes = own.bytes().to_vec();
        bytes[24..56].copy_from_slice(&n.person().0);
        let taken = recipient.take(&n, &bytes);
        assert_eq!(taken, Err(IntroductionError::Signature));
        // A card that he has signed for somebody else.
        let mut forged = genuine.card().bytes().to_vec();
        let end = forged.len() - 64;
        forged[end..].copy_from_slice(&[7; 64]);
        assert_eq!(Card::decode(&forged), Err(CardError::Signature));
        assert!(recipient.book.waiting().is_empty());
    });
}

/// Guards that an introduction is used once: neither after it was used, nor after it was declined or has run out, does the
/// same one wait again, whenever it is sent.
#[test]
fn attack_28_an_introduction_used_too_often() {
    seeds(0..1, |seed| {
        let world = World::new(seed, &NAMES);
        let [a, b, m] = [A, B, M].map(|node| world.identity(node));
        let one = |id: u8| m.introduce(a.person(), &b.card("Bo", 1, vec![]), terms(id));
        let mut recipient = Recipient::new(&a);
        let [used, declined, late] = [1, 2, 3].map(one);
        let again = |recipient: &mut Recipient, one: &Introduction| {
            // The contact may be gone by then; the introduction does not come back with it.
            recipient.contacts.clear();
            recipient.take(&m, one.bytes())
        };
        assert_eq!(recipient.take(&m, used.bytes()), Ok(()));
        assert_eq!(
            again(&mut recipient, &used),
            Err(IntroductionError::Waiting)
        );
        assert_eq!(recipient.accept(&used), Ok(()));
        assert_eq!(again(&mut recipient, &used), Err(IntroductionError::Spent));
        assert_eq!(recipient.accept(&used), Err(IntroductionError::Spent));
        assert_eq!(recipient.take(&m, declined.bytes()), Ok(()));
        assert!(recipient.book.decline(m.person(), declined.terms().id));
        assert_eq!(
            again(&mut recipient, &declined),
            Err(IntroductionError::Spent)
        );
        assert_eq!(recipient.take(&m, late.bytes()), Ok(()));
        recipient.book.age(Duration::from_secs(u64::from(HOUR)));
        assert_eq!(recipient.accept(&late), Err(IntroductionError::Spent));
        assert_eq!(again(&mut recipient, &late), Err(IntroductionError::Spent));
        // Through a restart as well.
        recipient.book = Introductions::decode(&recipient.book.encode()).unwrap();
        for one in [&used, &declined, &late] {
            assert_eq!(again(&mut recipient, one), Err(IntroductionError::Spent));
        }
    });
}

/// Guards that an introduction is good for the one person whom it is for, from its author alone, and only as it was signed.
#[test]
fn attack_28_an_introduction_of_others_or_with_other_terms() {
    seeds(0..1, |seed| {
        let world = World::new(seed, &NAMES);
        let [a, b, m] = [A, B, M].map(|node| world.identity(node));
        let n = somebody(seed + 200);
        let card = b.card("Bo", 1, vec![]);
        let mut recipient = Recipient::new(&a);
        let foreign = n.introduce(m.person(), &card, terms(1));
        let passed_on = n.introduce(a.person(), &card, terms(2));
        for from in [&m, &n] {
            let taken = recipient.take(from, foreign.bytes());
            assert_eq!(taken, Err(IntroductionError::Foreign));
        }
        let taken = recipient.take(&m, passed_on.bytes());
        assert_eq!(taken, Err(IntroductionError::PassedOn));
        // For the recipient after all; used twice; good for longer; under another id.
        for (at, value) in [(56, a.person().0[0]), (3, 2), (4, 1), (8, 9)] {
            let mut bytes = foreign.bytes().to_vec();
            bytes[at] = value;
            if at == 56 {
                bytes[56..88].copy_from_slice(&a.person().0);
            }
            let why = recipient.take(&n, &bytes).unwrap_err();
            let expected = match at {
                3 => IntroductionError::Field("number of uses"),
                _ => IntroductionError::Signature,
            };
            assert_eq!(why, expected, "byte {at}");
        }
        assert!(recipient.book.waiting().is_empty());
    });
}
