//! What a node does by the hour: its prekeys age, and whoever has an older card of ours is sent the newest one.

use super::driver::Command;
use super::error::{NodeError, blocking, stopped};
use super::keys::Keys;
use super::service::Service;
use crate::engine::id::PersonId;
use crate::security::prekeys::Prekeys;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How often uptime is written down.
const EVERY: Duration = Duration::from_secs(3600);

/// How often it is looked whether new contacts who were written to say nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// A message that the node sends by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Errand {
    /// Our newest card, to who seems to have an outdated one.
    Card(PersonId),
    /// Another endpoint of ours has made a card: what it says holds for us, and what it lacks of ours has to be put in.
    OwnCard,
    /// The next steps of a comparison by voice.
    Voice(PersonId),
}

/// The task that does it.
pub(super) struct Upkeep {
    pub(super) service: Service,
    pub(super) keys: Arc<Keys>,
    /// What is to be sent to whom.
    pub(super) errands: mpsc::Receiver<Errand>,
}

impl Upkeep {
    /// Runs until `stop` says so, then writes the uptime down.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let (mut noted, mut looked) = (Instant::now(), Instant::now());
        self.catch_up().await;
        self.service.tell_all().await;
        self.service.tell_marks().await;
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                () = tokio::time::sleep_until(noted + EVERY) => {
                    let uptime = noted.elapsed();
                    noted += uptime;
                    self.age(uptime).await;
                    self.catch_up().await;
                    self.service.tell_all().await;
                    self.service.tell_marks().await;
                }
                () = tokio::time::sleep_until(looked + SILENCE) => {
                    looked = Instant::now();
                    let sent = self.service.send_first_cards().await;
                    logged("a new contact was not sent our card", sent);
                }
                Some(errand) = self.errands.recv() => match errand {
                    Errand::Card(person) => {
                        logged("a contact was not sent our card", self.service.send_card(person).await);
                    }
                    Errand::OwnCard => {
                        self.catch_up().await;
                        self.service.tell_all().await;
                    }
                    Errand::Voice(person) => {
                        logged("a contact was not answered", self.service.voice_steps(person).await);
                    }
                },
            }
        }
        self.age(noted.elapsed()).await;
    }

    async fn age(&self, uptime: Duration) {
        let aged = self.service.age_introductions(uptime).await;
        logged("the age of introductions cannot be written down", aged);
        let aged = self.service.age_strangers(uptime).await;
        logged("the age of strangers cannot be written down", aged);
        let keys = self.keys.clone();
        let aged = blocking(move || Ok(keys.age(uptime)?)).await;
        self.went_on(aged).await;
    }

    /// Our card may have the prekeys of another endpoint that has aged more.
    async fn catch_up(&self) {
        let keys = self.keys.clone();
        let me = keys.identity().person();
        let card = self.service.0.contacts.get(me);
        let prekeys = card.map(|card| card.body().prekeys.clone());
        let Some(first) = prekeys.and_then(|prekeys| Some(prekeys.first()?.id)) else {
            return;
        };
        let done = blocking(move || Ok(keys.catch_up(first)?)).await;
        self.went_on(done).await;
    }

    async fn went_on(&self, prekeys: Result<Option<Prekeys>, NodeError>) {
        match prekeys {
            Ok(None) => {}
            Ok(Some(prekeys)) => {
                tracing::info!(current = prekeys.current(), "another prekey is current");
                let order = Command::Prekeys(Box::new(prekeys));
                logged("prekeys did not go on", self.service.order(order).await);
            }
            Err(error) => tracing::warn!(%error, "the age of the prekeys cannot be written down"),
        }
    }
}

/// What fails here is tried again at the next turn.
pub(super) fn logged(what: &str, result: Result<(), NodeError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "{what}");
    }
}
