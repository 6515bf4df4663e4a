//! The inbox as people see it: what was delivered, its texts, its files.

use super::api::{InboxEntry, InboxPart};
use super::cards::{Contacts, id_head};
use super::error::NodeError;
use super::home::random32;
use super::marks::{Mark, Marks};
use crate::engine::id::{MessageId, PersonId, to_base32};
use crate::store::inbox::Entry;
use crate::store::{ContentReader, Handle};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Rows read from the store at once.
const PAGE: usize = 256;
/// The most bytes of texts in one answer.
const MAX_TEXT: u64 = 4 << 20;
/// The longest name of a saved file, in bytes.
const MAX_NAME: usize = 150;
/// Names tried before saving gives up.
const MAX_TRIES: u32 = 10_000;

/// What is written down of a delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    /// The sender, as a URI.
    pub(super) from: String,
    /// As the sender wrote it.
    pub(super) media_type: String,
    /// As the sender wrote it: not safe as a file name.
    pub(super) name: String,
    /// Length.
    pub(super) bytes: u64,
    /// Seconds since 1970, by the sender's clock.
    pub(super) created: Option<u32>,
    /// Milliseconds since 1970, by ours.
    pub(super) delivered_at_ms: u64,
    /// The content in base64, if it came inside the manifest.
    pub(super) inline: Option<String>,
    /// Who else got it, as URIs. Rows of older versions do not say.
    #[serde(default)]
    pub(super) also: Vec<String>,
}

impl Row {
    fn content(&self, handle: &Handle, message: MessageId, part: u8) -> Result<Content, NodeError> {
        if let Some(text) = &self.inline {
            let bytes = BASE64
                .decode(text.as_bytes())
                .map_err(|_| damaged(message))?;
            return Ok(Content::Bytes(bytes));
        }
        let path = handle.inbox().content_path(message, part);
        let file = handle.inbox().content(message, part);
        let file = file.map_err(NodeError::file("read", path))?;
        Ok(Content::File(file.take(self.bytes)))
    }
}

enum Content {
    Bytes(Vec<u8>),
    File(io::Take<ContentReader>),
}

fn damaged(message: MessageId) -> NodeError {
    NodeError::Store(crate::engine::io::StoreError::Corrupt(format!(
        "the inbox row of {message}; restore the home from a copy"
    )))
}

/// A message with its rows, part 0 among them if it is whole.
struct Delivered {
    message: MessageId,
    rows: BTreeMap<u8, Row>,
}

/// Milliseconds since 1970, by this machine's calendar.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Everything delivered, in the order in which each message began to be.
fn all(handle: &Handle) -> Result<Vec<Delivered>, NodeError> {
    let inbox = handle.inbox();
    let mut found: Vec<Delivered> = Vec::new();
    let mut places: BTreeMap<MessageId, usize> = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = inbox.list(after, PAGE)?;
        let Some(last) = page.last() else {
            // Of a message deleted before it was whole, the row that says so may have come alone.
            found.retain(|delivered| delivered.rows.keys().any(|part| *part != 0));
            return Ok(found);
        };
        after = last.number;
        for Entry {
            message,
            part,
            value,
            ..
        } in page
        {
            let row = serde_json::from_slice(&value).map_err(|_| damaged(message))?;
            let place = *places.entry(message).or_insert_with(|| {
                let rows = BTreeMap::new();
                found.push(Delivered { message, rows });
                found.len() - 1
            });
            if let Some(delivered) = found.get_mut(place) {
                delivered.rows.insert(part, row);
            }
        }
    }
}

/// The inbox, the newest last.
pub(super) fn list(handle: &Handle, contacts: &Contacts) -> Result<Vec<InboxEntry>, NodeError> {
    let delivered = all(handle)?;
    Ok(delivered.iter().map(|d| entry(d, contacts)).collect())
}

fn entry(delivered: &Delivered, contacts: &Contacts) -> InboxEntry {
    let rows = &delivered.rows;
    let first = rows.values().min_by_key(|row| row.delivered_at_ms);
    let from = first.and_then(|row| row.from.parse::<PersonId>().ok());
    let parts = rows.iter().filter(|(part, _)| **part != 0);
    let also: BTreeSet<&String> = rows.values().flat_map(|row| &row.also).collect();
    let also = also
        .into_iter()
        .filter_map(|uri| uri.parse::<PersonId>().ok());
    InboxEntry {
        message: delivered.message.to_string(),
        from: from.map_or_else(String::new, |person| contacts.name(person)),
        also: also.map(|person| contacts.name(person)).collect(),
        received: first.map_or(0, |row| row.delivered_at_ms / 1000),
        created: rows.values().find_map(|row| row.created).map(u64::from),
        complete: rows.contains_key(&0),
        seen: contacts.marks.get(delivered.message).is_some(),
        read: contacts.marks.get(delivered.message) == Some(Mark::Read),
        deliveries: u64::from(rows.contains_key(&0)),
        parts: parts
            .map(|(part, row)| InboxPart {
                part: *part,
                name: safe_name(*part, row),
                media_type: row.media_type.clone(),
                bytes: row.bytes,
                delivered_at_ms: row.delivered_at_ms,
            })
            .collect(),
    }
}

fn find(handle: &Handle, text: &str) -> Result<Delivered, NodeError> {
    let mut delivered = all(handle)?;
    let place = place_of(&delivered, text)?;
    Ok(delivered.swap_remove(place))
}

/// Which of them has the id that begins so.
fn place_of(delivered: &[Delivered], text: &str) -> Result<usize, NodeError> {
    let head = id_head(text).ok_or_else(|| no_id(text))?;
    let starts = |d: &Delivered| to_base32(&d.message.0).starts_with(&head);
    let mut found = (0..).zip(delivered).filter(|(_, d)| starts(d));
    match (found.next(), found.next()) {
        (Some((place, _)), None) => Ok(place),
        (Some(_), Some(_)) => Err(several(text)),
        (None, _) => Err(NodeError::NotFound(
            "no such message in the inbox; see `ostrakon inbox`".into(),
        )),
    }
}

/// Takes messages with their files out of the inbox, or none if one of them is not there, and returns their URIs.
/// The inbox remembers what was taken, so late copies do not bring it back.
pub(super) fn delete(
    handle: &Handle,
    marks: &Marks,
    ids: &[String],
) -> Result<Vec<String>, NodeError> {
    let delivered = all(handle)?;
    let places: Result<BTreeSet<usize>, _> =
        ids.iter().map(|id| place_of(&delivered, id)).collect();
    let mut deleted = Vec::new();
    for one in places?.iter().filter_map(|place| delivered.get(*place)) {
        for part in one.rows.keys() {
            handle.inbox().remove(one.message, *part)?;
        }
        marks.forget(one.message)?;
        deleted.push(one.message.to_string());
    }
    Ok(deleted)
}

/// The refusal of what is no id of a message.
pub(super) fn no_id(text: &str) -> NodeError {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    NodeError::Usage(format!(
        "`{shown}` is no message id; give its URI, or at least 4 characters of the beginning of its id"
    ))
}

/// The refusal of a beginning that several ids have.
pub(super) fn several(text: &str) -> NodeError {
    NodeError::Usage(format!(
        "several messages begin with `{text}`; give more of the id"
    ))
}

/// The texts of a message, in order of its parts, and its URI.
pub(super) fn texts(handle: &Handle, text: &str) -> Result<(String, Vec<String>), NodeError> {
    let delivered = find(handle, text)?;
    let message = delivered.message;
    let mut room = MAX_TEXT;
    let mut texts = Vec::new();
    for (part, row) in delivered.rows.iter().filter(|(part, _)| **part != 0) {
        if !row.media_type.starts_with("text/") || row.bytes > room {
            continue;
        }
        room -= row.bytes;
        let bytes = match row.content(handle, message, *part)? {
            Content::Bytes(bytes) => bytes,
            Content::File(mut file) => {
                let mut bytes = Vec::new();
                let path = handle.inbox().content_path(message, *part);
                file.read_to_end(&mut bytes)
                    .map_err(NodeError::file("read", path))?;
                bytes
            }
        };
        texts.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok((message.to_string(), texts))
}

/// Writes the parts of a message into a folder, and says where. Existing files stay as they are.
pub(super) fn save(
    handle: &Handle,
    text: &str,
    dir: &Path,
) -> Result<(MessageId, Vec<PathBuf>), NodeError> {
    if !dir.is_absolute() {
        return Err(NodeError::Usage(
            "the folder has to be an absolute path; give one".into(),
        ));
    }
    let delivered = find(handle, text)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(NodeError::file("make", dir))?;
    let mut files = Vec::new();
    for (part, row) in delivered.rows.iter().filter(|(part, _)| **part != 0) {
        let content = row.content(handle, delivered.message, *part)?;
        files.push(save_one(dir, &safe_name(*part, row), content, row.bytes)?);
    }
    Ok((delivered.message, files))
}

fn save_one(dir: &Path, name: &str, content: Content, len: u64) -> Result<PathBuf, NodeError> {
    let random = random32().map_err(NodeError::file("write", dir))?;
    let half = dir.join(format!(".ostrakon-{}.tmp", to_base32(&random[..10])));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&half)
        .map_err(NodeError::file("write", &half))?;
    let written = match content {
        Content::Bytes(bytes) => file.write_all(&bytes).map(|()| bytes.len() as u64),
        Content::File(mut from) => io::copy(&mut from, &mut file),
    };
    let placed = written
        .and_then(|written| match written == len {
            true => file.sync_all(),
            false => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the kept content is cut short",
            )),
        })
        .and_then(|()| place(dir, name, &half));
    // The other name of what was placed, or what failed.
    let _ = fs::remove_file(&half);
    placed.map_err(NodeError::file("write", dir.join(name)))
}

/// Gives the file its first free name. A hard link never replaces anything, unlike a rename.
fn place(dir: &Path, name: &str, half: &Path) -> io::Result<PathBuf> {
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
        _ => (name, String::new()),
    };
    for n in 0..MAX_TRIES {
        let path = match n {
            0 => dir.join(name),
            _ => dir.join(format!("{stem}-{n}{extension}")),
        };
        match fs::hard_link(half, &path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            // A stick with FAT knows no hard links.
            Err(_) if !path.try_exists()? => {
                fs::rename(half, &path)?;
                return Ok(path);
            }
            Err(_) => {}
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "too many files of this name",
    ))
}

/// A name for a file that cannot leave the folder, hide, or mean a device, on any system it may be copied to.
fn safe_name(part: u8, row: &Row) -> String {
    let last = row.name.rsplit(['/', '\\']).next().unwrap_or_default();
    let usable =
        |c: char| !c.is_control() && !"<>:\"|?*\u{202e}\u{202d}\u{2066}\u{2067}".contains(c);
    let clean: String = last
        .chars()
        .map(|c| if usable(c) { c } else { '_' })
        .collect();
    let mut name = clean.trim_start_matches(['.', ' ', '-', '~']).to_owned();
    let mut end = MAX_NAME.min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    if end < name.len() {
        // The extension is worth more than the end of the stem.
        let extension = match name.rsplit_once('.') {
            Some((_, e)) if e.len() < 16 => format!(".{e}"),
            _ => String::new(),
        };
        name.truncate(end);
        name.push_str(&extension);
    }
    let name = name.trim_end_matches(['.', ' ']);
    if name.is_empty() {
        let extension = if row.media_type.starts_with("text/") {
            "txt"
        } else {
            "bin"
        };
        return format!("part-{part}.{extension}");
    }
    if is_reserved(name) {
        format!("_{name}")
    } else {
        name.to_owned()
    }
}

/// Names that mean devices to Windows.
fn is_reserved(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_uppercase();
    let numbered = |head: &str| {
        let rest = stem.strip_prefix(head);
        rest.is_some_and(|n| n.len() == 1 && n.chars().all(|c| c.is_ascii_digit()))
    };
    ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()) || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::security::kdf::Key;
    use crate::security::rows::RowKey;
    use proptest::prelude::*;

    fn row(name: &str) -> Row {
        Row {
            from: String::new(),
            media_type: "text/plain".into(),
            name: name.into(),
            bytes: 0,
            created: None,
            delivered_at_ms: 0,
            inline: None,
            also: Vec::new(),
        }
    }

    proptest! {
        /// Whatever a sender calls a part, its file is a plain entry of the folder.
        #[test]
        fn attack_36_a_name_never_leaves_the_folder(name in "(\\PC|[./\\\\\\x00-\\x1f]){0,200}", part in 1u8..) {
            let safe = safe_name(part, &row(&name));
            prop_assert!(!safe.is_empty() && safe.len() <= 255 - 40);
            prop_assert!(!safe.contains(['/', '\\']) && !safe.starts_with('.'));
            prop_assert!(!safe.chars().any(char::is_control) && !is_reserved(&safe));
            let dir = Path::new("/some/folder");
            let joined = dir.join(&safe);
            prop_assert_eq!(joined.parent(), Some(dir));
        }
    }

    #[test]
    fn names_that_mean_something_else_are_changed() {
        let safe = |name: &str| safe_name(3, &row(name));
        assert_eq!(safe("../../etc/passwd"), "passwd");
        assert_eq!(safe("C:\\x\\map.png"), "map.png");
        assert_eq!(safe(".bashrc"), "bashrc");
        assert_eq!(safe("nul.txt"), "_nul.txt");
        assert_eq!(safe(".."), "part-3.txt");
        assert_eq!(
            safe(&format!("{}.jpeg", "x".repeat(250))),
            format!("{}.jpeg", "x".repeat(150))
        );
    }

    /// Of a message that was deleted before it was whole, nothing is shown when it becomes whole without a part.
    #[test]
    fn a_message_without_parts_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let key = RowKey::new(Key::new([1; 32]));
        let (store, _) = crate::store::Store::open(dir.path(), key).unwrap();
        let (handle, message) = (store.handle(), MessageId([7; 32]));
        let value = serde_json::to_vec(&row("")).unwrap();
        handle.inbox().put(message, 0, &value).unwrap();
        assert!(all(&handle).unwrap().is_empty());
        handle.inbox().put(message, 1, &value).unwrap();
        assert_eq!(all(&handle).unwrap().len(), 1);
    }

    /// A file that is there is never replaced, and nothing else remains in the folder.
    #[test]
    fn saving_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let save = |text: &str| {
            let content = Content::Bytes(text.into());
            save_one(dir.path(), "note.txt", content, text.len() as u64).unwrap()
        };
        assert_eq!(save("one"), dir.path().join("note.txt"));
        assert_eq!(save("two"), dir.path().join("note-1.txt"));
        assert_eq!(fs::read(dir.path().join("note.txt")).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
