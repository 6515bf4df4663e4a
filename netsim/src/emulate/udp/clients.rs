//! Who sends through a path: the listening socket, and a socket towards the target for each client.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::oneshot;

use super::direction::{Direction, Exit};
use super::socket::{Counters, open};
use crate::emulate::Task;

/// The most clients at a time.
const MAX_CLIENTS: usize = 64;
/// The largest datagram.
const MAX_DATAGRAM: usize = 65_535;
/// Datagrams read in a row before other tasks of the thread have their turn.
const BURST: usize = 128;
/// How long a reader rests after an error that is not about one datagram, so that it does not spin.
const REST: Duration = Duration::from_millis(5);

/// Reads what clients send, and gives each of them a socket of its own towards the target.
pub(super) struct Clients {
    listen: Arc<UdpSocket>,
    target: SocketAddr,
    forward: Arc<Direction>,
    back: Arc<Direction>,
    counters: Arc<Counters>,
    clients: HashMap<SocketAddr, Client>,
    /// Counts datagrams, to tell who has been silent for longest.
    turn: Arc<AtomicU64>,
}

struct Client {
    exit: Exit,
    last_turn: Arc<AtomicU64>,
    reader: Task,
}

impl Clients {
    pub(super) fn new(
        listen: Arc<UdpSocket>,
        target: SocketAddr,
        (forward, back): (Arc<Direction>, Arc<Direction>),
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            listen,
            target,
            forward,
            back,
            counters,
            clients: HashMap::new(),
            turn: Arc::default(),
        }
    }

    /// Reads until `stop` is sent or dropped, and then until no task of a client is left.
    pub(super) async fn run(mut self, stop: oneshot::Receiver<()>) {
        let listen = Arc::clone(&self.listen);
        let counters = Arc::clone(&self.counters);
        tokio::select! {
            () = read(&listen, &counters, |from, datagram| self.pass(from, datagram)) => {}
            _either_way = stop => {}
        }
        for (_, client) in self.clients.drain() {
            client.reader.stop().await;
        }
    }

    fn pass(&mut self, from: SocketAddr, datagram: &[u8]) {
        if !self.clients.contains_key(&from) {
            match self.admit(from) {
                Ok(client) => {
                    self.make_room();
                    self.clients.insert(from, client);
                }
                Err(_no_socket) => return self.counters.send_error(),
            }
        }
        if let Some(client) = self.clients.get(&from) {
            client
                .last_turn
                .store(self.turn.fetch_add(1, Relaxed), Relaxed);
            self.forward.offer(datagram, &client.exit);
        }
    }

    fn admit(&self, from: SocketAddr) -> io::Result<Client> {
        let any: IpAddr = match self.target {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let socket = Arc::new(open(
            SocketAddr::new(any, 0),
            Some(self.target),
            &self.counters,
        )?);
        let last_turn = Arc::new(AtomicU64::new(0));
        let reader = answer(
            Arc::clone(&socket),
            Exit {
                socket: Arc::clone(&self.listen),
                to: Some(from),
            },
            Arc::clone(&self.back),
            Arc::clone(&self.counters),
            (Arc::clone(&self.turn), Arc::clone(&last_turn)),
        );
        Ok(Client {
            exit: Exit { socket, to: None },
            last_turn,
            reader: Task(tokio::spawn(reader)),
        })
    }

    /// Lets go of the client silent for longest if there is no place for another.
    fn make_room(&mut self) {
        if self.clients.len() < MAX_CLIENTS {
            return;
        }
        let idle = self
            .clients
            .iter()
            .min_by_key(|(_, client)| client.last_turn.load(Relaxed));
        if let Some(addr) = idle.map(|(addr, _)| *addr)
            && let Some(client) = self.clients.remove(&addr)
        {
            self.counters.evict(&client.exit.socket);
        }
    }
}

/// Carries the target's answers to one client, for ever. The socket is connected, so it hears nobody else.
async fn answer(
    socket: Arc<UdpSocket>,
    exit: Exit,
    back: Arc<Direction>,
    counters: Arc<Counters>,
    (turn, last_turn): (Arc<AtomicU64>, Arc<AtomicU64>),
) {
    read(&socket, &counters, |_target, datagram| {
        last_turn.store(turn.fetch_add(1, Relaxed), Relaxed);
        back.offer(datagram, &exit);
    })
    .await;
}

/// Reads datagrams for ever.
async fn read(socket: &UdpSocket, counters: &Counters, mut each: impl FnMut(SocketAddr, &[u8])) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        if socket.readable().await.is_err() {
            counters.receive_error();
            tokio::time::sleep(REST).await;
            continue;
        }
        for _ in 0..BURST {
            match socket.try_recv_from(&mut buffer) {
                Ok((len, from)) => each(from, buffer.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    counters.receive_error();
                }
                Err(_) => {
                    counters.receive_error();
                    tokio::time::sleep(REST).await;
                    break;
                }
            }
        }
        // A socket that always has more would otherwise keep its thread.
        tokio::task::yield_now().await;
    }
}
