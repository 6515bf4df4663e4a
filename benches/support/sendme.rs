//! sendme (iroh), which brings a file from one process to another over QUIC streams, if it is installed.

use super::process::cpu;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One end, ended with the value.
struct End(Child);

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Brings a file into `dir`: the time from the order to send until the other side has it, and the processor time of both.
pub fn run(dir: &Path, file: &Path) -> Option<(Duration, Duration)> {
    let [from, to] = ["sendme-from", "sendme-to"].map(|name| dir.join(name));
    for dir in [&from, &to] {
        std::fs::create_dir(dir).unwrap();
    }
    let begun = Instant::now();
    let name = file.to_str().unwrap();
    let mut sender = start(&from, &["send", name, "--ticket-type", "addresses"])?;
    let mut lines = BufReader::new(sender.0.stdout.take().unwrap()).lines();
    let ticket =
        lines.find_map(|line| Some(line.unwrap().strip_prefix("sendme receive ")?.to_owned()));
    std::thread::spawn(move || lines.for_each(drop));
    let mut receiver = start(&to, &["receive", &ticket.expect("sendme gives a ticket")])?;
    BufReader::new(receiver.0.stdout.take().unwrap())
        .lines()
        .for_each(drop);
    let wall = begun.elapsed();
    let taken = cpu(receiver.0.id()) + cpu(sender.0.id());
    assert!(
        receiver.0.wait().unwrap().success(),
        "sendme did not receive"
    );
    Some((wall, taken))
}

fn start(dir: &Path, args: &[&str]) -> Option<End> {
    let mut command = Command::new("sendme");
    command
        .args(args)
        .args(["--no-progress", "--relay", "disabled"])
        .current_dir(dir);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.spawn().ok().map(End)
}
