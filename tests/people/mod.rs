//! People with homes on real disks, whose nodes run within a test. A test names its own patience.
#![allow(
    dead_code,
    reason = "each test binary uses its part of what people can do"
)]

use crate::PATIENCE;
use data_encoding::BASE64;
use ostrakon::node::api::{InboxEntry, LinkConfig, Request, Response, SendRequest, StatusReport};
use ostrakon::node::{Client, Home, Joining, Listen, Node, Options};
use ostrakon::security::enrolment::Code;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Waits until `look` finds something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Bytes that neither repeat nor compress.
pub fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut out = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[seed]).finalize_xof().fill(&mut out);
    out
}

/// A link with nothing but an address, to a person or to whoever is there.
pub fn link(name: &str, uri: String, person: Option<&str>) -> LinkConfig {
    LinkConfig {
        name: name.into(),
        uri,
        person: person.map(str::to_owned),
        rate_bps: None,
        rtt_ms: None,
        mtu: None,
        cost: 0,
        oneway: None,
        loss_percent: None,
        control: None,
    }
}

/// A message of a text and a file.
pub fn text_and_file(person: &str, text: &str, file: &Path) -> SendRequest {
    SendRequest {
        person: person.into(),
        text: Some(text.into()),
        files: vec![file.to_owned()],
        ..SendRequest::default()
    }
}

/// A message of a text.
pub fn text(person: &str, text: &str) -> SendRequest {
    SendRequest {
        person: person.into(),
        text: Some(text.into()),
        ..SendRequest::default()
    }
}

/// A person with a home, whose node may run.
pub struct Someone {
    _dir: TempDir,
    pub home: PathBuf,
    pub node: Option<Node>,
}

impl Someone {
    pub fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        Home::create(&home, name).unwrap();
        let node = None;
        Self {
            _dir: dir,
            home,
            node,
        }
    }

    /// A place where there is no home yet.
    pub fn nowhere() -> Self {
        let someone = Self::new("Nobody");
        std::fs::remove_dir_all(&someone.home).unwrap();
        someone
    }

    /// Asks this device for what another one with this code needs.
    pub async fn sealed_for(&self, code: &Code) -> Vec<u8> {
        let code = code.to_text();
        match self.ask(Request::DeviceAdd { code }).await {
            Response::Enrolled { sealed, .. } => BASE64.decode(sealed.as_bytes()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Another device of the same person, enrolled by a file.
    pub async fn another_device(&self) -> Self {
        let place = Self::nowhere();
        let joining = Joining::begin(&place.home, None).unwrap();
        let bytes = self.sealed_for(&joining.code(vec![])).await;
        joining.finish(&bytes, None).unwrap();
        place
    }

    /// Adds a link to the node of somebody, which listens.
    pub async fn connect(&self, name: &str, to: &Self, person: &str) {
        let uri = format!("quic://{}", to.node.as_ref().unwrap().listening().unwrap());
        self.done(Request::LinkAdd(link(name, uri, Some(person))))
            .await;
    }

    pub async fn run(&mut self, listen: Listen) {
        let options = Options {
            listen,
            ..Options::default()
        };
        let home = Home::open(&self.home).unwrap();
        self.node = Some(Node::start(home, options).await.unwrap());
    }

    /// As the command line asks.
    pub async fn ask(&self, request: Request) -> Response {
        let mut client = Client::connect_or_open(&self.home).await.unwrap();
        assert_eq!(client.is_running(), self.node.is_some());
        let response = client.ask(request).await.unwrap();
        client.close().await;
        response
    }

    pub async fn done(&self, request: Request) {
        assert_eq!(self.ask(request).await, Response::Done);
    }

    /// The card, and the address of the mailbox.
    pub async fn card(&self) -> (String, String) {
        match self.ask(Request::Card).await {
            Response::Card { text, mailbox, .. } => (text, mailbox),
            other => panic!("{other:?}"),
        }
    }

    pub async fn knows(&self, other: &Self) {
        let (card, _) = other.card().await;
        let added = self.ask(Request::PersonAdd { card }).await;
        assert!(matches!(added, Response::Person(_)), "{added:?}");
    }

    pub async fn send(&self, request: SendRequest) -> String {
        match self.ask(Request::Send(request)).await {
            Response::Queued { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    pub async fn inbox(&self) -> Vec<InboxEntry> {
        match self.ask(Request::Inbox).await {
            Response::Inbox { messages } => messages,
            other => panic!("{other:?}"),
        }
    }

    pub async fn status(&self) -> StatusReport {
        match self.ask(Request::Status).await {
            Response::Status(report) => report,
            other => panic!("{other:?}"),
        }
    }

    pub async fn received(&self, message: &str) -> InboxEntry {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut inbox = self.inbox().await.into_iter();
            if let Some(entry) = inbox.find(|e| e.message == message && e.complete) {
                return entry;
            }
            if Instant::now() > end {
                panic!("not received: {:#?}", self.status().await);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn has_receipt(&self, message: &str) -> bool {
        let report = self.status().await;
        let mut sent = report.outbound.iter();
        sent.any(|o| o.message == message && o.complete)
    }

    pub async fn receipt(&self, message: &str) {
        let done = async || self.has_receipt(message).await.then_some(());
        until("a receipt", done).await;
    }

    pub async fn saved(&self, message: &str, dir: &Path) -> Vec<PathBuf> {
        let (message, dir) = (message.to_owned(), dir.to_owned());
        match self.ask(Request::Save { message, dir }).await {
            Response::Saved { files } => files,
            other => panic!("{other:?}"),
        }
    }
}
