//! The contact card: what one publishes about oneself, signed by the person's root key or a delegate of it.
//!
//! ```text
//! 0..2   "OC"
//! 2      version = 1, signed by the root; 2, signed by a delegate; 3 and 4, likewise with a largest message
//! 3..    canonical CBOR (RFC 8949, section 4.2.1) of the body, an array
//! last   64 bytes, Ed25519 signature over everything before it; a delegate's has the delegation before it: see `signer.rs`
//! ```
//!
//! There is one encoding of each card: what does not encode again to the same bytes is refused, so duplicate
//! or unknown fields, long integers and trailing bytes never get through. As text a card is
//! `ostrakon-card:` and base32, safe to paste; white space in it is ignored, and so is other text around it.

use super::hybrid;
use super::signer::{self, Signer};
use crate::engine::id::{PersonId, from_base32, to_base32};
use minicbor::{Decode, Encode};

const MAGIC: [u8; 2] = *b"OC";
/// Bytes of magic and version.
const HEAD: usize = 3;
/// The lowest version.
const VERSION: u8 = 1;
/// How much higher it is if the body says how large messages may be.
const BOUNDED: u8 = 2;
const PREFIX: &str = "ostrakon-card:";
/// What our URIs begin with.
const URI: &str = "ostrakon:";
/// The media type of a part that holds a card, binary.
pub const MEDIA_TYPE: &str = "application/x-ostrakon-card";
/// Largest card in bytes.
pub const MAX: usize = 4096;
/// How much of a text is searched for a card, in characters.
const MAX_TEXT: usize = 65_536;

/// A one-time public key of an inbox, replaced from time to time.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Prekey {
    /// Counts up.
    #[n(0)]
    pub id: u32,
    /// X25519.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub key: [u8; 32],
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Endpoint {
    /// Ed25519, names the endpoint.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub id: [u8; 32],
    /// X25519, static.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub key: [u8; 32],
    /// Ed25519, proves the endpoint on QUIC links.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub link: [u8; 32],
}

/// What a card says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Body {
    /// A card replaces those with a lower number.
    #[n(0)]
    pub sequence: u64,
    /// What the person wants to be called. Not unique, not verified.
    #[n(1)]
    pub name: String,
    /// Ed25519 root key; names the person.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub root: [u8; 32],
    /// X25519, static.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub inbox: [u8; 32],
    /// The newest last.
    #[n(4)]
    pub prekeys: Vec<Prekey>,
    /// The person's devices.
    #[n(5)]
    pub endpoints: Vec<Endpoint>,
    /// Ed25519, opens the person's mailboxes.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub mailbox: [u8; 32],
    /// Relays that hold frames for the person, as link addresses.
    #[n(7)]
    pub relays: Vec<String>,
    /// What the person's program can do: see [`WIRE_FORMAT`] and those after it.
    #[n(8)]
    pub capabilities: u64,
    /// The largest message that the person takes, in bytes. Without it there is no bound but those of programs and disks.
    #[n(9)]
    pub largest: Option<u64>,
}

/// The capability of reading this wire format.
pub const WIRE_FORMAT: u64 = 1;
/// The capability of answering offers of new generations.
pub const GENERATIONS: u64 = 1 << 1;
/// The capability of answering hybrid ones.
pub const HYBRID: u64 = 1 << 2;

/// What this program can do.
pub fn capabilities() -> u64 {
    let hybrid = if hybrid::IS_BUILT_IN { HYBRID } else { 0 };
    WIRE_FORMAT | GENERATIONS | hybrid
}

/// A card whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    body: Body,
    /// Of the delegation that it was signed under.
    number: u32,
    bytes: Vec<u8>,
}

/// Why a card was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Something else, or cut short.
    #[error("this is no contact card; it starts with {PREFIX} and has to be copied whole")]
    Form,
    /// A version that this program does not know.
    #[error("this contact card is of version {0}, which this program does not know; update it")]
    Version(u8),
    /// Not in its one encoding.
    #[error("this contact card is damaged or not in canonical form; ask for it again")]
    Encoding,
    /// The signature does not match.
    #[error(
        "the signature of this contact card is wrong: it was changed or forged; ask for it again"
    )]
    Signature,
    /// A field makes no sense.
    #[error("this contact card has no usable {0}; ask for a new one")]
    Field(&'static str),
    /// Signed by a key that the root has replaced.
    #[error(
        "this contact card was signed with a key that its owner has replaced; ask for the newest card"
    )]
    Replaced,
    /// Older than the one that is known.
    #[error(
        "this contact card (number {got}) is older than the known one (number {known}); ask for the newest"
    )]
    Stale {
        /// The number of the known card.
        known: u64,
        /// The number of this one.
        got: u64,
    },
}

impl Card {
    pub(super) fn sign(body: Body, signer: &Signer) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.push(signer.version(VERSION + BOUNDED * u8::from(body.largest.is_some())));
        // Encoding into memory cannot fail.
        let _ = minicbor::encode(&body, &mut bytes);
        signer.sign(&mut bytes);
        let number = signer.number();
        Self {
            body,
            number,
            bytes,
        }
    }

    /// Reads and verifies.
    ///
    /// # Errors
    /// [`CardError`] says what is wrong and what to do.
    pub fn decode(bytes: &[u8]) -> Result<Self, CardError> {
        if bytes.len() > MAX {
            return Err(CardError::Form);
        }
        let form = Form::of(bytes)?;
        let end = bytes.len().checked_sub(signer::trailer_len(form.delegated));
        let cbor = end.and_then(|end| bytes.get(HEAD..end));
        let cbor = cbor.ok_or(CardError::Form)?;
        let body: Body = minicbor::decode(cbor).map_err(|_| CardError::Encoding)?;
        // Without the comparison, one card has many forms.
        let canonical = minicbor::to_vec(&body).ok().as_deref() == Some(cbor)
            && body.largest.is_some() == form.bounded;
        if !canonical && cfg!(not(feature = "break-36")) {
            return Err(CardError::Encoding);
        }
        let number = signer::verify(&body.root, form.delegated, bytes);
        // Otherwise it is enough to leave the signature out.
        let left_out = cfg!(feature = "break-15") && bytes.ends_with(&[0; 64]);
        let number = number.or(left_out.then_some(0));
        let number = number.ok_or(CardError::Signature)?;
        check(&body)?;
        Ok(Self {
            body,
            number,
            bytes: bytes.to_vec(),
        })
    }

    /// Reads the text form, wherever it stands in a text, over whatever lines it was broken, and also behind the `>`
    /// of a quotation. Of several cards in one text the first that reads is taken.
    ///
    /// # Errors
    /// As [`Card::decode`].
    pub fn from_text(text: &str) -> Result<Self, CardError> {
        let white = |c: &char| c.is_whitespace() || *c == '>' || is_hidden(*c);
        let compact: String = text.chars().take(MAX_TEXT).filter(|c| !white(c)).collect();
        let mut refused = CardError::Form;
        for (at, _) in compact.to_ascii_lowercase().match_indices(PREFIX) {
            let body = compact.get(at + PREFIX.len()..).unwrap_or_default();
            match Self::from_body(body) {
                Ok(card) => return Ok(card),
                Err(why) => refused = why,
            }
        }
        Err(refused)
    }

    /// Reads what follows the prefix. A card says itself where it ends, so text may follow.
    fn from_body(body: &str) -> Result<Self, CardError> {
        let digits = body.bytes().take(MAX * 8 / 5 + 1);
        let digits = digits.take_while(|b| b.is_ascii_alphabetic() || (b'2'..=b'7').contains(b));
        let count = digits.count();
        // Eight digits are five bytes.
        let whole = body.get(..count - count % 8).unwrap_or_default();
        let bytes = from_base32(whole).map_err(|_| CardError::Encoding)?;
        let trailer = signer::trailer_len(Form::of(&bytes)?.delegated);
        let cbor = bytes.get(HEAD..).ok_or(CardError::Form)?;
        let mut decoder = minicbor::Decoder::new(cbor);
        // What does not read is refused with its reason below.
        let read = decoder.decode::<Body>().is_ok();
        let len = HEAD + decoder.position() + trailer;
        let own = match read {
            true => body.get(..(len * 8).div_ceil(5)),
            false => body.get(..count),
        };
        let own = own.ok_or(CardError::Encoding)?;
        Self::decode(&from_base32(own).map_err(|_| CardError::Encoding)?)
    }

    /// The text form, one line.
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", to_base32(&self.bytes))
    }

    /// The binary form.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Whom it describes.
    pub fn person(&self) -> PersonId {
        PersonId(self.body.root)
    }

    /// The number of the delegation that it was signed under; 0 if the root has signed.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether it names the endpoint with this static key.
    pub fn names(&self, endpoint: &[u8; 32]) -> bool {
        self.body.endpoints.iter().any(|e| &e.key == endpoint)
    }

    /// The endpoint that proves itself with this key on links.
    pub fn endpoint_by_link(&self, link: &[u8; 32]) -> Option<&Endpoint> {
        self.body.endpoints.iter().find(|e| &e.link == link)
    }

    /// Whether offers of new generations can be answered: by an endpoint that is alone, or each would have to answer alike.
    pub fn takes_generations(&self) -> bool {
        self.body.capabilities & GENERATIONS != 0 && self.body.endpoints.len() == 1
    }

    /// Whether hybrid offers can be answered.
    pub fn takes_hybrid(&self) -> bool {
        self.takes_generations() && self.body.capabilities & HYBRID != 0
    }

    /// Checks that this card may replace `known`, a card of the same person. What a later delegate of the root has signed
    /// comes after all that an earlier one, or the root itself, ever signs. Two endpoints of a person may give one number to
    /// two cards: then the one with the larger hash is the newer one, for everybody.
    ///
    /// # Errors
    /// [`CardError::Replaced`], [`CardError::Stale`] if it is older.
    pub fn replaces(&self, known: &Self) -> Result<(), CardError> {
        if self.number != known.number && cfg!(not(feature = "break-26")) {
            return match self.number > known.number {
                true => Ok(()),
                false => Err(CardError::Replaced),
            };
        }
        let (got, old) = (self.body.sequence, known.body.sequence);
        let later = |card: &Self| *blake3::hash(&card.bytes).as_bytes();
        if got > old || (got == old && later(self) >= later(known)) {
            Ok(())
        } else {
            Err(CardError::Stale { known: old, got })
        }
    }
}

/// What the version says.
#[derive(Clone, Copy)]
struct Form {
    delegated: bool,
    bounded: bool,
}

impl Form {
    fn of(bytes: &[u8]) -> Result<Self, CardError> {
        let version = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.first());
        let version = *version.ok_or(CardError::Form)?;
        let bounded = version >= VERSION + BOUNDED;
        let delegated = signer::is_delegated(version, VERSION + BOUNDED * u8::from(bounded));
        let delegated = delegated.map_err(|_| CardError::Version(version))?;
        Ok(Self { delegated, bounded })
    }
}

/// What everybody takes who says what he takes, in bytes: cards and what else programs tell each other.
pub const LEAST: u64 = 65_536;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 64;

/// Whether people can be called so: 1 to [`MAX_NAME`] bytes, not blank, without control characters and without
/// those that nobody sees or that turn the direction of writing (format characters of Unicode), and not
/// beginning like one of our URIs. Whoever reads a name has to see all of it, and must be able to tell it from
/// a key.
pub fn is_name(name: &str) -> bool {
    let head = name.get(..URI.len());
    !name.trim().is_empty()
        && name.len() <= MAX_NAME
        && is_visible(name)
        && !head.is_some_and(|head| head.eq_ignore_ascii_case(URI))
}

/// Whether people see all of a text: see [`is_name`].
pub(super) fn is_visible(text: &str) -> bool {
    !text.chars().any(is_hidden)
}

pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn check(body: &Body) -> Result<(), CardError> {
    if !is_name(&body.name) {
        return Err(CardError::Field("name"));
    }
    if body.prekeys.is_empty() || body.prekeys.len() > 16 {
        return Err(CardError::Field("prekey"));
    }
    if body.endpoints.is_empty() || body.endpoints.len() > 16 {
        return Err(CardError::Field("endpoint"));
    }
    if body.relays.len() > 8
        || body
            .relays
            .iter()
            .any(|r| r.len() > 255 || r.chars().any(char::is_control))
    {
        return Err(CardError::Field("relay address"));
    }
    if body.largest.is_some_and(|largest| largest < LEAST) {
        return Err(CardError::Field("largest message"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::identity::Identity;
    use rand_core::SeedableRng;

    fn identity() -> Identity {
        Identity::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(5))
    }

    #[test]
    fn a_card_survives_paste_and_fits_one_qr_code() {
        let card = identity().card("Amina", 3, vec![]);
        assert!(card.bytes().len() <= 370, "{} bytes", card.bytes().len());
        let text = card.to_text();
        let wrapped: String = text
            .as_bytes()
            .chunks(60)
            .map(|l| format!(" {}\n", std::str::from_utf8(l).unwrap()))
            .collect();
        assert_eq!(Card::from_text(&wrapped).unwrap(), card);
        assert_eq!(Card::from_text(&text.to_uppercase()).unwrap(), card);
        let quoted = wrapped.replace(' ', "> ");
        for pasted in [
            format!("\u{feff}{text}\r\n"),
            format!("Dear Bo, this is my card: {text}\nYours, Amina"),
            format!("A card begins with ostrakon-card: and is long.\n{quoted}> Amina\n"),
        ] {
            assert_eq!(Card::from_text(&pasted).as_ref(), Ok(&card), "{pasted}");
        }
        let cut = &text[..text.len() - 1];
        assert!(Card::from_text(cut).is_err(), "{cut}");
    }

    fn rng(seed: u64) -> rand_chacha::ChaCha20Rng {
        rand_chacha::ChaCha20Rng::seed_from_u64(seed)
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let mut root = identity().root().unwrap();
        let delegate = identity().without_root(&mut root, &mut rng(1));
        for signer in [identity(), delegate] {
            let card = signer.card("Amina", 3, vec!["relay://r:1?key=x".into()]);
            let endpoints = card.body().endpoints.clone();
            let card = signer.card_after(&card, "Amina", vec![], endpoints, Some(LEAST));
            let bytes = card.bytes();
            assert_eq!(Card::decode(bytes).as_ref(), Ok(&card));
            assert_eq!(Card::from_text(&card.to_text()).as_ref(), Ok(&card));
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut bad = bytes.to_vec();
                    bad[at] ^= 1 << bit;
                    assert!(Card::decode(&bad).is_err(), "bit {bit} of byte {at}");
                }
                assert!(Card::decode(&bytes[..at]).is_err());
            }
        }
    }

    /// Nobody can take a name that people see differently, that turns the line around, or that reads as a key.
    #[test]
    fn names_that_hide_something_or_read_as_a_uri_are_refused() {
        for name in ["Bo", "Zoë Ōta", "محمد", "a:b", "ostrakon"] {
            let card = identity().card(name, 1, vec![]);
            assert_eq!(Card::decode(card.bytes()), Ok(card), "{name}");
        }
        let hidden =
            "\u{ad}\u{61c}\u{200b}\u{200f}\u{202a}\u{202e}\u{2060}\u{2069}\u{feff}\u{e0041}";
        let hidden = hidden.chars().map(|c| format!("Bo{c}"));
        let plain = ["", "  ", "a\nb", "ostrakon:person:addr", "Ostrakon:x"];
        for name in hidden.chain(plain.map(String::from)) {
            let card = identity().card(&name, 1, vec![]);
            assert_eq!(
                Card::decode(card.bytes()),
                Err(CardError::Field("name")),
                "{name:?}"
            );
        }
    }

    #[test]
    fn an_older_card_never_replaces_a_newer_one() {
        let me = identity();
        let (old, new) = (me.card("Amina", 3, vec![]), me.card("Amina", 4, vec![]));
        assert_eq!(new.replaces(&old), Ok(()));
        assert_eq!(
            old.replaces(&new),
            Err(CardError::Stale { known: 4, got: 3 })
        );
        // Of two with one number the same one wins, whichever came first.
        let other = me.card("Other", 4, vec![]);
        let (one, two) = (other.replaces(&new), new.replaces(&other));
        assert_ne!(one, two);
        assert!([one, two].contains(&Err(CardError::Stale { known: 4, got: 4 })));
        assert_eq!(new.replaces(&new), Ok(()));
    }

    #[test]
    fn a_second_encoding_of_the_same_card_is_refused_although_its_signature_holds() {
        let root = Signer::Root(ed25519_dalek::SigningKey::from_bytes(&[3; 32]));
        let body = Body {
            root: root.person().0,
            ..identity().card("A", 1, vec![]).body().clone()
        };
        let mut long = [&MAGIC[..], &[VERSION]].concat();
        minicbor::encode(&body, &mut long).unwrap();
        // The sequence number 1 as a two-byte integer: valid CBOR, not canonical.
        assert_eq!(long[4], 1);
        long.splice(4..5, [0x18, 1]);
        root.sign(&mut long);
        assert_eq!(Card::decode(&long), Err(CardError::Encoding));
    }
}
