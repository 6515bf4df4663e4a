//! Looks through a spool folder in bounded steps: what of others to read, what of our own stands there.

use super::batch::{BatchReader, END_SIZE, HEADER_SIZE, Item, is_end};
use super::folder::{Name, Written, open_regular};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, ReadDir};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The largest file that is read, in bytes.
pub const MAX_FILE: u64 = 64 << 20;

/// The number of batches of others in one folder that are kept apart; more wait until some have left.
pub const MAX_BATCHES: usize = 65_536;

const STEP_ENTRIES: usize = 2048;
const STEP_FRAMES: usize = 512;
const MAX_FOREIGN: usize = 4096;
/// What a file takes on the disk at least.
const BLOCK: u64 = 4096;
/// After this time nobody writes on a temporary file any more.
const STALE: Duration = Duration::from_secs(600);

/// Size and time of last change: a file that keeps both is taken as unchanged.
type Stat = (u64, Option<SystemTime>);

/// What is known of a batch of somebody else.
#[derive(Debug)]
struct Seen {
    stat: Stat,
    /// Read to its end in this state.
    done: bool,
    /// It could not be read; counted once.
    failed: bool,
    /// Everything before this byte was intact and is delivered.
    intact: u64,
    pass: u64,
}

/// What is to be done about a batch in its present state.
enum Recall {
    /// It was read in this state.
    Done,
    /// It is to be read, from this byte on; at once if `settled`, else if it looks complete.
    Unread { intact: u64, settled: bool },
    /// It is new and there is no room to remember it.
    Full,
}

#[derive(Debug)]
struct Current {
    name: OsString,
    reader: BatchReader<File>,
    /// What the name says; nothing if somebody has renamed the file.
    origin: Option<[u8; 8]>,
    skip_to: u64,
}

/// Our own batches in the folder.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    tags: BTreeMap<u64, BTreeMap<OsString, u64>>,
    /// What they take on the disk, in bytes.
    pub(super) used: u64,
}

impl Own {
    fn add(&mut self, tag: u64, name: OsString, size: u64) {
        let taken = size.div_ceil(BLOCK) * BLOCK;
        let before = self.tags.entry(tag).or_default().insert(name, taken);
        self.used = self.used + taken - before.unwrap_or(0);
    }

    fn remove(&mut self, tag: u64, name: &OsStr) {
        if let Some(names) = self.tags.get_mut(&tag) {
            self.used -= names.remove(name).unwrap_or(0);
            if names.is_empty() {
                self.tags.remove(&tag);
            }
        }
    }
}

/// What one step found.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) frames: Vec<Bytes>,
    /// Damaged stretches.
    pub(super) damaged: u64,
    /// Files that are no batch of this version, counted when first seen.
    pub(super) foreign: u64,
    /// Batches read to their end.
    pub(super) batches: u64,
    /// The pass through the folder is over.
    pub(super) finished: bool,
}

/// Goes through the folder again and again, a bounded step at a time.
#[derive(Debug)]
pub(super) struct Scanner {
    dir: PathBuf,
    origin: Option<[u8; 8]>,
    imports: bool,
    /// For a link that looks again and again: remembers batches, waits for half-copied ones, tidies up.
    live: bool,
    entries: Option<ReadDir>,
    current: Option<Current>,
    seen: HashMap<OsString, Seen>,
    foreign: HashSet<OsString>,
    pass: u64,
    listing: Own,
    own: Own,
}

impl Scanner {
    /// For a link: goes through the folder over and over, and reads every batch once, if it `imports`.
    pub(super) fn live(dir: &Path, origin: [u8; 8], imports: bool) -> Self {
        Self::new(dir, Some(origin), imports, true)
    }

    /// For one pass that reads everything as it stands, and changes nothing.
    pub(super) fn once(dir: &Path, skip_origin: Option<[u8; 8]>) -> Self {
        Self::new(dir, skip_origin, true, false)
    }

    fn new(dir: &Path, origin: Option<[u8; 8]>, imports: bool, live: bool) -> Self {
        Self {
            dir: dir.to_owned(),
            origin,
            imports,
            live,
            entries: None,
            current: None,
            seen: HashMap::new(),
            foreign: HashSet::new(),
            pass: 0,
            listing: Own::default(),
            own: Own::default(),
        }
    }

    /// Our own batches as of the last whole pass and what was done since.
    pub(super) fn own(&self) -> &Own {
        &self.own
    }

    /// Forgets a pass that is under way; what was imported is still known.
    pub(super) fn abandon_pass(&mut self) {
        self.entries = None;
        self.current = None;
        self.listing = Own::default();
    }

    /// Notes a batch that we wrote.
    pub(super) fn wrote(&mut self, tag: u64, written: &Written) {
        self.own.add(tag, written.name.clone(), written.size);
        self.listing.add(tag, written.name.clone(), written.size);
    }

    /// Deletes our batches of a tag. Touches no disk if there are none.
    pub(super) fn purge(&mut self, tag: u64) -> io::Result<()> {
        let names: Vec<_> = self
            .own
            .tags
            .get(&tag)
            .into_iter()
            .flat_map(|n| n.keys().cloned())
            .collect();
        for name in names {
            match fs::remove_file(self.dir.join(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            self.own.remove(tag, &name);
            self.listing.remove(tag, &name);
        }
        Ok(())
    }

    /// Goes on for at most 512 frames or 2048 names.
    ///
    /// # Errors
    /// The folder cannot be listed. Trouble with a single file is counted, and the file tried again.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        let mut step = Step::default();
        if self.entries.is_none() {
            self.entries = Some(fs::read_dir(&self.dir)?);
            self.listing = Own::default();
            self.pass += 1;
        }
        for _ in 0..STEP_ENTRIES {
            self.read_current(&mut step);
            if step.frames.len() >= STEP_FRAMES {
                return Ok(step);
            }
            let Some(entry) = self.entries.as_mut().and_then(Iterator::next) else {
                self.finish_pass();
                step.finished = true;
                return Ok(step);
            };
            self.look_at(entry?.file_name(), &mut step);
        }
        Ok(step)
    }

    fn finish_pass(&mut self) {
        // The open folder would keep a stick from being unmounted.
        self.entries = None;
        self.own = std::mem::take(&mut self.listing);
        let pass = self.pass;
        self.seen.retain(|_, seen| seen.pass == pass);
    }

    fn look_at(&mut self, name: OsString, step: &mut Step) {
        let Ok(meta) = fs::symlink_metadata(self.dir.join(&name)) else {
            return;
        };
        match Name::of(&name) {
            Name::Temporary(header) => {
                if self.live && Some(header.origin) == self.origin && is_stale(&meta) {
                    let _ = fs::remove_file(self.dir.join(&name));
                }
            }
            Name::Batch(_) | Name::Renamed if !meta.is_file() || meta.len() > MAX_FILE => {
                self.count_foreign(name, step)
            }
            Name::Batch(header) if Some(header.origin) == self.origin => {
                self.listing.add(header.tag, name, meta.len());
            }
            Name::Batch(header) if self.imports => {
                self.look_at_batch(name, Some(header.origin), &meta, step)
            }
            Name::Renamed if self.imports => self.look_at_batch(name, None, &meta, step),
            Name::Batch(_) | Name::Renamed => {}
            Name::Foreign => self.count_foreign(name, step),
        }
    }

    fn look_at_batch(
        &mut self,
        name: OsString,
        origin: Option<[u8; 8]>,
        meta: &Metadata,
        step: &mut Step,
    ) {
        let stat = (meta.len(), meta.modified().ok());
        let (skip_to, settled) = if self.live {
            match self.recall(&name, stat) {
                Recall::Unread { intact, settled } => (intact, settled),
                Recall::Done => return,
                Recall::Full => {
                    let dir = self.dir.display();
                    tracing::warn!(%dir, "too many batches: some wait until others have left");
                    return;
                }
            }
        } else {
            (0, true)
        };
        match open_regular(&self.dir, &name) {
            Ok(mut file) => {
                if settled || has_end(&mut file, stat.0) {
                    let reader = BatchReader::new(file);
                    self.current = Some(Current {
                        name,
                        reader,
                        origin,
                        skip_to,
                    });
                }
            }
            Err(error) => self.count_failure(&name, &error, step),
        }
    }

    /// What is known of a batch that has this size and time now.
    fn recall(&mut self, name: &OsStr, stat: Stat) -> Recall {
        let room = self.seen.len() < MAX_BATCHES;
        let fresh = Seen {
            stat,
            done: false,
            failed: false,
            intact: 0,
            pass: self.pass,
        };
        let Some(seen) = self.seen.get_mut(name) else {
            if room {
                self.seen.insert(name.to_owned(), fresh);
                return Recall::Unread {
                    intact: 0,
                    settled: false,
                };
            }
            return Recall::Full;
        };
        seen.pass = self.pass;
        let settled = seen.stat == stat;
        if settled && seen.done {
            return Recall::Done;
        }
        if stat.0 < seen.intact {
            seen.intact = 0;
        }
        seen.stat = stat;
        seen.done = false;
        Recall::Unread {
            intact: seen.intact,
            settled,
        }
    }

    fn read_current(&mut self, step: &mut Step) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        while step.frames.len() < STEP_FRAMES {
            match current.reader.read() {
                Ok(Item::Frame(frame)) => {
                    // Of a damaged header nothing is known.
                    let said = current.reader.header().map(|h| h.origin);
                    match (current.origin, said) {
                        (Some(name), Some(said)) if name != said => {
                            return self.close(current, step, true);
                        }
                        // A copy of a batch of ours: we have what is in it.
                        (None, Some(_)) if said == self.origin => return self.done(&current),
                        _ => {}
                    }
                    if current.reader.offset() > current.skip_to {
                        step.frames.push(frame);
                    }
                }
                Ok(Item::Damaged) => step.damaged += 1,
                Ok(last) => return self.close(current, step, last == Item::Foreign),
                Err(error) => return self.count_failure(&current.name, &error, step),
            }
        }
        self.current = Some(current);
    }

    /// Notes that a batch was read in its present state.
    fn done(&mut self, current: &Current) {
        if let Some(seen) = self.seen.get_mut(&current.name) {
            seen.done = true;
            seen.intact = seen.intact.max(current.reader.intact());
        }
    }

    fn close(&mut self, current: Current, step: &mut Step, foreign: bool) {
        self.done(&current);
        if foreign {
            self.count_foreign(current.name, step);
        } else {
            step.batches += 1;
        }
    }

    fn count_foreign(&mut self, name: OsString, step: &mut Step) {
        if self.foreign.len() < MAX_FOREIGN && self.foreign.insert(name) {
            step.foreign += 1;
        }
    }

    fn count_failure(&mut self, name: &OsStr, error: &io::Error, step: &mut Step) {
        let counted = self
            .seen
            .get_mut(name)
            .is_some_and(|seen| std::mem::replace(&mut seen.failed, true));
        if !counted {
            tracing::warn!(file = %name.display(), %error, "cannot read a batch");
            step.damaged += 1;
        }
    }
}

fn is_stale(meta: &Metadata) -> bool {
    meta.modified()
        .ok()
        .and_then(|at| at.elapsed().ok())
        .is_some_and(|age| age > STALE)
}

/// Whether the file ends with an end record. Leaves the file at its start.
fn has_end(file: &mut File, size: u64) -> bool {
    use io::Read;
    let mut end = [0; END_SIZE];
    size >= (HEADER_SIZE + END_SIZE) as u64
        && file.seek(SeekFrom::End(-(END_SIZE as i64))).is_ok()
        && file.read_exact(&mut end).is_ok()
        && file.rewind().is_ok()
        && is_end(&end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::batch::{BatchHeader, BatchWriter};
    use super::*;

    const NAME: &str = "0101010101010101-0000000000000001-0000000000000002.ostk";

    /// One whole pass; what it found, added up.
    fn pass(scanner: &mut Scanner) -> Step {
        let mut sum = Step::default();
        while !sum.finished {
            let step = scanner.step().unwrap();
            assert!(step.frames.len() <= STEP_FRAMES);
            sum.frames.extend(step.frames);
            sum.damaged += step.damaged;
            sum.foreign += step.foreign;
            sum.finished = step.finished;
        }
        sum
    }

    fn batch(frames: u32) -> Vec<u8> {
        let header = BatchHeader {
            origin: [1; 8],
            tag: 1,
        };
        let mut writer = BatchWriter::new(Vec::new(), &header).unwrap();
        for n in 0..frames {
            writer.push(&n.to_be_bytes()).unwrap();
        }
        writer.finish().unwrap()
    }

    /// A file that is filled in after it got its size is not judged while it changes, only when it stands
    /// still; a complete one is read at first sight.
    #[test]
    fn waits_for_a_file_to_settle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let whole = batch(10);
        let mut scanner = Scanner::live(dir.path(), [2; 8], true);
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        for (secs, filled) in [(1, 0), (2, 50), (3, 70)] {
            let mut partial = whole.clone();
            partial[filled..].fill(0);
            fs::write(&path, partial).unwrap();
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(at(secs))
                .unwrap();
            let step = pass(&mut scanner);
            assert_eq!((step.frames.len(), step.damaged), (0, 0));
        }
        let step = pass(&mut scanner);
        assert_eq!((step.frames.len(), step.damaged), (4, 1));
        fs::write(&path, &whole).unwrap();
        let step = pass(&mut scanner);
        assert_eq!((step.frames.len(), step.damaged), (6, 0));
        assert_eq!(step.frames[0], 4u32.to_be_bytes().as_slice());
        assert_eq!(pass(&mut scanner).frames.len(), 0);
    }

    /// A batch that a file manager has renamed is read by what is in it, unless it is a copy of one of ours.
    #[test]
    fn renamed_batches_are_read_by_their_content() {
        let dir = tempfile::tempdir().unwrap();
        for (name, frames) in [("0101 (1).ostk", 3), ("COPY.OSTK", 4)] {
            fs::write(dir.path().join(name), batch(frames)).unwrap();
        }
        let live = pass(&mut Scanner::live(dir.path(), [2; 8], true));
        let once = |origin| pass(&mut Scanner::once(dir.path(), origin));
        assert_eq!(live.frames.len(), 7);
        assert_eq!((once(None).frames.len(), once(None).foreign), (7, 0));
        assert_eq!(once(Some([1; 8])).frames.len(), 0);
    }

    /// A pass goes on over many bounded steps, and forgets files that have left.
    #[test]
    fn steps_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), batch(2000)).unwrap();
        for n in 0..3000 {
            fs::write(dir.path().join(format!("foreign {n}")), "").unwrap();
        }
        let mut scanner = Scanner::live(dir.path(), [2; 8], true);
        let first = scanner.step().unwrap();
        assert!(!first.finished);
        scanner.abandon_pass();
        let mut scanner = Scanner::live(dir.path(), [2; 8], true);
        let step = pass(&mut scanner);
        assert_eq!((step.frames.len(), step.foreign), (2000, 3000));
        let step = pass(&mut scanner);
        assert_eq!((step.frames.len(), step.foreign), (0, 0));
        fs::remove_file(dir.path().join(NAME)).unwrap();
        pass(&mut scanner);
        assert!(scanner.seen.is_empty());
    }
}
