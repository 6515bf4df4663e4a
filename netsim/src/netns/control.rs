//! Orders to a network that is up: one line of JSON there, one line back, over a socket in the network's folder.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::names::NetworkName;
use super::report::NetworkReport;
use super::state::{control_path, lives};

/// How long either side waits for the other. Ending a network takes a call of `ip` for each host.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest line that is read.
const LONGEST_LINE: u64 = 1 << 20;

/// What a network is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Tell how the links do.
    Report,
    /// Change the links' properties (`KEY=VALUE`), of one link or of all.
    Set {
        /// The link's name; all if absent.
        link: Option<String>,
        /// The changes.
        changes: Vec<String>,
    },
    /// Cut links, or restore them.
    Cut {
        /// The link's name; all if absent.
        link: Option<String>,
        /// Whether they are to be cut.
        down: bool,
    },
    /// End, and remove everything.
    End,
}

/// What a network answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// How the links do.
    Report(NetworkReport),
    /// It is done.
    Done,
    /// It cannot be done, and why.
    Refused(String),
}

/// An order could not be given or was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The network's carrier cannot be reached.
    #[error(
        "the process that carries {name} does not answer ({source}): end it by `kill {pid}`, then `netsim down {name}`"
    )]
    Silent {
        /// The network.
        name: NetworkName,
        /// Its carrier.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The network's carrier ended before it could be asked.
    #[error("{0} has ended meanwhile: see `netsim list`")]
    Ended(NetworkName),
    /// The network's carrier said no.
    #[error("{0}")]
    Refused(String),
}

/// Gives a network that is carried by process `pid` an order.
///
/// # Errors
///
/// [`OrderError::Silent`] if it does not answer within 20 seconds, [`OrderError::Refused`] with its reason.
pub fn order(name: &NetworkName, pid: u32, order: &Order) -> Result<Answer, OrderError> {
    let asked = UnixStream::connect(control_path(name)).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        send(&mut stream, order)?;
        receive::<Answer>(&mut stream)
    });
    match asked {
        Ok(Answer::Refused(why)) => Err(OrderError::Refused(why)),
        Ok(answer) => Ok(answer),
        Err(source) => Err(OrderError::Silent {
            name: name.clone(),
            pid,
            source,
        }),
    }
}

/// Ends a network that is carried by process `pid`, and waits until that process is gone.
///
/// # Errors
///
/// As [`order`]; [`OrderError::Ended`] if the process has ended or ends without having heard of this order.
pub fn end(name: &NetworkName, pid: u32) -> Result<(), OrderError> {
    // Taken before the order, so that it is the carrier's and no later process's.
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let process = process.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let ordered = order(name, pid, &Order::End);
    let unheard = match &ordered {
        Ok(_) => false,
        // It has been waited for already.
        Err(OrderError::Silent { source, .. }) if !is_timeout(source) => true,
        Err(_) => return ordered.map(|_done| ()),
    };
    // Once it has answered everything is removed, and that it also exits is for tidiness.
    if let Some(process) = process {
        let patience = Timespec::try_from(PATIENCE).ok();
        let _gone = poll(
            &mut [PollFd::new(&process, PollFlags::IN)],
            patience.as_ref(),
        );
    }
    if unheard && !lives(pid) {
        return Err(OrderError::Ended(name.clone()));
    }
    ordered.map(|_done| ())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Reads an order from a stream just accepted.
pub(super) fn take_order(stream: &mut UnixStream) -> io::Result<Order> {
    // Whoever connects and says nothing holds up all others.
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    receive(stream)
}

/// Answers an order.
pub(super) fn answer(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    send(stream, answer)
}

fn send(stream: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn receive<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<T> {
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_LINE)).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&line)?)
}
