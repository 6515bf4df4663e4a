//! How large messages may be that others send us: our card says it, and what is larger is turned away.

use super::api::Response;
use super::devices::{current, follow};
use super::driver::Command;
use super::error::NodeError;
use super::service::Service;
use crate::security::card::LEAST;

impl Service {
    /// Sets the bound, in bytes, or lifts it; without a word on that, says what it is.
    pub(super) async fn largest(&self, set: Option<Option<u64>>) -> Result<Response, NodeError> {
        let Some(largest) = set else {
            let bytes = self.newest_card().await?.body().largest;
            return Ok(Response::Largest { bytes });
        };
        if largest.is_some_and(|largest| largest < LEAST) {
            return Err(NodeError::Usage(format!(
                "cards and what else programs tell each other would not pass; give at least {} KiB",
                LEAST >> 10
            )));
        }
        let turn = self.0.settings.lock().await;
        let card = self
            .with_store(move |s| {
                let last = current(s)?;
                let endpoints = last.body().endpoints.clone();
                follow(s, &last, endpoints, largest)
            })
            .await?;
        self.order(Command::Card(Box::new(card))).await?;
        drop(turn);
        self.tell_all().await;
        Ok(Response::Largest { bytes: largest })
    }
}
