//! What went wrong, and what is printed.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// What went wrong, and what to do.
#[derive(Debug)]
pub(super) struct Failure {
    said: String,
    status: u8,
}

impl Failure {
    pub(super) fn new(said: impl Into<String>) -> Self {
        let said = said.into();
        Self { said, status: 1 }
    }

    /// With another exit status than 1.
    pub(super) fn status(self, status: u8) -> Self {
        Self { status, ..self }
    }

    /// With more to say; nothing if nobody is to hear of it.
    pub(super) fn and(self, more: &str) -> Self {
        match self.said.is_empty() {
            true => self,
            false => Self {
                said: self.said + more,
                ..self
            },
        }
    }

    /// Says it, and gives the exit status.
    pub(super) fn end(&self) -> ExitCode {
        if !self.said.is_empty() {
            complain(format_args!("netsim: {self}"));
        }
        ExitCode::from(self.status)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

/// Prints a line to the standard output.
///
/// # Errors
///
/// If it cannot be written. A reader that has gone is an end without a word, and no failure.
pub(super) fn say(line: fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let said = writeln!(out, "{line}").and_then(|()| out.flush());
    said.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::new("").status(0),
        _ => Failure::new(format!(
            "cannot write to the standard output: {error}; send it where there is room"
        )),
    })
}

/// Prints a line to the standard error. Where that cannot be, there is nobody left to tell.
pub(super) fn complain(line: fmt::Arguments<'_>) {
    let _told = writeln!(io::stderr(), "{line}");
}
