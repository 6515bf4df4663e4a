//! Messages to several recipients on the side of one of them: where symbols under the content key go, and what is done
//! when others have made some of them up.
//!
//! Whoever else got the message can seal symbols of it. When a part is whole and its digest does not match, nobody knows
//! which symbols were false: all that is not verified is thrown away, no symbol under the content key is taken any more, and
//! reports ask the sender to seal the rest to us alone. That happens once a message; afterwards a digest that does not match
//! is the sender's doing.

use super::arrival::Arrival;
use super::io::Event;
use super::{Engine, MessageId, PersonId, Request, Route};
use crate::security::seal::MessageKeys;
use crate::security::shared::{self, SharedError};
use crate::wire::fragment::{Label, View};
use crate::wire::manifest::Manifest;
use std::time::Duration;

impl Engine {
    /// Why a manifest for several is not taken in.
    pub(super) fn shared_refusal(
        &self,
        from: PersonId,
        id: MessageId,
        manifest: &Manifest,
    ) -> Option<&'static str> {
        let shared = manifest.shared.as_ref()?;
        let Some(card) = self.cards.get(&from) else {
            return Some("message to several from a stranger");
        };
        match shared::check(shared, id, self.me.person(), card) {
            Ok(()) => None,
            Err(SharedError::OtherKey) => Some("content key that is not the committed one"),
            Err(SharedError::NotListed) => Some("message to several without us"),
            Err(SharedError::Signature) => Some("message to several with a wrong signature"),
        }
    }

    /// Symbols under the content key of a message go to it from now on, if there is one and it is still taken.
    pub(super) fn route_content(&mut self, id: MessageId) {
        let Some(message) = self.inbox.get_mut(&id) else {
            return;
        };
        let Some(label) = message.content.as_ref().map(MessageKeys::label) else {
            return;
        };
        // A label is short enough for a sender to search for one that another message has.
        if self.routes.contains_key(&label) {
            (message.apart, message.row_dirty) = (true, true);
            return self.count("content key with a label that is taken");
        }
        let route = match message.apart {
            true => Route::Spent,
            false => Route::Incoming(id),
        };
        self.routes.insert(label, route);
        self.release_early(label);
    }

    /// Symbols that came before their manifest were explained by no session.
    fn release_early(&mut self, label: Label) {
        let is_its = |frame: &[u8]| View::parse(frame).is_ok_and(|view| view.label == label);
        let quarantine = std::mem::take(&mut self.quarantine).into_iter();
        let (early, rest): (Vec<Arrival>, _) =
            quarantine.partition(|arrival| is_its(&arrival.frame));
        self.quarantine = rest.into();
        for arrival in &early {
            self.quarantine_bytes -= arrival.frame.len();
            self.on_fragment(arrival);
        }
    }

    /// A part of a message is whole and its digest does not match. Tells whether that may be the doing of another
    /// recipient: then what came is thrown away and asked for anew.
    pub(super) fn set_apart(&mut self, id: MessageId, part: u8) -> bool {
        let Some(message) = self.inbox.get_mut(&id) else {
            return false;
        };
        let Some(keys) = message.content.as_ref().filter(|_| !message.apart) else {
            return false;
        };
        // Without it, any recipient keeps the message from the others.
        if cfg!(feature = "break-20") {
            return false;
        }
        self.routes.insert(keys.label(), Route::Spent);
        message.apart = true;
        message.row_dirty = true;
        for entry in &message.manifest.parts {
            if let Some(state) = message.parts.get_mut(&entry.id).filter(|p| !p.complete) {
                state.begin_anew(entry);
            }
        }
        // What is being read and solved is false as well.
        self.requests.retain(|_, request| !request.concerns(id));
        self.notes.forget(id);
        self.writer.keep_room_of(id);
        self.event(Event::Spoiled { message: id, part });
        self.dirty.insert(id);
        self.want_sync(Duration::ZERO);
        true
    }
}

impl Request {
    /// Whether it was made for a message that is arriving.
    fn concerns(&self, id: MessageId) -> bool {
        match self {
            Self::LoadBlock(_) | Self::CodeBlock(_) => false,
            Self::SolveSource { message, .. }
            | Self::SolveRepair { message, .. }
            | Self::Solve { message, .. }
            | Self::ReadDigest { message, .. }
            | Self::Digest { message, .. } => *message == id,
        }
    }
}
