//! People who are introduced, compared, blocked and let in, by the command line and a stick that is carried between them.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ostrakon::node::Listen;
use ostrakon::node::api::{Request, Response};
use people::{Someone, link, until};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

mod people;

const PATIENCE: Duration = Duration::from_secs(90);

/// Homes of three people, and a stick. No node runs, so everything happens when it is said.
struct Town {
    dir: tempfile::TempDir,
}

impl Town {
    /// Mara knows Amina and Bo, and both know her. They do not know each other.
    fn new() -> Self {
        let town = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for name in ["Amina", "Bo", "Mara"] {
            town.done(name, &["init", "--name", name]);
            let card = town.path(&format!("{name}.card"));
            town.done(name, &["card", "--out", text(&card)]);
        }
        std::fs::create_dir(town.path("stick")).unwrap();
        for (who, of) in [
            ("Mara", "Amina"),
            ("Mara", "Bo"),
            ("Amina", "Mara"),
            ("Bo", "Mara"),
        ] {
            town.knows(who, of);
        }
        town
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs with `--json`, expects this exit code, and gives the one object on standard output.
    fn run(&self, code: i32, who: &str, args: &[&str]) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_ostrakon"))
            .env_remove("OSTRAKON_LOG")
            .env("OSTRAKON_HOME", self.path(&format!("home of {who}")))
            .args(args)
            .arg("--json")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let failed = String::from_utf8(output.stderr).unwrap();
        let ended = output.status.code();
        assert_eq!(ended, Some(code), "{who}: {args:?}\n{said}\n{failed}");
        serde_json::from_str(&said).unwrap()
    }

    fn done(&self, who: &str, args: &[&str]) -> Value {
        self.run(0, who, args)
    }

    fn knows(&self, who: &str, of: &str) -> Value {
        let card = self.path(&format!("{of}.card"));
        self.done(who, &["person", "add", text(&card)])
    }

    fn carry(&self, from: &str, to: &str) {
        let stick = self.path("stick");
        self.done(from, &["spool", "export", text(&stick)]);
        self.done(to, &["spool", "import", text(&stick)]);
    }

    fn people(&self, who: &str) -> Value {
        self.done(who, &["person", "list"])
    }

    fn number(&self, who: &str, of: &str) -> String {
        let shown = self.done(who, &["person", "show", of]);
        shown["safety_number"].as_str().unwrap().to_owned()
    }

    fn inbox(&self, who: &str) -> usize {
        let inbox = self.done(who, &["inbox"]);
        inbox["messages"].as_array().unwrap().len()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An introduction waits for a word of its recipient, who then knows the person as introduced and no more, and can write to
/// it. It is used once, whatever is carried how often.
#[test]
fn who_is_introduced_and_accepted_on_both_sides_can_be_written_to() {
    let town = Town::new();
    let order = ["person", "introduce", "Amina", "Bo", "--note", "the doctor"];
    let introduced = town.done("Mara", &order);
    assert_eq!(introduced["messages"].as_array().unwrap().len(), 2);
    town.carry("Mara", "Amina");
    town.carry("Mara", "Bo");
    let people = town.people("Amina");
    assert_eq!(people["persons"].as_array().unwrap().len(), 1);
    let waiting = &people["introductions"][0];
    assert_eq!(
        [&waiting["name"], &waiting["introducer"], &waiting["note"]],
        ["Bo", "Mara", "the doctor"]
    );
    assert_eq!(waiting["introducer_level"], "known");
    assert_eq!(town.inbox("Amina"), 0, "people see no message of it");
    town.run(3, "Amina", &["send", "Bo", "--text", "too early"]);
    let bo = town.done("Amina", &["person", "accept", "bo"]);
    assert_eq!(
        [&bo["name"], &bo["level"], &bo["introduced_by"]],
        ["Bo", "introduced", "Mara"]
    );
    town.run(3, "Amina", &["person", "accept", "Bo"]);
    town.carry("Mara", "Amina");
    let people = town.people("Amina");
    assert_eq!(people["introductions"].as_array().unwrap().len(), 0);
    assert_eq!(people["persons"].as_array().unwrap().len(), 2);
    town.done("Bo", &["person", "accept", "Amina"]);
    town.done("Amina", &["send", "Bo", "--text", "the bridge is down"]);
    town.carry("Amina", "Bo");
    assert_eq!(town.inbox("Bo"), 1);
    // It never becomes more by itself: only by the number that the other side sees.
    let wrong = town.number("Amina", "Mara");
    town.run(7, "Amina", &["person", "verify", "Bo", "--number", &wrong]);
    town.run(2, "Amina", &["person", "verify", "Bo"]);
    let shown = town.done("Amina", &["person", "show", "Bo"]);
    assert_eq!(shown["level"], "introduced");
    let right = town.number("Bo", "Amina");
    let verify = ["person", "verify", "Bo", "--number", &right];
    assert_eq!(town.done("Amina", &verify)["level"], "verified");
    let shown = town.done("Amina", &["person", "show", "Bo"]);
    assert_eq!(shown["level"], "verified");
    let revoked = town.done("Amina", &["person", "revoke", "Bo"]);
    assert_eq!(revoked["level"], "known");
    let shown = town.done("Amina", &["person", "show", "Bo"]);
    assert_eq!(
        [&shown["level"], &shown["introduced_by"]],
        [&"known".into(), &Value::Null]
    );
}

/// Who says how large messages may be is asked for nothing larger by people who have the card, and the card says it until it is
/// lifted.
#[test]
fn what_is_too_large_for_a_contact_is_not_sent() {
    let town = Town::new();
    town.run(2, "Bo", &["largest", "10kB"]);
    assert_eq!(town.done("Bo", &["largest", "100kB"])["bytes"], 100_000);
    town.carry("Bo", "Mara");
    let shown = town.done("Mara", &["person", "show", "Bo"]);
    assert_eq!(shown["largest"], 100_000);
    let [small, large] = [("small", 90_000), ("large", 100_001)].map(|(name, len)| {
        let path = town.path(name);
        std::fs::write(&path, vec![7; len]).unwrap();
        path
    });
    let send =
        |code: i32, path: &Path| town.run(code, "Mara", &["send", "Bo", "--file", text(path)]);
    send(0, &small);
    let said = send(6, &large);
    let said = said["error"]["text"].as_str().unwrap();
    assert!(said.contains("at most 100000 bytes"), "{said}");
    assert_eq!(town.done("Bo", &["largest", "any"])["bytes"], Value::Null);
    town.carry("Bo", "Mara");
    send(0, &large);
    assert_eq!(town.done("Bo", &["largest"])["bytes"], Value::Null);
}

/// Nobody is introduced who is known, or called like somebody who is; what is declined does not come back.
#[test]
fn an_introduction_changes_no_contact_and_is_declined_for_good() {
    let town = Town::new();
    let introduce = ["person", "introduce", "Amina", "Bo", "--for", "3"];
    town.done("Mara", &introduce);
    town.carry("Mara", "Amina");
    town.knows("Amina", "Bo");
    let verify = ["person", "verify", "Bo", "--number"];
    let number = town.number("Bo", "Mara");
    town.run(7, "Amina", &[&verify[..], &[&number]].concat());
    town.run(2, "Amina", &["person", "accept", "Bo"]);
    let shown = town.done("Amina", &["person", "show", "Bo"]);
    assert_eq!(shown["level"], "known");
    town.done("Amina", &["person", "decline", "Bo"]);
    town.run(3, "Amina", &["person", "decline", "Bo"]);
    town.done("Mara", &introduce);
    town.carry("Mara", "Amina");
    let people = town.people("Amina");
    assert_eq!(people["introductions"].as_array().unwrap().len(), 0);
    // Orders that make no sense.
    town.run(2, "Mara", &["person", "introduce", "Amina", "amina"]);
    town.run(3, "Mara", &["person", "introduce", "Amina", "Else"]);
    town.run(2, "Mara", &[&introduce[..4], &["--for", "0"]].concat());
    town.run(2, "Mara", &[&introduce[..4], &["--note", "a\nb"]].concat());
}

/// Six digits that both sides have made together, read aloud, verify a person; others end the comparison.
#[test]
fn six_digits_that_both_sides_see_verify_a_person() {
    let town = Town::new();
    let voice = |who: &str, of: &str| town.done(who, &["person", "verify", of, "--voice"]);
    assert!(voice("Amina", "Mara")["number"].is_null());
    town.carry("Amina", "Mara");
    assert!(
        voice("Mara", "Amina")["number"].is_null(),
        "only a commitment is here"
    );
    town.carry("Mara", "Amina");
    let seen = voice("Amina", "Mara")["number"].clone();
    town.carry("Amina", "Mara");
    assert_eq!(voice("Mara", "Amina")["number"], seen);
    let number = seen.as_str().unwrap();
    assert_eq!(town.inbox("Amina") + town.inbox("Mara"), 0);
    let compare = ["person", "verify", "Amina", "--voice", "--number", number];
    assert_eq!(town.done("Mara", &compare)["level"], "verified");
    let last = number.chars().last().unwrap();
    let other = if last == '0' { "1" } else { "0" };
    let wrong = format!("{}{other}", &number[..number.len() - 1]);
    let compare = ["person", "verify", "Mara", "--voice", "--number", &wrong];
    town.run(7, "Amina", &compare);
    town.run(3, "Amina", &compare);
    let shown = town.done("Amina", &["person", "show", "Mara"]);
    assert_eq!(shown["level"], "known");
}

/// Nothing comes of a person who is blocked and nothing leaves to it; it comes after all once the person is let in again.
#[test]
fn a_blocked_person_waits_until_it_is_let_in() {
    let town = Town::new();
    let blocked = town.done("Bo", &["person", "block", "Mara"]);
    assert_eq!(blocked["blocked"], true);
    assert_eq!(town.done("Bo", &["status"])["blocked"][0], "Mara");
    town.done("Mara", &["send", "Bo", "--text", "let me in"]);
    town.carry("Mara", "Bo");
    assert_eq!(town.inbox("Bo"), 0);
    let said = town.run(2, "Bo", &["send", "Mara", "--text", "never"]);
    let said = said["error"]["text"].as_str().unwrap();
    assert!(said.contains("person unblock"), "{said}");
    let stick = town.path("stick");
    let exported = town.done("Bo", &["spool", "export", text(&stick)]);
    assert_eq!(exported["frames"], 0);
    let let_in = town.done("Bo", &["person", "unblock", "Mara"]);
    assert_eq!(let_in["blocked"], false);
    town.carry("Mara", "Bo");
    assert_eq!(town.inbox("Bo"), 1);
}

/// Nodes that run send each other what a comparison needs, and let nobody who is blocked connect.
#[tokio::test(flavor = "multi_thread")]
async fn running_nodes_answer_each_other_and_close_their_links_to_the_blocked() {
    let (mut amina, mut mara) = (Someone::new("Amina"), Someone::new("Mara"));
    amina.knows(&mara).await;
    mara.knows(&amina).await;
    mara.run(Listen::At("127.0.0.1:0".parse().unwrap())).await;
    let at = mara.node.as_ref().unwrap().listening().unwrap();
    let direct = link("direct", format!("quic://{at}"), Some("Mara"));
    amina.done(Request::LinkAdd(direct)).await;
    // Mara begins before anything of Amina is there: what follows on her side her node does by itself.
    assert_eq!(number(&mara, "Amina").await, None);
    amina.run(Listen::Off).await;
    let seen = until("a number", async || number(&amina, "Mara").await).await;
    let same = until("a number", async || number(&mara, "Amina").await).await;
    assert_eq!(seen, same);
    is_up(&amina, true).await;
    for blocked in [true, false] {
        let person = "Amina".to_owned();
        let answer = mara.ask(Request::PersonBlock { person, blocked }).await;
        assert!(matches!(answer, Response::Person(_)), "{answer:?}");
        is_up(&amina, !blocked).await;
    }
}

async fn number(who: &Someone, of: &str) -> Option<String> {
    let (person, again) = (of.to_owned(), false);
    match who.ask(Request::PersonVoice { person, again }).await {
        Response::Voice { number, overtaken } => {
            assert!(!overtaken);
            number
        }
        other => panic!("{other:?}"),
    }
}

/// Waits until the only link is up, or down.
async fn is_up(who: &Someone, up: bool) {
    let as_wanted = async || {
        let report = who.status().await;
        (report.links.iter().all(|link| link.up == up)).then_some(())
    };
    until("a link that is up or down", as_wanted).await;
}
