//! Several attempts to connect, of which the first that comes through counts.
//!
//! A handshake that loses a packet waits for a timer of the library: a second before anything was measured, then three round
//! trips, and twice as long after each. Where a fifth of all packets is lost most handshakes lose one. So after as long as
//! the library waits first, another attempt begins beside the one under way, as RFC 8305 does it for addresses. Each takes
//! the next key and the next address that there are. Only the first that comes through says hello, so the far side never
//! takes another for the link.

use super::dial::{DialError, PeerSpec, dial};
use super::endpoint::QuicEndpoint;
use crate::keys::LinkKey;
use quinn::Connection;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Attempts beside each other, at most.
pub const RACERS: usize = 4;
/// The least time between two.
const PAUSE: Duration = Duration::from_secs(1);

/// How long after an attempt the next one begins, on a path with this round-trip time.
pub fn pause(trip: Duration) -> Duration {
    // When the first timer of the library rings (RFC 9002, section 6.2.2).
    PAUSE.max(trip.saturating_mul(3))
}

/// Connects to `spec`, from attempt number `first` on. The error is that of the attempt that failed last, once all have.
pub(super) async fn race(
    endpoint: &QuicEndpoint,
    spec: &PeerSpec,
    alpn: &'static [u8],
    first: usize,
) -> Result<(Connection, LinkKey), DialError> {
    let pause = pause(spec.settings.initial_rtt);
    let mut racers = JoinSet::new();
    let mut begun = 0;
    let mut next = Instant::now();
    let mut failed = None;
    loop {
        tokio::select! {
            Some(done) = racers.join_next() => match done {
                Ok(Ok(won)) => return Ok(won),
                Ok(Err(error)) => failed = Some(error),
                Err(_) => failed = Some(DialError::NoAnswer(pause)),
            },
            () = sleep_until(next), if begun < RACERS => {
                let (endpoint, spec, attempt) = (endpoint.clone(), spec.clone(), first + begun);
                racers.spawn(async move {
                    let connection = dial(&endpoint, &spec, alpn, attempt).await?;
                    Ok((connection, spec.key_of(attempt)))
                });
                (begun, next) = (begun + 1, next + pause);
            }
        }
        // An attempt that failed at once would only be repeated.
        if racers.is_empty()
            && let Some(error) = failed.take()
        {
            return Err(error);
        }
    }
}
