//! Secret keys under a passphrase, as people and scripts meet it.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ostrakon::engine::io::Table;
use ostrakon::node::Home;
use ostrakon::security::lockbox::Passphrase;
use ostrakon::store::Store;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

const LOCKED: Option<i32> = Some(9);
const IN_USE: Option<i32> = Some(4);
const FIRST: &str = "correct horse";
const SECOND: &str = "battery staple";

/// Somebody with a home and files with passphrases.
struct Person {
    dir: tempfile::TempDir,
}

impl Person {
    fn nobody() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, words) in [("first", FIRST), ("second", SECOND), ("empty", "")] {
            fs::write(dir.path().join(name), format!("{words}\n")).unwrap();
        }
        Self { dir }
    }

    /// With keys under [`FIRST`].
    fn locked() -> Self {
        Self::locked_as("Amina")
    }

    fn locked_as(name: &str) -> Self {
        let person = Self::nobody();
        let made = person.json(&["init", "--name", name], Some("first"));
        assert_eq!(made["passphrase"], true);
        person
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn keys(&self) -> Vec<u8> {
        fs::read(self.file("home/keys")).unwrap()
    }

    fn command(&self, args: &[&str], passphrase: Option<&str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ostrakon"));
        command
            .env_remove("OSTRAKON_LOG")
            .env_remove("OSTRAKON_PASSPHRASE_FILE")
            .env("OSTRAKON_HOME", self.file("home"))
            .stdin(Stdio::null())
            .args(args);
        if let Some(file) = passphrase {
            command.arg("--passphrase-file").arg(self.file(file));
        }
        command
    }

    fn run(&self, args: &[&str], passphrase: Option<&str>) -> Output {
        self.command(args, passphrase).output().unwrap()
    }

    /// Expects success, and returns the one object on standard output.
    fn json(&self, args: &[&str], passphrase: Option<&str>) -> Value {
        let output = self.run(&[args, &["--json"]].concat(), passphrase);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Expects this exit code, and returns what is said.
    fn fails(&self, code: Option<i32>, args: &[&str], passphrase: Option<&str>) -> String {
        let output = self.run(args, passphrase);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), code, "{args:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{args:?}");
        for words in [FIRST, SECOND] {
            assert!(!stderr.contains(words), "a passphrase is shown: {stderr}");
        }
        stderr
    }

    fn set(&self, old: Option<&str>, new: &str) -> Value {
        let new = self.file(new);
        let args = ["passphrase", "set", "--new-passphrase-file"];
        self.json(&[&args[..], &[new.to_str().unwrap()]].concat(), old)
    }

    /// Starts a node or a relay, and waits until it listens.
    fn start(&self, what: &str, passphrase: Option<&str>) -> Running {
        let args = [what, "--listen", "127.0.0.1:0", "--json"];
        let mut child = self
            .command(&args, passphrase)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["event"], "listening");
        Running {
            child,
            event,
            _stdout: stdout,
        }
    }
}

/// A program that runs, killed when this is dropped.
struct Running {
    child: Child,
    event: Value,
    /// A node ends when nobody can read what it says.
    _stdout: BufReader<ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _waited_already = self.child.wait();
    }
}

/// Keys under a passphrase are never in the clear on the disk, and open with it from the option or the environment.
/// Without it, or with another, a command that needs them says so and ends with an exit code of its own.
#[test]
fn locked_keys_open_with_their_passphrase_alone() {
    let amina = Person::locked();
    assert!(amina.keys().starts_with(b"OSTL"));
    let said = amina.fails(LOCKED, &["inbox"], None);
    assert!(said.contains("--passphrase-file"), "{said}");
    let said = amina.fails(LOCKED, &["inbox"], Some("second"));
    assert!(said.contains("wrong"), "{said}");
    amina.fails(LOCKED, &["inbox"], Some("empty"));
    amina.fails(LOCKED, &["inbox"], Some("missing"));
    amina.fails(LOCKED, &["node", "--listen", "none"], Some("second"));
    amina.fails(LOCKED, &["node", "--listen", "none"], None);
    let inbox = amina.json(&["inbox"], Some("first"));
    let by_environment = amina
        .command(&["inbox", "--json"], None)
        .env("OSTRAKON_PASSPHRASE_FILE", amina.file("first"))
        .output()
        .unwrap();
    let by_environment: Value = serde_json::from_slice(&by_environment.stdout).unwrap();
    assert_eq!(by_environment, inbox);
    let refused = amina.run(&["inbox", "--json"], Some("second"));
    let refused: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(refused["error"]["kind"], "locked");
}

/// Cards, people and links are sealed like all that is stored, so showing them takes the passphrase too.
#[test]
fn what_is_only_looked_up_needs_the_passphrase() {
    let amina = Person::locked();
    amina.json(&["link", "add", "stick", "spool:/tmp"], Some("first"));
    for args in [
        &["card"][..],
        &["link", "list"],
        &["person", "list"],
        &["person", "show", "bo"],
        &["status"],
    ] {
        amina.fails(LOCKED, args, None);
    }
    let links = amina.json(&["link", "list"], Some("first"));
    assert_eq!(links["links"][0]["name"], "stick");
    amina.fails(Some(3), &["person", "show", "bo"], Some("first"));
}

/// Who has the database of a locked home has no secret of a session and no word of a text under way. Keys of rows are in
/// the clear, so the search would find what was not sealed.
#[test]
fn a_stolen_store_under_a_passphrase_holds_no_secret_of_a_session() {
    let (amina, bo) = (Person::locked(), Person::nobody());
    bo.json(&["init", "--name", "Bo", "--no-passphrase"], None);
    let card = bo.json(&["card"], None);
    let file = amina.file("card");
    fs::write(&file, card["text"].as_str().unwrap()).unwrap();
    amina.json(&["person", "add", file.to_str().unwrap()], Some("first"));
    let text = "the bridge at Kasai is gone";
    amina.json(&["send", "Bo", "--text", text], Some("first"));

    let dir = amina.file("home");
    let mut home = Home::open(&dir).unwrap();
    let words = Passphrase::from_line(FIRST.as_bytes()).unwrap();
    home.unlock(&words).unwrap();
    let key = home.identity().unwrap().row_key();
    let (store, restored) = Store::open(&dir.join("store"), key).unwrap();
    drop(store);
    let state = fs::read(dir.join("store/state.redb")).unwrap();
    let mut sessions = 0;
    for (table, key, value) in &restored.rows {
        assert!(contains(&state, key), "a key of {table:?} is not found");
        if *table == Table::Session {
            sessions += 1;
            for part in value.chunks_exact(32) {
                assert!(!contains(&state, part), "found: {part:02x?}");
            }
        }
    }
    assert!(sessions > 0);
    let texts = |bytes: &[u8]| contains(bytes, text.as_bytes());
    assert!(restored.rows.iter().any(|(_, _, value)| texts(value)));
    assert!(!texts(&state));
}

/// Bulk files of homes under a passphrase show nothing of what they hold, neither while they wait to be sent nor in the
/// inbox; whoever opens the home gets them whole.
#[test]
fn bulk_files_of_locked_homes_are_sealed() {
    let (amina, bo) = (Person::locked(), Person::locked_as("Bo"));
    for (who, whom) in [(&amina, &bo), (&bo, &amina)] {
        let card = whom.json(&["card"], Some("first"));
        let file = who.file("card");
        fs::write(&file, card["text"].as_str().unwrap()).unwrap();
        who.json(&["person", "add", file.to_str().unwrap()], Some("first"));
    }
    let line = "the wells in the north are dry\n";
    let (file, content) = (amina.file("report.txt"), line.repeat(100));
    fs::write(&file, &content).unwrap();
    let send = ["send", "bo", "--file", file.to_str().unwrap()];
    let sent = amina.json(&send, Some("first"));
    assert_shows_nothing(&amina.file("home/store/payload"), line);
    let node = bo.start("node", Some("first"));
    let address = format!("quic://{}", node.event["addr"].as_str().unwrap());
    let link = ["link", "add", "net", &address, "--person", "bo"];
    amina.json(&link, Some("first"));
    let _sender = amina.start("node", Some("first"));
    let message = sent["message"].as_str().unwrap();
    let is_here = || {
        let inbox = bo.json(&["inbox"], None);
        let mut messages = inbox["messages"].as_array().unwrap().iter();
        messages.any(|entry| entry["message"] == message && entry["complete"] == true)
    };
    while !is_here() {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_shows_nothing(&bo.file("home/store/inbox"), line);
    let saved = bo.file("saved");
    bo.json(&["save", message, saved.to_str().unwrap()], None);
    let whole = fs::read(saved.join("report.txt")).unwrap();
    assert_eq!(whole, content.as_bytes());
}

/// There are files in this folder, and none has this text in it.
fn assert_shows_nothing(dir: &Path, text: &str) {
    let files: Vec<_> = fs::read_dir(dir).unwrap().collect();
    assert!(!files.is_empty());
    for file in files {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.is_empty() && !contains(&bytes, text.as_bytes()));
    }
}

/// Who asks a running node needs no passphrase, and nobody can change it under the node.
#[test]
fn a_running_node_answers_without_a_passphrase_and_keeps_its_own() {
    let amina = Person::locked();
    let before = amina.keys();
    let node = amina.start("node", Some("first"));
    for args in [&["card"][..], &["inbox"], &["person", "list"]] {
        amina.json(args, None);
    }
    let said = amina.fails(IN_USE, &["passphrase", "remove"], Some("first"));
    assert!(said.contains("stop that one first"), "{said}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", node.child.id()));
    if let Ok(limits) = limits {
        let core = limits.lines().find(|line| line.contains("core")).unwrap();
        let words: Vec<&str> = core.split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "core dumps are on: {core}");
    }
    drop(node);
    assert_eq!(amina.keys(), before);
}

/// A passphrase is set, changed and removed without touching who one is; only the one before opens the way.
#[test]
fn a_passphrase_is_set_changed_and_removed() {
    let amina = Person::nobody();
    let made = amina.json(&["init", "--name", "Amina"], None);
    assert_eq!(made["passphrase"], false);
    let clear = amina.keys();
    let card = amina.json(&["card"], None);
    amina.set(None, "first");
    assert!(!contains(&amina.keys(), &clear[5..37]));
    amina.json(&["inbox"], Some("first"));
    assert_eq!(amina.json(&["card"], Some("first")), card);
    let locked = amina.keys();
    amina.fails(LOCKED, &["passphrase", "remove"], None);
    amina.fails(LOCKED, &["passphrase", "remove"], Some("second"));
    amina.fails(Some(2), &["passphrase", "set"], Some("first"));
    assert_eq!(amina.keys(), locked);
    amina.set(Some("first"), "second");
    amina.fails(LOCKED, &["inbox"], Some("first"));
    amina.json(&["inbox"], Some("second"));
    assert_eq!(amina.json(&["card"], Some("second")), card);
    amina.json(&["passphrase", "remove"], Some("second"));
    assert_eq!(amina.keys(), clear);
    let mode = fs::metadata(amina.file("home/keys")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Killed at whatever moment of a change, the key file opens with the old passphrase or the new one, and the next
/// change succeeds. Half of the kills come as soon as the new file stands beside the old one.
#[test]
fn a_kill_during_a_change_leaves_keys_that_open() {
    let amina = Person::locked();
    let card = amina.json(&["card"], Some("first"));
    let (mut old, mut new) = ("first", "second");
    for round in 0..8u64 {
        let path = amina.file(new);
        let args = ["passphrase", "set", "--new-passphrase-file"];
        let args = [&args[..], &[path.to_str().unwrap()]].concat();
        let mut child = amina.command(&args, Some(old)).spawn().unwrap();
        let before = amina.keys();
        while round % 2 == 0 && child.try_wait().unwrap().is_none() {
            if amina.file("home/keys.new").exists() || amina.keys() != before {
                break;
            }
        }
        if round % 2 == 1 {
            std::thread::sleep(Duration::from_millis(round * 40));
        }
        let _ended_already = child.kill();
        child.wait().unwrap();
        if amina.keys() != before {
            std::mem::swap(&mut old, &mut new);
        }
        amina.json(&["inbox"], Some(old));
        assert_eq!(amina.json(&["card"], Some(old)), card, "round {round}");
        amina.fails(LOCKED, &["inbox"], Some(new));
    }
    amina.set(Some(old), new);
    assert!(!amina.file("home/keys.new").exists());
    amina.json(&["inbox"], Some(new));
    assert_eq!(amina.json(&["card"], Some(new)), card);
}

/// An `init` that was cut off can be done again with the passphrase of the keys that it left, and with no other.
#[test]
fn init_goes_on_with_locked_keys_that_were_left() {
    let amina = Person::locked();
    let person = amina.json(&["card"], Some("first"))["person"].clone();
    fs::remove_dir_all(amina.file("home/store")).unwrap();
    fs::remove_file(amina.file("home/version")).unwrap();
    fs::write(amina.file("home/keys.new"), "OST").unwrap();
    let keys = amina.keys();
    let init = ["init", "--name", "Amina"];
    amina.fails(LOCKED, &init, Some("second"));
    amina.fails(LOCKED, &init, None);
    assert_eq!(amina.keys(), keys);
    assert_eq!(amina.json(&init, Some("first"))["person"], person);
    assert_eq!(amina.json(&["card"], Some("first"))["person"], person);
}

/// The key of a relay has no passphrase unless its operator gives one; its address stays the same.
#[test]
fn a_relay_starts_alone_unless_its_key_has_a_passphrase() {
    let operator = Person::nobody();
    let address = operator.start("relay", None).event["key"].clone();
    let bare = fs::read(operator.file("home/relay-key")).unwrap();
    assert_eq!(bare.len(), 32);
    operator.set(None, "first");
    assert!(!contains(
        &fs::read(operator.file("home/relay-key")).unwrap(),
        &bare
    ));
    let relay = ["relay", "--listen", "127.0.0.1:0"];
    operator.fails(LOCKED, &relay, None);
    operator.fails(LOCKED, &relay, Some("second"));
    assert_eq!(operator.start("relay", Some("first")).event["key"], address);
    operator.json(&["passphrase", "remove"], Some("first"));
    assert_eq!(operator.start("relay", None).event["key"], address);
}

/// A person at a terminal, and a program that asks.
struct Terminal {
    keyboard: File,
    child: Child,
}

impl Terminal {
    fn run(who: &Person, args: &[&str]) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let user: OwnedFd =
            rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty()).unwrap();
        let child = who
            .command(args, None)
            .stdin(user)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            keyboard: File::from(controller),
            child,
        }
    }

    /// Waits for a question that contains `expected`, and types.
    fn answers(&mut self, expected: &str, typed: &str) {
        let mut asked = String::new();
        let mut byte = [0];
        while !asked.ends_with(": ") {
            let read = self.child.stderr.as_mut().unwrap().read(&mut byte).unwrap();
            assert_eq!(read, 1, "ended before it asked: {asked}");
            asked.push(char::from(byte[0]));
        }
        assert!(asked.contains(expected), "{asked}");
        self.keyboard
            .write_all(format!("{typed}\n").as_bytes())
            .unwrap();
    }

    /// Its exit code, once nothing that was typed was seen to show.
    fn ends(mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        let mut shown = Vec::new();
        // Ends in an error of its own once nobody has the other end open.
        let _hung_up = self.keyboard.read_to_end(&mut shown);
        assert!(!contains(&shown, b"horse") && !contains(&shown, b"staple"));
        code
    }
}

/// At a terminal one is asked: twice for a new passphrase, and with three tries for an old one. Nothing shows.
#[test]
fn at_a_terminal_passphrases_are_asked_for_and_do_not_show() {
    let amina = Person::nobody();
    let mut init = Terminal::run(&amina, &["init", "--name", "Amina"]);
    init.answers("whoever gets at this disk is you", FIRST);
    init.answers("again", "correct house");
    init.answers("not the same", FIRST);
    init.answers("again", FIRST);
    assert_eq!(init.ends(), Some(0));
    let mut inbox = Terminal::run(&amina, &["inbox"]);
    inbox.answers("Passphrase", SECOND);
    inbox.answers("not the passphrase", FIRST);
    assert_eq!(inbox.ends(), Some(0));
    let mut inbox = Terminal::run(&amina, &["inbox"]);
    for _ in 0..3 {
        inbox.answers("Passphrase", SECOND);
    }
    assert_eq!(inbox.ends(), LOCKED);
    let mut set = Terminal::run(&amina, &["passphrase", "set"]);
    set.answers("Passphrase", FIRST);
    set.answers("new passphrase", SECOND);
    set.answers("again", SECOND);
    assert_eq!(set.ends(), Some(0));
    amina.json(&["inbox"], Some("second"));
}

/// Who wants no passphrase says so by an empty line, or with an option that asks nothing.
#[test]
fn keys_without_a_passphrase_are_a_choice() {
    let (amina, bo) = (Person::nobody(), Person::nobody());
    let mut init = Terminal::run(&amina, &["init", "--name", "Amina"]);
    init.answers("empty for none", "");
    assert_eq!(init.ends(), Some(0));
    amina.json(&["card"], None);
    let init = Terminal::run(&bo, &["init", "--name", "Bo", "--no-passphrase"]);
    assert_eq!(init.ends(), Some(0));
    bo.json(&["card"], None);
}
