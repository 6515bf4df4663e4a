//! What sits on top of a node: people who send what the plan says, and an application that takes what comes.

use super::Node;
use crate::engine::geometry::Blocks;
use crate::engine::id::{MessageId, PersonId};
use crate::engine::io::{Delivery, FileId, FileKind, Input};
use crate::engine::message::{self, Draft, DraftPart, INLINE};
use crate::security::identity::Identity;
use crate::security::kdf::Key;
use crate::sim::log::Planned;
use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::world::Out;
use std::collections::BTreeSet;

impl Node {
    /// Who asked for something and never heard that it was taken, before the process ended, looks at the outbox and asks
    /// again for what is not there.
    pub(super) fn ask_again(&mut self, at: Nanos) {
        let outbox = self.status().map(|status| status.outbound);
        let outbox: BTreeSet<MessageId> =
            outbox.iter().flatten().map(|sent| sent.message).collect();
        for id in &outbox {
            let tag = self.engine.as_ref().and_then(|engine| engine.tag(*id));
            self.log.accepted(at, *id, tag);
        }
        if std::mem::take(&mut self.went_back) {
            self.log.forgotten(&outbox);
        }
        let again = self.log.take_unanswered(&outbox);
        again
            .into_iter()
            .rev()
            .for_each(|planned| self.plan.push_front(planned));
    }

    /// The application takes a part, or the whole, durably. What it has, it does not read once more.
    pub(super) fn take(&mut self, at: Nanos, delivery: &Delivery) {
        let (message, part) = (delivery.message, delivery.part);
        if part == 0 {
            self.log.delivered(at, message, 0, [0; 32]);
            return self.forget_content(message);
        }
        if let Some(known) = self.log.taken(message, part) {
            return self.log.delivered(at, message, part, known);
        }
        let info = self
            .engine
            .as_ref()
            .and_then(|engine| engine.part_info(message, part));
        let Some(info) = info else {
            return self.log.violation(format!(
                "part {part} of {message} is delivered and not there"
            ));
        };
        let bytes = match info.inline {
            Some(bytes) => Ok(bytes),
            None => self
                .disk
                .read(&incoming(message, part), 0, info.bytes as usize),
        };
        match bytes {
            Ok(bytes) => {
                let digest = *blake3::hash(&bytes).as_bytes();
                self.log.delivered(at, message, part, digest);
            }
            Err(error) => self
                .log
                .violation(format!("part {part} of {message} cannot be read: {error}")),
        }
    }

    fn forget_content(&mut self, message: MessageId) {
        for part in 1..=u8::MAX {
            self.disk.remove(&incoming(message, part));
        }
    }

    /// Sends what is due of the plan.
    pub(super) fn send_due(&mut self, now: Nanos, out: &mut Out<'_>) {
        let world_now = out.world_now();
        let due = |p: &&Planned| p.at <= world_now;
        while self.engine.is_some() && self.plan.front().filter(due).is_some() {
            let Some(planned) = self.plan.pop_front() else {
                return;
            };
            let mut salt = [0; 8];
            out.random(&mut salt);
            let inline = self.inline(&planned);
            let draft = self.draft(&planned, inline, salt);
            let from = match Identity::decode(&self.person.keys) {
                Ok(identity) => identity.person(),
                Err(error) => return self.log.violation(format!("the keys do not read: {error}")),
            };
            let id = match draft.message_id(from, &self.limits) {
                Ok(id) => id,
                Err(error) => {
                    self.log.refused.push((planned.number, error.to_string()));
                    continue;
                }
            };
            for (part, number) in planned.snapshots(inline) {
                if let Some(content) = self.contents.get(&number) {
                    let file = FileId {
                        kind: FileKind::Outgoing,
                        message: id,
                        part,
                    };
                    self.disk.add_snapshot(file, content.bytes.clone());
                }
            }
            self.log.sent(id, planned);
            self.input(now, Input::Send(Box::new(draft)), out);
        }
    }

    /// Parts up to how many bytes stand in the manifest, as the node has it: a part that is alone as the engine likes it.
    fn inline(&self, planned: &Planned) -> usize {
        let engine = self.engine.as_ref().filter(|_| planned.parts.len() == 1);
        engine.map_or(INLINE, |engine| engine.inline_bytes(&[planned.to].into()))
    }

    fn blocks(&self, to: &PersonId) -> Blocks {
        let engine = self.engine.as_ref();
        engine.map_or(Blocks::Usual, |engine| engine.blocks(&[*to].into()))
    }

    fn draft(&self, planned: &Planned, inline: usize, salt: [u8; 8]) -> Draft {
        let parts = planned.parts.iter().zip(1..).map(|(part, id)| {
            let content = self.contents.get(&part.content);
            let content = match content {
                Some(content) if part.bytes > inline => message::Content::Snapshot {
                    len: part.bytes as u64,
                    digest: content.digest,
                },
                Some(content) => message::Content::Inline(content.bytes.clone()),
                None => message::Content::Inline(Bytes::new()),
            };
            DraftPart {
                id,
                media_type: part.media_type().into(),
                name: part.name.clone(),
                priority: part.priority,
                lifetime: part.lifetime,
                policy: part.policy.clone(),
                content,
            }
        });
        Draft {
            request: planned.number,
            to: [planned.to].into(),
            salt,
            content_key: Key::new([0; 32]),
            created: None,
            blocks: self.blocks(&planned.to),
            parts: parts.collect(),
        }
    }
}

fn incoming(message: MessageId, part: u8) -> FileId {
    FileId {
        kind: FileKind::Incoming,
        message,
        part,
    }
}
