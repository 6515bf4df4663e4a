//! What the demo has to show: every figure counted by the processes or the emulators.

use super::bound::{Pipe, least_ms};
use super::script::Record;
use super::watch::{LINKS, Received, Watch, inbox, of_kind};
use super::world::World;
use crate::failure::{Failure, Kind, Outcome};
use ostrakon::node::api::{InboxEntry, InboxPart, StatusReport};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The object that `demo --json` prints last.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// The recipient has delivered all parts, and the sender has the receipt.
    pub delivered: bool,
    /// The file that was saved is the one that was sent.
    pub sha256_match: bool,
    /// How often the message was delivered, by the recipient's inbox.
    pub deliveries: u64,
    /// Bytes of all parts.
    pub bytes: u64,
    /// From the order to send until the last part was delivered; if that was not, until now.
    pub elapsed_ms: u64,
    /// The parts, in the order of their delivery.
    pub parts: Vec<Part>,
    /// By link, what the recipient received.
    pub links: Vec<Link>,
    /// Authentic fragments that were there already.
    pub duplicates_dropped: u64,
    /// What came in vain after the sender was started again, in bytes.
    pub resent_bytes: u64,
    /// Processes that died of SIGKILL.
    pub kills: u64,
    /// How often the satellite was cut.
    pub cuts: u64,
    /// The processes of the sender.
    pub sender_pids: Vec<u32>,
    /// What the recipient held of the file when the sender was killed.
    pub delivered_bytes_at_kill: u64,
    /// When the satellite was cut, since the sending.
    pub cut_at_ms: Vec<u64>,
    /// Computed: the least time of the best single link under the same cuts.
    pub bound_best_link_ms: u64,
    /// Computed: the least time of all links together under the same cuts.
    pub bound_joint_ms: u64,
}

/// A part that was delivered.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// When, since the sending.
    pub delivered_at_ms: u64,
}

/// A link, as counted by the recipient.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// As the operator named it.
    pub name: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Frames.
    pub frames: u64,
    /// Authentic fragments.
    pub fragments: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// Bytes of parts that it was first to bring.
    pub first_seen_bytes: u64,
}

/// Collects it all, and saves and compares the file.
///
/// # Errors
/// If a process does not answer.
pub async fn collect(
    world: &World,
    watch: &Watch,
    record: &Record,
    file: &Path,
    save_in: &Path,
) -> Outcome<Summary> {
    let there = world.recipient_status().await?;
    let inbox = inbox(world).await?;
    let entry = inbox.iter().find(|entry| entry.message == record.message);
    let complete = entry.is_some_and(|entry| entry.complete);
    let received: Vec<Received> = LINKS
        .iter()
        .map(|(_, kind)| of_kind(&there, kind))
        .collect();
    let mut summary = Summary {
        delivered: complete && record.receipt_ms.is_some(),
        deliveries: inbox.iter().map(|entry| entry.deliveries).sum(),
        parts: parts(entry, record.sent_at),
        links: links(&received),
        duplicates_dropped: there.links.iter().map(|link| link.duplicates).sum(),
        resent_bytes: watch
            .surplus
            .max(surplus(&there))
            .saturating_sub(record.surplus_at_restart),
        kills: record.kills,
        cuts: record.cuts.len() as u64,
        sender_pids: record.sender_pids.clone(),
        delivered_bytes_at_kill: record.held_at_kill,
        cut_at_ms: record.cuts.iter().map(|cut| cut.from_ms).collect(),
        ..Summary::default()
    };
    if let Some(part) = entry.and_then(|entry| file_part(entry, watch.file_bytes)) {
        let saved = save(world, record, part, save_in).await?;
        summary.sha256_match = digest(file)? == digest(&saved)?;
    }
    summary.bytes = summary.parts.iter().map(|part| part.bytes).sum();
    let delivered = summary.parts.iter().map(|part| part.delivered_at_ms).max();
    summary.elapsed_ms = delivered
        .filter(|_| complete)
        .unwrap_or_else(|| since(record.sent_at));
    let pipes = world.pipes(&record.cuts, &record.deaths);
    let content = summary.bytes.max(watch.file_bytes);
    let single = |pipe: &Pipe| least_ms(std::slice::from_ref(pipe), content);
    summary.bound_best_link_ms = pipes.iter().filter_map(single).min().unwrap_or(0);
    summary.bound_joint_ms = least_ms(&pipes, content).unwrap_or(0);
    Ok(summary)
}

fn parts(entry: Option<&InboxEntry>, sent_at: u64) -> Vec<Part> {
    let mut parts: Vec<Part> = entry
        .into_iter()
        .flat_map(|entry| &entry.parts)
        .map(|part| Part {
            name: if part.name.is_empty() {
                "text".into()
            } else {
                part.name.clone()
            },
            bytes: part.bytes,
            delivered_at_ms: part.delivered_at_ms.saturating_sub(sent_at),
        })
        .collect();
    parts.sort_by_key(|part| part.delivered_at_ms);
    parts
}

fn links(received: &[Received]) -> Vec<Link> {
    let link = |((name, kind), received): (&(&'static str, &'static str), &Received)| Link {
        name,
        kind,
        frames: received.frames,
        fragments: received.fragments,
        bytes: received.bytes,
        first_seen_bytes: received.first_seen_bytes,
    };
    LINKS.iter().zip(received).map(link).collect()
}

fn surplus(there: &StatusReport) -> u64 {
    there
        .inbound
        .iter()
        .map(|entry| entry.surplus_bytes)
        .max()
        .unwrap_or(0)
}

fn file_part(entry: &InboxEntry, file_bytes: u64) -> Option<&InboxPart> {
    entry.parts.iter().find(|part| part.bytes == file_bytes)
}

/// Has the recipient save the message, as its operator would; returns where the file is.
async fn save(world: &World, record: &Record, part: &InboxPart, dir: &Path) -> Outcome<PathBuf> {
    let saved = world
        .bo
        .run(&["save", &record.message, &dir.to_string_lossy()])
        .await?;
    let files = saved["files"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let named = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name == part.name.as_str())
    };
    let file = files
        .iter()
        .filter_map(Value::as_str)
        .map(PathBuf::from)
        .find(named);
    file.ok_or_else(|| {
        let what = format!("the recipient saved no file called {}", part.name);
        Failure::new(
            Kind::Other,
            what,
            "run the demo with --keep and look into its folder",
        )
    })
}

fn digest(path: &Path) -> Outcome<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut read = || -> std::io::Result<()> {
        let mut file = std::fs::File::open(path)?;
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                n => hasher.update(buffer.get(..n).unwrap_or_default()),
            }
        }
    };
    read().map_err(|error| {
        let what = format!("cannot read {}: {error}", path.display());
        Failure::new(
            Kind::Other,
            what,
            "see that the file may be read and run the demo again",
        )
    })?;
    Ok(hasher.finalize().into())
}

fn since(epoch_ms: u64) -> u64 {
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |now| now.as_millis() as u64);
    now.saturating_sub(epoch_ms)
}
