//! A short number that two persons read to each other over a voice channel, in place of the sixty digits.
//!
//! Six digits would be searched for in a moment, if anybody could choose a key or a nonce for them. So each side first
//! commits to a nonce, and shows it only when the other side is committed as well: whoever sits between has one guess in
//! a million for each time that a person asks for a number.
//!
//! ```text
//! 0        version = 1
//! 1        kind: 1 commitment, 2 nonce
//! 2..34    commitment = H("voice commitment", nonce, root key of its author, root key of the other), or the nonce
//! ```

use super::kdf::{Key, hash};
use crate::engine::id::PersonId;
use crate::wire::read::{Malformed, Reader};
use subtle::ConstantTimeEq;

const VERSION: u8 = 1;
/// The media type of a part that holds a step.
pub const MEDIA_TYPE: &str = "application/x-ostrakon-voice";

/// What one side tells the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The nonce is fixed.
    Commitment([u8; 32]),
    /// This was it.
    Nonce([u8; 32]),
}

/// Why a step was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoiceError {
    /// Something else.
    #[error("this is no step of a comparison by voice; update the program of the other side")]
    Form,
    /// Another nonce than the other side was committed to.
    #[error(
        "the other side has shown another number than it was committed to; begin anew on both sides with `ostrakon person verify NAME --voice --again`"
    )]
    Mismatch,
}

/// What is known of the other side's nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Theirs {
    commitment: [u8; 32],
    nonce: Option<[u8; 32]>,
}

/// One comparison, seen from one side.
#[derive(Clone, Debug, Default)]
pub struct Voice {
    mine: Option<Key>,
    /// Our commitment is on its way.
    committed: bool,
    /// Our nonce is on its way: the other side's commitment cannot be changed any more.
    shown: bool,
    theirs: Option<Theirs>,
    /// The other side has begun anew since.
    next: Option<[u8; 32]>,
}

/// Both ends of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Whose side this is.
    pub me: PersonId,
    /// The other one.
    pub peer: PersonId,
}

impl Step {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, bytes) = match self {
            Self::Commitment(bytes) => (1, bytes),
            Self::Nonce(bytes) => (2, bytes),
        };
        [&[VERSION, kind][..], bytes].concat()
    }

    /// Reads what [`Step::encode`] wrote.
    ///
    /// # Errors
    /// [`VoiceError::Form`] if it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, VoiceError> {
        match bytes.split_first_chunk() {
            Some(([VERSION, 1], rest)) => rest.try_into().map(Self::Commitment),
            Some(([VERSION, 2], rest)) => rest.try_into().map(Self::Nonce),
            _ => return Err(VoiceError::Form),
        }
        .map_err(|_| VoiceError::Form)
    }
}

impl Voice {
    /// Begins, or begins anew, with a nonce that nobody has seen. Only a person may ask for it: each time is a guess for
    /// whoever sits between.
    pub fn begin(&mut self, nonce: Key) {
        // Who has answered our last commitment knows nothing of this one.
        let waiting = self.theirs.take().filter(|_| self.mine.is_none());
        let next = self.next.map(|commitment| Theirs {
            commitment,
            nonce: None,
        });
        *self = Self {
            mine: Some(nonce),
            theirs: next.or(waiting),
            ..Self::default()
        };
    }

    /// Whether it was begun on this side.
    pub fn is_begun(&self) -> bool {
        self.mine.is_some()
    }

    /// Whether the other side has begun anew, so that this one leads nowhere.
    pub fn is_overtaken(&self) -> bool {
        self.next.is_some()
    }

    /// Takes in a step of the other side.
    ///
    /// # Errors
    /// [`VoiceError`]; nothing has changed then.
    pub fn take(&mut self, step: Step, ends: Ends) -> Result<(), VoiceError> {
        let (commitment, nonce) = match step {
            Step::Commitment(commitment) => (commitment, None),
            Step::Nonce(nonce) => (commitment(&nonce, ends.peer, ends.me), Some(nonce)),
        };
        match (&mut self.theirs, nonce) {
            // The two may overtake each other on their way.
            (Some(theirs), _) if bool::from(theirs.commitment.ct_eq(&commitment)) => {
                theirs.nonce = theirs.nonce.or(nonce);
            }
            (Some(_), Some(_)) if self.shown => return Err(VoiceError::Mismatch),
            (Some(_), None) if self.shown => self.next = Some(commitment),
            // Ours was not shown, so whatever comes was fixed without it.
            _ => self.theirs = Some(Theirs { commitment, nonce }),
        }
        Ok(())
    }

    /// The next step for the other side, if one is due. It counts as told; keep that before it leaves.
    pub fn next_step(&mut self, ends: Ends) -> Option<Step> {
        let mine = self.mine.as_ref()?.bytes();
        if !self.committed {
            self.committed = true;
            return Some(Step::Commitment(commitment(mine, ends.me, ends.peer)));
        }
        // Shown too early, it could be answered with a nonce that was searched for.
        if self.theirs.is_none() || self.shown {
            return None;
        }
        self.shown = true;
        Some(Step::Nonce(*mine))
    }

    /// The six digits, once both nonces are here and ours was fixed for theirs.
    pub fn number(&self, ends: Ends) -> Option<String> {
        let theirs = self.theirs.as_ref()?.nonce?;
        let mine = self.mine.as_ref().filter(|_| self.shown)?.bytes();
        let mut both = [(ends.me, *mine), (ends.peer, theirs)];
        both.sort();
        let [(a, of_a), (b, of_b)] = &both;
        let digest = hash("voice number", &[&a.0, &b.0, of_a, of_b]);
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        let number = u64::from_be_bytes(first) % 1_000_000;
        Some(format!("{:03} {:03}", number / 1000, number % 1000))
    }

    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        let nonce = self.theirs.as_ref().and_then(|theirs| theirs.nonce);
        let fields = [
            self.mine.as_ref().map(|key| *key.bytes()),
            self.theirs.as_ref().map(|theirs| theirs.commitment),
            nonce,
            self.next,
        ];
        let mut out = vec![VERSION, u8::from(self.committed), u8::from(self.shown)];
        for field in fields {
            out.push(u8::from(field.is_some()));
            out.extend_from_slice(&field.unwrap_or_default());
        }
        out
    }

    /// Reads what [`Voice::encode`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.version(VERSION)?;
        let (committed, shown) = (r.u8()? == 1, r.u8()? == 1);
        let mut field = || Ok((r.u8()? == 1, r.array()?));
        let fields: [(bool, [u8; 32]); 4] = [field()?, field()?, field()?, field()?];
        r.finish()?;
        let [mine, commitment, nonce, next] = fields.map(|(is, bytes)| is.then_some(bytes));
        Ok(Self {
            mine: mine.map(Key::new),
            committed,
            shown,
            theirs: commitment.map(|commitment| Theirs { commitment, nonce }),
            next,
        })
    }
}

fn commitment(nonce: &[u8; 32], author: PersonId, other: PersonId) -> [u8; 32] {
    hash("voice commitment", &[nonce, &author.0, &other.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PersonId = PersonId([1; 32]);
    const B: PersonId = PersonId([2; 32]);
    const M: PersonId = PersonId([3; 32]);

    fn ends(me: PersonId, peer: PersonId) -> Ends {
        Ends { me, peer }
    }

    fn begun(nonce: u8) -> Voice {
        let mut voice = Voice::default();
        voice.begin(Key::new([nonce; 32]));
        voice
    }

    /// Carries steps to and fro, through a restart of both after each, until there are none.
    fn talk(one: &mut Voice, of_one: Ends, two: &mut Voice, of_two: Ends) {
        loop {
            let steps = (one.next_step(of_one), two.next_step(of_two));
            if steps == (None, None) {
                return;
            }
            let carry = |step: Option<Step>, to: &mut Voice, ends| {
                let step = step.map(|step| Step::decode(&step.encode()).unwrap());
                step.into_iter().for_each(|s| to.take(s, ends).unwrap());
                *to = Voice::decode(&to.encode()).unwrap();
            };
            carry(steps.0, two, of_two);
            carry(steps.1, one, of_one);
        }
    }

    #[test]
    fn both_sides_see_the_same_six_digits_and_others_in_the_next_run() {
        let (mut a, mut b) = (begun(10), begun(20));
        talk(&mut a, ends(A, B), &mut b, ends(B, A));
        let number = a.number(ends(A, B)).unwrap();
        assert_eq!(number.len(), 7);
        assert_eq!(b.number(ends(B, A)), Some(number.clone()));
        a.begin(Key::new([11; 32]));
        b.begin(Key::new([21; 32]));
        talk(&mut a, ends(A, B), &mut b, ends(B, A));
        assert_ne!(a.number(ends(A, B)).unwrap(), number);
        assert_eq!(a.number(ends(A, B)), b.number(ends(B, A)));
    }

    /// Whoever begins later, or begins anew before anything was shown, is met where he is.
    #[test]
    fn one_side_may_begin_long_before_the_other() {
        let (mut a, mut b) = (begun(10), Voice::default());
        talk(&mut a, ends(A, B), &mut b, ends(B, A));
        assert!(!b.is_begun());
        a.begin(Key::new([11; 32]));
        talk(&mut a, ends(A, B), &mut b, ends(B, A));
        b.begin(Key::new([20; 32]));
        talk(&mut a, ends(A, B), &mut b, ends(B, A));
        assert!(a.number(ends(A, B)).is_some());
        assert_eq!(a.number(ends(A, B)), b.number(ends(B, A)));
    }

    /// Steps go by several links, and by sticks, so the second may come first, and either twice.
    #[test]
    fn steps_may_overtake_each_other() {
        let (mut a, mut b) = (begun(10), begun(20));
        let of_a = a.next_step(ends(A, B)).unwrap();
        b.take(of_a, ends(B, A)).unwrap();
        let [commitment, nonce] = [(); 2].map(|()| b.next_step(ends(B, A)).unwrap());
        for step in [nonce, commitment, nonce, commitment] {
            a.take(step, ends(A, B)).unwrap();
        }
        b.take(a.next_step(ends(A, B)).unwrap(), ends(B, A))
            .unwrap();
        assert!(!a.is_overtaken() && a.number(ends(A, B)).is_some());
        assert_eq!(a.number(ends(A, B)), b.number(ends(B, A)));
    }

    #[test]
    fn a_nonce_is_shown_to_nobody_who_is_not_committed_and_opens_one_commitment_only() {
        let mut a = begun(10);
        let Some(Step::Commitment(own)) = a.next_step(ends(A, B)) else {
            panic!("no commitment");
        };
        assert_eq!(a.next_step(ends(A, B)), None);
        // Our own commitment sent back opens with our nonce for us alone.
        a.take(Step::Commitment(own), ends(A, B)).unwrap();
        let shown = a.next_step(ends(A, B)).unwrap();
        assert_eq!(a.take(shown, ends(A, B)), Err(VoiceError::Mismatch));
        // Once it is shown, another commitment does not count for this run.
        let late = commitment(&[21; 32], B, A);
        a.take(Step::Commitment(late), ends(A, B)).unwrap();
        assert!(a.is_overtaken());
        let chosen = a.take(Step::Nonce([21; 32]), ends(A, B));
        assert_eq!(chosen, Err(VoiceError::Mismatch));
        assert_eq!(a.number(ends(A, B)), None);
    }

    /// Somebody who is B to A and A to B sees both numbers; the two differ.
    #[test]
    fn who_sits_between_shows_different_numbers() {
        let (mut a, mut to_a) = (begun(10), begun(30));
        let (mut b, mut to_b) = (begun(20), begun(30));
        talk(&mut a, ends(A, M), &mut to_a, ends(M, A));
        talk(&mut b, ends(B, M), &mut to_b, ends(M, B));
        let seen = (a.number(ends(A, M)).unwrap(), b.number(ends(B, M)).unwrap());
        assert_ne!(seen.0, seen.1);
    }

    #[test]
    fn steps_of_other_forms_are_refused() {
        let good = Step::Nonce([5; 32]).encode();
        for bad in [&good[..33], &[&good[..], &[0]].concat(), &[2], &[]] {
            assert_eq!(Step::decode(bad), Err(VoiceError::Form));
        }
        let other = [&[1, 3], &good[2..]].concat();
        assert_eq!(Step::decode(&other), Err(VoiceError::Form));
    }
}
