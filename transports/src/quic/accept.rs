//! Connections that others begin: handshake, protocol, key.

use super::endpoint::{EndpointError, QuicEndpoint, WeakEndpoint};
use super::race::RACERS;
use super::tls::{self, ALPN_HANDOVER, ALPN_PEER, ALPN_RELAY};
use super::{CloseCode, link};
use crate::keys::LinkKey;
use crate::{EventSender, LinkHandle, LinkId};
use quinn::{Connection, SendStream};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// Connections that passed the handshake and wait to be taken.
const WAITING: usize = 64;
/// A handshake that takes longer is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection whose far side proved `key`.
pub(crate) struct Authenticated {
    pub(crate) connection: Connection,
    pub(crate) key: LinkKey,
}

/// Who takes connections, by protocol.
#[derive(Default)]
pub(super) struct Routes {
    peers: Option<mpsc::Sender<Authenticated>>,
    relay_clients: Option<mpsc::Sender<Authenticated>>,
    handovers: Option<mpsc::Sender<Authenticated>>,
    accepting: bool,
}

impl Routes {
    fn slot(&mut self, alpn: &[u8]) -> &mut Option<mpsc::Sender<Authenticated>> {
        match alpn {
            ALPN_PEER => &mut self.peers,
            ALPN_HANDOVER => &mut self.handovers,
            _ => &mut self.relay_clients,
        }
    }

    fn open(&mut self) -> Vec<Vec<u8>> {
        [ALPN_PEER, ALPN_RELAY, ALPN_HANDOVER]
            .into_iter()
            .filter(|alpn| self.slot(alpn).as_ref().is_some_and(|s| !s.is_closed()))
            .map(<[u8]>::to_vec)
            .collect()
    }
}

/// Begins to take connections of one protocol.
pub(super) fn open_route(
    endpoint: &QuicEndpoint,
    alpn: &'static [u8],
) -> Result<mpsc::Receiver<Authenticated>, EndpointError> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let mut routes = endpoint.routes();
    if routes.slot(alpn).as_ref().is_some_and(|s| !s.is_closed()) {
        let name = match alpn {
            ALPN_PEER => "peers",
            ALPN_HANDOVER => "new devices",
            _ => "relay clients",
        };
        return Err(EndpointError::Served(name));
    }
    *routes.slot(alpn) = Some(sender);
    endpoint.listen(routes.open())?;
    if !routes.accepting {
        routes.accepting = true;
        tokio::spawn(accept_loop(endpoint.quinn().clone(), endpoint.downgrade()));
    }
    Ok(receiver)
}

async fn accept_loop(quinn: quinn::Endpoint, endpoint: WeakEndpoint) {
    let Some(max_handshakes) = endpoint
        .upgrade()
        .map(|e| e.options().max_handshakes.max(1))
    else {
        return;
    };
    let handshakes = Arc::new(Semaphore::new(max_handshakes));
    while let Some(incoming) = quinn.accept().await {
        let Some(endpoint) = endpoint.upgrade() else {
            return;
        };
        let full = quinn.open_connections() >= endpoint.options().max_connections;
        let Ok(permit) = handshakes.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        if full {
            incoming.refuse();
        } else if handshakes.available_permits() < max_handshakes / 2 && incoming.may_retry() {
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
        } else {
            let weak = endpoint.downgrade();
            tokio::spawn(async move {
                let done = timeout(HANDSHAKE_TIMEOUT, incoming).await;
                drop(permit);
                match (done, weak.upgrade()) {
                    (Ok(Ok(connection)), Some(endpoint)) => hand_on(&endpoint, connection),
                    (Ok(Err(error)), _) => tracing::debug!(%error, "an incoming handshake failed"),
                    _ => tracing::debug!("an incoming handshake came to nothing"),
                }
            });
        }
    }
}

/// Gives an established connection to whoever takes its protocol.
fn hand_on(endpoint: &QuicEndpoint, connection: Connection) {
    let Some(key) = tls::peer_key(&connection) else {
        return CloseCode::NotAuthorized.close(&connection);
    };
    let alpn = tls::alpn(&connection).unwrap_or_default();
    let taker = endpoint.routes().slot(&alpn).clone();
    let Some(taker) = taker else {
        return CloseCode::NotServed.close(&connection);
    };
    match taker.try_send(Authenticated { connection, key }) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(refused)) => {
            CloseCode::TooMany.close(&refused.connection)
        }
        Err(mpsc::error::TrySendError::Closed(refused)) => {
            CloseCode::NotServed.close(&refused.connection);
        }
    }
}

/// A connection whose far side has said hello. Dropping it closes the connection, if nobody has.
pub(super) struct Greeted {
    pub(super) connection: Connection,
    pub(super) key: LinkKey,
    /// The number that the far side has given the link.
    pub(super) number: u32,
    /// Where the hello is answered.
    pub(super) stream: SendStream,
}

impl Drop for Greeted {
    fn drop(&mut self) {
        CloseCode::NotServed.close(&self.connection);
    }
}

/// Yields connections of peers that proved an authorized key and said hello. Dropping it ends the service.
pub struct PeerListener {
    connections: mpsc::Receiver<Authenticated>,
    /// Those that have not said hello yet, and whose they are, oldest first. Who dials several at once says it on one of them.
    greeting: JoinSet<Option<Greeted>>,
    silent: VecDeque<(LinkKey, AbortHandle)>,
    endpoint: QuicEndpoint,
    authorize: Box<dyn Fn(LinkKey) -> bool + Send + Sync>,
    refused: Arc<AtomicU64>,
}

impl PeerListener {
    /// The next authorized connection; `None` when the endpoint is shut down. Others are refused on the way.
    /// Safe to cancel.
    pub async fn next(&mut self) -> Option<Incoming> {
        loop {
            tokio::select! {
                Some(done) = self.greeting.join_next_with_id() => {
                    let (id, greeted) = match done {
                        Ok((id, greeted)) => (id, greeted),
                        Err(error) => (error.id(), None),
                    };
                    self.silent.retain(|(_, task)| task.id() != id);
                    if let Some(greeted) = greeted {
                        return Some(self.incoming(greeted));
                    }
                }
                came = self.connections.recv() => self.greet(came?),
            }
        }
    }

    /// Waits for the hello of a connection, if its key is welcome.
    fn greet(&mut self, Authenticated { connection, key }: Authenticated) {
        if !(self.authorize)(key) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            tracing::info!(%key, remote = %connection.remote_address(), "refused a peer with an unknown key");
            return CloseCode::NotAuthorized.close(&connection);
        }
        self.make_room(key);
        let limit = self.endpoint.options().settings.connect_timeout;
        let task = self.greeting.spawn(async move {
            let hello = timeout(limit, link::hear_hello(&connection)).await;
            let Some((stream, number)) = hello.ok().flatten() else {
                CloseCode::BadHello.close(&connection);
                return None;
            };
            Some(Greeted {
                connection,
                key,
                number,
                stream,
            })
        });
        self.silent.push_back((key, task));
    }

    /// So that nobody is shut out by those who stay silent, the oldest of them gives way: of the same key if that has as many
    /// as may be dialled at once.
    fn make_room(&mut self, key: LinkKey) {
        let of_key = self.silent.iter().filter(|(whose, _)| *whose == key);
        let many = of_key.count() >= RACERS;
        if !many && self.silent.len() < WAITING {
            return;
        }
        let oldest = self
            .silent
            .iter()
            .position(|(whose, _)| !many || *whose == key);
        if let Some((_, task)) = oldest.and_then(|at| self.silent.remove(at)) {
            task.abort();
        }
    }

    fn incoming(&self, greeted: Greeted) -> Incoming {
        let settings = &self.endpoint.options().settings;
        Incoming {
            peer: greeted.key,
            number: greeted.number,
            remote: greeted.connection.remote_address(),
            greeted,
            limit: settings.connect_timeout,
            rate_bps: settings.rate_bps,
        }
    }

    /// How many connections were refused for their key, counting on while the listener is in use.
    pub fn refused(&self) -> Arc<AtomicU64> {
        self.refused.clone()
    }
}

/// A connection that an authorized peer began. Dropping it closes the connection.
pub struct Incoming {
    /// The key that the peer proved.
    pub peer: LinkKey,
    /// The number that the peer has given this link: a former connection of the same number is over.
    pub number: u32,
    /// Where it calls from now.
    pub remote: SocketAddr,
    greeted: Greeted,
    limit: Duration,
    rate_bps: Option<u64>,
}

impl Incoming {
    /// Makes it a link. The link never reconnects: after its one `Down` it is over, and the peer's next
    /// connection is a new [`Incoming`].
    pub fn into_link(self, link: LinkId, events: EventSender) -> LinkHandle {
        link::serve(link, self.greeted, self.limit, self.rate_bps, events)
    }

    /// Tells the peer that it has as many links here as it may.
    pub fn refuse(self) {
        CloseCode::TooMany.close(&self.greeted.connection);
    }
}

impl QuicEndpoint {
    /// Listens for peers. Whoever proves a key for which `authorize` says no is refused and counted.
    ///
    /// # Errors
    ///
    /// [`EndpointError::Served`] while another listener of this endpoint lives.
    pub fn accept_peers(
        &self,
        authorize: impl Fn(LinkKey) -> bool + Send + Sync + 'static,
    ) -> Result<PeerListener, EndpointError> {
        Ok(PeerListener {
            connections: open_route(self, ALPN_PEER)?,
            greeting: JoinSet::new(),
            silent: VecDeque::new(),
            endpoint: self.clone(),
            authorize: Box::new(authorize),
            refused: Arc::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::keys::LinkSecret;
    use crate::quic::{EndpointOptions, PeerSpec, QuicSettings, config, dial};
    use quinn::TransportConfig;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn bind(n: u8) -> QuicEndpoint {
        let (address, options) = ("127.0.0.1:0".parse().unwrap(), EndpointOptions::default());
        QuicEndpoint::bind(address, &LinkSecret::from_seed([n; 32]), options).unwrap()
    }

    fn spec(there: &QuicEndpoint) -> PeerSpec {
        PeerSpec {
            address: there.local_addr().unwrap().to_string(),
            key: there.key(),
            others: Vec::new(),
            number: 7,
            settings: QuicSettings::default(),
        }
    }

    async fn greet(connection: &Connection) {
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(&link::hello(7)).await.unwrap();
    }

    /// Guards that of several connections of one peer that which says hello is taken, be others there before it; and that no
    /// more of them wait than may be dialled at once, so that others find room.
    #[tokio::test]
    async fn only_who_says_hello_is_taken() {
        let (here, there) = (bind(1), bind(2));
        let mut listener = there.accept_peers(|_| true).unwrap();
        let mut silent = Vec::new();
        for _ in 0..RACERS + 2 {
            silent.push(dial(&here, &spec(&there), ALPN_PEER, 0).await.unwrap());
        }
        let greets = dial(&here, &spec(&there), ALPN_PEER, 0).await.unwrap();
        greet(&greets).await;
        let taken = timeout(PATIENCE, listener.next()).await.unwrap().unwrap();
        assert_eq!((taken.peer, taken.number), (here.key(), 7));
        for first in &silent[..3] {
            timeout(PATIENCE, first.closed()).await.unwrap();
        }
        assert!(silent[3..].iter().all(|last| last.close_reason().is_none()));
        assert!(listener.silent.len() < RACERS);
        // Which of them was taken shows where it is closed.
        drop(taken);
        assert!(greets.closed().await.to_string().contains("not served"));
    }

    /// Guards that a link ends when its owner drops it, also if the peer gives no room for the answer to its hello.
    #[tokio::test]
    async fn who_takes_no_answer_is_let_go() {
        let (here, there) = (bind(1), bind(2));
        let mut listener = there.accept_peers(|_| true).unwrap();
        let mut client =
            config::client(here.tls(), there.key(), ALPN_PEER, &QuicSettings::default()).unwrap();
        let mut transport = TransportConfig::default();
        transport.stream_receive_window(0u32.into());
        client.transport_config(Arc::new(transport));
        let address = there.local_addr().unwrap();
        let connecting = here
            .quinn()
            .connect_with(client, address, "ostrakon.invalid");
        let connection = connecting.unwrap().await.unwrap();
        greet(&connection).await;
        let taken = timeout(PATIENCE, listener.next()).await.unwrap().unwrap();
        let (events, _owner) = mpsc::channel(8);
        drop(taken.into_link(LinkId(1), events));
        timeout(PATIENCE, connection.closed()).await.unwrap();
    }
}
