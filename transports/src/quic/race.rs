//! Several attempts to connect, of which the first that is answered counts.
//!
//! A handshake that loses a packet waits for a timer of the library: a second before anything was measured, then three round
//! trips, and twice as long after each; so does a hello that is lost. Where a fifth of all packets is lost most attempts lose
//! one. So when a round trip and a little more have passed, another attempt begins beside those under way, as RFC 8305 does it
//! for addresses. Each takes the next key and the next address that there are.
//!
//! The first that comes through says hello. If that is not answered in as long a time, the next one does, and the former is
//! closed: the far side takes whoever has said hello last.

use super::dial::{DialError, PeerSpec, dial};
use super::endpoint::QuicEndpoint;
use super::link::greet;
use crate::keys::LinkKey;
use quinn::Connection;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Attempts beside each other, at most.
pub const RACERS: usize = 4;
/// The least time between two.
const PAUSE: Duration = Duration::from_millis(250);
/// The least time for which the answer to a hello is waited for. It may be that no round trip was measured yet.
const PATIENCE: Duration = Duration::from_millis(750);

/// How long after an attempt the next one begins, on a path that is thought to have this round-trip time.
pub fn pause(trip: Duration) -> Duration {
    PAUSE.max(trip.saturating_mul(5) / 4)
}

/// How long after a hello the next one is said, on a path with this round-trip time.
pub fn patience(trip: Duration) -> Duration {
    PATIENCE.max(pause(trip))
}

/// A connection that has come through.
type Racer = (Connection, LinkKey);

/// A connection that has said hello.
struct Greeting {
    racer: Racer,
    /// From then on another one may say hello.
    until: Instant,
    answer: Pin<Box<dyn Future<Output = Result<(), DialError>> + Send>>,
}

impl Greeting {
    fn new(racer: Racer, number: u32) -> Self {
        let connection = racer.0.clone();
        Self {
            until: Instant::now() + patience(connection.rtt()),
            racer,
            answer: Box::pin(async move { greet(&connection, number).await }),
        }
    }

    /// Whether another one may say hello. None is under way: it may.
    fn gives_way(greeting: Option<&Self>) -> bool {
        greeting.is_none_or(|greeting| greeting.until <= Instant::now())
    }

    /// The answer to the hello that is under way, if one is.
    async fn answer(greeting: &mut Option<Self>) -> Result<Racer, DialError> {
        let Some(waiting) = greeting else {
            return std::future::pending().await;
        };
        let answered = waiting.answer.as_mut().await;
        let racer = waiting.racer.clone();
        *greeting = None;
        answered.map(|()| racer)
    }
}

/// Connects to `spec`, from attempt number `first` on, and says hello. The error is that of the attempt that failed last, once
/// all have.
pub(super) async fn race(
    endpoint: &QuicEndpoint,
    spec: &PeerSpec,
    alpn: &'static [u8],
    first: usize,
) -> Result<Racer, DialError> {
    let pause = pause(spec.settings.initial_rtt);
    let mut racers = JoinSet::new();
    let mut through: VecDeque<Racer> = VecDeque::new();
    let mut greeting: Option<Greeting> = None;
    let mut attempt = first;
    let mut next = Instant::now();
    let mut failed = None;
    loop {
        if Greeting::gives_way(greeting.as_ref())
            && let Some(racer) = through.pop_front()
        {
            // The former one is closed by this.
            greeting = Some(Greeting::new(racer, spec.number));
        }
        let until = greeting.as_ref().map_or(next, |greeting| greeting.until);
        tokio::select! {
            Some(done) = racers.join_next() => match done {
                Ok(Ok(racer)) => through.push_back(racer),
                Ok(Err(error)) => failed = Some(error),
                Err(_) => failed = Some(DialError::NoAnswer(pause)),
            },
            answered = Greeting::answer(&mut greeting) => match answered {
                Ok(racer) => return Ok(racer),
                Err(error) => failed = Some(error),
            },
            () = sleep_until(until), if !through.is_empty() => {}
            () = sleep_until(next) => {
                let alive = racers.len() + through.len() + usize::from(greeting.is_some());
                if alive < RACERS {
                    racers.spawn(run(endpoint.clone(), spec.clone(), alpn, attempt));
                    attempt += 1;
                }
                next += pause;
            }
        }
        // An attempt that failed at once would only be repeated.
        if racers.is_empty()
            && through.is_empty()
            && greeting.is_none()
            && let Some(error) = failed.take()
        {
            return Err(error);
        }
    }
}

/// One attempt.
async fn run(
    endpoint: QuicEndpoint,
    spec: PeerSpec,
    alpn: &'static [u8],
    attempt: usize,
) -> Result<Racer, DialError> {
    let connection = dial(&endpoint, &spec, alpn, attempt).await?;
    Ok((connection, spec.key_of(attempt)))
}
