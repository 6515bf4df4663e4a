//! Starting and stopping a node.

use super::api::{RateControl, Request, Response};
use super::cards::{self, Contacts};
use super::control::{self, Answers, Socket};
use super::courier::FIRST_COURIER;
use super::driver::{Driver, Sources};
use super::error::{NodeError, blocking, stopped};
use super::history::History;
use super::home::{Home, random32};
use super::invites::Pending;
use super::keys::Keys;
use super::lanes::Lanes;
use super::linkbook::Linkbook;
use super::links::Links;
use super::root::end_old_sessions;
use super::service::{Inner, Service};
use super::status;
use super::upkeep::{Errand, Upkeep};
use crate::engine::io::{Input, Restored, Time, Why};
use crate::engine::limits::Limits;
use crate::engine::{Config, Engine};
use crate::store::meta::Meta;
use crate::store::{Handle, OpenError, Store};
use ostrakon_transports::keys::{LinkKey, LinkSecret};
use ostrakon_transports::quic::{
    EndpointOptions, Incoming, PeerListener, QuicEndpoint, QuicSettings,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The UDP port on which nodes listen unless told otherwise.
pub const DEFAULT_PORT: u16 = 7411;
/// Events of links that wait for the engine.
const EVENTS: usize = 1024;
/// Orders that wait for the engine.
const COMMANDS: usize = 64;
/// Messages that wait to be sent by the node itself.
const ERRANDS: usize = 64;
/// Connections that wait for the engine.
const INCOMING: usize = 16;
/// How long a home may be held by somebody who does not answer: who asks it something, starts, or stops.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is tried again.
pub(super) const RETRY: Duration = Duration::from_millis(50);
/// How long a stopping node waits for work that it cut off.
const CUT_OFF: Duration = Duration::from_secs(2);

/// Where a node listens for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On port [`DEFAULT_PORT`] of all addresses.
    Default,
    /// Here. Port 0 lets the system choose: see [`Node::listening`].
    At(SocketAddr),
    /// Nowhere.
    Off,
}

/// How a node is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub listen: Listen,
    /// How much links may have under way that others open.
    pub control: RateControl,
    /// Whether it starts its links, listens, and answers at the control socket.
    pub online: bool,
    /// Its bounds.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: Listen::Default,
            control: RateControl::Own,
            online: true,
            limits: Limits::default(),
        }
    }
}

impl Options {
    /// Only the home: no links, no listening, no control socket.
    pub fn offline() -> Self {
        Self {
            listen: Listen::Off,
            online: false,
            ..Self::default()
        }
    }
}

/// A running node. Dropping it stops it as well, without waiting for it.
pub struct Node {
    service: Service,
    stop: watch::Sender<bool>,
    driver: JoinHandle<()>,
    control: Option<JoinHandle<()>>,
    upkeep: Option<JoinHandle<()>>,
    endpoints: Vec<QuicEndpoint>,
    listening: Option<SocketAddr>,
}

impl Node {
    /// Starts a node on a home. Needs a tokio runtime of several threads with IO and time.
    ///
    /// # Errors
    /// [`NodeError`]: the home is locked, in use or damaged, or the address is taken.
    pub async fn start(home: Home, options: Options) -> Result<Self, NodeError> {
        let opened = blocking(move || Opened::open(home)).await?;
        let socket = match options.online {
            true => Some(Socket::bind(opened.home.socket())?),
            false => None,
        };
        let secret = LinkSecret::from_seed(*opened.keys.identity().link_seed().bytes());
        let (dialer, listener) = endpoints(&options, &secret)?;
        let listening = match &listener {
            Some(endpoint) => Some(endpoint.local_addr().map_err(|source| NodeError::System {
                what: "its UDP address",
                source,
            })?),
            None => None,
        };
        let (stop, stopped) = watch::channel(false);
        let (knock, incoming) = mpsc::channel(INCOMING);
        if let Some(endpoint) = &listener {
            let contacts = opened.contacts.clone();
            let known = move |key: LinkKey| {
                contacts.by_link_key(&key.0).is_some() || contacts.door.is_open()
            };
            let listener = endpoint.accept_peers(known)?;
            tokio::spawn(admit(listener, knock, stopped.clone()));
        }
        let endpoints: Vec<QuicEndpoint> = dialer.iter().chain(&listener).cloned().collect();
        let (errands_in, errands) = mpsc::channel(ERRANDS);
        let sources = (incoming, errands_in);
        let keys = opened.keys.clone();
        let (service, driver) = assemble(opened, &options, dialer, sources, stopped.clone())?;
        let upkeep = options.online.then(|| {
            let service = service.clone();
            let upkeep = Upkeep {
                service,
                keys,
                errands,
            };
            tokio::spawn(upkeep.run(stopped.clone()))
        });
        let control = socket.map(|socket| tokio::spawn(socket.serve(service.clone(), stopped)));
        Ok(Self {
            service,
            stop,
            driver,
            control,
            upkeep,
            endpoints,
            listening,
        })
    }

    /// Starts a node on a home as soon as nobody else has it open, for up to 10 s. Does not wait for another node
    /// that answers.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_when_free(home: Home, options: Options) -> Result<Self, NodeError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match Self::start(home.clone(), options.clone()).await {
                Err(NodeError::Open(OpenError::InUse { .. }))
                    if Instant::now() < until
                        && control::connect(&home.socket()).await.is_none() =>
                {
                    tokio::time::sleep(RETRY).await;
                }
                ended => return ended,
            }
        }
    }

    /// Answers a request, as over the control socket.
    pub async fn ask(&self, request: Request) -> Response {
        self.service.answer(request).await
    }

    /// The UDP address on which it listens, if it does.
    pub fn listening(&self) -> Option<SocketAddr> {
        self.listening
    }

    /// Writes everything down, says goodbye to far sides and lets the home go.
    pub async fn stop(self) {
        let Self {
            service,
            stop,
            driver,
            control,
            upkeep,
            endpoints,
            ..
        } = self;
        // The tasks hear of it even if none of them listens any more.
        let _ = stop.send(true);
        if let Some(control) = control {
            let _ = control.await;
        }
        if let Some(upkeep) = upkeep {
            let _ = upkeep.await;
        }
        let _ = driver.await;
        for endpoint in endpoints {
            endpoint.shutdown().await;
        }
        // Work cut off in the background may hold the home a moment longer.
        let home = Arc::downgrade(&service.0);
        drop(service);
        let until = Instant::now() + CUT_OFF;
        while home.strong_count() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A home with everything read.
struct Opened {
    home: Home,
    store: Store,
    handle: Handle,
    restored: Restored,
    keys: Arc<Keys>,
    contacts: Arc<Contacts>,
    links: Arc<Linkbook>,
    history: History,
    spool_origin: [u8; 8],
}

impl Opened {
    fn open(mut home: Home) -> Result<Self, NodeError> {
        let key = home.identity()?.row_key();
        let (mut store, mut restored) = Store::open(&home.store_dir(), key)?;
        home.refresh()?;
        store.seal_content(home.has_passphrase());
        let keys = Arc::new(Keys::new(home.clone())?);
        let identity = keys.identity();
        let handle = store.handle();
        let meta = handle.meta();
        let links = Arc::new(Linkbook::load(meta.clone())?);
        end_old_sessions(&mut store, &meta, &identity, &mut restored)?;
        cards::own(&meta, &identity, home.name(), &links.relays())?;
        Ok(Self {
            contacts: Arc::new(Contacts::load(meta.clone(), identity.person())?),
            history: History::load(&meta)?,
            spool_origin: spool_origin(&meta)?,
            home,
            store,
            handle,
            restored,
            keys,
            links,
        })
    }
}

/// Marks this node's batches in folders: random, so that a folder that is found tells nobody whose it was.
fn spool_origin(meta: &Meta) -> Result<[u8; 8], NodeError> {
    const KEY: &str = "spool-origin";
    if let Some(origin) = meta.get(KEY)?.and_then(|b| b.try_into().ok()) {
        return Ok(origin);
    }
    let mut origin = [0; 8];
    origin.copy_from_slice(&random()?[..8]);
    meta.put(KEY, &origin)?;
    Ok(origin)
}

fn random() -> Result<zeroize::Zeroizing<[u8; 32]>, NodeError> {
    random32().map_err(NodeError::random)
}

/// The socket that dials, and the one that listens. Apart, since one that listens on one address only could
/// not dial everywhere.
fn endpoints(
    options: &Options,
    secret: &LinkSecret,
) -> Result<(Option<QuicEndpoint>, Option<QuicEndpoint>), NodeError> {
    if !options.online {
        return Ok((None, None));
    }
    let guests = endpoint_options(options.control);
    let dialer = bind_any(0, secret, EndpointOptions::default())?;
    let listener = match options.listen {
        Listen::Off => None,
        Listen::Default => Some(bind_any(DEFAULT_PORT, secret, guests)?),
        Listen::At(address) => Some(QuicEndpoint::bind(address, secret, guests)?),
    };
    Ok((Some(dialer), listener))
}

/// Of an endpoint whose guests get so much.
pub(super) fn endpoint_options(control: RateControl) -> EndpointOptions {
    EndpointOptions {
        settings: QuicSettings {
            congestion: control.into(),
            ..QuicSettings::default()
        },
        ..EndpointOptions::default()
    }
}

/// Binds all addresses; those of IPv4 alone where the system has no IPv6.
pub(super) fn bind_any(
    port: u16,
    secret: &LinkSecret,
    options: EndpointOptions,
) -> Result<QuicEndpoint, NodeError> {
    let six = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    match QuicEndpoint::bind(six, secret, options.clone()) {
        Ok(endpoint) => Ok(endpoint),
        Err(_) => Ok(QuicEndpoint::bind(four, secret, options)?),
    }
}

/// Hands connections of known endpoints to the driver.
async fn admit(
    mut listener: PeerListener,
    knock: mpsc::Sender<Incoming>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let incoming = tokio::select! {
            () = stopped(&mut stop) => return,
            incoming = listener.next() => incoming,
        };
        let Some(incoming) = incoming else { return };
        if knock.send(incoming).await.is_err() {
            return;
        }
    }
}

/// Puts engine, lanes and links together and starts the driver.
fn assemble(
    opened: Opened,
    options: &Options,
    dialer: Option<QuicEndpoint>,
    (incoming, errands): (mpsc::Receiver<Incoming>, mpsc::Sender<Errand>),
    stopped: watch::Receiver<bool>,
) -> Result<(Service, JoinHandle<()>), NodeError> {
    let mut store = opened.store;
    let config = Config {
        identity: opened.home.identity()?,
        limits: options.limits.clone(),
        seed: *random()?,
        restored: opened.restored,
    };
    let engine = Engine::new(config, Time(0))?;
    sweep(&mut store, &engine);
    let (lanes, done) = Lanes::start(store).map_err(|source| NodeError::System {
        what: "a thread",
        source,
    })?;
    let (events_in, events) = mpsc::channel(EVENTS);
    let (commands_in, commands) = mpsc::channel(COMMANDS);
    let driver = Driver {
        engine,
        start: Instant::now(),
        links: Links::new(
            opened.keys.identity(),
            opened.contacts.clone(),
            opened.spool_origin,
            dialer,
            options.control,
            events_in,
        ),
        lanes,
        history: opened.history,
        contacts: opened.contacts.clone(),
        spool_origin: opened.spool_origin,
        errands,
        running: options.online,
        sends: BTreeMap::new(),
        next_request: 1,
        invites: Pending::default(),
        wake: (None, Why::Idle),
        store_failing: None,
        export: None,
        import: None,
        next_courier: FIRST_COURIER,
    };
    let sources = Sources {
        commands,
        events,
        incoming,
        done,
    };
    let driver = start(driver, sources, &opened.contacts, &opened.links, stopped);
    let service = Service(Arc::new(Inner {
        handle: opened.handle,
        keys: opened.keys.clone(),
        name: opened.home.name().to_owned(),
        limits: options.limits.clone(),
        contacts: opened.contacts,
        links: opened.links,
        commands: commands_in,
        settings: tokio::sync::Mutex::new(()),
    }));
    Ok((service, driver))
}

/// Tells the engine whom we know, starts the links, and lets it run.
fn start(
    mut driver: Driver,
    sources: Sources,
    contacts: &Contacts,
    links: &Linkbook,
    stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    for sent in driver.engine.status(Time(0)).outbound {
        driver
            .history
            .begin(sent.message, sent.to, status::outbound(&sent, contacts));
    }
    tell_of_strangers(&mut driver, contacts);
    for (person, stored) in contacts.standings.list() {
        driver.feed(Input::Standing(person, stored.standing()));
    }
    let own = contacts.own();
    let largest = own.as_ref().and_then(|card| card.body().largest);
    driver.feed(Input::Largest(largest));
    let own = own.filter(|_| contacts.has_siblings());
    for card in contacts.list().into_iter().chain(own) {
        driver.feed(Input::Card(Box::new(card)));
    }
    for record in links.list() {
        if let Some(input) = driver.links.start(record) {
            driver.feed(input);
        }
    }
    tokio::spawn(driver.run(sources, stopped))
}

/// Tells the engine who has written and is no contact, and whose invitations are to be used.
fn tell_of_strangers(driver: &mut Driver, contacts: &Contacts) {
    match contacts.strangers.are_let_in() {
        Ok(open) => driver.feed(Input::Strangers(open)),
        Err(error) => tracing::warn!(%error, "whether strangers are let in is not known"),
    }
    for (person, standing, card) in contacts.strangers.standings() {
        if contacts.get(person).is_none() {
            driver.feed(Input::Standing(person, standing));
            if let Some(card) = card {
                driver.feed(Input::Card(Box::new(card)));
            }
        }
    }
    match contacts.tickets.list() {
        Ok(tickets) => tickets
            .into_iter()
            .for_each(|(person, ticket)| driver.feed(Input::Ticket(person, ticket))),
        Err(error) => tracing::warn!(%error, "invitations of others do not read"),
    }
}

/// Removes bulk files that a crash has left without a message.
fn sweep(store: &mut Store, engine: &Engine) {
    let wanted = |file: crate::engine::io::FileId| engine.wants(&file);
    match store.sweep(wanted) {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "removed files that nothing needs"),
        Err(error) => tracing::warn!(%error, "cannot look for files that nothing needs"),
    }
}
