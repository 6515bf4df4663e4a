//! Plugs [`RateModel`] into the library as a congestion controller.

use super::model::RateModel;
use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;
use std::any::Any;
use std::sync::Arc;
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
            model: RateModel::new(self.initial_window, Duration::ZERO),
        })
    }
}

#[derive(Clone, Debug)]
struct ModelController {
    /// From here on the model counts time.
    origin: Instant,
    model: RateModel,
}

impl Controller for ModelController {
    fn on_ack(
        &mut self,
        _now: Instant,
        _sent: Instant,
        bytes: u64,
        _app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.model.on_ack(bytes, rtt.get(), rtt.min());
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        _in_flight: u64,
        app_limited: bool,
        _largest: Option<u64>,
    ) {
        let now = now.saturating_duration_since(self.origin);
        self.model.on_end_acks(now, app_limited);
    }

    fn on_congestion_event(
        &mut self,
        _now: Instant,
        _sent: Instant,
        persistent: bool,
        lost_bytes: u64,
    ) {
        self.model.on_loss(lost_bytes, persistent);
    }

    fn on_mtu_update(&mut self, _new_mtu: u16) {}

    fn window(&self) -> u64 {
        self.model.window()
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
