//! QUIC links over real sockets on the loopback interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use ostrakon_transports::keys::{LinkKey, LinkSecret};
use ostrakon_transports::quic::{
    Congestion, EndpointOptions, PeerListener, PeerSpec, QuicEndpoint, QuicSettings,
};
use ostrakon_transports::{
    Direction, EventSender, LinkCounters, LinkEvent, LinkHandle, LinkId, LinkKind, LinkOrder,
    LinkProfile, MIN_MTU,
};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

fn secret(n: u8) -> LinkSecret {
    LinkSecret::from_seed([n; 32])
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn endpoint(secret: &LinkSecret) -> QuicEndpoint {
    QuicEndpoint::bind(loopback(), secret, EndpointOptions::default()).unwrap()
}

fn spec(address: SocketAddr, key: LinkKey) -> PeerSpec {
    PeerSpec {
        address: address.to_string(),
        key,
        others: Vec::new(),
        number: 1,
        settings: QuicSettings::default(),
    }
}

fn channel() -> (EventSender, mpsc::Receiver<(LinkId, LinkEvent)>) {
    mpsc::channel(512)
}

/// A link with the credit it gave, as an owner keeps it.
struct Owner {
    handle: LinkHandle,
    events: mpsc::Receiver<(LinkId, LinkEvent)>,
    credit: usize,
    received: Vec<Bytes>,
    profile: Option<LinkProfile>,
}

impl Owner {
    fn dial(endpoint: &QuicEndpoint, spec: PeerSpec) -> Self {
        let (sender, events) = channel();
        Self::new(endpoint.connect(LinkId(1), spec, sender), events)
    }

    async fn accept(listener: &mut PeerListener) -> (Self, LinkKey) {
        let incoming = timeout(PATIENCE, listener.next()).await.unwrap().unwrap();
        let peer = incoming.peer;
        assert!(incoming.remote.ip().is_loopback());
        let (sender, events) = channel();
        (
            Self::new(incoming.into_link(LinkId(2), sender), events),
            peer,
        )
    }

    fn new(handle: LinkHandle, events: mpsc::Receiver<(LinkId, LinkEvent)>) -> Self {
        Self {
            handle,
            events,
            credit: 0,
            received: Vec::new(),
            profile: None,
        }
    }

    /// Takes one event. `Some` if it is `Up` (true) or `Down` (false).
    async fn step(&mut self) -> Option<Result<(), String>> {
        let (_, event) = timeout(PATIENCE, self.events.recv())
            .await
            .expect("no event in time")
            .expect("the task ended");
        match event {
            LinkEvent::Up(profile) => {
                self.profile = Some(profile);
                return Some(Ok(()));
            }
            LinkEvent::Down(reason) => {
                self.credit = 0;
                self.profile = None;
                return Some(Err(reason));
            }
            LinkEvent::Changed(profile) => {
                assert!(self.profile.is_some(), "Changed while down");
                self.profile = Some(profile);
            }
            LinkEvent::Ready(n) => {
                assert!(self.profile.is_some(), "Ready while down");
                self.credit += n;
            }
            LinkEvent::Received { frame, custody } => {
                assert_eq!(custody, None);
                self.received.push(frame);
            }
        }
        None
    }

    async fn up(&mut self) {
        while self.step().await != Some(Ok(())) {}
    }

    async fn down(&mut self) -> String {
        loop {
            if let Some(Err(reason)) = self.step().await {
                return reason;
            }
        }
    }

    async fn send(&mut self, frame: Bytes) {
        while self.credit == 0 {
            assert_eq!(self.step().await, None, "the link changed state");
        }
        self.credit -= 1;
        let order = LinkOrder::Transmit { frame, tag: 0 };
        self.handle
            .orders
            .try_send(order)
            .expect("credit always fits");
    }

    async fn receive(&mut self, count: usize) {
        while self.received.len() < count {
            assert_eq!(self.step().await, None, "the link changed state");
        }
    }

    async fn counted(&mut self, done: impl FnMut(&LinkCounters) -> bool) -> LinkCounters {
        let reached = timeout(PATIENCE, self.handle.counters.wait_for(done));
        *reached.await.unwrap().unwrap()
    }
}

/// Two endpoints and the two ends of one link between them.
async fn pair() -> (QuicEndpoint, QuicEndpoint, PeerListener, Owner, Owner) {
    let (here, there) = (endpoint(&secret(1)), endpoint(&secret(2)));
    let mut listener = there.accept_peers(|key| key == secret(1).public()).unwrap();
    let mut near = Owner::dial(&here, spec(there.local_addr().unwrap(), there.key()));
    let (mut far, peer) = Owner::accept(&mut listener).await;
    assert_eq!(peer, here.key());
    tokio::join!(near.up(), far.up());
    (here, there, listener, near, far)
}

/// Frames go both ways, whole; each side knows the other's key; a frame that does not fit is dropped and
/// counted and the link goes on; dropping one handle ends both ends with a `Down` at the far one.
#[tokio::test]
async fn frames_go_both_ways_and_oversized_ones_are_counted() {
    let (here, there, _listener, mut near, mut far) = pair().await;
    for (side, key) in [(&near, there.key()), (&far, here.key())] {
        let profile = side.profile.as_ref().unwrap();
        assert_eq!(profile.kind, LinkKind::Quic);
        assert_eq!(profile.direction, Direction::Both);
        assert_eq!(profile.peer_key, Some(key.0));
        assert!(profile.mtu >= MIN_MTU && profile.rtt.is_some() && !profile.store_and_forward);
    }
    near.send(Bytes::from(vec![0; 9000])).await;
    near.send(Bytes::new()).await;
    for n in 0..50u8 {
        near.send(Bytes::from(vec![n; 1000])).await;
        far.send(Bytes::from(vec![n; 222])).await;
    }
    tokio::join!(far.receive(50), near.receive(50));
    assert!(far.received.iter().all(|f| f.len() == 1000));
    assert!(near.received.iter().all(|f| f.len() == 222));
    let counted = near.counted(|c| c.received_frames == 50).await;
    assert_eq!((counted.sent_frames, counted.sent_bytes), (50, 50_000));
    assert_eq!(
        (counted.dropped_frames, counted.received_bytes),
        (2, 11_100)
    );

    drop(near);
    far.down().await;
    assert!(
        timeout(PATIENCE, far.events.recv())
            .await
            .unwrap()
            .is_none()
    );
}

/// Bytes of a full frame, which the search for the path MTU has to find room for.
const FULL_FRAME: usize = 1374;

/// Path MTU discovery on the loopback interface ends above the first guess, and the owner hears of it; a
/// frame of the new size then arrives.
#[tokio::test]
async fn a_larger_path_mtu_is_reported_and_used() {
    let (_here, _there, _listener, mut near, mut far) = pair().await;
    let first = near.profile.as_ref().unwrap().mtu;
    while near.profile.as_ref().unwrap().mtu < FULL_FRAME {
        assert_eq!(near.step().await, None);
    }
    let grown = near.profile.as_ref().unwrap().mtu;
    assert!(grown > first || first >= FULL_FRAME);
    near.send(Bytes::from(vec![9; grown])).await;
    far.receive(1).await;
    assert_eq!(far.received[0].len(), grown);
}

/// Whoever answers with another key than the expected one never becomes a link, and the reason is told.
#[tokio::test]
async fn attack_32_a_wrong_server_key() {
    let (here, there) = (endpoint(&secret(1)), endpoint(&secret(2)));
    let _listener = there.accept_peers(|_| true).unwrap();
    let address = there.local_addr().unwrap();
    let mut near = Owner::dial(&here, spec(address, secret(3).public()));
    match near.step().await {
        Some(Err(reason)) => assert!(reason.contains("check the key"), "{reason}"),
        other => panic!("{other:?}"),
    }
    // It goes on trying in silence: the reason is the same.
    assert!(near.events.try_recv().is_err());
}

/// A client whose key the listener does not know never comes up, is told why, and is counted.
#[tokio::test]
async fn attack_32_a_wrong_client_key() {
    let (here, there) = (endpoint(&secret(3)), endpoint(&secret(2)));
    let mut listener = there.accept_peers(|key| key == secret(1).public()).unwrap();
    let refused = listener.refused();
    let mut near = Owner::dial(&here, spec(there.local_addr().unwrap(), there.key()));
    tokio::select! {
        _ = listener.next() => panic!("the unknown key was let in"),
        outcome = near.step() => match outcome {
            Some(Err(reason)) => assert!(reason.contains("not authorized"), "{reason}"),
            other => panic!("{other:?}"),
        },
    }
    assert!(refused.load(Ordering::Relaxed) >= 1);
}

/// After the far endpoint went away and came back at the same address, the link comes up again by itself.
#[tokio::test]
async fn a_link_returns_after_the_far_endpoint_was_bound_again() {
    let (_here, there, listener, mut near, far) = pair().await;
    let address = there.local_addr().unwrap();
    drop((listener, far));
    there.shutdown().await;
    drop(there);
    near.down().await;

    let again = timeout(PATIENCE, async {
        loop {
            match QuicEndpoint::bind(address, &secret(2), EndpointOptions::default()) {
                Ok(endpoint) => break endpoint,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let again = again.await.unwrap();
    let mut listener = again.accept_peers(|_| true).unwrap();
    let (mut far, _) = Owner::accept(&mut listener).await;
    tokio::join!(near.up(), far.up());
    near.send(Bytes::from_static(b"again")).await;
    far.receive(1).await;
}

/// A connection survives a change of the dialling side's address in mid-transfer: frames before and after it
/// arrive, and neither side ever says `Down`.
#[tokio::test]
async fn a_connection_survives_a_rebind() {
    let (here, _there, _listener, mut near, mut far) = pair().await;
    let before = here.local_addr().unwrap();
    for _ in 0..20 {
        near.send(Bytes::from(vec![1; 1000])).await;
    }
    here.rebind(loopback()).unwrap();
    assert_ne!(here.local_addr().unwrap(), before);
    // Some datagrams of the moment may be lost. What is sent once the path is known again is not.
    let deadline = Instant::now() + PATIENCE;
    while !far.received.iter().any(|f| f[0] == 2) {
        assert!(Instant::now() < deadline);
        near.send(Bytes::from(vec![2; 1000])).await;
        while let Ok(Some(outcome)) = timeout(Duration::from_millis(5), far.step()).await {
            assert_eq!(outcome, Ok(()), "the far side lost the link");
        }
    }
    far.send(Bytes::from_static(b"back")).await;
    near.receive(1).await;
}

/// A peer that does not come up at all costs nothing but attempts; orders on void credit are counted.
#[tokio::test]
async fn orders_to_a_link_that_is_down_are_dropped_and_counted() {
    let here = endpoint(&secret(1));
    let silent = std::net::UdpSocket::bind(loopback()).unwrap();
    let mut near = Owner::dial(
        &here,
        spec(silent.local_addr().unwrap(), secret(2).public()),
    );
    for _ in 0..300 {
        let frame = Bytes::from_static(b"lost");
        let order = LinkOrder::Transmit { frame, tag: 7 };
        near.handle.orders.send(order).await.unwrap();
    }
    let counted = near.counted(|c| c.dropped_frames == 300).await;
    assert_eq!(counted.sent_frames, 0);
}

/// An owner that always has frames never holds more credit than the link's bound, every frame that it sends on
/// credit reaches the wire, and what the loopback interface does not lose arrives.
#[tokio::test]
async fn little_waits_in_the_link() {
    let (_here, _there, _listener, mut near, mut far) = pair().await;
    let mut most = 0;
    let frame = Bytes::from(vec![5; 1100]);
    let draining = tokio::spawn(async move {
        far.down().await;
        far.received.len()
    });
    for _ in 0..2000 {
        near.send(frame.clone()).await;
        most = most.max(near.credit + 1);
    }
    let counted = near.counted(|c| c.sent_frames == 2000).await;
    assert_eq!(counted.dropped_frames, 0);
    drop(near);
    let arrived = draining.await.unwrap();
    assert!(arrived >= 1000, "{arrived} of 2000 frames arrived");
    assert!(most <= 512, "{most} frames of credit");
}

/// Prints the rate of one direction. Run with `--ignored --nocapture`, best in a release build.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a test"]
async fn throughput_on_loopback() {
    let (_here, _there, _listener, mut near, mut far) = pair().await;
    while near.profile.as_ref().unwrap().mtu < FULL_FRAME {
        near.step().await;
    }
    let size = near.profile.as_ref().unwrap().mtu;
    let frame = Bytes::from(vec![5; size]);
    let sink = tokio::spawn(async move {
        let mut bytes = 0u64;
        while let Ok(Some((_, event))) = timeout(Duration::from_secs(2), far.events.recv()).await {
            if let LinkEvent::Received { frame, .. } = event {
                bytes += frame.len() as u64;
            }
        }
        bytes
    });
    let start = Instant::now();
    let mut sent = 0u64;
    while start.elapsed() < Duration::from_secs(5) {
        near.send(frame.clone()).await;
        sent += size as u64;
    }
    let elapsed = start.elapsed();
    let received = sink.await.unwrap();
    let rate = |bytes: u64| bytes as f64 * 8.0 / elapsed.as_secs_f64() / 1e6;
    println!(
        "frames of {size} bytes: sent {:.0} Mbit/s, received {:.0} Mbit/s",
        rate(sent),
        rate(received)
    );
}

/// Forwards datagrams between one client and `server`, towards the server at `rate_bps` with a queue of
/// `queue` datagrams, and `delay` each way.
async fn narrow_path(server: SocketAddr, rate_bps: f64, delay: Duration, queue: u32) -> SocketAddr {
    use tokio::net::UdpSocket;
    let outside = UdpSocket::bind(loopback()).await.unwrap();
    let inside = UdpSocket::bind(loopback()).await.unwrap();
    inside.connect(server).await.unwrap();
    let address = outside.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut up, mut down) = ([0; 2048], [0; 2048]);
        let mut pending = std::collections::VecDeque::<(Instant, bool, Vec<u8>)>::new();
        let mut client = None;
        let mut free_at = Instant::now();
        loop {
            let next = pending.front().map(|(at, ..)| *at);
            tokio::select! {
                got = outside.recv_from(&mut up) => {
                    let (n, from) = got.unwrap();
                    client = Some(from);
                    let now = Instant::now();
                    let took = Duration::from_secs_f64(n as f64 * 8.0 / rate_bps);
                    let longest = Duration::from_secs_f64(1200.0 * 8.0 / rate_bps) * queue;
                    if free_at.saturating_duration_since(now) < longest {
                        free_at = free_at.max(now) + took;
                        pending.push_back((free_at + delay, true, up[..n].to_vec()));
                    }
                }
                Ok(n) = inside.recv(&mut down) => {
                    pending.push_back((Instant::now() + delay, false, down[..n].to_vec()));
                }
                () = tokio::time::sleep_until(next.unwrap_or(free_at).into()), if next.is_some() => {
                    let (_, upwards, data) = pending.pop_front().unwrap();
                    match (upwards, client) {
                        (true, _) => drop(inside.send(&data).await),
                        (false, Some(client)) => drop(outside.send_to(&data, client).await),
                        _ => {}
                    }
                }
            }
            pending.make_contiguous().sort_by_key(|(at, ..)| *at);
        }
    });
    address
}

/// Prints how well a narrow path is used and how long a frame waits from choice to arrival.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a test"]
async fn use_of_narrow_paths() {
    for congestion in [Congestion::Cubic, Congestion::Bbr] {
        for (rate, delay_ms) in [
            (100e3, 300),
            (1e6, 100),
            (10e6, 50),
            (10e6, 300),
            (100e6, 10),
        ] {
            let (here, there) = (endpoint(&secret(1)), endpoint(&secret(2)));
            let mut listener = there.accept_peers(|_| true).unwrap();
            let delay = Duration::from_millis(delay_ms);
            let path = narrow_path(there.local_addr().unwrap(), rate, delay, 50).await;
            let mut dialled = spec(path, there.key());
            dialled.settings.congestion = congestion.clone();
            let mut near = Owner::dial(&here, dialled);
            let (mut far, _) = Owner::accept(&mut listener).await;
            near.up().await;
            let start = Instant::now();
            let sink = tokio::spawn(async move {
                let (mut bytes, mut frames, mut waited) = (0u64, 0u64, 0f64);
                while let Ok(Some((_, event))) =
                    timeout(Duration::from_secs(3), far.events.recv()).await
                {
                    if let LinkEvent::Received { frame, .. } = event {
                        let sent = f64::from_be_bytes(*frame.first_chunk().unwrap());
                        let late = start.elapsed().as_secs_f64() - sent;
                        if sent > 5.0 {
                            (bytes, frames, waited) =
                                (bytes + frame.len() as u64, frames + 1, waited + late);
                        }
                    }
                }
                (bytes, frames, waited)
            });
            let mut sent = 0;
            while start.elapsed() < Duration::from_secs(15) {
                let mut frame = vec![0; 1150];
                while near.credit == 0 {
                    near.step().await;
                }
                frame[..8].copy_from_slice(&start.elapsed().as_secs_f64().to_be_bytes());
                near.send(frame.into()).await;
                sent += u64::from(start.elapsed().as_secs_f64() > 5.0);
            }
            let (bytes, frames, waited) = sink.await.unwrap();
            println!(
                "{congestion:?}, {:.1} Mbit/s, {delay_ms} ms: used {:.0} %, lost {} of {sent}, a frame took {:.0} ms",
                rate / 1e6,
                bytes as f64 * 8.0 / 10.0 / rate * 100.0,
                sent.saturating_sub(frames),
                waited / frames.max(1) as f64 * 1000.0,
            );
        }
    }
}

/// A relay and a node end soon, also while a handshake over a way of long round trips is under way: whoever is at
/// the far end is not waited for.
#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_round_trips() {
    let silent = std::net::UdpSocket::bind(loopback()).unwrap();
    let mut far = spec(silent.local_addr().unwrap(), secret(2).public());
    far.settings.initial_rtt = Duration::from_secs(60);
    far.settings.connect_timeout = Duration::from_secs(7200);
    let endpoint = endpoint(&secret(1));
    let _owner = Owner::dial(&endpoint, far);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let begun = tokio::time::Instant::now();
    endpoint.shutdown().await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}
