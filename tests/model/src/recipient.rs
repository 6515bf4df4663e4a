//! What a recipient has on its disk, and so in its memory.

use crate::model::{AHEAD, BEHIND, MESSAGES, SESSIONS};
use crate::sender::Label;

/// A recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Recipient {
    /// Of each session that is known the newest verified epoch.
    pub newest: [Option<u8>; SESSIONS],
    /// Messages that are here and were not handed over.
    pub inbox: [bool; MESSAGES],
    /// Messages that the application has.
    pub app: [bool; MESSAGES],
    /// Messages that are over.
    pub ledger: [bool; MESSAGES],
}

impl Recipient {
    /// A preamble that is authentic.
    pub fn announced(&mut self, (session, epoch): Label) {
        let newest = &mut self.newest[usize::from(session)];
        *newest = Some(newest.unwrap_or(0).max(epoch));
    }

    /// Whether a fragment of this session and epoch opens.
    pub fn opens(&self, (session, epoch): Label) -> bool {
        self.newest[usize::from(session)]
            .is_some_and(|newest| epoch + BEHIND >= newest && epoch <= newest + AHEAD)
    }

    /// A fragment that opens. The window moves then, and not before.
    pub fn take(&mut self, label: Label, message: usize) {
        self.announced(label);
        self.inbox[message] |= !self.ledger[message];
    }
}
