//! What the library is told of an endpoint and of its connections.

use super::settings::QuicSettings;
use super::tls::TlsIdentity;
use crate::keys::{LinkKey, LinkSecret};
use quinn::{ClientConfig, EndpointConfig, ServerConfig};
use quinn_proto::HashedConnectionIdGenerator;
use std::sync::Arc;

/// Connection identifiers and reset tokens follow from the secret, so that an endpoint that restarted can
/// reset the connections of its former life (RFC 9000, section 10.3) instead of leaving them to time out.
pub(super) fn endpoint(secret: &LinkSecret) -> EndpointConfig {
    let material = secret.reset_key();
    let reset_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, material.as_slice());
    let digest = blake3::hash(material.as_slice());
    let cid_key = u64::from_le_bytes(*digest.as_bytes().first_chunk().unwrap_or(&[0; 8]));
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(cid_key)));
    config
}

/// A connection to the holder of `expected`, by the protocol `alpn`.
pub(super) fn client(
    tls: &TlsIdentity,
    expected: LinkKey,
    alpn: &[u8],
    settings: &QuicSettings,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::new(Arc::new(tls.client(expected, alpn)?));
    config.transport_config(settings.transport());
    Ok(config)
}

/// Connections that others begin, by any of the protocols `alpn`.
pub(super) fn server(
    tls: &TlsIdentity,
    alpn: Vec<Vec<u8>>,
    settings: &QuicSettings,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::with_crypto(Arc::new(tls.server(alpn)?));
    config
        .transport_config(settings.transport())
        .migration(true);
    Ok(config)
}
