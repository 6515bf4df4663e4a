//! An invitation: one's own card and a secret that is good once, for whoever it is given to.
//!
//! ```text
//! 0..2   "OV"
//! 2      version = 1
//! 3..11  id, random
//! 11..43 secret, random
//! 43..47 check: H("invitation", everything before it ‖ the card)[..4]
//! 47..49 length of the card
//! 49..   the card of who invites
//! ```
//!
//! The check finds what was damaged on the way. It proves nothing: who can change an invitation can make one. As text it is
//! `ostrakon-invite:` and base32, read as cards are.

use super::card::{Card, CardError, is_hidden};
use super::kdf::{Key, hash};
use crate::engine::id::{from_base32, to_base32};
use crate::wire::preamble::INVITATION;
use crate::wire::read::{Malformed, Reader};

const HEAD: [u8; 3] = *b"OV\x01";
const PREFIX: &str = "ostrakon-invite:";
const CHECK: usize = 4;
/// Bytes before the card.
const FIXED: usize = 49;
/// How much of a text is searched for an invitation, in characters.
const MAX_TEXT: usize = 65_536;

/// Names an invitation to who has given it and to who has it.
pub type Id = [u8; INVITATION];

/// What the sender needs of an invitation to use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Which.
    pub id: Id,
    /// What goes into the key agreement.
    pub secret: Key,
}

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// What is good once.
    pub ticket: Ticket,
    /// Of who invites.
    pub card: Card,
}

/// Why an invitation was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// Something else, or cut short.
    #[error("this is no invitation; it starts with {PREFIX} and has to be copied whole")]
    Form,
    /// A version that this program does not know.
    #[error("this invitation is of version {0}, which this program does not know; update it")]
    Version(u8),
    /// It is not what was made.
    #[error("this invitation is damaged; ask for it again")]
    Damaged,
    /// Its card does not read.
    #[error(transparent)]
    Card(#[from] CardError),
}

impl From<Malformed> for InvitationError {
    fn from(why: Malformed) -> Self {
        match why {
            Malformed::Version(version) => Self::Version(version),
            _ => Self::Form,
        }
    }
}

impl Invitation {
    /// The binary form. Secret.
    pub fn encode(&self) -> Vec<u8> {
        let card = self.card.bytes();
        let mut out = HEAD.to_vec();
        out.extend_from_slice(&self.ticket.id);
        out.extend_from_slice(self.ticket.secret.bytes());
        let check = check(&out, card);
        out.extend_from_slice(&check);
        // A card has at most 4096 bytes.
        out.extend_from_slice(&(card.len() as u16).to_be_bytes());
        out.extend_from_slice(card);
        out
    }

    /// Reads what [`Invitation::encode`] wrote.
    ///
    /// # Errors
    /// [`InvitationError`] says what is wrong and what to do.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvitationError> {
        let mut r = Reader::new(bytes);
        if r.array::<2>()? != HEAD[..2] {
            return Err(InvitationError::Form);
        }
        r.version(HEAD[2])?;
        let (id, secret) = (r.array()?, Key::new(r.array()?));
        let (found, len) = (r.array::<CHECK>()?, r.u16()?);
        let card = r.take(usize::from(len))?;
        r.finish()?;
        let head = bytes.get(..FIXED - CHECK - 2).unwrap_or_default();
        if check(head, card) != found {
            return Err(InvitationError::Damaged);
        }
        let card = Card::decode(card)?;
        let ticket = Ticket { id, secret };
        Ok(Self { ticket, card })
    }

    /// The text form, one line. Secret.
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", to_base32(&self.encode()))
    }

    /// Whether a text holds an invitation, rather than a card.
    pub fn is_in(text: &str) -> bool {
        compact(text).to_ascii_lowercase().contains(PREFIX)
    }

    /// Reads the first invitation in a text, over whatever lines it was broken, in either case.
    ///
    /// # Errors
    /// As [`Invitation::decode`].
    pub fn from_text(text: &str) -> Result<Self, InvitationError> {
        let low = compact(text).to_ascii_lowercase();
        let (_, body) = low.split_once(PREFIX).ok_or(InvitationError::Form)?;
        let digit = |b: &u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(b);
        let count = body.bytes().take_while(digit).count();
        // Eight digits are five bytes; the head says how many there are.
        let digits = |bytes: usize| (bytes * 8).div_ceil(5);
        let head = body.get(..digits(FIXED + 1)).ok_or(InvitationError::Form)?;
        let head = from_base32(head).map_err(|_| InvitationError::Damaged)?;
        let mut len = Reader::new(head.get(FIXED - 2..).unwrap_or_default());
        let whole = digits(FIXED + usize::from(len.u16()?));
        let own = body.get(..whole.min(count)).unwrap_or_default();
        Self::decode(&from_base32(own).map_err(|_| InvitationError::Damaged)?)
    }
}

fn compact(text: &str) -> String {
    let white = |c: &char| c.is_whitespace() || *c == '>' || is_hidden(*c);
    text.chars().take(MAX_TEXT).filter(|c| !white(c)).collect()
}

fn check(head: &[u8], card: &[u8]) -> [u8; CHECK] {
    let whole = hash("invitation", &[head, card]);
    let mut check = [0; CHECK];
    check.copy_from_slice(&whole[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use super::super::identity::Identity;
    use super::*;
    use rand_core::SeedableRng;

    fn invitation() -> Invitation {
        let me = Identity::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(5));
        Invitation {
            ticket: Ticket {
                id: [7; 8],
                secret: Key::new([9; 32]),
            },
            card: me.card("Amina", 3, vec![]),
        }
    }

    #[test]
    fn it_survives_paste_and_fits_one_qr_code() {
        let one = invitation();
        assert!(one.encode().len() <= 420, "{} bytes", one.encode().len());
        let text = one.to_text();
        let (head, tail) = text.split_at(99);
        for pasted in [
            text.clone(),
            text.to_uppercase(),
            format!("Take this: {head}\n> {tail}\nYours, Amina"),
        ] {
            assert!(Invitation::is_in(&pasted));
            assert_eq!(
                Invitation::from_text(&pasted).as_ref(),
                Ok(&one),
                "{pasted}"
            );
        }
        assert!(!Invitation::is_in(&one.card.to_text()));
        let cut = &text[..text.len() - 1];
        assert!(Invitation::from_text(cut).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let bytes = invitation().encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(Invitation::decode(&bad).is_err(), "bit {bit} of byte {at}");
            }
            assert!(Invitation::decode(&bytes[..at]).is_err());
        }
    }
}
