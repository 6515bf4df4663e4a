//! Vectors of grants, each from fixed seeds.

use super::file::{Vector, hex, unhex};
use super::make::{good, made, run};
use ed25519_dalek::SigningKey;
use ostrakon::security::grant::{Grant, MailboxKey, Terms};

/// All of them.
pub fn all() -> Vec<Vector> {
    let one = good("grant", "grant", "for two mailboxes, to one holder")
        .with_bytes("issuer-seed", &run(1, 32))
        .with("link", link(0x20, &[0x60, 0x80], [1 << 20, 1000, 2, 7], 1));
    let three = good(
        "grant-narrowed",
        "grant",
        "narrowed twice; the second link names no mailbox, so it is for all of the first",
    )
    .with_bytes("issuer-seed", &run(1, 32))
    .with("link", link(0x20, &[0x60, 0x80], [1 << 20, 1000, 0, 7], 1))
    .with("link", link(0x30, &[], [1 << 16, 1000, 0, 7], 2))
    .with("link", link(0x40, &[0x80], [5000, 10, 3, 6], 3));
    let one = stated(one);
    let bad = |name: &str, expect: &str, note: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = one.body.clone();
        change(&mut bytes);
        Vector::new(name, "grant", expect, note, &bytes)
    };
    let forged = "a signature of this grant is wrong: it was changed or forged; ask for it again";
    let damaged = "this grant is damaged or not in canonical form; ask for it again";
    let version = "this grant is of version 2, which this program does not know; update it";
    let count = "a grant has 1 to 4 links; ask the holder of a shorter one";
    let priority = "this grant has no usable priority; ask for a new one";
    let wider =
        "this grant allows more bytes than the one that it was made from; ask for a narrower one";
    let at_priority = one.body.len() - 77;
    vec![
        bad("grant-refused-version", version, "version 2", &|b| b[2] = 2),
        bad("grant-refused-form", damaged, "an array of three", &|b| {
            b[3] = 0x83
        }),
        bad(
            "grant-refused-trailing",
            damaged,
            "a byte behind the end",
            &|b| b.push(0),
        ),
        bad("grant-refused-links", count, "no link", &|b| {
            b.truncate(39);
            b[38] = 0x80;
        }),
        bad("grant-refused-priority", priority, "priority 4", &|b| {
            b[at_priority] = 4
        }),
        bad(
            "grant-refused-signature",
            forged,
            "a changed signature",
            &|b| *b.last_mut().unwrap() ^= 1,
        ),
        bad(
            "grant-refused-widened",
            wider,
            "a second link with a byte more",
            &|b| {
                let second = link_terms(&link(0x30, &[], [(1 << 20) + 1, 1, 3, 1], 2)).1;
                b[38] += 1;
                b.push(0x82);
                b.extend(minicbor::to_vec(&second).unwrap());
                b.extend([0x58, 64]);
                b.extend([0; 64]);
            },
        ),
        one,
        stated(three),
    ]
}

/// Adds the ids and the text to what a grant was made from.
fn stated(vector: Vector) -> Vector {
    let grant = Grant::decode(&made(vector.clone()).body).unwrap();
    let ids = grant.links().map(|(id, _)| hex(id));
    let vector = ids.fold(vector, |vector, id| vector.with("id", id));
    made(vector.with("text", grant.to_text()))
}

/// Seed of the holder, mailboxes, bytes, frames, priority, last value of the counter, salt.
fn link(holder: u8, mailboxes: &[u8], numbers: [u64; 4], salt: u8) -> String {
    let mailboxes: Vec<String> = mailboxes
        .iter()
        .map(|first| hex(&run(*first, 32)))
        .collect();
    let mailboxes = match mailboxes.is_empty() {
        true => "-".to_owned(),
        false => mailboxes.join(","),
    };
    let [bytes, frames, priority, until] = numbers;
    let (holder, salt) = (hex(&run(holder, 32)), hex(&run(salt, 8)));
    format!("{holder} {mailboxes} {bytes} {frames} {priority} {until} {salt}")
}

/// The holder's key and what the link says.
fn link_terms(link: &str) -> (SigningKey, Terms) {
    let fields: Vec<&str> = link.split(' ').collect();
    let holder = SigningKey::from_bytes(&unhex(fields[0]).try_into().unwrap());
    let mailboxes = fields[1].split(',').filter(|field| *field != "-");
    let terms = Terms {
        holder: holder.verifying_key().to_bytes(),
        mailboxes: mailboxes
            .map(|key| MailboxKey(unhex(key).try_into().unwrap()))
            .collect(),
        bytes: fields[2].parse().unwrap(),
        frames: fields[3].parse().unwrap(),
        priority: fields[4].parse().unwrap(),
        until: fields[5].parse().unwrap(),
        salt: unhex(fields[6]).try_into().unwrap(),
    };
    (holder, terms)
}

/// The bytes that the fields become.
pub fn encode(vector: &Vector) -> Vec<u8> {
    let mut signer = SigningKey::from_bytes(&vector.array("issuer-seed"));
    let mut grant: Option<Grant> = None;
    for link in vector.values("link") {
        let (holder, terms) = link_terms(link);
        let next = match &grant {
            None => Grant::issue(terms, &signer),
            Some(grant) => grant.narrow(terms, &signer),
        };
        grant = Some(next.unwrap());
        signer = holder;
    }
    grant.unwrap().bytes().to_vec()
}

/// Reads the bytes and compares; false if they were refused as expected.
pub fn decode(vector: &Vector) -> bool {
    let read = Grant::decode(&vector.body);
    if vector.refused(read.clone()) {
        return false;
    }
    let grant = read.unwrap();
    let ids: Vec<String> = grant.links().map(|(id, _)| hex(id)).collect();
    assert_eq!(ids, vector.values("id"), "{}", vector.name);
    assert_eq!(grant.to_text(), vector.get("text"), "{}", vector.name);
    assert_eq!(Grant::from_text(vector.get("text")).as_ref(), Ok(&grant));
    let stated = vector
        .values("link")
        .into_iter()
        .map(|link| link_terms(link).1);
    let read: Vec<Terms> = grant.links().map(|(_, terms)| terms.clone()).collect();
    assert_eq!(read, stated.collect::<Vec<_>>(), "{}", vector.name);
    true
}
