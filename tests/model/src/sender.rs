//! What a sender has on its disk, and so in its memory.

use crate::model::{BEHIND, MESSAGES};

/// The session and the epoch that a message is sealed in.
pub type Label = (u8, u8);

/// A sender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sender {
    /// The present session and its epoch.
    pub place: Label,
    /// The recipient has shown that it knows the session.
    pub confirmed: bool,
    /// What was taken to be sent.
    pub taken: u8,
    /// Messages that wait for their receipt.
    pub outbox: [Option<Label>; MESSAGES],
}

impl Sender {
    /// Whether a message that waits has to be sealed anew, before the recipient erases its epoch.
    pub fn is_behind(&self, message: usize) -> bool {
        self.outbox[message].is_some_and(|(session, epoch)| {
            session != self.place.0 || self.place.1.saturating_sub(epoch) >= BEHIND
        })
    }

    /// The receipt of a message has come.
    pub fn receipt(&mut self, message: usize) {
        if let Some((session, _)) = self.outbox[message].take() {
            self.confirmed |= session == self.place.0;
        }
    }
}
