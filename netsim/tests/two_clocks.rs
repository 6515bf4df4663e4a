//! A link in virtual time beside the same link in real time, between real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ostrakon_netsim::emulate::UdpPath;
use ostrakon_netsim::model::{LinkSpec, Nanos};
use ostrakon_netsim::world::{Host, Out, Pair, Port, World};
use tokio::net::UdpSocket;

/// Bytes of a packet: 1000 with the headers of IP and UDP, so that the line takes 4 ms for each.
const PACKET: usize = 972;
/// Offered one and a half times as fast as the line can, for two seconds.
const EVERY: Duration = Duration::from_micros(2_667);
const PACKETS: u64 = 750;
const LOSS: f64 = 0.1;

/// A line of 2 Mbit/s with a queue of half a second, which fills half way through. The queue is long enough for a sender
/// that a busy machine holds up.
fn spec() -> LinkSpec {
    LinkSpec::new()
        .rate_bps(2_000_000)
        .delay(Duration::from_millis(30))
        .loss(LOSS)
        .queue_bytes(125_000)
}

/// What became of the packets.
#[derive(Debug)]
struct Fate {
    /// At the program at the far end.
    received: u64,
    lost: u64,
    /// Transmitted, lost ones included.
    sent: u64,
}

/// Sends on one machine, counts on the other.
struct Program {
    to_send: u64,
    received: u64,
}

impl Host for Program {
    fn start(&mut self, now: Nanos, out: &mut Out<'_>) {
        self.timer(now, out);
    }

    fn timer(&mut self, now: Nanos, out: &mut Out<'_>) {
        if self.to_send > 0 {
            self.to_send -= 1;
            out.send(Port(0), vec![7; PACKET]);
            out.wake_at(now + EVERY.as_nanos() as Nanos);
        }
    }

    fn packet(&mut self, _now: Nanos, _port: Port, _packet: Bytes, _out: &mut Out<'_>) {
        self.received += 1;
    }
}

fn simulated() -> Fate {
    let mut world = World::new(1);
    let program = |to_send| Program {
        to_send,
        received: 0,
    };
    let a = world.add_host("a", program(PACKETS));
    let b = world.add_host("b", program(0));
    let link = world.add_pair(a, b, &Pair::one_way(spec())).unwrap();
    world.run_until(10_000_000_000, |_| false);
    let stats = world.link_stats(link)[0].unwrap();
    Fate {
        received: world.host(b).received,
        lost: stats.lost,
        sent: stats.sent,
    }
}

async fn real() -> Fate {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sink = UdpSocket::bind(any).await.unwrap();
    let path = UdpPath::spawn(any, sink.local_addr().unwrap(), &spec(), &spec(), 1).unwrap();
    let received = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&received);
    let sinking = tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while sink.recv_from(&mut buffer).await.is_ok() {
            counting.fetch_add(1, Ordering::Relaxed);
        }
    });
    let client = UdpSocket::bind(any).await.unwrap();
    let mut pace = tokio::time::interval(EVERY);
    for _ in 0..PACKETS {
        pace.tick().await;
        client
            .send_to(&[7; PACKET], path.local_addr())
            .await
            .unwrap();
    }
    // The queue empties in half a second, and the last packet is 30 ms on its way.
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let stats = path.stats().0;
        if stats.offered == PACKETS && stats.in_flight() == 0 {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    sinking.abort();
    let stats = path.stats().0;
    Fate {
        received: received.load(Ordering::Relaxed),
        lost: stats.lost,
        sent: stats.sent,
    }
}

/// Guards that a simulated link is no kinder than the real-time one: what a program gets over the real one is no less, and
/// loses no smaller a share, than what a host gets in a world, up to four standard deviations of chance and a hundredth for
/// the edges of queue and clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_simulated_link_is_as_hard_as_a_real_one() {
    let (simulated, real) = (simulated(), real().await);
    let chance = 4.0 * (2.0 * PACKETS as f64 * LOSS * (1.0 - LOSS)).sqrt();
    let tolerance = chance + PACKETS as f64 / 100.0;
    assert!(
        simulated.sent < PACKETS,
        "the queue never filled: {simulated:?}"
    );
    assert!(
        (simulated.received as f64 - real.received as f64).abs() <= tolerance,
        "{simulated:?} and {real:?}"
    );
    let share = |fate: &Fate| fate.lost as f64 / fate.sent as f64;
    assert!(
        (share(&real) - share(&simulated)).abs() <= tolerance / simulated.sent as f64,
        "{simulated:?} and {real:?}"
    );
}
