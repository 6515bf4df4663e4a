//! Real time as the model counts it.

use std::time::{Duration, Instant};

use crate::model::Nanos;

/// Nanoseconds since the path was spawned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Nanos {
        Nanos::try_from(self.origin.elapsed().as_nanos()).unwrap_or(Nanos::MAX)
    }

    /// Sleeps until `at`; never wakes before.
    pub(super) async fn sleep_until(&self, at: Nanos) {
        let at = self.origin + Duration::from_nanos(at);
        tokio::time::sleep_until(at.into()).await;
    }
}
