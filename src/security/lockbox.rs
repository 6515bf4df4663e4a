//! A container that opens with a passphrase, for secret keys on a disk.
//!
//! ```text
//! 0..4     "OSTL"
//! 4        version = 1
//! 5..9     memory of Argon2id in KiB       9..13   passes
//! 13       lanes                           14..30  salt
//! 30..54   nonce                           54..    the content, sealed; 16 bytes of tag at the end
//! ```
//!
//! The key is Argon2id of the passphrase (RFC 9106), the seal XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with
//! the first 30 bytes as associated data. A nonce of 24 bytes may be drawn by chance as often as the content changes.

use super::kdf::Key;
use crate::wire::read::{Malformed, Reader};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

const MAGIC: [u8; 4] = *b"OSTL";
const VERSION: u8 = 1;
/// Length of what is bound as associated data, in bytes.
const BOUND: usize = 30;
/// Length of all that stands before the sealed content, in bytes.
const HEADER: usize = BOUND + 24;
const TAG: usize = 16;
/// The longest passphrase, in bytes.
pub const MAX_PASSPHRASE: usize = 1024;

/// Why a lockbox was not made or opened. The text ends with what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// It is something else, cut, or of another version.
    #[error("it does not read as locked keys ({0}); restore it from a copy")]
    Malformed(#[from] Malformed),
    /// It asks for work beyond the bounds of [`Cost`].
    #[error(
        "it asks for {} MiB of memory, {} passes and {} lanes, which is out of bounds; restore it from a copy",
        .0.memory / 1024, .0.passes, .0.lanes
    )]
    Cost(Cost),
    /// The machine has not the memory that it asks for.
    #[error("there are no {} MiB of free memory to derive the key; close other programs and try again", .0 / 1024)]
    Memory(u32),
    /// The tag does not verify.
    #[error(
        "the passphrase is wrong, or the file was changed; try again, or restore it from a copy"
    )]
    Passphrase,
    /// Nobody can type this.
    #[error("a passphrase has 1 to {MAX_PASSPHRASE} bytes; give another one")]
    Length,
}

/// What a person types or keeps in a file: 1 to [`MAX_PASSPHRASE`] bytes as they come. Wiped when dropped, never
/// printed.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// The first line of `bytes`, without its end.
    ///
    /// # Errors
    /// [`LockError::Length`] if it is empty or too long.
    pub fn from_line(bytes: &[u8]) -> Result<Self, LockError> {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.len() {
            1..=MAX_PASSPHRASE => Ok(Self(Zeroizing::new(line.to_vec()))),
            _ => Err(LockError::Length),
        }
    }
}

impl PartialEq for Passphrase {
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.0[..], &other.0[..]).into()
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// The work that one try of a passphrase takes (RFC 9106, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB, from 8 a lane to 1 GiB.
    pub memory: u32,
    /// Passes over it, 1 to 64.
    pub passes: u32,
    /// Lanes, 1 to 16.
    pub lanes: u8,
}

impl Default for Cost {
    /// The second recommended option of RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes.
    fn default() -> Self {
        Self {
            memory: 64 << 10,
            passes: 3,
            lanes: 4,
        }
    }
}

impl Cost {
    fn check(self) -> Result<Self, LockError> {
        let lanes = u32::from(self.lanes);
        let fits = (1..=16).contains(&lanes)
            && (8 * lanes..=1 << 20).contains(&self.memory)
            && (1..=64).contains(&self.passes);
        fits.then_some(self).ok_or(LockError::Cost(self))
    }

    fn derive(self, passphrase: &Passphrase, salt: &[u8; 16]) -> Result<Key, LockError> {
        let lanes = u32::from(self.lanes);
        let params = Params::new(self.memory, self.passes, lanes, Some(32))
            .map_err(|_| LockError::Cost(self))?;
        let mut blocks = Zeroizing::new(Vec::new());
        // A small machine is to say so, not to end here.
        blocks
            .try_reserve_exact(params.block_count())
            .map_err(|_| LockError::Memory(self.memory))?;
        blocks.resize(params.block_count(), Block::new());
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(&passphrase.0, salt, &mut key[..], &mut blocks[..])
            .map_err(|_| LockError::Cost(self))?;
        Ok(Key::new(*key))
    }
}

/// The key of a lockbox, derived once. It opens and seals again without the passphrase.
#[derive(Clone, Debug)]
pub struct Lock {
    bound: [u8; BOUND],
    key: Key,
}

impl Lock {
    /// A new one with a salt of its own. Takes as long and as much memory as `cost` says.
    ///
    /// # Errors
    /// [`LockError::Cost`], [`LockError::Memory`].
    pub fn new(
        passphrase: &Passphrase,
        cost: Cost,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, LockError> {
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let key = cost.check()?.derive(passphrase, &salt)?;
        let mut bound = [0; BOUND];
        bound[..4].copy_from_slice(&MAGIC);
        bound[4] = VERSION;
        bound[5..9].copy_from_slice(&cost.memory.to_be_bytes());
        bound[9..13].copy_from_slice(&cost.passes.to_be_bytes());
        bound[13] = cost.lanes;
        bound[14..].copy_from_slice(&salt);
        Ok(Self { bound, key })
    }

    /// The lock of a box: derives its key, and opens it to see that the passphrase is right.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn pick(
        passphrase: &Passphrase,
        lockbox: &[u8],
    ) -> Result<(Self, Zeroizing<Vec<u8>>), LockError> {
        let parsed = Parsed::read(lockbox)?;
        let key = parsed.cost.derive(passphrase, &parsed.salt)?;
        let lock = Self {
            bound: parsed.bound,
            key,
        };
        let content = lock.open(lockbox)?;
        Ok((lock, content))
    }

    /// Seals `content` under a new nonce.
    pub fn seal(&self, content: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
        let mut nonce = [0; HEADER - BOUND];
        rng.fill_bytes(&mut nonce);
        let mut sealed = Zeroizing::new(Vec::with_capacity(content.len() + TAG));
        sealed.extend_from_slice(content);
        // Fails only beyond 256 GiB.
        let done = self
            .cipher()
            .encrypt_in_place(&nonce.into(), &self.bound, &mut *sealed);
        debug_assert!(done.is_ok());
        [&self.bound[..], &nonce, &sealed].concat()
    }

    /// Opens a box that this lock has sealed.
    ///
    /// # Errors
    /// [`LockError::Malformed`], [`LockError::Cost`]; [`LockError::Passphrase`] if it has another lock or was changed.
    pub fn open(&self, lockbox: &[u8]) -> Result<Zeroizing<Vec<u8>>, LockError> {
        let parsed = Parsed::read(lockbox)?;
        let mut content = Zeroizing::new(parsed.sealed.to_vec());
        self.cipher()
            .decrypt_in_place(&parsed.nonce.into(), &parsed.bound, &mut *content)
            .map_err(|_| LockError::Passphrase)?;
        Ok(content)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.key.bytes().into())
    }
}

/// Whether these bytes begin as a lockbox does. Nothing as short as a bare key passes for one.
pub fn is_lockbox(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC) && bytes.len() >= HEADER + TAG
}

struct Parsed<'a> {
    bound: [u8; BOUND],
    cost: Cost,
    salt: [u8; 16],
    nonce: [u8; HEADER - BOUND],
    sealed: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, LockError> {
        let mut r = Reader::new(bytes);
        if r.array()? != MAGIC {
            return Err(Malformed::Value("lockbox").into());
        }
        r.version(VERSION)?;
        let cost = Cost {
            memory: r.u32()?,
            passes: r.u32()?,
            lanes: r.u8()?,
        }
        .check()?;
        let salt = r.array()?;
        let nonce = r.array()?;
        let sealed = bytes.get(HEADER..).unwrap_or_default();
        if sealed.len() < TAG {
            return Err(Malformed::Truncated.into());
        }
        let bound = Reader::new(bytes).array()?;
        Ok(Self {
            bound,
            cost,
            salt,
            nonce,
            sealed,
        })
    }
}

/// Checks everything about a lockbox that needs no passphrase.
///
/// # Errors
/// [`LockError::Malformed`], [`LockError::Cost`].
pub fn check(lockbox: &[u8]) -> Result<(), LockError> {
    Parsed::read(lockbox).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    const LIGHT: Cost = Cost {
        memory: 32,
        passes: 1,
        lanes: 4,
    };

    fn rng() -> rand_chacha::ChaCha20Rng {
        rand_chacha::ChaCha20Rng::seed_from_u64(1)
    }

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::from_line(text.as_bytes()).unwrap()
    }

    /// A lockbox opens with its passphrase alone, and its lock seals a second time under another nonce.
    #[test]
    fn a_lockbox_opens_with_its_passphrase_and_no_other() {
        let mut rng = rng();
        let lock = Lock::new(&passphrase("open sesame"), LIGHT, &mut rng).unwrap();
        let first = lock.seal(b"secret", &mut rng);
        let (again, content) = Lock::pick(&passphrase("open sesame"), &first).unwrap();
        assert_eq!(&content[..], b"secret");
        let wrong = Lock::pick(&passphrase("open barley"), &first).unwrap_err();
        assert_eq!(wrong, LockError::Passphrase);
        let second = again.seal(b"secret", &mut rng);
        assert_eq!(first[..BOUND], second[..BOUND]);
        assert_ne!(first[BOUND..HEADER], second[BOUND..HEADER]);
        assert_ne!(first[HEADER..], second[HEADER..]);
        assert_eq!(&lock.open(&second).unwrap()[..], b"secret");
        let other = Lock::new(&passphrase("open sesame"), LIGHT, &mut rng).unwrap();
        assert_eq!(other.open(&first).unwrap_err(), LockError::Passphrase);
    }

    /// Whoever changes a lockbox, its parameters included, makes it useless and nothing else.
    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let mut rng = rng();
        let lock = Lock::new(&passphrase("p"), LIGHT, &mut rng).unwrap();
        let whole = lock.seal(b"secret", &mut rng);
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(lock.open(&changed).is_err(), "bit {bit}");
            // Parameters that still read would only cost time here.
            if !(5 * 8..13 * 8).contains(&bit) {
                let picked = Lock::pick(&passphrase("p"), &changed);
                assert!(picked.is_err(), "bit {bit}");
            }
        }
        for len in 0..whole.len() {
            assert!(lock.open(&whole[..len]).is_err(), "{len} bytes");
        }
    }

    /// A foreign file cannot make this machine work or allocate beyond the bounds.
    #[test]
    fn absurd_parameters_are_refused_before_any_work() {
        let mut rng = rng();
        let lock = Lock::new(&passphrase("p"), LIGHT, &mut rng).unwrap();
        let whole = lock.seal(b"secret", &mut rng);
        for (memory, passes, lanes) in [
            ((1 << 20) + 1, 1, 1),
            (u32::MAX, u32::MAX, u8::MAX),
            (64, 65, 1),
            (64, 0, 1),
            (64, 1, 0),
            (31, 1, 4),
            (1024, 1, 17),
        ] {
            let cost = Cost {
                memory,
                passes,
                lanes,
            };
            let made = Lock::new(&passphrase("p"), cost, &mut rng).unwrap_err();
            assert_eq!(made, LockError::Cost(cost));
            let mut changed = whole.clone();
            changed[5..9].copy_from_slice(&memory.to_be_bytes());
            changed[9..13].copy_from_slice(&passes.to_be_bytes());
            changed[13] = lanes;
            let picked = Lock::pick(&passphrase("p"), &changed).unwrap_err();
            assert_eq!(picked, LockError::Cost(cost));
        }
    }

    #[test]
    fn a_passphrase_is_one_line_of_bounded_length() {
        assert_eq!(passphrase("two words\r\nand more"), passphrase("two words"));
        let long = "x".repeat(MAX_PASSPHRASE);
        assert_eq!(
            Passphrase::from_line(long.as_bytes()),
            Ok(passphrase(&long))
        );
        for line in ["", "\n", &format!("{long}x")] {
            let refused = Passphrase::from_line(line.as_bytes());
            assert_eq!(refused, Err(LockError::Length), "{line:?}");
        }
    }
}
