//! The recipient's side: what it keeps of the generations of a session, answers, and follows.

use super::super::{Chain, EPOCH_MAX, Epoch, RecvSession, SessionError, agree, epoch_context};
use super::{GenerationError, Keys, MARK, Shared, Transcript, optional, put_optional};
use crate::security::announcement::Announcement;
use crate::security::hybrid;
use crate::security::identity::Identity;
use crate::security::kdf::{Key, hash};
use crate::wire::generation::{Answer, Exchange, Offer};
use crate::wire::read::{Malformed, Reader};
use rand_core::CryptoRng;
use std::collections::BTreeMap;
use x25519_dalek::{PublicKey, StaticSecret};

/// What a recipient keeps of the generations of a session.
#[derive(Clone, Debug, Default)]
pub(in crate::security::session) struct Answering {
    /// What the next one is made with. A session from a home of before has none until it is announced anew.
    pub(in crate::security::session) next: Option<Key>,
    /// Confirms preambles of the present one; the first is derived anew from its preamble.
    confirm: Option<Key>,
    pending: Option<Pending>,
    /// Keys of epochs of the generations before, by epoch and generation.
    older: BTreeMap<(u32, u32), Key>,
}

/// A generation that was answered and not used yet.
#[derive(Clone, Debug)]
struct Pending {
    /// The hash of its offer.
    offer: [u8; 32],
    /// The answer, which a repeated offer gets again.
    answer: Vec<u8>,
    keys: Keys,
}

impl Answering {
    pub(in crate::security::session) fn new(next: Key) -> Self {
        Self {
            next: Some(next),
            ..Self::default()
        }
    }

    /// Forgets epochs before this one.
    pub(in crate::security::session) fn forget(&mut self, oldest: u32) {
        self.older = self.older.split_off(&(oldest, 0));
    }

    pub(in crate::security::session) fn store(&self, out: &mut Vec<u8>) {
        let Some(next) = &self.next else {
            return;
        };
        out.extend_from_slice(&MARK.to_be_bytes());
        out.extend_from_slice(next.bytes());
        put_optional(out, self.confirm.as_ref());
        out.push(u8::from(self.pending.is_some()));
        if let Some(pending) = &self.pending {
            out.extend_from_slice(&pending.offer);
            pending.keys.store(out);
            out.extend_from_slice(&(pending.answer.len() as u16).to_be_bytes());
            out.extend_from_slice(&pending.answer);
        }
        for ((epoch, generation), key) in &self.older {
            out.extend_from_slice(&epoch.to_be_bytes());
            out.extend_from_slice(&generation.to_be_bytes());
            out.extend_from_slice(key.bytes());
        }
    }

    pub(in crate::security::session) fn restore(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut answering = Self::new(Key::new(r.array()?));
        answering.confirm = optional(r)?;
        answering.pending = match r.u8()? {
            0 => None,
            1 => Some(Pending {
                offer: r.array()?,
                keys: Keys::restore(r)?,
                answer: {
                    let len = usize::from(r.u16()?);
                    r.take(len)?.to_vec()
                },
            }),
            _ => return Err(Malformed::Value("pending generation")),
        };
        while !r.is_empty() {
            let place = (r.u32()?, r.u32()?);
            answering.older.insert(place, Key::new(r.array()?));
        }
        Ok(answering)
    }
}

impl RecvSession {
    /// The number of its generation.
    pub fn generation(&self) -> u32 {
        self.chain.generation
    }

    /// Answers an offer: the same one always alike, another one of the same generation never. Tells whether it is a new
    /// one. The answer may leave once the session is durable.
    ///
    /// # Errors
    /// [`GenerationError`] says why there is no answer; nothing has changed then.
    pub fn answer(
        &mut self,
        me: &Identity,
        offer: &Offer,
        rng: &mut impl CryptoRng,
    ) -> Result<bool, GenerationError> {
        let digest = hash(
            "generation offer",
            &[&Exchange::Offer(offer.clone()).encode()],
        );
        let due = Some(offer.generation) == self.chain.generation.checked_add(1);
        let next = self.answering.next.as_ref().filter(|_| due);
        let next = next.ok_or(GenerationError::NotDue)?;
        match &self.answering.pending {
            Some(pending) if pending.offer == digest => return Ok(false),
            Some(_) => return Err(GenerationError::Another),
            None => {}
        }
        let secret = StaticSecret::from(*Key::draw(rng).bytes());
        let key = PublicKey::from(&secret).to_bytes();
        let (hybrid, ciphertext) = match &offer.hybrid {
            Some(public) => {
                let made = hybrid::encapsulate(public, rng).ok_or(GenerationError::Hybrid)?;
                (Some(made.1), Some(made.0))
            }
            None => (None, None),
        };
        let shared = Shared {
            fresh: agree(&secret, &offer.key)?,
            recipient: agree(&me.inbox, &offer.key)?,
            sender: agree(&secret, &self.endpoint)?,
            hybrid,
        };
        let transcript = Transcript {
            salt: &self.chain.salt,
            generation: offer.generation,
            offered: &offer.key,
            answered: &key,
            hybrid: offer.hybrid.as_deref().zip(ciphertext.as_deref()),
        };
        let (keys, confirm) = shared.derive(next, &transcript);
        let answer = Answer {
            session: self.id,
            generation: offer.generation,
            key,
            confirm,
            hybrid: ciphertext,
        };
        self.answering.pending = Some(Pending {
            offer: digest,
            answer: Exchange::Answer(answer).encode(),
            keys,
        });
        Ok(true)
    }

    /// The answer to the offer that was taken last, until its generation begins.
    pub fn answered(&self) -> Option<&[u8]> {
        let pending = self.answering.pending.as_ref();
        pending.map(|pending| pending.answer.as_slice())
    }

    /// The session as a preamble of a later generation announces it.
    ///
    /// # Errors
    /// [`SessionError::Generation`] if that generation is not known here; [`SessionError::EpochTooFar`].
    pub fn resume(&self, announced: &Announcement) -> Result<Self, SessionError> {
        let unknown = SessionError::Generation(self.peer, self.id);
        let pending = self.answering.pending.as_ref();
        let is_next = Some(announced.generation()) == self.chain.generation.checked_add(1);
        let confirm = match announced.generation() == self.chain.generation {
            true => self.answering.confirm.as_ref(),
            false => pending.filter(|_| is_next).map(|p| &p.keys.confirm),
        };
        if !announced.is_confirmed_by(confirm.ok_or(unknown)?) {
            return Err(unknown);
        }
        let epoch = announced.epoch();
        if epoch > EPOCH_MAX {
            return Err(SessionError::EpochTooFar);
        }
        let mut session = self.clone();
        if is_next {
            session.begin(epoch);
        } else {
            session.jump(epoch);
        }
        Ok(session)
    }

    /// Begins the pending generation, whose sender is in this epoch of it.
    fn begin(&mut self, epoch: u32) {
        let Some(Pending { keys, .. }) = self.answering.pending.take() else {
            return;
        };
        let (verified, generation) = (self.epoch_number(), self.chain.generation);
        // What is on its way may be of any epoch before this one.
        self.jump(epoch);
        let kept = std::mem::take(&mut self.kept);
        let older = kept.into_iter().map(|(n, key)| ((n, generation), key));
        self.answering.older.extend(older);
        let newest = self.epoch_number();
        self.chain = Chain {
            key: keys.chain,
            epoch: 0,
            salt: self.chain.salt,
            generation: generation.saturating_add(1),
        };
        // Its first epoch comes after all that were verified, unless a crash has set the sender back.
        while self.chain.epoch < verified.min(epoch) {
            self.chain.advance();
        }
        self.jump(newest);
        (self.answering.next, self.answering.confirm) = (Some(keys.next), Some(keys.confirm));
    }

    /// Goes where a confirmed preamble says. Tells whether that is another generation.
    pub fn follow(&mut self, announced: Self) -> bool {
        if announced.generation() != self.generation() {
            *self = announced;
            return true;
        }
        if self.answering.next.is_none() {
            self.answering.next = announced.answering.next.clone();
        }
        self.jump(announced.epoch_number());
        false
    }

    /// The epochs of the window whose numbers end in these five bits and whose keys are not gone: one, or one of each
    /// generation that may have reached it.
    pub fn epochs(&self, bits: u8) -> Vec<Epoch> {
        let same = |number: &u32| number & 31 == u32::from(bits);
        let older = self.answering.older.iter();
        let older = older.filter(|((number, _), _)| same(number));
        let older = older.map(|((number, generation), key)| Epoch {
            key: key.clone(),
            context: epoch_context(&self.chain.salt, *generation, *number),
            number: *number,
        });
        self.epoch(bits).into_iter().chain(older).collect()
    }
}
