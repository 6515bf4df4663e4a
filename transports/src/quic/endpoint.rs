//! The UDP socket that connects and listens.

use super::accept::Routes;
use super::settings::QuicSettings;
use super::tls::TlsIdentity;
use super::{CloseCode, accept, config};
use crate::keys::{LinkKey, LinkSecret};
use quinn::VarInt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Asked of the kernel for each direction, in bytes. It gives what its own limits allow.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// How long far sides have to hear of a shutdown.
const GOODBYE: Duration = Duration::from_secs(2);

/// What an endpoint cannot begin with.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The socket cannot be had.
    #[error("cannot use UDP address {address}: {source} (choose a free address of this machine)")]
    Socket {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The TLS library refuses the key or the configuration.
    #[error("TLS is not usable: {0} (check the link key; if it is sound, report this)")]
    Tls(#[from] rustls::Error),
    /// Somebody takes connections of this protocol already.
    #[error(
        "this endpoint serves {0} already (stop the other service first or bind another endpoint)"
    )]
    Served(&'static str),
}

/// Options of an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// Settings of connections that others begin.
    pub settings: QuicSettings,
    /// At this many connections, those that this side began included, no more are accepted. 256 unless set.
    pub max_connections: usize,
    /// The most handshakes under way at once. 64 unless set; from half of it on, callers first have to show
    /// that their address is theirs (RFC 9000, section 8.1.2).
    pub max_handshakes: usize,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        Self {
            settings: QuicSettings::default(),
            max_connections: 256,
            max_handshakes: 64,
        }
    }
}

/// One UDP socket with one key. Clones are the same endpoint; it closes when the last clone and the last
/// link that uses it are gone, or on [`QuicEndpoint::shutdown`].
#[derive(Clone)]
pub struct QuicEndpoint {
    inner: Arc<Inner>,
}

struct Inner {
    quinn: quinn::Endpoint,
    tls: TlsIdentity,
    key: LinkKey,
    options: EndpointOptions,
    routes: Mutex<Routes>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let code = CloseCode::ShuttingDown;
        self.quinn.close(VarInt::from_u32(code as u32), b"");
    }
}

impl QuicEndpoint {
    /// Binds `address` (port 0 lets the system choose) with the key of `secret`. It listens from the first
    /// [`QuicEndpoint::accept_peers`] or relay server on. An IPv6 wildcard address takes IPv4 as well.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`EndpointError`] if the socket or the key is not usable.
    pub fn bind(
        address: SocketAddr,
        secret: &LinkSecret,
        options: EndpointOptions,
    ) -> Result<Self, EndpointError> {
        let tls = TlsIdentity::new(secret)?;
        let quinn = open_socket(address)
            .and_then(|socket| {
                let runtime = Arc::new(quinn::TokioRuntime);
                quinn::Endpoint::new(config::endpoint(secret), None, socket, runtime)
            })
            .map_err(|source| EndpointError::Socket { address, source })?;
        let inner = Inner {
            quinn,
            tls,
            key: secret.public(),
            options,
            routes: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The address of the socket now.
    ///
    /// # Errors
    ///
    /// Whatever the system says when asked.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.inner.quinn.local_addr()
    }

    /// The public key of this endpoint.
    pub fn key(&self) -> LinkKey {
        self.inner.key
    }

    /// Moves to another local address, as after a change of network. Connections that this side began
    /// survive (RFC 9000, section 9); those that others began depend on their finding the new address.
    ///
    /// # Errors
    ///
    /// [`EndpointError::Socket`]; the old socket stays in use then.
    pub fn rebind(&self, address: SocketAddr) -> Result<(), EndpointError> {
        open_socket(address)
            .and_then(|socket| self.inner.quinn.rebind(socket))
            .map_err(|source| EndpointError::Socket { address, source })
    }

    /// Closes all connections and stops listening, and returns when the far sides have been told or the
    /// usual time for that has passed (RFC 9000, section 10.2), after 2 s at the latest: on a way of long round
    /// trips the usual time is minutes. Links that dial through this endpoint stay down from then on.
    pub async fn shutdown(&self) {
        let code = CloseCode::ShuttingDown;
        self.inner.quinn.close(VarInt::from_u32(code as u32), b"");
        // Nobody has to hear of it: far sides find out by themselves.
        let _ = tokio::time::timeout(GOODBYE, self.inner.quinn.wait_idle()).await;
    }

    pub(super) fn quinn(&self) -> &quinn::Endpoint {
        &self.inner.quinn
    }

    pub(super) fn tls(&self) -> &TlsIdentity {
        &self.inner.tls
    }

    pub(super) fn options(&self) -> &EndpointOptions {
        &self.inner.options
    }

    pub(super) fn uses_ipv6(&self) -> bool {
        self.local_addr().is_ok_and(|address| address.is_ipv6())
    }

    /// Who takes incoming connections. Held only for moments, never across an await.
    pub(super) fn routes(&self) -> MutexGuard<'_, Routes> {
        self.inner
            .routes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A reference that does not keep the endpoint open.
    pub(super) fn downgrade(&self) -> WeakEndpoint {
        WeakEndpoint(Arc::downgrade(&self.inner))
    }

    /// Listens for the given protocols from now on.
    pub(super) fn listen(&self, alpn: Vec<Vec<u8>>) -> Result<(), EndpointError> {
        let config = config::server(&self.inner.tls, alpn, &self.inner.options.settings)?;
        self.inner.quinn.set_server_config(Some(config));
        Ok(())
    }

    /// Takes relay clients from now on.
    pub(crate) fn accept_relay_clients(
        &self,
    ) -> Result<tokio::sync::mpsc::Receiver<accept::Authenticated>, EndpointError> {
        accept::open_route(self, super::ALPN_RELAY)
    }
}

/// Does not keep the endpoint open.
pub(super) struct WeakEndpoint(std::sync::Weak<Inner>);

impl WeakEndpoint {
    pub(super) fn upgrade(&self) -> Option<QuicEndpoint> {
        self.0.upgrade().map(|inner| QuicEndpoint { inner })
    }
}

fn open_socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Smaller buffers work as well, only with more loss in bursts.
    for result in [
        socket.set_recv_buffer_size(SOCKET_BUFFER),
        socket.set_send_buffer_size(SOCKET_BUFFER),
    ] {
        if let Err(error) = result {
            tracing::debug!(%error, "the socket buffer keeps its size");
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
