//! `passphrase`: under which secret keys are kept.

use crate::args::PassphraseCommand;
use crate::failure::{Failure, Outcome};
use crate::out::Out;
use crate::{terminal, unlock};
use ostrakon::node::api::ErrorKind;
use ostrakon::node::relay;
use ostrakon::security::lockbox::Passphrase;
use std::path::Path;

/// Sets, changes or removes it, for a node or a relay that does not run.
///
/// # Errors
/// If there is neither, it is in use, or the old passphrase is missing or wrong.
pub async fn run(out: Out, dir: &Path, command: PassphraseCommand) -> Outcome {
    let kept = if relay::is_relay(dir) {
        let old = match relay::has_passphrase(dir)? {
            true => unlock::given(unlock::RELAY).await?,
            false => None,
        };
        let new = new(command).await?;
        let (dir, kept) = (dir.to_owned(), new.is_some());
        let change = move || relay::keep_under(&dir, old.as_ref(), new.as_ref());
        unlock::blocking(change).await??;
        kept
    } else {
        let mut home = unlock::unlocked(dir).await?;
        let new = new(command).await?;
        let kept = new.is_some();
        unlock::blocking(move || home.keep_under(new.as_ref())).await??;
        kept
    };
    let object = serde_json::json!({"home": dir.to_string_lossy(), "passphrase": kept});
    out.show(&object, || match kept {
        true => "The keys have this passphrase now, and nobody can help you if you forget it.\n\
            What was written before may still be found on the disk and in copies of it. Longer texts and files that are\n\
            here already stay unsealed until they are sent or deleted."
            .into(),
        false => "The keys have no passphrase now: who gets at this disk can be you.".into(),
    })
}

async fn new(command: PassphraseCommand) -> Outcome<Option<Passphrase>> {
    let PassphraseCommand::Set {
        new_passphrase_file: file,
    } = command
    else {
        return Ok(None);
    };
    let chosen = match file {
        Some(file) => Some(unlock::read(&file)?),
        None if terminal::is_there() => unlock::chosen("The new passphrase").await?,
        None => None,
    };
    chosen.map(Some).ok_or_else(|| {
        Failure::api(
            ErrorKind::Usage,
            "there is no new passphrase",
            "type it, give it with --new-passphrase-file FILE, or remove the old one: ostrakon passphrase remove",
        )
    })
}
