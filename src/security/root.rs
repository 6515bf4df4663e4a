//! The root key of a person apart from any device, and how many keys it has put in its place.
//!
//! ```text
//! 0..4     "OSTR"
//! 4        version = 1
//! 5..37    root seed (Ed25519)          37..41   number of the last delegation
//! 41..45   H("root file", the 41 bytes before)[..4], against damage
//! ```

use super::kdf::{Key, hash};
use super::signer::{Delegation, Signer};
use crate::engine::id::PersonId;
use crate::wire::read::{Malformed, Reader};
use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

const MAGIC: [u8; 4] = *b"OSTR";
const VERSION: u8 = 1;
/// Bytes of the encoding.
const LEN: usize = 4 + 1 + 32 + 4 + 4;

/// The root key, and the number of its last delegation. Wiped when dropped.
#[derive(Clone)]
pub struct Root {
    key: SigningKey,
    number: u32,
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Root({:?})", self.person())
    }
}

impl Root {
    /// The root in a signer, if it is there.
    pub(super) fn of(signer: &Signer) -> Option<Self> {
        match signer {
            Signer::Root(key) => Some(Self {
                key: key.clone(),
                number: 0,
            }),
            Signer::Delegate { .. } => None,
        }
    }

    /// Whose root it is.
    pub fn person(&self) -> PersonId {
        PersonId(self.key.verifying_key().to_bytes())
    }

    /// How many keys it has put in its place.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Puts a new key in its place, with a number above `number` and above all that it knows of. It is to be kept with that
    /// number before the new key is used.
    pub(super) fn delegate(&mut self, number: u32, rng: &mut impl CryptoRng) -> Signer {
        self.number = self.number.max(number).saturating_add(1);
        let key = SigningKey::from_bytes(Key::draw(rng).bytes());
        let public = key.verifying_key().to_bytes();
        Signer::Delegate {
            root: self.person().0,
            delegation: Delegation::sign(&self.key, self.number, public),
            key,
        }
    }

    /// The bytes to keep where no thief gets at them.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(LEN));
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
        let check = check(&out);
        out.extend_from_slice(&check);
        out
    }

    /// Reads what [`Root::encode`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        if r.array()? != MAGIC {
            return Err(Malformed::Value("root file"));
        }
        r.version(VERSION)?;
        let key = SigningKey::from_bytes(&Zeroizing::new(r.array()?));
        let number = r.u32()?;
        let stated: [u8; 4] = r.array()?;
        r.finish()?;
        match bytes.split_last_chunk::<4>() {
            Some((before, _)) if check(before) == stated => Ok(Self { key, number }),
            _ => Err(Malformed::Value("root file")),
        }
    }
}

/// A file on a stick in a drawer: nobody should find out years later that it has become somebody else's.
fn check(bytes: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = hash("root file", &[bytes]);
    [a, b, c, d]
}
