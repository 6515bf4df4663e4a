//! A relay against clients that do not keep to the protocol. The clients here are built from the TLS and QUIC
//! libraries alone, without the code under test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "relay_store/mod.rs"]
mod relay_store;

use ed25519_dalek::{Signer, SigningKey};
use ostrakon_transports::relay::{RelayLimits, mailbox_tag};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use relay_store::{PATIENCE, Relay, enveloped};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Believes every server.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// A key pair for TLS that shows `shown` but signs with `signing`.
fn raw_key(signing: &SigningKey, shown: &SigningKey) -> Arc<rustls::sign::CertifiedKey> {
    let shown = shown.verifying_key();
    let pkcs8 = [
        &b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..],
        signing.as_bytes(),
    ];
    let spki = [
        &b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"[..],
        shown.as_bytes(),
    ];
    let der = pkcs8.concat();
    let key = rustls::crypto::ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(&der[..]));
    let public = CertificateDer::from(spki.concat());
    Arc::new(rustls::sign::CertifiedKey::new(vec![public], key.unwrap()))
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

async fn connect(
    relay: &Relay,
    alpn: &[u8],
    identity: Option<Arc<rustls::sign::CertifiedKey>>,
) -> Result<Connection, ConnectionError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let mut tls = match identity {
        Some(identity) => builder
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(identity))),
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = relay.endpoint.local_addr().unwrap();
    let connecting = endpoint.connect_with(config, address, "nobody").unwrap();
    timeout(PATIENCE, connecting).await.unwrap()
}

async fn relay_client(relay: &Relay) -> (Connection, SendStream, RecvStream) {
    let identity = Some(raw_key(&key(50), &key(50)));
    let connection = connect(relay, b"ostrakon-relay/1", identity).await.unwrap();
    let (send, recv) = connection.open_bi().await.unwrap();
    (connection, send, recv)
}

/// The name of the code with which the relay closed the connection.
async fn closed_as(connection: &Connection) -> String {
    match timeout(PATIENCE, connection.closed()).await.unwrap() {
        ConnectionError::ApplicationClosed(close) => {
            String::from_utf8(close.reason.to_vec()).unwrap()
        }
        other => panic!("{other}"),
    }
}

const HELLO: &[u8] = &[0x01, 0, 1, 2];
/// The same in the version that has grants.
const NEWEST: &[u8] = &[0x01, 0, 1, 3];

/// A proof for `owner`, bound to `connection`, as an OPEN record.
fn proof(connection: &Connection, owner: &SigningKey) -> Vec<u8> {
    let label = b"ostrakon mailbox proof v1";
    let public = owner.verifying_key().to_bytes();
    let mut exported = [0; 32];
    connection
        .export_keying_material(&mut exported, label, &public)
        .unwrap();
    let signature = owner.sign(&[&label[..], &exported, &public].concat());
    [&[0x02, 0, 96], &public[..], &signature.to_bytes()].concat()
}

/// Whatever is no record, out of turn or of another version closes its connection with a code, stores nothing
/// and leaves other clients alone.
#[tokio::test]
async fn garbage_closes_only_its_own_connection() {
    // A wrong first record may announce more than ever comes, and ends with the time for the greeting.
    let limits = RelayLimits {
        greeting: Duration::from_secs(3),
        ..RelayLimits::default()
    };
    let relay = Relay::start(limits);
    let (bystander, mut kept, _recv) = relay_client(&relay).await;
    kept.write_all(HELLO).await.unwrap();

    let frame_first = [&[0x03, 0, 9][..], &enveloped([1; 8], b"")].concat();
    let hello_then = |rest: &[u8]| [HELLO, rest].concat();
    for (sent, name) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "bad hello"),
        (vec![0x01, 0, 1, 1], "bad hello"),
        (frame_first, "bad hello"),
        (hello_then(HELLO), "bad record"),
        (hello_then(&[0x7f, 0, 0]), "bad record"),
        (hello_then(&[0x04, 0, 7, 0, 0, 0, 0, 0, 0, 0]), "bad record"),
        (hello_then(&[0x02, 0, 1, 0]), "bad record"),
        // Version 2 has no grants; later ones have eight of at most 1024 bytes.
        (hello_then(&[0x05, 0, 1, 0]), "bad record"),
        ([NEWEST, &[0x05, 0, 1, 0].repeat(9)].concat(), "bad record"),
        ([NEWEST, &[0x05, 4, 1], &[0; 1025]].concat(), "bad record"),
    ] {
        let (connection, mut send, _recv) = relay_client(&relay).await;
        send.write_all(&sent).await.unwrap();
        assert_eq!(closed_as(&connection).await, name, "{sent:02x?}");
    }
    let (connection, mut send, mut recv) = relay_client(&relay).await;
    send.write_all(HELLO).await.unwrap();
    let mut welcome = [0; 6];
    recv.read_exact(&mut welcome).await.unwrap();
    connection.send_datagram(vec![1, 2, 3].into()).unwrap();
    assert_eq!(closed_as(&connection).await, "unexpected datagram");
    relay.counted(|c| c.garbage == 11).await;
    assert_eq!(relay.held(), 0);

    let frame = enveloped([1; 8], b"honest");
    let record = [&[0x03, 0, frame.len() as u8][..], &frame].concat();
    kept.write_all(&record).await.unwrap();
    relay.counted(|c| c.stored == 1).await;
    assert!(bystander.close_reason().is_none());
}

/// A proof holds for one connection and one key: one that was made for another session, for another key or
/// with a changed signature is refused; and a connection has one try.
#[tokio::test]
async fn proofs_cannot_be_forged_or_carried_over() {
    let relay = Relay::start(RelayLimits::default());
    let owner = key(22);
    let tag = mailbox_tag(owner.verifying_key().as_bytes(), 0);
    let (_sender, mut send, _recv) = relay_client(&relay).await;
    let frame = enveloped(tag, b"private");
    let record = [HELLO, &[0x03, 0, frame.len() as u8], &frame].concat();
    send.write_all(&record).await.unwrap();
    relay.counted(|c| c.stored == 1).await;

    let (earlier, _send, _recv) = relay_client(&relay).await;
    let replayed = proof(&earlier, &owner);
    let thief = |connection: &Connection| {
        let mut claimed = proof(connection, &key(33));
        claimed[3..35].copy_from_slice(owner.verifying_key().as_bytes());
        claimed
    };
    let flipped = |connection: &Connection| {
        let mut changed = proof(connection, &owner);
        changed[40] ^= 1;
        changed
    };
    // The neutral element as a key makes signatures that many messages share.
    let weak = |_: &Connection| {
        let mut claimed = vec![0; 99];
        claimed[..3].copy_from_slice(&[0x02, 0, 96]);
        (claimed[3], claimed[35]) = (1, 1);
        claimed
    };
    type Forge<'a> = Box<dyn Fn(&Connection) -> Vec<u8> + 'a>;
    let forgeries: [Forge<'_>; 4] = [
        Box::new(|_| replayed.clone()),
        Box::new(thief),
        Box::new(flipped),
        Box::new(weak),
    ];
    for forge in forgeries {
        let (connection, mut send, _recv) = relay_client(&relay).await;
        let sent = [HELLO, &forge(&connection)].concat();
        send.write_all(&sent).await.unwrap();
        assert_eq!(closed_as(&connection).await, "bad proof");
    }
    assert_eq!(relay.server.counters().handed_over, 0);

    let (connection, mut send, _recv) = relay_client(&relay).await;
    let honest = proof(&connection, &owner);
    send.write_all(&[HELLO, &honest].concat()).await.unwrap();
    relay.counted(|c| c.handed_over == 1).await;
    send.write_all(&honest).await.unwrap();
    assert_eq!(closed_as(&connection).await, "bad record");
}

/// TLS lets nobody in who shows no key, a key that it cannot sign with, or another protocol.
#[tokio::test]
async fn the_handshake_demands_a_proved_key_and_the_protocol() {
    let relay = Relay::start(RelayLimits::default());
    let honest = raw_key(&key(50), &key(50));
    let impostor = raw_key(&key(50), &key(22));
    for (alpn, identity) in [
        (&b"ostrakon-relay/1"[..], None),
        (&b"ostrakon-relay/1"[..], Some(impostor)),
        (&b"ostrakon/1"[..], Some(honest.clone())),
        (&b"h3"[..], Some(honest)),
    ] {
        // A client may hear of it only after its own half of the handshake.
        let reason = match connect(&relay, alpn, identity).await {
            Err(reason) => reason,
            Ok(connection) => timeout(PATIENCE, connection.closed()).await.unwrap(),
        };
        match reason {
            ConnectionError::ConnectionClosed(close) => {
                let code = u64::from(close.error_code);
                assert!((0x100..0x200).contains(&code), "{close}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(relay.server.counters().connections, 0);
}

/// Clients beyond the limit are turned away, and one that says nothing does not keep its place.
#[tokio::test]
async fn places_are_limited_and_the_silent_lose_theirs() {
    let limits = RelayLimits {
        connections: 2,
        greeting: Duration::from_secs(3),
        ..RelayLimits::default()
    };
    let relay = Relay::start(limits);
    let (_first, mut send, _recv) = relay_client(&relay).await;
    send.write_all(HELLO).await.unwrap();
    let (silent, _silent_send, _silent_recv) = relay_client(&relay).await;
    relay.counted(|c| c.connections == 2).await;
    let (third, _third_send, _third_recv) = relay_client(&relay).await;
    assert_eq!(closed_as(&third).await, "too many connections");
    assert_eq!(closed_as(&silent).await, "bad hello");
    relay.counted(|c| c.turned_away == 1).await;
}
