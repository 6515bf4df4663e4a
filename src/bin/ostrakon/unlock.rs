//! Opens keys that have a passphrase. It comes from a file or from the terminal, never from arguments, which every
//! process of the machine can read.

use crate::failure::{Failure, Kind, Outcome};
use crate::terminal;
use ostrakon::node::api::ErrorKind;
use ostrakon::node::{Home, NodeError};
use ostrakon::security::lockbox::{LockError, MAX_PASSPHRASE, Passphrase};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use zeroize::Zeroizing;

/// What is asked for.
const NODE: &str = "Passphrase of your keys";
/// What is asked for, of a relay.
pub const RELAY: &str = "Passphrase of the relay's key";
/// How often one may mistype.
const TRIES: u32 = 3;
/// The file with the passphrase, as it was given to this process.
static FILE: OnceLock<PathBuf> = OnceLock::new();
/// The home that this process has unlocked: a command that puts several questions asks for the passphrase once.
static UNLOCKED: Mutex<Option<Home>> = Mutex::new(None);

/// Where passphrases are read from: the option, else the environment.
pub fn from(option: Option<PathBuf>) {
    let set = || std::env::var_os("OSTRAKON_PASSPHRASE_FILE").filter(|value| !value.is_empty());
    if let Some(file) = option.or_else(|| set().map(PathBuf::from)) {
        FILE.get_or_init(|| file);
    }
}

/// Whether a file with a passphrase was given.
pub fn has_file() -> bool {
    FILE.get().is_some()
}

/// The home in `dir`, unlocked if this process has done so before.
///
/// # Errors
/// If there is none.
pub fn known(dir: &Path) -> Outcome<Home> {
    let known = UNLOCKED.lock().unwrap_or_else(PoisonError::into_inner);
    match known.as_ref().filter(|home| home.dir() == dir) {
        Some(home) => Ok(home.clone()),
        None => Ok(Home::open(dir)?),
    }
}

/// The home in `dir`, unlocked.
///
/// # Errors
/// If there is none, or the passphrase is missing or wrong.
pub async fn unlocked(dir: &Path) -> Outcome<Home> {
    let home = Home::open(dir)?;
    if !home.is_locked() {
        return Ok(home);
    }
    let mut tries = if has_file() { 1 } else { TRIES };
    let home = loop {
        let Some(passphrase) = given(NODE).await? else {
            // Says what can be done.
            home.identity()?;
            return Ok(home);
        };
        let mut home = home.clone();
        let done = blocking(move || home.unlock(&passphrase).map(|()| home)).await?;
        tries -= 1;
        match done.map_err(NodeError::from) {
            Ok(home) => break home,
            Err(error) if tries > 0 && error.kind() == ErrorKind::Locked => {
                eprintln!("This is not the passphrase.");
            }
            Err(error) => return Err(error.into()),
        }
    };
    *UNLOCKED.lock().unwrap_or_else(PoisonError::into_inner) = Some(home.clone());
    Ok(home)
}

/// Forgets what was unlocked, so that it is wiped. Statics are not at the end of a process.
pub fn forget() {
    *UNLOCKED.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// The passphrase of existing keys, from the file or the terminal; nothing if there is neither.
///
/// # Errors
/// If the file cannot be read, or nobody answers.
pub async fn given(question: &str) -> Outcome<Option<Passphrase>> {
    match FILE.get() {
        Some(file) => read(file).map(Some),
        None if terminal::is_there() => asked(question).await.map(Some),
        None => Ok(None),
    }
}

/// A passphrase that is typed.
///
/// # Errors
/// If nobody answers.
pub async fn asked(question: &str) -> Outcome<Passphrase> {
    one_line(&terminal::hidden_line(question).await?)
}

/// A new passphrase, typed twice; nothing if the line is empty.
///
/// # Errors
/// If the two never agree, or nobody answers.
pub async fn chosen(question: &str) -> Outcome<Option<Passphrase>> {
    for _ in 0..TRIES {
        let first = terminal::hidden_line(question).await?;
        if matches!(&first[..], b"\n" | b"\r\n") {
            return Ok(None);
        }
        let first = one_line(&first)?;
        let second = terminal::hidden_line("The same again").await?;
        if one_line(&second).is_ok_and(|second| second == first) {
            return Ok(Some(first));
        }
        eprintln!("These are not the same.");
    }
    let what = "the passphrase was not typed twice in the same way";
    Err(Failure::api(ErrorKind::Usage, what, "try again"))
}

/// The passphrase for new keys from the file that was given, if one was.
///
/// # Errors
/// If it cannot be read, or holds none.
pub fn from_file() -> Outcome<Option<Passphrase>> {
    FILE.get().map(|file| read(file)).transpose()
}

/// The first line of a file.
///
/// # Errors
/// If it cannot be read, is empty or too long.
pub fn read(file: &Path) -> Outcome<Passphrase> {
    // Room for all of it at once, so that no copy is left behind.
    let most = MAX_PASSPHRASE + 2;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    File::open(file)
        .and_then(|opened| opened.take(most as u64).read_to_end(&mut bytes))
        .map_err(|error| {
            let what = format!("cannot read the passphrase in {}: {error}", file.display());
            Failure::api(
                ErrorKind::Locked,
                what,
                "name a file whose first line is the passphrase",
            )
        })?;
    one_line(&bytes)
}

fn one_line(bytes: &[u8]) -> Outcome<Passphrase> {
    Passphrase::from_line(bytes).map_err(|error: LockError| Failure {
        kind: Kind::Api(ErrorKind::Locked),
        text: error.to_string(),
        message: None,
    })
}

/// Runs what takes long off the threads that wait for signals.
///
/// # Errors
/// If it did not come to its end.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| NodeError::Stopped.into())
}
