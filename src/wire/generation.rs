//! The records of a key exchange within a session, by which its next generation comes about.
//!
//! ```text
//! 0      version = 1
//! 1      kind: 1 offer, 2 answer, 3 a generation that is not known
//! 2      flags: bit 0 hybrid; others zero
//! 3..19  id of the session
//! offer:     19..23 generation, 23..55 the sender's fresh X25519 key, then if hybrid its X-Wing key 1216
//! answer:    19..23 generation, 23..55 the recipient's fresh X25519 key, 55..71 confirmation,
//!            then if hybrid the X-Wing ciphertext 1120
//! unknown:   19..31 confirmation of the preamble that named the generation; no flags
//! ```
//!
//! They travel as control records: sealed, and authentic as the rest of the session that they come in.

use super::preamble;
use super::read::{Malformed, Reader};

const VERSION: u8 = 1;
const OFFER: u8 = 1;
const ANSWER: u8 = 2;
const UNKNOWN: u8 = 3;
const HYBRID: u8 = 1;
/// Bytes of the confirmation in an answer.
pub const CONFIRM: usize = 16;
/// Bytes of an X-Wing encapsulation key.
pub const HYBRID_KEY: usize = 1216;
/// Bytes of an X-Wing ciphertext.
pub const HYBRID_CIPHERTEXT: usize = 1120;

/// The sender of a session offers its next generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which session.
    pub session: [u8; 16],
    /// The generation that would begin.
    pub generation: u32,
    /// A fresh X25519 key.
    pub key: [u8; 32],
    /// An X-Wing encapsulation key of [`HYBRID_KEY`] bytes, if the exchange is hybrid.
    pub hybrid: Option<Vec<u8>>,
}

/// The recipient of the session answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which session.
    pub session: [u8; 16],
    /// The generation that was offered.
    pub generation: u32,
    /// A fresh X25519 key.
    pub key: [u8; 32],
    /// Shows that its author has derived the generation from this very offer.
    pub confirm: [u8; CONFIRM],
    /// An X-Wing ciphertext of [`HYBRID_CIPHERTEXT`] bytes, if the exchange is hybrid.
    pub hybrid: Option<Vec<u8>>,
}

/// A record of the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// See [`Offer`].
    Offer(Offer),
    /// See [`Answer`].
    Answer(Answer),
    /// A preamble named a generation that its recipient does not know, so nothing of it opens.
    Unknown {
        /// The session of the preamble.
        session: [u8; 16],
        /// Its confirmation, which says which preamble it was.
        confirm: [u8; preamble::CONFIRM],
    },
}

impl Exchange {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Offer(offer) => {
                put_head(&mut out, OFFER, &offer.session, offer.hybrid.as_ref());
                out.extend_from_slice(&offer.generation.to_be_bytes());
                out.extend_from_slice(&offer.key);
                out.extend_from_slice(offer.hybrid.as_deref().unwrap_or_default());
            }
            Self::Answer(answer) => {
                put_head(&mut out, ANSWER, &answer.session, answer.hybrid.as_ref());
                out.extend_from_slice(&answer.generation.to_be_bytes());
                out.extend_from_slice(&answer.key);
                out.extend_from_slice(&answer.confirm);
                out.extend_from_slice(answer.hybrid.as_deref().unwrap_or_default());
            }
            Self::Unknown { session, confirm } => {
                put_head(&mut out, UNKNOWN, session, None);
                out.extend_from_slice(confirm);
            }
        }
        out
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.version(VERSION)?;
        let (kind, flags) = (r.u8()?, r.u8()?);
        if !matches!(kind, OFFER | ANSWER | UNKNOWN) {
            return Err(Malformed::Value("kind of a generation record"));
        }
        if flags > if kind == UNKNOWN { 0 } else { HYBRID } {
            return Err(Malformed::Value("generation flags"));
        }
        let (session, hybrid) = (r.array()?, flags & HYBRID != 0);
        let exchange = match kind {
            OFFER => Self::Offer(Offer {
                session,
                generation: generation(&mut r)?,
                key: r.array()?,
                hybrid: take(&mut r, hybrid, HYBRID_KEY)?,
            }),
            ANSWER => Self::Answer(Answer {
                session,
                generation: generation(&mut r)?,
                key: r.array()?,
                confirm: r.array()?,
                hybrid: take(&mut r, hybrid, HYBRID_CIPHERTEXT)?,
            }),
            _ => Self::Unknown {
                session,
                confirm: r.array()?,
            },
        };
        r.finish()?;
        Ok(exchange)
    }
}

fn put_head(out: &mut Vec<u8>, kind: u8, session: &[u8; 16], hybrid: Option<&Vec<u8>>) {
    out.extend_from_slice(&[VERSION, kind, u8::from(hybrid.is_some())]);
    out.extend_from_slice(session);
}

/// The first generation comes with the session and is never offered.
fn generation(r: &mut Reader<'_>) -> Result<u32, Malformed> {
    match r.u32()? {
        0 => Err(Malformed::Value("generation")),
        number => Ok(number),
    }
}

fn take(r: &mut Reader<'_>, there: bool, bytes: usize) -> Result<Option<Vec<u8>>, Malformed> {
    match there {
        true => Ok(Some(r.take(bytes)?.to_vec())),
        false => Ok(None),
    }
}

/// The content of a note that a session is known: its id, and the generation unless that is the first.
pub fn session_ack(session: [u8; 16], generation: u32) -> Vec<u8> {
    let mut out = session.to_vec();
    if generation > 0 {
        out.extend_from_slice(&generation.to_be_bytes());
    }
    out
}

/// Reads what [`session_ack`] wrote.
///
/// # Errors
/// [`Malformed`] if it is something else.
pub fn read_session_ack(bytes: &[u8]) -> Result<([u8; 16], u32), Malformed> {
    let mut r = Reader::new(bytes);
    let session = r.array()?;
    if r.is_empty() {
        return Ok((session, 0));
    }
    let number = generation(&mut r)?;
    r.finish()?;
    Ok((session, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Guards that there is one encoding of each record, and that whatever comes is read or refused.
        #[test]
        fn whatever_is_read_is_the_only_encoding_of_itself(
            mut bytes in prop::collection::vec(any::<u8>(), 0..80),
            version in 0u8..3,
            kind in 0u8..5,
            flags in 0u8..3,
            hybrid in prop::sample::select(vec![0, HYBRID_KEY, HYBRID_CIPHERTEXT]),
        ) {
            bytes.iter_mut().zip([version, kind, flags]).for_each(|(byte, value)| *byte = value);
            bytes.resize(bytes.len() + hybrid, 7);
            if let Ok(exchange) = Exchange::decode(&bytes) {
                prop_assert_eq!(exchange.encode(), bytes);
            }
        }

        #[test]
        fn notes_of_a_known_session_read_back(session in any::<[u8; 16]>(), generation in any::<u32>()) {
            let note = session_ack(session, generation);
            prop_assert_eq!(read_session_ack(&note), Ok((session, generation)));
            let longer = [&note[..], &[0]].concat();
            prop_assert!(read_session_ack(&longer).is_err());
        }
    }
}
