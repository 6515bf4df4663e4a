//! Plugs [`RateModel`] into the library as a congestion controller.

use super::model::{Acked, PACKET, RateModel};
use super::sharing::SharingController;
use super::silence;
use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Makes controllers with a given initial window in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelConfig {
    pub(super) initial_window: u64,
}

impl ControllerFactory for ModelConfig {
    fn build(self: Arc<Self>, now: Instant, _current_mtu: u16) -> Box<dyn Controller> {
        Box::new(ModelController {
            origin: now,
            model: RateModel::new(self.initial_window),
            in_flight: 0,
            silence: Arc::default(),
        })
    }
}

#[derive(Clone, Debug)]
struct ModelController {
    /// From here on the model counts time.
    origin: Instant,
    model: RateModel,
    /// Bytes under way, as far as the library tells.
    in_flight: u64,
    silence: Arc<Told>,
}

/// What the library does not tell its controllers, so whoever drives the connection does.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// For how long nothing was heard, in nanoseconds.
    nanos: AtomicU64,
    /// A packet is to leave, whatever is under way.
    asks: AtomicBool,
}

impl Told {
    fn tell(&self, silence: Duration, asks: bool) {
        let nanos = u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.store(nanos, Ordering::Relaxed);
        self.asks.fetch_or(asks, Ordering::Relaxed);
    }

    /// Whether a packet is to leave, whatever is under way.
    pub(super) fn asks(&self) -> bool {
        self.asks.load(Ordering::Relaxed)
    }

    /// A packet has left.
    pub(super) fn answer(&self) {
        self.asks.store(false, Ordering::Relaxed);
    }
}

/// Tells the controller of a connection for how long nothing was heard that should have been, and whether a sign is to be
/// asked for, if the controller is ours. `state` is the copy of it that the library gives.
pub(super) fn tell_silence(state: Box<dyn Controller>, silence: Duration, asks: bool) {
    let state = state.into_any();
    if let Some(own) = state.downcast_ref::<ModelController>() {
        own.silence.tell(silence, asks);
    } else if let Some(shared) = state.downcast_ref::<SharingController>() {
        shared.told.tell(silence, asks);
    }
}

/// At how many bytes a second packets are to leave, if the controller is ours and knows it. `state` as above.
pub fn pace(state: Box<dyn Controller>) -> Option<f64> {
    let ours = state.into_any().downcast::<ModelController>().ok()?;
    ours.model.pace()
}

impl ModelController {
    fn since_origin(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.origin)
    }
}

impl Controller for ModelController {
    fn on_sent(&mut self, _now: Instant, bytes: u64, _last: u64) {
        self.in_flight += bytes;
        self.silence.answer();
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        _app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.model.on_ack(Acked {
            bytes,
            sent: self.since_origin(sent),
            now: self.since_origin(now),
            srtt: rtt.get(),
            least: rtt.min(),
        });
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest: Option<u64>,
    ) {
        self.in_flight = in_flight;
        self.silence.nanos.store(0, Ordering::Relaxed);
        let now = self.since_origin(now);
        let largest = largest.unwrap_or(0);
        self.model.on_end_acks(now, app_limited, in_flight, largest);
    }

    fn on_congestion_event(
        &mut self,
        _now: Instant,
        _sent: Instant,
        persistent: bool,
        lost_bytes: u64,
    ) {
        self.in_flight = self.in_flight.saturating_sub(lost_bytes);
        self.model.on_loss(lost_bytes, persistent);
    }

    fn on_mtu_update(&mut self, _new_mtu: u16) {}

    fn window(&self) -> u64 {
        let window = self.model.window();
        let silence = Duration::from_nanos(self.silence.nanos.load(Ordering::Relaxed));
        let window = window + silence::growth(window, silence, self.model.round_trip());
        if self.silence.asks() {
            return window.max(self.in_flight + 2 * PACKET);
        }
        window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.model.initial()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
