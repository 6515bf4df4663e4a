//! `spool`: messages carried by hand.

use crate::args::SpoolCommand;
use crate::ask::{absolute, ask, unexpected};
use crate::failure::Outcome;
use crate::out::Out;
use ostrakon::node::api::{Request, Response};
use std::path::Path;

/// Does it.
///
/// # Errors
/// If the folder cannot be read or written, or there is no home.
pub async fn run(out: Out, home: &Path, command: SpoolCommand) -> Outcome {
    let request = match &command {
        SpoolCommand::Export { dir } => Request::SpoolExport {
            dir: absolute(dir)?,
        },
        SpoolCommand::Import { dir } => Request::SpoolImport {
            dir: absolute(dir)?,
        },
    };
    let answer = ask(home, request).await?;
    let text = match (&command, &answer) {
        (SpoolCommand::Export { .. }, Response::Exported { frames: 0, .. }) => {
            "Nothing waits for anybody.\n".into()
        }
        (SpoolCommand::Export { dir }, Response::Exported { frames, batches }) => format!(
            "{frames} frames in {batches} batches are in {dir}.\nTake it to the others; they run: ostrakon spool import DIR\n",
            dir = dir.display()
        ),
        (
            SpoolCommand::Import { .. },
            Response::Imported {
                frames,
                batches,
                damaged,
                foreign,
            },
        ) => {
            let trouble = match (damaged, foreign) {
                (0, 0) => String::new(),
                _ => format!(
                    "{damaged} were damaged and {foreign} were none of ours; they were left out.\n"
                ),
            };
            format!("{frames} frames came in {batches} batches.\n{trouble}")
        }
        _ => return Err(unexpected()),
    };
    out.show(&answer, || text)
}
