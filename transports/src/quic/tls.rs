//! TLS 1.3 with raw public keys on both sides (RFC 7250, RFC 8446).
//!
//! 0-RTT and session tickets are off: every connection proves both keys afresh.

use crate::keys::{LinkKey, LinkSecret};
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, ring as provider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    SignatureScheme,
};
use std::sync::Arc;

/// The ALPN name of connections between peers.
pub const ALPN_PEER: &[u8] = b"ostrakon/1";
/// The ALPN name of connections to a relay.
pub const ALPN_RELAY: &[u8] = b"ostrakon-relay/1";
/// The ALPN name of connections by which a new device is given what it needs.
pub const ALPN_HANDOVER: &[u8] = b"ostrakon-handover/1";

/// The TLS side of an endpoint: its own key, ready for both roles.
#[derive(Clone)]
pub(crate) struct TlsIdentity {
    provider: Arc<CryptoProvider>,
    certified: Arc<CertifiedKey>,
}

impl TlsIdentity {
    /// Loads the secret into the TLS library.
    pub(crate) fn new(secret: &LinkSecret) -> Result<Self, Error> {
        let der = secret.pkcs8();
        let key = provider::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der.as_slice()))?;
        let public = CertificateDer::from(secret.public().spki().to_vec());
        Ok(Self {
            provider: Arc::new(provider::default_provider()),
            certified: Arc::new(CertifiedKey::new(vec![public], key)),
        })
    }

    /// A client that speaks `alpn` with the holder of `expected` and with nobody else.
    pub(crate) fn client(&self, expected: LinkKey, alpn: &[u8]) -> Result<QuicClientConfig, Error> {
        let config = self.client_config(expected, alpn)?;
        QuicClientConfig::try_from(config).map_err(no_initial_suite)
    }

    fn client_config(&self, expected: LinkKey, alpn: &[u8]) -> Result<rustls::ClientConfig, Error> {
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ExpectServer(expected)))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                self.certified.clone(),
            )));
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        Ok(config)
    }

    /// A server that speaks any of `alpn` with whoever proves possession of an Ed25519 key. Which keys are
    /// welcome is decided after the handshake, where the refusal can be named.
    pub(crate) fn server(&self, alpn: Vec<Vec<u8>>) -> Result<QuicServerConfig, Error> {
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(AnyClientKey))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
                self.certified.clone(),
            )));
        config.alpn_protocols = alpn;
        if cfg!(feature = "break-32") {
            config.max_early_data_size = u32::MAX;
        } else {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config.max_early_data_size = 0;
        }
        QuicServerConfig::try_from(config).map_err(no_initial_suite)
    }
}

fn no_initial_suite(error: NoInitialCipherSuite) -> Error {
    Error::General(error.to_string())
}

/// Accepts exactly one server key.
#[derive(Debug)]
struct ExpectServer(LinkKey);

impl ServerCertVerifier for ExpectServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_expected = read_raw_key(end_entity, intermediates)? == self.0;
        // Without the comparison, whoever answers is believed.
        if !is_expected && cfg!(not(feature = "break-32")) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_possession(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Accepts every client that proves possession of an Ed25519 key.
#[derive(Debug)]
struct AnyClientKey;

impl ClientCertVerifier for AnyClientKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        read_raw_key(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_possession(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Reads the one Ed25519 key that the far side shows. Nothing may follow it.
fn read_raw_key(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<LinkKey, Error> {
    match LinkKey::from_spki(end_entity) {
        Some(key) if intermediates.is_empty() => Ok(key),
        _ => Err(CertificateError::BadEncoding.into()),
    }
}

/// Verifies the handshake signature with the key that was shown (RFC 8446, section 4.4.3).
fn verify_possession(
    message: &[u8],
    cert: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = provider::default_provider().signature_verification_algorithms;
    let key = SubjectPublicKeyInfoDer::from(cert.as_ref());
    verify_tls13_signature_with_raw_key(message, &key, signature, &algorithms)
}

/// The key with which the far side of an established connection proved itself.
pub(crate) fn peer_key(connection: &quinn::Connection) -> Option<LinkKey> {
    let identity = connection.peer_identity()?;
    let shown = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    match shown.as_slice() {
        [only] => LinkKey::from_spki(only),
        _ => None,
    }
}

/// The ALPN name that both sides agreed on.
pub(crate) fn alpn(connection: &quinn::Connection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?;
    let data = data
        .downcast::<quinn::crypto::rustls::HandshakeData>()
        .ok()?;
    data.protocol
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    /// Guards that a far side shows one key and nothing behind it, be it the right one, and that no other form of a
    /// certificate is read as a key.
    #[test]
    fn attack_32_extra_certificates() {
        let (key, other) = (
            LinkSecret::from_seed([1; 32]).public(),
            LinkSecret::from_seed([2; 32]).public(),
        );
        let shown = |key: &LinkKey| CertificateDer::from(key.spki().to_vec());
        let (shown, other) = (shown(&key), shown(&other));
        assert_eq!(read_raw_key(&shown, &[]), Ok(key));
        let refused = Err(CertificateError::BadEncoding.into());
        for behind in [
            vec![shown.clone()],
            vec![other.clone()],
            vec![other, shown.clone()],
        ] {
            assert_eq!(read_raw_key(&shown, &behind), refused);
        }
        let longer = CertificateDer::from([&shown[..], &[0]].concat());
        let shorter = CertificateDer::from(shown[..shown.len() - 1].to_vec());
        assert_eq!(read_raw_key(&longer, &[]), refused);
        assert_eq!(read_raw_key(&shorter, &[]), refused);
    }

    /// A client that keeps tickets and would send early data.
    fn eager(expected: LinkKey) -> quinn::Endpoint {
        let me = TlsIdentity::new(&LinkSecret::from_seed([1; 32])).unwrap();
        let mut config = me.client_config(expected, ALPN_PEER).unwrap();
        config.resumption = Resumption::in_memory_sessions(8);
        config.enable_early_data = true;
        let config = QuicClientConfig::try_from(config).unwrap();
        let mut client = quinn::Endpoint::client(loopback()).unwrap();
        client.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
        client
    }

    fn loopback() -> std::net::SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, 0).into()
    }

    /// Guards that nobody who was connected once can send anything before the handshake of the next connection: what is
    /// not taken early cannot be replayed.
    #[tokio::test]
    async fn attack_32_early_data() {
        let secret = LinkSecret::from_seed([2; 32]);
        let config = TlsIdentity::new(&secret).unwrap();
        let config = config.server(vec![ALPN_PEER.to_vec()]).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(config));
        let server = quinn::Endpoint::server(config, loopback()).unwrap();
        let client = eager(secret.public());
        for _ in 0..2 {
            let connecting = client
                .connect(server.local_addr().unwrap(), "ostrakon")
                .unwrap();
            let connecting = connecting.into_0rtt().err().expect("early data would go");
            let (near, far) =
                tokio::join!(connecting, async { server.accept().await.unwrap().await });
            let (near, far) = (near.unwrap(), far.unwrap());
            // Tickets, if there are any, come before it.
            far.open_uni().await.unwrap().write_all(b"x").await.unwrap();
            let mut stream = near.accept_uni().await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
        }
    }
}
