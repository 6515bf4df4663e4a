//! What a home tells although its keys are locked: the card of its owner, whom he knows, and its links. So nobody is
//! asked for a passphrase to look something up.

use super::api::{Request, Response};
use super::cards::{self, Contacts};
use super::error::{NodeError, blocking};
use super::home::Home;
use super::linkbook::Linkbook;
use crate::store::Store;

impl Home {
    /// Answers what needs no keys; nothing if this does, or if the card has to be signed first. No node runs on it.
    ///
    /// # Errors
    /// [`NodeError`] if the home is in use or damaged, or there is nobody of that name.
    pub async fn look_up(&self, request: &Request) -> Result<Option<Response>, NodeError> {
        let (home, request) = (self.clone(), request.clone());
        match request {
            Request::Card
            | Request::PersonList
            | Request::PersonShow { .. }
            | Request::LinkList => blocking(move || answer(&home, request)).await,
            _ => Ok(None),
        }
    }
}

fn answer(home: &Home, request: Request) -> Result<Option<Response>, NodeError> {
    let (store, _) = Store::open(&home.store_dir())?;
    let meta = store.handle().meta();
    // Written down at the first start of a node or of a command that has the keys.
    let Some(own) = cards::last_own(&meta)? else {
        return Ok(None);
    };
    let contacts = Contacts::load(meta.clone(), own.person())?;
    let links = Linkbook::load(meta)?;
    Ok(match request {
        Request::Card => {
            let current = own.body().name == home.name() && own.body().relays == links.relays();
            current.then(|| cards::shown_card(&own))
        }
        Request::PersonList => Some(contacts.all()),
        Request::PersonShow { person } => {
            Some(Response::Person(contacts.entry(&contacts.find(&person)?)))
        }
        Request::LinkList => Some(links.shown(&contacts)),
        _ => None,
    })
}
