//! Relay links over real sockets on the loopback interface. The store behind the relay keeps frames in
//! memory; everything else is the real thing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "relay_store/mod.rs"]
mod relay_store;

use bytes::Bytes;
use ostrakon_transports::keys::LinkSecret;
use ostrakon_transports::quic::{EndpointOptions, QuicEndpoint, QuicSettings};
use ostrakon_transports::relay::{
    Fate, MailboxOwner, RELAY_MTU, RelayClient, RelayLimits, RelaySpec, mailbox_tag,
};
use ostrakon_transports::{LinkEvent, LinkHandle, LinkId, LinkKind, LinkOrder};
use relay_store::{PATIENCE, QUOTA, Relay, enveloped, urgent};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeroize::Zeroizing;

fn endpoint(seed: u8) -> QuicEndpoint {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let secret = LinkSecret::from_seed([seed; 32]);
    QuicEndpoint::bind(any, &secret, EndpointOptions::default()).unwrap()
}

fn owner(seed: u8) -> MailboxOwner {
    MailboxOwner::from_seed(Zeroizing::new([seed; 32]))
}

fn spec(relay: &Relay, mailbox: Option<MailboxOwner>) -> RelaySpec {
    RelaySpec {
        address: relay.endpoint.local_addr().unwrap().to_string(),
        key: relay.endpoint.key(),
        settings: QuicSettings::default(),
        mailbox,
        grants: Vec::new(),
        settlements: None,
    }
}

struct Client {
    handle: LinkHandle,
    events: mpsc::Receiver<(LinkId, LinkEvent)>,
    credit: usize,
    mtu: usize,
    received: Vec<(u64, Bytes)>,
}

impl Client {
    async fn connect(spec: RelaySpec, endpoint: &QuicEndpoint) -> Self {
        let (sender, events) = mpsc::channel(512);
        let handle = RelayClient::spawn(LinkId(9), spec, endpoint, sender);
        let mut client = Self {
            handle,
            events,
            credit: 0,
            mtu: 0,
            received: Vec::new(),
        };
        while client.step().await != Some(Ok(())) {}
        client
    }

    async fn step(&mut self) -> Option<Result<(), String>> {
        let (id, event) = timeout(PATIENCE, self.events.recv())
            .await
            .expect("no event in time")
            .expect("the task ended");
        assert_eq!(id, LinkId(9));
        match event {
            LinkEvent::Up(profile) => {
                assert!(profile.store_and_forward && profile.kind == LinkKind::Relay);
                self.mtu = profile.mtu;
                return Some(Ok(()));
            }
            LinkEvent::Down(reason) => {
                self.credit = 0;
                return Some(Err(reason));
            }
            LinkEvent::Changed(_) => {}
            LinkEvent::Ready(n) => self.credit += n,
            LinkEvent::Received { frame, custody } => self.received.push((custody.unwrap(), frame)),
        }
        None
    }

    async fn send(&mut self, frame: Bytes) {
        while self.credit == 0 {
            assert_eq!(self.step().await, None);
        }
        self.credit -= 1;
        self.order(LinkOrder::Transmit { frame, tag: 0 });
    }

    fn order(&self, order: LinkOrder) {
        self.handle
            .orders
            .try_send(order)
            .expect("credit always fits");
    }

    async fn receive(&mut self, count: usize) {
        while self.received.len() < count {
            assert_eq!(self.step().await, None);
        }
    }

    fn release_all(&self) {
        self.order(LinkOrder::Release(self.received.last().unwrap().0));
    }
}

/// Frames are kept while their recipient is away, handed over in order after its proof, come again while
/// they are not released, and are gone once they are.
#[tokio::test]
async fn frames_wait_for_their_owner_until_released() {
    let relay = Relay::start(RelayLimits::default());
    let (alice, bob) = (endpoint(1), endpoint(2));
    let mailbox = owner(22);
    let tags = [0, 7, 63].map(|i| mailbox_tag(&mailbox.public_key(), i));

    let mut sender = Client::connect(spec(&relay, None), &alice).await;
    assert_eq!(sender.mtu, RELAY_MTU);
    for n in 0..300u16 {
        let frame = enveloped(tags[usize::from(n) % 3], &n.to_be_bytes());
        sender.send(frame).await;
    }
    relay.counted(|c| c.stored == 300).await;

    let mut first = Client::connect(spec(&relay, Some(mailbox.clone())), &bob).await;
    first.receive(300).await;
    let order: Vec<u16> = first
        .received
        .iter()
        .map(|(_, f)| u16::from_be_bytes([f[9], f[10]]))
        .collect();
    assert_eq!(order, (0..300).collect::<Vec<u16>>());
    // Only the first hundred are made durable here before the link goes away.
    first.order(LinkOrder::Release(first.received[99].0));
    relay.counted(|c| c.deleted == 100).await;
    let rest = first.received[100..].to_vec();
    drop(first);

    let mut second = Client::connect(spec(&relay, Some(mailbox)), &bob).await;
    second.receive(200).await;
    let frames = |got: &[(u64, Bytes)]| got.iter().map(|(_, f)| f.clone()).collect::<Vec<_>>();
    assert_eq!(
        frames(&second.received),
        frames(&rest),
        "unreleased frames come again as they were"
    );
    assert!(
        second.received[0].0 > rest[199].0,
        "and under new numbers, since those of old may be released late"
    );
    // What is sent while the owner listens comes without asking.
    sender.send(enveloped(tags[1], b"fresh")).await;
    second.receive(201).await;
    assert_eq!(&second.received[200].1[9..], b"fresh");
    second.release_all();
    relay.counted(|c| c.deleted == 301).await;
    assert_eq!(relay.held(), 0);
}

/// What is urgent jumps the queue of what was not handed over yet, and a release still means exactly the frames that
/// were handed over up to its number: those behind it stay, however old they are.
#[tokio::test]
async fn the_urgent_jumps_the_queue_and_costs_nobody_a_frame() {
    let limits = RelayLimits {
        unreleased: 5000,
        ..RelayLimits::default()
    };
    let relay = Relay::start(limits);
    let (alice, bob) = (endpoint(1), endpoint(2));
    let mailbox = owner(22);
    let tag = mailbox_tag(&mailbox.public_key(), 0);
    let mut sender = Client::connect(spec(&relay, None), &alice).await;
    for _ in 0..20 {
        sender.send(enveloped(tag, &[0; 991])).await;
    }
    relay.counted(|c| c.stored == 20).await;
    let mut client = Client::connect(spec(&relay, Some(mailbox.clone())), &bob).await;
    client.receive(5).await;
    sender.send(urgent(tag, b"help")).await;
    relay.counted(|c| c.stored == 21).await;
    client.release_all();
    client.receive(6).await;
    assert_eq!(&client.received[5].1[9..], b"help");
    assert!(client.received.is_sorted_by_key(|(number, _)| *number));
    client.order(LinkOrder::Release(client.received[5].0));
    relay.counted(|c| c.deleted == 6).await;
    assert_eq!(relay.held(), 15, "only what was handed over is gone");

    // A number from this connection says nothing on the next one.
    let late = client.received[5].0 + 3;
    drop(client);
    let mut client = Client::connect(spec(&relay, Some(mailbox)), &bob).await;
    client.receive(5).await;
    client.order(LinkOrder::Release(late));
    client.order(LinkOrder::Release(client.received[0].0));
    relay.counted(|c| c.deleted == 7).await;
    assert_eq!(relay.held(), 14);
}

/// Who has to keep a frame until the relay does learns of each what became of it, also of one that crossed in pieces.
#[tokio::test]
async fn each_frame_is_settled_by_its_tag() {
    let relay = Relay::start(RelayLimits::default());
    let alice = endpoint(1);
    let (settlements, mut settled) = mpsc::channel(16);
    let spec = RelaySpec {
        settlements: Some(settlements),
        ..spec(&relay, None)
    };
    let mut client = Client::connect(spec, &alice).await;
    let whole = enveloped([1; 8], b"in two pieces");
    let first = [&[0x47], &whole[..7]].concat();
    let frames = [
        (enveloped([1; 8], b"one"), Fate::Stored),
        (Bytes::from_static(b"no envelope"), Fate::BadEnvelope),
        (first.into(), Fate::Piece),
        (whole.slice(7..), Fate::Stored),
        (enveloped([2; 8], b"two"), Fate::Stored),
    ];
    let mut expected = Vec::new();
    for (tag, (frame, fate)) in (70..).zip(frames) {
        while client.credit == 0 {
            assert_eq!(client.step().await, None);
        }
        client.credit -= 1;
        client.order(LinkOrder::Transmit { frame, tag });
        expected.push((tag, fate));
    }
    let mut told = Vec::new();
    while told.len() < expected.len() {
        told.extend(timeout(PATIENCE, settled.recv()).await.unwrap().unwrap());
    }
    assert_eq!(told, expected);
    assert_eq!(relay.held(), 3);
}

/// The holder of another key gets nothing of a mailbox, whatever it releases; the true owner then gets all.
#[tokio::test]
async fn attack_29_nobody_else_gets_or_deletes_the_frames() {
    let relay = Relay::start(RelayLimits::default());
    let (alice, mallory) = (endpoint(1), endpoint(3));
    let (victim, thief) = (owner(22), owner(33));
    let mut sender = Client::connect(spec(&relay, None), &alice).await;
    sender
        .send(enveloped(mailbox_tag(&victim.public_key(), 5), b"private"))
        .await;
    // The 64 tags are all: a mailbox's tag beyond them belongs to nobody.
    sender
        .send(enveloped(mailbox_tag(&victim.public_key(), 64), b"stray"))
        .await;
    relay.counted(|c| c.stored == 2).await;

    let mut other = Client::connect(spec(&relay, Some(thief.clone())), &mallory).await;
    other.order(LinkOrder::Release(u64::MAX));
    // The thief's own frame is the first and only thing it gets.
    sender
        .send(enveloped(mailbox_tag(&thief.public_key(), 0), b"own"))
        .await;
    other.receive(1).await;
    assert_eq!(&other.received[0].1[9..], b"own");
    other.order(LinkOrder::Release(u64::MAX));
    relay.counted(|c| c.deleted == 1).await;
    assert_eq!(relay.held(), 2);

    let mut owner = Client::connect(spec(&relay, Some(victim)), &mallory).await;
    owner.receive(1).await;
    assert_eq!(&owner.received[0].1[9..], b"private");
}

/// A client without a mailbox that releases is closed for it, and nothing is deleted.
#[tokio::test]
async fn a_release_without_a_mailbox_closes_the_connection() {
    let relay = Relay::start(RelayLimits::default());
    let alice = endpoint(1);
    let mut client = Client::connect(spec(&relay, None), &alice).await;
    client.send(enveloped([7; 8], b"kept")).await;
    relay.counted(|c| c.stored == 1).await;
    client.order(LinkOrder::Release(u64::MAX));
    let reason = loop {
        if let Some(outcome) = client.step().await {
            break outcome.unwrap_err();
        }
    };
    assert!(reason.contains("bad record"), "{reason}");
    relay.counted(|c| c.garbage == 1).await;
    assert_eq!(relay.held(), 1);
}

/// What the link cannot carry is dropped and counted here; what the relay does not take is refused and
/// counted there and here; the link goes on in both cases.
#[tokio::test]
async fn frames_that_cannot_be_kept_are_counted() {
    let limits = RelayLimits {
        frame: 1000,
        ..RelayLimits::default()
    };
    let relay = Relay::start(limits);
    let alice = endpoint(1);
    let mut client = Client::connect(spec(&relay, None), &alice).await;
    assert_eq!(client.mtu, 1000);
    client.send(enveloped([1; 8], &[0; 2000])).await;
    client.send(Bytes::new()).await;
    client.send(Bytes::from_static(b"no envelope at all")).await;
    for _ in 0..QUOTA + 5 {
        client.send(enveloped([1; 8], b"many")).await;
    }
    relay
        .counted(|c| c.stored == QUOTA as u64 && c.refused == 6)
        .await;
    let counters = &mut client.handle.counters;
    let reached = timeout(PATIENCE, counters.wait_for(|c| c.refused_frames == 6));
    let counted = *reached.await.unwrap().unwrap();
    assert_eq!(counted.dropped_frames, 2);
    assert_eq!(counted.sent_frames, QUOTA as u64 + 6);
}

/// A relay hands over no more than its window ahead of releases, and goes on when they come.
#[tokio::test]
async fn unreleased_frames_are_bounded() {
    let limits = RelayLimits {
        unreleased: 10_000,
        ..RelayLimits::default()
    };
    let relay = Relay::start(limits);
    let (alice, bob) = (endpoint(1), endpoint(2));
    let mailbox = owner(22);
    let tag = mailbox_tag(&mailbox.public_key(), 0);
    let mut sender = Client::connect(spec(&relay, None), &alice).await;
    for _ in 0..40 {
        sender.send(enveloped(tag, &[0; 991])).await;
    }
    relay.counted(|c| c.stored == 40).await;
    let mut client = Client::connect(spec(&relay, Some(mailbox)), &bob).await;
    for expected in [10, 20, 30, 40] {
        client.receive(expected).await;
        relay.counted(|c| c.handed_over == expected as u64).await;
        client.release_all();
    }
    relay.counted(|c| c.deleted == 40).await;
}

/// Clients return after the relay was stopped and started again on the same endpoint; `run` ends when told.
#[tokio::test]
async fn a_client_returns_to_a_relay_that_restarted() {
    let relay = Relay::start(RelayLimits::default());
    let alice = endpoint(1);
    let mut client = Client::connect(spec(&relay, None), &alice).await;
    relay.stop.send(()).unwrap();
    timeout(PATIENCE, relay.running).await.unwrap().unwrap();
    while client.step().await.is_none() {}

    let (server, at) = (relay.server.clone(), relay.endpoint.clone());
    tokio::spawn(async move { server.run(&at, std::future::pending()).await });
    while client.step().await != Some(Ok(())) {}
    client.send(enveloped([3; 8], b"again")).await;
    let reached = timeout(PATIENCE, async {
        while relay.server.counters().stored == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    reached.await.unwrap();
}

/// Prints how fast frames are stored. Run with `--ignored --nocapture`, best in a release build.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a test"]
async fn throughput_on_loopback() {
    let relay = Relay::start(RelayLimits::default());
    let alice = endpoint(1);
    let mut client = Client::connect(spec(&relay, None), &alice).await;
    let start = std::time::Instant::now();
    let (mut n, mut most) = (0u64, 0);
    while start.elapsed() < Duration::from_secs(5) {
        // A tag of its own for each thousand, for the quota.
        let frame = enveloped((n / 1000).to_be_bytes(), &[0; 1391]);
        client.send(frame).await;
        most = most.max(client.credit + 1);
        n += 1;
    }
    relay.counted(|c| c.stored == n).await;
    let rate = n as f64 * 1400.0 * 8.0 / start.elapsed().as_secs_f64() / 1e6;
    println!("{rate:.0} Mbit/s, at most {most} frames of credit");
}
