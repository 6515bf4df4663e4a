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
    Changed(Vec<(u16, u8)>, u8),
}

fn real() -> &'static Card {
    static CARD: OnceLock<Card> = OnceLock::new();
    CARD.get_or_init(|| {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        Identity::generate(&mut rng).card("Amina", 7, vec!["relay://192.0.2.1:4434?key=a".into()])
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
    Try::Changed(changes, cut) => {
        let bytes = damaged(real().bytes(), changes, cut);
        if bytes == real().bytes() {
            assert_eq!(Card::decode(&bytes).as_ref(), Ok(real()));
        } else {
            assert!(Card::decode(&bytes).is_err(), "a changed card was taken");
        }
    }
});
