//! What the operator of a relay has configured: links, and which mailboxes lie behind which of them.

use super::super::address::Address;
use super::super::error::NodeError;
use super::super::grants::add_grant;
use super::super::linkbook::{check_control, check_folder, check_frame, check_name};
use super::api::{ALL, HERE, LinkConfig, Route};
use super::mailboxes::Mailboxes;
use crate::security::card::Card;
use crate::security::mailbox;
use crate::wire::envelope::MailboxTag;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

const LINK: &str = "link/";
const ROUTE: &str = "route/";
/// The most links.
const MAX_LINKS: usize = 64;
/// The most routes.
const MAX_ROUTES: usize = 10_000;

/// Which link leads nearer to the owner of a mailbox.
#[derive(Debug, Default)]
pub(super) struct Router {
    /// Nothing for a mailbox whose frames stay here.
    known: BTreeMap<MailboxTag, Option<String>>,
    others: Option<String>,
}

impl Router {
    fn of<'a>(routes: impl Iterator<Item = &'a Route>) -> Self {
        let mut router = Self::default();
        for route in routes {
            let via = (route.via != HERE).then(|| route.via.clone());
            match mailbox::from_address(&route.mailbox) {
                Some(key) => {
                    let tags = mailbox::tags(&key).map(|tag| (tag, via.clone()));
                    router.known.extend(tags);
                }
                None => router.others = via,
            }
        }
        router
    }

    /// The link for this tag; nothing if the frame stays.
    pub(super) fn lead(&self, tag: &MailboxTag) -> Option<&str> {
        let via = self.known.get(tag).unwrap_or(&self.others);
        via.as_deref()
    }

    /// The tag has a route of its own.
    pub(super) fn knows(&self, tag: &MailboxTag) -> bool {
        self.known.contains_key(tag)
    }
}

#[derive(Default)]
struct Entries {
    links: BTreeMap<String, LinkConfig>,
    /// By mailbox. `*` comes before all addresses.
    routes: BTreeMap<String, Route>,
}

/// All links and routes. Changes are durable before they are seen; callers that change something take turns.
pub(super) struct Book {
    mailboxes: Arc<Mailboxes>,
    entries: Mutex<Entries>,
    router: watch::Sender<Arc<Router>>,
}

impl Book {
    /// Takes what is stored; what does not read any more is left out and logged.
    pub(super) fn new(mailboxes: Arc<Mailboxes>, stored: Vec<(String, Vec<u8>)>) -> Self {
        let mut entries = Entries::default();
        for (key, value) in stored {
            if let Some(name) = key.strip_prefix(LINK) {
                entries.links.extend(read(name, &value));
            } else if let Some(mailbox) = key.strip_prefix(ROUTE) {
                entries.routes.extend(read(mailbox, &value));
            }
        }
        let router = Router::of(entries.routes.values());
        Self {
            mailboxes,
            router: watch::Sender::new(Arc::new(router)),
            entries: Mutex::new(entries),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The routes as links see them; tells when they change.
    pub(super) fn router(&self) -> watch::Receiver<Arc<Router>> {
        self.router.subscribe()
    }

    /// All links, by name.
    pub(super) fn links(&self) -> Vec<LinkConfig> {
        self.entries().links.values().cloned().collect()
    }

    /// All routes, that of all others last.
    pub(super) fn routes(&self) -> Vec<Route> {
        let mut routes: Vec<Route> = self.entries().routes.values().cloned().collect();
        routes.sort_by_key(|route| route.mailbox == ALL);
        routes
    }

    /// The link of this name.
    pub(super) fn link(&self, name: &str) -> Result<LinkConfig, NodeError> {
        self.entries().links.get(name).cloned().ok_or_else(|| {
            NodeError::NotFound(format!(
                "the relay has no link called `{}`; see `ostrakon relay link list`",
                shown(name)
            ))
        })
    }

    /// Adds a link.
    pub(super) async fn add_link(&self, config: LinkConfig) -> Result<(), NodeError> {
        check_name(&config.name, &config.uri)?;
        let address = Address::parse(&config.uri)?;
        check_frame(config.mtu, &address)?;
        check_control(config.control, &address)?;
        match &address {
            Address::Relay { .. } => {}
            Address::Spool { dir } => check_folder(dir, None)?,
            other => {
                return Err(NodeError::Usage(format!(
                    "a relay passes nothing on by {}; give relay://HOST:PORT?key=KEY or spool:/FOLDER",
                    other.kind()
                )));
            }
        }
        let name = config.name.clone();
        {
            let entries = self.entries();
            if name == HERE || entries.links.contains_key(&name) {
                return Err(NodeError::Usage(format!(
                    "the name `{name}` is taken; choose another, or see `ostrakon relay link list`"
                )));
            }
            if entries.links.len() >= MAX_LINKS {
                return Err(NodeError::Usage(format!(
                    "there are at most {MAX_LINKS} links; remove one first"
                )));
            }
        }
        self.set(format!("{LINK}{name}"), Some(&config)).await?;
        self.entries().links.insert(name, config);
        Ok(())
    }

    /// Has a link show a grant to the next relay, or none any more.
    pub(super) async fn set_grant(
        &self,
        name: &str,
        grant: Option<&str>,
    ) -> Result<LinkConfig, NodeError> {
        let mut config = self.link(name)?;
        if !matches!(Address::parse(&config.uri)?, Address::Relay { .. }) {
            return Err(NodeError::Usage(format!(
                "`{name}` leads to no relay, and nobody else asks for a grant; leave it out"
            )));
        }
        add_grant(&mut config.grants, grant, None)?;
        self.set(format!("{LINK}{name}"), Some(&config)).await?;
        self.entries()
            .links
            .insert(config.name.clone(), config.clone());
        Ok(config)
    }

    /// Forgets a link that no route needs.
    pub(super) async fn remove_link(&self, name: &str) -> Result<(), NodeError> {
        self.link(name)?;
        if self.entries().routes.values().any(|r| r.via == name) {
            return Err(NodeError::Usage(format!(
                "routes lead over `{name}`; remove or change them first, see `ostrakon relay route list`"
            )));
        }
        self.set::<LinkConfig>(format!("{LINK}{name}"), None)
            .await?;
        self.entries().links.remove(name);
        Ok(())
    }

    /// Adds a route, or changes that of the same mailbox.
    pub(super) async fn add_route(&self, target: &str, via: String) -> Result<Route, NodeError> {
        let (mailbox, owner) = read_mailbox(target)?;
        if via != HERE {
            self.link(&via)?;
        }
        {
            let routes = &self.entries().routes;
            if routes.len() >= MAX_ROUTES && !routes.contains_key(&mailbox) {
                return Err(NodeError::Usage(format!(
                    "there are at most {MAX_ROUTES} routes; remove one first, or use `*` for all others"
                )));
            }
        }
        let route = Route {
            mailbox: mailbox.clone(),
            owner,
            via,
        };
        self.set(format!("{ROUTE}{mailbox}"), Some(&route)).await?;
        self.entries().routes.insert(mailbox, route.clone());
        self.reroute();
        Ok(route)
    }

    /// Forgets a route.
    pub(super) async fn remove_route(&self, target: &str) -> Result<(), NodeError> {
        let unknown = || {
            NodeError::NotFound(format!(
                "there is no route for `{}`; see `ostrakon relay route list`",
                shown(target)
            ))
        };
        let mailbox = match read_mailbox(target) {
            Ok((mailbox, _)) => mailbox,
            Err(_) => self.named(target).ok_or_else(unknown)?,
        };
        if !self.entries().routes.contains_key(&mailbox) {
            return Err(unknown());
        }
        self.set::<Route>(format!("{ROUTE}{mailbox}"), None).await?;
        self.entries().routes.remove(&mailbox);
        self.reroute();
        Ok(())
    }

    /// The mailbox of the only route under this name.
    fn named(&self, name: &str) -> Option<String> {
        let entries = self.entries();
        let mut named = entries
            .routes
            .values()
            .filter(|route| route.owner.as_deref() == Some(name));
        let first = named.next()?;
        named.next().is_none().then(|| first.mailbox.clone())
    }

    fn reroute(&self) {
        let router = Router::of(self.entries().routes.values());
        self.router.send_replace(Arc::new(router));
    }

    /// Has links begin again with what is held.
    pub(super) fn begin_again(&self) {
        self.router.send_modify(|_| {});
    }

    async fn set<T: serde::Serialize>(
        &self,
        key: String,
        value: Option<&T>,
    ) -> Result<(), NodeError> {
        let value = value.map(serde_json::to_vec).transpose();
        let value = value.map_err(|error| NodeError::Usage(error.to_string()))?;
        let set = self
            .mailboxes
            .with(move |store| store.set(&key, value.as_deref()));
        Ok(set.await?)
    }
}

fn read<T: DeserializeOwned>(name: &str, value: &[u8]) -> Option<(String, T)> {
    match serde_json::from_slice(value) {
        Ok(read) => Some((name.to_owned(), read)),
        Err(error) => {
            tracing::warn!(name, %error, "a stored setting does not read");
            None
        }
    }
}

/// The address of the mailbox that a text names, and the name of its owner if the text is a card.
fn read_mailbox(text: &str) -> Result<(String, Option<String>), NodeError> {
    if text.trim() == ALL {
        return Ok((ALL.to_owned(), None));
    }
    if let Some(key) = mailbox::from_address(text) {
        return Ok((mailbox::address(&key), None));
    }
    if text.contains(mailbox::URI) {
        return Err(NodeError::Usage(format!(
            "`{}` is no mailbox address; its owner shows it with `ostrakon card --mailbox`",
            shown(text)
        )));
    }
    let card = Card::from_text(text)?;
    let address = mailbox::address(&card.body().mailbox);
    Ok((address, Some(card.body().name.clone())))
}

fn shown(text: &str) -> String {
    let visible = text.trim().chars().filter(|c| !c.is_control());
    visible.take(80).collect()
}
