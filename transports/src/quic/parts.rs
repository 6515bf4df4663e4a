//! A link between peers without socket, clock and tasks, for whoever drives the QUIC library itself, as a simulation in
//! virtual time does: how its connections are configured, what is said first, when credit is given, when a change is
//! told, how long a dialling side waits.
//!
//! The tasks of this crate are made of the same parts.

pub use super::backoff::Backoff;
pub use super::controller::pace;
pub use super::link::{HELLO, PROFILE_LOOK, STEADY, hello};
pub use super::model::{Acked, RateModel};
pub use super::profile::{ProfileWatch, Reading};
pub use super::race::{RACERS, patience, pause};
pub use super::settings::LEAST_MTU;
pub use super::silence::{BEAT, LATE as SILENT_AFTER, News, Silence, UNHEARD, growth};
pub use super::valve::{MAX_CREDIT, Valve, allowance};

use super::config;
use super::endpoint::EndpointError;
use super::settings::QuicSettings;
use super::tls::{ALPN_PEER, TlsIdentity};
use crate::keys::{LinkKey, LinkSecret};
use quinn::{ClientConfig, EndpointConfig, ServerConfig};

/// The endpoint that holds `secret` and dials the holder of `expected`, and its connection.
///
/// # Errors
///
/// [`EndpointError::Tls`] if the key is not usable.
pub fn dialling(
    secret: &LinkSecret,
    expected: LinkKey,
    settings: &QuicSettings,
) -> Result<(EndpointConfig, ClientConfig), EndpointError> {
    let tls = TlsIdentity::new(secret)?;
    let client = config::client(&tls, expected, ALPN_PEER, settings)?;
    Ok((config::endpoint(secret), client))
}

/// The endpoint that holds `secret` and is dialled, and its connections. Whose key is welcome is for the caller to judge.
///
/// # Errors
///
/// [`EndpointError::Tls`] if the key is not usable.
pub fn listening(
    secret: &LinkSecret,
    settings: &QuicSettings,
) -> Result<(EndpointConfig, ServerConfig), EndpointError> {
    let tls = TlsIdentity::new(secret)?;
    let server = config::server(&tls, vec![ALPN_PEER.to_vec()], settings)?;
    Ok((config::endpoint(secret), server))
}
