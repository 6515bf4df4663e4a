use super::*;

pub(super) fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn terms(holder: u8) -> Terms {
    Terms {
        holder: key(holder).verifying_key().to_bytes(),
        mailboxes: vec![MailboxKey([1; 32]), MailboxKey([2; 32])],
        bytes: 1000,
        frames: 10,
        priority: 1,
        until: 5,
        salt: [7; 8],
    }
}

fn chain() -> Grant {
    let first = Grant::issue(terms(2), &key(1)).unwrap();
    let narrower = Terms {
        mailboxes: Vec::new(),
        bytes: 999,
        ..terms(3)
    };
    first.narrow(narrower, &key(2)).unwrap()
}

#[test]
fn a_grant_survives_paste_and_says_what_it_allows() {
    let grant = chain();
    assert_eq!(Grant::decode(grant.bytes()).as_ref(), Ok(&grant));
    let text = grant.to_text();
    let wrapped = text.replace("grant:", "grant:\n  ").to_uppercase();
    assert_eq!(Grant::from_text(&wrapped).as_ref(), Ok(&grant));
    assert_eq!(grant.mailboxes().len(), 2, "inherited");
    assert_eq!((grant.terms().bytes, grant.links().count()), (999, 2));
    assert_ne!(grant.root(), grant.id());
    let holder = key(3).verifying_key().to_bytes();
    assert_eq!(grant.check(&holder, 5), Ok(()));
    assert_eq!(grant.check(&holder, 6), Err(GrantError::Over));
}

/// Guards that no byte of a grant can be changed, and that it cannot be cut.
#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let bytes = chain().bytes().to_vec();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            assert!(Grant::decode(&bad).is_err(), "bit {bit} of byte {at}");
        }
        assert!(Grant::decode(&bytes[..at]).is_err());
    }
    assert!(Grant::decode(&[&bytes[..], &[0]].concat()).is_err());
}

/// A second form of a grant would be a second row of what it has spent.
#[test]
fn a_second_encoding_is_refused() {
    let bytes = chain().bytes().to_vec();
    let at = bytes
        .windows(3)
        .position(|w| w == [0x19, 0x03, 0xe7])
        .unwrap();
    let mut long = bytes;
    long.splice(at..at + 3, [0x1a, 0, 0, 0x03, 0xe7]);
    assert_eq!(Grant::decode(&long), Err(GrantError::Encoding));
}

#[test]
fn links_and_fields_are_bounded() {
    let mut grant = Grant::issue(terms(1), &key(1)).unwrap();
    for _ in 1..MAX_LINKS {
        grant = grant.narrow(terms(1), &key(1)).unwrap();
    }
    assert!(grant.bytes().len() <= MAX, "{}", grant.bytes().len());
    assert_eq!(grant.narrow(terms(1), &key(1)), Err(GrantError::Links));
    let refused = |change: &dyn Fn(&mut Terms)| {
        let mut terms = terms(2);
        change(&mut terms);
        Grant::issue(terms, &key(1)).unwrap_err()
    };
    let priority = GrantError::Field("priority");
    assert_eq!(refused(&|t| t.priority = 4), priority);
    let mailboxes = GrantError::Field("mailboxes");
    assert_eq!(refused(&|t| t.mailboxes.reverse()), mailboxes);
    assert_eq!(
        refused(&|t| t.mailboxes = (0..9).map(|n| MailboxKey([n; 32])).collect()),
        mailboxes
    );
}
