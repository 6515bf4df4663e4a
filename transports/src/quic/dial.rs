//! One attempt to connect to an address that must hold a given key.

use super::close::explain;
use super::config;
use super::endpoint::QuicEndpoint;
use super::settings::QuicSettings;
use crate::keys::LinkKey;
use quinn::{ConnectError, Connection, ConnectionError};
use std::net::SocketAddr;

/// Whom to dial.
#[derive(Clone, Debug)]
pub struct PeerSpec {
    /// `host:port` or `address:port`. The name is resolved anew for every attempt.
    pub address: String,
    /// The key that the far side has to prove.
    pub key: LinkKey,
    /// Further keys, of which the far side may hold one instead: attempts take turns.
    pub others: Vec<LinkKey>,
    /// Our number for the link, by which the far side tells it from others that we dial to it.
    pub number: u32,
    /// The link's settings.
    pub settings: QuicSettings,
}

impl PeerSpec {
    /// The key that an attempt accepts.
    pub(super) fn key_of(&self, attempt: usize) -> LinkKey {
        let place = attempt % (self.others.len() + 1);
        let others = self.others.iter().copied();
        std::iter::once(self.key)
            .chain(others)
            .nth(place)
            .unwrap_or(self.key)
    }
}

/// Why an attempt failed. Another one follows by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error(
        "the name {address} does not resolve: {source} (check the address and the name service)"
    )]
    Resolve {
        address: String,
        source: std::io::Error,
    },
    #[error("{0} has no address of the family that this node's socket uses (check both addresses)")]
    NoAddress(String),
    #[error("cannot begin to connect: {0} (check the address)")]
    Begin(#[from] ConnectError),
    #[error("TLS is not usable: {0} (report this)")]
    Tls(#[from] rustls::Error),
    #[error("no answer within {0:?} (check that the far side runs and that UDP passes)")]
    NoAnswer(std::time::Duration),
    #[error("{}", explain(.0))]
    Lost(#[from] ConnectionError),
    #[error("the far side said no proper hello (compare the versions)")]
    BadHello,
}

/// Connects to `spec` with the protocol `alpn`. `attempt` chooses among several keys, and among several addresses of one name.
pub(crate) async fn dial(
    endpoint: &QuicEndpoint,
    spec: &PeerSpec,
    alpn: &[u8],
    attempt: usize,
) -> Result<Connection, DialError> {
    let key = spec.key_of(attempt);
    let config = config::client(endpoint.tls(), key, alpn, &spec.settings)?;
    let address = attempt / (spec.others.len() + 1);
    let remote = resolve(endpoint, &spec.address, address).await?;
    // No name is sent (the key says it all), but the library asks for one.
    let connecting = endpoint
        .quinn()
        .connect_with(config, remote, "ostrakon.invalid")?;
    Ok(connecting.await?)
}

async fn resolve(
    endpoint: &QuicEndpoint,
    address: &str,
    attempt: usize,
) -> Result<SocketAddr, DialError> {
    let ipv6 = endpoint.uses_ipv6();
    let found = tokio::net::lookup_host(address)
        .await
        .map_err(|source| DialError::Resolve {
            address: address.to_owned(),
            source,
        })?;
    let usable: Vec<SocketAddr> = found.filter(|a| ipv6 || a.is_ipv4()).collect();
    match usable.len() {
        0 => Err(DialError::NoAddress(address.to_owned())),
        n => Ok(usable[attempt % n]),
    }
}
