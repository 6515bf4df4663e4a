//! The enrolment of a device: arbitrary codes are refused or canonical, and no bundle but the very one that was sealed for a
//! code is taken. Root keys and words on devices are refused or canonical too.
#![no_main]

#[path = "../support/damage.rs"]
mod damage;

use damage::damaged;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use ostrakon::security::enrolment::{Bundle, Code, Newcomer};
use ostrakon::security::identity::Identity;
use ostrakon::security::root::Root;
use ostrakon::security::roster::Roster;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::sync::OnceLock;

#[derive(Arbitrary, Debug)]
enum Try<'a> {
    Code(&'a [u8]),
    Text(&'a str),
    Kept(&'a [u8]),
    Root(&'a [u8]),
    Roster(&'a [u8]),
    Sealed(&'a [u8]),
    Changed(Vec<(u16, u8)>, u8),
}

struct Real {
    new: Newcomer,
    code: Code,
    sealed: Vec<u8>,
}

fn real() -> &'static Real {
    static REAL: OnceLock<Real> = OnceLock::new();
    REAL.get_or_init(|| {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (me, new) = (Identity::generate(&mut rng), Newcomer::generate(&mut rng));
        let code = new.code(vec!["192.0.2.7:7411".into()]);
        let endpoints = vec![me.described(), code.endpoint.clone()];
        let bundle = Bundle {
            name: "Ada".into(),
            card: me.card_of("Ada", 2, vec![], endpoints),
            persons: vec![],
        };
        let sealed = bundle.seal(&me, &code, &mut rng).unwrap();
        Real { new, code, sealed }
    })
}

fuzz_target!(|attempt: Try| match attempt {
    Try::Code(bytes) => {
        if let Ok(code) = Code::decode(bytes) {
            assert_eq!(code.encode(), bytes);
        }
    }
    Try::Text(text) => {
        if let Ok(code) = Code::from_text(text) {
            assert_eq!(Code::from_text(&code.to_text()), Ok(code));
        }
    }
    Try::Kept(bytes) => {
        if let Ok(new) = Newcomer::decode(bytes) {
            assert_eq!(&new.encode()[..], bytes);
        }
    }
    Try::Root(bytes) => {
        if let Ok(root) = Root::decode(bytes) {
            assert_eq!(&root.encode()[..], bytes);
        }
    }
    Try::Roster(bytes) => {
        if let Ok(roster) = Roster::decode(bytes) {
            assert_eq!(Roster::decode(&roster.encode()), Ok(roster));
        }
    }
    Try::Sealed(bytes) => assert!(real().new.open(&real().code, bytes).is_err()),
    Try::Changed(changes, cut) => {
        let Real { new, code, sealed } = real();
        let bytes = damaged(sealed, changes, cut);
        let taken = new.open(code, &bytes).is_ok();
        assert_eq!(taken, bytes == *sealed, "a changed bundle was taken");
    }
});
