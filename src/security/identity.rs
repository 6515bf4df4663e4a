//! The secret keys of a person on one endpoint.
//!
//! ```text
//! 0..4     "OSTK"
//! 4        version = 2
//! 5..37    root seed (Ed25519)          37..69   inbox key (X25519)
//! 69..113  inbox prekeys: see [`super::prekeys`]
//! 113..145 endpoint seed (Ed25519)      145..177 endpoint key (X25519)
//! 177..209 link seed (Ed25519, QUIC)    209..241 mailbox seed (Ed25519)
//! ```
//!
//! Where the root is kept elsewhere, it is version 3, and in the place of the root seed stand the root key, the delegation
//! and the seed of the delegate, as `signer.rs` says.

use super::card::{self, Card, Endpoint};
use super::introduction::{Introduction, Terms};
use super::kdf::{Key, hash, prf};
use super::prekeys::{self, Prekeys};
use super::root::Root;
use super::rows::RowKey;
use super::signer::{self, Signer};
use crate::engine::id::{EndpointId, PersonId};
use crate::wire::read::{Malformed, Reader};
use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

const MAGIC: [u8; 4] = *b"OSTK";
/// The version with a root.
const VERSION: u8 = 2;
/// Bytes of the longer encoding.
const LEN: usize = 4 + 1 + PERSON_LEN + 3 * 32;
/// Bytes of what all endpoints of a person share, at most.
pub(super) const PERSON_LEN: usize = signer::LEN + 2 * 32 + prekeys::LEN;

/// All secrets of one person on one endpoint. Wiped when dropped, never printed.
pub struct Identity {
    signer: Signer,
    pub(crate) inbox: StaticSecret,
    /// The inbox prekeys, which age with uptime.
    pub prekeys: Prekeys,
    pub(super) endpoint: SigningKey,
    pub(crate) endpoint_static: StaticSecret,
    link: Key,
    mailbox: Key,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({:?})", self.person())
    }
}

impl Identity {
    /// Makes new keys.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let prekeys = Prekeys::generate(rng);
        let mut seed = || Key::draw(rng);
        Self {
            prekeys,
            signer: Signer::Root(SigningKey::from_bytes(seed().bytes())),
            inbox: StaticSecret::from(*seed().bytes()),
            endpoint: SigningKey::from_bytes(seed().bytes()),
            endpoint_static: StaticSecret::from(*seed().bytes()),
            link: seed(),
            mailbox: seed(),
        }
    }

    /// The bytes to keep in a file that nobody else may read.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(LEN));
        out.extend_from_slice(&MAGIC);
        out.push(self.version(VERSION));
        self.signer.encode(&mut out);
        out.extend_from_slice(self.inbox.as_bytes());
        self.prekeys.encode(&mut out);
        out.extend_from_slice(self.endpoint.as_bytes());
        out.extend_from_slice(self.endpoint_static.as_bytes());
        out.extend_from_slice(self.link.bytes());
        out.extend_from_slice(self.mailbox.bytes());
        out
    }

    /// Appends the secrets that all endpoints of the person have: what signs, inbox key, prekeys, mailbox seed.
    pub(super) fn encode_person(&self, out: &mut Zeroizing<Vec<u8>>) {
        self.signer.encode(out);
        out.extend_from_slice(self.inbox.as_bytes());
        self.prekeys.encode(out);
        out.extend_from_slice(self.mailbox.bytes());
    }

    /// The version of what these keys are kept in: `with_root`, or one more without.
    pub(super) fn version(&self, with_root: u8) -> u8 {
        self.signer.version(with_root)
    }

    /// This endpoint as one of the person whose secrets [`Identity::encode_person`] wrote, with the root or `delegated`.
    pub(super) fn of_person(&self, r: &mut Reader<'_>, delegated: bool) -> Result<Self, Malformed> {
        Ok(Self {
            signer: Signer::read(r, delegated)?,
            inbox: StaticSecret::from(r.array()?),
            prekeys: Prekeys::decode(r)?,
            mailbox: Key::new(r.array()?),
            endpoint: self.endpoint.clone(),
            endpoint_static: self.endpoint_static.clone(),
            link: self.link.clone(),
        })
    }

    /// Reads what [`Identity::encode`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        if r.array()? != MAGIC {
            return Err(Malformed::Value("key file"));
        }
        let delegated = signer::is_delegated(r.u8()?, VERSION)?;
        let identity = Self {
            signer: Signer::read(&mut r, delegated)?,
            inbox: StaticSecret::from(r.array()?),
            prekeys: Prekeys::decode(&mut r)?,
            endpoint: SigningKey::from_bytes(&Zeroizing::new(r.array()?)),
            endpoint_static: StaticSecret::from(r.array()?),
            link: Key::new(r.array()?),
            mailbox: Key::new(r.array()?),
        };
        r.finish()?;
        Ok(identity)
    }

    /// Who this is.
    pub fn person(&self) -> PersonId {
        self.signer.person()
    }

    /// Whether the root key is here, rather than a delegate of it.
    pub fn has_root(&self) -> bool {
        !self.signer.is_delegate()
    }

    /// The root key, to be kept elsewhere, if it is here.
    pub fn root(&self) -> Option<Root> {
        Root::of(&self.signer)
    }

    /// The same keys with a new delegate in the place of the root.
    ///
    /// `root` is of the same person. It has to be durable with its new number before these keys are used.
    pub fn without_root(&self, root: &mut Root, rng: &mut impl CryptoRng) -> Self {
        Self {
            signer: root.delegate(self.signer.number(), rng),
            inbox: self.inbox.clone(),
            prekeys: self.prekeys.clone(),
            endpoint: self.endpoint.clone(),
            endpoint_static: self.endpoint_static.clone(),
            link: self.link.clone(),
            mailbox: self.mailbox.clone(),
        }
    }

    /// This endpoint with new keys for all that the endpoints of the person share: what others of them know opens nothing
    /// of what comes, and what they sign is stale. As [`Identity::without_root`] otherwise.
    pub fn renewed(&self, root: &mut Root, rng: &mut impl CryptoRng) -> Self {
        Self {
            signer: root.delegate(self.signer.number(), rng),
            prekeys: self.prekeys.anew(rng),
            endpoint: self.endpoint.clone(),
            endpoint_static: self.endpoint_static.clone(),
            link: self.link.clone(),
            ..Self::generate(rng)
        }
    }

    /// Makes new keys for the person of a root.
    pub fn of_root(root: &mut Root, rng: &mut impl CryptoRng) -> Self {
        Self {
            signer: root.delegate(0, rng),
            ..Self::generate(rng)
        }
    }

    /// Which endpoint this is.
    pub fn endpoint(&self) -> EndpointId {
        EndpointId(self.endpoint.verifying_key().to_bytes())
    }

    /// The public half of the static key of this endpoint, by which its sessions name it.
    pub fn endpoint_key(&self) -> [u8; 32] {
        PublicKey::from(&self.endpoint_static).to_bytes()
    }

    /// What a card says of this endpoint.
    pub fn described(&self) -> Endpoint {
        Endpoint {
            id: self.endpoint().0,
            key: self.endpoint_key(),
            link: self.link_key(),
        }
    }

    /// Another endpoint of the same person, with new keys of its own.
    pub fn another_endpoint(&self, rng: &mut impl CryptoRng) -> Self {
        let new = Self::generate(rng);
        Self {
            signer: self.signer.clone(),
            inbox: self.inbox.clone(),
            prekeys: self.prekeys.clone(),
            mailbox: self.mailbox.clone(),
            ..new
        }
    }

    /// The seed of the Ed25519 key that names this endpoint to the far side of a QUIC link.
    pub fn link_seed(&self) -> &Key {
        &self.link
    }

    /// The seed of the Ed25519 key that opens this person's mailboxes.
    pub fn mailbox_seed(&self) -> &Key {
        &self.mailbox
    }

    /// The key of what the store of this endpoint keeps. It stays the same as long as the endpoint does.
    pub fn row_key(&self) -> RowKey {
        let endpoint = Key::new(*self.endpoint.as_bytes());
        RowKey::new(prf(&endpoint, "rows of the store", &[]))
    }

    /// The public half of the mailbox key.
    pub fn mailbox_key(&self) -> [u8; 32] {
        SigningKey::from_bytes(self.mailbox.bytes())
            .verifying_key()
            .to_bytes()
    }

    /// The public half of the link key.
    pub fn link_key(&self) -> [u8; 32] {
        SigningKey::from_bytes(self.link.bytes())
            .verifying_key()
            .to_bytes()
    }

    /// Signs a contact card of this person that names this endpoint alone.
    pub fn card(&self, name: &str, sequence: u64, relays: Vec<String>) -> Card {
        self.card_of(name, sequence, relays, vec![self.described()])
    }

    /// Signs a contact card of this person that names these endpoints.
    pub fn card_of(
        &self,
        name: &str,
        sequence: u64,
        relays: Vec<String>,
        endpoints: Vec<Endpoint>,
    ) -> Card {
        let body = card::Body {
            sequence,
            name: name.to_owned(),
            root: self.person().0,
            inbox: PublicKey::from(&self.inbox).to_bytes(),
            prekeys: self.prekeys.published(),
            endpoints,
            mailbox: self.mailbox_key(),
            relays,
            capabilities: card::capabilities(),
            largest: None,
        };
        Card::sign(body, &self.signer)
    }

    /// Signs the card that follows another one of this person. Another endpoint may have made that, whose prekeys have gone
    /// further than ours.
    pub fn card_after(
        &self,
        last: &Card,
        name: &str,
        relays: Vec<String>,
        endpoints: Vec<Endpoint>,
        largest: Option<u64>,
    ) -> Card {
        let mut prekeys = self.prekeys.clone();
        let first = last.body().prekeys.first();
        if let Some(first) = first.filter(|_| self.has_inbox_of(last)) {
            prekeys.catch_up(first.id);
        }
        let sequence = last.body().sequence.saturating_add(1);
        let new = self.card_of(name, sequence, relays, endpoints);
        // Endpoints whose programs differ do not correct each other for ever: what one of them cannot do is not promised.
        let capabilities = match new.body().endpoints.len() {
            0 | 1 => card::capabilities(),
            _ => card::capabilities() & last.body().capabilities,
        };
        let body = card::Body {
            prekeys: prekeys.published(),
            capabilities,
            largest,
            ..new.body().clone()
        };
        Card::sign(body, &self.signer)
    }

    fn has_inbox_of(&self, card: &Card) -> bool {
        card.body().inbox == PublicKey::from(&self.inbox).to_bytes()
    }

    /// Whether these keys were made after a card of this person, in the place of those that it names.
    pub fn renews(&self, card: &Card) -> bool {
        self.signer.number() > card.number() && !self.has_inbox_of(card)
    }

    /// Vouches to `recipient` for a card of somebody else. Unlike all that is sealed, this is signed.
    pub fn introduce(&self, recipient: PersonId, card: &Card, terms: Terms) -> Introduction {
        Introduction::sign(terms, &self.signer, recipient, card)
    }
}

/// The number that two persons compare aloud: 60 digits in twelve groups of five, the same on both sides.
///
/// Each half is made of one person's root key, by 5200 rounds of BLAKE3, so that searching for a key with a
/// similar number costs accordingly. The lower half stands first.
pub fn safety_number(a: PersonId, b: PersonId) -> String {
    let mut halves = [digits(a), digits(b)];
    halves.sort();
    let text = halves.concat();
    let groups: Vec<&str> = (0..12).filter_map(|i| text.get(i * 5..i * 5 + 5)).collect();
    groups.join(" ")
}

/// Half of a safety number.
pub(super) fn digits(person: PersonId) -> String {
    let mut state = hash("safety number", &[&person.0]);
    for _ in 0..5200 {
        state = hash("safety number", &[&state, &person.0]);
    }
    let number = |chunk: &[u8]| chunk.iter().fold(0u64, |n, &b| n << 8 | u64::from(b)) % 100_000;
    state
        .chunks_exact(5)
        .map(number)
        .map(|n| format!("{n:05}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    fn identity(seed: u64) -> Identity {
        Identity::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(seed))
    }

    #[test]
    fn a_key_file_reads_back_and_another_version_is_refused_by_name() {
        let me = identity(1);
        let bytes = me.encode();
        let read = Identity::decode(&bytes).unwrap();
        assert_eq!(*read.encode(), *bytes);
        let mut other = bytes.to_vec();
        other[4] = 9;
        assert_eq!(Identity::decode(&other).unwrap_err(), Malformed::Version(9));
        assert!(Identity::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    /// Guards that a home without its root signs as the same person, that a renewed one shares nothing of what its other
    /// devices had, and that a root counts on from what a home knows.
    #[test]
    fn keys_live_on_without_their_root_and_are_renewed_by_it() {
        let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(9);
        let me = identity(1);
        let mut root = me.root().unwrap();
        let without = me.without_root(&mut root, &mut rng);
        let read = Identity::decode(&without.encode()).unwrap();
        assert_eq!(*read.encode(), *without.encode());
        assert!(!read.has_root() && read.root().is_none());
        let seed = me.encode()[5..37].to_vec();
        assert!(!without.encode().windows(32).any(|bytes| bytes == seed));
        // An older copy of the root does not fall behind the home.
        let mut copy = me.root().unwrap();
        let renewed = read.renewed(&mut copy, &mut rng);
        assert_eq!((root.number(), copy.number()), (1, 2));
        let [old, new] = [&without, &renewed].map(|keys| keys.card("Me", 1, vec![]));
        assert_eq!(new.person(), old.person());
        assert_eq!(new.body().endpoints, old.body().endpoints);
        assert_ne!(new.body().inbox, old.body().inbox);
        assert_ne!(new.body().mailbox, old.body().mailbox);
        assert!(new.body().prekeys[0].id > old.body().prekeys[1].id);
        assert!(renewed.renews(&old) && !without.renews(&new) && !renewed.renews(&new));
    }

    #[test]
    fn both_sides_read_the_same_sixty_digits_aloud() {
        let (a, b, c) = (
            identity(1).person(),
            identity(2).person(),
            identity(3).person(),
        );
        let number = safety_number(a, b);
        assert_eq!(number, safety_number(b, a));
        assert_ne!(number, safety_number(a, c));
        assert_eq!(
            number
                .split(' ')
                .filter(|g| g.len() == 5 && g.bytes().all(|d| d.is_ascii_digit()))
                .count(),
            12
        );
    }
}
