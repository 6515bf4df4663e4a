//! Something handed over once, whole: a new device takes what another one has for it.
//!
//! One bidirectional stream. The side that dials says how long it is, in 4 bytes, and then all of it; the other answers
//! with one byte, 1, once it has taken it in. Both keys of the link are proved, but who dials may be anybody: what is handed
//! over has to speak for itself.

use super::accept::{Authenticated, open_route};
use super::dial::{PeerSpec, dial};
use super::endpoint::{EndpointError, QuicEndpoint};
use super::tls::ALPN_HANDOVER;
use super::{CloseCode, DialError};
use quinn::{Connection, RecvStream, SendStream};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The answer that it was taken in.
const TAKEN: u8 = 1;
/// How long the other side may take, with all of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why nothing was handed over.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HandoverError(String);

impl QuicEndpoint {
    /// Hands over to whoever is at the far side of `peer`. Ready once it was taken in there.
    ///
    /// # Errors
    /// [`HandoverError`] if nobody is there, or it was not taken.
    pub async fn hand_over(&self, peer: &PeerSpec, what: &[u8]) -> Result<(), HandoverError> {
        let limit = peer.settings.connect_timeout;
        let dialled = timeout(limit, dial(self, peer, ALPN_HANDOVER, 0)).await;
        let connection = match dialled {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(HandoverError(error.to_string())),
            Err(_) => return Err(HandoverError(DialError::NoAnswer(limit).to_string())),
        };
        let given = timeout(PATIENCE, give(&connection, what)).await;
        CloseCode::Done.close(&connection);
        match given.ok().flatten() {
            Some(TAKEN) => Ok(()),
            _ => Err(HandoverError(
                "the far side did not take it (see what it says there)".into(),
            )),
        }
    }

    /// Takes what others hand over, of `most` bytes at most.
    ///
    /// # Errors
    /// [`EndpointError::Served`] while another taker of this endpoint lives.
    pub fn accept_handovers(&self, most: usize) -> Result<Handovers, EndpointError> {
        let connections = open_route(self, ALPN_HANDOVER)?;
        Ok(Handovers { connections, most })
    }
}

async fn give(connection: &Connection, what: &[u8]) -> Option<u8> {
    let (mut send, mut recv) = connection.open_bi().await.ok()?;
    let len = u32::try_from(what.len()).ok()?;
    send.write_all(&len.to_be_bytes()).await.ok()?;
    send.write_all(what).await.ok()?;
    send.finish().ok()?;
    let mut answer = [0];
    recv.read_exact(&mut answer).await.ok()?;
    Some(answer[0])
}

/// Yields what others hand over. Dropping it ends the service.
pub struct Handovers {
    connections: mpsc::Receiver<Authenticated>,
    most: usize,
}

impl Handovers {
    /// The next that came whole; `None` when the endpoint is shut down.
    pub async fn next(&mut self) -> Option<Handover> {
        loop {
            let Authenticated { connection, .. } = self.connections.recv().await?;
            let took = timeout(PATIENCE, take(&connection, self.most)).await;
            if let Some((bytes, send)) = took.ok().flatten() {
                return Some(Handover {
                    bytes,
                    connection,
                    send,
                });
            }
            CloseCode::BadHello.close(&connection);
        }
    }
}

async fn take(connection: &Connection, most: usize) -> Option<(Vec<u8>, SendStream)> {
    let (send, mut recv) = connection.accept_bi().await.ok()?;
    let len = length(&mut recv).await.filter(|len| *len <= most)?;
    // Grows as it comes, so that a length alone costs nothing.
    let bytes = recv.read_to_end(len).await.ok()?;
    (bytes.len() == len).then_some((bytes, send))
}

async fn length(recv: &mut RecvStream) -> Option<usize> {
    let mut len = [0; 4];
    recv.read_exact(&mut len).await.ok()?;
    usize::try_from(u32::from_be_bytes(len)).ok()
}

/// Something that was handed over. Dropping it says that it was not taken.
pub struct Handover {
    /// What came.
    pub bytes: Vec<u8>,
    connection: Connection,
    send: SendStream,
}

impl Handover {
    /// Says that it was taken in, and waits until the far side has heard so, or has gone.
    pub async fn taken(mut self) {
        if self.send.write_all(&[TAKEN]).await.is_ok() && self.send.finish().is_ok() {
            // The far side closes once it knows.
            let _ = timeout(PATIENCE, self.connection.closed()).await;
        }
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        CloseCode::Done.close(&self.connection);
    }
}
