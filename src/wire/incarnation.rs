//! The note of an incarnation: which life a home is in, and which life of the recipient's home it has heard of.
//!
//! ```text
//! 0      version = 1
//! 1      flags: bit 0 an answer is wanted, bit 1 the sender has found its home to be an older one, bit 2 the recipient has
//!        other endpoints; others zero
//! 2..14  the sender's incarnation: number 4, from 1 on, and mark 8, random
//! 14..26 the newest incarnation of the recipient that the sender has heard of, likewise; zeros if of none
//! 26..34 with bit 2: the first 8 bytes of the static key of the endpoint that is meant, since others may hear it too
//! ```
//!
//! An incarnation is a home from one start to the next, a day of uptime at most. A home that knows less of itself than others
//! have heard was restored from an older image, or there are two of it.

use super::read::{Malformed, Reader};

const VERSION: u8 = 1;
/// Bytes of a note that names no endpoint.
pub const LEN: usize = 2 + 2 * Incarnation::LEN;

/// A life of a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Counts up from 1.
    pub number: u32,
    /// Random: two homes from one image have the same numbers.
    pub mark: [u8; 8],
}

impl Incarnation {
    /// Bytes of one.
    pub const LEN: usize = 12;

    /// Appends it.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.mark);
    }

    /// Reads what [`Incarnation::put`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        match Self::read_any(r)? {
            Some(incarnation) => Ok(incarnation),
            None => Err(Malformed::Value("incarnation")),
        }
    }

    /// One, or zeros for none.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn read_any(r: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        let (number, mark) = (r.u32()?, r.array()?);
        match (number, mark) {
            (0, [0, 0, 0, 0, 0, 0, 0, 0]) => Ok(None),
            (0, _) => Err(Malformed::Value("incarnation")),
            _ => Ok(Some(Self { number, mark })),
        }
    }
}

/// The note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The sender does not know whether the recipient has heard of `own`.
    pub wants_answer: bool,
    /// `own` began when the sender found that its home is older than others have heard.
    pub went_back: bool,
    /// The sender's incarnation.
    pub own: Incarnation,
    /// The newest of the recipient that the sender has heard of.
    pub seen: Option<Incarnation>,
    /// How the static key of the endpoint begins that is meant, if the recipient has several.
    pub to: Option<[u8; 8]>,
}

impl Note {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let flags = u8::from(self.wants_answer) | u8::from(self.went_back) << 1;
        let mut out = vec![VERSION, flags | u8::from(self.to.is_some()) << 2];
        self.own.put(&mut out);
        match &self.seen {
            Some(seen) => seen.put(&mut out),
            None => out.resize(LEN, 0),
        }
        out.extend(self.to.iter().flatten());
        out
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.version(VERSION)?;
        let flags = r.u8()?;
        if flags > 7 {
            return Err(Malformed::Value("incarnation flags"));
        }
        let note = Self {
            wants_answer: flags & 1 != 0,
            went_back: flags & 2 != 0,
            own: Incarnation::read(&mut r)?,
            seen: Incarnation::read_any(&mut r)?,
            to: (flags & 4 != 0).then(|| r.array()).transpose()?,
        };
        r.finish()?;
        Ok(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Guards that there is one encoding of each note, and that whatever comes is read or refused.
        #[test]
        fn whatever_is_read_is_the_only_encoding_of_itself(
            mut bytes in prop::collection::vec(any::<u8>(), 0..LEN + 10),
            version in 0u8..3,
            flags in 0u8..10,
        ) {
            bytes.iter_mut().zip([version, flags]).for_each(|(byte, value)| *byte = value);
            if let Ok(note) = Note::decode(&bytes) {
                prop_assert_eq!(note.encode(), bytes);
            }
        }
    }

    #[test]
    fn notes_read_back_and_others_are_refused_by_name() {
        let own = Incarnation {
            number: 7,
            mark: [9; 8],
        };
        for seen in [None, Some(own)] {
            let note = Note {
                wants_answer: true,
                went_back: false,
                own,
                seen,
                to: None,
            };
            let named = Note {
                to: Some([3; 8]),
                ..note
            };
            assert_eq!(Note::decode(&named.encode()), Ok(named));
            let bytes = note.encode();
            assert_eq!((bytes.len(), Note::decode(&bytes)), (LEN, Ok(note)));
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(Note::decode(&longer), Err(Malformed::Trailing));
            assert_eq!(Note::decode(&bytes[..LEN - 1]), Err(Malformed::Truncated));
            let unknown = [&[1, 8], &bytes[2..]].concat();
            assert_eq!(
                Note::decode(&unknown),
                Err(Malformed::Value("incarnation flags"))
            );
            let nobody = [&bytes[..2], &[0; 2 * Incarnation::LEN]].concat();
            assert_eq!(Note::decode(&nobody), Err(Malformed::Value("incarnation")));
        }
    }
}
