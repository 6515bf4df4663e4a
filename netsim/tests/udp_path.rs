//! The UDP path between real sockets on loopback. Times are only ever bounded from the side that a loaded machine cannot
//! break.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use ostrakon_netsim::emulate::{PathError, UdpPath};
use ostrakon_netsim::model::LinkSpec;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

fn any() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn socket() -> UdpSocket {
    UdpSocket::bind(any()).await.unwrap()
}

fn path(target: &UdpSocket, forward: &LinkSpec, back: &LinkSpec) -> UdpPath {
    UdpPath::spawn(any(), target.local_addr().unwrap(), forward, back, 42).unwrap()
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (len, from) = timeout(PATIENCE, socket.recv_from(&mut buffer))
        .await
        .expect("a datagram arrives")
        .unwrap();
    buffer.truncate(len);
    (buffer, from)
}

/// Waits until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "still waiting: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Guards delay and the way back: an echo over 50 ms each way takes at least 100 ms, comes from the path's address
/// unchanged, and each client gets its own answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_takes_both_delays() {
    let server = socket().await;
    let spec = LinkSpec::new().delay(Duration::from_millis(50));
    let path = path(&server, &spec, &spec);
    let clients = [socket().await, socket().await];
    let start = Instant::now();
    for (client, text) in clients.iter().zip([b"one", b"two"]) {
        client.send_to(text, path.local_addr()).await.unwrap();
    }
    for _ in &clients {
        let (datagram, from) = receive(&server).await;
        assert!(start.elapsed() >= Duration::from_millis(50));
        server.send_to(&datagram, from).await.unwrap();
    }
    for (client, text) in clients.iter().zip([b"one", b"two"]) {
        assert_eq!(receive(client).await, (text.to_vec(), path.local_addr()));
        assert!(start.elapsed() >= Duration::from_millis(100));
    }
    let (forward, back) = path.stats();
    assert_eq!((forward.delivered, back.delivered), (2, 2));
    assert_eq!(path.lateness().count(), 4);
}

/// Guards the rate: while a link has a queue it delivers, between two looks at it, its rate times the time between them, to
/// the packet (the looks' own duration is allowed for); and all that the model delivers reaches the program, no sooner than
/// the rate allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saturated_path_carries_its_rate() {
    const RATE: u64 = 400_000;
    // 250 bytes with headers take 5 ms. All of them fit the kernel's default buffers, so no one has to be quick.
    const PACKETS: u64 = 100;
    const PACKET_SECONDS: f64 = 0.005;
    let sink = socket().await;
    let spec = LinkSpec::new().rate_bps(RATE).queue_bytes(4 << 20);
    let path = path(&sink, &spec, &LinkSpec::new());
    let look = || {
        let before = Instant::now();
        let delivered = path.stats().0.delivered;
        (before, delivered, Instant::now())
    };
    let client = socket().await;
    let start = Instant::now();
    for _ in 0..PACKETS {
        client.send_to(&[7; 222], path.local_addr()).await.unwrap();
    }
    until("all are on the link", || path.stats().0.offered == PACKETS).await;
    let (before1, delivered1, after1) = look();
    until("most have arrived", || {
        path.stats().0.delivered >= PACKETS * 4 / 5
    })
    .await;
    let (before2, delivered2, after2) = look();

    let least = (before2 - after1).as_secs_f64() / PACKET_SECONDS - 1.0;
    let most = (after2 - before1).as_secs_f64() / PACKET_SECONDS + 1.0;
    let carried = (delivered2 - delivered1) as f64;
    let left = (PACKETS - delivered1) as f64;
    assert!(carried >= least.min(left), "{carried} < {least} or {left}");
    assert!(carried <= most, "{carried} > {most}");

    for _ in 0..PACKETS {
        receive(&sink).await;
    }
    let all = Duration::from_millis(5 * PACKETS);
    assert!(start.elapsed() >= all, "{:?} < {all:?}", start.elapsed());
    assert_eq!(path.stats().0.delivered, PACKETS);
    assert_eq!(path.socket_counters().kernel_drops.unwrap_or(0), 0);
}

/// Guards the cut: what is under way and what comes during it never arrives and is counted; after it the path carries again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_drops_and_a_restore_passes() {
    let sink = socket().await;
    // Long enough that nothing arrives before the cut.
    let spec = LinkSpec::new().delay(Duration::from_millis(500));
    let path = path(&sink, &spec, &spec);
    let client = socket().await;
    for _ in 0..20 {
        client.send_to(b"lost", path.local_addr()).await.unwrap();
    }
    until("all are offered", || path.stats().0.offered == 20).await;
    path.cut();
    let early = path.stats().0.delivered;
    for _ in 0..20 {
        client.send_to(b"lost", path.local_addr()).await.unwrap();
    }
    until("all are offered", || path.stats().0.offered == 40).await;
    path.restore();
    client.send_to(b"after", path.local_addr()).await.unwrap();
    let mut arrived = 0;
    while receive(&sink).await.0 != b"after" {
        arrived += 1;
    }
    assert_eq!(arrived, early, "only what arrived before the cut");
    let stats = path.stats().0;
    assert_eq!((stats.delivered, stats.cut), (early + 1, 40 - early));
}

/// Guards the accounts under loss: what the sink gets is what the model delivered, and every packet is accounted for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losses_are_counted() {
    let sink = socket().await;
    let path = path(&sink, &LinkSpec::new().loss(0.3), &LinkSpec::new());
    let client = socket().await;
    let (mut received, mut buffer) = (0, [0; 8]);
    for n in 0..2000u64 {
        client
            .send_to(&n.to_le_bytes(), path.local_addr())
            .await
            .unwrap();
        // Few on the way at a time, so that the kernel's buffers play no part.
        until("the path keeps up", || {
            path.lateness().count() + path.stats().0.lost + 20 > n
        })
        .await;
        while sink.try_recv(&mut buffer).is_ok() {
            received += 1;
        }
    }
    until("all have their fate", || {
        let stats = path.stats().0;
        stats.offered == 2000 && stats.in_flight() == 0
    })
    .await;
    let stats = path.stats().0;
    assert_eq!(stats.lost, stats.offered - stats.delivered);
    // Three standard deviations: 3 · sqrt(2000 · 0.3 · 0.7) = 61.5.
    assert!(stats.lost.abs_diff(600) <= 61, "{stats}");
    until("all are received", || {
        while sink.try_recv(&mut buffer).is_ok() {
            received += 1;
        }
        received == stats.delivered
    })
    .await;
}

/// Guards MTU and damage: 1472 bytes pass an MTU of 1500 and 1473 do not; a damaged packet keeps its length and differs;
/// without corruption again, packets are whole again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mtu_and_damage() {
    let sink = socket().await;
    let path = path(&sink, &LinkSpec::new(), &LinkSpec::new());
    let client = socket().await;
    client.send_to(&[1; 1473], path.local_addr()).await.unwrap();
    client.send_to(&[2; 1472], path.local_addr()).await.unwrap();
    assert_eq!(receive(&sink).await.0, [2; 1472]);
    assert_eq!(path.stats().0.too_big, 1);

    path.set_corrupt(1.0).unwrap();
    assert!(path.set_corrupt(1.5).is_err());
    client.send_to(&[3; 100], path.local_addr()).await.unwrap();
    let damaged = receive(&sink).await.0;
    let changed = damaged.iter().filter(|byte| **byte != 3).count();
    assert_eq!(damaged.len(), 100);
    assert!((1..=3).contains(&changed), "{changed} bytes changed");
    assert_eq!(path.stats().0.corrupted, 1);

    path.set_corrupt(0.0).unwrap();
    client.send_to(&[4; 100], path.local_addr()).await.unwrap();
    assert_eq!(receive(&sink).await.0, [4; 100]);
}

/// Guards bounds and ends: the 65th client takes the place of the most silent one, a target that does not listen is counted
/// and does no harm, and a shut-down path frees its port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_bounded_and_the_port_is_freed() {
    let server = socket().await;
    let path = path(&server, &LinkSpec::new(), &LinkSpec::new());
    let mut clients = Vec::new();
    let mut seen_as = Vec::new();
    for n in 0..65u8 {
        let client = socket().await;
        client.send_to(&[n], path.local_addr()).await.unwrap();
        let (datagram, from) = receive(&server).await;
        assert_eq!(datagram, [n]);
        assert!(!seen_as.contains(&from) || n == 64);
        seen_as.push(from);
        clients.push(client);
    }
    assert_eq!(path.socket_counters().evicted, 1);
    // The second client is still known under its address; the first one gets a new socket.
    clients[1]
        .send_to(b"again", path.local_addr())
        .await
        .unwrap();
    assert_eq!(receive(&server).await, (b"again".to_vec(), seen_as[1]));
    clients[0]
        .send_to(b"back", path.local_addr())
        .await
        .unwrap();
    assert_eq!(receive(&server).await.0, b"back");
    assert_eq!(path.socket_counters().evicted, 2);

    drop(server);
    until("the refusal is noticed", || {
        clients[1]
            .try_send_to(b"anyone?", path.local_addr())
            .unwrap();
        let counters = path.socket_counters();
        counters.receive_errors + counters.send_errors > 0
    })
    .await;

    let addr = path.local_addr();
    path.shutdown().await;
    UdpSocket::bind(addr).await.expect("the port is free");
}

/// Guards the other family, and what is refused: addresses beyond this machine, impossible links, links too large to hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_and_specs_are_checked() {
    let good = LinkSpec::new();
    let spawn = |listen, target, spec: &LinkSpec| UdpPath::spawn(listen, target, spec, &good, 1);
    let abroad: SocketAddr = ([192, 0, 2, 1], 9).into();
    assert!(matches!(spawn(any(), abroad, &good), Err(PathError::NotLoopback(a)) if a == abroad));
    let bad = LinkSpec::new().loss(7.0);
    assert!(matches!(
        spawn(any(), any(), &bad),
        Err(PathError::Spec { .. })
    ));
    let huge = LinkSpec::new()
        .rate_bps(u64::MAX)
        .delay(Duration::from_secs(9));
    assert!(matches!(
        spawn(any(), any(), &huge),
        Err(PathError::Capacity(_))
    ));
    let taken = socket().await;
    let taken = taken.local_addr().unwrap();
    assert!(matches!(
        spawn(taken, any(), &good),
        Err(PathError::Listen { .. })
    ));

    let any6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let Ok(server) = UdpSocket::bind(any6).await else {
        return; // This machine has no IPv6.
    };
    let path = spawn(any6, server.local_addr().unwrap(), &good).unwrap();
    let client = UdpSocket::bind(any6).await.unwrap();
    client.send_to(b"six", path.local_addr()).await.unwrap();
    assert_eq!(receive(&server).await.0, b"six");
}
