//! Contact cards: arbitrary ones are refused or canonical, and no change to a real one goes unnoticed.
#![no_main]

#[path = "../support/damage.rs"]
mod damage;

use damage::damaged;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use ostrakon::security::card::Card;
use ostrakon::security::identity::Identity;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::sync::OnceLock;

#[derive(Arbitrary, Debug)]
enum Try<'a> {
    Binary(&'a [u8]),
    Text(&'a str),
    Changed(bool, Vec<(u16, u8)>, u8),
}

/// A card that a root has signed, and one with a bound that a delegate has.
fn real() -> &'static [Card; 2] {
    static CARDS: OnceLock<[Card; 2]> = OnceLock::new();
    CARDS.get_or_init(|| {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let me = Identity::generate(&mut rng);
        let card = me.card("Amina", 7, vec!["relay://192.0.2.1:4434?key=a".into()]);
        let delegate = me.without_root(&mut me.root().unwrap(), &mut rng);
        let endpoints = card.body().endpoints.clone();
        let bounded = delegate.card_after(&card, "Amina", vec![], endpoints, Some(1 << 20));
        [card, bounded]
    })
}

fuzz_target!(|attempt: Try| match attempt {
    Try::Binary(bytes) => {
        if let Ok(card) = Card::decode(bytes) {
            assert_eq!(card.bytes(), bytes);
        }
    }
    Try::Text(text) => {
        if let Ok(card) = Card::from_text(text) {
            assert_eq!(Card::from_text(&card.to_text()).as_ref(), Ok(&card));
        }
    }
    Try::Changed(delegate, changes, cut) => {
        let card = &real()[usize::from(delegate)];
        let bytes = damaged(card.bytes(), changes, cut);
        if bytes == card.bytes() {
            assert_eq!(Card::decode(&bytes).as_ref(), Ok(card));
        } else {
            assert!(Card::decode(&bytes).is_err(), "a changed card was taken");
        }
    }
});
