//! Holds the bytes on a line to its rate.
//!
//! The operating system takes kilobytes at once, a pseudo-terminal or a radio modem any amount. What lies
//! there can no longer be chosen, so no more is handed over than the line has carried off meanwhile.

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// How late the task may wake without leaving the line idle.
const SLACK: Duration = Duration::from_millis(20);

/// The clock of the tokio runtime, which tests can pause.
#[derive(Clone, Copy, Debug, Default)]
struct TokioClock;

impl Clock for TokioClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// A limit on bytes: one line frame and [`SLACK`] may be ahead of the line.
#[derive(Debug)]
pub(super) struct Pacer {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, StateInformationMiddleware>,
    byte_time: Duration,
    frame: NonZeroU32,
    available: u32,
    at: tokio::time::Instant,
}

impl Pacer {
    /// Lets through `rate_bps` bits per second in writes of at most `frame` bytes.
    pub(super) fn new(rate_bps: u64, frame: usize) -> Self {
        let byte_time =
            Duration::from_nanos((8_000_000_000 / rate_bps.max(1)).clamp(1, 8_000_000_000));
        let frame = u32::try_from(frame)
            .ok()
            .and_then(NonZeroU32::new)
            .unwrap_or(NonZeroU32::MIN);
        let slack = (SLACK.as_nanos() / byte_time.as_nanos()) as u32;
        let burst = frame.saturating_add(slack);
        let quota = Quota::with_period(byte_time)
            .unwrap_or(Quota::per_second(NonZeroU32::MIN))
            .allow_burst(burst);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, TokioClock).with_middleware(),
            byte_time,
            frame,
            available: burst.get(),
            at: tokio::time::Instant::now(),
        }
    }

    /// Waits until the line has room for `bytes`, and takes that room.
    pub(super) async fn take(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes)
            .unwrap_or(u32::MAX)
            .min(self.frame.get());
        let Some(bytes) = NonZeroU32::new(bytes) else {
            return;
        };
        loop {
            let now = TokioClock.now();
            match self.limiter.check_n(bytes) {
                Ok(Ok(state)) => {
                    self.available = state.remaining_burst_capacity();
                    self.at = tokio::time::Instant::now();
                    return;
                }
                Ok(Err(wait)) => tokio::time::sleep(wait.wait_time_from(now)).await,
                // Out of reach: `bytes` is at most `frame`, and so below the burst.
                Err(_) => return,
            }
        }
    }

    /// Waits until a line frame of the largest size would go at once.
    pub(super) async fn room(&self) {
        let missing = self.frame.get().saturating_sub(self.available);
        tokio::time::sleep_until(self.at + self.byte_time * missing).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over an hour the line carries its rate, and at no moment more than a frame and the slack beyond it.
    #[tokio::test(start_paused = true)]
    async fn rate_holds() {
        for (rate_bps, frame) in [
            (960u64, 230usize),
            (92_160, 230),
            (240, 72),
            (2_400_000, 2066),
        ] {
            let mut pacer = Pacer::new(rate_bps, frame);
            let start = tokio::time::Instant::now();
            let burst = frame as f64 + 0.02 * rate_bps as f64 / 8.0;
            let mut written = 0.0;
            let mut n = 0usize;
            let span = if rate_bps > 100_000 { 60.0 } else { 3600.0 };
            while start.elapsed().as_secs_f64() < span {
                n += 1;
                let bytes = if n.is_multiple_of(3) {
                    frame
                } else {
                    frame / 2 + n % 7
                };
                pacer.room().await;
                pacer.take(bytes).await;
                written += bytes as f64;
                let carried = start.elapsed().as_secs_f64() * rate_bps as f64 / 8.0;
                assert!(
                    written <= carried * 1.001 + burst + 1.0,
                    "{written} of {carried}"
                );
            }
            let carried = start.elapsed().as_secs_f64() * rate_bps as f64 / 8.0;
            assert!(
                written >= 0.97 * carried,
                "{written} of {carried} at {rate_bps}"
            );
        }
    }
}
