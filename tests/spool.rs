//! The same message by a network and by a folder that somebody carries.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ostrakon_netsim::emulate::UdpPath;
use ostrakon_netsim::model::LinkSpec;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The length of the file.
const FILE_BYTES: usize = 3_000_000;
/// What the network carries each way: the file takes 6 s.
const RATE_BPS: u64 = 4_000_000;
/// Its delay, each way.
const DELAY: Duration = Duration::from_millis(10);
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one command may take, and the start of a node.
const COMMAND: Duration = Duration::from_secs(60);
/// How often a node is asked.
const EVERY: Duration = Duration::from_millis(50);

/// A message that comes by QUIC and, copied in the middle of the transfer, by a spool folder is delivered once and whole.
///
/// Guards this property: whatever share comes by which way, before or after a crash, once or twice, the message is
/// delivered exactly once, its content is the sender's, and the sender learns of it. The recipient is killed with 30 % in
/// hand and the network cut; then it takes in the copied folder twice, and only then is the network there again.
///
/// Repeat with `cargo test --test spool -- --nocapture`, which prints what either way brought. What the folder holds
/// when it is copied is up to the machine: run it several times. After a failure the folder with both homes, both
/// spools and logs is kept, and named.
#[test]
fn a_folder_copied_in_mid_transfer_delivers_nothing_twice() {
    let mut dir = tempfile::Builder::new()
        .prefix("ostrakon-spool-")
        .tempdir()
        .unwrap();
    println!("homes, spools and logs: {}", dir.path().display());
    dir.disable_cleanup(true);
    run(dir.path());
    // Only reached if nothing failed.
    dir.disable_cleanup(false);
}

fn run(dir: &Path) {
    let until = Instant::now() + PATIENCE;
    let [amina, bo] = ["amina", "bo"].map(|name| Actor::new(dir, name, until));
    for (who, to) in [(&amina, &bo), (&bo, &amina)] {
        let card = dir.join(format!("{}.card", who.name));
        who.run(&["card", "--out", text(&card)]);
        to.run(&["person", "add", text(&card)]);
    }
    let (content, digest) = content(dir);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let mut recipient = bo.start("127.0.0.1:0");
    let address = recipient.address.unwrap();
    let spec = LinkSpec::new().rate_bps(RATE_BPS).delay(DELAY).mtu(1500);
    let any = "127.0.0.1:0".parse().unwrap();
    let path = UdpPath::spawn(any, address, &spec, &spec, 7).unwrap();
    let [written, carried] = ["written", "carried"].map(|name| dir.join(name));
    std::fs::create_dir(&written).unwrap();
    let uri = format!("quic://{}", path.local_addr());
    amina.run(&["link", "add", "network", &uri, "--person", "bo"]);
    let uri = format!("spool:{}", written.display());
    amina.run(&["link", "add", "folder", &uri]);
    let _sender = amina.start("none");

    let queued = amina.run(&["send", "bo", "--file", text(&content)]);
    let message = queued["message"].as_str().unwrap();
    bo.wait(&["status"], "it holds 30 %", |status| {
        held(status) >= FILE_BYTES as u64 * 3 / 10
    });
    copy(&written, &carried);
    path.cut();
    let before = bo.run(&["status"]);
    let here = held(&before);
    assert!(here < FILE_BYTES as u64, "over too soon: {before:#}");
    recipient.kill();
    recipient = bo.start(&address.to_string());
    for time in ["first", "second"] {
        let imported = bo.run(&["spool", "import", text(&carried)]);
        println!("{here} bytes by the network before; {time} import: {imported}");
        assert_ne!(imported["frames"], 0, "{imported}");
        assert_eq!(imported["damaged"], 0, "{imported}");
    }
    path.restore();
    bo.wait(&["inbox"], "it is delivered", |inbox| {
        inbox["messages"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["complete"] == true)
    });
    amina.wait(&["status"], "the receipt comes", |status| {
        status["outbound"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["message"] == message && entry["complete"] == true)
    });
    // Nothing of what was carried delivers it again afterwards.
    bo.run(&["spool", "import", text(&carried)]);
    bo.assert_delivered_once(message, &digest, dir);
    recipient.kill();
    recipient = bo.start(&address.to_string());
    bo.run(&["spool", "import", text(&carried)]);
    bo.assert_delivered_once(message, &digest, dir);
    drop(recipient);
}

/// Writes the file to send; returns where it is and its digest.
fn content(dir: &Path) -> (PathBuf, blake3::Hash) {
    let mut bytes = vec![0; FILE_BYTES];
    blake3::Hasher::new_derive_key("ostrakon tests/spool.rs")
        .finalize_xof()
        .fill(&mut bytes);
    let path = dir.join("content.bin");
    std::fs::write(&path, &bytes).unwrap();
    (path, blake3::hash(&bytes))
}

/// Bytes that the recipient holds of what is arriving.
fn held(status: &Value) -> u64 {
    let messages = status["inbound"].as_array().unwrap();
    messages
        .iter()
        .flat_map(|entry| entry["parts"].as_array().unwrap())
        .map(|part| part["held_bytes"].as_u64().unwrap())
        .sum()
}

/// Copies what is in a folder, as a courier does who does not care what is being written just now.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match std::fs::copy(entry.path(), to.join(entry.file_name())) {
            Ok(_) => {}
            // Finished and renamed since.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => panic!("{}: {error}", entry.path().display()),
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Somebody with a home and a log.
struct Actor {
    name: &'static str,
    home: PathBuf,
    log: PathBuf,
    until: Instant,
}

impl Actor {
    fn new(dir: &Path, name: &'static str, until: Instant) -> Self {
        let actor = Self {
            name,
            home: dir.join(name),
            log: dir.join(format!("{name}.log")),
            until,
        };
        actor.run(&["init", "--name", name]);
        actor
    }

    fn spawn(&self, args: &[&str]) -> Running {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ostrakon"))
            .arg("--home")
            .arg(&self.home)
            .arg("--json")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        Running {
            child,
            address: None,
        }
    }

    /// Runs one command to its end and returns the object that it printed.
    fn run(&self, args: &[&str]) -> Value {
        let mut running = self.spawn(args);
        let mut stdout = running.child.stdout.take().unwrap();
        let (said, hear) = mpsc::channel();
        std::thread::spawn(move || {
            let mut all = String::new();
            let _ = said.send(stdout.read_to_string(&mut all).map(|_| all));
        });
        let stdout = hear
            .recv_timeout(COMMAND)
            .unwrap_or_else(|_| panic!("{} {args:?} takes too long", self.name))
            .unwrap();
        let status = running.child.wait().unwrap();
        assert!(status.success(), "{} {args:?}: {stdout}", self.name);
        serde_json::from_str(stdout.trim()).unwrap()
    }

    /// Asks again and again until the answer fits.
    fn wait(&self, args: &[&str], what: &str, done: impl Fn(&Value) -> bool) {
        loop {
            let answer = self.run(args);
            if done(&answer) {
                return;
            }
            assert!(
                Instant::now() < self.until,
                "too late until {what}: {answer:#}"
            );
            std::thread::sleep(EVERY);
        }
    }

    /// Starts the node and waits until it listens.
    fn start(&self, listen: &str) -> Running {
        let mut running = self.spawn(&["node", "--listen", listen]);
        let lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
        let (said, hear) = mpsc::channel();
        // Reads on until the node ends, so that it never has to wait for us.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        loop {
            let line = hear
                .recv_timeout(COMMAND)
                .unwrap_or_else(|_| panic!("the node of {} does not come up", self.name));
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == "listening" {
                running.address = event["addr"].as_str().and_then(|addr| addr.parse().ok());
                return running;
            }
        }
    }

    fn assert_delivered_once(&self, message: &str, digest: &blake3::Hash, dir: &Path) {
        let inbox = self.run(&["inbox"]);
        let messages = inbox["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 1, "{inbox:#}");
        assert_eq!(messages[0]["message"], message);
        assert_eq!(messages[0]["deliveries"], 1, "{inbox:#}");
        let saved = self.run(&["save", message, text(&dir.join("saved"))]);
        let files = saved["files"].as_array().unwrap();
        assert_eq!(files.len(), 1, "{saved:#}");
        let bytes = std::fs::read(files[0].as_str().unwrap()).unwrap();
        assert_eq!(blake3::hash(&bytes), *digest, "the file is another");
    }
}

/// A process. It is killed when this is dropped, also by a test that fails.
struct Running {
    child: Child,
    /// Where it listens.
    address: Option<SocketAddr>,
}

impl Running {
    /// As a power cut would: SIGKILL, no time for last words. The process is gone when this returns.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Does nothing to a process that was waited for.
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
    }
}
