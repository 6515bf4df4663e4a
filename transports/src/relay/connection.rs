//! One client's connection at the relay.
//!
//! ```text
//!   HELLO --> WELCOME --+--> GRANT* --show---> GRANTED
//!                       +--> FRAME* --store--> SETTLED
//!                       +--> OPEN ----proof--> OPENED --> HELD*
//!                       +--> RELEASE --delete
//! ```
//!
//! Everything is in answer to the client's one stream. Anything else closes the connection with a code that
//! names it.

use super::guest::{Guest, MAX_GRANTS};
use super::mailbox::{MailboxProof, MailboxTag, mailbox_tags};
use super::record::{
    ClientRecord, Fate, Record, RecordReader, RelayRecord, VERSION, WITHOUT_GRANTS, push_fate,
};
use super::server::{Shared, add};
use super::store::{Cursor, Reader, Sorted, Verdict};
use super::window::Window;
use crate::keys::LinkKey;
use crate::quic::CloseCode;
use bytes::{Bytes, BytesMut};
use quinn::{Connection, SendStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// The most bytes of held frames that are fetched in one go.
const FETCH: usize = 64 * 1024;
/// The most frames that are settled in one go: more runs than that would not fit into a record.
const MOST_SETTLED: usize = 16 * 1024;

/// What the reading and the handing-over half share.
struct Session<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
    stream: Mutex<SendStream>,
    /// What was handed over on this connection and not released.
    window: std::sync::Mutex<Window>,
    /// Wakes the handing-over half when there is room in the window.
    released: Notify,
}

/// Serves the client that has proved this key until one of the two sides ends it; the code says why.
pub(super) async fn serve(shared: &Shared, connection: &Connection, key: LinkKey) -> CloseCode {
    let Ok(greeted) = timeout(shared.limits.greeting, greet(shared, connection)).await else {
        return CloseCode::BadHello;
    };
    let (session, reader, version) = match greeted {
        Ok(greeted) => greeted,
        Err(code) => return code,
    };
    let (opened, opening) = oneshot::channel();
    let intake = Intake {
        session: &session,
        reader,
        guest: (shared.guest_of)(key),
        early: None,
        grants: if version == WITHOUT_GRANTS {
            MAX_GRANTS
        } else {
            0
        },
        opened: Some(opened),
        key,
        owner: None,
    };
    tokio::select! {
        code = intake.run() => code,
        code = hand_over(&session, opening) => code,
        datagram = connection.read_datagram() => match datagram {
            Ok(_) => CloseCode::UnexpectedDatagram,
            Err(_) => CloseCode::Done,
        },
    }
}

async fn greet<'a>(
    shared: &'a Shared,
    connection: &'a Connection,
) -> Result<(Session<'a>, RecordReader, u8), CloseCode> {
    let (send, recv) = connection.accept_bi().await.map_err(|_| CloseCode::Done)?;
    let mut reader = RecordReader::new(recv);
    let version = match reader.next().await {
        Ok(ClientRecord::Hello { version }) => version,
        _ => return Err(CloseCode::BadHello),
    };
    if ![VERSION, WITHOUT_GRANTS].contains(&version) {
        return Err(CloseCode::BadHello);
    }
    let session = Session {
        shared,
        connection,
        stream: Mutex::new(send),
        window: std::sync::Mutex::default(),
        released: Notify::new(),
    };
    let largest = shared.limits.frame;
    session
        .say(&[RelayRecord::Welcome { version, largest }])
        .await?;
    Ok((session, reader, version))
}

impl Session<'_> {
    async fn say(&self, records: &[RelayRecord]) -> Result<(), CloseCode> {
        let mut out = BytesMut::new();
        for record in records {
            if !record.write(&mut out) {
                tracing::error!("the mailbox store returned a frame that it was never given");
                return Err(CloseCode::StoreFailed);
            }
        }
        let mut stream = self.stream.lock().await;
        stream.write_all(&out).await.map_err(|_| CloseCode::Done)
    }

    fn window(&self) -> std::sync::MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading half.
struct Intake<'a> {
    session: &'a Session<'a>,
    reader: RecordReader,
    guest: Box<dyn Guest>,
    /// A frame that came too early, and how long it has to wait.
    early: Option<(Bytes, Duration)>,
    /// Grants that were shown, or could not be.
    grants: usize,
    /// Taken by the one proof that a connection may bring.
    opened: Option<oneshot::Sender<(Reader, Arc<[MailboxTag]>)>>,
    /// The link key of the client.
    key: LinkKey,
    /// The client proved that a mailbox is its own.
    owner: Option<Reader>,
}

/// Frames that are taken in together.
#[derive(Default)]
struct Batch {
    /// In order; nothing yet for those that are to be stored.
    fates: Vec<Option<Fate>>,
    frames: Vec<(MailboxTag, Bytes)>,
}

impl Intake<'_> {
    async fn run(mut self) -> CloseCode {
        loop {
            if let Err(code) = self.round().await {
                return code;
            }
        }
    }

    /// Takes what is here, at most one batch of frames, and deals with it; waits if nothing is here.
    async fn round(&mut self) -> Result<(), CloseCode> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        let mut idle = true;
        if let Some((frame, wait)) = self.early.take() {
            sleep(wait).await;
            self.take_in(frame, &mut batch);
            idle = false;
        }
        while self.early.is_none()
            && bytes < self.session.shared.limits.batch
            && batch.fates.len() < MOST_SETTLED
        {
            match self.reader.take().map_err(|_| CloseCode::BadRecord)? {
                None => break,
                Some(ClientRecord::Hello { .. }) => return Err(CloseCode::BadRecord),
                Some(ClientRecord::Open(proof)) => self.open(&proof).await?,
                Some(ClientRecord::Release(upto)) => self.release(upto).await?,
                Some(ClientRecord::Grant(grant)) => self.show(&grant).await?,
                Some(ClientRecord::Frame(frame)) => {
                    bytes += frame.len();
                    self.take_in(frame, &mut batch);
                }
            }
            idle = false;
        }
        if idle {
            return self.reader.fill().await.map_err(|_| CloseCode::Done);
        }
        if batch.fates.is_empty() {
            return Ok(());
        }
        self.settle(batch).await
    }

    /// Adds a frame to the batch, unless it came too early.
    fn take_in(&mut self, frame: Bytes, batch: &mut Batch) {
        match self.guest.pace(&frame) {
            // A copy, because the frame is a slice of the read buffer, which is needed meanwhile.
            Some(wait) => self.early = Some((Bytes::copy_from_slice(&frame), wait)),
            None => self.sort_in(&frame, batch),
        }
    }

    fn sort_in(&mut self, frame: &[u8], batch: &mut Batch) {
        let largest = usize::from(self.session.shared.limits.frame);
        let sorted = match frame.len() > largest {
            true => return batch.fates.push(Some(Fate::TooLarge)),
            false => self.guest.sort(frame),
        };
        batch.fates.push(match sorted {
            Sorted::Unaddressed => Some(Fate::BadEnvelope),
            Sorted::Piece => Some(Fate::Piece),
            Sorted::Frame(_, whole) if whole.len() > largest => Some(Fate::TooLarge),
            Sorted::Frame(tag, whole) => {
                batch.frames.push((tag, whole));
                None
            }
        });
    }

    /// Stores what is to be stored, and says what became of all.
    async fn settle(&mut self, batch: Batch) -> Result<(), CloseCode> {
        let mut stored = self.store(batch.frames).await?.into_iter();
        let (mut runs, mut refused, mut kept) = (Vec::new(), 0, 0);
        for fate in batch.fates {
            let Some(fate) = fate.or_else(|| stored.next()) else {
                return Err(CloseCode::StoreFailed);
            };
            kept += u64::from(fate == Fate::Stored);
            refused += u64::from(fate.is_refusal());
            push_fate(&mut runs, fate);
        }
        let counts = &self.session.shared.counts;
        add(&counts.stored, kept);
        add(&counts.refused, refused);
        self.session.say(&[RelayRecord::Settled(runs)]).await
    }

    async fn store(&mut self, frames: Vec<(MailboxTag, Bytes)>) -> Result<Vec<Fate>, CloseCode> {
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        let verdicts = self.guest.store(frames).await;
        let verdicts = verdicts.map_err(|error| {
            tracing::error!(%error, "frames were not stored");
            CloseCode::StoreFailed
        })?;
        let fate = |verdict| match verdict {
            Verdict::Stored => Fate::Stored,
            Verdict::MailboxFull => Fate::MailboxFull,
            Verdict::NotGranted => Fate::NotGranted,
            Verdict::BadEnvelope => Fate::BadEnvelope,
        };
        Ok(verdicts.into_iter().map(fate).collect())
    }

    /// A bounded number of grants a connection, whatever becomes of them: to check one is work.
    async fn show(&mut self, grant: &[u8]) -> Result<(), CloseCode> {
        if self.grants >= MAX_GRANTS {
            return Err(CloseCode::BadRecord);
        }
        self.grants += 1;
        let answer = self.guest.show(grant);
        self.session.say(&[RelayRecord::Granted(answer)]).await
    }

    /// One proof a connection, right or wrong: who wants to try again pays for a handshake.
    async fn open(&mut self, proof: &MailboxProof) -> Result<(), CloseCode> {
        let opened = self.opened.take().ok_or(CloseCode::BadRecord)?;
        if !proof.verify(self.session.connection) {
            return Err(CloseCode::BadProof);
        }
        let reader = Reader {
            mailbox: proof.public_key,
            link: self.key.0,
        };
        if let Err(error) = self.session.shared.store.open(reader).await {
            tracing::error!(%error, "a reader was not noted");
            return Err(CloseCode::StoreFailed);
        }
        self.owner = Some(reader);
        self.session.say(&[RelayRecord::Opened]).await?;
        let tags = mailbox_tags(&proof.public_key).into();
        opened.send((reader, tags)).map_err(|_| CloseCode::Done)
    }

    /// Deletes what the owner has, but nothing that was not handed over on this connection: a number from
    /// elsewhere must not cost frames that nobody saw.
    async fn release(&mut self, upto: u64) -> Result<(), CloseCode> {
        let Some(reader) = self.owner else {
            return Err(CloseCode::BadRecord);
        };
        let places = self.session.window().release(Instant::now(), upto);
        self.session.released.notify_one();
        if places.is_empty() {
            return Ok(());
        }
        match self.session.shared.store.release(reader, places).await {
            Ok(deleted) => add(&self.session.shared.counts.deleted, deleted),
            Err(error) => {
                tracing::error!(%error, "frames were not deleted");
                return Err(CloseCode::StoreFailed);
            }
        }
        Ok(())
    }
}

/// The handing-over half: pushes held frames, the urgent first, not far ahead of releases. Each
/// gets a new number at that moment, so that numbers grow on the connection whatever jumps the queue, and a release
/// of numbers from an earlier connection means nothing on this one.
async fn hand_over(
    session: &Session<'_>,
    opening: oneshot::Receiver<(Reader, Arc<[MailboxTag]>)>,
) -> CloseCode {
    let Ok((reader, tags)) = opening.await else {
        // Without a mailbox there is nothing to hand over, and the other half decides when to end.
        return std::future::pending().await;
    };
    let shared = session.shared;
    let fresh = shared.store.subscribe(&tags);
    let mut after = Cursor::default();
    loop {
        let cwnd = session.connection.stats().path.cwnd;
        let most = shared.limits.unreleased;
        let room = session.window().room(Instant::now(), cwnd, most);
        let mut records = Vec::new();
        if room > 0 {
            let most = room.min(FETCH);
            let fetched = shared.store.fetch(reader, tags.clone(), after, most);
            let held = match fetched.await {
                Ok(held) => held,
                Err(error) => {
                    tracing::error!(%error, "frames were not fetched");
                    return CloseCode::StoreFailed;
                }
            };
            after.join(&held.upto);
            for held in held.frames {
                if !after.pass(&held.place) {
                    tracing::error!("the mailbox store returned frames out of order");
                    return CloseCode::StoreFailed;
                }
                let number = shared.next_number.fetch_add(1, Ordering::Relaxed);
                session.window().push(number, held.place, held.frame.len());
                let frame = held.frame;
                records.push(RelayRecord::Held { number, frame });
            }
        }
        if records.is_empty() {
            tokio::select! {
                () = fresh.changed(), if room > 0 => {}
                () = session.released.notified() => {}
            }
            continue;
        }
        if let Err(code) = session.say(&records).await {
            return code;
        }
        add(&shared.counts.handed_over, records.len() as u64);
    }
}
