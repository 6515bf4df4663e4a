//! Mailbox tags: what a relay sees instead of a name.
//!
//! A person has 64 tags, made of the public mailbox key. A sender takes another each day, by its own calendar or
//! without one; the owner asks for all of them, so nobody's clock has to agree with anybody's.

use crate::engine::id::{from_base32, to_base32};
use crate::wire::envelope::MailboxTag;

/// How many tags a mailbox has.
pub const TAGS: u8 = 64;

/// How the address of a mailbox begins.
pub const URI: &str = "ostrakon:mailbox:";

/// The address of a mailbox: what a relay has to know to tell which frames are for it. It names nobody; who has it can
/// tell those frames apart and put further ones there, and can neither fetch nor read nor delete any.
pub fn address(mailbox_key: &[u8; 32]) -> String {
    format!("{URI}{}", to_base32(mailbox_key))
}

/// The mailbox key in an address, in either case. Nothing if it is none.
pub fn from_address(text: &str) -> Option<[u8; 32]> {
    let low = text.trim().to_ascii_lowercase();
    from_base32(low.strip_prefix(URI)?).ok()?.try_into().ok()
}

/// All tags of a mailbox.
pub fn tags(mailbox_key: &[u8; 32]) -> impl Iterator<Item = MailboxTag> {
    (0..TAGS).map(|index| tag(mailbox_key, index))
}

/// Tag number `index` (below [`TAGS`]) of a mailbox: the first eight bytes of BLAKE3 in key derivation mode over
/// the public key and the number.
pub fn tag(mailbox_key: &[u8; 32], index: u8) -> MailboxTag {
    let mut hasher = blake3::Hasher::new_derive_key("ostrakon 2026 mailbox tag v1");
    hasher.update(mailbox_key).update(&[index]);
    let mut out = [0; 8];
    hasher.finalize_xof().fill(&mut out);
    out
}

/// The tag that a sender uses on a day, counted from 1970.
pub fn tag_of_day(mailbox_key: &[u8; 32], day: u64) -> MailboxTag {
    tag(mailbox_key, (day % u64::from(TAGS)) as u8)
}
