//! Sealing of fragments with ChaCha20-Poly1305 (RFC 8439), each on its own.
//!
//! The key depends on the label, the label on every byte of the manifest, and the manifest on the digests, sizes
//! and coding parameters of the parts; so the bytes at a place are a function of the key, and the nonce, made of
//! the place alone, never meets the same key with other bytes. No counter and no clock is involved: a restored
//! backup or a cloned device cannot repeat a nonce.

use super::aead::Cipher;
use super::kdf::{Key, prf};
use crate::wire::fragment::{Kind, Label, Place, TAG, View};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;

/// A fragment did not open: another key, or changed on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fragment does not authenticate")]
pub struct NotAuthentic;

/// What binds a fragment to its session and epoch: goes into the associated data.
pub type Context = [u8; 32];

/// Room for fragments that follow each other and are gone soon, so that not each is allocated for itself. Who keeps one keeps
/// all that share its room.
#[derive(Debug, Default)]
pub struct Room {
    open: BytesMut,
    /// What was full, the oldest first.
    full: VecDeque<BytesMut>,
}

impl Room {
    /// Bytes, for some fifty of the usual length.
    const LEN: usize = 64 << 10;
    /// Full ones that are kept until nobody has any of their fragments, to be used again.
    const KEPT: usize = 8;

    /// For one fragment.
    fn single(len: usize) -> Self {
        Self {
            open: BytesMut::with_capacity(len),
            full: VecDeque::new(),
        }
    }

    /// It has nothing in it and takes so many bytes.
    fn of(&mut self, len: usize) -> &mut BytesMut {
        self.open.clear();
        if self.open.capacity() < len && !self.open.try_reclaim(len) {
            self.open_next(len.max(Self::LEN));
        }
        &mut self.open
    }

    fn open_next(&mut self, len: usize) {
        let oldest = self.full.front_mut();
        let free = oldest.is_some_and(|oldest| oldest.try_reclaim(len));
        let next = match free || self.full.len() >= Self::KEPT {
            true => self.full.pop_front().filter(|_| free),
            false => None,
        };
        let next = next.unwrap_or_else(|| BytesMut::with_capacity(len));
        self.full.push_back(std::mem::replace(&mut self.open, next));
    }
}

/// Keys of one message. Wiped when dropped.
#[derive(Clone)]
pub struct MessageKeys {
    secret: Key,
    context: Context,
    epoch_bits: u8,
    hint: [u8; 2],
    label: Label,
    kinds: [KindKey; 3],
}

#[derive(Clone)]
struct KindKey {
    cipher: Cipher,
    mask: Key,
}

impl KindKey {
    fn derive(message: &Key, kind: Kind) -> Self {
        let key = prf(message, "kind", &[&[kind.code()]]);
        Self {
            cipher: Cipher::new(prf(&key, "aead", &[])),
            mask: prf(&key, "mask", &[]),
        }
    }

    fn mask(&self, tag: &[u8], bytes: &mut [u8]) {
        // Without the mask, places stand in clear.
        if cfg!(feature = "break-38") {
            return;
        }
        let mask = blake3::keyed_hash(self.mask.bytes(), tag);
        bytes
            .iter_mut()
            .zip(mask.as_bytes())
            .for_each(|(byte, m)| *byte ^= m);
    }
}

impl std::fmt::Debug for MessageKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MessageKeys({:02x?})", self.label)
    }
}

impl MessageKeys {
    /// From the secret of the message, see [`super::session::Epoch::message`].
    pub fn new(secret: Key, context: Context, epoch_bits: u8, hint: [u8; 2], label: Label) -> Self {
        let kinds =
            [Kind::Narrow, Kind::Wide, Kind::Short].map(|kind| KindKey::derive(&secret, kind));
        Self {
            secret,
            context,
            epoch_bits,
            hint,
            label,
            kinds,
        }
    }

    /// The bytes from which [`MessageKeys::restore`] makes the same keys. Secret.
    pub fn store(&self) -> Vec<u8> {
        let mut out = self.secret.bytes().to_vec();
        out.extend_from_slice(&self.context);
        out.push(self.epoch_bits);
        out.extend_from_slice(&self.hint);
        out.extend_from_slice(&self.label);
        out
    }

    /// Reads what [`MessageKeys::store`] wrote.
    ///
    /// # Errors
    /// [`crate::wire::read::Malformed`] if it is something else.
    pub fn restore(bytes: &[u8]) -> Result<Self, crate::wire::read::Malformed> {
        let mut r = crate::wire::read::Reader::new(bytes);
        let (secret, context) = (Key::new(r.array()?), r.array()?);
        let (epoch_bits, hint, label) = (r.u8()?, r.array()?, r.array()?);
        r.finish()?;
        Ok(Self::new(secret, context, epoch_bits, hint, label))
    }

    /// The label.
    pub fn label(&self) -> Label {
        self.label
    }

    /// The lower five bits of the epoch it was made in.
    pub fn epoch_bits(&self) -> u8 {
        self.epoch_bits
    }

    fn key(&self, kind: Kind) -> &KindKey {
        match kind {
            Kind::Narrow => &self.kinds[0],
            Kind::Wide => &self.kinds[1],
            Kind::Short => &self.kinds[2],
        }
    }

    fn open_header(&self, kind: Kind) -> [u8; 9] {
        let mut head = [0; 9];
        head[0] = kind.code() << 5 | self.epoch_bits;
        head[1..7].copy_from_slice(&self.label);
        head[7..9].copy_from_slice(&self.hint);
        head
    }

    fn associated(&self, kind: Kind, place: &[u8]) -> ([u8; 46], usize) {
        let mut data = [0; 46];
        data[..32].copy_from_slice(&self.context);
        data[32..41].copy_from_slice(&self.open_header(kind));
        let end = 41 + place.len();
        data[41..end].copy_from_slice(place);
        (data, end)
    }

    /// Seals bytes at a place: a whole fragment.
    pub fn seal(&self, kind: Kind, place: &Place, plain: &[u8]) -> Bytes {
        let len = kind.header_len() + plain.len() + TAG;
        self.seal_in(&mut Room::single(len), kind, place, plain)
    }

    /// The same in room for several.
    pub fn seal_in(&self, room: &mut Room, kind: Kind, place: &Place, plain: &[u8]) -> Bytes {
        let (mut masked, masked_len) = place.encode(kind);
        let header = kind.header_len();
        let frame = room.of(header + plain.len() + TAG);
        frame.put_slice(&self.open_header(kind));
        frame.put_slice(&masked[..masked_len]);
        frame.put_slice(plain);
        let (data, data_len) = self.associated(kind, &masked[..masked_len]);
        let key = self.key(kind);
        let nonce = nonce(kind, place, plain.len());
        let tag = key
            .cipher
            .seal(&nonce, &data[..data_len], &mut frame[header..]);
        key.mask(&tag, &mut masked[..masked_len]);
        frame[9..header].copy_from_slice(&masked[..masked_len]);
        frame.put_slice(&tag);
        frame.split().freeze()
    }

    /// Opens a fragment with this label: where it belongs, and its bytes.
    ///
    /// # Errors
    /// [`NotAuthentic`] if it was not sealed with these keys at this place.
    pub fn open(&self, view: &View<'_>) -> Result<(Place, Bytes), NotAuthentic> {
        let len = view.sealed.len();
        self.open_in(&mut Room::single(len), view)
    }

    /// The same in room for several.
    ///
    /// # Errors
    /// As [`MessageKeys::open`].
    pub fn open_in(
        &self,
        room: &mut Room,
        view: &View<'_>,
    ) -> Result<(Place, Bytes), NotAuthentic> {
        let key = self.key(view.kind);
        let mut place_bytes = [0u8; 5];
        let place_bytes = &mut place_bytes[..view.masked.len()];
        place_bytes.copy_from_slice(view.masked);
        key.mask(view.tag(), place_bytes);
        let place = Place::decode(view.kind, place_bytes).map_err(|_| NotAuthentic)?;
        let (cipher, tag) = view.sealed.split_last_chunk::<TAG>().ok_or(NotAuthentic)?;
        let (data, data_len) = self.associated(view.kind, place_bytes);
        let plain = room.of(cipher.len());
        plain.put_slice(cipher);
        let nonce = nonce(view.kind, &place, plain.len());
        key.cipher.open(&nonce, &data[..data_len], plain, tag)?;
        // The tag covers the header that was sealed; here it shows whether it is the one that came.
        let hint = view.hint == self.hint || cfg!(feature = "break-01");
        if view.epoch_bits != self.epoch_bits || !hint {
            return Err(NotAuthentic);
        }
        Ok((place, plain.split().freeze()))
    }
}

/// What a simulation compares to find a nonce that met two contents under one key. It tells neither key nor content.
#[cfg(feature = "sim")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealMark {
    /// Stands for key and nonce.
    pub nonce: [u8; 16],
    /// Stands for the content and what it is bound to.
    pub content: [u8; 16],
}

#[cfg(feature = "sim")]
impl MessageKeys {
    /// The mark of a frame that [`MessageKeys::seal`] has sealed at a place. Under one key and nonce, the tag stands for
    /// the content and all that it is bound to.
    pub fn mark(&self, kind: Kind, place: &Place, frame: &[u8]) -> SealMark {
        let len = frame.len().saturating_sub(kind.header_len() + TAG);
        let whole = prf(&self.secret, "mark", &[&nonce(kind, place, len)]);
        let mut mark = [0; 16];
        mark.copy_from_slice(&whole.bytes()[..16]);
        SealMark {
            nonce: mark,
            content: frame.last_chunk().copied().unwrap_or_default(),
        }
    }
}

fn nonce(kind: Kind, place: &Place, len: usize) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[0] = kind.code();
    nonce[1] = place.part;
    nonce[2..4].copy_from_slice(&place.block.to_be_bytes());
    if cfg!(not(feature = "break-reuse-nonce")) {
        nonce[4..6].copy_from_slice(&place.packed().to_be_bytes());
    }
    nonce[6..10].copy_from_slice(&(len as u32).to_be_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(n: u8) -> MessageKeys {
        MessageKeys::new(Key::new([n; 32]), [2; 32], 5, [7, 8], [1, 2, 3, 4, 5, 6])
    }

    proptest! {
        #[test]
        fn a_fragment_opens_at_its_place_and_any_flipped_bit_or_cut_closes_it(
            part: u8, block: u16, symbol in 0u16..8192, slice in 0u8..8, wide: bool,
            plain in proptest::collection::vec(any::<u8>(), 1..300), at: prop::sample::Index, bit in 0u8..8,
        ) {
            let kind = if wide { Kind::Wide } else { Kind::Narrow };
            let place = Place { part, block: if wide { block } else { 0 }, symbol, slice };
            let frame = keys(1).seal(kind, &place, &plain);
            let overhead = if wide { 30 } else { 28 };
            prop_assert_eq!(frame.len(), plain.len() + overhead);
            let opened = keys(1).open(&View::parse(&frame).unwrap());
            prop_assert_eq!(opened, Ok((place, Bytes::from(plain))));
            prop_assert!(keys(2).open(&View::parse(&frame).unwrap()).is_err());
            let mut bad = frame.to_vec();
            let at = at.index(bad.len());
            bad[at] ^= 1 << bit;
            // The label finds the keys, so it is the one field that a caller has compared before opening.
            let found = View::parse(&bad).ok().filter(|v| v.label == keys(1).label());
            prop_assert!(found.is_none_or(|v| keys(1).open(&v).is_err()));
            prop_assert!(View::parse(&frame[..at]).is_err() || keys(1).open(&View::parse(&frame[..at]).unwrap()).is_err());
        }
    }
}
