//! Plugs [`RateModel`] into the library as a congestion controller.

use super::flight::Flight;
use super::model::{Acked, RateModel};
use super::pace::Wish;
use super::sharing::SharingController;
use super::silence;
use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Makes controllers with a given initial window in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelConfig {
    pub(super) initial_window: u64,
}

impl ControllerFactory for ModelConfig {
    fn build(self: Arc<Self>, now: Instant, _current_mtu: u16) -> Box<dyn Controller> {
        Box::new(ModelController {
            model: RateModel::new(self.initial_window),
            flight: Flight::new(now),
        })
    }
}

#[derive(Clone, Debug)]
struct ModelController {
    model: RateModel,
    flight: Flight,
}

/// Tells the controller of a connection for how long nothing was heard that should have been, and whether a sign is to be
/// asked for, if the controller is ours. `state` is the copy of it that the library gives.
pub(super) fn tell_silence(state: Box<dyn Controller>, silence: Duration, asks: bool) {
    let state = state.into_any();
    if let Some(own) = state.downcast_ref::<ModelController>() {
        own.flight.tell_silence(silence, asks);
    } else if let Some(shared) = state.downcast_ref::<SharingController>() {
        shared.flight.tell_silence(silence, asks);
    }
}

/// What rings when packets have left, if the controller is ours. `state` as above.
pub(super) fn bell(state: Box<dyn Controller>) -> Option<Arc<Notify>> {
    let state = state.into_any();
    if let Some(own) = state.downcast_ref::<ModelController>() {
        return Some(own.flight.bell());
    }
    let shared = state.downcast_ref::<SharingController>();
    shared.map(|shared| shared.flight.bell())
}

/// How packets are to leave: a model knows at how many bytes a second, or looks for it. `state` as above.
pub fn pace(state: Box<dyn Controller>) -> Wish {
    match state.into_any().downcast::<ModelController>() {
        Ok(ours) => ours.model.pace().map_or(Wish::Train, Wish::Rate),
        Err(_) => Wish::Free,
    }
}

impl Controller for ModelController {
    fn on_sent(&mut self, _now: Instant, bytes: u64, _last: u64) {
        self.flight.sent(bytes);
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
            sent: self.flight.since(sent),
            now: self.flight.since(now),
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
        self.flight.acked(in_flight);
        let now = self.flight.since(now);
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
        self.flight.lost(lost_bytes);
        self.model.on_loss(lost_bytes, persistent);
    }

    fn on_mtu_update(&mut self, _new_mtu: u16) {}

    fn window(&self) -> u64 {
        let window = self.model.window();
        let growth = silence::growth(window, self.flight.silence(), self.model.round_trip());
        self.flight.window(window + growth)
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
