//! Grants from end to end: relays with real disks on the loopback interface, the command line, nodes that show grants, and
//! clients that cheat.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use ostrakon::engine::id::to_base32;
use ostrakon::node::Listen;
use ostrakon::node::api;
use ostrakon::node::grants::{GrantEntry, GrantOrder};
use ostrakon::node::relay::api::{Request, Response, Spent};
use ostrakon::node::relay::{Limits, RateLimits, ask};
use ostrakon::security::grant::{Grant, Terms};
use ostrakon::security::mailbox;
use ostrakon::wire::envelope::Envelope;
use ostrakon_transports::keys::{LinkKey, LinkSecret};
use ostrakon_transports::quic::{EndpointOptions, QuicEndpoint, QuicSettings};
use ostrakon_transports::relay::{Fate, GrantAnswer, RelayClient, RelaySpec};
use ostrakon_transports::{LinkEvent, LinkHandle, LinkId, LinkOrder};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

mod people;
#[path = "people/post.rs"]
mod post;

use people::{Someone, link, text_and_file, until};
use post::Post;

const PATIENCE: Duration = Duration::from_secs(120);
/// The mailbox that is granted, and another one.
const MAILBOX: [u8; 32] = [5; 32];
const OTHER: [u8; 32] = [6; 32];
/// Bytes of each frame, and of those that flood.
const FRAME: u64 = 100;
const LARGE: usize = 1400;

impl Post {
    /// Stores what was granted and nothing else.
    async fn wary() -> Self {
        Self::wary_at(tempfile::tempdir().unwrap(), RateLimits::default()).await
    }

    async fn wary_at(dir: TempDir, rates: RateLimits) -> Self {
        let limits = Limits {
            grants_required: true,
            rates,
            ..Limits::default()
        };
        Self::at(dir, limits).await
    }

    async fn restarted(self) -> Self {
        Self::wary_at(self.close().await, RateLimits::default()).await
    }

    fn key(&self) -> String {
        self.relay
            .uri(None)
            .rsplit("key=")
            .next()
            .unwrap()
            .to_owned()
    }

    async fn ask(&self, request: Request) -> Response {
        ask(self.dir.path(), request, None).await.unwrap()
    }

    /// Grants a few frames for one mailbox.
    async fn issue(&self, to: &QuicEndpoint, frames: u64) -> GrantEntry {
        let order = GrantOrder {
            to: to_base32(&to.key().0),
            mailboxes: vec![mailbox::address(&MAILBOX)],
            frames: Some(frames),
            bytes: Some(frames * FRAME),
            ..GrantOrder::default()
        };
        match self.ask(Request::GrantIssue { order, turns: 1 }).await {
            Response::Grant(entry) => entry,
            other => panic!("{other:?}"),
        }
    }

    async fn spent(&self) -> Spent {
        match self.ask(Request::GrantSpent).await {
            Response::Spent(spent) => spent,
            other => panic!("{other:?}"),
        }
    }

    async fn dropped(&self, why: &str) -> u64 {
        match self.ask(Request::Status).await {
            Response::Status(status) => status.dropped.get(why).copied().unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    }
}

fn endpoint(seed: u8) -> QuicEndpoint {
    let any = "127.0.0.1:0".parse().unwrap();
    let secret = LinkSecret::from_seed([seed; 32]);
    QuicEndpoint::bind(any, &secret, EndpointOptions::default()).unwrap()
}

/// A client that brings frames.
struct Sender {
    handle: LinkHandle,
    events: mpsc::Receiver<(LinkId, LinkEvent)>,
    settled: mpsc::Receiver<Vec<(u64, Fate)>>,
    notice: Option<&'static str>,
    credit: usize,
    sent: u64,
}

impl Sender {
    async fn to(post: &Post, endpoint: &QuicEndpoint, grants: &[&str]) -> Self {
        let grants = grants.iter().map(|text| Grant::from_text(text).unwrap());
        let grants = grants.map(|grant| grant.bytes().to_vec().into());
        Self::showing(post, endpoint, grants.collect()).await
    }

    async fn showing(post: &Post, endpoint: &QuicEndpoint, grants: Vec<Bytes>) -> Self {
        let key = ostrakon::engine::id::from_base32(&post.key()).unwrap();
        let (settlements, settled) = mpsc::channel(64);
        let spec = RelaySpec {
            address: post.relay.address().to_string(),
            key: LinkKey(key.try_into().unwrap()),
            settings: QuicSettings::default(),
            mailbox: None,
            grants,
            settlements: Some(settlements),
        };
        let (sender, events) = mpsc::channel(512);
        let mut client = Self {
            handle: RelayClient::spawn(LinkId(1), spec, endpoint, sender),
            events,
            settled,
            notice: None,
            credit: 0,
            sent: 0,
        };
        while client.credit == 0 {
            client.step().await;
        }
        client
    }

    async fn step(&mut self) {
        let event = timeout(PATIENCE, self.events.recv()).await;
        match event.expect("no event in time").expect("the link ended").1 {
            LinkEvent::Up(profile) => self.notice = profile.notice,
            LinkEvent::Ready(frames) => self.credit += frames,
            LinkEvent::Down(reason) => panic!("{reason}"),
            LinkEvent::Changed(_) | LinkEvent::Received { .. } => {}
        }
    }

    /// What becomes of a further frame.
    async fn send(&mut self, to: &[u8; 32], priority: u8) -> Fate {
        while self.credit == 0 {
            self.step().await;
        }
        self.transmit(to, priority, FRAME as usize);
        let settled = timeout(PATIENCE, self.settled.recv()).await;
        settled.unwrap().unwrap()[0].1
    }

    /// Sends a frame that is like no other.
    fn transmit(&mut self, to: &[u8; 32], priority: u8, length: usize) {
        self.credit -= 1;
        self.sent += 1;
        let envelope = Envelope {
            tag: mailbox::tag(to, 3),
            age: 0,
            hops: 9,
            priority,
        };
        let mut payload = vec![0x60; length - 16];
        payload[1..9].copy_from_slice(&self.sent.to_be_bytes());
        let frame = envelope.wrap(&payload).into();
        let order = LinkOrder::Transmit { frame, tag: 0 };
        self.handle.orders.try_send(order).unwrap();
    }

    /// Sends large frames as fast as the link takes them.
    async fn floods(&mut self, count: usize) -> Vec<Fate> {
        let mut fates = Vec::new();
        for _ in 0..count {
            while self.credit == 0 {
                self.step().await;
            }
            self.transmit(&MAILBOX, 2, LARGE);
            while let Ok(settled) = self.settled.try_recv() {
                fates.extend(settled.into_iter().map(|(_, fate)| fate));
            }
        }
        while fates.len() < count {
            let settled = timeout(PATIENCE, self.settled.recv()).await;
            let settled = settled.unwrap().unwrap().into_iter();
            fates.extend(settled.map(|(_, fate)| fate));
        }
        fates
    }

    async fn sends(&mut self, count: usize) -> Vec<Fate> {
        let mut fates = Vec::new();
        for _ in 0..count {
            fates.push(self.send(&MAILBOX, 2).await);
        }
        fates
    }
}

/// Guards that a relay that wants grants stores what was granted: not for others, not for another mailbox, no more
/// than was granted, not after a restart, and not for who shows none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_31_at_a_relay() {
    use Fate::{NotGranted, Stored};
    let post = Post::wary().await;
    let (alice, eve) = (endpoint(1), endpoint(2));
    let grant = post.issue(&alice, 3).await.grant;

    let mut thief = Sender::to(&post, &eve, &[&grant]).await;
    assert_eq!(thief.notice, Some(GrantAnswer::Holder.advice()));
    assert_eq!(thief.sends(1).await, [NotGranted]);
    let mut bare = Sender::to(&post, &eve, &[]).await;
    assert_eq!(bare.sends(1).await, [NotGranted]);
    assert_eq!(post.dropped("not granted").await, 2);

    let mut holder = Sender::to(&post, &alice, &[&grant]).await;
    assert_eq!(holder.notice, None);
    assert_eq!(holder.send(&OTHER, 2).await, NotGranted, "another mailbox");
    assert_eq!(holder.sends(2).await, [Stored, Stored]);
    drop(holder);
    let post = post.restarted().await;
    let mut holder = Sender::to(&post, &alice, &[&grant]).await;
    holder.sent = 100;
    assert_eq!(
        holder.sends(2).await,
        [Stored, NotGranted],
        "after a restart"
    );
    assert_eq!(post.dropped("grant used up").await, 1);
    let spent = post.spent().await;
    let link = &spent.links[0];
    assert_eq!((link.spent_frames, link.spent_bytes), (3, 3 * FRAME));
}

/// Guards that who hands a grant on, to as many as he likes, gets no more stored than who has it; and that nothing is
/// handed on that is wider.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_31_handed_on_at_a_relay() {
    use Fate::{NotGranted, Stored};
    let post = Post::wary().await;
    let (alice, bob, carol) = (endpoint(1), endpoint(2), endpoint(3));
    let entry = post.issue(&alice, 3).await;
    let grant = Grant::from_text(&entry.grant).unwrap();
    let key = SigningKey::from_bytes(&[1; 32]);
    let to = |holder: &QuicEndpoint| Terms {
        holder: holder.key().0,
        mailboxes: Vec::new(),
        ..grant.terms().clone()
    };
    let narrowed = |holder: &QuicEndpoint| grant.narrow(to(holder), &key).unwrap();
    let (for_bob, for_carol) = (narrowed(&bob), narrowed(&carol));
    let mut first = Sender::to(&post, &bob, &[&for_bob.to_text()]).await;
    assert_eq!(first.sends(2).await, [Stored, Stored]);
    let mut second = Sender::to(&post, &carol, &[&for_carol.to_text()]).await;
    second.sent = 100;
    assert_eq!(second.sends(2).await, [Stored, NotGranted]);
    let mut own = Sender::to(&post, &alice, &[&entry.grant]).await;
    own.sent = 200;
    assert_eq!(own.sends(1).await, [NotGranted], "spent by the others");

    // A byte of the quota turned up, as who wants more would.
    let mut forged = for_bob.bytes().to_vec();
    let at = forged
        .windows(3)
        .rposition(|w| w == [0x19, 0x01, 0x2c])
        .unwrap();
    forged[at + 1] = 0x02;
    let cheat = Sender::showing(&post, &bob, vec![forged.into()]).await;
    assert_eq!(cheat.notice, Some(GrantAnswer::Unusable.advice()));
}

/// Guards that a grant ends at once, on a connection that shows it as well: when it is revoked, and when the counter is
/// turned. No clock is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_31_a_grant_that_is_over_or_revoked() {
    use Fate::{NotGranted, Stored};
    let post = Post::wary().await;
    let (alice, bob) = (endpoint(1), endpoint(2));
    let (first, second) = (post.issue(&alice, 9).await, post.issue(&bob, 9).await);
    let mut one = Sender::to(&post, &alice, &[&first.grant]).await;
    let mut two = Sender::to(&post, &bob, &[&second.grant]).await;
    two.sent = 100;
    assert_eq!(
        (one.sends(1).await[0], two.sends(1).await[0]),
        (Stored, Stored)
    );
    let grant = first.id[..8].to_owned();
    let revoked = post.ask(Request::GrantRevoke { grant }).await;
    assert_eq!(revoked, Response::Revoked { id: first.id });
    assert_eq!(
        (one.sends(1).await[0], two.sends(1).await[0]),
        (NotGranted, Stored)
    );
    let turned = post.ask(Request::GrantTurn { issuer: None }).await;
    assert_eq!(turned, Response::Turned { counter: 1 });
    assert_eq!(two.sends(1).await, [NotGranted]);

    let post = post.restarted().await;
    for (endpoint, grant, why) in [
        (&alice, &first.grant, GrantAnswer::Revoked),
        (&bob, &second.grant, GrantAnswer::Over),
    ] {
        let again = Sender::to(&post, endpoint, &[grant]).await;
        assert_eq!(again.notice, Some(why.advice()));
    }
}

/// What is more urgent than was granted is stored as what was granted, so that it passes nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_31_more_urgent_than_granted() {
    let post = Post::wary().await;
    let alice = endpoint(1);
    let order = GrantOrder {
        to: to_base32(&alice.key().0),
        priority: Some("bulk".into()),
        ..GrantOrder::default()
    };
    let Response::Grant(entry) = post.ask(Request::GrantIssue { order, turns: 1 }).await else {
        panic!("no grant");
    };
    let mut client = Sender::to(&post, &alice, &[&entry.grant]).await;
    assert_eq!(client.send(&MAILBOX, 0).await, Fate::Stored);
    drop(client);
    let dir = post.close().await;
    let limits = Limits::default().mailbox;
    let store = ostrakon::store::mailbox::MailboxStore::open(&dir.path().join("mailboxes"), limits);
    let tag = mailbox::tag(&MAILBOX, 3);
    let held = store
        .unwrap()
        .fetch(&[tag], &Default::default(), 1 << 20)
        .unwrap();
    let (envelope, _) = Envelope::unwrap(&held[0].frame).unwrap();
    assert_eq!((held[0].place.class, envelope.priority), (3, 3));
}

fn ostrakon(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ostrakon"))
        .arg("--home")
        .arg(home)
        .args(args)
        .env_remove("OSTRAKON_PASSPHRASE_FILE")
        .output()
        .unwrap()
}

fn line(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone())
        .unwrap()
        .trim()
        .to_owned()
}

/// Guards that who spends a grant at two relays that serve one issuer, at each no more than it allows, is found by who
/// compares what they have signed, and that the honest are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_31_spent_at_two_relays_shows() {
    use Fate::Stored;
    let (first, second) = (Post::wary().await, Post::wary().await);
    let (alice, bob) = (endpoint(1), endpoint(2));
    let (cheats, honest) = (first.issue(&alice, 3).await, first.issue(&bob, 3).await);
    let early = Sender::to(&second, &alice, &[&cheats.grant]).await;
    assert_eq!(early.notice, Some(GrantAnswer::Issuer.advice()));
    drop(early);
    let trusted = line(&ostrakon(
        second.dir.path(),
        &["relay", "grant", "trust", &first.key()],
    ));
    assert!(trusted.ends_with("done."), "{trusted}");
    for post in [&first, &second] {
        let mut client = Sender::to(post, &alice, &[&cheats.grant]).await;
        assert_eq!(client.sends(3).await, [Stored; 3]);
        let mut client = Sender::to(post, &bob, &[&honest.grant]).await;
        client.sent = 100;
        assert_eq!(client.sends(1).await, [Stored]);
    }
    let dir = tempfile::tempdir().unwrap();
    let files = ["one", "two"].map(|name| dir.path().join(name).display().to_string());
    for (post, file) in [&first, &second].into_iter().zip(&files) {
        let statement = line(&ostrakon(post.dir.path(), &["relay", "grant", "spent"]));
        fs::write(file, statement).unwrap();
    }
    let audit = |files: &[&str]| {
        let args = [&["--json", "relay", "grant", "audit"][..], files].concat();
        let output = ostrakon(dir.path(), &args);
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (
            output.status.code(),
            found["overspent"].as_array().unwrap().clone(),
        )
    };
    let (code, found) = audit(&[&*files[0], &*files[1]]);
    assert_eq!((code, found.len()), (Some(6), 1));
    assert_eq!(found[0]["holder"], to_base32(&alice.key().0));
    assert_eq!(
        (&found[0]["frames"], &found[0]["spent_frames"]),
        (&3.into(), &6.into())
    );
    assert_eq!(found[0]["at"].as_array().unwrap().len(), 2);
    let (code, found) = audit(&[&*files[0], &*files[0]]);
    assert_eq!((code, found.len()), (Some(0), 0), "one relay is not two");
}

/// From the operator's grant to the message in the inbox: issue, narrow, show, take in, send, list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_sends_by_a_relay_that_wants_grants() {
    let post = Post::wary().await;
    let (mut ada, mut ben) = (Someone::new("Ada"), Someone::new("Ben"));
    let uri = post.relay.uri(None);
    for person in [&ada, &ben] {
        let add = api::Request::LinkAdd(link("post", uri.clone(), None));
        person.done(add).await;
    }
    ada.knows(&ben).await;
    ben.knows(&ada).await;
    let relay = post.dir.path();
    let cards = tempfile::tempdir().unwrap();
    let card = |name: &str, text: String| {
        let path = cards.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (of_ada, of_ben) = (
        card("ada", ada.card().await.0),
        card("ben", ben.card().await.0),
    );

    // Ben may fill all mailboxes, and lets Ada fill his.
    let issued = ostrakon(
        relay,
        &[
            "relay", "grant", "issue", "--to", &of_ben, "--bytes", "10MB",
        ],
    );
    let wide = line(&issued);
    let narrow = [
        "grant",
        "narrow",
        &wide,
        "--to",
        &of_ada,
        "--mailbox",
        &of_ben,
    ];
    let narrowed = line(&ostrakon(
        &ben.home,
        &[&narrow[..], &["--frames", "5000"]].concat(),
    ));
    let wider = ostrakon(&ben.home, &[&narrow[..], &["--bytes", "1GB"]].concat());
    assert_eq!(wider.status.code(), Some(2), "{wider:?}");
    let shown = line(&ostrakon(
        cards.path(),
        &["grant", "show", &narrowed, "--json"],
    ));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["links"], &shown["frames"]),
        (&2.into(), &5000.into())
    );
    let not_hers = ostrakon(&ada.home, &["link", "grant", "post", &wide]);
    assert_eq!(not_hers.status.code(), Some(7), "{not_hers:?}");
    line(&ostrakon(&ada.home, &["link", "grant", "post", &narrowed]));
    line(&ostrakon(&ben.home, &["link", "grant", "post", &wide]));

    let file = ada.home.with_file_name("map.bin");
    fs::write(&file, people::noise(100_000, 1)).unwrap();
    let message = ada.send(text_and_file("Ben", "granted", &file)).await;
    ada.run(Listen::Off).await;
    ben.run(Listen::Off).await;
    ben.received(&message).await;
    let saved = ben.saved(&message, &cards.path().join("saved")).await;
    assert!(
        fs::read(&saved[1]).unwrap() == people::noise(100_000, 1),
        "the file differs"
    );
    until("a receipt", async || {
        ada.has_receipt(&message).await.then_some(())
    })
    .await;
    let listed = line(&ostrakon(relay, &["relay", "grant", "list", "--json"]));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let spent = listed["grants"]["grants"][0]["spent_bytes"]
        .as_u64()
        .unwrap();
    assert!(spent > 100_000, "{listed}");
}

/// Who brings more than a limit allows waits; all of it is stored, and others are not held up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fast_wait_and_others_do_not() {
    let rates = RateLimits {
        grant: 131_072,
        ..RateLimits::default()
    };
    let post = Post::wary_at(tempfile::tempdir().unwrap(), rates).await;
    let (alice, bob) = (endpoint(1), endpoint(2));
    let (one, two) = (post.issue(&alice, 9000).await, post.issue(&bob, 9).await);
    let mut fast = Sender::to(&post, &alice, &[&one.grant]).await;
    // 85 such frames in a second, with what they count beyond their length.
    assert_eq!(fast.floods(200).await, [Fate::Stored; 200]);
    let mut other = Sender::to(&post, &bob, &[&two.grant]).await;
    other.sent = 10_000;
    assert_eq!(other.sends(3).await, [Fate::Stored; 3]);
    until("the counters", async || {
        match post.ask(Request::Status).await {
            Response::Status(status) => (status.grants.slowed.grant > 0).then_some(()),
            other => panic!("{other:?}"),
        }
    })
    .await;
}
