//! The manifest: what a message consists of.
//!
//! ```text
//! 0      version = 1
//! 1      flags: bit 0 created present, bit 1 short form, bit 2 several recipients; others zero
//! 2..10  salt
//!        [created, 4 bytes: seconds since 1970]
//! short form (one inline part, id 1, normal priority, no name):
//!        lifetime 1, media type code 1, length 2, bytes
//! otherwise:
//!        number of parts 1, then for each
//!          id 1, priority 1, lifetime 1
//!          media type: code 1; code 0 is followed by length 1 and text
//!          name: length 1 and text (UTF-8)
//!          body 1: 0 inline: length 2, bytes
//!                  1 coded: length varint, BLAKE3 digest 32, scheme 1, slice length 2, slices 1,
//!                    source symbols of a block 2, repair symbols of a block 2
//! several recipients: see [`super::shared`]
//! ```
//!
//! The message id is the hash of these bytes and of both persons; it is never carried. Flag bits and media type
//! codes that are free leave room for thread and conversation ids, several instalments of one manifest, padding
//! classes and compression: an unknown flag is refused by name, never skipped.

use crate::engine::coding::Scheme;
use crate::engine::geometry::{Coding, Geometry};
use crate::engine::id::{MessageId, PersonId};
use crate::wire::read::{Malformed, Reader, put_varint};
use crate::wire::shared::Shared;
use bytes::Bytes;
use std::time::Duration;

const VERSION: u8 = 1;
const CREATED: u8 = 1;
const SHORT: u8 = 2;
const SHARED: u8 = 4;

/// How long a part is worth carrying, in one byte.
///
/// Code 0 means for ever; otherwise `(8 + (code & 7)) << (code >> 3)` seconds: steps of an eighth of an octave
/// from 9 seconds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime(pub u8);

impl Lifetime {
    /// The shortest lifetime that is at least `wanted`; `None` is for ever.
    pub fn at_least(wanted: Option<Duration>) -> Self {
        let Some(wanted) = wanted else { return Self(0) };
        let code = (1..=u8::MAX).find(|&c| Self(c).duration().is_some_and(|d| d >= wanted));
        Self(code.unwrap_or(0))
    }

    /// How long; `None` is for ever.
    pub fn duration(self) -> Option<Duration> {
        (self.0 != 0).then(|| Duration::from_secs(u64::from(8 + (self.0 & 7)) << (self.0 >> 3)))
    }
}

/// Media types that have a code of one byte. Those from 0x80 are control records and never shown to people.
const MEDIA_TYPES: [(u8, &str); 11] = [
    (1, "text/plain"),
    (2, "application/octet-stream"),
    (3, "image/jpeg"),
    (4, "image/png"),
    (5, "application/pdf"),
    (6, "application/json"),
    (0x80, REPORT),
    (0x81, SESSION_ACK),
    (0x82, CANCEL),
    (0x83, INCARNATION),
    (0x84, GENERATION),
];

/// The media type of a reception report.
pub const REPORT: &str = "application/vnd.ostrakon.report";
/// The media type of a note that a session is known to its recipient.
pub const SESSION_ACK: &str = "application/vnd.ostrakon.session-ack";
/// The media type of a note that a message was given up by its sender.
pub const CANCEL: &str = "application/vnd.ostrakon.cancel";
/// The media type of a note of an [incarnation](crate::wire::incarnation).
pub const INCARNATION: &str = "application/vnd.ostrakon.incarnation";
/// The media type of a record of a [key exchange](crate::wire::generation).
pub const GENERATION: &str = "application/vnd.ostrakon.generation";

/// What a part consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Its bytes, here.
    Inline(Bytes),
    /// Symbols of its own.
    Coded {
        /// Length in bytes.
        len: u64,
        /// BLAKE3 of the bytes.
        digest: [u8; 32],
        /// How it is cut and coded.
        coding: Coding,
    },
}

impl Body {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Coded { len, .. } => *len,
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartEntry {
    /// 1 to 255, unique.
    pub id: u8,
    /// See [`crate::engine::message::Priority`].
    pub priority: u8,
    /// How long it is worth carrying.
    pub lifetime: Lifetime,
    /// RFC 2045 media type.
    pub media_type: String,
    /// A name for people, as the sender wrote it: not safe as a file name.
    pub name: String,
    /// Its bytes or where they come from.
    pub body: Body,
}

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Random, so that equal messages differ.
    pub salt: [u8; 8],
    /// Seconds since 1970 by the sender's clock, if it has one.
    pub created: Option<u32>,
    /// 1 to 255 parts.
    pub parts: Vec<PartEntry>,
    /// Present if it goes to several recipients.
    pub shared: Option<Shared>,
}

impl Manifest {
    /// Whether a part has symbols of its own.
    pub fn is_coded(&self) -> bool {
        let coded = |part: &PartEntry| matches!(part.body, Body::Coded { .. });
        self.parts.iter().any(coded)
    }

    /// Bytes of all parts together.
    pub fn bytes(&self) -> u64 {
        let parts = self.parts.iter().map(|part| part.body.len());
        parts.fold(0, u64::saturating_add)
    }

    /// The longest lifetime of the parts; `None` is for ever.
    pub fn lifetime(&self) -> Option<Duration> {
        let all: Option<Vec<Duration>> = self.parts.iter().map(|p| p.lifetime.duration()).collect();
        all?.into_iter().max()
    }

    /// The canonical bytes: there is one encoding of each manifest.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.encode_core();
        if let Some(shared) = &self.shared {
            shared.encode_rest(&mut out);
        }
        out
    }

    /// What the message id is made of.
    fn encode_core(&self) -> Vec<u8> {
        let short = self.short_form();
        let flags = u8::from(self.created.is_some()) * CREATED
            + u8::from(short.is_some()) * SHORT
            + u8::from(self.shared.is_some()) * SHARED;
        let mut out = vec![VERSION, flags];
        out.extend_from_slice(&self.salt);
        if let Some(created) = self.created {
            out.extend_from_slice(&created.to_be_bytes());
        }
        if let Some((lifetime, code, bytes)) = short {
            out.extend_from_slice(&[lifetime.0, code]);
            put_bytes16(&mut out, bytes);
        } else {
            out.push(self.parts.len() as u8);
            for part in &self.parts {
                part.encode(&mut out);
            }
        }
        if let Some(shared) = &self.shared {
            shared.encode_core(&mut out);
        }
        out
    }

    fn short_form(&self) -> Option<(Lifetime, u8, &Bytes)> {
        let [part] = self.parts.as_slice() else {
            return None;
        };
        let Body::Inline(bytes) = &part.body else {
            return None;
        };
        let code = media_code(&part.media_type)?;
        (part.id == 1 && part.priority == SHORT_PRIORITY && part.name.is_empty()).then_some((
            part.lifetime,
            code,
            bytes,
        ))
    }

    /// Reads and checks. Every claim is checked here, nothing is allocated for it.
    ///
    /// # Errors
    /// [`Malformed`] says which field is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.version(VERSION)?;
        let flags = r.u8()?;
        if flags & !(CREATED | SHORT | SHARED) != 0 {
            return Err(Malformed::Value("manifest flags"));
        }
        let salt = r.array()?;
        let created = if flags & CREATED != 0 {
            Some(r.u32()?)
        } else {
            None
        };
        let parts = if flags & SHORT != 0 {
            vec![PartEntry::decode_short(&mut r)?]
        } else {
            decode_parts(&mut r)?
        };
        let mut manifest = Self {
            salt,
            created,
            parts,
            shared: None,
        };
        if flags & SHARED != 0 {
            manifest.shared = Some(Shared::decode(&mut r, manifest.is_coded())?);
        }
        // Without it, more may follow.
        if cfg!(not(feature = "break-18")) {
            r.finish()?;
        }
        // A control record concerns two.
        let shared_control = manifest.shared.is_some() && manifest.control().is_some();
        if (flags & SHORT != 0) != manifest.short_form().is_some() || shared_control {
            return Err(Malformed::Value("manifest form"));
        }
        Ok(manifest)
    }

    /// The id of the message that `from` sends to `to` with this manifest. If it goes to several, it is one for all.
    pub fn message_id(&self, from: PersonId, to: PersonId) -> MessageId {
        let context = match self.shared {
            None => "ostrakon 2026 message id v1",
            Some(_) => "ostrakon 2026 shared message id v1",
        };
        let mut hasher = blake3::Hasher::new_derive_key(context);
        // Without the sender, whoever repeats a message of others takes its id.
        if cfg!(not(feature = "break-37")) {
            hasher.update(&from.0);
        }
        let mut bytes = self.encode_core();
        // Without the content, all hangs on the salt.
        if cfg!(feature = "break-13") && self.short_form().is_some() {
            bytes.truncate(10);
        }
        if self.shared.is_none() {
            hasher.update(&to.0);
        }
        hasher.update(&bytes);
        MessageId(*hasher.finalize().as_bytes())
    }

    /// The control record that this is, if it is one: its media type code and bytes.
    pub fn control(&self) -> Option<(u8, &Bytes)> {
        self.short_form()
            .filter(|(_, code, _)| *code >= 0x80)
            .map(|(_, code, bytes)| (code, bytes))
    }

    /// A manifest of one inline part without name.
    pub fn single(
        salt: [u8; 8],
        created: Option<u32>,
        lifetime: Lifetime,
        media_type: &str,
        bytes: Bytes,
    ) -> Self {
        let part = PartEntry {
            id: 1,
            priority: SHORT_PRIORITY,
            lifetime,
            media_type: media_type.to_owned(),
            name: String::new(),
            body: Body::Inline(bytes),
        };
        Self {
            salt,
            created,
            parts: vec![part],
            shared: None,
        }
    }
}

/// Bytes that the short form adds to its inline part, without a creation time.
pub const SHORT_OVERHEAD: usize = 2 + 8 + 1 + 1 + 2;

/// The media type of a control record.
pub fn control_name(code: u8) -> Option<&'static str> {
    media_name(code).ok().filter(|_| code >= 0x80)
}

/// Parts of the short form are urgent: they are small texts and control records.
const SHORT_PRIORITY: u8 = 0;

fn decode_parts(r: &mut Reader<'_>) -> Result<Vec<PartEntry>, Malformed> {
    let count = r.u8()?;
    if count == 0 {
        return Err(Malformed::Value("number of parts"));
    }
    let mut seen = [false; 256];
    let mut parts = Vec::new();
    for _ in 0..count {
        let part = PartEntry::decode(r)?;
        if part.id == 0 || std::mem::replace(&mut seen[usize::from(part.id)], true) {
            return Err(Malformed::Value("part id"));
        }
        parts.push(part);
    }
    Ok(parts)
}

impl PartEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.id, self.priority, self.lifetime.0]);
        match media_code(&self.media_type) {
            Some(code) => out.push(code),
            None => {
                out.push(0);
                put_text8(out, &self.media_type);
            }
        }
        put_text8(out, &self.name);
        match &self.body {
            Body::Inline(bytes) => {
                out.push(0);
                put_bytes16(out, bytes);
            }
            Body::Coded {
                len,
                digest,
                coding,
            } => {
                out.push(1);
                put_varint(out, *len);
                out.extend_from_slice(digest);
                put_coding(out, coding);
            }
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let [id, priority, lifetime] = r.array()?;
        let media_type = match r.u8()? {
            0 => {
                let text = text8(r)?;
                if media_code(&text).is_some() {
                    return Err(Malformed::Value("media type"));
                }
                text
            }
            code => media_name(code)?.to_owned(),
        };
        if media_type.starts_with("application/vnd.ostrakon.") {
            return Err(Malformed::Value("media type"));
        }
        let name = text8(r)?;
        let body = match r.u8()? {
            0 => Body::Inline(bytes16(r)?),
            1 => {
                let len = r.varint()?;
                let digest = r.array()?;
                let coding = coding(r)?;
                Geometry::new(coding, len)?;
                Body::Coded {
                    len,
                    digest,
                    coding,
                }
            }
            _ => return Err(Malformed::Value("part body")),
        };
        Ok(Self {
            id,
            priority,
            lifetime: Lifetime(lifetime),
            media_type,
            name,
            body,
        })
    }

    fn decode_short(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let [lifetime, code] = r.array()?;
        let media_type = media_name(code)?.to_owned();
        let body = Body::Inline(bytes16(r)?);
        let lifetime = Lifetime(lifetime);
        Ok(Self {
            id: 1,
            priority: SHORT_PRIORITY,
            lifetime,
            media_type,
            name: String::new(),
            body,
        })
    }
}

fn put_coding(out: &mut Vec<u8>, coding: &Coding) {
    out.push(coding.scheme.code());
    out.extend_from_slice(&coding.slice_len.to_be_bytes());
    out.push(coding.slices);
    out.extend_from_slice(&coding.block_symbols.to_be_bytes());
    out.extend_from_slice(&coding.repair.to_be_bytes());
}

fn coding(r: &mut Reader<'_>) -> Result<Coding, Malformed> {
    Ok(Coding {
        scheme: Scheme::from_code(r.u8()?).ok_or(Malformed::Value("coding scheme"))?,
        slice_len: r.u16()?,
        slices: r.u8()?,
        block_symbols: r.u16()?,
        repair: r.u16()?,
    })
}

fn media_code(name: &str) -> Option<u8> {
    MEDIA_TYPES
        .iter()
        .find(|(_, known)| *known == name)
        .map(|(code, _)| *code)
}

fn media_name(code: u8) -> Result<&'static str, Malformed> {
    let found = MEDIA_TYPES.iter().find(|(known, _)| *known == code);
    found
        .map(|(_, name)| *name)
        .ok_or(Malformed::Value("media type"))
}

fn put_text8(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

fn text8(r: &mut Reader<'_>) -> Result<String, Malformed> {
    let len = usize::from(r.u8()?);
    let text = std::str::from_utf8(r.take(len)?).map_err(|_| Malformed::Value("text"))?;
    Ok(text.to_owned())
}

fn put_bytes16(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn bytes16(r: &mut Reader<'_>) -> Result<Bytes, Malformed> {
    let len = usize::from(r.u16()?);
    Ok(Bytes::copy_from_slice(r.take(len)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::kdf::Key;
    use crate::wire::shared::ContentKey;
    use proptest::prelude::*;

    fn entry(id: u8) -> impl Strategy<Value = PartEntry> {
        let body = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(|b| Body::Inline(b.into())),
            (1u64..(10 << 30), any::<[u8; 32]>()).prop_map(|(len, digest)| Body::Coded {
                len,
                digest,
                coding: Coding::choose(len)
            }),
        ];
        let media = prop_oneof![Just("text/plain".to_owned()), Just("image/webp".to_owned())];
        (0u8..4, any::<u8>(), media, "\\PC{0,40}", body).prop_map(
            move |(priority, lifetime, media_type, name, body)| PartEntry {
                id,
                priority,
                lifetime: Lifetime(lifetime),
                media_type,
                name,
                body,
            },
        )
    }

    fn manifest() -> impl Strategy<Value = Manifest> {
        let parts = (1u8..6).prop_flat_map(|n| (1..=n).map(entry).collect::<Vec<_>>());
        let recipients = proptest::collection::btree_set(any::<[u8; 32]>(), 2..5);
        let shared = proptest::option::of((recipients, any::<[u8; 32]>()));
        let all = (any::<[u8; 8]>(), any::<Option<u32>>(), parts, shared);
        all.prop_map(|(salt, created, parts, shared)| {
            let mut manifest = Manifest {
                salt,
                created,
                parts,
                shared: None,
            };
            manifest.shared = shared.map(|(recipients, bytes)| Shared {
                recipients: recipients.into_iter().map(PersonId).collect(),
                content: manifest.is_coded().then(|| ContentKey {
                    commitment: bytes,
                    key: Key::new(bytes),
                }),
                signature: [9; 64],
            });
            manifest
        })
    }

    proptest! {
        #[test]
        fn a_manifest_reads_back_and_has_one_encoding(manifest in manifest()) {
            let bytes = manifest.encode();
            prop_assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        }

        #[test]
        fn whatever_is_read_is_the_only_encoding_of_itself(manifest in manifest(), at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = manifest.encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(read) = Manifest::decode(&bytes) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }

        #[test]
        fn cut_or_extended_manifests_are_refused(manifest in manifest(), cut: prop::sample::Index) {
            let mut bytes = manifest.encode();
            prop_assert!(Manifest::decode(&bytes[..cut.index(bytes.len())]).is_err());
            bytes.push(0);
            prop_assert!(Manifest::decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_text_of_160_bytes_and_its_manifest_leave_room_for_an_envelope_in_222_bytes() {
        let text = Bytes::from(vec![b'x'; 160]);
        let manifest = Manifest::single([1; 8], Some(1), Lifetime(40), "text/plain", text);
        let frame = manifest.encode().len() + crate::wire::fragment::NARROW_OVERHEAD;
        assert!(frame + crate::wire::envelope::LEN <= 222, "{frame}");
    }

    #[test]
    fn a_lifetime_is_never_shorter_than_asked_and_at_most_an_eighth_longer() {
        for seconds in [1u64, 9, 60, 3600, 86_400, 604_800, 31_536_000] {
            let got = Lifetime::at_least(Some(Duration::from_secs(seconds)))
                .duration()
                .unwrap()
                .as_secs();
            assert!(
                got >= seconds && got <= (seconds + seconds / 8).max(9),
                "{seconds} became {got}"
            );
        }
    }
}
