//! The one place where the engine seals. A simulation can have it noted under which key and nonce what was sealed, and
//! so find two contents under one nonce, whichever process and whichever engine sealed them.

use crate::security::seal::{MessageKeys, Room};
use crate::wire::fragment::{Kind, Place};
use bytes::Bytes;

#[cfg(feature = "sim")]
use crate::security::seal::SealMark;

/// Seals, and remembers for a simulation what it sealed.
#[derive(Debug, Default)]
pub struct Seals {
    room: Room,
    #[cfg(feature = "sim")]
    marks: Option<Vec<SealMark>>,
}

impl Seals {
    /// A whole fragment.
    pub fn seal(&mut self, keys: &MessageKeys, kind: Kind, place: &Place, plain: &[u8]) -> Bytes {
        let frame = keys.seal_in(&mut self.room, kind, place, plain);
        #[cfg(feature = "sim")]
        if let Some(marks) = &mut self.marks {
            marks.push(keys.mark(kind, place, &frame));
        }
        frame
    }

    /// Gives what was sealed since the last call, and has what follows noted.
    #[cfg(feature = "sim")]
    pub fn take(&mut self) -> Vec<SealMark> {
        self.marks.replace(Vec::new()).unwrap_or_default()
    }
}
