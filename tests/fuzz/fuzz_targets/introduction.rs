//! Introductions and what keeps them: arbitrary ones are refused or read as they were written, no change to a real one goes
//! unnoticed, and whatever a contact sends, no more wait than may.
#![no_main]

#[path = "../support/damage.rs"]
mod damage;

use damage::damaged;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use ostrakon::engine::id::PersonId;
use ostrakon::security::identity::Identity;
use ostrakon::security::introduction::{Introduction, Terms};
use ostrakon::security::introductions::{Introductions, WAITING_OF_ONE};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::sync::OnceLock;

#[derive(Arbitrary, Debug)]
enum Try<'a> {
    Raw(&'a [u8]),
    Kept(&'a [u8]),
    Changed(Vec<(u16, u8)>, u8),
    Many(Vec<(u8, u32)>),
}

struct Three {
    author: Identity,
    recipient: PersonId,
    other: Identity,
}

fn three() -> &'static Three {
    static THREE: OnceLock<Three> = OnceLock::new();
    THREE.get_or_init(|| {
        let one = |seed| Identity::generate(&mut ChaCha20Rng::seed_from_u64(seed));
        Three {
            author: one(1),
            recipient: one(2).person(),
            other: one(3),
        }
    })
}

fn made(id: u8, seconds: u32) -> Introduction {
    let Three {
        author,
        recipient,
        other,
    } = three();
    let note = "as good as his word".to_owned();
    let terms = Terms {
        id: [id; 16],
        seconds,
        note,
    };
    author.introduce(*recipient, &other.card("Bo", 1, vec![]), terms)
}

fuzz_target!(|attempt: Try| match attempt {
    Try::Raw(bytes) => {
        if let Ok(read) = Introduction::decode(bytes) {
            assert_eq!(read.bytes(), bytes);
        }
    }
    Try::Kept(bytes) => {
        if let Ok(read) = Introductions::decode(bytes) {
            assert_eq!(read.encode(), bytes);
        }
    }
    Try::Changed(changes, cut) => {
        let real = made(1, 3600);
        let bytes = damaged(real.bytes(), changes, cut);
        if bytes != real.bytes() {
            assert!(
                Introduction::decode(&bytes).is_err(),
                "a changed one was taken"
            );
        }
    }
    Try::Many(sent) => {
        let mut kept = Introductions::default();
        let (author, me) = (three().author.person(), three().recipient);
        for (id, seconds) in sent.into_iter().take(32) {
            let _refused = kept.take(made(id, seconds).bytes(), author, me, |_| None);
        }
        assert!(kept.waiting().len() <= WAITING_OF_ONE);
        assert_eq!(Introductions::decode(&kept.encode()).as_ref(), Ok(&kept));
    }
});
