//! Grants: who may fill which mailboxes of a relay, with how much, and until when.
//!
//! ```text
//! 0..2   "OG"
//! 2      version = 1
//! 3..    canonical CBOR (RFC 8949, section 4.2.1): the issuer's key, then 1 to 4 links
//! ```
//!
//! The issuer, which is a relay or whom its operator trusts, signs the first link for a holder. A holder can sign a
//! further link for somebody else, which allows no more than its own. Holder and issuer are Ed25519 link keys: a QUIC
//! connection proves who holds a grant, so to show one costs no further signature.
//!
//! A grant is checked without asking anybody, and without a clock: the issuer's counter, which its operator turns, ends it.

use super::kdf::hash;
use crate::engine::id::{from_base32, to_base32};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use minicbor::{Decode, Encode};

/// Largest grant in bytes.
pub const MAX: usize = 1024;
/// The most links of a grant.
pub const MAX_LINKS: usize = 4;
/// The most mailboxes that one link names.
pub const MAX_MAILBOXES: usize = 8;
/// The least urgent priority, which every grant allows.
pub const LAST_PRIORITY: u8 = 3;

const HEAD: [u8; 3] = *b"OG\x01";
const PREFIX: &str = "ostrakon-grant:";
const LABEL: &[u8] = b"ostrakon grant v1";

/// Names a link of a grant: the hash of what it says and of all before it.
pub type GrantId = [u8; 32];

/// The public key of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct MailboxKey(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

/// What one link allows.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Terms {
    /// Whose it is: the link key.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub holder: [u8; 32],
    /// For which mailboxes, rising, at most [`MAX_MAILBOXES`]. If there is none: for those of the link before, in the
    /// first link for all.
    #[n(1)]
    pub mailboxes: Vec<MailboxKey>,
    /// The most bytes of frames, over the whole life of the grant.
    #[n(2)]
    pub bytes: u64,
    /// The most frames, likewise.
    #[n(3)]
    pub frames: u64,
    /// The most urgent priority, as in the carrier envelope: 0 urgent to 3 bulk.
    #[n(4)]
    pub priority: u8,
    /// The last value of the issuer's counter with which it is good.
    #[n(5)]
    pub until: u64,
    /// Random, so that no two grants are one.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub salt: [u8; 8],
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Link {
    #[n(0)]
    terms: Terms,
    #[cbor(n(1), with = "minicbor::bytes")]
    signature: [u8; 64],
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Chain {
    #[cbor(n(0), with = "minicbor::bytes")]
    issuer: [u8; 32],
    #[n(1)]
    links: Vec<Link>,
}

/// A grant whose signatures were checked, and that no link widens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    chain: Chain,
    ids: Vec<GrantId>,
    bytes: Vec<u8>,
}

/// Why a grant was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Something else, or cut short.
    #[error("this is no grant; it starts with {PREFIX} and has to be copied whole")]
    Form,
    /// A version that this program does not know.
    #[error("this grant is of version {0}, which this program does not know; update it")]
    Version(u8),
    /// Not in its one encoding.
    #[error("this grant is damaged or not in canonical form; ask for it again")]
    Encoding,
    /// Too many links, or none.
    #[error("a grant has 1 to {MAX_LINKS} links; ask the holder of a shorter one")]
    Links,
    /// Too long.
    #[error("a grant has at most {MAX} bytes; name fewer mailboxes")]
    Long,
    /// A field makes no sense.
    #[error("this grant has no usable {0}; ask for a new one")]
    Field(&'static str),
    /// A link allows more than the one before it.
    #[error(
        "this grant allows more {0} than the one that it was made from; ask for a narrower one"
    )]
    Widened(&'static str),
    /// A signature does not match.
    #[error("a signature of this grant is wrong: it was changed or forged; ask for it again")]
    Signature,
    /// Somebody else's.
    #[error("this grant is for another key; ask for one of your own")]
    Holder,
    /// The issuer's counter has gone on.
    #[error("this grant is over; ask for a new one")]
    Over,
    /// So many are remembered already.
    #[error(
        "there are {0} grants already; turn the counter with `ostrakon relay grant turn`, which forgets those that are over"
    )]
    TooMany(usize),
}

impl Grant {
    /// Makes a grant that begins with this issuer.
    ///
    /// # Errors
    /// [`GrantError`] if the terms make no sense.
    pub fn issue(terms: Terms, issuer: &SigningKey) -> Result<Self, GrantError> {
        let chain = Chain {
            issuer: issuer.verifying_key().to_bytes(),
            links: Vec::new(),
        };
        append(chain, [0; 32], terms, issuer)
    }

    /// Makes one for somebody else that allows no more. `holder` is the key of who holds this one.
    ///
    /// # Errors
    /// [`GrantError`] if the terms make no sense or allow more, or if `holder` holds another one.
    pub fn narrow(&self, terms: Terms, holder: &SigningKey) -> Result<Self, GrantError> {
        if self.terms().holder != holder.verifying_key().to_bytes() {
            return Err(GrantError::Holder);
        }
        append(self.chain.clone(), self.id(), terms, holder)
    }

    /// Reads, and verifies all signatures.
    ///
    /// # Errors
    /// [`GrantError`] says what is wrong and what to do.
    pub fn decode(bytes: &[u8]) -> Result<Self, GrantError> {
        if bytes.len() > MAX || !bytes.starts_with(&HEAD[..2]) {
            return Err(GrantError::Form);
        }
        match bytes.get(2) {
            Some(version) if *version == HEAD[2] => {}
            Some(version) => return Err(GrantError::Version(*version)),
            None => return Err(GrantError::Form),
        }
        let cbor = bytes.get(3..).ok_or(GrantError::Form)?;
        let chain: Chain = minicbor::decode(cbor).map_err(|_| GrantError::Encoding)?;
        // Without the comparison, one grant has many forms.
        if minicbor::to_vec(&chain).ok().as_deref() != Some(cbor) {
            return Err(GrantError::Encoding);
        }
        let grant = Self::of(chain, bytes.to_vec())?;
        grant.verify()?;
        Ok(grant)
    }

    /// Checks all but the signatures.
    fn of(chain: Chain, bytes: Vec<u8>) -> Result<Self, GrantError> {
        if chain.links.is_empty() || chain.links.len() > MAX_LINKS {
            return Err(GrantError::Links);
        }
        let mut allowed: Option<Terms> = None;
        let (mut ids, mut before) = (Vec::new(), [0; 32]);
        for Link { terms, .. } in &chain.links {
            check(terms)?;
            let mut effective = terms.clone();
            if let Some(allowed) = allowed.take() {
                narrows(terms, &allowed)?;
                if terms.mailboxes.is_empty() {
                    effective.mailboxes = allowed.mailboxes;
                }
            }
            before = hash("grant", &[&signed(&chain.issuer, &before, terms)]);
            ids.push(before);
            allowed = Some(effective);
        }
        Ok(Self { chain, ids, bytes })
    }

    fn verify(&self) -> Result<(), GrantError> {
        let (mut signer, mut before) = (self.chain.issuer, [0; 32]);
        for (Link { terms, signature }, id) in self.chain.links.iter().zip(&self.ids) {
            let key = VerifyingKey::from_bytes(&signer).map_err(|_| GrantError::Signature)?;
            let signed = signed(&self.chain.issuer, &before, terms);
            key.verify_strict(&signed, &Signature::from_bytes(signature))
                .map_err(|_| GrantError::Signature)?;
            (signer, before) = (terms.holder, *id);
        }
        Ok(())
    }

    /// Checks that who proved `client` may use it while the issuer's counter is `counter`.
    ///
    /// # Errors
    /// [`GrantError::Holder`], [`GrantError::Over`].
    pub fn check(&self, client: &[u8; 32], counter: u64) -> Result<(), GrantError> {
        if self.terms().holder != *client && cfg!(not(feature = "break-31")) {
            return Err(GrantError::Holder);
        }
        match counter > self.terms().until {
            true => Err(GrantError::Over),
            false => Ok(()),
        }
    }

    /// Reads the text form. White space in it and around it is ignored.
    ///
    /// # Errors
    /// As [`Grant::decode`].
    pub fn from_text(text: &str) -> Result<Self, GrantError> {
        let most = PREFIX.len() + MAX * 2;
        let compact: String = text
            .chars()
            .filter(|c| !c.is_whitespace())
            .take(most)
            .collect();
        let low = compact.to_ascii_lowercase();
        let body = low.strip_prefix(PREFIX).ok_or(GrantError::Form)?;
        Self::decode(&from_base32(body).map_err(|_| GrantError::Encoding)?)
    }

    /// The text form, one line.
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", to_base32(&self.bytes))
    }

    /// The binary form.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Who issued it.
    pub fn issuer(&self) -> &[u8; 32] {
        &self.chain.issuer
    }

    /// The links from the first to the last, each with its id. What is spent counts for each of them.
    pub fn links(&self) -> impl Iterator<Item = (&GrantId, &Terms)> {
        let terms = self.chain.links.iter().map(|link| &link.terms);
        self.ids.iter().zip(terms)
    }

    /// The id of the first link: all grants that were made from one share it.
    pub fn root(&self) -> GrantId {
        self.ids.first().copied().unwrap_or_default()
    }

    /// The id of the last link.
    pub fn id(&self) -> GrantId {
        self.ids.last().copied().unwrap_or_default()
    }

    /// What it allows its holder: the last link. For the mailboxes see [`Grant::mailboxes`].
    pub fn terms(&self) -> &Terms {
        // A grant has one link at least: `of` lets no other through.
        &self.chain.links[self.chain.links.len() - 1].terms
    }

    /// The mailboxes that it is for; all if there is none.
    pub fn mailboxes(&self) -> &[MailboxKey] {
        let named = self
            .chain
            .links
            .iter()
            .rev()
            .map(|link| &*link.terms.mailboxes);
        named
            .into_iter()
            .find(|list| !list.is_empty())
            .unwrap_or_default()
    }
}

/// Adds a link that this key signs.
fn append(
    mut chain: Chain,
    before: GrantId,
    terms: Terms,
    key: &SigningKey,
) -> Result<Grant, GrantError> {
    let signature = key.sign(&signed(&chain.issuer, &before, &terms)).to_bytes();
    chain.links.push(Link { terms, signature });
    let mut bytes = HEAD.to_vec();
    // Encoding into memory cannot fail.
    let _ = minicbor::encode(&chain, &mut bytes);
    if bytes.len() > MAX {
        return Err(GrantError::Long);
    }
    Grant::of(chain, bytes)
}

/// What is signed of a link, and what its id is the hash of.
fn signed(issuer: &[u8; 32], before: &GrantId, terms: &Terms) -> Vec<u8> {
    let mut out = [LABEL, issuer, before].concat();
    // Encoding into memory cannot fail.
    let _ = minicbor::encode(terms, &mut out);
    out
}

fn check(terms: &Terms) -> Result<(), GrantError> {
    if terms.mailboxes.len() > MAX_MAILBOXES || !terms.mailboxes.is_sorted_by(|a, b| a < b) {
        return Err(GrantError::Field("mailboxes"));
    }
    if terms.priority > LAST_PRIORITY {
        return Err(GrantError::Field("priority"));
    }
    Ok(())
}

/// Whether a link allows no more than the one before it, whose mailboxes are those that it is good for.
fn narrows(terms: &Terms, allowed: &Terms) -> Result<(), GrantError> {
    if cfg!(feature = "break-31") {
        return Ok(());
    }
    let inside = |mailbox| allowed.mailboxes.is_empty() || allowed.mailboxes.contains(mailbox);
    let wider = [
        ("mailboxes", !terms.mailboxes.iter().all(inside)),
        ("bytes", terms.bytes > allowed.bytes),
        ("frames", terms.frames > allowed.frames),
        ("urgency", terms.priority < allowed.priority),
        ("time", terms.until > allowed.until),
    ];
    match wider.into_iter().find(|(_, wider)| *wider) {
        Some((what, _)) => Err(GrantError::Widened(what)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
