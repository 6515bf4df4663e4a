//! The task of one QUIC link.
//!
//! ```text
//!   dialling:   wait <--- failed, lost ---+        accepted, with a hello:   up ---> down, over
//!                |                        |
//!                +----> race, hello ----> up
//! ```

use super::Backoff;
use super::accept::Greeted;
use super::close::{CloseCode, explain};
use super::controller::{bell, pace};
use super::dial::{DialError, PeerSpec};
use super::endpoint::QuicEndpoint;
use super::io::{Gone, LinkIo, Outlet};
use super::profile::{ProfileWatch, Reading};
use super::race::race;
use super::settings;
use super::silence::{BEAT, News, Silence, UNHEARD};
use super::tls::ALPN_PEER;
use super::valve::{MAX_CREDIT, Valve};
use crate::keys::LinkKey;
use crate::{EventSender, LinkCounters, LinkEvent, LinkHandle, LinkId, LinkOrder};
use bytes::Bytes;
use quinn::{Connection, SendDatagramError, SendStream};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, sleep_until, timeout};

/// What a hello begins with: magic and version.
const MAGIC: [u8; 9] = *b"ostrakon\x02";
/// Bytes of a hello.
pub const HELLO: usize = MAGIC.len() + 4;

/// The hello of a link: magic, version, and the number that the dialling side has given the link, by which several between the
/// same two are told apart. Said by the dialling side and answered alike.
pub fn hello(number: u32) -> [u8; HELLO] {
    let mut hello = [0; HELLO];
    let (magic, end) = hello.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&MAGIC);
    end.copy_from_slice(&number.to_be_bytes());
    hello
}

/// The number in a hello, if it is one.
fn number_of(said: [u8; HELLO]) -> Option<u32> {
    let end = said.strip_prefix(&MAGIC)?;
    Some(u32::from_be_bytes(end.try_into().ok()?))
}
/// How often the profile is looked at beside the traffic.
pub const PROFILE_LOOK: Duration = Duration::from_millis(500);
/// A link that was up this long begins its next search with the shortest wait.
pub const STEADY: Duration = Duration::from_secs(5);

impl QuicEndpoint {
    /// Starts a link that dials `peer` for ever, as often as it is lost.
    ///
    /// Must be called within a tokio runtime.
    pub fn connect(&self, link: LinkId, peer: PeerSpec, events: EventSender) -> LinkHandle {
        let (mut io, handle) = LinkIo::new(link, events);
        let endpoint = self.clone();
        tokio::spawn(async move {
            let Gone = keep_dialling(&mut io, &endpoint, &peer).await;
            tracing::debug!(link = io.id().0, "the link was dropped");
        });
        handle
    }
}

async fn keep_dialling(io: &mut LinkIo, endpoint: &QuicEndpoint, spec: &PeerSpec) -> Gone {
    let mut backoff = Backoff::default();
    for attempt in 0.. {
        let limit = spec.settings.connect_timeout;
        let dialled = timeout(limit, race(endpoint, spec, ALPN_PEER, attempt));
        let outcome = match io.while_down(dialled).await {
            Err(gone) => return gone,
            Ok(outcome) => outcome.unwrap_or(Err(DialError::NoAnswer(limit))),
        };
        let begun = Instant::now();
        let reason = match outcome {
            Ok((connection, key)) => carry(io, &connection, key, spec.settings.rate_bps).await,
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

/// Says hello, and hears the answer.
pub(super) async fn greet(connection: &Connection, number: u32) -> Result<(), DialError> {
    match say_hello(connection, number).await {
        Some(()) => Ok(()),
        None => {
            let lost = connection.close_reason();
            CloseCode::BadHello.close(connection);
            Err(lost.map_or(DialError::BadHello, DialError::Lost))
        }
    }
}

async fn say_hello(connection: &Connection, number: u32) -> Option<()> {
    let (mut send, mut recv) = connection.open_bi().await.ok()?;
    send.write_all(&hello(number)).await.ok()?;
    send.finish().ok()?;
    let mut answer = [0; HELLO];
    recv.read_exact(&mut answer).await.ok()?;
    (answer == hello(number)).then_some(())
}

/// Hears the hello of who has dialled. Gives where it is to be answered, and the number of the link.
pub(super) async fn hear_hello(connection: &Connection) -> Option<(SendStream, u32)> {
    let (send, mut recv) = connection.accept_bi().await.ok()?;
    let mut said = [0; HELLO];
    recv.read_exact(&mut said).await.ok()?;
    Some((send, number_of(said)?))
}

/// Starts the link of a connection that has said hello, with the answer, which has so long to leave.
pub(super) fn serve(
    link: LinkId,
    mut greeted: Greeted,
    limit: Duration,
    rate_bps: Option<u64>,
    events: EventSender,
) -> LinkHandle {
    let (mut io, handle) = LinkIo::new(link, events);
    tokio::spawn(async move {
        let Greeted {
            connection,
            key,
            number,
            stream,
        } = &mut greeted;
        let answer = timeout(limit, answer_hello(stream, *number));
        let served = async {
            // Who gives no room for the answer holds nothing up.
            let reason = match io.while_down(answer).await? {
                Ok(Some(())) => carry(&mut io, connection, *key, rate_bps).await?,
                _ => "the peer did not take the hello".to_owned(),
            };
            CloseCode::BadHello.close(connection);
            io.down(reason).await
        };
        if let Err(Gone) = served.await {
            CloseCode::Done.close(connection);
        }
    });
    handle
}

async fn answer_hello(stream: &mut SendStream, number: u32) -> Option<()> {
    stream.write_all(&hello(number)).await.ok()?;
    stream.finish().ok()
}

/// Says `Up` and carries frames until the connection is lost, which the text explains.
async fn carry(
    io: &mut LinkIo,
    connection: &Connection,
    peer: LinkKey,
    rate_bps: Option<u64>,
) -> Result<String, Gone> {
    let now = Instant::now().into_std();
    let first = ProfileWatch::new(Reading::of(connection), peer.0, rate_bps, now);
    let mut profile = match first {
        Ok(profile) => profile,
        Err(reason) => {
            CloseCode::Done.close(connection);
            return Ok(reason);
        }
    };
    let outcome = match io.up(profile.told().clone()).await {
        Err(gone) => Err(gone),
        Ok(()) => {
            let LinkIo { outlet, orders, .. } = io;
            tokio::select! {
                ended = send_frames(outlet, orders, connection, &mut profile) => ended,
                ended = receive_frames(outlet, connection) => ended,
            }
        }
    };
    CloseCode::Done.close(connection);
    outcome
}

/// Frames that are counted together, when nothing else is to be done: whoever counts wakes those who look.
#[derive(Default)]
struct Tally {
    frames: u64,
    bytes: u64,
}

impl Tally {
    fn add(&mut self, frame: usize) {
        self.frames += 1;
        self.bytes += frame as u64;
    }

    fn count(&mut self, outlet: &Outlet, to: fn(&mut LinkCounters) -> (&mut u64, &mut u64)) {
        let Self { frames, bytes } = std::mem::take(self);
        outlet.count(|counters| {
            let (all_frames, all_bytes) = to(counters);
            (*all_frames, *all_bytes) = (*all_frames + frames, *all_bytes + bytes);
        });
    }
}

fn received(counters: &mut LinkCounters) -> (&mut u64, &mut u64) {
    (&mut counters.received_frames, &mut counters.received_bytes)
}

fn sent(counters: &mut LinkCounters) -> (&mut u64, &mut u64) {
    (&mut counters.sent_frames, &mut counters.sent_bytes)
}

/// Hands every datagram that arrives to the owner.
async fn receive_frames(outlet: &Outlet, connection: &Connection) -> Result<String, Gone> {
    let mut came = Tally::default();
    loop {
        let datagram = tokio::select! {
            biased;
            datagram = connection.read_datagram() => datagram,
            () = std::future::ready(()), if came.frames > 0 => {
                came.count(outlet, received);
                continue;
            }
        };
        let datagram = match datagram {
            Ok(datagram) => datagram,
            Err(error) => {
                came.count(outlet, received);
                return Ok(explain(&error));
            }
        };
        // The far side asks for a sign, which it gets with the acknowledgement.
        if datagram.is_empty() {
            continue;
        }
        came.add(datagram.len());
        let event = LinkEvent::Received {
            frame: datagram,
            custody: None,
        };
        outlet.tell(event).await?;
    }
}

/// Gives credit, takes frames, and watches the path.
async fn send_frames(
    outlet: &Outlet,
    orders: &mut mpsc::Receiver<LinkOrder>,
    connection: &Connection,
    profile: &mut ProfileWatch,
) -> Result<String, Gone> {
    let space = || connection.datagram_send_buffer_space();
    let mut valve = Valve::new(space(), profile.told().mtu, Instant::now().into_std());
    let mut look = tokio::time::interval(PROFILE_LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silence = Silence::new(Instant::now().into_std());
    let mut beats = true;
    let mut batch = Vec::with_capacity(MAX_CREDIT);
    let mut changed = None;
    let mut left = None;
    loop {
        let mut look_now = false;
        let due = valve.due(space());
        let pause = if due == 0 { valve.look_again() } else { None };
        let again = Instant::now() + pause.unwrap_or_default();
        tokio::select! {
            slot = outlet.slot(), if due > 0 || changed.is_some() => {
                let slot = slot?;
                if let Some(profile) = changed.take() {
                    slot.fill(LinkEvent::Changed(profile));
                } else {
                    slot.fill(LinkEvent::Ready(due));
                    valve.gave(due);
                }
            }
            taken = orders.recv_many(&mut batch, MAX_CREDIT) => {
                if taken == 0 {
                    return Err(Gone);
                }
                match send_all(outlet, connection, &mut valve, &mut batch).await {
                    // The path carries less than it did.
                    Ok(whole) => look_now |= !whole,
                    Err(reason) => return Ok(reason),
                }
            }
            _ = look.tick() => look_now = true,
            () = sleep_until(again), if pause.is_some() => {}
            () = rings(left.as_deref()), if pause.is_some() => {}
            () = tokio::time::sleep(BEAT), if beats => {}
        }
        let silent = listen(connection, &mut silence, valve.is_empty());
        beats = silent.is_some();
        match silence.news(silent) {
            None => {}
            Some(News::Died) => outlet.tell(LinkEvent::Down(UNHEARD.into())).await?,
            Some(News::Lives) => {
                valve.forget();
                let profile = profile.told().clone();
                outlet.tell(LinkEvent::Up(profile)).await?;
            }
        }
        if look_now {
            // A path that changes gets a new controller.
            left = bell(connection.congestion_state());
            match profile.look(Reading::of(connection), Instant::now().into_std()) {
                Err(reason) => return Ok(reason),
                Ok(news) => changed = news.or(changed),
            }
        }
        let (pace, now) = (pace(connection.congestion_state()), Instant::now());
        let path = connection.stats().path;
        valve.measure(&path, profile.told().mtu, pace, now.into_std());
    }
}

async fn rings(bell: Option<&Notify>) {
    match bell {
        Some(bell) => bell.notified().await,
        None => std::future::pending().await,
    }
}

/// Tells the controller how long nothing was heard, and asks for a sign where nothing else does. Gives how long that is; none
/// if there is nothing to be heard.
fn listen(connection: &Connection, silence: &mut Silence, idle: bool) -> Option<Duration> {
    let controller = || connection.congestion_state();
    let now = Instant::now().into_std();
    let (silent, asks) = silence.listen(&connection.stats(), controller, now);
    if asks && idle {
        // A frame that waits does as well.
        let _ = connection.send_datagram(Bytes::new());
    } else if silent.is_some_and(|silent| !silent.is_zero()) {
        // So that the connection looks at its window again. It changes nothing else.
        connection.set_receive_window(settings::stream_window());
    }
    silent
}

/// Sends all frames that were ordered. False if one was too large for the path; the error says why the connection cannot go
/// on.
async fn send_all(
    outlet: &Outlet,
    connection: &Connection,
    valve: &mut Valve,
    batch: &mut Vec<LinkOrder>,
) -> Result<bool, String> {
    let (mut left, mut whole) = (Tally::default(), Ok(true));
    for order in batch.drain(..) {
        let LinkOrder::Transmit { frame, .. } = order else {
            continue;
        };
        let len = frame.len();
        valve.used(len);
        match send_frame(outlet, connection, frame).await {
            Ok(true) => left.add(len),
            Ok(false) => whole = Ok(false),
            Err(reason) => {
                whole = Err(reason);
                break;
            }
        }
    }
    left.count(outlet, sent);
    whole
}

/// Puts one frame into the send buffer, waiting for room; false if it is too large for the path. The error says why the
/// connection cannot go on.
async fn send_frame(
    outlet: &Outlet,
    connection: &Connection,
    frame: Bytes,
) -> Result<bool, String> {
    let sent = if frame.is_empty() {
        Err(SendDatagramError::TooLarge)
    } else {
        connection.send_datagram_wait(frame).await
    };
    match sent {
        Ok(()) => Ok(true),
        Err(SendDatagramError::TooLarge) => {
            outlet.count(|c| c.dropped_frames += 1);
            Ok(false)
        }
        Err(SendDatagramError::ConnectionLost(error)) => Err(explain(&error)),
        Err(error) => Err(format!("{error} (compare the versions)")),
    }
}
