//! Lines that are typed at the terminal: some must not show.

use crate::failure::{Failure, Kind, Outcome};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Write, stderr, stdin};
use zeroize::Zeroizing;

/// As much as a terminal gives in one line, in bytes.
const LINE: usize = 4096;

/// Whether somebody sits there who can be asked.
pub fn is_there() -> bool {
    stdin().is_terminal()
}

/// Asks for a line at the terminal.
///
/// # Errors
/// Ctrl-C, Ctrl-D, or a terminal that does not do as it should.
pub async fn hidden_line(question: &str) -> Outcome<Zeroizing<Vec<u8>>> {
    let _quiet = Quiet::begin().map_err(|error| unusable(error.into()))?;
    let typed = typed(question).await;
    // The end of the line did not show either.
    writeln!(stderr()).map_err(unusable)?;
    typed
}

/// The same for a line that shows while it is typed.
///
/// # Errors
/// As [`hidden_line`].
pub async fn line(question: &str) -> Outcome<String> {
    let typed = typed(question).await?;
    Ok(String::from_utf8_lossy(&typed).into_owned())
}

async fn typed(question: &str) -> Outcome<Zeroizing<Vec<u8>>> {
    write!(stderr(), "{question}: ").map_err(unusable)?;
    let typed = tokio::select! {
        typed = tokio::task::spawn_blocking(read) => typed,
        _ = tokio::signal::ctrl_c() => return Err(stopped()),
    };
    match typed {
        Ok(Ok(line)) if line.is_empty() => Err(stopped()),
        Ok(line) => line.map_err(|error| unusable(error.into())),
        Err(_) => Err(stopped()),
    }
}

/// Past the buffer of the standard library, which is not wiped.
fn read() -> rustix::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; LINE]);
    let len = rustix::io::retry_on_intr(|| rustix::io::read(stdin(), &mut bytes[..]))?;
    bytes.truncate(len);
    Ok(bytes)
}

/// The terminal shows nothing of what is typed until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> rustix::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Now, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _gone = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

fn unusable(error: std::io::Error) -> Failure {
    let what = format!("cannot ask at the terminal: {error}");
    Failure::new(
        Kind::Other,
        what,
        "say it in the arguments: --passphrase-file FILE for a passphrase, --number DIGITS for a safety number",
    )
}

fn stopped() -> Failure {
    Failure {
        kind: Kind::Interrupted,
        text: "stopped".into(),
        message: None,
    }
}
