//! Invitations: arbitrary ones are refused or the one encoding of themselves, and no change to a real one goes unnoticed.
#![no_main]

#[path = "../support/damage.rs"]
mod damage;

use damage::damaged;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use ostrakon::security::identity::Identity;
use ostrakon::security::invitation::{Invitation, Ticket};
use ostrakon::security::kdf::Key;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::sync::OnceLock;

#[derive(Arbitrary, Debug)]
enum Try<'a> {
    Binary(&'a [u8]),
    Text(&'a str),
    Changed(Vec<(u16, u8)>, u8),
}

fn real() -> &'static Invitation {
    static REAL: OnceLock<Invitation> = OnceLock::new();
    REAL.get_or_init(|| {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let card = Identity::generate(&mut rng).card("Amina", 7, vec![]);
        let (id, secret) = ([7; 8], Key::new([9; 32]));
        let ticket = Ticket { id, secret };
        Invitation { ticket, card }
    })
}

fuzz_target!(|attempt: Try| match attempt {
    Try::Binary(bytes) => {
        if let Ok(invitation) = Invitation::decode(bytes) {
            assert_eq!(invitation.encode(), bytes);
        }
    }
    Try::Text(text) => {
        if let Ok(invitation) = Invitation::from_text(text) {
            let again = Invitation::from_text(&invitation.to_text());
            assert_eq!(again.as_ref(), Ok(&invitation));
        }
    }
    Try::Changed(changes, cut) => {
        let bytes = damaged(&real().encode(), changes, cut);
        if bytes == real().encode() {
            assert_eq!(Invitation::decode(&bytes).as_ref(), Ok(real()));
        } else {
            assert!(Invitation::decode(&bytes).is_err(), "a changed one was taken");
        }
    }
});
