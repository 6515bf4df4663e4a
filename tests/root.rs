//! The root key apart from the devices, as its owner uses it.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ostrakon::node::api::{Request, Response};
use ostrakon::node::{Home, Listen, RootFile};
use ostrakon::security::card::Card;
use people::{Someone, text, until};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

mod people;

const PATIENCE: Duration = Duration::from_secs(90);

/// Runs the program as its user does.
fn ostrakon(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ostrakon"));
    command.arg("--home").arg(home).args(args);
    command.env_remove("OSTRAKON_PASSPHRASE_FILE");
    command.output().unwrap()
}

#[track_caller]
fn done(home: &Path, args: &[&str]) -> String {
    let output = ostrakon(home, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn refused(home: &Path, args: &[&str], code: i32) -> String {
    let output = ostrakon(home, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn card_of(someone: &Someone) -> Card {
    Card::from_text(&someone.card().await.0).unwrap()
}

/// Guards what an offline root is for: a device is stolen, the root renews the keys on another one, contacts hear of it by
/// themselves, and the thief is nobody to them from then on, whatever card he makes. Nothing that was under way is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_26_a_thief_of_a_device_is_shut_out_by_the_root() {
    let (mut ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    let stick = tempfile::tempdir().unwrap();
    let root = stick.path().join("root");
    let path = root.to_str().unwrap();
    done(&ada.home, &["root", "move", path]);
    ada.knows(&ben).await;
    ben.knows(&ada).await;
    let mut stolen = ada.another_device().await;
    ben.run(Listen::At("127.0.0.1:0".parse().unwrap())).await;
    ada.run(Listen::Off).await;
    ada.connect("ben", &ben, "Ben").await;
    let first = ada.send(text("Ben", "before")).await;
    ada.receipt(&first).await;
    stolen.run(Listen::Off).await;
    stolen.connect("ben", &ben, "Ben").await;
    let known = async || {
        let person = ben
            .ask(Request::PersonShow {
                person: "Ada".into(),
            })
            .await;
        matches!(person, Response::Person(entry) if entry.card_sequence > 1).then_some(())
    };
    until("the card with the second device", known).await;
    let both = ben.send(text("Ada", "to both")).await;
    stolen.received(&both).await;
    ada.received(&both).await;

    ada.node.take().unwrap().stop().await;
    done(&ada.home, &["root", "renew", path]);
    // Under way to the old keys.
    let waiting = ben.send(text("Ada", "under way")).await;
    ada.run(Listen::Off).await;
    let card = card_of(&ada).await;
    assert_eq!((card.number(), card.body().endpoints.len()), (2, 1));
    ada.received(&waiting).await;
    let after = ada.send(text("Ben", "it is me")).await;
    ada.receipt(&after).await;
    ben.received(&after).await;
    let secret = ben.send(text("Ada", "not for thieves")).await;
    ada.received(&secret).await;

    // What the thief says is nobody's, and his card, with whatever number, is no card of hers.
    let lost = stolen.send(text("Ben", "still me")).await;
    let forged = {
        let thief = Home::open(&stolen.home).unwrap().identity().unwrap();
        thief.card("Ada", 1 << 40, vec![]).to_text()
    };
    let said = ben.ask(Request::PersonAdd { card: forged }).await;
    assert!(
        matches!(&said, Response::Error { text, .. } if text.contains("replaced")),
        "{said:?}"
    );
    let shut = async || {
        let dropped = ben.status().await.dropped;
        dropped
            .keys()
            .any(|why| why.contains("stranger"))
            .then_some(())
    };
    until("a refusal of the thief", shut).await;
    assert!(!stolen.has_receipt(&lost).await);
    let inbox = stolen.inbox().await;
    assert!(inbox.iter().all(|entry| entry.message != secret));
    assert_eq!(ben.status().await.warnings, Vec::<String>::new());
}

/// Guards that a device which was added to the former keys stays out although the word of it was still on its way when the root made
/// them anew, and a device that joined since hears it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_on_a_device_does_not_outlive_the_keys_that_it_shared() {
    let mut ada = Someone::new("Ada");
    let stick = tempfile::tempdir().unwrap();
    let root = stick.path().join("root");
    let path = root.to_str().unwrap();
    done(&ada.home, &["root", "move", path]);
    let _stolen = ada.another_device().await;
    done(&ada.home, &["root", "renew", path]);
    let mut third = ada.another_device().await;
    ada.run(Listen::At("127.0.0.1:0".parse().unwrap())).await;
    third.run(Listen::Off).await;
    third.connect("ada", &ada, "Ada").await;
    // What was on its way came before this.
    let bound = Request::Largest {
        bytes: Some(1 << 20),
        any: false,
    };
    ada.ask(bound).await;
    let told = async || {
        let card = card_of(&third).await;
        (card.body().largest == Some(1 << 20)).then_some(())
    };
    until("the newest card", told).await;
    for device in [&ada, &third] {
        assert_eq!(card_of(device).await.body().endpoints.len(), 2);
    }
}

/// Guards the commands: the root leaves the home, stays under its passphrase, is never overwritten or used for somebody else,
/// and makes its owner a home when none is left.
#[test]
fn the_root_is_moved_renewed_and_begun_with_by_command() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (home, root, words) = (at("home"), at("root"), at("words"));
    let path = root.to_str().unwrap();
    std::fs::write(&words, "four words by dice\n").unwrap();
    let words = words.to_str().unwrap();
    done(&home, &["init", "--name", "Ada"]);
    let keys = std::fs::read(home.join("keys")).unwrap();
    let seed = &keys[5..37];
    done(
        &home,
        &["root", "move", path, "--root-passphrase-file", words],
    );
    let holds = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(32).any(|bytes| bytes == seed)
    };
    assert!(!holds(&home.join("keys")) && !holds(&root));
    let person = |home: &Path| Home::open(home).unwrap().identity().unwrap().person();
    let ada = person(&home);

    let again = refused(&home, &["root", "move", at("other").to_str().unwrap()], 2);
    assert!(again.contains("was moved before"), "{again}");
    let locked = refused(&home, &["root", "renew", path], 9);
    assert!(locked.contains("--root-passphrase-file"), "{locked}");
    let bob = at("bob");
    done(&bob, &["init", "--name", "Bob"]);
    let kept = refused(&bob, &["root", "move", path], 2);
    assert!(kept.contains("is there already"), "{kept}");
    let with = ["--root-passphrase-file", words];
    let foreign = refused(&bob, &[&["root", "renew", path], &with[..]].concat(), 2);
    assert!(foreign.contains("somebody else"), "{foreign}");
    let inside = bob.join("store").join("root");
    refused(&bob, &["root", "move", inside.to_str().unwrap()], 2);
    refused(
        &bob,
        &["root", "move", at("nowhere/root").to_str().unwrap()],
        2,
    );
    assert!(Home::open(&bob).unwrap().identity().unwrap().has_root());
    refused(&home, &["root", "renew", at("none").to_str().unwrap()], 3);
    let damaged = at("damaged");
    done(&at("eve"), &["init", "--name", "Eve"]);
    let plain = damaged.to_str().unwrap();
    done(&at("eve"), &["root", "move", plain]);
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[9] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let said = refused(&at("fay"), &["init", "--name", "Eve", "--root", plain], 7);
    assert!(said.contains("is damaged"), "{said}");

    done(&home, &[&["root", "renew", path], &with[..]].concat());
    let new = at("new");
    let init = ["init", "--name", "Ada", "--root", path];
    done(&new, &[&init[..], &with[..]].concat());
    assert_eq!([person(&home), person(&new)], [ada, ada]);
    let number = |home: &Path| {
        let card = done(home, &["card"]);
        Card::from_text(&card).unwrap().number()
    };
    assert_eq!((number(&home), number(&new)), (2, 3));
    assert!(RootFile::open(&root).unwrap().is_locked());
}
