//! An introduction: one contact vouches to another for the card of a third person.
//!
//! ```text
//! 0..2     "OI"
//! 2        version = 1, signed by the root key; 2, signed by a delegate
//! 3        how often it may be used = 1
//! 4..8     for how long, in seconds
//! 8..24    id, random
//! 24..56   root key of who introduces
//! 56..88   root key of whom it is for
//! 88..120  root key of who is introduced
//! 120..152 digest of the card
//! 152      length of the note, at most 128
//! 153..    note
//! 64 bytes Ed25519 signature by the root key of who introduces, over everything before it; of version 2 the delegation stands
//!          before it: see [`super::signer`]
//! ...      the card
//! ```
//!
//! What is signed names all three persons and the card, so it is good for nobody else and for no other card. Without the
//! card it still shows who introduced whom to whom.

use super::card::{Card, CardError, is_visible};
use super::kdf::hash;
use super::signer::{self, Signer};
use crate::engine::id::PersonId;
use crate::wire::read::{Malformed, Reader};
use std::time::Duration;

const MAGIC: [u8; 2] = *b"OI";
/// The version of what a root has signed.
const VERSION: u8 = 1;
/// How often an introduction may be used.
const USES: u8 = 1;
/// Bytes before the note.
const FIXED: usize = 153;
/// The media type of a part that holds an introduction.
pub const MEDIA_TYPE: &str = "application/x-ostrakon-introduction";
/// The longest note, in bytes.
pub const MAX_NOTE: usize = 128;
/// How long an introduction is good at most, in seconds.
pub const MAX_TIME: u32 = 366 * 24 * 3600;

/// Names an introduction.
pub type Id = [u8; 16];

/// What its author decides of an introduction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Random.
    pub id: Id,
    /// For how many seconds it is good, 1 to [`MAX_TIME`]. Whom it is for counts them by its own uptime, from when it came.
    pub seconds: u32,
    /// A word to whom it is for, at most [`MAX_NOTE`] bytes, all of them visible.
    pub note: String,
}

/// An introduction whose signature was checked, with the card of who is introduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    terms: Terms,
    introducer: PersonId,
    recipient: PersonId,
    card: Card,
    /// Of the delegation that it was signed under.
    number: u32,
    bytes: Vec<u8>,
}

/// Why an introduction was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntroductionError {
    /// Something else, or cut short.
    #[error("this is no introduction, or a piece of one; ask for it again")]
    Form,
    /// A version that this program does not know.
    #[error("this introduction is of version {0}, which this program does not know; update it")]
    Version(u8),
    /// A field makes no sense.
    #[error("this introduction has no usable {0}; ask for a new one")]
    Field(&'static str),
    /// The signature does not match.
    #[error(
        "the signature of this introduction is wrong: it was changed or forged; ask for it again"
    )]
    Signature,
    /// Signed by a key that its author's root has replaced.
    #[error(
        "this introduction was signed with a key that its author has replaced; ask the author for another one"
    )]
    Replaced,
    /// Its card does not read.
    #[error(transparent)]
    Card(#[from] CardError),
    /// Its card is not the one that was signed for.
    #[error("this introduction comes with another card than it was signed for; ask for a new one")]
    OtherCard,
    /// It is addressed to another person.
    #[error("this introduction is for somebody else; ask who sent it for one of your own")]
    Foreign,
    /// It came from another person than its author.
    #[error("this introduction was passed on; only its author can introduce: ask the author")]
    PassedOn,
    /// It was used, declined or has run out.
    #[error("this introduction was used or declined, or has run out; ask for a new one")]
    Spent,
    /// It is here already.
    #[error("this introduction waits already; accept or decline it")]
    Waiting,
    /// Its author has introduced too many.
    #[error("too many introductions wait; accept or decline some, then ask for it again")]
    TooMany,
    /// The person is a contact.
    #[error(
        "you know this person already, and an introduction changes nobody's card; decline the introduction"
    )]
    Known,
    /// A contact is called the same.
    #[error(
        "you know somebody else by this name already; compare safety numbers, then take the card in with `ostrakon person add`, or decline the introduction"
    )]
    NameTaken,
}

impl From<Malformed> for IntroductionError {
    fn from(_: Malformed) -> Self {
        Self::Form
    }
}

impl Introduction {
    pub(super) fn sign(terms: Terms, signer: &Signer, recipient: PersonId, card: &Card) -> Self {
        let introducer = signer.person();
        let mut bytes = MAGIC.to_vec();
        bytes.push(signer.version(VERSION));
        bytes.push(USES);
        bytes.extend_from_slice(&terms.seconds.to_be_bytes());
        bytes.extend_from_slice(&terms.id);
        bytes.extend_from_slice(&introducer.0);
        bytes.extend_from_slice(&recipient.0);
        bytes.extend_from_slice(&card.person().0);
        bytes.extend_from_slice(&digest(card.bytes()));
        bytes.push(terms.note.len() as u8);
        bytes.extend_from_slice(terms.note.as_bytes());
        signer.sign(&mut bytes);
        bytes.extend_from_slice(card.bytes());
        Self {
            terms,
            introducer,
            recipient,
            card: card.clone(),
            number: signer.number(),
            bytes,
        }
    }

    /// Reads and verifies, in the order of the fields, then the signature, then the card.
    ///
    /// # Errors
    /// [`IntroductionError`] says what is wrong and what to do.
    pub fn decode(bytes: &[u8]) -> Result<Self, IntroductionError> {
        let mut r = Reader::new(bytes);
        let [o, i, version] = r.array()?;
        if [o, i] != MAGIC {
            return Err(IntroductionError::Form);
        }
        let delegated = signer::is_delegated(version, VERSION);
        let delegated = delegated.map_err(|_| IntroductionError::Version(version))?;
        if r.u8()? != USES {
            return Err(IntroductionError::Field("number of uses"));
        }
        let (seconds, id) = (r.u32()?, r.array()?);
        let [introducer, recipient, introduced] =
            [r.array()?, r.array()?, r.array()?].map(PersonId);
        let card_digest: [u8; 32] = r.array()?;
        let len = usize::from(r.u8()?);
        let note = std::str::from_utf8(r.take(len)?).unwrap_or("\0").to_owned();
        let terms = Terms { id, seconds, note };
        terms.check()?;
        if introducer == recipient || introducer == introduced || recipient == introduced {
            return Err(IntroductionError::Field("three persons"));
        }
        let trailer = signer::trailer_len(delegated);
        let signed = bytes.get(..FIXED + len + trailer);
        let signed = signed.ok_or(IntroductionError::Form)?;
        let number = signer::verify(&introducer.0, delegated, signed);
        let number = number.ok_or(IntroductionError::Signature)?;
        r.take(trailer)?;
        let rest = r.rest();
        if digest(rest) != card_digest {
            return Err(IntroductionError::OtherCard);
        }
        let card = Card::decode(rest)?;
        if card.person() != introduced {
            return Err(IntroductionError::OtherCard);
        }
        Ok(Self {
            terms,
            introducer,
            recipient,
            card,
            number,
            bytes: bytes.to_vec(),
        })
    }

    /// What its author has decided.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Who introduces.
    pub fn introducer(&self) -> PersonId {
        self.introducer
    }

    /// Whom it is for.
    pub fn recipient(&self) -> PersonId {
        self.recipient
    }

    /// The number of the delegation that it was signed under; 0 if the root has signed.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The card of who is introduced.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The binary form.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Terms {
    /// Whether an introduction may have them.
    ///
    /// # Errors
    /// [`IntroductionError::Field`] names what is out of bounds.
    pub fn check(&self) -> Result<(), IntroductionError> {
        if !(1..=MAX_TIME).contains(&self.seconds) {
            return Err(IntroductionError::Field("time"));
        }
        if self.note.len() > MAX_NOTE || !is_visible(&self.note) {
            return Err(IntroductionError::Field("note"));
        }
        Ok(())
    }

    /// For how long it is good.
    pub fn time(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }
}

fn digest(card: &[u8]) -> [u8; 32] {
    hash("introduced card", &[card])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::identity::Identity;
    use rand_core::SeedableRng;

    fn identity(seed: u64) -> Identity {
        Identity::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(seed))
    }

    fn terms() -> Terms {
        Terms {
            id: [7; 16],
            seconds: 3600,
            note: "the doctor".into(),
        }
    }

    #[test]
    fn an_introduction_reads_back_and_every_flipped_bit_and_every_cut_is_refused() {
        let (m, a, b) = (identity(1), identity(2), identity(3));
        let card = b.card("Bo", 1, vec![]);
        let made = m.introduce(a.person(), &card, terms());
        assert_eq!(Introduction::decode(made.bytes()).as_ref(), Ok(&made));
        assert_eq!((made.introducer(), made.card()), (m.person(), &card));
        for at in 0..made.bytes().len() {
            for bit in 0..8 {
                let mut bad = made.bytes().to_vec();
                bad[at] ^= 1 << bit;
                assert!(
                    Introduction::decode(&bad).is_err(),
                    "bit {bit} of byte {at}"
                );
            }
            assert!(Introduction::decode(&made.bytes()[..at]).is_err());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_although_it_is_signed() {
        let (m, a, b) = (identity(1), identity(2), identity(3));
        let card = |of: &Identity| of.card("Bo", 1, vec![]);
        let refused = |terms: Terms, to: &Identity, of: &Identity| {
            let made = m.introduce(to.person(), &card(of), terms);
            Introduction::decode(made.bytes()).unwrap_err()
        };
        for seconds in [0, MAX_TIME + 1] {
            let why = refused(Terms { seconds, ..terms() }, &a, &b);
            assert_eq!(why, IntroductionError::Field("time"));
        }
        for note in ["a\nb".into(), "\u{202e}".into(), "x".repeat(MAX_NOTE + 1)] {
            let why = refused(Terms { note, ..terms() }, &a, &b);
            assert_eq!(why, IntroductionError::Field("note"));
        }
        for (to, of) in [(&a, &a), (&m, &b), (&a, &m)] {
            let why = refused(terms(), to, of);
            assert_eq!(why, IntroductionError::Field("three persons"));
        }
    }
}
