//! The relay: takes clients, within limits, and counts what it does for them.

use super::connection;
use super::guest::GuestOf;
use super::store::MailboxStore;
use crate::quic::{Authenticated, CloseCode, EndpointError, QuicEndpoint};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// A record has room for a frame of this size beside its number.
const LARGEST_FRAME: u16 = u16::MAX - 8;

/// The bounds of a relay.
#[derive(Clone, Debug)]
pub struct RelayLimits {
    /// The most clients at once. 256 unless set.
    pub connections: usize,
    /// The largest frame that is stored, in bytes. 4096 unless set; at most 65527.
    pub frame: u16,
    /// The most bytes of frames that are stored in one batch. 256 KiB unless set.
    pub batch: usize,
    /// The most bytes of frames that were handed over to one client and not released yet. 4 MiB unless set.
    pub unreleased: usize,
    /// How long a client may take to begin. 10 s unless set.
    pub greeting: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            frame: 4096,
            batch: 256 * 1024,
            unreleased: 4 * 1024 * 1024,
            greeting: Duration::from_secs(10),
        }
    }
}

/// What a relay counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounters {
    /// Connections that were taken.
    pub connections: u64,
    /// Connections that were turned away for their number.
    pub turned_away: u64,
    /// Connections that were closed for what they sent: no record, a wrong proof, a datagram.
    pub garbage: u64,
    /// Frames that became durable.
    pub stored: u64,
    /// Frames that were refused.
    pub refused: u64,
    /// Frames that were handed over to owners, repeated ones included.
    pub handed_over: u64,
    /// Frames that were deleted after release.
    pub deleted: u64,
}

/// The counters as connections change them.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) connections: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) garbage: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) handed_over: AtomicU64,
    pub(super) deleted: AtomicU64,
}

/// Adds to one counter.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// What all connections of a relay share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn MailboxStore>,
    pub(super) guest_of: GuestOf,
    pub(super) limits: RelayLimits,
    pub(super) counts: Counts,
    /// The next number to hand a frame over under.
    pub(super) next_number: AtomicU64,
}

/// A relay over one store. Clones are the same relay.
#[derive(Clone)]
pub struct RelayServer(Arc<Shared>);

impl RelayServer {
    /// A relay that hands over what is in `store`, and fills it with what the guests of `guest_of` let in.
    pub fn new(store: Arc<dyn MailboxStore>, guest_of: GuestOf, limits: RelayLimits) -> Self {
        let frame = limits.frame.min(LARGEST_FRAME);
        let limits = RelayLimits { frame, ..limits };
        Self(Arc::new(Shared {
            next_number: store.first_number().into(),
            store,
            guest_of,
            limits,
            counts: Counts::default(),
        }))
    }

    /// What the relay counted so far.
    pub fn counters(&self) -> RelayCounters {
        let counts = &self.0.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RelayCounters {
            connections: read(&counts.connections),
            turned_away: read(&counts.turned_away),
            garbage: read(&counts.garbage),
            stored: read(&counts.stored),
            refused: read(&counts.refused),
            handed_over: read(&counts.handed_over),
            deleted: read(&counts.deleted),
        }
    }

    /// Serves relay clients on `endpoint` until `shutdown` is ready or the endpoint is shut down. Then it
    /// closes its connections and returns when the work that was under way is done. Any client key may
    /// connect; to fetch, a client has to own the mailbox.
    ///
    /// # Errors
    ///
    /// [`EndpointError::Served`] if a relay serves on this endpoint already.
    pub async fn run(
        &self,
        endpoint: &QuicEndpoint,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), EndpointError> {
        let mut arrivals = endpoint.accept_relay_clients()?;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut clients = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                arrived = arrivals.recv() => match arrived {
                    None => break,
                    Some(arrived) => self.admit(arrived, &mut clients, stopped.clone()),
                },
                Some(_) = clients.join_next(), if !clients.is_empty() => {}
            }
        }
        drop(arrivals);
        // The tasks hear of it even if the receiver in this function is the last one.
        let _ = stop.send(true);
        while clients.join_next().await.is_some() {}
        Ok(())
    }

    fn admit(
        &self,
        arrived: Authenticated,
        clients: &mut JoinSet<()>,
        mut stopped: tokio::sync::watch::Receiver<bool>,
    ) {
        let Authenticated { connection, key } = arrived;
        if clients.len() >= self.0.limits.connections {
            add(&self.0.counts.turned_away, 1);
            return CloseCode::TooMany.close(&connection);
        }
        add(&self.0.counts.connections, 1);
        let shared = self.0.clone();
        clients.spawn(async move {
            let code = tokio::select! {
                code = connection::serve(&shared, &connection, key) => code,
                _ = stopped.wait_for(|stop| *stop) => CloseCode::ShuttingDown,
            };
            if matches!(
                code,
                CloseCode::BadHello
                    | CloseCode::BadRecord
                    | CloseCode::BadProof
                    | CloseCode::UnexpectedDatagram
            ) {
                add(&shared.counts.garbage, 1);
            }
            tracing::debug!(client = %key, ?code, "a relay client left");
            code.close(&connection);
        });
    }
}
