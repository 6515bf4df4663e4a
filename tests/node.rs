//! Nodes in one process, on the loopback interface and on real disks.
#![cfg(feature = "node")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ostrakon::node::api::{ErrorKind, LinkConfig, RateControl, Request, Response, SendRequest};
use ostrakon::node::{Client, Home, Listen, Node, Options};
use ostrakon_transports::keys::{LinkKey, LinkSecret};
use ostrakon_transports::quic::{EndpointOptions, PeerSpec, QuicEndpoint, QuicSettings};
use ostrakon_transports::{LinkEvent, LinkHandle, LinkId, LinkOrder};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

mod people;
#[path = "people/post.rs"]
mod post;

use people::{Someone, link, noise, text_and_file, until};
use post::Post;

const PATIENCE: Duration = Duration::from_secs(90);

fn options(listen: Listen) -> Options {
    Options {
        listen,
        ..Options::default()
    }
}

fn anywhere() -> Listen {
    Listen::At("127.0.0.1:0".parse().unwrap())
}

impl Someone {
    async fn stop(&mut self) {
        self.node.take().unwrap().stop().await;
    }

    fn address(&self) -> String {
        self.node.as_ref().unwrap().listening().unwrap().to_string()
    }

    async fn up(&self, link: &str) {
        let up = async || {
            let report = self.status().await;
            report
                .links
                .iter()
                .any(|l| l.name == link && l.up)
                .then_some(())
        };
        until("a link that is up", up).await;
    }

    async fn texts(&self, message: &str) -> Vec<String> {
        let message = message.to_owned();
        match self.ask(Request::Read { message }).await {
            Response::Text { texts, .. } => texts,
            other => panic!("{other:?}"),
        }
    }
}

/// Two who know each other, the first with a direct link to the second, who listens.
async fn acquainted() -> (Someone, Someone) {
    let (mut ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    ada.knows(&ben).await;
    ben.knows(&ada).await;
    ben.run(anywhere()).await;
    ada.run(Listen::Off).await;
    let uri = format!("quic://{}", ben.address());
    ada.done(Request::LinkAdd(link("direct", uri, Some("Ben"))))
        .await;
    (ada, ben)
}

/// Guards that two links to one endpoint are there beside each other at both ends, and that both carry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_links_to_one_endpoint_carry_beside_each_other() {
    let (ada, ben) = acquainted().await;
    let uri = format!("quic://{}", ben.address());
    ada.done(Request::LinkAdd(link("second", uri, Some("Ben"))))
        .await;
    for side in [&ada, &ben] {
        let both =
            async || (side.status().await.links.iter().filter(|l| l.up).count() == 2).then_some(());
        until("two links that are up", both).await;
    }
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("map.png");
    fs::write(&file, noise(3_000_000, 3)).unwrap();
    let sent = ada.send(text_and_file("Ben", "by both", &file)).await;
    ben.received(&sent).await;
    ada.receipt(&sent).await;
    let report = ben.status().await;
    let brought = report
        .links
        .iter()
        .filter(|l| l.received_fragments > 0 && l.up)
        .count();
    assert_eq!(brought, 2, "{:?}", report.links);
}

/// A link that a program opens with Ada's key, and what it has last said.
struct Opened {
    handle: LinkHandle,
    events: mpsc::Receiver<(LinkId, LinkEvent)>,
}

/// Opens a link to Ben's node with Ada's key, under this number.
fn open_as(ada: &Someone, endpoint: &QuicEndpoint, ben: &Someone, number: u32) -> Opened {
    let key = Home::open(&ben.home)
        .unwrap()
        .identity()
        .unwrap()
        .link_key();
    let spec = PeerSpec {
        address: ben.address(),
        key: LinkKey(key),
        others: Vec::new(),
        number,
        settings: QuicSettings::default(),
    };
    assert!(ada.node.is_none());
    let (sender, events) = mpsc::channel(64);
    let handle = endpoint.connect(LinkId(number), spec, sender);
    Opened { handle, events }
}

impl Opened {
    async fn until(&mut self, what: impl Fn(&LinkEvent) -> bool) {
        let found = async { while !what(&self.events.recv().await.unwrap().1) {} };
        tokio::time::timeout(PATIENCE, found).await.unwrap();
    }
}

/// Guards the links of who has opened as many as he may: one more is refused and told why, instead of displacing one that is up,
/// whose end would dial again; and it takes the place of one that is down, of which it inherits nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_too_many_displaces_none_that_is_up() {
    let (ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    ada.knows(&ben).await;
    ben.knows(&ada).await;
    ben.run(anywhere()).await;
    let seed = *Home::open(&ada.home)
        .unwrap()
        .identity()
        .unwrap()
        .link_seed()
        .bytes();
    let (any, secret) = ("127.0.0.1:0".parse().unwrap(), LinkSecret::from_seed(seed));
    let endpoint = QuicEndpoint::bind(any, &secret, EndpointOptions::default()).unwrap();
    let mut links = Vec::new();
    for number in 1..=8 {
        let mut link = open_as(&ada, &endpoint, &ben, number);
        link.until(|event| matches!(event, LinkEvent::Up(_))).await;
        links.push(link);
    }
    let garbage = LinkOrder::Transmit {
        frame: vec![0; 300].into(),
        tag: 0,
    };
    links[0]
        .until(|event| matches!(event, LinkEvent::Ready(_)))
        .await;
    links[0].handle.orders.send(garbage).await.unwrap();
    let entry = async |name: &str| {
        let links = ben.status().await.links;
        links.into_iter().find(|link| link.name == name)
    };
    let counted = async || {
        entry("quic:Ada:1")
            .await
            .filter(|link| link.received_frames == 1)
    };
    until("a frame that is counted", counted).await;
    let mut ninth = open_as(&ada, &endpoint, &ben, 9);
    for _ in 0..3 {
        let told = |event: &LinkEvent| matches!(event, LinkEvent::Down(why) if why.contains("remove links"));
        ninth.until(told).await;
        // The same reason is said once only.
        drop(std::mem::replace(
            &mut ninth,
            open_as(&ada, &endpoint, &ben, 9),
        ));
    }
    for link in &mut links {
        while let Ok((_, event)) = link.events.try_recv() {
            assert!(!matches!(event, LinkEvent::Down(_)), "{event:?}");
        }
    }
    drop(links.remove(0));
    ninth.until(|event| matches!(event, LinkEvent::Up(_))).await;
    let up = async || entry("quic:Ada:9").await.filter(|link| link.up);
    let ninth = until("the ninth link", up).await;
    assert_eq!((ninth.received_frames, ninth.received_bytes), (0, 0));
    assert_eq!(ninth.down_reason, None);
    assert!(entry("quic:Ada:1").await.is_none());
}

/// Guards who adds more links to somebody than a node takes of one: that is told at once.
#[tokio::test]
async fn a_link_too_many_to_one_person_is_refused_by_name() {
    let (ada, ben) = (Someone::new("Ada"), Someone::new("Ben"));
    ada.knows(&ben).await;
    let one = |number: u32| {
        let name = format!("line-{number}");
        let uri = format!("quic://192.0.2.1:{}", 7000 + number);
        Request::LinkAdd(link(&name, uri, Some("Ben")))
    };
    for number in 1..=8 {
        ada.done(one(number)).await;
    }
    let Response::Error { kind, text } = ada.ask(one(9)).await else {
        panic!("a ninth link to one person");
    };
    assert_eq!(kind, ErrorKind::Usage);
    assert!(
        text.contains("8 links lead to Ben already") && text.contains("link rm"),
        "{text}"
    );
    let name = "line-3".into();
    let removed = ada.ask(Request::LinkRemove { name }).await;
    let waiting = Vec::new();
    assert_eq!(removed, Response::LinkRemoved { waiting });
    ada.done(one(9)).await;
}

/// What one sends the other gets, once, byte for byte, in both directions of one connection; and the sender
/// learns that it did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_and_a_file_travel_both_ways_over_quic() {
    let (ada, ben) = acquainted().await;
    let files = tempfile::tempdir().unwrap();
    for (from, to, name, seed) in [(&ada, &ben, "Ben", 1), (&ben, &ada, "Ada", 2)] {
        let file = files.path().join(format!("map-{seed}.png"));
        let content = noise(3_000_000, seed);
        fs::write(&file, &content).unwrap();
        let message = from.send(text_and_file(name, "bridge is out", &file)).await;
        // What was queued does not change any more.
        fs::write(&file, b"changed afterwards").unwrap();
        let entry = to.received(&message).await;
        assert_eq!((entry.deliveries, entry.parts.len()), (1, 2));
        assert_eq!(to.texts(&message).await, ["bridge is out"]);
        let out = files.path().join(format!("out-{seed}"));
        let saved = to.saved(&message, &out).await;
        let names: Vec<_> = saved
            .iter()
            .map(|p| p.strip_prefix(&out).unwrap().to_owned())
            .collect();
        assert_eq!(
            names,
            [
                PathBuf::from("part-1.txt"),
                PathBuf::from(format!("map-{seed}.png"))
            ]
        );
        assert!(fs::read(&saved[1]).unwrap() == content, "the file differs");
        from.receipt(&message).await;
    }
}

/// What arrived stays arrived: the recipient restarts in the middle of a file, and the sender too; the file comes
/// whole, and is delivered once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_survives_restarts_of_both_sides() {
    let (mut ada, mut ben) = acquainted().await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("atlas.bin");
    let content = noise(24_000_000, 3);
    fs::write(&file, &content).unwrap();
    let message = ada.send(text_and_file("Ben", "see the atlas", &file)).await;
    let begun = async || {
        let report = ben.status().await;
        let held: u64 = report
            .inbound
            .iter()
            .flat_map(|m| &m.parts)
            .map(|p| p.held_bytes)
            .sum();
        (held > 2_000_000).then_some(())
    };
    until("the first two megabytes", begun).await;
    let address = ben.address();
    ben.stop().await;
    let held_before = {
        let report = ben.status().await;
        assert_eq!(report.node, None);
        let parts = report.inbound.iter().flat_map(|m| &m.parts);
        parts.map(|p| p.held_bytes).sum::<u64>()
    };
    assert!(
        held_before > 1_000_000,
        "a restart lost what was here: {held_before}"
    );
    ada.stop().await;
    assert_eq!(ada.status().await.outbound.len(), 1);
    ada.run(Listen::Off).await;
    ben.run(Listen::At(address.parse().unwrap())).await;
    let entry = ben.received(&message).await;
    assert_eq!(entry.deliveries, 1);
    let saved = ben.saved(&message, &files.path().join("out")).await;
    assert!(fs::read(&saved[1]).unwrap() == content, "the file differs");
    ada.receipt(&message).await;
    // The receipt, and the inbox, are still there after another restart.
    ada.stop().await;
    ben.stop().await;
    assert!(
        ada.status()
            .await
            .outbound
            .iter()
            .any(|o| o.message == message && o.complete)
    );
    assert_eq!(ben.inbox().await.len(), 1);
}

/// A message queued while no node runs leaves when one does; a stranger's node gets no link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_queued_offline_leaves_later_and_strangers_are_refused() {
    let (mut ada, mut ben, mut eve) = (
        Someone::new("Ada"),
        Someone::new("Ben"),
        Someone::new("Eve"),
    );
    ada.knows(&ben).await;
    ben.knows(&ada).await;
    eve.knows(&ben).await;
    ben.run(anywhere()).await;
    let uri = format!("quic://{}", ben.address());
    for someone in [&ada, &eve] {
        someone
            .done(Request::LinkAdd(link("direct", uri.clone(), None)))
            .await;
    }
    let request = |text: &str| SendRequest {
        person: "ben".into(),
        text: Some(text.into()),
        ..SendRequest::default()
    };
    let message = ada.send(request("from Ada")).await;
    eve.send(request("from Eve")).await;
    assert_eq!(ada.status().await.outbound[0].message, message);
    eve.run(Listen::Off).await;
    let refused = async || {
        let report = eve.status().await;
        let reason = report.links[0].down_reason.clone()?;
        reason
            .contains("does not accept this node's key")
            .then_some(report.links[0].up)
    };
    assert!(!until("the refusal of a stranger", refused).await);
    ada.run(Listen::Off).await;
    ben.received(&message).await;
    assert_eq!(ben.texts(&message).await, ["from Ada"]);
    ada.receipt(&message).await;
    assert_eq!(ben.inbox().await.len(), 1);
}

/// Whoever answers with another key than the one in the contact card gets nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_far_side_with_the_wrong_key_gets_nothing() {
    let (mut ada, ben, mut eve) = (
        Someone::new("Ada"),
        Someone::new("Ben"),
        Someone::new("Eve"),
    );
    ada.knows(&ben).await;
    eve.knows(&ada).await;
    eve.run(anywhere()).await;
    let uri = format!("quic://{}", eve.address());
    ada.done(Request::LinkAdd(link("direct", uri, Some("Ben"))))
        .await;
    ada.run(Listen::Off).await;
    let refused = async || {
        let report = ada.status().await;
        let reason = report.links[0].down_reason.clone()?;
        (reason != "not up yet").then_some(reason)
    };
    let reason = until("a refusal", refused).await;
    assert!(reason.contains("key"), "{reason}");
    assert!(
        eve.status()
            .await
            .links
            .iter()
            .all(|link| link.received_frames == 0)
    );
}

/// Sender and recipient never meet: a relay keeps the frames, and lets go of them once they were fetched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_brings_together_who_never_meets() {
    let (mut ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    let post = Post::new().await;
    for someone in [&ada, &ben] {
        post.serve(someone).await;
    }
    ada.knows(&ben).await;
    ben.knows(&ada).await;
    let Response::Person(person) = ada
        .ask(Request::PersonShow {
            person: "Ben".into(),
        })
        .await
    else {
        panic!("no person");
    };
    assert_eq!(person.relays, [post.relay.uri(None)]);
    let file = post.dir.path().join("map.bin");
    let content = noise(300_000, 4);
    fs::write(&file, &content).unwrap();
    let message = ada.send(text_and_file("Ben", "by post", &file)).await;
    ada.run(Listen::Off).await;
    ada.up("post").await;
    // 224 symbols solve the file; a few more are planned, and manifest and preamble are among the frames as well.
    until("enough frames at the relay", async || {
        (post.held() >= 230).then_some(())
    })
    .await;
    ada.stop().await;
    ben.run(Listen::Off).await;
    ben.received(&message).await;
    let saved = ben.saved(&message, &post.dir.path().join("out")).await;
    assert!(fs::read(&saved[1]).unwrap() == content, "the file differs");
    // The receipt waits at the relay as well.
    ada.run(Listen::Off).await;
    ada.receipt(&message).await;
    until("empty mailboxes", async || (post.held() == 0).then_some(())).await;
    post.close().await;
}

/// A folder carried by hand, with no link on either side and no node running at the sender's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stick_carries_a_message_and_its_receipt() {
    let (ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    ada.knows(&ben).await;
    ben.knows(&ada).await;
    ben.run(Listen::Off).await;
    let stick = tempfile::tempdir().unwrap();
    let (there, back) = (stick.path().join("there"), stick.path().join("back"));
    fs::create_dir(&there).unwrap();
    fs::create_dir(&back).unwrap();
    let file = stick.path().join("map.bin");
    let content = noise(500_000, 5);
    fs::write(&file, &content).unwrap();
    let message = ada.send(text_and_file("Ben", "by hand", &file)).await;
    let exported = ada.ask(Request::SpoolExport { dir: there.clone() }).await;
    let Response::Exported { frames, .. } = exported else {
        panic!("{exported:?}")
    };
    assert!(frames > 300, "{frames}");
    let batches = |dir: &Path| fs::read_dir(dir).unwrap().count();
    let first = batches(&there);
    let exported = ada.ask(Request::SpoolExport { dir: there.clone() }).await;
    assert!(matches!(exported, Response::Exported { frames: 300.., .. }));
    assert_eq!(batches(&there), first, "the new takes the place of the old");
    let again = stick.path().join("again");
    fs::create_dir(&again).unwrap();
    let exported = ada.ask(Request::SpoolExport { dir: again }).await;
    let Response::Exported { frames: second, .. } = exported else {
        panic!("{exported:?}")
    };
    assert!(second > 300, "a second stick gets it all, too: {second}");
    let imported = ben.ask(Request::SpoolImport { dir: there.clone() }).await;
    let Response::Imported {
        frames: read,
        damaged: 0,
        foreign: 0,
        ..
    } = imported
    else {
        panic!("{imported:?}")
    };
    assert_eq!(read, frames);
    let entry = ben.received(&message).await;
    assert_eq!(entry.deliveries, 1);
    let saved = ben.saved(&message, &stick.path().join("out")).await;
    assert!(fs::read(&saved[1]).unwrap() == content, "the file differs");
    let exported = ben.ask(Request::SpoolExport { dir: back.clone() }).await;
    assert!(
        matches!(exported, Response::Exported { frames: 1.., .. }),
        "{exported:?}"
    );
    ada.ask(Request::SpoolImport { dir: back }).await;
    ada.receipt(&message).await;
    ada.ask(Request::SpoolExport { dir: there.clone() }).await;
    assert_eq!(batches(&there), 0, "what was confirmed is off the stick");
}

/// A node that starts while a short command has the home open comes up once that is over. A second
/// node is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_waits_for_a_short_command_but_refuses_a_second_node() {
    let ada = Someone::new("Ada");
    let start = || Node::start_when_free(Home::open(&ada.home).unwrap(), options(Listen::Off));
    let short = Client::connect_or_open(&ada.home).await.unwrap();
    let (node, ()) = tokio::join!(start(), async {
        sleep(Duration::from_millis(300)).await;
        short.close().await;
    });
    let node = node.unwrap();
    let refused = start().await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Home);
    node.stop().await;
}

/// Refusals have a class and say what to do; the home is for its owner alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_classified_and_homes_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let mut ada = Someone::new("Ada");
    let refused = async |request: Request| match ada.ask(request).await {
        Response::Error { kind, text } => (kind, text),
        other => panic!("{other:?}"),
    };
    let send = |person: &str| {
        Request::Send(SendRequest {
            person: person.into(),
            ..SendRequest::default()
        })
    };
    assert_eq!(refused(send("nobody")).await.0, ErrorKind::NotFound);
    assert_eq!(
        refused(Request::PersonAdd {
            card: "no card".into()
        })
        .await
        .0,
        ErrorKind::BadInput
    );
    assert_eq!(
        refused(Request::PersonAdd {
            card: ada.card().await.0
        })
        .await
        .0,
        ErrorKind::Usage
    );
    assert_eq!(
        refused(Request::Read {
            message: "abcd".into()
        })
        .await
        .0,
        ErrorKind::NotFound
    );
    assert_eq!(
        refused(Request::LinkRemove {
            name: "none".into()
        })
        .await
        .0,
        ErrorKind::NotFound
    );
    let bad = link("a", "ftp://x".into(), None);
    assert_eq!(refused(Request::LinkAdd(bad)).await.0, ErrorKind::Usage);
    assert!(Home::create(&ada.home, "Ada").is_err());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    ada.run(Listen::Off).await;
    assert_eq!(mode(&ada.home), 0o700);
    assert_eq!(mode(&ada.home.join("keys")), 0o600);
    assert_eq!(mode(&ada.home.join("control.sock")), 0o600);
    ada.stop().await;
    assert!(!ada.home.join("control.sock").exists());
    // A socket that a killed node left behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(ada.home.join("control.sock")).unwrap());
    ada.run(Listen::Off).await;
    assert!(ada.status().await.node.is_some());
    ada.stop().await;
    fs::set_permissions(ada.home.join("keys"), fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = Home::open(&ada.home).unwrap_err();
    assert!(exposed.to_string().contains("chmod 600"), "{exposed}");
}

/// Prekeys go on with uptime. Contacts get the new card without a hand's turn and without a message in their inbox, and
/// what was written to somebody whose prekeys went on meanwhile arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_follow_when_prekeys_go_on() {
    let (ada, mut ben) = acquainted().await;
    let note = |text: &str| SendRequest {
        person: "Ben".into(),
        text: Some(text.into()),
        ..SendRequest::default()
    };
    let first = ada.send(note("before")).await;
    ada.receipt(&first).await;
    let address = ben.address();
    ben.stop().await;
    let mut home = Home::open(&ben.home).unwrap();
    let mut identity = home.identity().unwrap();
    (0..4).for_each(|_| identity.prekeys.advance());
    home.save(&identity).unwrap();
    let meanwhile = ada.send(note("meanwhile")).await;
    ben.run(Listen::At(address.parse().unwrap())).await;
    ada.receipt(&meanwhile).await;
    let person = "Ben".to_owned();
    let newer = async || match ada
        .ask(Request::PersonShow {
            person: person.clone(),
        })
        .await
    {
        Response::Person(entry) => (entry.card_sequence == 2).then_some(()),
        other => panic!("{other:?}"),
    };
    until("the new card", newer).await;
    let after = ada.send(note("after")).await;
    ada.receipt(&after).await;
    assert_eq!(ben.texts(&after).await, ["after"]);
    match ada.ask(Request::Inbox).await {
        Response::Inbox { messages } => assert!(messages.is_empty(), "{messages:?}"),
        other => panic!("{other:?}"),
    }
}

/// A message that is called off while its file cannot be put into the inbox leaves nothing behind that holds up others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_called_off_while_the_inbox_fails_holds_up_nobody() {
    let (ada, ben) = acquainted().await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("map.png");
    fs::write(&file, noise(100_000, 4)).unwrap();
    // Nothing can be put into a folder that is none.
    let inbox = ben.home.join("store/inbox");
    let aside = files.path().join("inbox");
    fs::rename(&inbox, &aside).unwrap();
    fs::write(&inbox, b"").unwrap();
    let message = ada.send(text_and_file("Ben", "on the map", &file)).await;
    let whole = async || {
        let report = ben.status().await;
        let mut parts = report.inbound.iter().flat_map(|m| &m.parts);
        parts.any(|p| p.held_bytes == 100_000).then_some(())
    };
    until("the whole file", whole).await;
    ada.ask(Request::Cancel { message }).await;
    let gone = async || ben.status().await.inbound.is_empty().then_some(());
    until("the end of the message", gone).await;
    fs::remove_file(&inbox).unwrap();
    fs::rename(&aside, &inbox).unwrap();
    let next = ada.send(text_and_file("Ben", "once more", &file)).await;
    ben.received(&next).await;
}

/// Guards the choice of rate control: a link has the one that was configured for it, one that others open that of the node,
/// the status says so, and files arrive both ways by a link that is shared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_shared_if_it_is_said() {
    let (mut ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    ada.knows(&ben).await;
    ben.knows(&ada).await;
    let guests = Options {
        control: RateControl::Shared,
        ..options(anywhere())
    };
    let home = Home::open(&ben.home).unwrap();
    ben.node = Some(Node::start(home, guests).await.unwrap());
    ada.run(Listen::Off).await;
    let uri = format!("quic://{}", ben.address());
    let config = LinkConfig {
        control: Some(RateControl::Shared),
        ..link("direct", uri, Some("Ben"))
    };
    ada.done(Request::LinkAdd(config)).await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("map.png");
    fs::write(&file, noise(1_000_000, 4)).unwrap();
    for (from, to, name) in [(&ada, &ben, "Ben"), (&ben, &ada, "Ada")] {
        let message = from
            .send(text_and_file(name, "by the shared line", &file))
            .await;
        to.received(&message).await;
        from.receipt(&message).await;
        let controls = from.status().await.links;
        let controls: Vec<_> = controls.iter().map(|link| link.control).collect();
        assert_eq!(controls, [Some(RateControl::Shared)]);
    }
}
