//! The client's side of a relay: a link.

use super::mailbox::MailboxOwner;
use super::record::{
    ClientRecord, GrantAnswer, Record, RecordError, RecordReader, RelayRecord, Run, VERSION,
    WITHOUT_GRANTS,
};
use super::upstream::{Settlements, Upstream};
use crate::keys::LinkKey;
use crate::quic::{
    ALPN_RELAY, Backoff, CloseCode, DialError, Gone, LinkIo, Outlet, PeerSpec, QuicEndpoint,
    QuicSettings, dial, explain, rtt_moved,
};
use crate::{
    Direction, EventSender, LinkEvent, LinkHandle, LinkId, LinkKind, LinkOrder, LinkProfile,
};
use bytes::{Bytes, BytesMut};
use quinn::{Connection, SendStream};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// The frame size of a relay link, in bytes.
///
/// Streams have no frame size of their own, so this is a choice: a frame is stored whole, and whoever carries
/// it on, in one datagram over an ordinary path of 1500 bytes, shall not have to cut it up.
pub const RELAY_MTU: usize = 1400;

/// How often the profile is looked at.
const PROFILE_LOOK: Duration = Duration::from_secs(1);
/// What the relay said of frames and the sending half has not taken yet, in records.
const SETTLED_AHEAD: usize = 16;
/// A link that was up this long begins its next search with the shortest wait.
const STEADY: Duration = Duration::from_secs(5);

/// Which relay to use, and which mailbox of it.
#[derive(Clone, Debug)]
pub struct RelaySpec {
    /// `host:port` or `address:port`. The name is resolved anew for every attempt.
    pub address: String,
    /// The key that the relay has to prove.
    pub key: LinkKey,
    /// The link's settings.
    pub settings: QuicSettings,
    /// The mailbox to fetch from; without one the link only sends.
    pub mailbox: Option<MailboxOwner>,
    /// Grants to show to the relay, at most [`MAX_GRANTS`](super::MAX_GRANTS). What it does not take is told in
    /// [`LinkProfile::notice`].
    pub grants: Vec<Bytes>,
    /// Where to say what became of each frame, for who has to keep it until the relay does. What is not settled when
    /// the link goes down may have been stored or not.
    pub settlements: Option<Settlements>,
}

/// The client of a relay.
#[derive(Debug)]
pub struct RelayClient;

impl RelayClient {
    /// Starts a link to the relay that `spec` names; it dials for ever, as often as it is lost.
    ///
    /// Frames count as sent when they are written; those that the relay refused to store are counted as
    /// refused. Frames that the relay had not stored when a connection died are lost to this link.
    ///
    /// Must be called within a tokio runtime.
    pub fn spawn(
        link: LinkId,
        spec: RelaySpec,
        endpoint: &QuicEndpoint,
        events: EventSender,
    ) -> LinkHandle {
        let (mut io, handle) = LinkIo::new(link, events);
        let endpoint = endpoint.clone();
        tokio::spawn(async move {
            let Gone = keep_dialling(&mut io, &endpoint, &spec).await;
            tracing::debug!(link = io.id().0, "the relay link was dropped");
        });
        handle
    }
}

async fn keep_dialling(io: &mut LinkIo, endpoint: &QuicEndpoint, spec: &RelaySpec) -> Gone {
    let peer = PeerSpec {
        address: spec.address.clone(),
        key: spec.key,
        others: Vec::new(),
        number: 0,
        settings: spec.settings.clone(),
    };
    let mut backoff = Backoff::default();
    for attempt in 0.. {
        let limit = spec.settings.connect_timeout;
        let opened = timeout(limit, async {
            let connection = dial(endpoint, &peer, ALPN_RELAY, attempt).await?;
            Mailbox::open(connection, spec).await
        });
        let outcome = match io.while_down(opened).await {
            Err(gone) => return gone,
            Ok(outcome) => outcome.unwrap_or(Err(DialError::NoAnswer(limit))),
        };
        let begun = Instant::now();
        let reason = match outcome {
            Ok(mailbox) => mailbox.carry(io, spec).await,
            Err(error) => Ok(error.to_string()),
        };
        if begun.elapsed() >= STEADY {
            backoff.reset();
        }
        let waited = async {
            io.down(reason?).await?;
            io.while_down(tokio::time::sleep(backoff.wait())).await
        };
        if let Err(gone) = waited.await {
            return gone;
        }
    }
    Gone
}

/// A connection to a relay that took the hello and the proof.
struct Mailbox {
    connection: Connection,
    stream: SendStream,
    reader: RecordReader,
    welcome: Welcome,
}

/// What the relay said first.
struct Welcome {
    /// The largest frame that it stores.
    largest: usize,
    /// Why it does not take a grant.
    refused: Option<GrantAnswer>,
}

impl Mailbox {
    async fn open(connection: Connection, spec: &RelaySpec) -> Result<Self, DialError> {
        let greeted = greet(&connection, spec).await;
        match greeted {
            Some((stream, reader, welcome)) => Ok(Self {
                connection,
                stream,
                reader,
                welcome,
            }),
            None => {
                let lost = connection.close_reason();
                CloseCode::BadHello.close(&connection);
                Err(lost.map_or(DialError::BadHello, DialError::Lost))
            }
        }
    }

    /// Says `Up` and carries frames until the connection is lost, which the text explains.
    async fn carry(self, io: &mut LinkIo, spec: &RelaySpec) -> Result<String, Gone> {
        let Self {
            connection,
            stream,
            reader,
            welcome,
        } = self;
        let mut profile = LinkProfile {
            kind: LinkKind::Relay,
            mtu: RELAY_MTU.min(welcome.largest),
            rate_bps: spec.settings.rate_bps,
            rtt: Some(connection.rtt()),
            direction: match spec.mailbox {
                Some(_) => Direction::Both,
                None => Direction::SendOnly,
            },
            store_and_forward: true,
            peer_key: Some(spec.key.0),
            notice: welcome.refused.map(GrantAnswer::advice),
        };
        let outcome = match io.up(profile.clone()).await {
            Err(gone) => Err(gone),
            Ok(()) => {
                let LinkIo { outlet, orders, .. } = io;
                let (settle, settled) = mpsc::channel(SETTLED_AHEAD);
                let upstream = Upstream::new(&connection, stream, profile.mtu);
                let told = spec.settlements.as_ref();
                tokio::select! {
                    ended = send(outlet, orders, upstream, settled, told) => ended,
                    ended = receive(outlet, &connection, reader, settle) => ended,
                    gone = watch_profile(outlet, &connection, &mut profile) => Err(gone),
                }
            }
        };
        let close = match outcome {
            Ok(Ended::BadRecord) => CloseCode::BadRecord,
            _ => CloseCode::Done,
        };
        let lost = connection.close_reason();
        close.close(&connection);
        outcome.map(|ended| match (ended, lost) {
            (Ended::BadRecord, _) => "the relay broke the protocol (compare the versions)".into(),
            (Ended::Lost, Some(reason)) => explain(&reason),
            (Ended::Lost, None) => "the relay ended the stream (it is dialled again)".into(),
        })
    }
}

async fn greet(
    connection: &Connection,
    spec: &RelaySpec,
) -> Option<(SendStream, RecordReader, Welcome)> {
    let (mut stream, recv) = connection.open_bi().await.ok()?;
    let mut out = BytesMut::new();
    let spoken = match spec.grants.is_empty() {
        true => WITHOUT_GRANTS,
        false => VERSION,
    };
    let mut written = ClientRecord::Hello { version: spoken }.write(&mut out);
    for grant in &spec.grants {
        written &= ClientRecord::Grant(grant.clone()).write(&mut out);
    }
    if let Some(owner) = &spec.mailbox {
        written &= ClientRecord::Open(owner.prove(connection)?).write(&mut out);
    }
    if !written {
        return None;
    }
    stream.write_all(&out).await.ok()?;
    let mut reader = RecordReader::new(recv);
    let largest = match reader.next().await.ok()? {
        RelayRecord::Welcome { version, largest }
            if version == spoken && usize::from(largest) >= crate::MIN_MTU =>
        {
            usize::from(largest)
        }
        _ => return None,
    };
    let mut refused = None;
    for _ in &spec.grants {
        match reader.next().await.ok()? {
            RelayRecord::Granted(GrantAnswer::Taken) => {}
            RelayRecord::Granted(why) => refused = refused.or(Some(why)),
            _ => return None,
        }
    }
    if spec.mailbox.is_some() && reader.next().await != Ok(RelayRecord::Opened) {
        return None;
    }
    Some((stream, reader, Welcome { largest, refused }))
}

/// Why carrying ended.
enum Ended {
    Lost,
    BadRecord,
}

/// Takes the relay's records: held frames to the owner, fates to the sending half.
async fn receive(
    outlet: &Outlet,
    connection: &Connection,
    mut reader: RecordReader,
    settle: mpsc::Sender<Vec<Run>>,
) -> Result<Ended, Gone> {
    loop {
        let record = tokio::select! {
            record = reader.next() => record,
            datagram = connection.read_datagram() => match datagram {
                Ok(_) => return Ok(Ended::BadRecord),
                Err(_) => return Ok(Ended::Lost),
            },
        };
        match record {
            Ok(RelayRecord::Settled(runs)) => {
                // The other half ends only together with this one.
                let _ = settle.send(runs).await;
            }
            Ok(RelayRecord::Held { number, frame }) => {
                // A copy, because the frame is a slice of the read buffer, all of which it would hold.
                let frame = Bytes::copy_from_slice(&frame);
                outlet.count(|c| {
                    c.received_frames += 1;
                    c.received_bytes += frame.len() as u64;
                });
                let custody = Some(number);
                outlet.tell(LinkEvent::Received { frame, custody }).await?;
            }
            Ok(_) | Err(RecordError::Unknown { .. }) => {
                outlet.count(|c| c.garbage += 1);
                return Ok(Ended::BadRecord);
            }
            Err(RecordError::Ended) => return Ok(Ended::Lost),
        }
    }
}

/// Gives credit, writes frames and releases, and keeps account of what the relay has not stored yet.
async fn send(
    outlet: &Outlet,
    orders: &mut mpsc::Receiver<LinkOrder>,
    mut upstream: Upstream<'_>,
    mut settled: mpsc::Receiver<Vec<Run>>,
    told: Option<&Settlements>,
) -> Result<Ended, Gone> {
    let mut batch = Vec::new();
    loop {
        let due = upstream.due();
        tokio::select! {
            slot = outlet.slot(), if due > 0 => {
                slot?.fill(LinkEvent::Ready(due));
                upstream.gave(due);
            }
            taken = orders.recv_many(&mut batch, 64) => {
                if taken == 0 {
                    return Err(Gone);
                }
                if upstream.write(outlet, batch.drain(..)).await.is_err() {
                    return Ok(Ended::Lost);
                }
            }
            Some(runs) = settled.recv() => {
                let Some(fates) = upstream.settle(outlet, &runs) else {
                    return Ok(Ended::BadRecord);
                };
                if let Some(told) = told {
                    told.send(fates).await.map_err(|_| Gone)?;
                }
            }
        }
    }
}

/// Tells of a round-trip time that moved.
async fn watch_profile(
    outlet: &Outlet,
    connection: &Connection,
    profile: &mut LinkProfile,
) -> Gone {
    let mut look = interval(PROFILE_LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.tick().await;
    loop {
        look.tick().await;
        let rtt = connection.rtt();
        if rtt_moved(profile.rtt, rtt) {
            profile.rtt = Some(rtt);
            if let Err(gone) = outlet.tell(LinkEvent::Changed(profile.clone())).await {
                return gone;
            }
        }
    }
}
