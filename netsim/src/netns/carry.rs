//! The process that carries a network: it makes everything, waits for orders, and removes everything.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};

use super::control::{Answer, Order, answer, take_order};
use super::hurry::hurry_session;
use super::network::{Network, NetworkError};
use super::plan::Plan;
use super::state::{Claim, control_path};

/// What the carrier prints when the network is up.
pub const READY: &str = "ready";

/// Carries a network until an order or a signal ends it.
///
/// It is meant for a process of its own, which puts itself into a session of its own. It prints [`READY`] when the network
/// is up; from then on what it prints goes to the log in the network's folder. If `attached`, it also ends when its
/// standard input does, so that it cannot outlive whoever started it.
///
/// # Errors
///
/// If the network could not be made; then nothing is left of it.
pub fn carry(plan: Plan, attached: bool) -> Result<(), NetworkError> {
    plan.validate()?;
    // It fails only for the leader of a process group, who has a terminal's attention because that was wanted.
    let _session = rustix::process::setsid();
    hurry_session();
    // Before there are other threads: they all inherit the mask.
    let signals = signals().map_err(system("asking for signals"))?;
    let name = plan.name.clone();
    let claim = Claim::take(&name)?;
    let started = start(plan, &claim);
    let (mut network, listener) = match started {
        Ok(started) => started,
        Err(error) => {
            claim.release()?;
            return Err(error);
        }
    };
    note(format_args!("{name} is up"));
    let asked = serve(&mut network, &listener, &signals, attached);
    drop(network);
    let released = claim.release();
    if let Ok(Some(mut stream)) = asked {
        let said = match &released {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Refused(error.to_string()),
        };
        // Whoever asked may be gone.
        let _told = answer(&mut stream, &said);
    }
    released?;
    Ok(())
}

fn start(plan: Plan, claim: &Claim) -> Result<(Network, UnixListener), NetworkError> {
    let log = claim.create_log()?;
    let control = control_path(&plan.name);
    let network = Network::start(plan, claim)?;
    let listener = UnixListener::bind(control).map_err(system("opening the control socket"))?;
    listener
        .set_nonblocking(true)
        .map_err(system("opening the control socket"))?;
    std::env::set_current_dir("/").map_err(system("leaving the working directory"))?;
    writeln!(io::stdout(), "{READY}").map_err(system("saying that the network is up"))?;
    rustix::stdio::dup2_stdout(&log)
        .and_then(|()| rustix::stdio::dup2_stderr(&log))
        .map_err(|error| system("turning to the log")(error.into()))?;
    Ok((network, listener))
}

/// Serves orders until one, a signal or the end of the input ends it. Returns the stream of whoever ordered the end.
fn serve(
    network: &mut Network,
    listener: &UnixListener,
    signals: &SignalFd,
    attached: bool,
) -> io::Result<Option<std::os::unix::net::UnixStream>> {
    let input = io::stdin();
    loop {
        let mut sources = vec![
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        if attached {
            sources.push(PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN));
        }
        match poll(&mut sources, None) {
            Ok(_) => {}
            // A process that was stopped and goes on.
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut ready = sources.iter().map(|source| !source.revents().is_empty());
        let ordered = ready.next().unwrap_or_default();
        if ready.any(|ready| ready) {
            note(format_args!(
                "ending, by a signal or because whoever started this is gone"
            ));
            return Ok(None);
        }
        if !ordered {
            continue;
        }
        let Ok((mut stream, _)) = listener.accept() else {
            // Out of descriptors, or whoever connected is gone again. Not too often.
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        let order = match stream
            .set_nonblocking(false)
            .and_then(|()| take_order(&mut stream))
        {
            Ok(Order::End) => return Ok(Some(stream)),
            Ok(order) => order,
            Err(error) => {
                note(format_args!("an order that could not be read: {error}"));
                continue;
            }
        };
        // Whoever asked may be gone.
        let _told = answer(&mut stream, &obey(network, &order));
    }
}

fn obey(network: &mut Network, order: &Order) -> Answer {
    let done = match order {
        Order::Report => return Answer::Report(network.report()),
        Order::Set { link, changes } => network.set(link.as_deref(), changes),
        Order::Cut { link, down } => network.cut(link.as_deref(), *down),
        // Handled where orders are read.
        Order::End => Ok(()),
    };
    match done {
        Ok(()) => {
            note(format_args!("done: {order:?}"));
            Answer::Done
        }
        Err(error) => Answer::Refused(error.to_string()),
    }
}

/// Blocks the signals that ask a program to end, and returns where they are read instead.
fn signals() -> io::Result<SignalFd> {
    let mut asked = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        asked.add(signal);
    }
    asked.thread_block()?;
    Ok(SignalFd::with_flags(&asked, SfdFlags::SFD_CLOEXEC)?)
}

/// Writes a line to the log. That the log is full ends no network.
pub(super) fn note(line: fmt::Arguments<'_>) {
    let _noted = writeln!(io::stderr(), "{line}");
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> NetworkError {
    move |source| NetworkError::System { what, source }
}
