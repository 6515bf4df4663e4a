//! CUBIC (RFC 9438) that does not take random loss for congestion: the library's, which hears only of losses that
//! [`Blame`] lays to a queue.

use super::blame::Blame;
use super::flight::Flight;
use quinn::congestion::{Controller, ControllerFactory, Cubic, CubicConfig};
use quinn_proto::RttEstimator;
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

/// Makes such controllers. What is configured of the rate says nothing of what others leave of it, so all begin with ten
/// packets, as CUBIC does.
#[derive(Debug, Default)]
pub(super) struct SharingConfig {
    cubic: Arc<CubicConfig>,
}

impl ControllerFactory for SharingConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(SharingController {
            cubic: Cubic::new(self.cubic.clone(), now, current_mtu),
            blame: Blame::default(),
            flight: Flight::new(now),
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct SharingController {
    cubic: Cubic,
    blame: Blame,
    pub(super) flight: Flight,
}

impl Controller for SharingController {
    fn on_sent(&mut self, now: Instant, bytes: u64, last: u64) {
        self.flight.sent(bytes);
        self.cubic.on_sent(now, bytes, last);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        let trip = now.saturating_duration_since(sent);
        let since = self.flight.since(now);
        self.blame.on_ack(since, bytes, trip, rtt.min());
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest: Option<u64>,
    ) {
        self.flight.acked(in_flight);
        self.cubic.on_end_acks(now, in_flight, app_limited, largest);
    }

    /// A mark in place of a loss (ECN) has no bytes, and is a queue's by its nature.
    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        persistent: bool,
        lost_bytes: u64,
    ) {
        self.flight.lost(lost_bytes);
        let (now_since, sent_since) = (self.flight.since(now), self.flight.since(sent));
        let blamed = self.blame.on_loss(now_since, sent_since, lost_bytes);
        if blamed || persistent || lost_bytes == 0 {
            self.cubic
                .on_congestion_event(now, sent, persistent, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    /// Nothing is added for silence, as where the link is one's own: it may be that of a queue that others have filled.
    fn window(&self) -> u64 {
        self.flight.window(self.cubic.window())
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
