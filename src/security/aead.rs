//! The AEAD of fragments, ChaCha20-Poly1305 (RFC 8439, section 2.8), behind one seam for two implementations.
//!
//! With the feature `ring`, which the command line brings, it is that of ring, whose vector code is several times as fast
//! (`docs/benchmarks.md`). Without it, it is that of chacha20poly1305, which needs neither a C compiler nor assembler. The
//! bytes are the same, and tests hold the one against the other. What is sealed rarely goes through chacha20poly1305 alone.

use super::kdf::Key;
use super::seal::NotAuthentic;

/// Length of a nonce, in bytes.
pub const NONCE: usize = 12;
/// Length of a tag, in bytes.
pub const TAG: usize = 16;

#[cfg(not(feature = "ring"))]
use portable as fastest;
#[cfg(feature = "ring")]
use vectored as fastest;

/// A key that seals and opens. Wiped when dropped.
#[derive(Clone)]
pub struct Cipher(Key);

impl Cipher {
    /// Takes a key over that is used for nothing else.
    pub fn new(key: Key) -> Self {
        Self(key)
    }

    /// Seals bytes in place, and gives their tag. What is too long to be sealed, more than 256 GiB, is wiped.
    pub fn seal(&self, nonce: &[u8; NONCE], associated: &[u8], bytes: &mut [u8]) -> [u8; TAG] {
        fastest::seal(&self.0, nonce, associated, bytes).unwrap_or_else(|| {
            bytes.fill(0);
            [0; TAG]
        })
    }

    /// Opens bytes in place. If they do not open, they are of no use afterwards.
    ///
    /// # Errors
    /// [`NotAuthentic`] if they were not sealed with this key, this nonce and this associated data.
    pub fn open(
        &self,
        nonce: &[u8; NONCE],
        associated: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG],
    ) -> Result<(), NotAuthentic> {
        fastest::open(&self.0, nonce, associated, bytes, tag).ok_or(NotAuthentic)
    }
}

/// In plain Rust, for every processor.
#[cfg(any(test, not(feature = "ring")))]
mod portable {
    use super::{Key, NONCE, TAG};
    use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};

    pub fn seal(
        key: &Key,
        nonce: &[u8; NONCE],
        associated: &[u8],
        bytes: &mut [u8],
    ) -> Option<[u8; TAG]> {
        let cipher = ChaCha20Poly1305::new(key.bytes().into());
        let sealed = cipher.encrypt_inout_detached(&(*nonce).into(), associated, bytes.into());
        sealed.ok().map(Into::into)
    }

    pub fn open(
        key: &Key,
        nonce: &[u8; NONCE],
        associated: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG],
    ) -> Option<()> {
        let (cipher, tag) = (ChaCha20Poly1305::new(key.bytes().into()), (*tag).into());
        cipher
            .decrypt_inout_detached(&(*nonce).into(), associated, bytes.into(), &tag)
            .ok()
    }
}

/// With the vector code of ring. It does not wipe its keys, so each is made of ours for one call.
#[cfg(feature = "ring")]
mod vectored {
    use super::{Key, NONCE, TAG};
    use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

    fn cipher(key: &Key) -> Option<LessSafeKey> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.bytes()).ok()?;
        Some(LessSafeKey::new(key))
    }

    pub fn seal(
        key: &Key,
        nonce: &[u8; NONCE],
        associated: &[u8],
        bytes: &mut [u8],
    ) -> Option<[u8; TAG]> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let sealed = cipher(key)?.seal_in_place_separate_tag(nonce, Aad::from(associated), bytes);
        sealed.ok()?.as_ref().try_into().ok()
    }

    pub fn open(
        key: &Key,
        nonce: &[u8; NONCE],
        associated: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG],
    ) -> Option<()> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let (associated, tag) = (Aad::from(associated), (*tag).into());
        cipher(key)?
            .open_in_place_separate_tag(nonce, associated, tag, bytes, 0..)
            .ok()
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(hex: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
    }

    /// RFC 8439, section 2.8.2.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let key: [u8; 32] = std::array::from_fn(|i| 0x80 + i as u8);
        let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let associated = unhex("50515253c0c1c2c3c4c5c6c7");
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
            sunscreen would be it.";
        let mut bytes = plain.to_vec();
        let tag = Cipher::new(Key::new(key)).seal(&nonce, &associated, &mut bytes);
        assert_eq!(bytes[..16], unhex("d31a8d34648e60db7b86afbc53ef7ec2"));
        assert_eq!(tag[..], unhex("1ae10b594f09e26a7e902ecbd0600691"));
        let opened = Cipher::new(Key::new(key)).open(&nonce, &associated, &mut bytes, &tag);
        assert_eq!((opened, &bytes[..]), (Ok(()), &plain[..]));
    }

    #[cfg(feature = "ring")]
    proptest::proptest! {
        #[test]
        fn both_implementations_seal_alike_and_open_each_others(
            key: [u8; 32], nonce: [u8; NONCE], associated: Vec<u8>, plain: Vec<u8>, flipped in 0usize..TAG,
        ) {
            let key = Key::new(key);
            let (mut one, mut other) = (plain.clone(), plain.clone());
            let tag = portable::seal(&key, &nonce, &associated, &mut one).unwrap();
            assert_eq!(vectored::seal(&key, &nonce, &associated, &mut other), Some(tag));
            assert_eq!(one, other);
            let mut wrong = tag;
            wrong[flipped] ^= 1;
            assert_eq!(vectored::open(&key, &nonce, &associated, &mut one.clone(), &wrong), None);
            assert_eq!(portable::open(&key, &nonce, &associated, &mut one.clone(), &wrong), None);
            assert_eq!(vectored::open(&key, &nonce, &associated, &mut one, &tag), Some(()));
            assert_eq!(portable::open(&key, &nonce, &associated, &mut other, &tag), Some(()));
            assert_eq!((&one, &other), (&plain, &plain));
        }
    }
}
