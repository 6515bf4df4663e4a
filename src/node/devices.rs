//! Requests about our own devices: a further one joins, one is named no more.
//!
//! Every device has the keys of the person, so each can make a card. Whoever makes one sends it to the others and to all
//! contacts; of two with one number the same one wins everywhere, and the device whose change is not in it makes the next. What
//! devices did with others they tell each other beside it: see [`crate::security::roster`].

use super::api::{DeviceEntry, Response};
use super::cards::{self, id_head};
use super::driver::Command;
use super::error::NodeError;
use super::home::seeded_rng;
use super::service::{Inner, Service};
use crate::engine::id::{EndpointId, to_base32};
use crate::security::card::{Card, Endpoint};
use crate::security::enrolment::{Bundle, Code};
use crate::security::roster::MAX_DEVICES;
use data_encoding::BASE64;

impl Service {
    /// Names the device that shows a code in our card, and seals for it what it needs to be one of ours.
    pub(super) async fn device_add(&self, code: String) -> Result<Response, NodeError> {
        let code = Code::from_text(&code)?;
        let device = EndpointId(code.endpoint.id).to_string();
        let turn = self.0.settings.lock().await;
        let (card, sealed) = self.with_store(move |s| enrol(s, &code)).await?;
        self.order(Command::Card(Box::new(card))).await?;
        drop(turn);
        self.tell_all().await;
        let sealed = BASE64.encode(&sealed);
        Ok(Response::Enrolled { device, sealed })
    }

    /// Our devices, as our card names them.
    pub(super) async fn device_list(&self) -> Result<Response, NodeError> {
        let card = self.newest_card().await?;
        Ok(self.devices(&card))
    }

    /// Makes a card that does not name a device.
    pub(super) async fn device_remove(&self, device: String) -> Result<Response, NodeError> {
        let turn = self.0.settings.lock().await;
        let card = self.with_store(move |s| remove(s, &device)).await?;
        self.order(Command::Card(Box::new(card.clone()))).await?;
        drop(turn);
        self.tell_all().await;
        Ok(self.devices(&card))
    }

    fn devices(&self, card: &Card) -> Response {
        let us = self.0.keys.identity().described();
        let entry = |endpoint: &Endpoint| DeviceEntry {
            device: EndpointId(endpoint.id).to_string(),
            this: *endpoint == us,
        };
        let devices = card.body().endpoints.iter().map(entry).collect();
        Response::Devices { devices }
    }
}

/// Our card as it has to be now, which must name us.
pub(super) fn current(s: &Inner) -> Result<Card, NodeError> {
    let identity = s.keys.identity();
    let card = cards::own(&s.handle.meta(), &identity, &s.name, &s.links.relays())?;
    match card.body().endpoints.contains(&identity.described()) {
        true => Ok(card),
        false => Err(NodeError::Usage(
            "this device was removed by another one of yours; use that one".into(),
        )),
    }
}

fn enrol(s: &Inner, code: &Code) -> Result<(Card, Vec<u8>), NodeError> {
    let identity = s.keys.identity();
    let mut card = current(s)?;
    let mut endpoints = card.body().endpoints.clone();
    // A bundle may be made again for a device that lost it.
    if !endpoints.contains(&code.endpoint) {
        if endpoints.len() >= MAX_DEVICES {
            return Err(NodeError::Usage(format!(
                "you have {MAX_DEVICES} devices, and no more are possible; remove one with `ostrakon device remove`"
            )));
        }
        endpoints.push(code.endpoint.clone());
        s.contacts
            .change_roster(|roster| roster.add(&code.endpoint, &card))?;
        card = follow(s, &card, endpoints, card.body().largest)?;
    }
    let bundle = Bundle {
        name: s.name.clone(),
        card: card.clone(),
        persons: s.contacts.hand_over(),
    };
    let mut rng = seeded_rng().map_err(NodeError::random)?;
    let sealed = bundle.seal(&identity, code, &mut rng)?;
    Ok((card, sealed))
}

fn remove(s: &Inner, device: &str) -> Result<Card, NodeError> {
    let unknown = || {
        NodeError::NotFound(format!(
            "no device of yours is called `{}`; see `ostrakon device list`",
            cards::shown(device)
        ))
    };
    let head = id_head(device).ok_or_else(unknown)?;
    let card = current(s)?;
    let us = s.keys.identity().described();
    let named = |endpoint: &&Endpoint| to_base32(&endpoint.id).starts_with(&head);
    let found: Vec<&Endpoint> = card.body().endpoints.iter().filter(named).collect();
    match found.as_slice() {
        [] => Err(unknown()),
        [one] if **one == us => Err(NodeError::Usage(
            "a device does not remove itself; do it on another one".into(),
        )),
        [one] => {
            // A device that does not hear of it may name it in a card of its own.
            s.contacts
                .change_roster(|roster| roster.remove(one.id, &card))?;
            let mut rest = card.body().endpoints.clone();
            rest.retain(|endpoint| endpoint != *one);
            follow(s, &card, rest, card.body().largest)
        }
        _ => Err(NodeError::Usage(
            "several devices begin so; give more of the key".into(),
        )),
    }
}

/// Makes the next card, which names these devices and the largest message that they take.
pub(super) fn follow(
    s: &Inner,
    last: &Card,
    endpoints: Vec<Endpoint>,
    largest: Option<u64>,
) -> Result<Card, NodeError> {
    let body = last.body();
    let identity = s.keys.identity();
    let card = identity.card_after(last, &body.name, body.relays.clone(), endpoints, largest);
    let card = cards::keep_own(&s.handle.meta(), &card, &s.links.relays())?;
    s.contacts.set_own(&card);
    Ok(card)
}
