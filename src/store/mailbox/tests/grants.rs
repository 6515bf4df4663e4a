//! What grants pay for, and what is remembered of it.

use super::*;
use crate::security::grant::Terms;
use crate::security::spending::Amount;
use ed25519_dalek::SigningKey;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn terms(holder: u8, salt: u16) -> Terms {
    let mut salted = [0; 8];
    salted[..2].copy_from_slice(&salt.to_be_bytes());
    Terms {
        holder: key(holder).verifying_key().to_bytes(),
        mailboxes: Vec::new(),
        bytes: 1 << 30,
        frames: 1000,
        priority: 0,
        until: 4,
        salt: salted,
    }
}

fn issue(frames: u64, salt: u16) -> Arc<Grant> {
    let terms = Terms {
        frames,
        ..terms(2, salt)
    };
    Arc::new(Grant::issue(terms, &key(1)).unwrap())
}

const WIDE: MailboxLimits = MailboxLimits {
    max_bytes: 1 << 30,
    max_frames_per_tag: 10_000,
    max_bytes_per_tag: 1 << 30,
    ..LIMITS
};

/// Stores a frame that is like no other, if one of these grants pays for it.
fn pay(store: &MailboxStore, number: &mut u32, grants: &[&Arc<Grant>]) -> Verdict {
    *number += 1;
    let envelope = Envelope {
        tag: tag(1),
        age: 0,
        hops: 9,
        priority: 1,
    };
    let brought = Brought {
        tag: tag(1),
        frame: envelope.wrap(&number.to_be_bytes()).into(),
        grants: Some(grants.iter().map(|grant| (*grant).clone()).collect()),
    };
    store.store(1000, &[brought]).unwrap()[0]
}

/// Guards that the first grant with enough left pays, once for each frame that is stored and not for copies, and that what
/// was paid survives a restart.
#[test]
fn a_frame_is_paid_for_once_and_that_is_durable() {
    let dir = TempDir::new().unwrap();
    let (small, large) = (issue(2, 1), issue(3, 2));
    let mut number = 0;
    let store = MailboxStore::open(dir.path(), WIDE).unwrap();
    for _ in 0..3 {
        assert!(matches!(
            pay(&store, &mut number, &[&small, &large]),
            Verdict::Stored(_)
        ));
    }
    number -= 1;
    assert_eq!(
        pay(&store, &mut number, &[&small, &large]),
        Verdict::Duplicate
    );
    drop(store);
    let store = MailboxStore::open(dir.path(), WIDE).unwrap();
    let spent = |store: &MailboxStore, of: &Grant| {
        let rows = store.spent().unwrap().into_iter();
        rows.filter(|row| row.id == of.id())
            .map(|row| row.spent)
            .next()
    };
    let bytes = |frames| Amount {
        frames,
        bytes: frames * 20,
    };
    assert_eq!(spent(&store, &small), Some(bytes(2)));
    assert_eq!(spent(&store, &large), Some(bytes(1)));
    assert_eq!(pay(&store, &mut number, &[&small]), Verdict::NotGranted);
    assert_eq!(pay(&store, &mut number, &[]), Verdict::NotGranted);
    assert_eq!(store.spent().unwrap().len(), 2);

    let issuer = *small.issuer();
    store.forget_spent(&[0; 32], 9).unwrap();
    store.forget_spent(&issuer, 4).unwrap();
    assert_eq!(store.spent().unwrap().len(), 2, "good until 4");
    store.forget_spent(&issuer, 5).unwrap();
    assert_eq!(store.spent().unwrap(), []);
}

/// Guards that who makes ever further grants of his own does not make the relay keep account without end.
#[test]
fn the_links_made_from_one_grant_are_bounded() {
    let dir = TempDir::new().unwrap();
    let store = MailboxStore::open(dir.path(), WIDE).unwrap();
    let root = issue(1000, 1);
    let mut number = 0;
    let mut stored = 0;
    for salt in 0..300 {
        let narrower = Arc::new(root.narrow(terms(3, salt), &key(2)).unwrap());
        stored += u32::from(pay(&store, &mut number, &[&narrower]) != Verdict::NotGranted);
    }
    assert_eq!((stored, store.spent().unwrap().len()), (255, 256));
    assert!(matches!(
        pay(&store, &mut number, &[&root]),
        Verdict::Stored(_)
    ));
    let other = issue(1, 2);
    assert!(matches!(
        pay(&store, &mut number, &[&other]),
        Verdict::Stored(_)
    ));
}
