//! The sender's side: what it keeps of its generations, offers, and goes on with.

use super::super::{Chain, SendSession, agree};
use super::{GenerationError, Keys, Shared, Transcript, optional, put_optional};
use crate::security::card::Card;
use crate::security::hybrid;
use crate::security::identity::Identity;
use crate::security::kdf::Key;
use crate::wire::generation::{Answer, Offer};
use crate::wire::read::{Malformed, Reader};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};

/// What a sender keeps of its generations.
#[derive(Clone, Debug, Default)]
pub(in crate::security::session) struct Offering {
    /// What the next one is made with. A session from a home of before has none, and stays with its first.
    pub(in crate::security::session) next: Option<Key>,
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
    pub(in crate::security::session) fn new(next: Key) -> Self {
        Self {
            next: Some(next),
            ..Self::default()
        }
    }

    pub(in crate::security::session) fn store(&self, out: &mut Vec<u8>) {
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

    pub(in crate::security::session) fn restore(r: &mut Reader<'_>) -> Result<Self, Malformed> {
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
        let secret = Key::draw(rng);
        let hybrid = hybrid.then(|| hybrid::Secret::draw(rng)).flatten();
        self.offering.stage = Stage::Offered(secret, hybrid);
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
