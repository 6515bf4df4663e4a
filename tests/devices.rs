//! One person with two devices: enrolment, by a file and by QUIC, and what both get and send.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ostrakon::node::api::{DeviceEntry, ErrorKind, Request, Response};
use ostrakon::node::{HomeError, Joining, Listen, hand_over, wait};
use ostrakon::security::card::Card;
use people::{Someone, link, noise, text_and_file, until};
use post::Post;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::sync::oneshot;

mod people;
#[path = "people/post.rs"]
mod post;

const PATIENCE: Duration = Duration::from_secs(90);

fn anywhere() -> Listen {
    Listen::At("127.0.0.1:0".parse().unwrap())
}

async fn devices(someone: &Someone) -> Vec<DeviceEntry> {
    match someone.ask(Request::DeviceList).await {
        Response::Devices { devices } => devices,
        other => panic!("{other:?}"),
    }
}

/// Guards that a second device gets what comes for the person and can send, each with links of its own; that the contact
/// needs nothing but the card, which comes by itself; and that a device that is removed is one no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_get_and_send_what_one_did() {
    let (mut ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    ada.knows(&ben).await;
    ben.knows(&ada).await;
    ben.run(anywhere()).await;
    ada.run(anywhere()).await;
    ada.connect("ben", &ben, "Ben").await;
    let first = ada.send(text_and_file("Ben", "before", &file(1).1)).await;
    ada.receipt(&first).await;
    let mut second = ada.another_device().await;
    second.run(Listen::Off).await;
    assert_eq!(devices(&second).await.len(), 2);
    // The contact came along, and Ben hears of the device from the first one.
    second.connect("ben", &ben, "Ben").await;
    second.connect("ada", &ada, "Ada").await;
    let (_files, path, content) = file(2);
    let message = ben.send(text_and_file("Ada", "to both", &path)).await;
    for device in [&ada, &second] {
        let entry = device.received(&message).await;
        assert_eq!((entry.deliveries, entry.parts.len()), (1, 2));
        let out = tempfile::tempdir().unwrap();
        let saved = device.saved(&message, out.path()).await;
        assert!(std::fs::read(&saved[1]).unwrap() == content);
    }
    ben.receipt(&message).await;
    let state = async |device: &Someone| {
        let inbox = device.inbox().await;
        let entry = inbox.iter().find(|entry| entry.message == message);
        entry.map(|entry| (entry.seen, entry.read)).unwrap()
    };
    // Both have written the files out above.
    assert_eq!(state(&ada).await, (true, true));
    let unread = ben.send(text_and_file("Ada", "read me", &path)).await;
    for device in [&ada, &second] {
        device.received(&unread).await;
    }
    let is_read = async || {
        let inbox = second.inbox().await;
        let entry = inbox.iter().find(|entry| entry.message == unread);
        entry.filter(|entry| entry.read).map(|_| ())
    };
    assert!(is_read().await.is_none());
    let message = unread.clone();
    ada.ask(Request::Read { message }).await;
    until("the mark of what was read on the other device", is_read).await;
    let message = second
        .send(text_and_file("Ben", "from the second", &path))
        .await;
    ben.received(&message).await;
    second.receipt(&message).await;
    for device in [&ada, &second, &ben] {
        assert_eq!(device.status().await.warnings, Vec::<String>::new());
    }
    let all = devices(&ada).await;
    let [other] = Vec::from_iter(all.iter().filter(|d| !d.this))[..] else {
        panic!("{all:?}")
    };
    let device = other.device.clone();
    let left = ada.ask(Request::DeviceRemove { device }).await;
    assert!(matches!(left, Response::Devices { devices } if devices.len() == 1));
    let refused = async || {
        let report = ben.status().await;
        report
            .dropped
            .keys()
            .any(|why| why.contains("stranger"))
            .then_some(())
    };
    let lost = second.send(text_and_file("Ben", "still me?", &path)).await;
    until("a refusal", refused).await;
    assert!(!second.has_receipt(&lost).await);
}

fn file(seed: u8) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map.png");
    let content = noise(300_000, seed);
    std::fs::write(&path, &content).unwrap();
    (dir, path, content)
}

/// Guards that a relay serves both devices, whichever comes first, though they and the sender are never there together; and
/// that it keeps nothing that both have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_keeps_what_one_device_has_for_the_other() {
    let post = Post::new().await;
    let (mut ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    for someone in [&ada, &ben] {
        post.serve(someone).await;
    }
    ada.knows(&ben).await;
    let mut second = ada.another_device().await;
    post.serve(&second).await;
    // The card that Ben gets by hand names both.
    ben.knows(&ada).await;
    // Each has opened the mailbox once, so the relay knows of both.
    for device in [&mut ada, &mut second] {
        device.run(Listen::Off).await;
        let is_up = async || {
            device
                .status()
                .await
                .links
                .iter()
                .any(|l| l.up)
                .then_some(())
        };
        until("the relay", is_up).await;
        device.node.take().unwrap().stop().await;
    }
    let (_files, path, content) = file(3);
    ben.run(Listen::Off).await;
    let message = ben.send(text_and_file("Ada", "by post", &path)).await;
    // Ben's card is among the frames as well, so all is there when no more come.
    let mut held = 0;
    let all = async || {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = std::mem::replace(&mut held, post.held());
        (held >= 230 && held == before).then_some(())
    };
    until("all frames at the relay", all).await;
    ben.node.take().unwrap().stop().await;
    for device in [&mut ada, &mut second] {
        device.run(Listen::Off).await;
        device.received(&message).await;
        let out = tempfile::tempdir().unwrap();
        let saved = device.saved(&message, out.path()).await;
        assert!(std::fs::read(&saved[1]).unwrap() == content);
        device.node.take().unwrap().stop().await;
    }
    post.close().await;
}

/// Guards that a device that waits at an address is given what was sealed for it, refuses what was not and waits on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_waits_takes_what_is_for_it_alone() {
    let ada = Someone::new("Ada");
    let place = Someone::nowhere();
    let joining = Joining::begin(&place.home, None).unwrap();
    let (show, shown) = oneshot::channel();
    let at = "127.0.0.1:0".parse().unwrap();
    let waits = tokio::spawn(wait(joining, at, None, |code| {
        show.send(code.clone()).unwrap();
    }));
    let code = shown.await.unwrap();
    let other = Joining::begin(&Someone::nowhere().home, None).unwrap();
    let foreign = ada.sealed_for(&other.code(vec![])).await;
    for bytes in [&foreign[..], b"nothing"] {
        let refused = hand_over(&code, bytes).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Node);
    }
    hand_over(&code, &ada.sealed_for(&code).await)
        .await
        .unwrap();
    let home = waits.await.unwrap().unwrap();
    assert_eq!(home.name(), "Ada");
    assert_eq!(devices(&place).await.len(), 3);
}

/// Homes of the command line.
struct Desk(tempfile::TempDir);

impl Desk {
    /// Runs with `--json`, expects this exit code, and gives the one object on standard output.
    fn run(&self, code: i32, home: &str, args: &[&str]) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_ostrakon"))
            .env_remove("OSTRAKON_LOG")
            .env("OSTRAKON_HOME", self.0.path().join(home))
            .args(args)
            .arg("--json")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let failed = String::from_utf8(output.stderr).unwrap();
        let ended = output.status.code();
        assert_eq!(ended, Some(code), "{home}: {args:?}\n{said}\n{failed}");
        serde_json::from_str(&said).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Guards the commands: one on each device and a file between them; and that nothing is given away without the number.
#[test]
fn one_command_on_each_device_enrols_it() {
    let desk = Desk(tempfile::tempdir().unwrap());
    desk.run(0, "old", &["init", "--name", "Ada"]);
    let shown = desk.run(0, "new", &["init", "--join"]);
    let again = desk.run(0, "new", &["init", "--join"]);
    assert_eq!(shown, again, "a code is shown again as it was");
    let (code, number) = (
        &shown["code"].as_str().unwrap(),
        shown["number"].as_str().unwrap(),
    );
    let file = desk.path("for the new one");
    let out = ["--out", text(&file)];
    desk.run(2, "old", &[&["device", "add", code], &out[..]].concat());
    let wrong = ["--number", "00000 00000 00000 00000 00000 00000"];
    desk.run(
        7,
        "old",
        &[&["device", "add", code], &out[..], &wrong].concat(),
    );
    assert!(!file.exists());
    assert_eq!(
        desk.run(0, "old", &["device", "list"])["devices"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    desk.run(
        0,
        "old",
        &[&["device", "add", code], &out[..], &["--number", number]].concat(),
    );
    let from = ["init", "--join", "--from", text(&file)];
    desk.run(7, "newer", &from);
    let joined = desk.run(0, "new", &from);
    assert_eq!(joined["name"], "Ada");
    desk.run(4, "new", &["init", "--join"]);
    let card = |home| desk.run(0, home, &["card"])["text"].clone();
    assert_eq!(card("old"), card("new"), "one card for both");
    let listed = desk.run(0, "new", &["device", "list"]);
    let all = listed["devices"].as_array().unwrap();
    let [this, other] = [true, false].map(|this| {
        let found = all.iter().find(|device| device["this"] == this).unwrap();
        found["device"].as_str().unwrap()
    });
    desk.run(2, "new", &["device", "remove", this]);
    desk.run(0, "new", &["device", "remove", other]);
    assert_ne!(card("old"), card("new"));
}

/// Guards that a passphrase that is given when the keys of the person come locks them, whatever was given before.
#[test]
fn a_passphrase_at_the_second_step_locks_the_keys() {
    let desk = Desk(tempfile::tempdir().unwrap());
    desk.run(0, "old", &["init", "--name", "Ada"]);
    let shown = desk.run(0, "new", &["init", "--join", "--no-passphrase"]);
    let [code, number] = ["code", "number"].map(|name| shown[name].as_str().unwrap());
    let (file, words) = (desk.path("bundle"), desk.path("words"));
    std::fs::write(&words, "correct horse\n").unwrap();
    let add = ["device", "add", code, "--number", number, "--out"];
    desk.run(0, "old", &[&add[..], &[text(&file)]].concat());
    let from = ["init", "--join", "--from", text(&file)];
    let under = ["--passphrase-file", text(&words)];
    let joined = desk.run(0, "new", &[&from[..], &under].concat());
    assert_eq!(joined["passphrase"], true);
    desk.run(9, "new", &["card"]);
}

/// Guards that one process makes a home in a directory, and that a home which was made is not made anew by who has seen the
/// code.
#[test]
fn a_home_is_joined_once() {
    let dir = tempfile::tempdir().unwrap();
    let waiting = Joining::begin(dir.path(), None).unwrap();
    let other = Joining::begin(dir.path(), None).unwrap_err();
    assert!(matches!(other, HomeError::Joining(_)), "{other}");
    drop(waiting);
    let again = Joining::begin(dir.path(), None).unwrap();
    drop(again);
}

/// Guards that a device which was away does not undo a removal by the card that it makes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_outlives_the_card_of_a_device_that_was_away() {
    let mut ada = Someone::new("Ada");
    let (mut away, gone) = (ada.another_device().await, ada.another_device().await);
    let card = async |device: &Someone| Card::from_text(&device.card().await.0).unwrap();
    let bytes = card(&ada).await;
    away.run(Listen::Off).await;
    ada.run(anywhere()).await;
    away.connect("ada", &ada, "Ada").await;
    let same = async || (card(&away).await.bytes() == bytes.bytes()).then_some(());
    until("the card that names all three", same).await;
    away.node.take().unwrap().stop().await;
    let this = devices(&gone).await.into_iter().find(|d| d.this).unwrap();
    let device = this.device.clone();
    ada.ask(Request::DeviceRemove { device }).await;
    // Two changes, so that its card has the higher number.
    for name in ["post", "other-post"] {
        let relay = format!("relay://127.0.0.1:{}?key={}", name.len(), "a".repeat(52));
        away.done(Request::LinkAdd(link(name, relay, None))).await;
        card(&away).await;
    }
    let numbers = [card(&ada).await, card(&away).await].map(|card| card.body().sequence);
    assert!(numbers[1] > numbers[0], "{numbers:?}");
    away.run(Listen::Off).await;
    for device in [&ada, &away] {
        let two = async || {
            let all = devices(device).await;
            let named = all.iter().any(|d| d.device == this.device);
            (all.len() == 2 && !named).then_some(())
        };
        until("a card without the removed one", two).await;
    }
}

/// Guards that two devices which each enrol another one while they are apart, under the same number, agree on a card that names
/// both; and that what one of them removes then stays away, although the other one has added it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_that_were_added_apart_are_all_named() {
    let mut ada = Someone::new("Ada");
    let mut second = ada.another_device().await;
    let [of_ada, of_second] = [ada.another_device().await, second.another_device().await];
    let card = async |device: &Someone| Card::from_text(&device.card().await.0).unwrap();
    let numbers = [card(&ada).await, card(&second).await].map(|card| card.body().sequence);
    assert_eq!(numbers[0], numbers[1]);
    let mut added = Vec::new();
    for device in [&of_ada, &of_second] {
        let this = devices(device).await.into_iter().find(|d| d.this).unwrap();
        added.push(this.device);
    }
    ada.run(anywhere()).await;
    second.run(Listen::Off).await;
    second.connect("ada", &ada, "Ada").await;
    // One card of both, which names so many, and each of these.
    let agreed = async |count: usize, named: &[String]| {
        let cards = [card(&ada).await, card(&second).await];
        let all = devices(&ada).await;
        let all: Vec<&String> = all.iter().map(|d| &d.device).collect();
        let as_is = all.len() == count && named.iter().all(|d| all.contains(&d));
        (as_is && cards[0].bytes() == cards[1].bytes()).then_some(())
    };
    until("a card that names all four", async || {
        agreed(4, &added).await
    })
    .await;
    let device = added[0].clone();
    second.ask(Request::DeviceRemove { device }).await;
    until("a card without the removed one", async || {
        agreed(3, &added[1..]).await
    })
    .await;
}
