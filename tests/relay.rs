//! Chains of relays: relays are processes that get killed, nodes run within the test, on the loopback interface, on real
//! disks and with folders that are carried.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use ostrakon::node::Listen;
use ostrakon::node::api;
use ostrakon::node::relay::Counters;
use ostrakon::node::relay::api::{LinkStatus, Request, Response, Status};
use ostrakon::security::mailbox;
use ostrakon::wire::envelope::Envelope;
use ostrakon_transports::keys::{LinkKey, LinkSecret};
use ostrakon_transports::quic::{EndpointOptions, QuicEndpoint, QuicSettings};
use ostrakon_transports::relay::{Fate, MailboxOwner, RelayClient, RelaySpec, Settlements};
use ostrakon_transports::{LinkEvent, LinkHandle, LinkId, LinkOrder};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

mod people;

use people::{Someone, link, noise, text_and_file, until};

const PATIENCE: Duration = Duration::from_secs(120);

/// A relay with a directory that outlives it. Killed at the end, if not before.
struct Post {
    dir: TempDir,
    address: String,
    uri: String,
    process: Option<(Child, BufReader<ChildStdout>)>,
}

impl Post {
    fn new() -> Self {
        let mut post = Self {
            dir: tempfile::tempdir().unwrap(),
            address: "127.0.0.1:0".into(),
            uri: String::new(),
            process: None,
        };
        post.start();
        post
    }

    fn start(&mut self) {
        self.start_with(Stdio::inherit());
    }

    fn start_with(&mut self, stderr: Stdio) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ostrakon"))
            .args(["relay", "--json", "--listen", &self.address, "--home"])
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        self.address = told["addr"].as_str().unwrap().to_owned();
        self.uri = told["uri"].as_str().unwrap().to_owned();
        self.process = Some((child, stdout));
    }

    /// SIGKILL: nothing is put in order.
    fn kill(&mut self) {
        if let Some((mut child, _)) = self.process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The exit code with which it ends by itself.
    async fn ended(&mut self) -> Option<i32> {
        let ended = async || {
            let (child, _) = self.process.as_mut().unwrap();
            child.try_wait().unwrap()
        };
        let ended = until("the end of the relay", ended).await;
        self.process = None;
        ended.code()
    }

    async fn counters(&self) -> Counters {
        self.status().await.counters
    }

    async fn ask(&self, request: Request) -> Response {
        ostrakon::node::relay::ask(self.dir.path(), request, None)
            .await
            .unwrap()
    }

    async fn link(&self, name: &str, uri: &str, mtu: Option<usize>) {
        let config = ostrakon::node::relay::api::LinkConfig {
            name: name.into(),
            uri: uri.into(),
            mtu,
            rate_bps: None,
            control: None,
            grants: Vec::new(),
        };
        assert_eq!(self.ask(Request::LinkAdd(config)).await, Response::Done);
    }

    async fn route(&self, mailbox: &str, via: &str) {
        let (mailbox, via) = (mailbox.to_owned(), via.to_owned());
        let made = self.ask(Request::RouteAdd { mailbox, via }).await;
        assert!(matches!(made, Response::Route(_)), "{made:?}");
    }

    async fn status(&self) -> Status {
        match self.ask(Request::Status).await {
            Response::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    async fn link_status(&self, name: &str) -> LinkStatus {
        let links = self.status().await.links;
        links.into_iter().find(|link| link.name == name).unwrap()
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Someone {
    async fn runs(&mut self) {
        self.run(Listen::Off).await;
    }

    async fn link(&self, uri: &str) {
        self.done(api::Request::LinkAdd(link("post", uri.into(), None)))
            .await;
    }

    /// The file of a message with a text and a file.
    async fn file(&self, message: &str) -> Vec<u8> {
        let dir = self.home.with_file_name("saved");
        fs::read(&self.saved(message, &dir).await[1]).unwrap()
    }
}

/// A client of a relay, for frames that no node would make.
struct Sender {
    endpoint: QuicEndpoint,
    handle: LinkHandle,
    events: mpsc::Receiver<(LinkId, LinkEvent)>,
    credit: usize,
}

fn endpoint(seed: u8) -> QuicEndpoint {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let secret = LinkSecret::from_seed([seed; 32]);
    QuicEndpoint::bind(any, &secret, EndpointOptions::default()).unwrap()
}

impl Sender {
    fn to(post: &Post, seed: u8, mailbox: Option<MailboxOwner>) -> Self {
        Self::told(post, seed, mailbox, None)
    }

    /// One that says what became of its frames.
    fn told(
        post: &Post,
        seed: u8,
        mailbox: Option<MailboxOwner>,
        settlements: Option<Settlements>,
    ) -> Self {
        let endpoint = endpoint(seed);
        let key = post.uri.rsplit("key=").next().unwrap();
        let key = ostrakon::engine::id::from_base32(key).unwrap();
        let spec = RelaySpec {
            address: post.address.clone(),
            key: LinkKey(key.try_into().unwrap()),
            settings: QuicSettings::default(),
            mailbox,
            grants: Vec::new(),
            settlements,
        };
        let (sender, events) = mpsc::channel(512);
        let handle = RelayClient::spawn(LinkId(1), spec, &endpoint, sender);
        Self {
            endpoint,
            handle,
            events,
            credit: 0,
        }
    }

    async fn event(&mut self) -> LinkEvent {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event.expect("no event in time").expect("the link ended").1
    }

    async fn send(&mut self, frame: Vec<u8>) {
        while self.credit == 0 {
            if let LinkEvent::Ready(frames) = self.event().await {
                self.credit += frames;
            }
        }
        self.credit -= 1;
        let frame = frame.into();
        let order = LinkOrder::Transmit { frame, tag: 0 };
        self.handle.orders.try_send(order).unwrap();
    }

    /// The payloads of the next frames that a mailbox gives.
    async fn fetch(&mut self, count: usize) -> Vec<Bytes> {
        let mut got = Vec::new();
        while got.len() < count {
            if let LinkEvent::Received { frame, custody } = self.event().await {
                got.push(frame.slice(16..));
                let release = LinkOrder::Release(custody.unwrap());
                self.handle.orders.send(release).await.unwrap();
            }
        }
        got
    }
}

fn owner(seed: u8) -> MailboxOwner {
    MailboxOwner::from_seed(zeroize::Zeroizing::new([seed; 32]))
}

fn frame(owner: &MailboxOwner, hops: u8, priority: u8, payload: &[u8]) -> Vec<u8> {
    let envelope = Envelope {
        tag: mailbox::tag(&owner.public_key(), 3),
        age: 0,
        hops,
        priority,
    };
    envelope.wrap(payload)
}

/// Node, relay, relay, node, and the receipt all the way back. The first relay is killed half way and started again;
/// the hop between them is so narrow that every symbol crosses it in pieces. All arrives, once and unchanged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_relays_delivers_through_a_restart_and_a_narrow_hop() {
    let (mut ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    let (mut first, second) = (Post::new(), Post::new());
    ada.link(&first.uri).await;
    ben.link(&second.uri).await;
    ada.knows(&ben).await;
    ben.knows(&ada).await;
    // By the card there, by the mere address of the mailbox back.
    first.link("on", &second.uri, Some(300)).await;
    first.route(&ben.card().await.0, "on").await;
    second.link("back", &first.uri, None).await;
    second.route(&ada.card().await.1, "back").await;

    let file = ada.home.with_file_name("map.bin");
    let content = noise(2_000_000, 1);
    fs::write(&file, &content).unwrap();
    let message = ada.send(text_and_file("Ben", "by two relays", &file)).await;
    ada.runs().await;
    until("frames under way", async || {
        (first.counters().await.forwarded > 300).then_some(())
    })
    .await;
    first.kill();
    let before = second.counters().await.stored;
    first.start();
    ben.runs().await;

    let entry = ben.received(&message).await;
    assert_eq!(entry.deliveries, 1);
    assert!(ben.file(&message).await == content, "the file differs");
    until("a receipt", async || {
        ada.has_receipt(&message).await.then_some(())
    })
    .await;
    assert!(
        second.counters().await.stored > before,
        "it went on after the restart"
    );
    until("relays that hold nothing", async || {
        let (a, b) = (first.counters().await, second.counters().await);
        (a.held_frames == 0 && b.held_frames == 0).then_some(())
    })
    .await;
    let hop = first.link_status("on").await;
    assert!(hop.up && hop.dropped.is_empty(), "{hop:?}");
}

/// Node, relay, a folder that a courier copies, relay, node, and the receipt the same way back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_courier_between_two_relays_brings_a_message_and_its_receipt() {
    let (mut ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    let (mut first, second) = (Post::new(), Post::new());
    ada.link(&first.uri).await;
    ben.link(&second.uri).await;
    ada.knows(&ben).await;
    ben.knows(&ada).await;
    let stick = tempfile::tempdir().unwrap();
    let (here, there) = (stick.path().join("here"), stick.path().join("there"));
    for (post, dir, far) in [(&first, &here, &ben), (&second, &there, &ada)] {
        fs::create_dir(dir).unwrap();
        post.link("stick", &format!("spool:{}", dir.display()), None)
            .await;
        post.route(&far.card().await.1, "stick").await;
    }

    let file = ada.home.with_file_name("map.bin");
    let content = noise(400_000, 2);
    fs::write(&file, &content).unwrap();
    let message = ada.send(text_and_file("Ben", "by courier", &file)).await;
    ada.runs().await;
    ben.runs().await;
    let exported = async |post: &Post, least: u64| {
        let link = post.link_status("stick").await;
        (link.exported >= least && link.exported >= link.waiting_frames).then_some(())
    };
    until("a full folder", async || exported(&first, 300).await).await;
    // What left in the folder stays at the relay, also when it starts again: the folder is written anew, not doubled.
    let batches = |dir: &Path| fs::read_dir(dir).unwrap().count();
    let before = batches(&here);
    first.kill();
    first.start();
    until("a folder written anew", async || {
        exported(&first, 300).await
    })
    .await;
    until("no old batches", async || {
        (batches(&here) <= before).then_some(())
    })
    .await;
    assert!(first.counters().await.held_frames > 300);

    // Whole batches that the other side does not have yet.
    let carry = |from: &Path, to: &Path| {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let copy = to.join(entry.file_name());
            if copy.extension().is_some_and(|e| e == "ostk") && !copy.exists() {
                // One that its relay has just removed is of no use to anybody.
                let _ = fs::copy(entry.path(), copy);
            }
        }
    };
    carry(&here, &there);
    let entry = ben.received(&message).await;
    assert_eq!(entry.deliveries, 1);
    assert!(ben.file(&message).await == content, "the file differs");
    // The courier comes again: the first reports left before the receipt.
    until("a receipt", async || {
        carry(&there, &here);
        ada.has_receipt(&message).await.then_some(())
    })
    .await;

    // The operator knows that the stick has arrived.
    let name = "stick".to_owned();
    let Response::Released { frames } = first.ask(Request::LinkRelease { name }).await else {
        panic!("not released");
    };
    assert!(frames > 300, "{frames}");
    // What the sender says after the receipt may still come.
    let bytes = |dir: &Path| {
        let entries = fs::read_dir(dir).unwrap();
        let sizes = entries.filter_map(|e| Some(e.ok()?.metadata().ok()?.len()));
        sizes.sum::<u64>()
    };
    until(
        "a folder that is empty but for the last words",
        async || {
            let link = first.link_status("stick").await;
            (link.waiting_frames < 50 && bytes(&here) < 100_000).then_some(())
        },
    )
    .await;
}

/// Two relays that each think the other is nearer: a frame goes round once, is known, and is gone; one with few hops
/// left ends before that. Everything is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_of_two_relays_ends() {
    let (first, second) = (Post::new(), Post::new());
    first.link("a", &second.uri, None).await;
    second.link("b", &first.uri, None).await;
    let lost = owner(9);
    first.route("*", "a").await;
    second
        .route(&mailbox::address(&lost.public_key()), "b")
        .await;
    let mut sender = Sender::to(&first, 7, None);
    for n in 0..100_u8 {
        sender.send(frame(&lost, 16, 2, &[n; 40])).await;
    }
    // Two hops: the first relay takes one, the second the other, and passes it on no more.
    sender.send(frame(&lost, 2, 2, b"short-winded")).await;
    let end = Instant::now() + PATIENCE / 2;
    until("a loop that has ended", async || {
        let (a, b) = (first.status().await, second.status().await);
        let count = |dropped: &BTreeMap<String, u64>, why: &str| {
            dropped.get(why).copied().unwrap_or_default()
        };
        // It may be back before the first relay has written down that it passed it on.
        let known = ["passed on already", "held already"].map(|why| count(&a.dropped, why));
        let known: u64 = known.iter().sum();
        let spent = count(&b.links[0].dropped, "no hops left");
        let held = first.counters().await.held_frames + second.counters().await.held_frames;
        let passed_on = (
            first.counters().await.forwarded,
            second.counters().await.forwarded,
        );
        assert!(Instant::now() < end, "{a:#?}\n{b:#?}");
        let over = known == 100 && spent == 1 && held == 0;
        (over && passed_on == (101, 100)).then_some(())
    })
    .await;
    // What was passed on stays so when the link that did it is gone.
    let mailbox = "*".into();
    first.ask(Request::RouteRemove { mailbox }).await;
    let name = "a".into();
    let removed = first.ask(Request::LinkRemove { name }).await;
    assert_eq!(removed, Response::Done);
    assert_eq!(first.counters().await.forwarded, 101);
    sender.endpoint.shutdown().await;
}

/// An urgent text that comes after 5 MB of bulk is the first to reach the next relay, and the first that its owner
/// gets there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_urgent_passes_the_bulk_that_waits() {
    let (first, mut second) = (Post::new(), Post::new());
    let mailbox = owner(9);
    first.link("on", &second.uri, None).await;
    first.route("*", "on").await;
    second.kill();
    let mut sender = Sender::to(&first, 7, None);
    for n in 0..4000_u32 {
        let payload = [&n.to_be_bytes()[..], &[0; 1246]].concat();
        sender.send(frame(&mailbox, 16, 3, &payload)).await;
    }
    sender.send(frame(&mailbox, 16, 0, b"help")).await;
    until("frames at the relay", async || {
        (first.counters().await.held_frames == 4001).then_some(())
    })
    .await;
    second.start();
    let mut fetching = Sender::to(&second, 8, Some(mailbox));
    let got = fetching.fetch(4001).await;
    assert_eq!(&got[0][..], b"help");
    let order: Vec<&[u8]> = got[1..].iter().map(|payload| &payload[..4]).collect();
    assert!(order.is_sorted(), "the others keep their order");
    until("empty relays", async || {
        let held = first.counters().await.held_frames + second.counters().await.held_frames;
        (held == 0).then_some(())
    })
    .await;
    for sender in [sender, fetching] {
        sender.endpoint.shutdown().await;
    }
}

/// What makes no sense is refused with what to do next, and changes nothing.
#[tokio::test]
async fn links_and_routes_that_make_no_sense_are_refused() {
    let post = Post::new();
    post.link("on", &post.uri, None).await;
    let link = |name: &str, uri: &str, mtu| {
        Request::LinkAdd(ostrakon::node::relay::api::LinkConfig {
            name: name.into(),
            uri: uri.into(),
            mtu,
            rate_bps: None,
            control: None,
            grants: Vec::new(),
        })
    };
    let route = |mailbox: &str, via: &str| Request::RouteAdd {
        mailbox: mailbox.into(),
        via: via.into(),
    };
    post.route("*", "on").await;
    for (request, advice) in [
        (link("on", &post.uri, None), "choose another"),
        (link("here", &post.uri, None), "choose another"),
        (link("x", "quic://h:1", None), "relay://HOST:PORT?key=KEY"),
        (link("x", "relay://h:1", None), "relay://HOST:PORT?key=KEY"),
        (link("x", &post.uri, Some(20)), "238 to 2048"),
        (route("*", "nowhere"), "ostrakon relay link list"),
        (
            route("ostrakon:mailbox:abc", "on"),
            "ostrakon card --mailbox",
        ),
        (route("Ben", "on"), "ostrakon-card:"),
        (
            Request::RouteRemove {
                mailbox: "Ben".into(),
            },
            "ostrakon relay route list",
        ),
        (
            Request::LinkRemove { name: "on".into() },
            "ostrakon relay route list",
        ),
        (Request::LinkRelease { name: "on".into() }, "by itself"),
    ] {
        match post.ask(request.clone()).await {
            Response::Error { text, .. } => assert!(text.contains(advice), "{request:?}: {text}"),
            other => panic!("{request:?}: {other:?}"),
        }
    }
    let status = post.status().await;
    assert_eq!((status.links.len(), status.routes.len()), (1, 1));
}

/// Guards that a relay whose database was cut or taken away while it runs says so and ends with the code for a disk that failed,
/// and confirms nothing from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_whose_database_was_damaged_stops_and_confirms_nothing() {
    let cut = |database: &Path| fs::File::create(database).map(drop).unwrap();
    let taken = |database: &Path| fs::remove_file(database).unwrap();
    let ways: [&(dyn Fn(&Path) + Sync); 2] = [&cut, &taken];
    for damage in ways {
        let logs = tempfile::tempdir().unwrap();
        let log = logs.path().join("log");
        let mut post = Post::new();
        post.kill();
        post.start_with(fs::File::create(&log).unwrap().into());
        let (settle, mut settled) = mpsc::channel(16);
        let mut sender = Sender::told(&post, 1, None, Some(settle));
        sender.send(frame(&owner(1), 9, 1, b"before")).await;
        let fates = timeout(PATIENCE, settled.recv()).await;
        assert_eq!(fates, Ok(Some(vec![(0, Fate::Stored)])));
        damage(&post.dir.path().join("mailboxes/mailbox.redb"));
        sender.send(frame(&owner(1), 9, 1, b"after")).await;
        assert_eq!(post.ended().await, Some(5));
        let said = fs::read_to_string(&log).unwrap();
        assert!(said.contains("mailbox.redb: another program has"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        assert!(settled.try_recv().is_err(), "a frame that is nowhere");
    }
}
