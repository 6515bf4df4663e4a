//! `root`: the key that makes somebody who he is, kept apart from his devices.

use crate::args::RootCommand;
use crate::ask::absolute;
use crate::failure::{Failure, Outcome};
use crate::out::Out;
use crate::{terminal, unlock};
use ostrakon::node::RootFile;
use ostrakon::node::api::ErrorKind;
use ostrakon::security::lockbox::Passphrase;
use serde_json::json;
use std::path::{Path, PathBuf};

/// What is asked for.
const ROOT: &str = "Passphrase of the root key";

/// Moves it out of a home, or uses it, for a node that does not run.
///
/// # Errors
/// If there is no home, it is in use, or the root key does not belong to it.
pub async fn run(out: Out, dir: &Path, command: RootCommand) -> Outcome {
    match command {
        RootCommand::Move {
            file,
            root_passphrase_file: words,
        } => move_out(out, dir, file, words).await,
        RootCommand::Renew {
            file,
            root_passphrase_file: words,
        } => renew(out, dir, file, words).await,
    }
}

async fn move_out(out: Out, dir: &Path, file: PathBuf, words: Option<PathBuf>) -> Outcome {
    let file = absolute(&file)?;
    let mut home = unlock::unlocked(dir).await?;
    let passphrase = new(words).await?;
    let locked = passphrase.is_some();
    let place = file.clone();
    unlock::blocking(move || home.move_root(&place, passphrase.as_ref())).await??;
    let object = json!({"root": file.to_string_lossy(), "passphrase": locked});
    out.show(&object, || {
        let said = match locked {
            true => "It has a passphrase, and nobody can help you if you forget it.",
            false => "It has no passphrase: who finds the file can be you.",
        };
        format!(
            "The root key is in {} now, and not in this home any more.\n{said}\n\
            Put it away, with a copy elsewhere. Copies of this home that were made before still have it, and so may the disk.\n\
            When a device is stolen, on one that you have: ostrakon root renew FILE",
            file.display()
        )
    })
}

async fn renew(out: Out, dir: &Path, file: PathBuf, words: Option<PathBuf>) -> Outcome {
    let mut home = unlock::unlocked(dir).await?;
    let mut root = opened(&file, words).await?;
    unlock::blocking(move || home.renew(&mut root)).await??;
    let object = json!({"root": absolute(&file)?.to_string_lossy(), "renewed": true});
    out.show(&object, || {
        "The keys that your devices share are new, and your card names this device alone.\n\
        Run the node: contacts are sent the new card, and what they had sent to the old keys they send again.\n\
        Copy the root file again, then let your other devices join anew: ostrakon init --join"
            .into()
    })
}

/// A file with a root key, unlocked.
///
/// # Errors
/// If there is none, or its passphrase is missing or wrong.
pub async fn opened(file: &Path, words: Option<PathBuf>) -> Outcome<RootFile> {
    let mut root = RootFile::open(&absolute(file)?)?;
    if !root.is_locked() {
        return Ok(root);
    }
    let passphrase = match words {
        Some(words) => unlock::read(&words)?,
        None if terminal::is_there() => unlock::asked(ROOT).await?,
        None => {
            let what = format!("{} is locked with a passphrase", file.display());
            let hint = "give the file that holds it with --root-passphrase-file, or run this at a terminal to be asked";
            return Err(Failure::api(ErrorKind::Locked, what, hint));
        }
    };
    let open = move || root.unlock(&passphrase).map(|()| root);
    Ok(unlock::blocking(open).await??)
}

async fn new(words: Option<PathBuf>) -> Outcome<Option<Passphrase>> {
    match words {
        Some(file) => unlock::read(&file).map(Some),
        None if terminal::is_there() => {
            unlock::chosen("A passphrase for the root key (empty for none)").await
        }
        None => Ok(None),
    }
}
