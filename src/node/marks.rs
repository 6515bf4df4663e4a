//! Which messages were seen or read, on whichever device of ours.
//!
//! ```text
//! 0      version = 1
//! 1..    of each message, 30 at most: mark 1 (1 seen, 2 read), id 32
//! ```
//!
//! A device tells the others in sealed messages to the own person. Marks only rise, so they may come twice and in any order,
//! and before the message itself. One takes about a hundred bytes on the disk, and [`MOST`] are kept.

use super::error::NodeError;
use crate::engine::id::{MessageId, from_base32, to_base32};
use crate::store::meta::Meta;
use crate::wire::read::{Malformed, Reader};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The media type of a part that holds marks.
pub(super) const MEDIA_TYPE: &str = "application/x-ostrakon-marks";
const PREFIX: &str = "mark/";
const VERSION: u8 = 1;
/// Marks in one message.
const IN_ONE: usize = 30;
/// The most that are kept; further ones are not taken.
const MOST: usize = 200_000;

/// How far somebody has got with a message. Higher ones compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// It was in a list that was shown.
    Seen = 1,
    /// Its text was shown, or its files were written out.
    Read = 2,
}

impl Mark {
    fn of(code: u8) -> Option<Self> {
        [Self::Seen, Self::Read]
            .into_iter()
            .find(|mark| *mark as u8 == code)
    }
}

#[derive(Clone, Copy)]
struct Kept {
    mark: Mark,
    /// The other devices have been told, or told us.
    told: bool,
}

/// All of them. Changes are durable before they are seen.
pub(super) struct Marks {
    meta: Meta,
    known: Mutex<BTreeMap<MessageId, Kept>>,
}

impl Marks {
    /// Reads what was stored; what does not read is left out.
    pub(super) fn load(meta: Meta) -> Result<Self, NodeError> {
        let mut known = BTreeMap::new();
        for (key, value) in meta.list(PREFIX)? {
            let id = key.strip_prefix(PREFIX).and_then(|k| from_base32(k).ok());
            let id = id.and_then(|bytes| bytes.try_into().ok()).map(MessageId);
            let [code, told] = value[..] else { continue };
            if let (Some(id), Some(mark)) = (id, Mark::of(code)) {
                let told = told == 1;
                known.insert(id, Kept { mark, told });
            }
        }
        let known = Mutex::new(known);
        Ok(Self { meta, known })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<MessageId, Kept>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far one has got with a message.
    pub(super) fn get(&self, message: MessageId) -> Option<Mark> {
        self.known().get(&message).map(|kept| kept.mark)
    }

    /// Marks messages here, where that is news. Blocks on the disk.
    pub(super) fn set(&self, messages: &[MessageId], mark: Mark) -> Result<(), NodeError> {
        let marks: Vec<_> = messages.iter().map(|id| (*id, mark)).collect();
        self.raise(&marks, false)
    }

    /// Takes in what another device has marked. Blocks on the disk.
    pub(super) fn take(&self, bytes: &[u8]) -> Result<(), NodeError> {
        let marks = decode(bytes)
            .map_err(|why| NodeError::Usage(format!("marks of another device: {why}")))?;
        self.raise(&marks, true)
    }

    fn raise(&self, marks: &[(MessageId, Mark)], told: bool) -> Result<(), NodeError> {
        let mut known = self.known();
        let room = MOST.saturating_sub(known.len());
        let is_news =
            |(id, mark): &&(MessageId, Mark)| known.get(id).is_none_or(|kept| kept.mark < *mark);
        let news: Vec<(MessageId, Mark)> =
            marks.iter().filter(is_news).copied().take(room).collect();
        let rows = news.iter().map(|(id, mark)| row(*id, *mark, told));
        self.meta.put_all(&rows.collect::<Vec<_>>())?;
        for (id, mark) in news {
            known.insert(id, Kept { mark, told });
        }
        Ok(())
    }

    /// What the other devices have not been told, as much as one message takes.
    pub(super) fn untold(&self) -> Vec<(MessageId, Mark)> {
        let known = self.known();
        let untold = known.iter().filter(|(_, kept)| !kept.told);
        untold
            .map(|(id, kept)| (*id, kept.mark))
            .take(IN_ONE)
            .collect()
    }

    /// A message that tells them is on its way. Blocks on the disk.
    pub(super) fn told(&self, marks: &[(MessageId, Mark)]) -> Result<(), NodeError> {
        let mut known = self.known();
        let rows = marks.iter().map(|(id, mark)| row(*id, *mark, true));
        self.meta.put_all(&rows.collect::<Vec<_>>())?;
        for (id, mark) in marks {
            if let Some(kept) = known.get_mut(id).filter(|kept| kept.mark == *mark) {
                kept.told = true;
            }
        }
        Ok(())
    }

    /// A message is gone from the inbox. Blocks on the disk.
    pub(super) fn forget(&self, message: MessageId) -> Result<(), NodeError> {
        if self.known().remove(&message).is_some() {
            self.meta.delete(&key(message))?;
        }
        Ok(())
    }
}

/// The bytes that tell other devices.
pub(super) fn encode(marks: &[(MessageId, Mark)]) -> Vec<u8> {
    let mut out = vec![VERSION];
    for (id, mark) in marks {
        out.push(*mark as u8);
        out.extend_from_slice(&id.0);
    }
    out
}

fn decode(bytes: &[u8]) -> Result<Vec<(MessageId, Mark)>, Malformed> {
    let mut r = Reader::new(bytes);
    r.version(VERSION)?;
    let mut marks = Vec::new();
    while !r.is_empty() {
        let mark = Mark::of(r.u8()?).ok_or(Malformed::Value("mark"))?;
        marks.push((MessageId(r.array()?), mark));
    }
    match marks.len() {
        1..=IN_ONE => Ok(marks),
        _ => Err(Malformed::Value("number of marks")),
    }
}

fn key(message: MessageId) -> String {
    format!("{PREFIX}{}", to_base32(&message.0))
}

fn row(message: MessageId, mark: Mark, told: bool) -> (String, Vec<u8>) {
    (key(message), vec![mark as u8, u8::from(told)])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn marks_read_back_and_others_are_refused_by_name() {
        let marks = [
            (MessageId([1; 32]), Mark::Seen),
            (MessageId([2; 32]), Mark::Read),
        ];
        let bytes = encode(&marks);
        assert_eq!(decode(&bytes).unwrap(), marks);
        for cut in [0, 1, 5, bytes.len() - 1] {
            assert!(decode(&bytes[..cut]).is_err(), "{cut}");
        }
        let unknown = [&[VERSION, 3], &bytes[2..]].concat();
        assert_eq!(decode(&unknown), Err(Malformed::Value("mark")));
        let many = vec![marks[0]; IN_ONE + 1];
        assert_eq!(
            decode(&encode(&many)),
            Err(Malformed::Value("number of marks"))
        );
    }
}
