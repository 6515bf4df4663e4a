//! A further endpoint of a person: the code that a new device shows, and the bundle that another device seals for it.
//!
//! ```text
//! code      "OD" ‖ version 1 ‖ one-time X25519 32 ‖ endpoint: id 32, static key 32, link key 32
//!                ‖ number of addresses 1, of each: length 1, text
//! bundle    "OB" ‖ version 1, with the root; 2, without ‖ secrets of the person ‖ length 1, name ‖ length 2, own card
//!                ‖ number of persons 4, of each: person 32, length 2, card or nothing, length 2, what the host keeps of it
//! sealed    "OE" ‖ version 1 ‖ ephemeral X25519 32 ‖ the bundle, sealed ‖ tag 16
//! key       Expand(Extract(H("enrolment", keys of the code, ephemeral), DH(ephemeral, one-time) ‖ DH(ephemeral, static)),
//!                "enrolment", 0);  ChaCha20-Poly1305, nonce of zeros, the 35 bytes before it as associated data
//! ```
//!
//! The key seals one bundle, since the ephemeral key is new for each. Whoever changes the code on its way gets all secrets of
//! the person, so both devices show a number made of it, which is as hard to meet as a safety number.

use super::card::{Card, Endpoint};
use super::identity::{Identity, PERSON_LEN, digits};
use super::kdf::{Key, expand, extract, hash};
use super::session::{SessionError, agree};
use super::signer;
use crate::engine::id::{PersonId, from_base32, to_base32};
use crate::wire::read::{Malformed, Reader};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

const PREFIX: &str = "ostrakon-device:";
const CODE: [u8; 3] = *b"OD\x01";
const BUNDLE: [u8; 2] = *b"OB";
/// The version of a bundle with the root.
const VERSION: u8 = 1;
const SEALED: [u8; 3] = *b"OE\x01";
const NEW: [u8; 3] = *b"ON\x01";
/// What stands before the sealed bundle.
const HEAD: usize = 3 + 32;
const TAG: usize = 16;
/// Addresses that a code names at most.
pub const MAX_ADDRESSES: usize = 4;
/// The longest of them, in bytes.
const MAX_ADDRESS: usize = 64;
/// The longest text that is searched for a code, in bytes.
const MAX_TEXT: usize = 4096;
/// The largest sealed bundle, in bytes.
pub const MAX_SEALED: usize = 32 << 20;

/// Why a device was not enrolled. The text ends with what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentError {
    /// No code, or not all of it.
    #[error(
        "this is no code of a new device; it begins with {PREFIX} and has to be copied whole: show it again with `ostrakon init --join`"
    )]
    Code,
    /// Not the file that another device makes.
    #[error(
        "this is not what `ostrakon device add` makes, or a newer version made it; run it again on the other device"
    )]
    Form,
    /// Made for another device, or changed.
    #[error(
        "this was made for another code, or was changed on its way; run `ostrakon device add` again with the code that this device shows now"
    )]
    Seal,
    /// It opens, but what it holds makes no sense.
    #[error(
        "what the other device has given is damaged ({0}); run `ostrakon device add` there again"
    )]
    Content(Malformed),
    /// A key of low order.
    #[error("a key in it is of low order, so it was made up; do not use it")]
    LowOrder,
    /// The person has very many contacts.
    #[error("there is more to hand over than {} MiB; remove contacts that are not needed", MAX_SEALED >> 20)]
    TooLarge,
}

impl From<SessionError> for EnrolmentError {
    /// An agreement fails for this reason alone.
    fn from(_: SessionError) -> Self {
        Self::LowOrder
    }
}

impl From<Malformed> for EnrolmentError {
    fn from(why: Malformed) -> Self {
        Self::Content(why)
    }
}

/// What a new device shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    once: [u8; 32],
    /// The endpoint that it will be.
    pub endpoint: Endpoint,
    /// Where it listens: `address:port`.
    pub addresses: Vec<String>,
}

impl Code {
    /// The keys in it: what counts of it. Addresses only say where to go.
    fn keys(&self) -> [&[u8; 32]; 4] {
        let Endpoint { id, key, link } = &self.endpoint;
        [&self.once, id, key, link]
    }

    /// The bytes. Addresses beyond the bounds are left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = CODE.to_vec();
        for key in self.keys() {
            out.extend_from_slice(key);
        }
        let short = self.addresses.iter().filter(|a| a.len() <= MAX_ADDRESS);
        let addresses: Vec<&String> = short.take(MAX_ADDRESSES).collect();
        out.push(addresses.len() as u8);
        for address in addresses {
            out.push(address.len() as u8);
            out.extend_from_slice(address.as_bytes());
        }
        out
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// [`EnrolmentError::Code`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EnrolmentError> {
        Self::read(bytes).map_err(|_| EnrolmentError::Code)
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        if r.array()? != CODE {
            return Err(Malformed::Value("code"));
        }
        let once = r.array()?;
        let (id, key, link) = (r.array()?, r.array()?, r.array()?);
        let count = usize::from(r.u8()?);
        if count > MAX_ADDRESSES {
            return Err(Malformed::Value("code"));
        }
        let mut addresses = Vec::new();
        for _ in 0..count {
            let len = usize::from(r.u8()?);
            let text = std::str::from_utf8(r.take(len)?).map_err(|_| Malformed::Value("code"))?;
            if len > MAX_ADDRESS || !text.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(Malformed::Value("code"));
            }
            addresses.push(text.to_owned());
        }
        r.finish()?;
        let endpoint = Endpoint { id, key, link };
        Ok(Self {
            once,
            endpoint,
            addresses,
        })
    }

    /// The text form, one line.
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", to_base32(&self.encode()))
    }

    /// Reads the text form, over whatever lines it was broken.
    ///
    /// # Errors
    /// [`EnrolmentError::Code`].
    pub fn from_text(text: &str) -> Result<Self, EnrolmentError> {
        let compact = text.chars().take(MAX_TEXT).filter(|c| !c.is_whitespace());
        let compact: String = compact.collect();
        let head = compact.get(..PREFIX.len());
        let is_code = head.is_some_and(|head| head.eq_ignore_ascii_case(PREFIX));
        let body = compact.get(PREFIX.len()..).filter(|_| is_code);
        let body = body.ok_or(EnrolmentError::Code)?;
        Self::decode(&from_base32(body).map_err(|_| EnrolmentError::Code)?)
    }

    /// The number that both devices show: thirty digits in six groups. It costs 5200 rounds of a hash to try another code.
    pub fn number(&self) -> String {
        let digits = digits(PersonId(hash(
            "device code",
            &self.keys().map(|key| &key[..]),
        )));
        let groups: Vec<&str> = (0..6)
            .filter_map(|i| digits.get(i * 5..i * 5 + 5))
            .collect();
        groups.join(" ")
    }
}

/// The keys of a device that is to join a person. Wiped when dropped.
#[derive(Debug)]
pub struct Newcomer {
    /// Its own keys are kept; those of a person in it are nobody's.
    me: Identity,
    once: Once,
}

struct Once(StaticSecret);

impl std::fmt::Debug for Once {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Once(…)")
    }
}

impl Newcomer {
    /// Makes new keys.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let me = Identity::generate(rng);
        let once = Once(StaticSecret::from(*Key::draw(rng).bytes()));
        Self { me, once }
    }

    /// The bytes to keep until the device has joined. Secret.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let me = self.me.encode();
        let mut out = Zeroizing::new(Vec::with_capacity(NEW.len() + 32 + me.len()));
        out.extend_from_slice(&NEW);
        out.extend_from_slice(self.once.0.as_bytes());
        out.extend_from_slice(&me);
        out
    }

    /// Reads what [`Newcomer::encode`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        if r.array()? != NEW {
            return Err(Malformed::Value("keys of a new device"));
        }
        let once = Once(StaticSecret::from(r.array()?));
        let me = Identity::decode(r.rest())?;
        Ok(Self { me, once })
    }

    /// The seed of the key that it proves on QUIC links.
    pub fn link_seed(&self) -> &Key {
        self.me.link_seed()
    }

    /// What it shows.
    pub fn code(&self, addresses: Vec<String>) -> Code {
        Code {
            once: PublicKey::from(&self.once.0).to_bytes(),
            endpoint: self.me.described(),
            addresses,
        }
    }

    /// Opens a bundle that was sealed for this code. Gives the keys of the device as one of the person.
    ///
    /// # Errors
    /// [`EnrolmentError`] says what is wrong.
    pub fn open(&self, code: &Code, sealed: &[u8]) -> Result<(Identity, Bundle), EnrolmentError> {
        let (head, rest) = sealed
            .split_at_checked(HEAD)
            .filter(|(head, _)| head.starts_with(&SEALED) && sealed.len() <= MAX_SEALED)
            .ok_or(EnrolmentError::Form)?;
        let mut ephemeral = [0; 32];
        ephemeral.copy_from_slice(&head[SEALED.len()..]);
        let (cipher, tag) = rest.split_last_chunk::<TAG>().ok_or(EnrolmentError::Form)?;
        let once = agree(&self.once.0, &ephemeral)?;
        let fixed = agree(&self.me.endpoint_static, &ephemeral)?;
        let mut plain = Zeroizing::new(cipher.to_vec());
        ChaCha20Poly1305::new(key(code, &ephemeral, &once, &fixed).bytes().into())
            .decrypt_inout_detached(
                &[0; 12].into(),
                head,
                plain.as_mut_slice().into(),
                &(*tag).into(),
            )
            .map_err(|_| EnrolmentError::Seal)?;
        let (me, bundle) = Bundle::read(&plain, &self.me)?;
        let names_me = |e: &Endpoint| *e == self.me.described();
        if bundle.card.person() != me.person() || !bundle.card.body().endpoints.iter().any(names_me)
        {
            return Err(Malformed::Value("card").into());
        }
        Ok((me, bundle))
    }
}

/// What a device gives a new one of the same person, beside the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// What the person is called.
    pub name: String,
    /// The card that names the new device.
    pub card: Card,
    /// Everybody of whom something is known.
    pub persons: Vec<Known>,
}

/// Somebody of whom something is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who.
    pub person: PersonId,
    /// The contact card, if there is one.
    pub card: Option<Card>,
    /// What the host keeps of the person, in a form of its own.
    pub kept: Vec<u8>,
}

impl Bundle {
    /// Seals it with the secrets of the person for the device that shows `code`.
    ///
    /// # Errors
    /// [`EnrolmentError::LowOrder`], [`EnrolmentError::TooLarge`].
    pub fn seal(
        &self,
        me: &Identity,
        code: &Code,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, EnrolmentError> {
        let secret = StaticSecret::from(*Key::draw(rng).bytes());
        let ephemeral = PublicKey::from(&secret).to_bytes();
        let once = agree(&secret, &code.once)?;
        let fixed = agree(&secret, &code.endpoint.key)?;
        let mut plain = self.encode(me);
        let head = [&SEALED[..], &ephemeral].concat();
        let cipher = ChaCha20Poly1305::new(key(code, &ephemeral, &once, &fixed).bytes().into());
        let tag = cipher
            .encrypt_inout_detached(&[0; 12].into(), &head, plain.as_mut_slice().into())
            .map_err(|_| EnrolmentError::TooLarge)?;
        let sealed = [&head[..], &plain, &tag].concat();
        match sealed.len() {
            0..=MAX_SEALED => Ok(sealed),
            _ => Err(EnrolmentError::TooLarge),
        }
    }

    fn encode(&self, me: &Identity) -> Zeroizing<Vec<u8>> {
        let mut rest = vec![self.name.len() as u8];
        rest.extend_from_slice(self.name.as_bytes());
        put(&mut rest, self.card.bytes());
        rest.extend_from_slice(&(self.persons.len() as u32).to_be_bytes());
        for known in &self.persons {
            rest.extend_from_slice(&known.person.0);
            put(
                &mut rest,
                known.card.as_ref().map_or(&[], |card| card.bytes()),
            );
            put(&mut rest, &known.kept);
        }
        // Room for all of it at once, so that no copy of a secret is left behind.
        let len = BUNDLE.len() + 1 + PERSON_LEN + rest.len();
        let mut out = Zeroizing::new(Vec::with_capacity(len));
        out.extend_from_slice(&BUNDLE);
        out.push(me.version(VERSION));
        me.encode_person(&mut out);
        out.extend_from_slice(&rest);
        out
    }

    fn read(bytes: &[u8], device: &Identity) -> Result<(Identity, Self), Malformed> {
        let mut r = Reader::new(bytes);
        if r.array()? != BUNDLE {
            return Err(Malformed::Value("bundle"));
        }
        let delegated = signer::is_delegated(r.u8()?, VERSION)?;
        let me = device.of_person(&mut r, delegated)?;
        let len = usize::from(r.u8()?);
        let name = std::str::from_utf8(r.take(len)?).map_err(|_| Malformed::Value("name"))?;
        let name = name.to_owned();
        let card = card(list(&mut r)?)?;
        let mut persons = Vec::new();
        for _ in 0..r.u32()? {
            let person = PersonId(r.array()?);
            let of = Some(list(&mut r)?).filter(|bytes| !bytes.is_empty());
            let card = of.map(self::card).transpose()?;
            if card.as_ref().is_some_and(|card| card.person() != person) {
                return Err(Malformed::Value("card"));
            }
            let kept = list(&mut r)?.to_vec();
            persons.push(Known { person, card, kept });
        }
        r.finish()?;
        let bundle = Self {
            name,
            card,
            persons,
        };
        Ok((me, bundle))
    }
}

fn card(bytes: &[u8]) -> Result<Card, Malformed> {
    Card::decode(bytes).map_err(|_| Malformed::Value("card"))
}

/// Nothing that is put so is longer than 64 KiB.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn list<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = usize::from(r.u16()?);
    r.take(len)
}

fn key(code: &Code, ephemeral: &[u8; 32], once: &[u8; 32], fixed: &[u8; 32]) -> Key {
    let [one_time, id, fixed_key, link] = code.keys();
    let bound: [&[u8]; 5] = [one_time, id, fixed_key, link, ephemeral];
    let salt = hash("enrolment", &bound);
    expand(&extract(&salt, &[once, fixed]), "enrolment", 0)
}
