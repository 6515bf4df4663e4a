//! Taking a message from its sender: snapshots first, so that what was promised can be kept whatever happens
//! to the files afterwards.

use super::api::SendRequest;
use super::copying::{Copied, copy, first_chunk};
use super::error::NodeError;
use super::home::random32;
use super::inbox::now_ms;
use super::marks::{self, Mark};
use crate::engine::geometry::Blocks;
use crate::engine::id::{MessageId, PersonId};
use crate::engine::io::{FileId, FileKind, LinkId};
use crate::engine::limits::{LimitError, Limits};
use crate::engine::message::{Content, Draft, DraftPart, LinkPolicy, Priority};
use crate::security::card::{self, Card};
use crate::security::introduction::{self, Introduction};
use crate::security::kdf::Key;
use crate::security::roster::{self, Roster};
use crate::security::voice::{self, Step};
use crate::store::Handle;
use crate::wire::manifest::Lifetime;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

/// The most that stands in one manifest, in bytes.
const INLINE_SUM: u64 = 16 << 10;
/// What has to be left free beside copies of files, in bytes: the message has to be written down, too.
const LEFT_FREE: u64 = 1 << 20;
/// How long a card of ours is offered: as long as the one before it is good, or nearly so.
const CARD_LIFETIME: Duration = Duration::from_secs(60 * 24 * 3600);
/// What `status` calls such a message.
const CARD_NAME: &str = "contact card";
/// What it calls one with an introduction.
const INTRODUCTION_NAME: &str = "introduction";
/// What it calls marks of what was read.
const MARKS_NAME: &str = "what was read";
const ROSTER_NAME: &str = "our devices";
/// What it calls a step of a comparison by voice, and how long that is offered.
const VOICE_NAME: &str = "comparison by voice";
const VOICE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// A message whose parts are safe in the store. They go with it, unless the engine was given it. Dropping it blocks.
pub(super) struct Prepared {
    /// For the engine.
    pub(super) draft: Draft,
    /// Its id.
    pub(super) message: MessageId,
    /// The engine was given it.
    pub(super) given: bool,
    handle: Handle,
    imported: Vec<FileId>,
    temporary: Vec<(u8, PathBuf)>,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.remove_temporary();
        for file in self.imported.iter().filter(|_| !self.given) {
            if let Err(error) = self.handle.discard_outgoing(*file) {
                tracing::warn!(?file, %error, "cannot remove a snapshot");
            }
        }
    }
}

impl Prepared {
    fn remove_temporary(&mut self) {
        for (_, path) in self.temporary.drain(..) {
            let _ = fs::remove_file(path);
        }
    }

    fn import(&mut self) -> Result<(), NodeError> {
        while let Some((part, path)) = self.temporary.last() {
            let file = FileId {
                kind: FileKind::Outgoing,
                message: self.message,
                part: *part,
            };
            self.handle.import_outgoing(file, path)?;
            self.imported.push(file);
            self.temporary.pop();
        }
        Ok(())
    }
}

/// Who sends what to whom by which links.
pub(super) struct Order {
    /// Whether anybody still waits for it.
    pub(super) wanted: Weak<()>,
    /// What was asked for.
    pub(super) request: SendRequest,
    /// Sender.
    pub(super) from: PersonId,
    /// Recipients.
    pub(super) to: BTreeSet<PersonId>,
    /// The links that `via` names.
    pub(super) links: Option<Vec<LinkId>>,
    /// Who takes the smallest messages only, and how large they may be, in bytes.
    pub(super) bound: Option<(String, u64)>,
    /// Parts up to so many bytes stand in the manifest.
    pub(super) inline: usize,
    /// How large the blocks of others are.
    pub(super) blocks: Blocks,
}

/// How much more may stand in a manifest, in bytes.
struct Room {
    /// Of one part.
    part: u64,
    /// Of all together.
    left: u64,
}

impl Room {
    /// Whether a part of so many bytes stands there. It takes the room then.
    fn takes(&mut self, bytes: u64) -> bool {
        let takes = bytes <= self.part.min(self.left);
        self.left -= if takes { bytes } else { 0 };
        takes
    }
}

/// Copies what is to be sent into the store. Blocks on the disk, for long if files are large.
pub(super) fn prepare(
    handle: Handle,
    order: &Order,
    limits: &Limits,
) -> Result<Prepared, NodeError> {
    let mut prepared = begin(handle, order.to.clone())?;
    prepared.draft.blocks = order.blocks;
    fill(&mut prepared, order, limits)?;
    Ok(prepared)
}

/// A message without parts.
fn begin(handle: Handle, to: BTreeSet<PersonId>) -> Result<Prepared, NodeError> {
    let random = || random32().map_err(NodeError::random);
    let mut salt = [0; 8];
    salt.copy_from_slice(&random()?[..8]);
    Ok(Prepared {
        draft: Draft {
            request: 0,
            to,
            salt,
            content_key: Key::new(*random()?),
            created: u32::try_from(now_ms() / 1000).ok(),
            blocks: Blocks::Usual,
            parts: Vec::new(),
        },
        message: MessageId([0; 32]),
        given: false,
        handle,
        imported: Vec::new(),
        temporary: Vec::new(),
    })
}

/// What a node tells another; people see nothing of it in the inbox.
pub(super) struct Note {
    media_type: &'static str,
    name: &'static str,
    lifetime: Duration,
    priority: Priority,
    bytes: Bytes,
}

impl Note {
    /// Our own card, for somebody who has an older one, or none.
    pub(super) fn card(card: &Card, priority: Priority) -> Self {
        Self {
            media_type: card::MEDIA_TYPE,
            name: CARD_NAME,
            lifetime: CARD_LIFETIME,
            priority,
            bytes: Bytes::copy_from_slice(card.bytes()),
        }
    }

    /// A step of a comparison by voice.
    pub(super) fn voice(step: &Step) -> Self {
        Self {
            media_type: voice::MEDIA_TYPE,
            name: VOICE_NAME,
            lifetime: VOICE_LIFETIME,
            priority: Priority::High,
            bytes: step.encode().into(),
        }
    }

    /// What was seen or read here, for our other devices.
    pub(super) fn marks(marked: &[(MessageId, Mark)]) -> Self {
        Self {
            media_type: marks::MEDIA_TYPE,
            name: MARKS_NAME,
            lifetime: CARD_LIFETIME,
            priority: Priority::High,
            bytes: marks::encode(marked).into(),
        }
    }

    /// Which devices of ours were added and removed, for our other devices.
    pub(super) fn roster(roster: &Roster) -> Self {
        Self {
            media_type: roster::MEDIA_TYPE,
            name: ROSTER_NAME,
            lifetime: CARD_LIFETIME,
            priority: Priority::High,
            bytes: roster.encode().into(),
        }
    }

    /// A contact vouched for to another. It is on its way no longer than it is good.
    pub(super) fn introduction(introduction: &Introduction) -> Self {
        Self {
            media_type: introduction::MEDIA_TYPE,
            name: INTRODUCTION_NAME,
            lifetime: introduction.terms().time(),
            priority: Priority::High,
            bytes: Bytes::copy_from_slice(introduction.bytes()),
        }
    }
}

/// A message that holds a note. Blocks on the system's randomness only.
pub(super) fn prepare_note(
    handle: Handle,
    note: Note,
    from: PersonId,
    to: PersonId,
    limits: &Limits,
) -> Result<Prepared, NodeError> {
    let mut prepared = begin(handle, [to].into())?;
    prepared.draft.parts.push(DraftPart {
        id: 1,
        media_type: note.media_type.to_owned(),
        name: note.name.to_owned(),
        priority: note.priority,
        lifetime: Lifetime::at_least(Some(note.lifetime)),
        policy: LinkPolicy::default(),
        content: Content::Inline(note.bytes),
    });
    prepared.message = prepared.draft.message_id(from, limits)?;
    Ok(prepared)
}

fn fill(prepared: &mut Prepared, order: &Order, limits: &Limits) -> Result<(), NodeError> {
    let request = &order.request;
    let count = request.files.len() + usize::from(request.text.is_some());
    if count == 0 {
        return Err(NodeError::Usage(
            "there is nothing to send; give a text or a file".into(),
        ));
    }
    if count > 255 {
        return Err(crate::engine::io::SendError::from(LimitError::Parts(count)).into());
    }
    let lifetime = lifetime(request.lifetime_s)?;
    let policy = LinkPolicy {
        links: order.links.clone(),
        max_cost: request.max_cost,
    };
    let mut inline = Room {
        part: order.inline as u64,
        left: INLINE_SUM,
    };
    let part = |id, media_type: &str, name, priority, content| {
        Ok::<_, NodeError>(DraftPart {
            id,
            media_type: media_type.to_owned(),
            name,
            priority: self::priority(request.priority.as_deref(), priority)?,
            lifetime,
            policy: policy.clone(),
            content,
        })
    };
    let mut total = 0;
    let mut coming = coming(request);
    if let Some(text) = &request.text {
        total += within(order, total, text.len() as u64)?;
        let content = snapshot(prepared, 1, text.as_bytes(), (None, coming), &mut inline)
            .map_err(NodeError::file("copy", "the text"))?;
        let made = part(1, "text/plain", String::new(), Priority::Urgent, content)?;
        prepared.draft.parts.push(made);
        coming -= text.len() as u64;
    }
    for path in &request.files {
        let id = (prepared.draft.parts.len() + 1) as u8;
        let file = open(path)?;
        let len = file
            .metadata()
            .map_err(NodeError::file("read", path))?
            .len();
        total += within(order, total, len)?;
        let from = WhileWanted(&file, &order.wanted);
        let content = snapshot(prepared, id, from, (Some(&file), coming), &mut inline)
            .map_err(NodeError::file("copy", path))?;
        let made = part(id, media_type(path), name(path), Priority::Normal, content)?;
        prepared.draft.parts.push(made);
        coming = coming.saturating_sub(len);
    }
    prepared.message = prepared.draft.message_id(order.from, limits)?;
    prepared.import()
}

/// Bytes of all that a message consists of. A file that cannot be looked at is refused once its turn comes.
fn coming(request: &SendRequest) -> u64 {
    let text = request.text.as_ref().map_or(0, |text| text.len() as u64);
    let lens = request
        .files
        .iter()
        .map(|path| fs::metadata(path).map_or(0, |meta| meta.len()));
    lens.fold(text, u64::saturating_add)
}

/// Whether there is room for copies of so many bytes, so that nobody waits for what cannot end well.
fn check_room(handle: &Handle, bytes: u64) -> io::Result<()> {
    // What the system does not tell shows when it is written.
    let free = handle.free_bytes().unwrap_or(u64::MAX);
    if bytes.saturating_add(LEFT_FREE) <= free {
        return Ok(());
    }
    let text = format!(
        "the disk of the home has {free} bytes free, and a copy of what is to be sent takes {bytes}, with {LEFT_FREE} to spare"
    );
    Err(io::Error::new(io::ErrorKind::StorageFull, text))
}

/// The length of a further part, if its recipients take a message that long.
fn within(order: &Order, before: u64, len: u64) -> Result<u64, NodeError> {
    let whole = before.saturating_add(len);
    match &order.bound {
        Some((name, max)) if whole > *max => {
            let name = name.clone();
            Err(NodeError::Bound { name, max: *max })
        }
        _ => Ok(len),
    }
}

fn lifetime(seconds: Option<u64>) -> Result<Lifetime, NodeError> {
    match seconds {
        Some(0) => Err(NodeError::Usage(
            "a lifetime of 0 is over before it begins; give at least a second, or none".into(),
        )),
        Some(s) => Ok(Lifetime::at_least(Some(Duration::from_secs(s)))),
        None => Ok(Lifetime::at_least(None)),
    }
}

fn priority(text: Option<&str>, usual: Priority) -> Result<Priority, NodeError> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None => Ok(usual),
        Some("urgent") => Ok(Priority::Urgent),
        Some("high") => Ok(Priority::High),
        Some("normal") => Ok(Priority::Normal),
        Some("bulk") => Ok(Priority::Bulk),
        Some(_) => Err(NodeError::Usage(
            "a priority is `urgent`, `high`, `normal` or `bulk`; give one of these".into(),
        )),
    }
}

fn open(path: &Path) -> Result<File, NodeError> {
    let refuse = |what: &str| NodeError::Usage(format!("{} {what}", path.display()));
    if !path.is_absolute() {
        return Err(refuse("is a relative path; give an absolute one"));
    }
    // Without waiting for a writer, should it be a pipe.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open(path)
        .map_err(NodeError::file("read", path))?;
    let meta = file.metadata().map_err(NodeError::file("read", path))?;
    match (meta.is_file(), meta.is_dir()) {
        (true, _) => Ok(file),
        (_, true) => Err(refuse(
            "is a folder; send the files in it, or pack it into one file",
        )),
        _ => Err(refuse(
            "is a device or a pipe; copy what it gives into a file and send that",
        )),
    }
}

/// Takes content in: small into the manifest, else into a file of ours, read once and hashed on the way. Where
/// `file` can be cloned without a copy, that is done instead, and the clone is read. Of a message of which so many bytes are
/// `coming` there has to be room for all before any of it is copied.
fn snapshot(
    prepared: &mut Prepared,
    part: u8,
    mut from: impl Read,
    (file, coming): (Option<&File>, u64),
    inline: &mut Room,
) -> io::Result<Content> {
    let first = first_chunk(&mut from)?;
    if inline.takes(first.len() as u64) {
        return Ok(Content::Inline(Bytes::copy_from_slice(&first)));
    }
    let name = format!(
        "send-{}-{part}",
        crate::engine::id::to_base32(&prepared.draft.salt)
    );
    let mut to = prepared.handle.snapshot(&name)?;
    prepared.temporary.insert(0, (part, to.path().to_owned()));
    if file.is_some_and(|file| to.clone_from(file)) {
        let mut hasher = blake3::Hasher::new();
        let len = io::copy(&mut to.reader(), &mut hasher)?;
        to.sync()?;
        let digest = *hasher.finalize().as_bytes();
        return Ok(Content::Snapshot { len, digest });
    }
    check_room(&prepared.handle, coming)?;
    let Copied { len, digest } = copy(first, &mut from, &mut to)?;
    Ok(Content::Snapshot { len, digest })
}

/// A file that is read as long as somebody wants it.
struct WhileWanted<'a>(&'a File, &'a Weak<()>);

impl Read for WhileWanted<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.1.strong_count() == 0 {
            return Err(io::Error::other("who sends it has left"));
        }
        self.0.read(bytes)
    }
}

fn name(path: &Path) -> String {
    let mut name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    while name.len() > 255 {
        name.pop();
    }
    name
}

/// The media type that an extension suggests.
fn media_type(path: &Path) -> &'static str {
    let extension = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    match extension.as_str() {
        "txt" | "log" | "md" => "text/plain",
        "csv" => "text/csv",
        "htm" | "html" => "text/html",
        "json" | "geojson" => "application/json",
        "xml" | "gpx" | "kml" => "application/xml",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "tif" | "tiff" => "image/tiff",
        "mp3" => "audio/mpeg",
        "ogg" | "opus" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::security::rows::RowKey;
    use crate::store::{Store, is_of_disk};

    /// What there is no room for is refused before any of it is copied, by the error of a disk that is full; what stands in a
    /// manifest needs no copy.
    #[test]
    fn what_there_is_no_room_for_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), RowKey::new(Key::new([1; 32]))).unwrap();
        let mut prepared = begin(store.handle(), BTreeSet::new()).unwrap();
        let free = store.handle().free_bytes().unwrap();
        let mut room = Room {
            part: 10,
            left: 1000,
        };
        let mut take = |text: &str, coming: u64| {
            snapshot(&mut prepared, 1, text.as_bytes(), (None, coming), &mut room)
        };
        assert!(matches!(take("short", free), Ok(Content::Inline(_))));
        let error = take("longer than that", free).unwrap_err();
        assert!(
            is_of_disk(&error) && error.to_string().contains("bytes free"),
            "{error}"
        );
        let error = NodeError::file("copy", "map.jpg")(error);
        assert_eq!(error.kind(), super::super::api::ErrorKind::Store);
        drop(prepared);
        let left = fs::read_dir(dir.path().join("tmp")).unwrap().count();
        assert_eq!(left, 0);
        let mut prepared = begin(store.handle(), BTreeSet::new()).unwrap();
        let taken = snapshot(&mut prepared, 1, &[7; 2000][..], (None, 2000), &mut room);
        assert!(matches!(taken, Ok(Content::Snapshot { len: 2000, .. })));
    }
}
