//! Room that is set aside for the rows and notes of a home and for small files, so that these are still taken where others
//! have filled the disk.
//!
//! ```text
//! HOME/reserve   room that nobody uses: it goes when there is no other, and is set aside anew once there is plenty
//! ```

use super::error::is_full;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that are set aside.
const BYTES: u64 = 4 << 20;
/// Free bytes from which on there is plenty.
const PLENTY: u64 = 4 * BYTES;

/// Bytes of a file that is small.
pub(super) const SMALL: u64 = 64 << 10;

/// The room that is set aside.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    /// It is there.
    held: Mutex<bool>,
}

impl Reserve {
    /// That of a directory, as it was left.
    pub(super) fn of(dir: &Path) -> Self {
        let path = dir.join("reserve");
        let known = fs::symlink_metadata(&path);
        let held = known.is_ok_and(|file| file.is_file() && file.len() == BYTES);
        Self {
            path,
            held: Mutex::new(held),
        }
    }

    fn held(&self) -> MutexGuard<'_, bool> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what takes a little room, and does it again in the room set aside where there is no other.
    pub(super) fn spend<T>(&self, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match work() {
            Err(error) if is_full(&error) && self.give_up() => work(),
            done => done,
        }
    }

    /// False if it was gone.
    fn give_up(&self) -> bool {
        let mut held = self.held();
        std::mem::take(&mut *held) && fs::remove_file(&self.path).is_ok()
    }

    /// How many of so many free bytes are free for files. Where there are plenty, what was given up is set aside anew. Half of
    /// it is for rows and notes alone.
    pub(super) fn beside(&self, free: u64) -> u64 {
        let mut held = self.held();
        let least = if *held || free >= BYTES / 2 { SMALL } else { 0 };
        if *held {
            return free.max(least);
        }
        if free >= PLENTY {
            *held = self.set_aside().is_ok();
        }
        free.saturating_sub(BYTES).max(least)
    }

    fn set_aside(&self) -> io::Result<()> {
        // What stands there instead may lead elsewhere, or never open.
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)?;
        let made = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, BYTES);
        if made.is_err() {
            fs::remove_file(&self.path)?;
        }
        Ok(made?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Work that finds room from the given try on.
    fn full_until(first: u32) -> (impl Fn() -> io::Result<u32>, std::rc::Rc<Cell<u32>>) {
        let tries = std::rc::Rc::new(Cell::new(0));
        let counted = tries.clone();
        let work = move || {
            counted.set(counted.get() + 1);
            match counted.get() >= first {
                true => Ok(counted.get()),
                false => Err(io::ErrorKind::StorageFull.into()),
            }
        };
        (work, tries)
    }

    /// If this fails: a full disk costs what is small, the room set aside is counted as free for files, or it is not set
    /// aside again.
    #[test]
    fn it_goes_once_when_there_is_no_other_room_and_comes_back_with_plenty() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(dir.path());
        assert_eq!(reserve.beside(BYTES / 4), 0, "nothing is set aside yet");
        assert_eq!(reserve.beside(PLENTY), PLENTY - BYTES);
        assert_eq!(
            fs::metadata(dir.path().join("reserve")).unwrap().len(),
            BYTES
        );
        let reserve = Reserve::of(dir.path());
        assert_eq!(reserve.beside(0), SMALL, "it is found again");
        let (work, tries) = full_until(2);
        assert_eq!(reserve.spend(&work).unwrap(), 2);
        assert!(!dir.path().join("reserve").exists());
        let (work, again) = full_until(2);
        assert!(reserve.spend(&work).is_err(), "it is gone");
        assert_eq!((tries.get(), again.get()), (2, 1));
        assert_eq!(reserve.beside(BYTES + SMALL * 2), SMALL * 2);
        assert_eq!(reserve.beside(BYTES / 2), SMALL);
        assert_eq!(reserve.beside(BYTES / 2 - 1), 0);
        assert_eq!(reserve.beside(PLENTY), PLENTY - BYTES);
        assert_eq!(reserve.beside(PLENTY), PLENTY);
    }

    /// Guards files of others, which a link in its place leads to.
    #[test]
    fn what_stands_in_its_place_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let (others, place) = (dir.path().join("others"), dir.path().join("reserve"));
        fs::write(&others, vec![1; BYTES as usize]).unwrap();
        std::os::unix::fs::symlink(&others, &place).unwrap();
        let reserve = Reserve::of(dir.path());
        assert_eq!(reserve.beside(PLENTY), PLENTY - BYTES, "it is none of ours");
        assert!(fs::symlink_metadata(&place).unwrap().is_file());
        assert_eq!(fs::read(&others).unwrap(), vec![1; BYTES as usize]);
    }
}
