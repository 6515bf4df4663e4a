//! Key files under a passphrase from elsewhere: no bytes make the reader panic or work beyond its bounds, and no
//! change to a real one goes unnoticed.
#![no_main]

#[path = "../support/damage.rs"]
mod damage;

use damage::damaged;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use ostrakon::security::lockbox::{Cost, Lock, Passphrase, check};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::sync::OnceLock;

#[derive(Arbitrary, Debug)]
enum Try<'a> {
    Binary(&'a [u8]),
    Changed(Vec<(u16, u8)>, u8),
    Passphrase(&'a [u8]),
}

struct Real {
    lock: Lock,
    bytes: Vec<u8>,
}

fn real() -> &'static Real {
    static REAL: OnceLock<Real> = OnceLock::new();
    REAL.get_or_init(|| {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let passphrase = Passphrase::from_line(b"open sesame").unwrap();
        let cost = Cost {
            memory: 8,
            passes: 1,
            lanes: 1,
        };
        let lock = Lock::new(&passphrase, cost, &mut rng).unwrap();
        let bytes = lock.seal(&[7; 40], &mut rng);
        Real { lock, bytes }
    })
}

fuzz_target!(|attempt: Try| match attempt {
    Try::Binary(bytes) => {
        let fits = check(bytes);
        let opened = real().lock.open(bytes);
        assert!(opened.is_err() || bytes == real().bytes);
        assert!(fits.is_ok() || opened.is_err());
    }
    Try::Changed(changes, cut) => {
        let bytes = damaged(&real().bytes, changes, cut);
        let opened = real().lock.open(&bytes);
        assert_eq!(
            opened.is_ok(),
            bytes == real().bytes,
            "a changed lockbox was opened"
        );
    }
    Try::Passphrase(line) => {
        if let Ok(passphrase) = Passphrase::from_line(line) {
            let wrong = Lock::pick(&passphrase, &real().bytes).is_err();
            assert!(wrong || line.starts_with(b"open sesame"));
        }
    }
});
