//! What a code and a bundle promise.

use super::*;
use rand_core::SeedableRng;

struct Case {
    me: Identity,
    new: Newcomer,
    code: Code,
    bundle: Bundle,
    sealed: Vec<u8>,
}

fn case() -> Case {
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(7);
    let (me, friend) = (Identity::generate(&mut rng), Identity::generate(&mut rng));
    let new = Newcomer::generate(&mut rng);
    let code = new.code(vec!["192.0.2.7:7411".into()]);
    let endpoints = vec![me.described(), code.endpoint.clone()];
    let known = |card: Option<Card>, person| Known {
        person,
        card,
        kept: b"{}".to_vec(),
    };
    let bundle = Bundle {
        name: "Ada".into(),
        card: me.card_of("Ada", 2, vec![], endpoints),
        persons: vec![
            known(Some(friend.card("Bo", 1, vec![])), friend.person()),
            known(None, PersonId([9; 32])),
        ],
    };
    let sealed = bundle.seal(&me, &code, &mut rng).unwrap();
    Case {
        me,
        new,
        code,
        bundle,
        sealed,
    }
}

/// Guards that the new device is the same person with the same inbox, and an endpoint of its own.
#[test]
fn a_new_device_gets_the_person_and_keeps_its_own_keys() {
    let case = case();
    let stored = Newcomer::decode(&case.new.encode()).unwrap();
    let (joined, bundle) = stored.open(&case.code, &case.sealed).unwrap();
    assert_eq!(bundle, case.bundle);
    assert_eq!(joined.person(), case.me.person());
    assert_eq!(joined.mailbox_key(), case.me.mailbox_key());
    assert_eq!(joined.described(), case.code.endpoint);
    assert_ne!(joined.endpoint_key(), case.me.endpoint_key());
    let secret = |id: &Identity| id.prekeys.secret(1).map(|s| s.to_bytes());
    assert_eq!(secret(&joined), secret(&case.me));
}

#[test]
fn a_code_reads_back_from_text_and_a_cut_one_is_refused() {
    let Case { code, .. } = case();
    let text = code.to_text();
    let wrapped = format!(" {}\n{}", &text[..40], &text[40..].to_uppercase());
    assert_eq!(Code::from_text(&wrapped), Ok(code.clone()));
    for cut in [0, 10, text.len() - 1] {
        assert_eq!(Code::from_text(&text[..cut]), Err(EnrolmentError::Code));
    }
    let number = code.number();
    assert_eq!(number.split(' ').map(str::len).collect::<Vec<_>>(), [5; 6]);
    let other = Code {
        once: [1; 32],
        ..code
    };
    assert_ne!(other.number(), number);
}

/// Guards that nothing but the very bundle for the very code is taken.
#[test]
fn every_flipped_bit_every_cut_and_another_code_are_refused() {
    let case = case();
    for at in (0..case.sealed.len()).step_by(5) {
        let mut bad = case.sealed.clone();
        bad[at] ^= 1;
        assert!(case.new.open(&case.code, &bad).is_err(), "byte {at}");
        assert!(case.new.open(&case.code, &case.sealed[..at]).is_err());
    }
    let moved = case.new.code(vec![]);
    assert!(case.new.open(&moved, &case.sealed).is_ok());
    let changed = Code {
        once: [1; 32],
        ..case.code.clone()
    };
    let refused = case.new.open(&changed, &case.sealed).unwrap_err();
    assert_eq!(refused, EnrolmentError::Seal);
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(8);
    let other = Newcomer::generate(&mut rng);
    assert!(other.open(&case.code, &case.sealed).is_err());
    let mut low = case.sealed.clone();
    low[3..35].fill(0);
    let refused = case.new.open(&case.code, &low).unwrap_err();
    assert_eq!(refused, EnrolmentError::LowOrder);
    let unnamed = Bundle {
        card: case.me.card("Ada", 2, vec![]),
        ..case.bundle
    };
    let sealed = unnamed.seal(&case.me, &case.code, &mut rng).unwrap();
    let refused = case.new.open(&case.code, &sealed).unwrap_err();
    assert_eq!(refused, EnrolmentError::Content(Malformed::Value("card")));
}
