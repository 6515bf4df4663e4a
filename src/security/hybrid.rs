//! X-Wing (ML-KEM-768 with X25519) beside the key agreement of a generation, in programs built with the feature `hybrid`.
//!
//! It is mixed in and never stands alone: if it turns out to be worth nothing, a generation is what it is without it.

#[cfg(not(feature = "hybrid"))]
mod absent;
#[cfg(feature = "hybrid")]
mod xwing;

#[cfg(not(feature = "hybrid"))]
pub use absent::{Secret, encapsulate};
#[cfg(feature = "hybrid")]
pub use xwing::{Secret, encapsulate};

/// The suite of a hybrid generation.
pub(super) const SUITE: &[u8] = b"ostrakon v2 X25519 X-Wing HKDF-SHA256 BLAKE3 ChaCha20Poly1305";
/// Whether this program can do it.
pub const IS_BUILT_IN: bool = cfg!(feature = "hybrid");
