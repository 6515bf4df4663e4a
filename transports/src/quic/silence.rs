//! Acknowledgements that do not come: for how long, and what may leave meanwhile.
//!
//! What is under way fills the window, so a sender that hears nothing falls silent too, and the library asks for a sign at
//! ever longer intervals. A path that was dead for a moment would then be idle for as long again, and one that comes back
//! after a while would be found late. So the window grows with the silence by what the path would have carried, up to
//! half of it; and once in a round trip a packet leaves, whatever is under way.

use super::controller::tell_silence;
use quinn::ConnectionStats;
use quinn::congestion::Controller;
use std::time::{Duration, Instant};

/// An acknowledgement may be so late: it waits for other packets, and timers are not exact.
pub const LATE: Duration = Duration::from_millis(30);
/// After so long, or so many round trips, the path is thought to be dead.
const DEAD: (Duration, u32) = (Duration::from_secs(2), 4);
/// Signs are asked for at most this often.
const SHORTEST: Duration = Duration::from_millis(100);
/// When the path should next be looked at while something is under way.
pub const BEAT: Duration = Duration::from_millis(16);

/// Why a link is down whose path seems dead.
pub const UNHEARD: &str =
    "nothing is heard (it is asked for all the time; check the path if that lasts)";

/// What is heard on a path.
#[derive(Debug)]
pub struct Silence {
    /// Packets received, and frames sent, at the last look.
    received: u64,
    sent: u64,
    heard_at: Instant,
    sent_at: Instant,
    /// Since when answers are to be expected, but for a round trip.
    busy: Option<Instant>,
    asked_at: Instant,
    /// The least round trip so far: what is heard first after a silence makes all others seem longer.
    trip: Duration,
    /// The path is thought to be dead.
    dead: bool,
}

/// What a silence means for the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The path is thought to be dead.
    Died,
    /// It is not, or not any more.
    Lives,
}

impl Silence {
    /// A path on which everything was answered.
    pub fn new(now: Instant) -> Self {
        Self {
            received: 0,
            sent: 0,
            heard_at: now,
            sent_at: now,
            busy: None,
            asked_at: now,
            trip: Duration::MAX,
            dead: false,
        }
    }

    /// Looks at a connection, and tells its controller of a silence. For how long an answer is overdue, none if it is not
    /// and `None` if there is nothing to answer; and whether a sign is to be asked for.
    pub fn listen(
        &mut self,
        stats: &ConnectionStats,
        controller: impl FnOnce() -> Box<dyn Controller>,
        now: Instant,
    ) -> (Option<Duration>, bool) {
        let (received, sent) = (stats.udp_rx.datagrams, stats.frame_tx.datagram);
        let silence = self.look(received, sent, stats.path.rtt, now);
        let Some(overdue) = silence.filter(|silence| !silence.is_zero()) else {
            return (silence, false);
        };
        let asks = self.asks(overdue, now);
        tell_silence(controller(), overdue, asks);
        (silence, asks)
    }

    /// Looks at the numbers of packets received and frames sent so far. For how long an answer is overdue, none if it is
    /// not; `None` if there is nothing to answer.
    fn look(&mut self, received: u64, sent: u64, trip: Duration, now: Instant) -> Option<Duration> {
        let trip = trip.min(self.trip);
        self.trip = trip;
        if received != self.received {
            (self.received, self.heard_at) = (received, now);
        }
        if sent != self.sent {
            (self.sent, self.sent_at) = (sent, now);
            self.busy.get_or_insert(now);
        }
        let answered = self.heard_at.saturating_duration_since(self.sent_at) >= trip * 7 / 8;
        if answered && now.saturating_duration_since(self.sent_at) > trip * 5 / 4 + LATE {
            self.busy = None;
        }
        let expected = self.heard_at.max(self.busy? + trip) + LATE;
        Some(now.saturating_duration_since(expected))
    }

    /// What has changed for the owner, after so much silence.
    pub fn news(&mut self, silence: Option<Duration>) -> Option<News> {
        let long = DEAD.0.max(self.trip.saturating_mul(DEAD.1));
        let dead = match silence {
            Some(silence) if silence.is_zero() => false,
            Some(silence) => self.dead || silence > long,
            None => false,
        };
        match (std::mem::replace(&mut self.dead, dead), dead) {
            (false, true) => Some(News::Died),
            (true, false) => Some(News::Lives),
            _ => None,
        }
    }

    /// Whether a sign is to be asked for, after so much silence. Once in a round trip it is.
    fn asks(&mut self, silence: Duration, now: Instant) -> bool {
        let every = self.trip.max(SHORTEST);
        let asks = silence > self.trip && now.saturating_duration_since(self.asked_at) >= every;
        if asks {
            self.asked_at = now;
        }
        asks
    }
}

/// By how many bytes a window grows in a silence.
pub fn growth(window: u64, silence: Duration, trip: Duration) -> u64 {
    let carried = u128::from(window) * silence.as_nanos() / trip.as_nanos().max(1);
    u64::try_from(carried).unwrap_or(u64::MAX).min(window / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: Duration = Duration::from_millis(100);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Guards what is taken for silence: no answer before its time is overdue, nor on a path where everything was answered;
    /// one that does not come is, for as long as it does not, and asked for once in a round
    /// trip; after a while the path is dead, until something is heard.
    #[test]
    fn only_what_is_overdue_is_silence() {
        let begin = Instant::now();
        let mut path = Silence::new(begin);
        assert_eq!(path.look(0, 0, TRIP, begin + ms(5000)), None);
        assert_eq!(path.look(0, 1, TRIP, begin + ms(6000)), Some(ms(0)));
        assert_eq!(path.look(0, 1, TRIP, begin + ms(6130)), Some(ms(0)));
        assert_eq!(path.look(1, 1, TRIP, begin + ms(6131)), Some(ms(0)));
        assert_eq!(path.look(1, 1, TRIP, begin + ms(9000)), None);
        assert_eq!(path.look(1, 2, TRIP, begin + ms(9000)), Some(ms(0)));
        let silence = path.look(1, 2, TRIP, begin + ms(14_130)).unwrap();
        assert_eq!(silence, ms(5000));
        assert_eq!(path.news(Some(ms(1999))), None);
        assert_eq!(path.news(Some(silence)), Some(News::Died));
        assert_eq!(path.news(Some(ms(10))), None);
        assert_eq!(path.news(Some(ms(0))), Some(News::Lives));
        let asked = (0..200u64).filter(|n| path.asks(silence, begin + ms(14_130 + n * 5)));
        assert_eq!(asked.count(), 10);
    }

    /// Guards the bound: what is sent into a dead path beside those signs is half a window.
    #[test]
    fn a_window_grows_by_half_at_most() {
        assert_eq!(growth(10_000, ms(0), TRIP), 0);
        assert_eq!(growth(10_000, ms(20), TRIP), 2000);
        assert_eq!(growth(10_000, ms(1000), TRIP), 5000);
    }
}
