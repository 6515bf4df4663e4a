//! Grants and pace at a relay, over real sockets on the loopback interface. Who grants what the test decides; how it
//! travels, what is said of frames and who waits is the real thing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "relay_store/mod.rs"]
mod relay_store;

use bytes::Bytes;
use ostrakon_transports::keys::LinkSecret;
use ostrakon_transports::quic::{EndpointOptions, QuicEndpoint, QuicSettings};
use ostrakon_transports::relay::{
    Fate, GrantAnswer, MailboxOwner, MailboxTag, RelayClient, RelayLimits, RelaySpec, mailbox_tag,
};
use ostrakon_transports::{LinkEvent, LinkHandle, LinkId, LinkOrder};
use relay_store::{PATIENCE, Relay, Rules, WAIT, enveloped};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeroize::Zeroizing;

fn endpoint(seed: u8) -> QuicEndpoint {
    let any = "127.0.0.1:0".parse().unwrap();
    let secret = LinkSecret::from_seed([seed; 32]);
    QuicEndpoint::bind(any, &secret, EndpointOptions::default()).unwrap()
}

/// A grant of the tests: whose, and for which tag.
fn grant(holder: &QuicEndpoint, tag: MailboxTag) -> Bytes {
    [&holder.key().0[..], &tag].concat().into()
}

struct Sender {
    handle: LinkHandle,
    events: mpsc::Receiver<(LinkId, LinkEvent)>,
    settled: mpsc::Receiver<Vec<(u64, Fate)>>,
    notice: Option<&'static str>,
    received: usize,
}

impl Sender {
    async fn connect(
        relay: &Relay,
        endpoint: &QuicEndpoint,
        grants: Vec<Bytes>,
        mailbox: Option<MailboxOwner>,
    ) -> Self {
        let (sender, events) = mpsc::channel(512);
        let (told, settled) = mpsc::channel(64);
        let spec = RelaySpec {
            address: relay.endpoint.local_addr().unwrap().to_string(),
            key: relay.endpoint.key(),
            settings: QuicSettings::default(),
            mailbox,
            grants,
            settlements: Some(told),
        };
        let mut client = Self {
            handle: RelayClient::spawn(LinkId(1), spec, endpoint, sender),
            events,
            settled,
            notice: None,
            received: 0,
        };
        while client.step().await == 0 {}
        client
    }

    /// Takes an event, and says how many frames there is room for.
    async fn step(&mut self) -> usize {
        let event = timeout(PATIENCE, self.events.recv()).await;
        match event.expect("no event in time").expect("the task ended").1 {
            LinkEvent::Ready(count) => return count,
            LinkEvent::Up(profile) => self.notice = profile.notice,
            LinkEvent::Received { .. } => self.received += 1,
            LinkEvent::Down(reason) => panic!("{reason}"),
            LinkEvent::Changed(_) => {}
        }
        0
    }

    /// What became of frames for these tags, which there is room for.
    async fn fates(&mut self, tags: &[MailboxTag]) -> Vec<Fate> {
        for (number, tag) in (1..).zip(tags) {
            let frame = enveloped(*tag, &[number]);
            let tag = u64::from(number);
            let order = LinkOrder::Transmit { frame, tag };
            self.handle.orders.try_send(order).unwrap();
        }
        let mut fates = Vec::new();
        while fates.len() < tags.len() {
            let settled = timeout(PATIENCE, self.settled.recv()).await;
            fates.extend(settled.unwrap().unwrap().into_iter().map(|(_, fate)| fate));
        }
        fates
    }
}

/// A relay that wants grants stores what was granted and says of the rest that it is not; who fetches needs none, and
/// who shows one that does not count is told why, and keeps the link.
#[tokio::test]
async fn what_was_granted_is_stored_and_the_rest_is_named() {
    let rules = Rules {
        granted_only: true,
        ..Rules::default()
    };
    let relay = Relay::with(RelayLimits::default(), rules);
    let (alice, eve, bob) = (endpoint(1), endpoint(2), endpoint(3));
    let mailbox = MailboxOwner::from_seed(Zeroizing::new([22; 32]));
    let tag = mailbox_tag(&mailbox.public_key(), 0);
    let other = [9; 8];

    let mut owner = Sender::connect(&relay, &bob, vec![], Some(mailbox)).await;
    let grants = vec![grant(&alice, [7; 8]), grant(&alice, tag)];
    let mut granted = Sender::connect(&relay, &alice, grants, None).await;
    let fates = granted.fates(&[tag, other, [7; 8]]).await;
    assert_eq!(fates, [Fate::Stored, Fate::NotGranted, Fate::Stored]);
    assert_eq!(granted.notice, None);
    while owner.received == 0 {
        owner.step().await;
    }

    // A grant that was overheard says who holds it.
    let mut thief = Sender::connect(&relay, &eve, vec![grant(&alice, tag)], None).await;
    assert_eq!(thief.fates(&[tag]).await, [Fate::NotGranted]);
    let told = GrantAnswer::Holder.advice();
    assert_eq!(thief.notice, Some(told));
    let mut bare = Sender::connect(&relay, &eve, vec![], None).await;
    assert_eq!(bare.fates(&[tag]).await, [Fate::NotGranted]);
    assert_eq!((relay.held(), relay.server.counters().refused), (2, 3));
}

/// Who shows a grant where none is wanted is served as ever.
#[tokio::test]
async fn an_open_relay_takes_frames_of_all() {
    let relay = Relay::start(RelayLimits::default());
    let alice = endpoint(1);
    for grants in [vec![], vec![grant(&alice, [7; 8])]] {
        let mut client = Sender::connect(&relay, &alice, grants, None).await;
        assert_eq!(client.fates(&[[9; 8]]).await, [Fate::Stored]);
    }
}

/// What comes too fast waits, and is neither lost nor refused.
#[tokio::test]
async fn the_fast_wait_and_lose_nothing() {
    let rules = Rules {
        wait_after: Some(2),
        ..Rules::default()
    };
    let relay = Relay::with(RelayLimits::default(), rules);
    let mut client = Sender::connect(&relay, &endpoint(1), vec![], None).await;
    let begun = Instant::now();
    let fates = client.fates(&[[9; 8]; 6]).await;
    assert_eq!(fates, [Fate::Stored; 6]);
    assert!(begun.elapsed() >= WAIT * 4, "{:?}", begun.elapsed());
    assert_eq!(relay.held(), 6);
}
