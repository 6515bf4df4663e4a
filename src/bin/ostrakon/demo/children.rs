//! The processes of the demo: this very program, started again.

use crate::failure::{Failure, Kind, Outcome};
use serde_json::Value;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long a process may take to do one thing, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a process may take to end in order, before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// Whose commands these are: a home, and where they log.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The name, also of the home's folder.
    pub name: &'static str,
    /// The home.
    pub home: PathBuf,
    log: PathBuf,
}

impl Actor {
    /// Somebody whose home is below `dir`.
    pub fn new(dir: &Path, name: &'static str) -> Self {
        Self {
            name,
            home: dir.join(name),
            log: dir.join(format!("{name}.log")),
        }
    }

    fn command(&self, args: &[&str]) -> Outcome<Command> {
        let failed = |error: std::io::Error| self.failed(args, &error.to_string());
        let program = std::env::current_exe().map_err(failed)?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(failed)?;
        let mut command = Command::new(program);
        command
            .arg("--home")
            .arg(&self.home)
            .arg("--json")
            .args(args);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        Ok(command)
    }

    /// Runs one command to its end and returns the object that it printed.
    ///
    /// # Errors
    /// If it failed, with its own words.
    pub async fn run(&self, args: &[&str]) -> Outcome<Value> {
        let output = self.command(args)?.output();
        let output = match tokio::time::timeout(PATIENCE, output).await {
            Ok(output) => output.map_err(|error| self.failed(args, &error.to_string()))?,
            Err(_) => return Err(self.failed(args, "it takes too long")),
        };
        let answer: Value = output
            .stdout
            .split(|byte| *byte == b'\n')
            .rfind(|line| !line.is_empty())
            .and_then(|line| serde_json::from_slice(line).ok())
            .unwrap_or(Value::Null);
        if output.status.success() {
            return Ok(answer);
        }
        let why = answer.pointer("/error/text").and_then(Value::as_str);
        Err(self.failed(args, why.unwrap_or("it gave no reason")))
    }

    /// Starts a command that runs until it is ended, and waits for the event with which it says that it listens.
    ///
    /// # Errors
    /// If it ends or says nothing.
    pub async fn start(&self, args: &[&str]) -> Outcome<(Running, Value)> {
        // It ends with the pipe, so with this process, even if that is killed.
        let mut child = self
            .command(args)?
            .arg("--end-with-stdin")
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| self.failed(args, &error.to_string()))?;
        let (Some(pid), Some(stdout)) = (child.id(), child.stdout.take()) else {
            return Err(self.failed(args, "it ended at once"));
        };
        let running = Running {
            name: self.name,
            pid,
            child,
        };
        let mut lines = BufReader::new(stdout).lines();
        let event = match tokio::time::timeout(PATIENCE, listening(&mut lines)).await {
            Ok(Some(event)) => event,
            Ok(None) => return Err(self.failed(args, "it ended before it listened")),
            Err(_) => return Err(self.failed(args, "it does not come up")),
        };
        // Read on, so that it never has to wait for us.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok((running, event))
    }

    fn failed(&self, args: &[&str], why: &str) -> Failure {
        let what = format!("{}: ostrakon {}: {why}", self.name, args.join(" "));
        Failure::new(
            Kind::Other,
            what,
            "run the demo with --keep and read the logs in its folder",
        )
    }
}

/// A process that runs until it is ended. It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    /// Its process id.
    pub pid: u32,
    child: Child,
}

/// The event with which a process says that it listens; `None` if it ended before.
async fn listening(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<Value> {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(event) = serde_json::from_str::<Value>(&line)
            && event["event"] == "listening"
        {
            return Some(event);
        }
    }
    None
}

impl Running {
    /// Kills it as a power cut would: SIGKILL, no time for last words.
    ///
    /// # Errors
    /// If the system does not let us.
    pub async fn kill(mut self) -> Outcome<ExitStatus> {
        let killed = match self.child.start_kill() {
            Ok(()) => self.child.wait().await,
            Err(error) => Err(error),
        };
        killed.map_err(|error| {
            let what = format!("cannot kill {} (process {}): {error}", self.name, self.pid);
            Failure::new(
                Kind::Other,
                what,
                "end that process by hand and run the demo again",
            )
        })
    }

    /// Ends it in order, or by force if it does not listen.
    pub async fn end(mut self) {
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        // Only while we have not waited for it is the number surely still its own.
        if let (Some(pid), Ok(None)) = (pid, self.child.try_wait()) {
            let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(GRACE, self.child.wait())
            .await
            .is_err()
        {
            let _gone_already = self.child.kill().await;
        }
    }
}
