//! Grants that allow more than they should, are somebody else's, or are spent more than once.

use ed25519_dalek::{Signer, SigningKey};
use ostrakon::security::grant::{Grant, GrantError, MailboxKey, Terms};
use ostrakon::security::spending::{Amount, Row, Statement, audit, charge};

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn public(n: u8) -> [u8; 32] {
    key(n).verifying_key().to_bytes()
}

/// What key 1 grants to a holder.
fn terms(holder: u8) -> Terms {
    Terms {
        holder: public(holder),
        mailboxes: vec![MailboxKey([5; 32])],
        bytes: 10_000,
        frames: 10,
        priority: 2,
        until: 3,
        salt: [0; 8],
    }
}

/// Puts a link behind a grant as its holder would who keeps to no rule: the length of the list goes up by one, the
/// link is signed.
fn forge(grant: &Grant, terms: &Terms, signer: &SigningKey) -> Vec<u8> {
    let issuer = grant.issuer();
    let terms = minicbor::to_vec(terms).unwrap();
    let signed = [&b"ostrakon grant v1"[..], issuer, &grant.id(), &terms].concat();
    let signature = signer.sign(&signed).to_bytes();
    let mut bytes = grant.bytes().to_vec();
    // Behind head and array of two stands the issuer in 34 bytes, then the list.
    bytes[38] += 1;
    [&bytes, &[0x82][..], &terms, &[0x58, 64], &signature].concat()
}

/// Guards that no link allows more than the one before it, in any respect, and that only its holder adds one.
#[test]
fn attack_31_a_widened_grant() {
    let first = Grant::issue(terms(2), &key(1)).unwrap();
    let same = forge(&first, &terms(3), &key(2));
    assert!(Grant::decode(&same).is_ok(), "the forger writes as we do");
    type Change<'a> = &'a dyn Fn(&mut Terms);
    let wider: [(&str, Change<'_>); 5] = [
        ("mailboxes", &|t| t.mailboxes.push(MailboxKey([6; 32]))),
        ("bytes", &|t| t.bytes += 1),
        ("frames", &|t| t.frames += 1),
        ("urgency", &|t| t.priority -= 1),
        ("time", &|t| t.until += 1),
    ];
    for (what, change) in wider {
        let mut more = terms(3);
        change(&mut more);
        let refused = Err(GrantError::Widened(what));
        assert_eq!(Grant::decode(&forge(&first, &more, &key(2))), refused);
        assert_eq!(first.narrow(more, &key(2)), refused);
    }
    let forged = forge(&first, &terms(3), &key(9));
    assert_eq!(Grant::decode(&forged), Err(GrantError::Signature));
}

/// Guards that a grant that was overheard or copied is of no use to somebody else.
#[test]
fn attack_31_the_wrong_holder() {
    let grant = Grant::issue(terms(2), &key(1)).unwrap();
    assert_eq!(grant.check(&public(2), 3), Ok(()));
    assert_eq!(grant.check(&public(9), 3), Err(GrantError::Holder));
    let onward = grant.narrow(terms(3), &key(2)).unwrap();
    let former = onward.check(&public(2), 3);
    assert_eq!(
        former,
        Err(GrantError::Holder),
        "the narrower one is the other's"
    );
}

fn amount(frames: u64, bytes: u64) -> Amount {
    Amount { frames, bytes }
}

/// Guards that nobody gets more stored than was granted, in frames and in bytes, and that who hands a grant on does not
/// multiply it: what the others spend is spent of the first link.
#[test]
fn attack_31_over_quota() {
    let granted = amount(10, 1000);
    let cost = amount(1, 100);
    let fits = [(amount(9, 900), granted)];
    assert_eq!(charge(fits, cost), Some(vec![granted]));
    for spent in [amount(10, 0), amount(0, 901), amount(u64::MAX, u64::MAX)] {
        assert_eq!(charge([(spent, granted)], cost), None, "{spent:?}");
    }
    // Three holders of a narrowed grant, each with as much as the first link allows.
    let mut root = amount(0, 0);
    let mut stored = 0;
    for _ in 0..3 {
        let mut own = amount(0, 0);
        while let Some(after) = charge([(root, granted), (own, granted)], cost) {
            (root, own) = (after[0], after[1]);
            stored += 1;
            assert!(stored <= 10, "more than was granted");
        }
    }
    assert_eq!(stored, 10);
}

fn statement(relay: u8, number: u64, frames: u64) -> Statement {
    let grant = Grant::issue(terms(2), &key(1)).unwrap();
    Statement {
        relay: public(relay),
        number,
        counter: 0,
        rows: vec![Row {
            issuer: *grant.issuer(),
            root: grant.root(),
            id: grant.id(),
            holder: grant.terms().holder,
            granted: amount(10, 10_000),
            until: 3,
            spent: amount(frames, frames * 100),
        }],
    }
}

/// Guards that who spends a grant at two relays, at each no more than it allows, is found by who compares what both of
/// them have signed; and that nobody can put a debt into a relay's mouth.
#[test]
fn attack_31_spent_at_two_relays() {
    let both = [statement(7, 1, 6), statement(8, 1, 5)];
    let texts = [both[0].sign(&key(7)), both[1].sign(&key(8))];
    let read = texts.map(|text| Statement::from_text(&text).unwrap());
    let found = audit(&read);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].row.spent, amount(11, 1100));
    assert_eq!(found[0].row.holder, public(2));
    let at: Vec<_> = [7, 8]
        .iter()
        .map(|relay| found[0].at[&public(*relay)].frames)
        .collect();
    assert_eq!(at, [6, 5]);
    // At one relay alone, or within the quota at both, nobody has cheated.
    assert_eq!(audit(&read[..1]), []);
    assert_eq!(audit(&[statement(7, 1, 5), statement(8, 1, 5)]), []);
    let forged = statement(8, 2, 1000).sign(&key(9));
    assert!(Statement::from_text(&forged).is_err());
}
