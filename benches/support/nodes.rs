//! A file from one node to another over loopback, each a process as a user runs it.

use super::process::{cpu, peak_mib};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a transfer took.
pub struct Taken {
    /// From the order to send until the receipt was there.
    pub wall: Duration,
    /// The same from when the node had taken the file: it was in the home, durably.
    pub accepted: Duration,
    /// Processor time of both nodes and of the order to send.
    pub cpu: Duration,
    /// The most memory resident, in MiB: sender, recipient.
    pub peak_mib: [f64; 2],
}

/// A node, ended with the value.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a file between two new homes in `dir`.
pub fn run(dir: &Path, file: &Path) -> Taken {
    let [amina, bo] = ["amina", "bo"].map(|name| dir.join(name));
    for (home, name) in [(&amina, "amina"), (&bo, "bo")] {
        order(home, &["init", "--name", name]);
        order(
            home,
            &["card", "--out", &text(&dir.join(format!("{name}.card")))],
        );
    }
    for (home, other) in [(&amina, "bo"), (&bo, "amina")] {
        order(
            home,
            &["person", "add", &text(&dir.join(format!("{other}.card")))],
        );
    }
    let (recipient, listens) = node(&bo, "127.0.0.1:0");
    let uri = format!("quic://{}", listens["addr"].as_str().unwrap());
    order(&amina, &["link", "add", "loop", &uri, "--person", "bo"]);
    let (sender, _) = node(&amina, "none");
    while !is_up(&amina) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let pids = [sender.0.id(), recipient.0.id()];
    let before: Duration = pids.map(cpu).iter().sum();
    let begun = Instant::now();
    let mut send = command(&amina, &["send", "bo", "--file", &text(file), "--wait"])
        .spawn()
        .unwrap();
    let ours = send.id();
    // What has ended tells nothing any more, unless it is not waited for yet.
    let lines = BufReader::new(send.stdout.take().unwrap()).lines();
    let told: Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
    let wall = begun.elapsed();
    let taking = Duration::from_millis(told["accepted_ms"].as_u64().unwrap());
    let asked = cpu(ours);
    assert!(send.wait().unwrap().success(), "not delivered");
    let after: Duration = pids.map(cpu).iter().sum();
    Taken {
        wall,
        accepted: wall - taking,
        cpu: after - before + asked,
        peak_mib: pids.map(peak_mib),
    }
}

fn is_up(home: &Path) -> bool {
    let status = order(home, &["status"]);
    let links = status["links"].as_array().unwrap();
    links.iter().any(|link| link["up"] == true)
}

fn node(home: &Path, listen: &str) -> (Node, Value) {
    let mut child = command(home, &["node", "--listen", listen])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    (Node(child), first)
}

fn order(home: &Path, args: &[&str]) -> Value {
    let output = command(home, args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ostrakon"));
    command.arg("--home").arg(home).arg("--json").args(args);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
