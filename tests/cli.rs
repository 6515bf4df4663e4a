//! The command line, as people and scripts meet it: arguments, exit codes, standard output, standard error.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// Somebody with a home.
struct Person {
    dir: tempfile::TempDir,
}

impl Person {
    fn nobody() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn new(name: &str) -> Self {
        let person = Self::nobody();
        person.json(0, &["init", "--name", name]);
        person
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ostrakon"));
        command
            .env_remove("OSTRAKON_LOG")
            .env("OSTRAKON_HOME", self.file("home"))
            .args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs with `--json`, expects this exit code, and returns the one object on standard output.
    fn json(&self, code: i32, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}\n{stdout}\n{stderr}"
        );
        assert_eq!(stdout.lines().count(), 1, "{args:?}: {stdout}");
        serde_json::from_str(&stdout).unwrap()
    }

    /// Runs, expects success, and returns standard output.
    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}\n{stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs, expects this failure, and returns what it says about it.
    fn fails(&self, code: i32, kind: &str, args: &[&str]) -> String {
        let object = self.json(code, args);
        assert_eq!(object["error"]["kind"], kind, "{args:?}: {object}");
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            (1..=2).contains(&stderr.lines().count()) || kind == "usage",
            "{args:?}: {stderr}"
        );
        stderr
    }

    fn card(&self) -> String {
        self.json(0, &["card"])["text"].as_str().unwrap().to_owned()
    }

    fn knows(&self, card: &str) -> Output {
        let mut child = self
            .command(&["person", "add", "-", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(card.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }
}

/// Somebody's node. Killed if a test fails before its end.
struct Running {
    child: Child,
    listening: Value,
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(who: &Person) -> Self {
        Self::start_as(who, "node")
    }

    fn start_as(who: &Person, what: &str) -> Self {
        let mut child = who
            .command(&[what, "--listen", "127.0.0.1:0", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening: Value = serde_json::from_str(&stdout.next().unwrap().unwrap()).unwrap();
        assert_eq!(listening["event"], "listening");
        Self {
            child,
            listening,
            _stdout: stdout,
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends it in order.
    fn end(mut self) {
        self.signal(rustix::process::Signal::TERM);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _waited_already = self.child.wait();
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A home is made once. A second `init` fails and leaves the keys as they are.
#[test]
fn init_never_overwrites_a_home() {
    let amina = Person::new("Amina");
    let card = amina.card();
    assert!(card.starts_with("ostrakon-card:"), "{card}");
    let said = amina.fails(4, "home", &["init", "--name", "Other"]);
    assert!(said.contains("choose another directory"), "{said}");
    assert_eq!(amina.card(), card);
    Person::nobody().fails(2, "usage", &["init", "--name", ""]);
}

/// An `init` that was cut off anywhere can be done again; whole keys stay, and a directory with other things is left
/// alone.
#[test]
fn init_finishes_what_was_cut_off_and_touches_nothing_else() {
    let left = |files: &[(&str, &[u8])]| {
        let person = Person::nobody();
        std::fs::create_dir(person.file("home")).unwrap();
        for (name, content) in files {
            std::fs::write(person.file("home").join(name), content).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(person.file("home").join(name), mode).unwrap();
        }
        person
    };
    let whole = Person::new("Amina");
    let keys = std::fs::read(whole.file("home/keys")).unwrap();
    let uri = whole.json(0, &["card"])["person"].clone();
    for files in [
        &[("keys", &b""[..])][..],
        &[("keys", &keys[..40])],
        &[("keys", &keys), ("name", b"Am")],
        &[("keys", &keys), ("name", b"Amina"), ("version", b"ostra")],
    ] {
        let person = left(files);
        let said = person.fails(4, "home", &["inbox"]);
        assert!(said.contains("ostrakon init"), "{said}");
        let made = person.json(0, &["init", "--name", "Amina"]);
        assert_eq!(made["person"] == uri, files[0].1 == keys, "{files:?}");
        person.json(0, &["inbox"]);
    }
    let other = left(&[("keys", &keys), ("notes", b"mine")]);
    let said = other.fails(4, "home", &["init", "--name", "Amina"]);
    assert!(said.contains("another directory"), "{said}");
    assert_eq!(std::fs::read(other.file("home/notes")).unwrap(), b"mine");
    assert_eq!(std::fs::read(other.file("home/keys")).unwrap(), keys);
}

/// Without a home, every command says how to make one.
#[test]
fn without_a_home_every_command_says_how_to_get_one() {
    let nobody = Person::nobody();
    for args in [
        &["inbox"][..],
        &["status"],
        &["card"],
        &["person", "list"],
        &["link", "list"],
        &["node", "--listen", "none"],
    ] {
        let said = nobody.fails(4, "home", args);
        assert!(said.contains("ostrakon init"), "{args:?}: {said}");
    }
}

/// Cards travel as files, by standard input and as QR codes; both sides then read the same safety number aloud.
#[test]
fn two_people_exchange_cards_and_read_the_same_safety_number() {
    let (amina, bo) = (Person::new("Amina"), Person::new("Bo"));
    let file = amina.file("amina.card");
    amina.text(&["card", "--out", path(&file)]);
    let added = bo.json(0, &["person", "add", path(&file)]);
    assert_eq!(added["name"], "Amina");
    let output = amina.knows(&bo.card());
    assert_eq!(output.status.code(), Some(0));

    let number =
        |who: &Person, of: &str| who.json(0, &["person", "show", of])["safety_number"].clone();
    let said = number(&amina, "Bo");
    assert_eq!(said, number(&bo, "Amina"));
    assert_eq!(
        said.as_str()
            .unwrap()
            .chars()
            .filter(char::is_ascii_digit)
            .count(),
        60
    );
    let listed = bo.json(0, &["person", "list"]);
    assert_eq!(listed["persons"][0]["name"], "Amina");
    assert!(bo.text(&["person", "list"]).contains("Amina"));

    let qr = amina.text(&["card", "--qr"]);
    let lines: Vec<&str> = qr.lines().collect();
    assert!(
        lines.len() > 20 && qr.contains('▀') && qr.contains('▄'),
        "{qr}"
    );
    let width = lines[0].chars().count();
    assert!(
        lines.iter().all(|line| line.chars().count() == width),
        "{qr}"
    );
}

/// The owner of a card chooses its name. Whoever takes the key or the name of somebody else as a name gets none of
/// that person's messages: it has to be said who is meant.
#[test]
fn a_name_captures_no_messages_of_others() {
    let (amina, bo) = (Person::new("Amina"), Person::new("Bo"));
    let uri = bo.json(0, &["card"])["person"].clone();
    let uri = uri.as_str().unwrap();
    let key = uri.rsplit(':').next().unwrap();
    let (short, apart) = (&key[..12], &uri[..28]);
    assert_eq!(amina.knows(&bo.card()).status.code(), Some(0));
    let reaches_bo = |who: &str| {
        let shown = amina.json(0, &["person", "show", who]);
        assert_eq!(shown["person"], uri, "{who}");
    };
    for who in ["Bo", "bO", short, key, uri] {
        reaches_bo(who);
    }
    for name in ["bo", short, key] {
        let eve = Person::new(name);
        assert_eq!(amina.knows(&eve.card()).status.code(), Some(0));
    }
    for who in ["Bo", "bo", short] {
        let said = amina.fails(2, "usage", &["send", who, "--text", "for Bo alone"]);
        assert!(
            said.contains("several persons") && said.contains(apart),
            "{said}"
        );
    }
    for who in [apart, key, uri] {
        reaches_bo(who);
    }
    for name in ["ostrakon:person:addr", "B\u{200b}o", "\u{202e}oB"] {
        Person::nobody().fails(2, "usage", &["init", "--name", name]);
    }
}

/// What is no card, a changed card and a stranger's file are refused by name, and nobody is known afterwards.
#[test]
fn damaged_and_forged_cards_are_refused() {
    let (amina, bo) = (Person::new("Amina"), Person::new("Bo"));
    let card = amina.card();
    let (head, tail) = card.split_at(card.len() / 2);
    let other = if tail.starts_with('a') { 'b' } else { 'a' };
    let forged = format!("{head}{other}{}", &tail[1..]);
    let cut = &card[..card.len() - 8];
    for bad in [forged.as_str(), cut, "hello", ""] {
        let output = bo.knows(bad);
        assert_eq!(output.status.code(), Some(7), "{bad}");
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["error"]["kind"], "bad_input");
    }
    let noise = bo.file("noise");
    std::fs::write(&noise, [0xff; 100]).unwrap();
    bo.fails(7, "bad_input", &["person", "add", path(&noise)]);
    bo.fails(
        3,
        "not_found",
        &["person", "add", path(&bo.file("missing"))],
    );
    assert_eq!(
        bo.json(0, &["person", "list"])["persons"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

/// A card replaces an older one, never the other way round: a new relay makes a new card, the old one is refused.
#[test]
fn a_stale_card_is_refused() {
    let (amina, bo) = (Person::new("Amina"), Person::new("Bo"));
    let old = amina.card();
    let key = "a".repeat(52);
    amina.json(
        0,
        &[
            "link",
            "add",
            "relay",
            &format!("relay://127.0.0.1:9?key={key}"),
        ],
    );
    let new = amina.card();
    assert_ne!(old, new);
    assert_eq!(bo.knows(&new).status.code(), Some(0));
    let output = bo.knows(&old);
    assert_eq!(output.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&output.stderr).contains("older"));
    assert_eq!(bo.knows(&new).status.code(), Some(0));
}

/// Links are added with their numbers, listed and forgotten; addresses that cannot be used are refused with the forms that can.
#[test]
fn links_are_checked_when_they_are_added() {
    let amina = Person::new("Amina");
    let uri = "serial:/dev/ttyUSB0?baud=9600";
    let args = [
        "link", "add", "radio", uri, "--rate", "1200", "--rtt", "2s", "--mtu", "222", "--cost", "3",
    ];
    amina.json(
        0,
        &[&args[..], &["--oneway", "send", "--loss", "15%"]].concat(),
    );
    let listed = amina.json(0, &["link", "list"]);
    let link = &listed["links"][0];
    let numbers = [
        &link["rate_bps"],
        &link["rtt_ms"],
        &link["mtu"],
        &link["cost"],
        &link["loss_percent"],
    ];
    assert_eq!(
        numbers.map(|n| n.as_u64().unwrap()),
        [1200, 2000, 222, 3, 15]
    );
    assert_eq!(
        (link["name"].as_str(), link["oneway"].as_str()),
        (Some("radio"), Some("send"))
    );
    assert!(amina.text(&["link", "list"]).contains("radio"));
    let said = amina.fails(2, "usage", &["link", "add", "radio", uri]);
    assert!(said.contains("ostrakon link rm radio"), "{said}");

    // To the one person who is known; nobody had to say so.
    let bo = Person::new("Bo");
    assert_eq!(amina.knows(&bo.card()).status.code(), Some(0));
    amina.json(0, &["link", "add", "direct", "quic://bo.example:7411"]);
    let listed = amina.text(&["link", "list"]);
    let direct = listed.lines().find(|line| line.contains("direct")).unwrap();
    assert!(
        direct.contains("Bo") && !direct.contains("anyone"),
        "{listed}"
    );
    amina.json(0, &["link", "rm", "direct"]);

    // Beside others, where there is a path that others may use.
    let direct = ["link", "add", "direct", "quic://bo.example:7411"];
    amina.json(0, &[&direct[..], &["--control", "shared"]].concat());
    let listed = amina.json(0, &["link", "list"]);
    let control = |n: usize| listed["links"][n]["control"].as_str();
    assert_eq!((control(0), control(1)), (Some("shared"), None));
    amina.json(0, &["link", "rm", "direct"]);
    let modem = ["link", "add", "modem", uri, "--control", "own"];
    let said = amina.fails(2, "usage", &modem);
    assert!(said.contains("leave it out"), "{said}");

    for bad in [
        "mail:a@b",
        "quic:host:1",
        "quic://host",
        "relay://host:7",
        "serial:tty",
        "spool:stick",
        "",
    ] {
        let said = amina.fails(2, "usage", &["link", "add", "x", bad]);
        assert!(said.contains("relay://HOST:PORT?key=KEY"), "{bad}: {said}");
    }
    let stick = amina.file("stick");
    std::fs::create_dir(&stick).unwrap();
    let stick = format!("spool:{}", path(&stick));
    for (uri, option, value, right) in [
        (uri, "--rate", "fast", "2mbit"),
        (uri, "--rate", "99999999gbit", "1000 Gbit/s"),
        (uri, "--rtt", "99999999d", "1 day"),
        (uri, "--mtu", "63", "64 to 2048"),
        ("quic://host:1", "--mtu", "100", "222 to 2048"),
        (&stick, "--mtu", "100", "238 to 2048"),
        ("spool:/proc", "--cost", "0", "--oneway"),
        ("spool:/dev/null", "--cost", "0", "--oneway"),
        ("spool://", "--cost", "0", "spool:/FOLDER"),
        ("serial:/dev/x?baud=0", "--cost", "0", "50 to 12000000"),
        ("serial:/dev/x?mtu=1", "--cost", "0", "64 to 2048"),
    ] {
        let said = amina.fails(2, "usage", &["link", "add", "x", uri, option, value]);
        assert!(said.contains(right), "{uri} {option} {value}: {said}");
    }
    amina.json(0, &["link", "add", "stick", &stick]);
    amina.json(0, &["link", "rm", "stick"]);
    amina.fails(3, "not_found", &["link", "rm", "nothing"]);
    amina.json(0, &["link", "rm", "radio"]);
    assert_eq!(
        amina.json(0, &["link", "list"])["links"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

/// Guards a message that is bound to a link from waiting for ever without a word once that link is removed.
#[test]
fn who_removes_a_link_hears_what_was_to_travel_by_it_alone() {
    let (amina, bo) = (Person::new("Amina"), Person::new("Bo"));
    assert_eq!(amina.knows(&bo.card()).status.code(), Some(0));
    for name in ["bus", "train"] {
        let dir = amina.file(name);
        std::fs::create_dir(&dir).unwrap();
        amina.json(0, &["link", "add", name, &format!("spool:{}", path(&dir))]);
    }
    let send = |via: &[&str]| amina.json(0, &[&["send", "Bo", "--text", "hello"], via].concat());
    let said = amina.fails(
        3,
        "not_found",
        &["send", "Bo", "--text", "x", "--via", "boat"],
    );
    assert!(said.contains("boat"), "{said}");
    send(&[]);
    let either = send(&["--via", "bus", "--via", "train"])["message"].clone();
    let bound = send(&["--via", "train"])["message"].clone();
    let notes = |message: &Value| {
        let status = amina.json(0, &["status"]);
        let outbound = status["outbound"].as_array().unwrap().iter();
        let mut of = outbound.filter(|entry| entry["message"] == *message);
        of.next().unwrap()["notes"].to_string()
    };
    let removed = amina.json(0, &["link", "rm", "train"]);
    assert_eq!(removed["waiting"], serde_json::json!([bound]));
    assert!(notes(&bound).contains("was removed") && notes(&bound).contains("cancel"));
    assert_eq!(notes(&either), "[]");
    let output = amina.run(&["link", "rm", "bus"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("1 message waits") && stderr.contains("ostrakon cancel"),
        "{stderr}"
    );
    assert!(notes(&either).contains("was removed"));
    amina.json(0, &["cancel", bound.as_str().unwrap()]);
}

/// Sending without a node queues durably; unknown people, missing files and unknown messages are told apart by exit code.
#[test]
fn a_message_is_queued_without_a_node_and_found_again() {
    let (amina, bo) = (Person::new("Amina"), Person::new("Bo"));
    amina.fails(3, "not_found", &["send", "Bo", "--text", "hello"]);
    assert_eq!(amina.knows(&bo.card()).status.code(), Some(0));
    amina.fails(2, "usage", &["send", "Bo"]);
    amina.fails(
        3,
        "not_found",
        &["send", "Bo", "--file", path(&amina.file("missing"))],
    );

    let folder = path(amina.dir.path());
    let said = amina.fails(2, "usage", &["send", "Bo", "--file", folder]);
    assert!(said.contains("is a folder; send the files in it"), "{said}");

    let file = amina.file("map.bin");
    std::fs::write(&file, vec![7; 200_000]).unwrap();
    let args = [
        "send",
        "Bo",
        "--text",
        "hello",
        "--file",
        path(&file),
        "--priority",
        "high",
        "--lifetime",
        "2d",
    ];
    let queued = amina.json(0, &args);
    let id = queued["message"].as_str().unwrap();
    assert!(id.starts_with("ostrakon:message:"), "{queued}");
    let status = amina.json(0, &["status"]);
    assert_eq!(status["node"], Value::Null);
    let entry = &status["outbound"][0];
    assert_eq!(
        (entry["message"].as_str(), entry["to"].as_str()),
        (Some(id), Some("Bo"))
    );
    assert_eq!(entry["parts"][1]["bytes"], 200_000);
    assert_eq!(entry["parts"][1]["held_bytes"], 0);

    let said = amina.json(8, &["send", "Bo", "--text", "again", "--wait"]);
    let text = said["error"]["text"].as_str().unwrap();
    assert!(
        text.contains("is queued, but no node is running") && text.contains("ostrakon node"),
        "{text}"
    );
    let status = amina.json(0, &["status"]);
    let waiting = status["outbound"].as_array().unwrap();
    assert!(
        waiting
            .iter()
            .any(|entry| entry["message"] == said["message"]),
        "{said}"
    );

    let begin = id.rsplit(':').next().unwrap().get(..12).unwrap();
    amina.json(0, &["cancel", begin]);
    amina.fails(3, "not_found", &["cancel", &"z".repeat(12)]);
    amina.fails(3, "not_found", &["read", &"z".repeat(12)]);
    assert_eq!(
        bo.json(0, &["inbox"])["messages"].as_array().unwrap().len(),
        0
    );
}

/// A message carried by hand, in a folder of batches, arrives whole without any node: once, however often it is brought.
#[test]
fn a_message_travels_in_a_folder_without_a_node() {
    let (amina, bo) = (Person::new("Amina"), Person::new("Bo"));
    assert_eq!(amina.knows(&bo.card()).status.code(), Some(0));
    assert_eq!(bo.knows(&amina.card()).status.code(), Some(0));
    let (file, stick, saved) = (amina.file("map.bin"), amina.file("stick"), bo.file("saved"));
    let content: Vec<u8> = (0..150_000u32).map(|n| (n * 7 + n / 251) as u8).collect();
    std::fs::write(&file, &content).unwrap();
    std::fs::create_dir(&stick).unwrap();
    let queued = amina.json(
        0,
        &["send", "Bo", "--text", "by hand", "--file", path(&file)],
    );
    let exported = amina.json(0, &["spool", "export", path(&stick)]);
    assert!(exported["frames"].as_u64().unwrap() > 0, "{exported}");
    let gone = amina.file("no stick");
    bo.fails(3, "not_found", &["spool", "import", path(&gone)]);
    // File managers change names, also to those of other systems.
    for (n, entry) in std::fs::read_dir(&stick).unwrap().enumerate() {
        let new = stick.join(format!("copy ({n}).OSTK"));
        std::fs::rename(entry.unwrap().path(), new).unwrap();
    }
    for _ in 0..2 {
        bo.json(0, &["spool", "import", path(&stick)]);
    }
    let inbox = bo.json(0, &["inbox"]);
    let messages = inbox["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 1, "{inbox}");
    assert_eq!(
        (&messages[0]["complete"], &messages[0]["deliveries"]),
        (&Value::Bool(true), &Value::from(1))
    );
    let id = queued["message"].as_str().unwrap();
    assert_eq!(bo.text(&["read", id]).trim_end(), "by hand");
    let files = bo.json(0, &["save", id, path(&saved)])["files"].clone();
    let files: Vec<PathBuf> = serde_json::from_value(files).unwrap();
    assert!(
        files
            .iter()
            .any(|file| std::fs::read(file).unwrap() == content),
        "{files:?}"
    );
}

/// What is deleted is gone with its files and does not come back by a late copy; with and without a node. If one id
/// is wrong, nothing is deleted.
#[test]
fn deleted_messages_are_gone_and_stay_away() {
    let (amina, bo) = (Person::new("Amina"), Person::new("Bo"));
    assert_eq!(amina.knows(&bo.card()).status.code(), Some(0));
    assert_eq!(bo.knows(&amina.card()).status.code(), Some(0));
    let (file, stick) = (amina.file("map.bin"), amina.file("stick"));
    std::fs::write(&file, vec![9; 5000]).unwrap();
    std::fs::create_dir(&stick).unwrap();
    let send = ["send", "Bo", "--text", "hello", "--file", path(&file)];
    let ids = [(); 3].map(|()| amina.json(0, &send)["message"].as_str().unwrap().to_owned());
    amina.json(0, &["spool", "export", path(&stick)]);
    let kept = || {
        std::fs::read_dir(bo.file("home/store/inbox"))
            .unwrap()
            .count()
    };
    let inbox = || {
        bo.json(0, &["spool", "import", path(&stick)]);
        let inbox = bo.json(0, &["inbox"]);
        let messages = inbox["messages"].as_array().unwrap();
        let id = |message: &Value| message["message"].as_str().unwrap().to_owned();
        messages.iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!((inbox().len(), kept()), (3, 3));
    let wrong = "a".repeat(20);
    bo.fails(3, "not_found", &["delete", &ids[0], &wrong]);
    bo.fails(2, "usage", &["delete"]);
    assert_eq!((inbox().len(), kept()), (3, 3));
    let deleted = bo.json(0, &["delete", &ids[0], &ids[1][..30], &ids[0]]);
    assert_eq!(deleted["messages"].as_array().unwrap().len(), 2);
    assert_eq!((inbox(), kept()), (vec![ids[2].clone()], 1));
    bo.fails(3, "not_found", &["read", &ids[0]]);
    let node = Running::start(&bo);
    bo.json(0, &["delete", &ids[2]]);
    assert_eq!((inbox().len(), kept()), (0, 0));
    node.end();
    assert_eq!((inbox().len(), kept()), (0, 0));
}

/// A file and a folder may have names that are no text; they are sent and written with a node as without.
#[test]
#[cfg(target_os = "linux")]
fn paths_that_are_no_text_work_with_and_without_a_node() {
    use std::os::unix::ffi::OsStringExt;
    let odd = |stem: &str| {
        let bytes = [stem.as_bytes(), b"\xff.bin"].concat();
        std::ffi::OsString::from_vec(bytes)
    };
    let (amina, bo) = (Person::new("Amina"), Person::new("Bo"));
    assert_eq!(amina.knows(&bo.card()).status.code(), Some(0));
    assert_eq!(bo.knows(&amina.card()).status.code(), Some(0));
    let file = amina.dir.path().join(odd("map"));
    std::fs::write(&file, [7; 2000]).unwrap();
    let stick = amina.dir.path().join(odd("stick"));
    std::fs::create_dir(&stick).unwrap();
    let done = |who: &Person, args: &[&str], path: &Path| {
        let output = who.command(args).arg(path).arg("--json").output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stdout}");
        serde_json::from_str::<Value>(&stdout).unwrap()
    };
    let node = Running::start(&amina);
    let queued = done(&amina, &["send", "Bo", "--file"], &file);
    done(&amina, &["spool", "export"], &stick);
    node.end();
    done(&amina, &["send", "Bo", "--file"], &file);
    done(&bo, &["spool", "import"], &stick);
    let id = queued["message"].as_str().unwrap();
    let node = Running::start(&bo);
    done(&bo, &["save", id], &stick);
    node.end();
    let saved: Vec<_> = std::fs::read_dir(&stick)
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.unwrap().path()).ok())
        .collect();
    assert!(saved.contains(&vec![7; 2000]), "nothing was saved");
}

/// The longest text that is taken is taken by a node that runs, too, whatever its characters become in JSON; one
/// more is refused.
#[test]
fn the_longest_text_is_taken_by_a_running_node() {
    let (amina, bo) = (Person::new("Amina"), Person::new("Bo"));
    assert_eq!(amina.knows(&bo.card()).status.code(), Some(0));
    let node = Running::start(&amina);
    let send = |text: Vec<u8>| {
        let file = amina.file("text");
        std::fs::write(&file, text).unwrap();
        let output = amina
            .command(&["send", "Bo", "--text", "-", "--json"])
            .stdin(std::fs::File::open(file).unwrap())
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), stdout)
    };
    let (code, said) = send(vec![1; 1 << 20]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = send(vec![1; (1 << 20) + 1]);
    assert_eq!(code, Some(7), "{said}");
    let status = amina.json(0, &["status"]);
    assert_eq!(status["outbound"][0]["parts"][0]["bytes"], 1 << 20);
    node.end();
}

/// A node says where it listens, as JSON for scripts, answers while it runs, and ends in order on SIGTERM.
#[test]
fn a_node_runs_answers_and_ends_in_order() {
    let amina = Person::new("Amina");
    let node = Running::start(&amina);
    let addr: std::net::SocketAddr = node.listening["addr"].as_str().unwrap().parse().unwrap();
    assert_ne!(addr.port(), 0);
    assert_eq!(amina.json(0, &["status"])["node"], node.child.id());
    let said = amina.fails(4, "home", &["node", "--listen", "none"]);
    assert!(!said.is_empty());
    node.end();
    assert_eq!(amina.json(0, &["status"])["node"], Value::Null);
}

/// Usage errors end with 2 and, with `--json`, are an object; help lists every exit code; a reader that goes away is no error.
/// Guards who stops a command from a message that is sent nevertheless: until the node has taken the file, nothing is queued,
/// and nothing of it is left.
#[test]
fn a_send_that_is_stopped_while_the_file_is_taken_leaves_nothing() {
    let (ada, ben) = (Person::new("Ada"), Person::new("Ben"));
    assert!(ada.knows(&ben.card()).status.success());
    let running = Running::start(&ada);
    // It takes longer than the test waits, and no room until it is copied.
    let big = ada.file("big");
    let file = std::fs::File::create(&big).unwrap();
    file.set_len(16 << 30).unwrap();
    let mut send = ada.command(&["send", "Ben", "--file", path(&big), "--json"]);
    let send = send.stdout(Stdio::piped()).spawn().unwrap();
    let copied = || {
        let entries = std::fs::read_dir(ada.file("home/store/tmp")).unwrap();
        entries.count()
    };
    wait_until("the file is being taken", || copied() > 0);
    let pid = rustix::process::Pid::from_raw(i32::try_from(send.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = send.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["error"]["kind"], "interrupted", "{told}");
    wait_until("what was copied is gone", || copied() == 0);
    assert_eq!(ada.json(0, &["status"])["outbound"], serde_json::json!([]));
    running.end();
}

/// Waits for something that happens within a second or so, and for a minute where the machine is busy.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !done() {
        assert!(
            begun.elapsed().as_secs() < 60,
            "not within a minute: {what}"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Links and routes of a relay count at once while it runs, and are there when it runs again, also after a kill.
#[test]
fn a_relay_is_configured_while_it_runs_and_while_it_does_not() {
    let (bo, post) = (Person::new("Bo"), Person::nobody());
    let mailbox = bo.text(&["card", "--mailbox"]).trim().to_owned();
    assert!(mailbox.starts_with("ostrakon:mailbox:"), "{mailbox}");
    let key = mailbox.rsplit(':').next().unwrap();
    let uri = format!("relay://127.0.0.1:9?key={key}");
    let add = ["relay", "link", "add"];
    post.json(
        0,
        &[&add[..], &["town", &uri, "--control", "shared"]].concat(),
    );
    let stick = format!("spool:{}", path(post.dir.path()));
    post.json(0, &[&add[..], &["bus", &stick]].concat());
    let list = post.text(&["relay", "link", "list"]);
    let row = |name| list.lines().find(|line: &&str| line.starts_with(name));
    assert!(row("NAME").unwrap().contains("CONTROL"), "{list}");
    assert!(row("town").unwrap().contains("shared"), "{list}");
    assert!(row("bus").unwrap().contains(" - "), "{list}");
    post.json(0, &["relay", "link", "rm", "bus"]);
    let running = Running::start_as(&post, "relay");
    post.json(0, &["relay", "route", "add", &mailbox, "via", "town"]);
    post.json(0, &["relay", "route", "add", "*", "via", "here"]);
    let status = post.json(0, &["relay", "status"]);
    let status = &status["status"];
    assert_eq!(status["running"], true);
    assert_eq!(status["links"][0]["name"], "town");
    assert_eq!(status["links"][0]["up"], false);
    assert_eq!(status["control"], "own");
    assert_eq!(status["links"][0]["control"], "shared");
    let told = post.text(&["relay", "status"]);
    assert!(told.contains("running, with control own."), "{told}");
    assert_eq!(status["routes"][0]["via"], "town");
    assert_eq!(status["routes"][1]["mailbox"], "*");

    running.signal(rustix::process::Signal::KILL);
    drop(running);
    let card = bo.file("bo.card");
    bo.text(&["card", "--out", path(&card)]);
    let route = post.json(0, &["relay", "route", "add", path(&card), "via", "here"]);
    assert_eq!(route["route"]["mailbox"], *mailbox);
    let routes = post.text(&["relay", "route", "list"]);
    assert!(routes.contains("Bo") && routes.contains("here"), "{routes}");
    let status = post.json(0, &["relay", "status"]);
    assert_eq!(status["status"]["running"], false);
    assert!(status["status"]["control"].is_null(), "{status}");
    assert_eq!(status["status"]["links"][0]["name"], "town");

    post.fails(2, "usage", &["relay", "route", "add", "*", "to", "town"]);
    post.fails(3, "not_found", &["relay", "route", "add", "*", "via", "x"]);
    post.fails(
        3,
        "not_found",
        &["relay", "route", "add", "no", "via", "town"],
    );
    post.fails(3, "not_found", &["relay", "link", "rm", "x"]);
    let said = post.fails(2, "usage", &["relay", "link", "add", "x", "quic://h:1"]);
    assert!(said.contains("spool:/FOLDER"), "{said}");
    post.json(0, &["relay", "route", "rm", "Bo"]);
    post.json(0, &["relay", "link", "rm", "town"]);
}

/// A relay has a directory of its own: it takes none of a node, a question makes none, and an address that cannot be had
/// leaves none behind. Its key is never replaced.
#[test]
fn a_relay_takes_no_home_of_a_node_and_replaces_no_key() {
    let (bo, post) = (Person::new("Bo"), Person::nobody());
    let home = path(&post.file("home")).to_owned();
    let node = Running::start(&bo);
    let asks = [
        &["relay"][..],
        &["relay", "status"],
        &["relay", "link", "add", "bus", "spool:/tmp"],
    ];
    for args in asks {
        let said = bo.fails(4, "home", args);
        assert!(said.contains("--home"), "{said}");
    }
    bo.json(0, &["status"]);
    assert!(bo.file("home/control.sock").exists());
    node.end();

    let held = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    post.fails(2, "usage", &["relay", "--listen", &taken]);
    for args in [
        &["relay", "status"][..],
        &["relay", "link", "list"],
        &["relay", "route", "list"],
    ] {
        post.fails(4, "home", args);
    }
    assert!(!post.file("home").exists(), "nothing is made");

    Running::start_as(&post, "relay").end();
    for args in [
        &["relay", "--home", &home, "link", "list"][..],
        &["relay", "--json", "route", "list"],
        &["relay", "--home", &home, "status"],
    ] {
        post.text(args);
    }
    post.fails(2, "usage", &["relay", "--listen", &taken, "status"]);

    let key = post.file("home/relay-key");
    let away = post.file("relay-key");
    std::fs::rename(&key, &away).unwrap();
    let said = post.fails(4, "home", &["relay", "--listen", "127.0.0.1:0"]);
    assert!(
        said.contains("relay-key") && said.contains("mailboxes"),
        "{said}"
    );
    assert!(!key.exists());
    std::fs::rename(&away, &key).unwrap();
    Running::start_as(&post, "relay").end();
    std::fs::remove_file(&key).unwrap();
    std::fs::remove_dir_all(post.file("home/mailboxes")).unwrap();
    Running::start_as(&post, "relay").end();
}

#[test]
fn usage_help_and_a_broken_pipe() {
    let nobody = Person::nobody();
    nobody.fails(2, "usage", &["fly"]);
    nobody.fails(2, "usage", &["node", "--listen", "here"]);
    let help = nobody.text(&["--help"]);
    for code in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "7 ", "8 ", "130 "] {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(code)),
            "exit code {code}\n{help}"
        );
    }
    assert!(nobody.text(&["--version"]).starts_with("ostrakon "));

    for args in [&["completions", "bash"][..], &["man"], &["--help"]] {
        let mut child = nobody
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(
            output.stderr.is_empty(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// What packagers install is complete: bash itself accepts the completions, and every command has its page.
#[test]
fn completions_and_manual_pages() {
    let nobody = Person::nobody();
    let script = nobody.file("ostrakon.bash");
    std::fs::write(&script, nobody.text(&["completions", "bash"])).unwrap();
    let check = "source \"$1\" && complete -p ostrakon";
    let bash = Command::new("bash")
        .args(["--norc", "-c", check, "bash", path(&script)])
        .output()
        .unwrap();
    assert!(
        bash.status.success(),
        "{}",
        String::from_utf8_lossy(&bash.stderr)
    );

    let page = nobody.text(&["man"]);
    assert!(
        page.contains(".TH ostrakon 1") && page.contains("Exit codes"),
        "{page}"
    );
    let dir = nobody.file("man1");
    nobody.text(&["man", "--out", path(&dir)]);
    for page in [
        "ostrakon.1",
        "ostrakon-send.1",
        "ostrakon-delete.1",
        "ostrakon-link-add.1",
    ] {
        assert!(dir.join(page).is_file(), "{page}");
    }
}

/// On a terminal, where logs and progress may take other ways, a failure is the same failure.
#[test]
#[cfg(target_os = "linux")]
fn a_terminal_changes_no_exit_code() {
    let nobody = Person::nobody();
    let order = format!("{} status", env!("CARGO_BIN_EXE_ostrakon"));
    let mut command = Command::new("script");
    command
        .args(["-qec", &order, "/dev/null"])
        .env("OSTRAKON_HOME", nobody.file("home"));
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("script, of util-linux");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{shown}");
    assert!(shown.contains("ostrakon init"), "{shown}");
}

/// Groups are kept, shown and refused by name; a comma in a name captures nothing, and a message to several is one.
#[test]
fn groups_stand_for_people_and_a_comma_captures_nothing() {
    let amina = Person::new("Amina");
    let [bo, chidi] = ["Bo", "Chidi"].map(Person::new);
    for who in [&bo, &chidi] {
        assert_eq!(amina.knows(&who.card()).status.code(), Some(0));
    }
    assert!(amina.text(&["group", "list"]).contains("no group yet"));
    let group = amina.json(0, &["group", "add", "North", "bo", "Chidi"]);
    assert_eq!(group["name"], "north");
    assert_eq!(group["persons"].as_array().unwrap().len(), 2);
    assert_eq!(
        amina.text(&["group", "list"]),
        "GROUP   PEOPLE\n@north  Bo, Chidi\n"
    );
    amina.fails(3, "not_found", &["group", "add", "north", "Nobody"]);
    amina.fails(3, "not_found", &["group", "remove", "south", "Bo"]);
    amina.fails(2, "usage", &["group", "add", "a b", "Bo"]);
    amina.fails(3, "not_found", &["send", "@south", "--text", "x"]);

    let queued = amina.json(0, &["send", "@north,Bo", "--text", "to all"]);
    assert_eq!(queued["to"].as_array().unwrap().len(), 2);
    let outbound = amina.json(0, &["status"])["outbound"].clone();
    let of = |n: usize| outbound[n]["message"].as_str().unwrap().to_owned();
    assert_eq!((outbound.as_array().unwrap().len(), of(0)), (2, of(1)));
    let names: Vec<_> = (0..2)
        .map(|n| outbound[n]["to"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"Bo") && names.contains(&"Chidi"),
        "{names:?}"
    );
    amina.json(0, &["cancel", &of(0)]);
    let outbound = amina.json(0, &["status"])["outbound"].clone();
    let over = outbound
        .as_array()
        .unwrap()
        .iter()
        .all(|o| o["expired"] == true);
    assert!(over, "{outbound}");

    let eve = Person::new("Bo,Chidi");
    assert_eq!(amina.knows(&eve.card()).status.code(), Some(0));
    let said = amina.fails(2, "usage", &["send", "Bo,Chidi", "--text", "x"]);
    assert!(said.contains("name them by their keys"), "{said}");
    amina.json(0, &["group", "remove", "@north", "Bo"]);
    let one = amina.json(0, &["send", "@north", "--text", "to one"]);
    assert_eq!(one["to"], serde_json::json!(["Chidi"]));
    amina.json(0, &["group", "remove", "north", "Chidi"]);
    let said = amina.fails(2, "usage", &["send", "@north", "--text", "x"]);
    assert!(said.contains("nobody is in the group"), "{said}");
    amina.json(0, &["group", "delete", "north"]);
    amina.fails(3, "not_found", &["group", "delete", "north"]);
}

/// Three programs: one message with a file to two people, who both have it when `--wait` ends.
#[test]
fn one_message_travels_to_two_and_wait_ends_with_the_last_receipt() {
    let amina = Person::new("Amina");
    let others = ["Bo", "Chidi"].map(Person::new);
    let mut nodes = Vec::new();
    for who in &others {
        assert_eq!(amina.knows(&who.card()).status.code(), Some(0));
        assert_eq!(who.knows(&amina.card()).status.code(), Some(0));
        nodes.push(Running::start(who));
    }
    for (name, node) in ["Bo", "Chidi"].iter().zip(&nodes) {
        let uri = format!("quic://{}", node.listening["addr"].as_str().unwrap());
        amina.json(0, &["link", "add", name, &uri, "--person", name]);
    }
    nodes.push(Running::start(&amina));
    let content: Vec<u8> = (0..300_000u64).map(|n| ((n * n) >> 7) as u8).collect();
    let file = amina.file("map.bin");
    std::fs::write(&file, &content).unwrap();
    amina.json(0, &["group", "add", "all", "Bo", "Chidi"]);
    let args = ["send", "@all", "--text", "to both", "--file", path(&file)];
    let sent = amina.json(0, &[&args[..], &["--wait"]].concat());
    assert_eq!(
        (&sent["delivered"], sent["to"].as_array().unwrap().len()),
        (&true.into(), 2)
    );
    let id = sent["message"].as_str().unwrap();
    for who in &others {
        assert_eq!(who.json(0, &["read", id])["texts"][0], "to both");
        let inbox = who.json(0, &["inbox"]);
        let also = inbox["messages"][0]["also"].as_array().unwrap().len();
        assert_eq!(also, 1, "{inbox}");
        let saved = who.json(0, &["save", id, path(&who.file("out"))]);
        let saved = saved["files"][1].as_str().unwrap().to_owned();
        assert!(std::fs::read(saved).unwrap() == content, "the file differs");
    }
    let outbound = amina.json(0, &["status"])["outbound"].clone();
    let done = outbound
        .as_array()
        .unwrap()
        .iter()
        .filter(|o| o["complete"] == true);
    assert_eq!(done.count(), 2, "{outbound}");
    nodes.into_iter().rev().for_each(Running::end);
}

/// The exit code and the kind of failure of a command while no file may grow, as on a disk without room.
fn without_room(person: &Person, args: &[&str]) -> (Option<i32>, Value) {
    // The limit is one of the shell that becomes the command; the signal that goes with it would kill.
    let bounded = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", bounded, env!("CARGO_BIN_EXE_ostrakon")])
        .args(args)
        .arg("--json")
        .env_remove("OSTRAKON_LOG")
        .env("OSTRAKON_HOME", person.file("home"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = serde_json::from_slice(&output.stdout);
    let said: Value = said.unwrap_or_else(|_| panic!("{args:?}: {output:?}"));
    (output.status.code(), said["error"]["kind"].clone())
}

/// Guards that a disk without room is told as that, whatever is tried, and not as a home that cannot be used; and that it can be
/// tried again once there is room.
#[test]
fn a_disk_without_room_has_its_exit_code() {
    let full = (Some(5), Value::from("store"));
    let init = ["init", "--name", "Amina", "--no-passphrase"];
    let join = ["init", "--join", "--no-passphrase"];
    for begin in [&init[..], &join] {
        let person = Person::nobody();
        assert_eq!(without_room(&person, begin), full, "{begin:?}");
        person.json(0, begin);
    }
    let amina = Person::new("Amina");
    let dir = amina.file("relay");
    let relay = ["relay", "--listen", "127.0.0.1:0", "--home", path(&dir)];
    let tried: [&[&str]; 5] = [
        &["node", "--listen", "127.0.0.1:0"],
        &["card"],
        &["person", "list"],
        &["inbox"],
        &relay,
    ];
    for args in tried {
        assert_eq!(without_room(&amina, args), full, "{args:?}");
    }
    amina.json(0, &["card"]);
    // A file that was named, while the node has the store.
    let node = Running::start(&amina);
    let file = amina.file("card");
    let card = ["card", "--out", path(&file)];
    assert_eq!(without_room(&amina, &card), full);
    amina.json(0, &card);
    node.end();
}

/// Guards that a place where nothing can be written is told as an order that makes no sense, with what to do next, and that
/// nothing is given away for it.
#[test]
fn a_place_that_cannot_be_written_has_its_exit_code() {
    let amina = Person::new("Amina");
    let (missing, there) = (amina.file("missing/file"), amina.file("there"));
    std::fs::write(&there, "kept").unwrap();
    let below = there.join("file");
    for place in [&missing, &below, &amina.dir.path().to_owned()] {
        for order in [&["card"][..], &["invite", "new"]] {
            let said = amina.fails(2, "usage", &[order, &["--out", path(place)]].concat());
            assert!(said.contains("choose"), "{said}");
        }
    }
    amina.fails(2, "usage", &["man", "--out", path(&below)]);
    let new = Person::nobody();
    let shown = new.json(0, &["init", "--join", "--no-passphrase"]);
    let [code, number] = ["code", "number"].map(|name| shown[name].as_str().unwrap());
    for place in [&there, &missing, &below] {
        let args = ["device", "add", code, "--number", number, "--out"];
        let said = amina.fails(2, "usage", &[&args[..], &[path(place)]].concat());
        assert!(said.contains("not there yet"), "{said}");
    }
    assert_eq!(std::fs::read(&there).unwrap(), b"kept");
    let listed = amina.json(0, &["device", "list"]);
    assert_eq!(listed["devices"].as_array().unwrap().len(), 1, "{listed}");
}
