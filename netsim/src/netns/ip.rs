//! Calls of `ip` from iproute2, which names namespaces and sets up devices.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

/// `ip` could not be called, or refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IpError {
    /// The program is not there.
    #[error("the program `ip` is missing: install iproute2")]
    Missing,
    /// The program could not be run.
    #[error("cannot run `ip {arguments}`: {source}; see whether `ip` works by itself")]
    Run {
        /// Its arguments.
        arguments: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program refused.
    #[error("`ip {arguments}` failed: {message}; see whether it works by itself, as root")]
    Refused {
        /// Its arguments.
        arguments: String,
        /// What it said.
        message: String,
    },
}

/// Runs `ip` with these arguments and returns what it printed.
pub(super) fn ip(arguments: &[&str]) -> Result<String, IpError> {
    let child = spawn(arguments)?;
    finish(arguments, child.wait_with_output())
}

/// Runs commands of `ip`, one a line, in a namespace. The first that fails ends it.
pub(super) fn ip_batch(namespace: &str, commands: &str) -> Result<(), IpError> {
    let arguments = ["-n", namespace, "-batch", "-"];
    let mut child = spawn(&arguments)?;
    let written = match child.stdin.take() {
        Some(mut input) => input.write_all(commands.as_bytes()),
        None => Ok(()),
    };
    let output = child.wait_with_output();
    finish(&arguments, output)?;
    written.map_err(|source| run_error(&arguments, source))
}

fn spawn(arguments: &[&str]) -> Result<std::process::Child, IpError> {
    Command::new("ip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| run_error(arguments, source))
}

fn finish(arguments: &[&str], output: io::Result<Output>) -> Result<String, IpError> {
    let output = output.map_err(|source| run_error(arguments, source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(IpError::Refused {
        arguments: arguments.join(" "),
        message: said.trim().replace('\n', "; "),
    })
}

fn run_error(arguments: &[&str], source: io::Error) -> IpError {
    if source.kind() == io::ErrorKind::NotFound {
        return IpError::Missing;
    }
    IpError::Run {
        arguments: arguments.join(" "),
        source,
    }
}
