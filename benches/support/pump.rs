//! A bare pump: datagrams of the QUIC library from one process to another, as fast as it goes, and nothing else. It has the
//! keys and the transport of our links, and the library's own CUBIC, since loopback is nobody else's.

use super::process::cpu;
use bytes::Bytes;
use ostrakon_transports::keys::LinkSecret;
use ostrakon_transports::quic::parts::{dialling, listening};
use ostrakon_transports::quic::{Congestion, QuicSettings};
use quinn::{Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a datagram: a whole frame of ours.
const FRAME: usize = 1374;
/// The sockets of our links have as much.
const SOCKET_BUFFER: usize = 4 << 20;

/// Runs both ends, each as a process, and gives the time from the first datagram until `bytes` are there, and the
/// processor time of both.
pub fn run(bytes: u64) -> (Duration, Duration) {
    let mut receiver = role(&["pump-receive", &bytes.to_string()]);
    let mut lines = BufReader::new(receiver.stdout.take().unwrap()).lines();
    let mut line = move || lines.next().unwrap().unwrap();
    let mut sender = role(&["pump-send", &line()]);
    let told = |line: String| {
        let mut numbers = line
            .split(' ')
            .map(|n| Duration::from_micros(n.parse().unwrap()));
        (numbers.next().unwrap(), numbers.next().unwrap())
    };
    let (took, received) = told(line());
    let sent = told(
        BufReader::new(sender.stdout.take().unwrap())
            .lines()
            .next()
            .unwrap()
            .unwrap(),
    );
    receiver.wait().unwrap();
    sender.wait().unwrap();
    (took, received + sent.1)
}

fn role(args: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a process that was started as one end of the pump does.
pub fn play(args: &[String]) -> bool {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    match args {
        [role, bytes] if role == "pump-receive" => {
            runtime().block_on(receive(bytes.parse().unwrap()))
        }
        [role, to] if role == "pump-send" => runtime().block_on(send(to.parse().unwrap())),
        _ => return false,
    }
    true
}

fn secret(n: u8) -> LinkSecret {
    LinkSecret::from_seed([n; 32])
}

fn settings() -> QuicSettings {
    QuicSettings {
        congestion: Congestion::Cubic,
        initial_rtt: Duration::from_millis(1),
        ..QuicSettings::default()
    }
}

fn endpoint(config: EndpointConfig, server: Option<ServerConfig>) -> Endpoint {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for set in [
        rustix::net::sockopt::set_socket_recv_buffer_size,
        rustix::net::sockopt::set_socket_send_buffer_size,
    ] {
        set(&socket, SOCKET_BUFFER).unwrap();
    }
    Endpoint::new(config, server, socket, Arc::new(TokioRuntime)).unwrap()
}

async fn receive(bytes: u64) {
    let (config, server) = listening(&secret(1), &settings()).unwrap();
    let endpoint = endpoint(config, Some(server));
    println!("{}", endpoint.local_addr().unwrap());
    let connection = endpoint.accept().await.unwrap().await.unwrap();
    let mut left = bytes;
    let mut begun = None;
    while left > 0 {
        let datagram = connection.read_datagram().await.unwrap();
        begun.get_or_insert_with(Instant::now);
        left = left.saturating_sub(datagram.len() as u64);
    }
    tell(begun.unwrap().elapsed());
    connection.close(0u32.into(), b"");
    endpoint.wait_idle().await;
}

async fn send(to: SocketAddr) {
    let (config, client) = dialling(&secret(2), secret(1).public(), &settings()).unwrap();
    let endpoint = endpoint(config, None);
    let connection = endpoint
        .connect_with(client, to, "pump")
        .unwrap()
        .await
        .unwrap();
    let frame = Bytes::from(vec![0x5a; FRAME]);
    let begun = Instant::now();
    // The receiver closes when it has enough. At first the path may take less than a whole frame.
    while connection.close_reason().is_none() {
        let room = connection.max_datagram_size().unwrap().min(FRAME);
        let _ = connection.send_datagram_wait(frame.slice(..room)).await;
    }
    tell(begun.elapsed());
}

fn tell(took: Duration) {
    println!(
        "{} {}",
        took.as_micros(),
        cpu(std::process::id()).as_micros()
    );
}
