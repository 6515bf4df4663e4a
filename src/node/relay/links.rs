//! The links of a relay that runs: one task each.

use super::api::{LinkConfig, LinkStatus};
use super::book::Book;
use super::folder::Folder;
use super::hop::Hop;
use super::lane::{Lane, Shown};
use super::mailboxes::Mailboxes;
use crate::node::address::Address;
use crate::security::grant::Grant;
use bytes::Bytes;
use ostrakon_transports::LinkId;
use ostrakon_transports::keys::LinkKey;
use ostrakon_transports::quic::{QuicEndpoint, QuicSettings};
use ostrakon_transports::relay::{RelayClient, RelaySpec};
use ostrakon_transports::spool::{SpoolLink, SpoolSpec};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Events of a link that wait for its task.
const EVENTS: usize = 512;
/// What the next relay said of frames and that waits for the task of the link, in records.
const SETTLEMENTS: usize = 64;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Ends its task when dropped. All that counts is in the store at any moment.
struct Running {
    shown: Shown,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All links.
pub(super) struct Links {
    mailboxes: Arc<Mailboxes>,
    /// Missing while the relay does not run: no link does then.
    endpoint: Mutex<Option<QuicEndpoint>>,
    running: Mutex<BTreeMap<String, Running>>,
}

impl Links {
    pub(super) fn new(mailboxes: Arc<Mailboxes>) -> Self {
        Self {
            mailboxes,
            endpoint: Mutex::default(),
            running: Mutex::default(),
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn endpoint(&self) -> MutexGuard<'_, Option<QuicEndpoint>> {
        self.endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts all links in the book; further ones from now on when they are added.
    pub(super) fn start(&self, endpoint: &QuicEndpoint, book: &Book) {
        *self.endpoint() = Some(endpoint.clone());
        for config in book.links() {
            self.add(&config, book);
        }
    }

    /// Ends all links.
    pub(super) fn stop(&self) {
        *self.endpoint() = None;
        self.running().clear();
    }

    /// Starts a link, if the relay runs.
    pub(super) fn add(&self, config: &LinkConfig, book: &Book) {
        let Some(endpoint) = self.endpoint().clone() else {
            return;
        };
        let shown = Shown::default();
        shown.down("not up yet".into());
        let task = match Address::parse(&config.uri) {
            Ok(Address::Relay { at, key }) => {
                self.hop(config, at, LinkKey(key), &endpoint, book, &shown)
            }
            Ok(Address::Spool { dir }) => self.folder(config, dir, &endpoint, book, &shown),
            Ok(_) | Err(_) => {
                shown.down("its address is not usable; remove it".into());
                Box::pin(std::future::ready(()))
            }
        };
        let task = tokio::spawn(task).abort_handle();
        self.running()
            .insert(config.name.clone(), Running { shown, task });
    }

    /// Ends a link.
    pub(super) fn remove(&self, name: &str) {
        self.running().remove(name);
    }

    /// What is known of a link, its name, address and what waits for it aside.
    pub(super) fn status(&self, name: &str) -> LinkStatus {
        let running = self.running();
        let shown = running.get(name).map(|running| running.shown.get().clone());
        shown.unwrap_or_default()
    }

    fn lane(&self, config: &LinkConfig, book: &Book, shown: &Shown) -> Lane {
        let name = config.name.clone();
        Lane::new(name, self.mailboxes.clone(), book.router(), shown.clone())
    }

    fn hop(
        &self,
        config: &LinkConfig,
        address: String,
        key: LinkKey,
        endpoint: &QuicEndpoint,
        book: &Book,
        shown: &Shown,
    ) -> Task {
        let (sender, events) = mpsc::channel(EVENTS);
        let (settlements, settled) = mpsc::channel(SETTLEMENTS);
        let spec = RelaySpec {
            address,
            key,
            settings: QuicSettings {
                rate_bps: config.rate_bps,
                congestion: config.control.unwrap_or_default().into(),
                ..QuicSettings::default()
            },
            mailbox: None,
            grants: grants(config),
            settlements: Some(settlements),
        };
        let hop = Hop {
            lane: self.lane(config, book, shown),
            shown: shown.clone(),
            handle: RelayClient::spawn(LinkId(0), spec, endpoint, sender),
            events,
            settled,
            arrivals: self.mailboxes.arrivals(),
            changes: book.router(),
            limit: config.mtu,
            state: Default::default(),
        };
        Box::pin(hop.run())
    }

    fn folder(
        &self,
        config: &LinkConfig,
        dir: std::path::PathBuf,
        endpoint: &QuicEndpoint,
        book: &Book,
        shown: &Shown,
    ) -> Task {
        let (sender, events) = mpsc::channel(EVENTS);
        // Links to the same folder under different names keep their batches apart.
        let mut origin = [0; 8];
        let mut hasher = blake3::Hasher::new_derive_key("ostrakon 2026 relay spool origin v1");
        hasher
            .update(&endpoint.key().0)
            .update(config.name.as_bytes());
        hasher.finalize_xof().fill(&mut origin);
        let folder = Folder {
            name: config.name.clone(),
            dir: dir.clone(),
            origin,
            lane: self.lane(config, book, shown),
            shown: shown.clone(),
            mailboxes: self.mailboxes.clone(),
            sorter: self.mailboxes.sorter(),
            handle: SpoolLink::spawn(LinkId(0), SpoolSpec::new(dir, origin), sender),
            events,
            arrivals: self.mailboxes.arrivals(),
            changes: book.router(),
            limit: config.mtu,
            state: Default::default(),
        };
        Box::pin(folder.run())
    }
}

/// What is shown to the next relay.
fn grants(config: &LinkConfig) -> Vec<Bytes> {
    let grants = config
        .grants
        .iter()
        .filter_map(|text| Grant::from_text(text).ok());
    grants.map(|grant| grant.bytes().to_vec().into()).collect()
}
