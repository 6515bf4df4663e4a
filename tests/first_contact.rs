//! People who do not know each other: one invites the other, or one writes to somebody who lets strangers in.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ostrakon::node::Listen;
use ostrakon::node::api::{
    ErrorKind, InvitationState, Level, PersonEntry, Request, Response, StrangerEntry,
};
use people::{Someone, link, text, until};
use post::Post;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

mod people;
#[path = "people/post.rs"]
mod post;

const PATIENCE: Duration = Duration::from_secs(120);

impl Someone {
    async fn invitation(&self) -> (String, String) {
        match self.ask(Request::Invite { days: 7 }).await {
            Response::Invitation { id, text, .. } => (id, text),
            other => panic!("{other:?}"),
        }
    }

    async fn invitations(&self) -> Vec<(String, InvitationState, Option<String>)> {
        match self.ask(Request::InviteList).await {
            Response::Invitations { invitations } => {
                let all = invitations.into_iter();
                all.map(|one| (one.id, one.state, one.used_by)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    async fn adds(&self, card: String) -> Response {
        self.ask(Request::PersonAdd { card }).await
    }

    async fn people(&self) -> Vec<PersonEntry> {
        match self.ask(Request::PersonList).await {
            Response::Persons { persons, .. } => persons,
            other => panic!("{other:?}"),
        }
    }

    async fn strangers(&self, open: Option<bool>) -> Vec<StrangerEntry> {
        match self.ask(Request::Strangers { open }).await {
            Response::Strangers { strangers, .. } => strangers,
            other => panic!("{other:?}"),
        }
    }

    async fn listens(&mut self) -> String {
        let at = Listen::At("127.0.0.1:0".parse().unwrap());
        self.run(at).await;
        let node = self.node.as_ref().unwrap();
        format!("quic://{}", node.listening().unwrap())
    }

    /// Carries what waits for others on a stick to somebody.
    async fn carries(&self, stick: &Path, to: &Self) {
        let dir = stick.to_owned();
        let exported = self.ask(Request::SpoolExport { dir: dir.clone() }).await;
        assert!(
            matches!(exported, Response::Exported { .. }),
            "{exported:?}"
        );
        let imported = to.ask(Request::SpoolImport { dir }).await;
        assert!(
            matches!(imported, Response::Imported { .. }),
            "{imported:?}"
        );
    }
}

fn refusal(response: Response) -> ErrorKind {
    match response {
        Response::Error { kind, .. } => kind,
        other => panic!("{other:?}"),
    }
}

/// An invitation that is carried by hand lets its user in with what he wrote, on a stick and without a node; it is good once,
/// and one that was taken back lets nobody in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_lets_one_person_in_over_a_stick() {
    let (ada, ben, eve) = (
        Someone::new("Ada"),
        Someone::new("Ben"),
        Someone::new("Eve"),
    );
    let stick = tempfile::tempdir().unwrap();
    let (used, invitation) = ben.invitation().await;
    let (revoked, late) = ben.invitation().await;
    ben.done(Request::InviteRevoke {
        id: revoked[..6].into(),
    })
    .await;
    let again = Request::InviteRevoke { id: revoked };
    assert_eq!(refusal(ben.ask(again).await), ErrorKind::NotFound);

    let added = ada.adds(format!("Hello!\n{invitation}\n")).await;
    assert!(matches!(added, Response::Person(_)), "{added:?}");
    ada.send(text("Ben", "it is Ada")).await;
    ada.carries(stick.path(), &ben).await;
    let inbox = ben.inbox().await;
    assert_eq!((inbox.len(), &*inbox[0].from), (1, "Ada"));
    let people = ben.people().await;
    assert_eq!((people.len(), people[0].level), (1, Level::Invited));

    for card in [invitation, late] {
        let added = eve.adds(card).await;
        assert!(matches!(added, Response::Person(_)), "{added:?}");
        eve.send(text("Ben", "it is Ada, honestly")).await;
        eve.carries(stick.path(), &ben).await;
    }
    assert_eq!((ben.inbox().await.len(), ben.people().await.len()), (1, 1));
    let state = ben.invitations().await;
    let state: Vec<_> = state
        .iter()
        .map(|(_, state, by)| (*state, by.clone()))
        .collect();
    let by_ada = (InvitationState::Used, Some("Ada".to_owned()));
    assert_eq!(state, [(InvitationState::Revoked, None), by_ada]);
    assert_eq!(ben.invitations().await[1].0, used);
    // The other direction is open as well.
    ben.send(text("Ada", "welcome")).await;
    ben.carries(stick.path(), &ada).await;
    assert_eq!(ada.inbox().await.len(), 1);
}

/// Who was invited reaches a node directly, although it has never heard of his key, and gets his receipt; somebody without an
/// invitation does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_invited_connects_directly() {
    let (mut ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    let (_, invitation) = ben.invitation().await;
    ada.adds(invitation).await;
    let uri = ben.listens().await;
    ada.done(Request::LinkAdd(link("direct", uri, Some("Ben"))))
        .await;
    let message = ada.send(text("Ben", "it is Ada")).await;
    ada.run(Listen::Off).await;
    ben.received(&message).await;
    let receipt = async || ada.has_receipt(&message).await.then_some(());
    until("a receipt", receipt).await;
    let back = ben.send(text("Ada", "welcome")).await;
    ada.received(&back).await;
}

/// Through a relay an invitation works although who has given it is away when it is used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_goes_through_a_relay() {
    let (mut ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    let post = Post::new().await;
    for someone in [&ada, &ben] {
        post.serve(someone).await;
    }
    let (_, invitation) = ben.invitation().await;
    ada.adds(invitation).await;
    let message = ada.send(text("Ben", "it is Ada")).await;
    ada.run(Listen::Off).await;
    until("preamble, card and text at the relay", async || {
        (post.held() >= 3).then_some(())
    })
    .await;
    ada.node.take().unwrap().stop().await;
    ben.run(Listen::Off).await;
    ben.received(&message).await;
    let back = ben.send(text("Ada", "welcome")).await;
    ada.run(Listen::Off).await;
    ada.received(&back).await;
    let receipt = async || ada.has_receipt(&message).await.then_some(());
    until("a receipt", receipt).await;
    post.close().await;
}

/// A stranger's message waits, by his own link, and comes to the inbox under the name that it is given once he is taken in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_waits_for_a_word() {
    let (mut ada, mut ben, carl) = (
        Someone::new("Ada"),
        Someone::new("Ben"),
        Someone::new("ada"),
    );
    assert_eq!(ben.strangers(Some(true)).await, []);
    // Ben knows somebody of that name.
    ben.knows(&carl).await;
    ada.knows(&ben).await;
    let uri = ben.listens().await;
    ada.done(Request::LinkAdd(link("direct", uri, Some("Ben"))))
        .await;
    let message = ada.send(text("Ben", "may I?")).await;
    ada.run(Listen::Off).await;
    let waits = async || {
        let strangers = ben.strangers(None).await;
        strangers.into_iter().find(|one| one.messages == 1)
    };
    let stranger = until("a stranger with a message", waits).await;
    assert_eq!((&*stranger.name, stranger.invited), ("Ada", false));
    assert_eq!((ben.inbox().await.len(), ben.people().await.len()), (0, 1));
    assert!(!ada.has_receipt(&message).await);
    let accept = |person: &str, alias: Option<&str>| Request::PersonAccept {
        person: person.into(),
        alias: alias.map(str::to_owned),
    };
    let person = stranger.person.as_str();
    assert_eq!(
        refusal(ben.ask(accept(person, None)).await),
        ErrorKind::Usage,
        "the name is taken"
    );
    let Response::Person(taken) = ben.ask(accept("Ada", Some("Ada of the mill"))).await else {
        panic!("not taken in");
    };
    assert_eq!(
        (&*taken.name, taken.level),
        ("Ada of the mill", Level::Known)
    );
    let entry = ben.received(&message).await;
    assert_eq!(entry.from, "Ada of the mill");
    let receipt = async || ada.has_receipt(&message).await.then_some(());
    until("a receipt", receipt).await;
    assert_eq!(ben.strangers(None).await, []);
    let back = ben.send(text("ada of the mill", "welcome")).await;
    ada.received(&back).await;
}

/// Guards that who was declined and is taken in by his card later on is heard: what is sent to him is reported and its receipt
/// comes, although his endpoint takes the session for known that was thrown away here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_declined_is_heard_once_he_is_taken_in() {
    let (mut ada, mut sam) = (Someone::new("Ada"), Someone::new("Sam"));
    ada.strangers(Some(true)).await;
    sam.knows(&ada).await;
    let uri = ada.listens().await;
    sam.done(Request::LinkAdd(link("direct", uri, Some("Ada"))))
        .await;
    sam.send(text("Ada", "may I?")).await;
    sam.run(Listen::Off).await;
    let waits = async || {
        let strangers = ada.strangers(None).await;
        strangers.into_iter().find(|one| one.messages == 1)
    };
    until("a stranger with a message", waits).await;
    // Ada's answer that it has arrived is there, so Sam takes his session for known.
    let arrived = async || {
        let sent = sam.status().await.outbound.into_iter();
        sent.flat_map(|one| one.parts)
            .all(|part| part.held_bytes > 0)
            .then_some(())
    };
    until("a report of what waits", arrived).await;
    let person = "Sam".to_owned();
    ada.done(Request::PersonDecline { person }).await;
    ada.knows(&sam).await;
    let message = ada.send(text("Sam", "come in")).await;
    sam.received(&message).await;
    let receipt = async || ada.has_receipt(&message).await.then_some(());
    until("a receipt", receipt).await;
    let back = sam.send(text("Ada", "thank you")).await;
    ada.received(&back).await;
}

/// What the command line prints and how it ends.
#[test]
fn invitations_and_strangers_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let run = |code: i32, args: &[&str]| -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_ostrakon"))
            .env_remove("OSTRAKON_LOG")
            .env("OSTRAKON_HOME", dir.path().join("home"))
            .args(args)
            .arg("--json")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?} {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    run(0, &["init", "--name", "Amina"]);
    let file = dir.path().join("invitation.svg");
    let made = run(
        0,
        &[
            "invite",
            "new",
            "--days",
            "3",
            "--qr",
            "--out",
            file.to_str().unwrap(),
        ],
    );
    assert!(
        made["text"]
            .as_str()
            .unwrap()
            .starts_with("ostrakon-invite:")
    );
    assert_eq!(made["left_s"], 3 * 24 * 3600);
    assert!(std::fs::read_to_string(&file).unwrap().contains("<svg"));
    let listed = run(0, &["invite", "list"]);
    assert_eq!(listed["invitations"][0]["state"], "open");
    assert_eq!(listed["invitations"][0]["id"], made["id"]);
    // One's own invitation, a damaged one, none.
    let text = made["text"].as_str().unwrap();
    std::fs::write(&file, text).unwrap();
    run(2, &["person", "add", file.to_str().unwrap()]);
    let other = if &text[40..41] == "b" { "c" } else { "b" };
    let damaged = [&text[..40], other, &text[41..]].concat();
    std::fs::write(&file, damaged).unwrap();
    run(7, &["person", "add", file.to_str().unwrap()]);
    run(3, &["invite", "revoke", "zzzz"]);
    run(2, &["invite", "new", "--days", "0"]);
    run(0, &["invite", "revoke", made["id"].as_str().unwrap()]);
    for open in [true, false] {
        let word = if open { "on" } else { "off" };
        assert_eq!(run(0, &["strangers", word])["open"], open);
        assert_eq!(run(0, &["strangers"])["open"], open);
    }
    assert_eq!(
        run(0, &["person", "strangers"])["strangers"],
        Value::Array(vec![])
    );
    run(3, &["person", "accept", "Bo"]);
    run(3, &["person", "decline", "Bo"]);
}
