//! Traffic between the two ends of a link, from sockets that live in their namespaces.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ostrakon_netsim::netns::{HostRecord, hurry};
use rustix::net::sockopt;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::failure::Failure;

/// Room in the kernel for what the receiver has not read yet.
const SOCKET_BUFFER: usize = 16 << 20;
/// How long after the last packet was sent the receiver waits for more.
const SILENCE: Duration = Duration::from_secs(2);
/// How long the sender rests between looks at the clock.
const REST: Duration = Duration::from_micros(500);
/// Round trips begun in a second.
const ECHOES_PER_SECOND: f64 = 100.0;

/// A socket at each end of a link.
pub(super) struct Ends {
    a: UdpSocket,
    b: UdpSocket,
    b_address: SocketAddr,
}

/// Packets to be sent at an even pace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    /// Bytes of UDP payload.
    pub(super) payload: usize,
    pub(super) packets_per_second: f64,
    pub(super) lasting: Duration,
}

/// What became of a flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) sent: u64,
    /// How long sending took.
    pub(super) sending: Duration,
    pub(super) received: u64,
    /// From the first arrival to the last.
    pub(super) receiving: Duration,
}

impl Ends {
    pub(super) fn open(a: &HostRecord, b: &HostRecord) -> Result<Self, Failure> {
        let (a, b) = (socket(a)?, socket(b)?);
        let b_address = b.local_addr()?;
        Ok(Self { a, b, b_address })
    }
}

/// Sends a flow from a to b and counts what arrives.
pub(super) fn send_and_count(ends: &Ends, flow: &Flow) -> Result<Counted, Failure> {
    let sent_all = AtomicBool::new(false);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&ends.b, flow.payload, &sent_all));
        let sent = send(&ends.a, ends.b_address, flow);
        sent_all.store(true, Ordering::Release);
        let received = joined(receiver.join())?;
        let (sent, sending) = sent?;
        let (received, receiving) = received?;
        Ok(Counted {
            sent,
            sending,
            received,
            receiving,
        })
    })
}

/// Sends packets from a, which b sends back, and returns how long each took that came back.
pub(super) fn echo_times(
    ends: &Ends,
    payload: usize,
    lasting: Duration,
) -> Result<Vec<Duration>, Failure> {
    let sent_all = AtomicBool::new(false);
    let origin = Instant::now();
    thread::scope(|scope| {
        let echo = scope.spawn(|| echo(&ends.b, &sent_all));
        let receiver = scope.spawn(|| collect_echoes(&ends.a, origin, &sent_all));
        let sent = pace(ECHOES_PER_SECOND, lasting, |_| {
            let mut packet = vec![0; payload.max(8)];
            let now = u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
            packet[..8].copy_from_slice(&now.to_be_bytes());
            ends.a.send_to(&packet, ends.b_address).map(|_len| ())
        });
        sent_all.store(true, Ordering::Release);
        let times = joined(receiver.join())?;
        joined(echo.join())??;
        sent?;
        Ok(times?)
    })
}

fn send(socket: &UdpSocket, to: SocketAddr, flow: &Flow) -> io::Result<(u64, Duration)> {
    let packet = vec![0; flow.payload];
    pace(flow.packets_per_second, flow.lasting, |_| {
        socket.send_to(&packet, to).map(|_len| ())
    })
}

/// Calls `send` at an even pace, making up for time in which this thread did not run. Returns how often and for how long.
fn pace(
    each_second: f64,
    lasting: Duration,
    mut send: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<(u64, Duration)> {
    // Those who measure are to add no lateness of their own.
    hurry();
    let wanted = (each_second * lasting.as_secs_f64()).round() as u64;
    let start = Instant::now();
    let mut sent = 0;
    while sent < wanted {
        let due = (each_second * start.elapsed().as_secs_f64()) as u64 + 1;
        while sent < due.min(wanted) {
            send(sent)?;
            sent += 1;
        }
        thread::sleep(REST);
    }
    Ok((sent, start.elapsed()))
}

/// Counts packets until the sender is done and none has come for a while.
fn receive(
    socket: &UdpSocket,
    payload: usize,
    sent_all: &AtomicBool,
) -> io::Result<(u64, Duration)> {
    let mut buffer = vec![0; payload + 1];
    let (mut count, mut first, mut last) = (0, None, Instant::now());
    until_silent(socket, sent_all, &mut buffer, |_| {
        count += 1;
        last = Instant::now();
        first.get_or_insert(last);
        Ok(())
    })?;
    Ok((count, first.map_or(Duration::ZERO, |first| last - first)))
}

fn collect_echoes(
    socket: &UdpSocket,
    origin: Instant,
    sent_all: &AtomicBool,
) -> io::Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut buffer = vec![0; 2048];
    until_silent(socket, sent_all, &mut buffer, |received| {
        let now = origin.elapsed();
        if let Some(sent) = received.payload.first_chunk() {
            times.push(now.saturating_sub(Duration::from_nanos(u64::from_be_bytes(*sent))));
        }
        Ok(())
    })?;
    Ok(times)
}

fn echo(socket: &UdpSocket, sent_all: &AtomicBool) -> io::Result<()> {
    let mut buffer = vec![0; 2048];
    until_silent(socket, sent_all, &mut buffer, |received| {
        socket
            .send_to(received.payload, received.from)
            .map(|_len| ())
    })
}

struct Received<'a> {
    payload: &'a [u8],
    from: SocketAddr,
}

/// Receives packets until the sender is done and none has come for a while.
fn until_silent(
    socket: &UdpSocket,
    sent_all: &AtomicBool,
    buffer: &mut [u8],
    mut take: impl FnMut(Received<'_>) -> io::Result<()>,
) -> io::Result<()> {
    hurry();
    socket.set_read_timeout(Some(SILENCE))?;
    loop {
        match socket.recv_from(buffer) {
            Ok((len, from)) => take(Received {
                payload: buffer.get(..len).unwrap_or_default(),
                from,
            })?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if sent_all.load(Ordering::Acquire) {
                    return Ok(());
                }
            }
            // A process that was stopped and goes on.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A socket at a host's first address, made by a thread that goes into its namespace for that.
fn socket(host: &HostRecord) -> Result<UdpSocket, Failure> {
    let path = Path::new("/run/netns").join(&host.namespace);
    let address: IpAddr = match host.addresses.first() {
        Some(address) => address.parse()?,
        None => {
            return Err(Failure::new(format!(
                "{} has no address: end the network by `netsim down`",
                host.namespace
            )));
        }
    };
    let made = thread::spawn(move || -> io::Result<UdpSocket> {
        let namespace = File::open(path)?;
        move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&namespace),
            Some(LinkNameSpaceType::Network),
        )?;
        let socket = UdpSocket::bind((address, 0))?;
        sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER)?;
        sockopt::set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER)?;
        Ok(socket)
    });
    Ok(joined(made.join())??)
}

fn joined<T>(joined: thread::Result<T>) -> Result<T, Failure> {
    joined
        .map_err(|_panic| Failure::new("a measuring thread failed: run the check again".to_owned()))
}
