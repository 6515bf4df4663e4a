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

use super::{Chain, Epoch, RecvSession, SendSession, SessionError, agree, epoch_context, first};
use crate::security::announcement::Announcement;
use crate::security::card::Card;
use crate::security::hybrid;
use crate::security::identity::Identity;
use crate::security::kdf::{Key, expand, extract, hash, prf};
use crate::wire::generation::{Answer, CONFIRM, Exchange, Offer};
use crate::wire::read::{Malformed, Reader};
use rand_core::CryptoRng;
use std::collections::BTreeMap;
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
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

/// What a sender keeps of its generations.
#[derive(Clone, Debug, Default)]
pub(super) struct Offering {
    /// What the next one is made with. A session from a home of before has none, and stays with its first.
    pub(super) next: Option<Key>,
    /// The epoch in which the present one began.
    first: u32,
    stage: Stage,
}

#[derive(Clone, Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// An offer has left or may leave: its secret X25519 key, and its secret X-Wing key.
    Offered(Key, Option<hybrid::Secret>),
    /// The answer is here.
    Answered(Keys),
}

impl Offering {
    pub(super) fn new(next: Key) -> Self {
        Self {
            next: Some(next),
            ..Self::default()
        }
    }

    pub(super) fn store(&self, out: &mut Vec<u8>) {
        let Some(next) = &self.next else {
            return;
        };
        out.extend_from_slice(next.bytes());
        out.extend_from_slice(&self.first.to_be_bytes());
        match &self.stage {
            Stage::Idle => out.push(0),
            Stage::Offered(secret, hybrid) => {
                out.push(1);
                out.extend_from_slice(secret.bytes());
                put_optional(out, hybrid.as_ref().map(hybrid::Secret::seed));
            }
            Stage::Answered(keys) => {
                out.push(2);
                keys.store(out);
            }
        }
    }

    pub(super) fn restore(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        if r.is_empty() {
            return Ok(Self::default());
        }
        let (next, first) = (Some(Key::new(r.array()?)), r.u32()?);
        let stage = match r.u8()? {
            0 => Stage::Idle,
            1 => Stage::restore_offered(r)?,
            2 => Stage::Answered(Keys::restore(r)?),
            _ => return Err(Malformed::Value("stage of an offer")),
        };
        Ok(Self { next, first, stage })
    }
}

impl Stage {
    /// A hybrid offer of a program that is built with it is none for one that is not.
    fn restore_offered(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (secret, seed) = (Key::new(r.array()?), optional(r)?);
        let Some(seed) = seed else {
            return Ok(Self::Offered(secret, None));
        };
        let hybrid = hybrid::Secret::restore(seed);
        Ok(hybrid.map_or(Self::Idle, |hybrid| Self::Offered(secret, Some(hybrid))))
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

impl SendSession {
    /// The number of its generation.
    pub fn generation(&self) -> u32 {
        self.chain.generation
    }

    /// The epoch in which its generation began: what was sealed before says nothing of the present one.
    pub fn first_epoch(&self) -> u32 {
        self.offering.first
    }

    /// Whether an offer can be made: there are keys for it, and none is under way.
    pub fn may_offer(&self) -> bool {
        self.offering.next.is_some() && matches!(self.offering.stage, Stage::Idle)
    }

    /// Draws the keys of an offer. It may leave once they are durable.
    pub fn make_offer(&mut self, hybrid: bool, rng: &mut impl CryptoRng) {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut seed[..]);
        let hybrid = hybrid.then(|| hybrid::Secret::draw(rng)).flatten();
        self.offering.stage = Stage::Offered(Key::new(*seed), hybrid);
    }

    /// The offer that is under way.
    pub fn offer(&self) -> Option<Offer> {
        let Stage::Offered(secret, hybrid) = &self.offering.stage else {
            return None;
        };
        Some(Offer {
            session: self.id,
            generation: self.chain.generation.saturating_add(1),
            key: PublicKey::from(&StaticSecret::from(*secret.bytes())).to_bytes(),
            hybrid: hybrid.as_ref().map(hybrid::Secret::public),
        })
    }

    /// Takes the answer to the offer. The session goes on with [`SendSession::go_on`] once it is durable.
    ///
    /// # Errors
    /// [`GenerationError`] says why it was not taken; the offer stays then.
    pub fn take_answer(
        &mut self,
        me: &Identity,
        card: &Card,
        answer: &Answer,
    ) -> Result<(), GenerationError> {
        let offer = self.offer().ok_or(GenerationError::NotDue)?;
        let Stage::Offered(secret, hybrid) = &self.offering.stage else {
            return Err(GenerationError::NotDue);
        };
        let next = self.offering.next.as_ref();
        let due = answer.session == self.id && answer.generation == offer.generation;
        let next = next.filter(|_| due).ok_or(GenerationError::NotDue)?;
        let alike = answer.hybrid.is_some() == offer.hybrid.is_some();
        if !alike && cfg!(not(feature = "break-15")) {
            return Err(GenerationError::Downgrade);
        }
        let opened = match (hybrid, &answer.hybrid) {
            (Some(secret), Some(sealed)) => {
                Some(secret.open(sealed).ok_or(GenerationError::NotConfirmed)?)
            }
            _ => None,
        };
        let secret = StaticSecret::from(*secret.bytes());
        let shared = Shared {
            fresh: agree(&secret, &answer.key)?,
            recipient: agree(&secret, &card.body().inbox)?,
            sender: agree(&me.endpoint_static, &answer.key)?,
            hybrid: opened,
        };
        let transcript = Transcript {
            salt: &self.chain.salt,
            generation: offer.generation,
            offered: &offer.key,
            answered: &answer.key,
            hybrid: offer.hybrid.as_deref().zip(answer.hybrid.as_deref()),
        };
        let (keys, confirm) = shared.derive(next, &transcript);
        // Without the comparison, the session goes on with keys that nobody else has.
        if !bool::from(confirm.ct_eq(&answer.confirm)) && cfg!(not(feature = "break-15")) {
            return Err(GenerationError::NotConfirmed);
        }
        self.offering.stage = Stage::Answered(keys);
        Ok(())
    }

    /// Goes on to the next epoch in the generation whose answer was taken; the keys of this one are gone then. Tells
    /// whether there was one.
    pub fn go_on(&mut self) -> bool {
        let stage = std::mem::take(&mut self.offering.stage);
        let Stage::Answered(keys) = stage else {
            self.offering.stage = stage;
            return false;
        };
        let epoch = self.chain.epoch.saturating_add(1);
        self.chain = Chain {
            key: keys.chain,
            epoch: 0,
            salt: self.chain.salt,
            generation: self.chain.generation.saturating_add(1),
        };
        while self.chain.epoch < epoch {
            self.chain.advance();
        }
        self.confirm = keys.confirm;
        self.offering = Offering {
            next: Some(keys.next),
            first: epoch,
            stage: Stage::Idle,
        };
        true
    }
}

/// What a recipient keeps of the generations of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Answering {
    /// What the next one is made with. A session from a home of before has none until it is announced anew.
    pub(super) next: Option<Key>,
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
    pub(super) fn new(next: Key) -> Self {
        Self {
            next: Some(next),
            ..Self::default()
        }
    }

    /// Forgets epochs before this one.
    pub(super) fn forget(&mut self, oldest: u32) {
        self.older = self.older.split_off(&(oldest, 0));
    }

    pub(super) fn store(&self, out: &mut Vec<u8>) {
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

    pub(super) fn restore(r: &mut Reader<'_>) -> Result<Self, Malformed> {
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
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut seed[..]);
        let secret = StaticSecret::from(*seed);
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
        if epoch > super::EPOCH_MAX {
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
