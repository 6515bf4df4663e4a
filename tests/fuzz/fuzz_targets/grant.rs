//! Grants and statements of what they have cost: arbitrary ones are refused or canonical, and no change to a real grant goes
//! unnoticed.
#![no_main]

#[path = "../support/damage.rs"]
mod damage;

use damage::damaged;
use ed25519_dalek::SigningKey;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use ostrakon::security::grant::{Grant, MailboxKey, Terms};
use ostrakon::security::spending::Statement;
use std::sync::OnceLock;

#[derive(Arbitrary, Debug)]
enum Try<'a> {
    Binary(&'a [u8]),
    Text(&'a str),
    Changed(Vec<(u16, u8)>, u8),
}

fn real() -> &'static Grant {
    static GRANT: OnceLock<Grant> = OnceLock::new();
    GRANT.get_or_init(|| {
        let key = SigningKey::from_bytes(&[1; 32]);
        let terms = Terms {
            holder: key.verifying_key().to_bytes(),
            mailboxes: vec![MailboxKey([1; 32])],
            bytes: 1 << 20,
            frames: 1000,
            priority: 1,
            until: 7,
            salt: [2; 8],
        };
        let first = Grant::issue(terms.clone(), &key).unwrap();
        first.narrow(terms, &key).unwrap()
    })
}

fuzz_target!(|attempt: Try| match attempt {
    Try::Binary(bytes) => {
        if let Ok(grant) = Grant::decode(bytes) {
            assert_eq!(grant.bytes(), bytes);
        }
    }
    Try::Text(text) => {
        if let Ok(grant) = Grant::from_text(text) {
            assert_eq!(Grant::from_text(&grant.to_text()).as_ref(), Ok(&grant));
        }
        let _ = Statement::from_text(text);
    }
    Try::Changed(changes, cut) => {
        let bytes = damaged(real().bytes(), changes, cut);
        if bytes == real().bytes() {
            assert_eq!(Grant::decode(&bytes).as_ref(), Ok(real()));
        } else {
            assert!(Grant::decode(&bytes).is_err(), "a changed grant was taken");
        }
    }
});
