//! Starts the background process that carries a network.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use ostrakon_netsim::netns::READY;

use super::arguments::Up;
use super::failure::Failure;

/// The file of this program.
pub(super) fn own_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| {
        Failure::new(format!(
            "cannot find this program's own file: {error}; see whether /proc is mounted"
        ))
    })
}

/// Starts a carrier and returns when the network is ready. If `attached`, it ends with the child's standard input.
pub(super) fn launch(up: &Up, attached: bool) -> Result<Child, Failure> {
    let mut command = Command::new(own_program()?);
    command.arg("carry");
    if attached {
        command.arg("--attached").stdin(Stdio::piped());
    } else {
        command.stdin(Stdio::null());
    }
    command.args(up.words());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| Failure::new(format!("cannot start the carrier: {error}; try again")))?;
    let mut said = String::new();
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        let heard = output.read_line(&mut said);
        if heard.is_ok() && said.trim_end() == READY {
            return Ok(child);
        }
        // Nothing more to hear is as good as an end.
        let _rest = output.read_to_string(&mut said);
    }
    let ended = child.wait();
    if said.trim().is_empty() {
        let ended = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        said = format!(
            "the carrier of {0} ended before it was ready ({ended}): `netsim down {0}` removes what it left",
            up.name
        );
    }
    Err(Failure::new(said.trim()))
}
