//! Where the operator of a relay asks: the relay that runs, or else its directory itself.

use super::super::api::{ErrorKind, RateControl};
use super::super::client::{ANSWER, Remote};
use super::super::control::{self, Answers};
use super::super::error::NodeError;
use super::super::home::HomeError;
use super::super::runtime::{PATIENCE, RETRY};
use super::api::{ALL, GrantStatus, LinkStatus, Request, Response, RouteStatus, Status};
use super::book::Book;
use super::grants::Grants;
use super::lane::{self, EXPORTED};
use super::links::Links;
use super::mailboxes::Mailboxes;
use super::{Counters, Limits, Slowed, is_relay, known_key, prepare, refuse_node, socket};
use crate::node::error::blocking;
use crate::security::lockbox::Passphrase;
use crate::security::mailbox;
use crate::store::OpenError;
use crate::store::mailbox::{MailboxLimits, MailboxStore, Totals};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::time::{Instant, sleep};

/// Asks the relay that runs in `dir` if there is one; otherwise opens the directory for this one question. Waits up to
/// 10 s for others that have it open. Only what adds a link or a route makes a relay where none is.
///
/// # Errors
/// [`NodeError`] if it holds no relay, is in use and nobody answers, or damaged. What the relay refuses is [`Response::Error`].
///
/// `passphrase` opens the relay's key if it has one, the relay does not run, and the question needs the key.
pub async fn ask(
    dir: &Path,
    request: Request,
    passphrase: Option<&Passphrase>,
) -> Result<Response, NodeError> {
    refuse_node(dir)?;
    let makes = matches!(request, Request::LinkAdd(_) | Request::RouteAdd { .. });
    if !makes && !is_relay(dir) {
        return Err(HomeError::NoRelay(dir.to_owned()).into());
    }
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(stream) = control::connect(&socket(dir)).await {
            let mut relay = Remote::new(dir.to_owned(), stream);
            return relay.ask(&request, Some(ANSWER)).await;
        }
        let home = dir.to_owned();
        let keyed = needs_key(&request).then(|| passphrase.cloned());
        let opened = blocking(move || {
            let desk = Desk::open(&home, Limits::default().mailbox)?;
            if let Some(passphrase) = keyed {
                let seed = known_key(&home, passphrase.as_ref())?;
                desk.grants().know_key(&seed);
            }
            Ok(desk)
        })
        .await;
        match opened {
            Ok(desk) => return Ok(desk.answer(request).await),
            // It starts, stops, or answers somebody else.
            Err(NodeError::Open(OpenError::InUse { .. })) if Instant::now() < until => {
                sleep(RETRY).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// What is signed with the key, or concerns it.
fn needs_key(request: &Request) -> bool {
    matches!(
        request,
        Request::GrantIssue { .. }
            | Request::GrantSpent
            | Request::GrantTurn { .. }
            | Request::GrantTrust { .. }
    )
}

impl Inner {
    fn counters(&self) -> MutexGuard<'_, Option<(Counters, Slowed)>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers. Clones are the same.
#[derive(Clone)]
pub(super) struct Desk(Arc<Inner>);

struct Inner {
    mailboxes: Arc<Mailboxes>,
    book: Arc<Book>,
    grants: Arc<Grants>,
    links: Links,
    /// As of a moment ago; nothing if the relay does not run.
    counters: Mutex<Option<(Counters, Slowed)>>,
    /// How connections that clients open are controlled; nothing if the relay does not run.
    control: OnceLock<RateControl>,
    /// Held by whoever changes something.
    changes: tokio::sync::Mutex<()>,
}

impl Desk {
    /// Opens the directory of a relay, or makes it.
    pub(super) fn open(dir: &Path, limits: MailboxLimits) -> Result<Self, NodeError> {
        let store = MailboxStore::open(&prepare(dir)?, limits)?;
        let settings = store.settings()?;
        let mailboxes = Arc::new(Mailboxes::new(store)?);
        let grants = Arc::new(Grants::new(mailboxes.clone(), &settings));
        let book = Arc::new(Book::new(mailboxes.clone(), settings));
        Ok(Self(Arc::new(Inner {
            links: Links::new(mailboxes.clone()),
            mailboxes,
            book,
            grants,
            counters: Mutex::default(),
            control: OnceLock::new(),
            changes: tokio::sync::Mutex::default(),
        })))
    }

    pub(super) fn mailboxes(&self) -> &Arc<Mailboxes> {
        &self.0.mailboxes
    }

    pub(super) fn book(&self) -> &Arc<Book> {
        &self.0.book
    }

    pub(super) fn grants(&self) -> &Arc<Grants> {
        &self.0.grants
    }

    pub(super) fn links(&self) -> &Links {
        &self.0.links
    }

    /// The relay runs, and controls connections that clients open like this.
    pub(super) fn controls(&self, control: RateControl) {
        self.0.control.get_or_init(|| control);
    }

    /// The relay runs, and counted this.
    pub(super) fn counted(&self, counters: Counters, slowed: Slowed) {
        *self.0.counters() = Some((counters, slowed));
    }

    async fn try_answer(&self, request: Request) -> Result<Response, NodeError> {
        let Inner { book, links, .. } = &*self.0;
        let _turn = self.0.changes.lock().await;
        match request {
            Request::Status => Ok(Response::Status(Box::new(self.status().await?))),
            Request::LinkAdd(config) => {
                book.add_link(config.clone()).await?;
                links.add(&config, book);
                Ok(Response::Done)
            }
            Request::LinkList => Ok(Response::Links {
                links: book.links(),
            }),
            Request::LinkRemove { name } => {
                book.remove_link(&name).await?;
                links.remove(&name);
                Ok(Response::Done)
            }
            Request::LinkRelease { name } => {
                let frames = self.release(&name).await?;
                Ok(Response::Released { frames })
            }
            Request::RouteAdd { mailbox, via } => {
                Ok(Response::Route(book.add_route(&mailbox, via).await?))
            }
            Request::RouteList => Ok(Response::Routes {
                routes: book.routes(),
            }),
            Request::RouteRemove { mailbox } => {
                book.remove_route(&mailbox).await?;
                Ok(Response::Done)
            }
            Request::LinkGrant { name, grant } => {
                let config = book.set_grant(&name, grant.as_deref()).await?;
                links.remove(&name);
                links.add(&config, book);
                Ok(Response::Done)
            }
            request => self.answer_grants(request).await,
        }
    }

    async fn answer_grants(&self, request: Request) -> Result<Response, NodeError> {
        let grants = &self.0.grants;
        match request {
            Request::GrantIssue { order, turns } => {
                Ok(Response::Grant(grants.issue(order, turns).await?))
            }
            Request::GrantRevoke { grant } => {
                let id = grants.revoke(&grant).await?;
                Ok(Response::Revoked { id })
            }
            Request::GrantTurn { issuer } => {
                let counter = grants.turn(issuer.as_deref()).await?;
                Ok(Response::Turned { counter })
            }
            Request::GrantTrust { issuer, forget } => {
                Ok(Response::Trusted(grants.trust(&issuer, forget).await?))
            }
            Request::GrantSpent => Ok(Response::Spent(grants.statement().await?)),
            // The others are answered where this is called.
            _ => Ok(Response::Grants {
                counter: grants.status().counter,
                grants: grants.issued().await?,
                issuers: grants.issuers(),
            }),
        }
    }

    /// Lets go of what was written into the folder of a link.
    async fn release(&self, name: &str) -> Result<u64, NodeError> {
        let link = self.0.book.link(name)?;
        if !link.uri.to_ascii_lowercase().starts_with("spool:") {
            return Err(NodeError::Usage(format!(
                "`{name}` is no folder: what the next relay has taken is released by itself"
            )));
        }
        let (key, router) = (
            format!("{EXPORTED}{name}"),
            self.0.book.router().borrow().clone(),
        );
        let name = name.to_owned();
        let released = self.0.mailboxes.with(move |store| {
            let settings = store.settings()?;
            let exported = settings.into_iter().find(|(k, _)| *k == key);
            let upto = exported.and_then(|(_, value)| lane::read_cursor(&value));
            let tags: Vec<_> = store.tags()?.into_iter().map(|(tag, _)| tag).collect();
            let leads = |tag: &_| router.lead(tag) == Some(&*name);
            let tags: Vec<_> = tags.into_iter().filter(leads).collect();
            let places = store.places(&tags, &upto.unwrap_or_default())?;
            let chunks = places.chunks(1000);
            let gone = chunks.map(|chunk| store.pass_on(super::mailboxes::now_s(), chunk));
            gone.sum()
        });
        let frames = released.await?;
        self.0.book.begin_again();
        Ok(frames)
    }

    async fn status(&self) -> Result<Status, NodeError> {
        let Inner {
            mailboxes, book, ..
        } = &*self.0;
        // A store that fails is shown below, and the rest all the same.
        let held = mailboxes.with(|store| store.tags()).await;
        let held = held.unwrap_or_default();
        let router = book.router().borrow().clone();
        let sum = |wanted: &dyn Fn(&[u8; 8]) -> bool| {
            let held = held.iter().filter(|(tag, _)| wanted(tag));
            held.fold(Totals::default(), |sum, (_, t)| sum.plus(*t))
        };
        let links = book.links().into_iter().map(|config| {
            let waiting = sum(&|tag| router.lead(tag) == Some(&config.name));
            LinkStatus {
                name: config.name.clone(),
                control: config.controlled(),
                uri: config.uri,
                waiting_frames: waiting.frames,
                waiting_bytes: waiting.bytes,
                ..self.0.links.status(&config.name)
            }
        });
        let routes = book.routes().into_iter().map(|route| {
            let waiting = match mailbox::from_address(&route.mailbox) {
                Some(key) => sum(&|tag| mailbox::tags(&key).any(|own| own == *tag)),
                None => sum(&|tag| route.mailbox == ALL && !router.knows(tag)),
            };
            RouteStatus {
                route,
                waiting_frames: waiting.frames,
                waiting_bytes: waiting.bytes,
            }
        });
        let counted = *self.0.counters();
        let (counters, slowed) = (counted.map(|c| c.0), counted.map(|c| c.1));
        let totals = mailboxes.totals();
        Ok(Status {
            running: counters.is_some(),
            store_error: mailboxes.trouble(),
            control: self.0.control.get().copied(),
            counters: Counters {
                held_frames: totals.frames,
                held_bytes: totals.bytes,
                forwarded: mailboxes.forwarded(),
                ..counters.unwrap_or_default()
            },
            links: links.collect(),
            routes: routes.collect(),
            dropped: mailboxes.dropped().clone(),
            grants: GrantStatus {
                slowed: slowed.unwrap_or_default(),
                ..self.0.grants.status()
            },
        })
    }
}

impl Answers for Desk {
    type Request = Request;
    type Response = Response;

    fn ends_with_client(_: &Request) -> bool {
        false
    }

    async fn answer(&self, request: Request) -> Response {
        match self.try_answer(request).await {
            Ok(response) => response,
            Err(error) => Response::Error {
                kind: error.kind(),
                text: error.to_string(),
            },
        }
    }

    fn unreadable(text: String) -> Response {
        let kind = ErrorKind::BadInput;
        Response::Error { kind, text }
    }
}
