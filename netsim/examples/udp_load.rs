//! Loads a UDP path on loopback with datagrams of 1200 bytes at a rate, and prints what became of them.
//!
//! `cargo run --release --example udp_load -- 300` offers 300 Mbit/s for five seconds to a link that carries a tenth more.
//! What the link delivered and the receiver did not get was dropped at the receiver's own socket, whose buffer is the
//! kernel's default.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ostrakon_netsim::emulate::UdpPath;
use ostrakon_netsim::model::LinkSpec;

const SECONDS: u64 = 5;
const PAYLOAD: u64 = 1200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mbit: u64 = std::env::args().nth(1).map_or(Ok(100), |arg| arg.parse())?;
    let rate = mbit * 1_000_000;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let _inside = runtime.enter();

    let sink = UdpSocket::bind(any)?;
    let spec = LinkSpec::new()
        .rate_bps(rate / 10 * 11)
        .delay(Duration::from_millis(20));
    let path = UdpPath::spawn(any, sink.local_addr()?, &spec, &spec, 1)?;
    let (got, done) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let receiver = receive(sink, Arc::clone(&got), Arc::clone(&done))?;

    let sent = send(&path, rate)?;
    std::thread::sleep(Duration::from_millis(500));
    done.store(true, Relaxed);
    receiver.join().map_err(|_| "the receiver panicked")??;

    let received = got.load(Relaxed);
    println!("sent     {sent} datagrams at {mbit} Mbit/s with headers");
    println!("received {received}");
    println!("link     {}", path.stats().0);
    println!("sockets  {:?}", path.socket_counters());
    println!("emulator {}", path.lateness());
    Ok(())
}

/// Sends at `rate` in bursts of a millisecond, as a paced sender does.
fn send(path: &UdpPath, rate: u64) -> std::io::Result<u64> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(SECONDS) {
        let due = start.elapsed().as_micros() * u128::from(rate) / 8_000_000;
        while u128::from(sent * (PAYLOAD + 28)) < due {
            socket.send_to(&[0; PAYLOAD as usize], path.local_addr())?;
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(sent)
}

fn receive(
    sink: UdpSocket,
    got: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
) -> std::io::Result<std::thread::JoinHandle<std::io::Result<()>>> {
    sink.set_read_timeout(Some(Duration::from_millis(50)))?;
    Ok(std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while !done.load(Relaxed) {
            match sink.recv(&mut buffer) {
                Ok(_) => got.fetch_add(1, Relaxed),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }))
}
