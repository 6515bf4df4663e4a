//! The seal on what the store keeps, row by row.
//!
//! ```text
//! 0..24    nonce, drawn anew at each writing
//! 24..     the value, sealed; 16 bytes of tag at the end
//! ```
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with one key for all rows of a home. A nonce of 24 bytes may be drawn
//! by chance as often as rows are written. The name of the table and the key of the row are associated data, so that
//! no row passes for another. An older value of the same row does, and that a row is gone does not show.

use super::content::ContentKey;
use super::kdf::{Key, prf};
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};

/// Length of a nonce, in bytes.
pub const NONCE: usize = 24;
const TAG: usize = 16;
/// By how much a sealed value is longer, in bytes.
pub const OVERHEAD: usize = NONCE + TAG;

/// A value did not open: changed, of another row, or sealed under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row is damaged or of another home")]
pub struct NotOfThisHome;

/// Seals and opens the rows of one home: see [`super::identity::Identity::row_key`]. Wiped when dropped.
#[derive(Clone, Debug)]
pub struct RowKey(Key);

impl RowKey {
    /// Takes a key over that is used for nothing else of a home.
    pub fn new(key: Key) -> Self {
        Self(key)
    }

    /// What seals the bulk files of the same home.
    pub fn content_key(&self) -> ContentKey {
        ContentKey::new(prf(&self.0, "content of files", &[]))
    }

    /// Seals the value of the row `key` of `table`, whose name has at most 255 bytes, under a nonce that never was used
    /// before.
    pub fn seal(&self, table: &str, key: &[u8], value: &[u8], nonce: [u8; NONCE]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(value.len() + OVERHEAD);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(value);
        let tag = self.cipher().encrypt_inout_detached(
            &nonce.into(),
            &place(table, key),
            (&mut sealed[NONCE..]).into(),
        );
        match tag {
            Ok(tag) => sealed.extend_from_slice(&tag),
            // Only beyond 256 GiB, and then nothing may stay as it is.
            Err(_) => sealed.clear(),
        }
        sealed
    }

    /// Opens the value of the row `key` of `table`.
    ///
    /// # Errors
    /// [`NotOfThisHome`] if it is not what [`RowKey::seal`] has made for this very row.
    pub fn open(&self, table: &str, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotOfThisHome> {
        let (nonce, rest) = sealed.split_first_chunk().ok_or(NotOfThisHome)?;
        let (value, tag) = rest.split_last_chunk::<TAG>().ok_or(NotOfThisHome)?;
        let nonce: &[u8; NONCE] = nonce;
        let mut value = value.to_vec();
        self.cipher()
            .decrypt_inout_detached(
                &(*nonce).into(),
                &place(table, key),
                value.as_mut_slice().into(),
                &(*tag).into(),
            )
            .map_err(|_| NotOfThisHome)?;
        Ok(value)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.0.bytes().into())
    }
}

/// Which row it is. The length in front keeps two tables apart of which one begins like the other.
fn place(table: &str, key: &[u8]) -> Vec<u8> {
    [&[table.len() as u8], table.as_bytes(), key].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row opens where it was sealed; with a bit flipped or cut, at another place or under another key it does not.
    #[test]
    fn a_row_opens_as_it_is_at_its_place_alone() {
        let rows = RowKey::new(Key::new([1; 32]));
        let sealed = rows.seal("session", b"key", b"value", [2; NONCE]);
        assert_eq!(sealed.len(), b"value".len() + OVERHEAD);
        assert_eq!(rows.open("session", b"key", &sealed), Ok(b"value".to_vec()));
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let opened = rows.open("session", b"key", &changed);
            assert_eq!(opened, Err(NotOfThisHome), "bit {bit}");
        }
        for len in 0..sealed.len() {
            let opened = rows.open("session", b"key", &sealed[..len]);
            assert_eq!(opened, Err(NotOfThisHome), "{len} bytes");
        }
        for (table, key) in [
            ("outbox", &b"key"[..]),
            ("session", b"kez"),
            ("session", b""),
            ("sessionk", b"ey"),
            ("sessio", b"nkey"),
        ] {
            let opened = rows.open(table, key, &sealed);
            assert_eq!(opened, Err(NotOfThisHome), "{table} {key:?}");
        }
        let other = RowKey::new(Key::new([3; 32]));
        assert_eq!(other.open("session", b"key", &sealed), Err(NotOfThisHome));
    }
}
