//! Generations: a session mixes fresh keys of both ends into its own, so that who has stolen it is shut out.
//!
//! ```text
//! NK_g     = Expand(RK_g, "generation", g)                kept in place of RK_g
//! T        = H("generation", suite, S, g + 1, e', f', [X-Wing key, ciphertext])
//!                                                         e' fresh key of the sender, f' of the recipient
//! RK_(g+1) = Extract(T, NK_g ‖ DH(e', f') ‖ DH(e', B_s) ‖ DH(a_s, f') ‖ [X-Wing secret])
//! answer   = PRF(Expand(RK_(g+1), "answer", g + 1), "answer", T)[..16]
//! ```
//!
//! The sender offers, the recipient writes the keys down and answers, the sender writes them down and goes on with the
//! next epoch, and its preamble tells where. `DH(e', f')` shuts out who has a copy of the session and only listens. The
//! other two shut out who also sits between the ends, as long as he has not their long-term keys. Epochs count on through
//! generations, and the chain of each begins at 0, so a number alone says where in it an epoch is.

mod answering;
mod offering;

pub(super) use answering::Answering;
pub(super) use offering::Offering;

use super::{SessionError, first};
use crate::security::hybrid;
use crate::security::kdf::{Key, expand, extract, hash, prf};
use crate::wire::generation::CONFIRM;
use crate::wire::read::{Malformed, Reader};
use zeroize::Zeroizing;

/// Stands where the number of an epoch would, and says that what follows is about generations.
pub(super) const MARK: u32 = u32::MAX;

/// Why an offer or an answer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerationError {
    /// Another generation is due, or none.
    #[error("a record of a generation that is not due")]
    NotDue,
    /// The generation was offered before with other keys.
    #[error("a second offer of one generation")]
    Another,
    /// The offer is hybrid, and its key is none, or this program is built without that.
    #[error("a hybrid offer that cannot be answered")]
    Hybrid,
    /// The offer was hybrid and the answer is not, or the reverse.
    #[error("an answer that is hybrid where its offer is not, or the reverse")]
    Downgrade,
    /// Its author has not derived the generation from our offer.
    #[error("an answer that does not confirm its generation")]
    NotConfirmed,
    /// A key gives nothing away but a known result.
    #[error("a public key is of low order")]
    LowOrder,
}

impl From<SessionError> for GenerationError {
    fn from(_: SessionError) -> Self {
        Self::LowOrder
    }
}

/// The keys of a generation.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// Where its chain begins.
    chain: Key,
    /// Confirms its preambles.
    confirm: Key,
    /// What the next generation is made with.
    next: Key,
}

impl Keys {
    fn of(root: &Key, generation: u32) -> Self {
        Self {
            chain: expand(root, "chain", generation),
            confirm: expand(root, "confirm", 0),
            next: next_key(root, generation),
        }
    }

    fn store(&self, out: &mut Vec<u8>) {
        [&self.chain, &self.confirm, &self.next]
            .into_iter()
            .for_each(|key| out.extend_from_slice(key.bytes()));
    }

    fn restore(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            chain: Key::new(r.array()?),
            confirm: Key::new(r.array()?),
            next: Key::new(r.array()?),
        })
    }
}

/// What the next generation is made with.
pub(super) fn next_key(root: &Key, generation: u32) -> Key {
    expand(root, "generation", generation)
}

/// The public side of an exchange.
struct Transcript<'a> {
    salt: &'a [u8; 32],
    generation: u32,
    offered: &'a [u8; 32],
    answered: &'a [u8; 32],
    hybrid: Option<(&'a [u8], &'a [u8])>,
}

impl Transcript<'_> {
    fn hash(&self) -> [u8; 32] {
        let generation = self.generation.to_be_bytes();
        let mut fields: Vec<&[u8]> = vec![
            super::SUITE,
            self.salt,
            &generation,
            self.offered,
            self.answered,
        ];
        if let Some((key, ciphertext)) = self.hybrid {
            // Another suite, so that no plain exchange has the transcript of a hybrid one.
            fields[0] = hybrid::SUITE;
            fields.extend([key, ciphertext]);
        }
        hash("generation", &fields)
    }
}

/// What both ends know of an exchange once it is over: the agreements, and the X-Wing secret of a hybrid one.
struct Shared {
    fresh: Zeroizing<[u8; 32]>,
    recipient: Zeroizing<[u8; 32]>,
    sender: Zeroizing<[u8; 32]>,
    hybrid: Option<Key>,
}

impl Shared {
    /// The keys of the generation, and the confirmation of the answer.
    fn derive(&self, next: &Key, transcript: &Transcript<'_>) -> (Keys, [u8; CONFIRM]) {
        let salt = transcript.hash();
        let mut secrets: Vec<&[u8; 32]> =
            vec![next.bytes(), &self.fresh, &self.recipient, &self.sender];
        secrets.extend(self.hybrid.iter().map(Key::bytes));
        let root = extract(&salt, &secrets);
        let number = transcript.generation;
        let confirm = prf(&expand(&root, "answer", number), "answer", &[&salt]);
        (Keys::of(&root, number), first(&confirm))
    }
}

fn put_optional(out: &mut Vec<u8>, key: Option<&Key>) {
    out.push(u8::from(key.is_some()));
    key.iter()
        .for_each(|key| out.extend_from_slice(key.bytes()));
}

fn optional(r: &mut Reader<'_>) -> Result<Option<Key>, Malformed> {
    match r.u8()? {
        0 => Ok(None),
        1 => Ok(Some(Key::new(r.array()?))),
        _ => Err(Malformed::Value("optional key")),
    }
}
