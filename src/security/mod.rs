//! Keys, contact cards, sessions and sealing. `docs/security.md` says what they promise.
//!
//! Nothing here reads a clock or a global random source: secrets that are made come from the generator that
//! the caller passes in.

pub mod aead;
pub mod announcement;
pub mod card;
pub mod content;
pub mod enrolment;
pub mod grant;
pub mod hybrid;
pub mod identity;
pub mod introduction;
pub mod introductions;
pub mod invitation;
pub mod kdf;
pub mod lockbox;
pub mod mailbox;
pub mod prekeys;
pub mod root;
pub mod roster;
pub mod rows;
pub mod seal;
pub mod session;
pub mod shared;
mod signer;
pub mod spending;
pub mod strangers;
pub mod voice;
