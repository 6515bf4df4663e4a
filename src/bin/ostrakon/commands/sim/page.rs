//! The page of a run: where it goes, and that it is there whole or not at all.

use crate::failure::{Failure, Outcome};
use ostrakon_netsim::scenario::Scenario;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the page of a run goes. The folder is made before the run, which may take long.
///
/// # Errors
/// A folder that cannot be made.
pub fn place(dir: &Path, scenario: &Scenario, seed: u64) -> Outcome<PathBuf> {
    fs::create_dir_all(dir).map_err(|why| cannot_write(dir, &why))?;
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    let name: String = scenario.name.chars().map(plain).collect();
    Ok(dir.join(format!("{name}-{seed}.html")))
}

/// Writes it beside its place and moves it there, so that a disk that is full leaves neither half a page nor takes the one
/// that was there before.
///
/// # Errors
/// A disk that does not take it.
pub fn write(page: &Path, text: &str) -> Outcome {
    let beside = page.with_extension("html.part");
    let written = put(&beside, text).and_then(|()| fs::rename(&beside, page));
    written.map_err(|why| {
        // What cannot be removed either is named by its ending for what it is.
        let _removed = fs::remove_file(&beside);
        cannot_write(page, &why)
    })
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    // Some disks tell only now that they are full.
    file.sync_all()
}

fn cannot_write(path: &Path, why: &io::Error) -> Failure {
    let next = "name a folder that you may write to after --report, or make room";
    Failure::writing(path, why, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;
    use ostrakon::node::api::ErrorKind;

    /// Guards that a page is there whole or not at all: what cannot be put in its place leaves nothing beside it, what
    /// stood there stays, and the failure is one of the named place and not a violation of the run.
    #[test]
    fn a_page_that_cannot_be_written_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let page = dir.path().join("geo-1.html");
        fs::create_dir(&page).unwrap();
        fs::write(page.join("kept"), "").unwrap();
        let failed = write(&page, "<html>").unwrap_err();
        assert_eq!(failed.kind, Kind::Api(ErrorKind::Usage));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        fs::remove_dir_all(&page).unwrap();
        write(&page, "<html>").unwrap();
        assert_eq!(fs::read_to_string(&page).unwrap(), "<html>");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        let scenario = ostrakon::sim::shipped::find("geo").unwrap();
        let failed = place(&page, &scenario, 1).unwrap_err();
        assert_eq!(failed.kind, Kind::Api(ErrorKind::Usage));
    }
}
