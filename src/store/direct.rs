//! Large reads and writes of bulk files past the memory in which the system keeps what was read or written.
//!
//! What is sent or received is written once and read once or twice. Through that memory every byte is copied once more, into
//! pages that have to be found and cleared for it and written out again before it is durable: on a disk of a virtual machine a
//! gigabyte took four times as long, most of it processor time. Linux passes it over for whole pages (`O_DIRECT`, open(2)). Where
//! a file system cannot, what is asked for here is refused once, and everything goes the usual way.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What place, length and memory are a multiple of: no disk asks for more.
pub(super) const PAGE: usize = 4096;
/// So much at least goes this way, in bytes; less is faster to copy than to wait for.
const LEAST: usize = 64 << 10;
/// Written at once, in bytes.
const CHUNK: usize = 1 << 20;
/// Room to read into is a multiple of this, so that it does for the next block as well, wherever that begins in its page.
const GRAIN: usize = 64 << 10;

thread_local! {
    /// Room that is used again: its pages are there, and near.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The second opening of a file, made when it is needed first.
#[derive(Default)]
pub(super) struct Direct {
    file: OnceLock<Option<File>>,
    /// The file system cannot do it.
    refused: AtomicBool,
    /// Something was written this way.
    used: AtomicBool,
}

/// A piece of something that is written: its length, and whether it consists of whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) len: usize,
    pub(super) whole: bool,
}

impl Direct {
    /// How so many bytes at `place` of this file are written, in this order; none if they had better go the usual way.
    pub(super) fn steps(&self, file: &File, place: u64, len: usize) -> Vec<Step> {
        let steps = steps(place, len);
        let goes = !steps.is_empty() && self.get(file).is_some();
        if goes { steps } else { Vec::new() }
    }

    /// Writes one step.
    pub(super) fn write(
        &self,
        file: &File,
        step: Step,
        bytes: &[u8],
        place: u64,
    ) -> io::Result<()> {
        if let Some(direct) = self.get(file).filter(|_| step.whole) {
            match direct.write_all_at(bytes, place) {
                Ok(()) => {
                    self.used.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                Err(e) if is_refusal(&e) => self.refused.store(true, Ordering::Relaxed),
                Err(e) => return Err(e),
            }
        }
        file.write_all_at(bytes, place)
    }

    /// Whether something was written this way, so that the system does not hold it.
    pub(super) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Reads exactly so many bytes. `None` if they had better be read the usual way.
    pub(super) fn read(
        &self,
        file: &File,
        place: u64,
        len: usize,
    ) -> io::Result<Option<WhatWasRead>> {
        let Some(direct) = self.get(file).filter(|_| len >= LEAST) else {
            return Ok(None);
        };
        let before = (place % PAGE as u64) as usize;
        let all = (before + len).next_multiple_of(PAGE);
        let wanted = all + PAGE;
        let room = spare::take(wanted.next_multiple_of(GRAIN));
        let (mut room, start) = aligned(room, all);
        let pages = room.get_mut(start..start + all).unwrap_or_default();
        match fill(direct, pages, place - before as u64, before + len) {
            Ok(()) => Ok(Some(WhatWasRead {
                room,
                start: start + before,
                len,
            })),
            Err(e) if is_refusal(&e) => {
                self.refused.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn get(&self, file: &File) -> Option<&File> {
        let open = self.file.get_or_init(|| reopen(file)).as_ref();
        open.filter(|_| !self.refused.load(Ordering::Relaxed))
    }
}

/// Bytes that were read. Their room is used again once nobody has them any more: blocks are large, follow each other, and take
/// long to be cleared.
pub(super) struct WhatWasRead {
    room: Vec<u8>,
    start: usize,
    len: usize,
}

impl AsRef<[u8]> for WhatWasRead {
    fn as_ref(&self) -> &[u8] {
        let range = self.start..self.start + self.len;
        self.room.get(range).unwrap_or_default()
    }
}

impl AsMut<[u8]> for WhatWasRead {
    fn as_mut(&mut self) -> &mut [u8] {
        let range = self.start..self.start + self.len;
        self.room.get_mut(range).unwrap_or_default()
    }
}

impl Drop for WhatWasRead {
    fn drop(&mut self) {
        spare::give(std::mem::take(&mut self.room));
    }
}

/// Room that nobody uses.
mod spare {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    static ROOMS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    /// How many are kept.
    const KEPT: usize = 2;
    /// Those kept are as large as a block, in bytes.
    const MOST: usize = 2 << 20;

    fn rooms() -> MutexGuard<'static, Vec<Vec<u8>>> {
        ROOMS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is large enough.
    pub(super) fn take(len: usize) -> Vec<u8> {
        let mut rooms = rooms();
        let fits = rooms.iter().position(|room| room.len() >= len);
        let room = fits.map(|at| rooms.swap_remove(at));
        drop(rooms);
        room.unwrap_or_else(|| vec![0; len])
    }

    pub(super) fn give(room: Vec<u8>) {
        let mut rooms = rooms();
        if rooms.len() < KEPT && room.len() <= MOST {
            rooms.push(room);
        }
    }
}

/// Bytes that begin with a page, so that they are written from where they are.
pub struct Pages {
    room: Vec<u8>,
    start: usize,
    len: usize,
}

impl Pages {
    /// Nothing, with room for so many bytes.
    pub fn new(most: usize) -> Self {
        let (room, start) = aligned(Vec::new(), most);
        let len = 0;
        Self { room, start, len }
    }

    /// Reads until there is no more room, or nothing more to read.
    ///
    /// # Errors
    /// What reading gives.
    pub fn fill(&mut self, from: &mut impl Read) -> io::Result<()> {
        self.len = 0;
        let end = self.room.len() - PAGE;
        while self.len < end {
            let rest = self.room.get_mut(self.start + self.len..self.start + end);
            match from.read(rest.unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => self.len += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.room
            .get(self.start..self.start + self.len)
            .unwrap_or_default()
    }
}

/// Has `fill` write so many bytes into room that begins with a page, and gives them to `then`.
pub(super) fn with_room<T>(
    len: usize,
    fill: impl FnOnce(&mut [u8]),
    then: impl FnOnce(&[u8]) -> T,
) -> T {
    let (mut room, start) = aligned(ROOM.take(), len);
    let bytes = room.get_mut(start..start + len).unwrap_or_default();
    fill(bytes);
    let done = then(bytes);
    ROOM.set(room);
    done
}

/// Room for so many bytes from a place on that is a multiple of a page.
fn aligned(mut room: Vec<u8>, len: usize) -> (Vec<u8>, usize) {
    if room.len() < len + PAGE {
        room = vec![0; len + PAGE];
    }
    let start = room.as_ptr().align_offset(PAGE).min(PAGE);
    (room, start)
}

/// Reads pages until `least` of their bytes are there. At the end of a file the last one is cut short.
fn fill(file: &File, pages: &mut [u8], place: u64, least: usize) -> io::Result<()> {
    let mut have = 0;
    while have < least {
        let rest = pages.get_mut(have..).unwrap_or_default();
        match file.read_at(rest, place + have as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            // What follows a page that is cut short cannot be asked for.
            Ok(read) if have + read < least && read % PAGE != 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(read) => have += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// What is before the first whole page, the pages, and what is after the last one.
fn steps(place: u64, len: usize) -> Vec<Step> {
    let head = padding(place);
    let whole = len.saturating_sub(head) / PAGE * PAGE;
    if whole < LEAST {
        return Vec::new();
    }
    let pages = (0..whole).step_by(CHUNK).map(|at| Step {
        len: CHUNK.min(whole - at),
        whole: true,
    });
    let edge = |len| (len > 0).then_some(Step { len, whole: false });
    let (first, last) = (edge(head), edge(len - head - whole));
    first.into_iter().chain(pages).chain(last).collect()
}

/// Bytes up to the next page.
fn padding(place: u64) -> usize {
    (place.wrapping_neg() % PAGE as u64) as usize
}

/// The file system cannot do it, or not with this memory or these places.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

/// The same file once more. By its descriptor, since its name may have changed.
#[cfg(target_os = "linux")]
fn reopen(file: &File) -> Option<File> {
    use rustix::fs::{Mode, OFlags, open};
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).ok().map(File::from)
}

#[cfg(not(target_os = "linux"))]
fn reopen(_: &File) -> Option<File> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Guards that every byte is written once, and whole pages only past the memory of the system.
        #[test]
        fn steps_are_all_of_it_and_whole_ones_are_pages(place in 0u64..1 << 40, len in 0usize..4 << 20) {
            let (mut at, steps) = (place, steps(place, len));
            for step in &steps {
                prop_assert!(!step.whole || at % PAGE as u64 == 0 && step.len % PAGE == 0);
                prop_assert!(step.whole || step.len < PAGE);
                at += step.len as u64;
            }
            prop_assert!(at == place + len as u64 || steps.is_empty() && len < LEAST + 2 * PAGE);
        }
    }

    /// Guards that a file system which refuses is asked once, and that nothing is lost by it.
    #[test]
    fn what_is_refused_goes_the_usual_way() {
        let file = tempfile::tempfile().unwrap();
        let direct = Direct::default();
        direct.refused.store(true, Ordering::Relaxed);
        assert_eq!(direct.steps(&file, 0, LEAST), []);
        let step = Step {
            len: PAGE,
            whole: true,
        };
        direct.write(&file, step, &[7; PAGE], 0).unwrap();
        assert!(direct.read(&file, 0, LEAST).unwrap().is_none() && !direct.is_used());
        let mut found = [0; PAGE];
        file.read_exact_at(&mut found, 0).unwrap();
        assert_eq!(found, [7; PAGE]);
    }
}
