//! One client's connection at the relay.
//!
//! ```text
//!   HELLO --> WELCOME --+--> FRAME* --store--> STORED
//!                       +--> OPEN ----proof--> OPENED --> HELD*
//!                       +--> RELEASE --delete
//! ```
//!
//! Everything is in answer to the client's one stream. Anything else closes the connection with a code that
//! names it.

use super::mailbox::{MailboxProof, MailboxTag, mailbox_tags};
use super::record::{ClientRecord, Record, RecordReader, RelayRecord, Tally, VERSION};
use super::server::{Shared, add};
use super::store::Verdict;
use crate::quic::CloseCode;
use bytes::{Bytes, BytesMut};
use quinn::{Connection, SendStream};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, oneshot, watch};
use tokio::time::timeout;

/// The most bytes of held frames that are fetched in one go.
const FETCH: usize = 64 * 1024;

/// What the reading and the handing-over half share.
struct Session<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
    stream: Mutex<SendStream>,
    /// The highest number handed over on this connection.
    handed: AtomicU64,
}

/// Serves the client until one of the two sides ends it; the code says why.
pub(super) async fn serve(shared: &Shared, connection: &Connection) -> CloseCode {
    let Ok(greeted) = timeout(shared.limits.greeting, greet(shared, connection)).await else {
        return CloseCode::BadHello;
    };
    let (session, reader) = match greeted {
        Ok(greeted) => greeted,
        Err(code) => return code,
    };
    let (opened, opening) = oneshot::channel();
    let (released, release) = watch::channel(0);
    let intake = Intake {
        session: &session,
        reader,
        opened: Some(opened),
        owned: None,
        released,
        tally: Tally::default(),
    };
    tokio::select! {
        code = intake.run() => code,
        code = hand_over(&session, opening, release) => code,
        datagram = connection.read_datagram() => match datagram {
            Ok(_) => CloseCode::UnexpectedDatagram,
            Err(_) => CloseCode::Done,
        },
    }
}

async fn greet<'a>(
    shared: &'a Shared,
    connection: &'a Connection,
) -> Result<(Session<'a>, RecordReader), CloseCode> {
    let (send, recv) = connection.accept_bi().await.map_err(|_| CloseCode::Done)?;
    let mut reader = RecordReader::new(recv);
    match reader.next().await {
        Ok(ClientRecord::Hello { version: VERSION }) => {}
        _ => return Err(CloseCode::BadHello),
    }
    let session = Session {
        shared,
        connection,
        stream: Mutex::new(send),
        handed: AtomicU64::new(0),
    };
    let largest = shared.limits.frame;
    session
        .say(&[RelayRecord::Welcome {
            version: VERSION,
            largest,
        }])
        .await?;
    Ok((session, reader))
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
}

/// The reading half.
struct Intake<'a> {
    session: &'a Session<'a>,
    reader: RecordReader,
    /// Taken by the one proof that a connection may bring.
    opened: Option<oneshot::Sender<Arc<[MailboxTag]>>>,
    owned: Option<Arc<[MailboxTag]>>,
    released: watch::Sender<u64>,
    tally: Tally,
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
        let before = self.tally;
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut idle = true;
        while bytes < self.session.shared.limits.batch {
            match self.reader.take().map_err(|_| CloseCode::BadRecord)? {
                None => break,
                Some(ClientRecord::Hello { .. }) => return Err(CloseCode::BadRecord),
                Some(ClientRecord::Open(proof)) => self.open(&proof).await?,
                Some(ClientRecord::Release(upto)) => self.release(upto).await?,
                Some(ClientRecord::Frame(frame)) => {
                    bytes += frame.len();
                    self.sort_in(frame, &mut batch);
                }
            }
            idle = false;
        }
        if idle {
            return self.reader.fill().await.map_err(|_| CloseCode::Done);
        }
        if !batch.is_empty() {
            self.store(batch).await?;
        }
        if self.tally == before {
            return Ok(());
        }
        let counts = &self.session.shared.counts;
        add(&counts.stored, self.tally.stored - before.stored);
        add(&counts.refused, self.tally.refused() - before.refused());
        self.session.say(&[RelayRecord::Stored(self.tally)]).await
    }

    fn sort_in(&mut self, frame: Bytes, batch: &mut Vec<(MailboxTag, Bytes)>) {
        if frame.len() > usize::from(self.session.shared.limits.frame) {
            self.tally.too_large += 1;
            return;
        }
        match (self.session.shared.tag_of)(&frame) {
            None => self.tally.bad_envelope += 1,
            // A copy, because the frame is a slice of the read buffer, all of which it would hold.
            Some(tag) => batch.push((tag, Bytes::copy_from_slice(&frame))),
        }
    }

    async fn store(&mut self, batch: Vec<(MailboxTag, Bytes)>) -> Result<(), CloseCode> {
        let expected = batch.len();
        let verdicts = match self.session.shared.store.store(batch).await {
            Ok(verdicts) if verdicts.len() == expected => verdicts,
            Ok(_) => return Err(CloseCode::StoreFailed),
            Err(error) => {
                tracing::error!(%error, "frames were not stored");
                return Err(CloseCode::StoreFailed);
            }
        };
        for verdict in verdicts {
            match verdict {
                Verdict::Stored => self.tally.stored += 1,
                Verdict::MailboxFull => self.tally.mailbox_full += 1,
                Verdict::NotGranted => self.tally.not_granted += 1,
                Verdict::BadEnvelope => self.tally.bad_envelope += 1,
            }
        }
        Ok(())
    }

    /// One proof a connection, right or wrong: who wants to try again pays for a handshake.
    async fn open(&mut self, proof: &MailboxProof) -> Result<(), CloseCode> {
        let opened = self.opened.take().ok_or(CloseCode::BadRecord)?;
        if !proof.verify(self.session.connection) {
            return Err(CloseCode::BadProof);
        }
        let tags: Arc<[MailboxTag]> = mailbox_tags(&proof.public_key).into();
        self.owned = Some(tags.clone());
        self.session.say(&[RelayRecord::Opened]).await?;
        opened.send(tags).map_err(|_| CloseCode::Done)
    }

    /// Deletes what the owner has, but nothing that was not handed over on this connection: a number from
    /// elsewhere must not cost frames that nobody saw.
    async fn release(&mut self, upto: u64) -> Result<(), CloseCode> {
        let tags = self.owned.clone().ok_or(CloseCode::BadRecord)?;
        let upto = upto.min(self.session.handed.load(Ordering::Acquire));
        match self.session.shared.store.delete(tags, upto).await {
            Ok(deleted) => add(&self.session.shared.counts.deleted, deleted),
            Err(error) => {
                tracing::error!(%error, "frames were not deleted");
                return Err(CloseCode::StoreFailed);
            }
        }
        self.released.send_if_modified(|released| {
            let news = upto > *released;
            *released = upto.max(*released);
            news
        });
        Ok(())
    }
}

/// The handing-over half: pushes held frames in order, at most the window's worth ahead of releases.
async fn hand_over(
    session: &Session<'_>,
    opening: oneshot::Receiver<Arc<[MailboxTag]>>,
    mut release: watch::Receiver<u64>,
) -> CloseCode {
    let Ok(tags) = opening.await else {
        // Without a mailbox there is nothing to hand over, and the other half decides when to end.
        return std::future::pending().await;
    };
    let shared = session.shared;
    let fresh = shared.store.subscribe(&tags);
    let mut window = Window::default();
    let mut after = 0;
    loop {
        window.release(*release.borrow_and_update());
        let room = shared.limits.unreleased.saturating_sub(window.bytes);
        let mut records = Vec::new();
        if room > 0 {
            let fetched = shared.store.fetch(tags.clone(), after, room.min(FETCH));
            let frames = match fetched.await {
                Ok(frames) => frames,
                Err(error) => {
                    tracing::error!(%error, "frames were not fetched");
                    return CloseCode::StoreFailed;
                }
            };
            for (number, frame) in frames {
                if number <= after {
                    tracing::error!("the mailbox store returned frames out of order");
                    return CloseCode::StoreFailed;
                }
                after = number;
                window.push(number, frame.len());
                records.push(RelayRecord::Held { number, frame });
            }
        }
        if records.is_empty() {
            tokio::select! {
                () = fresh.changed(), if room > 0 => {}
                changed = release.changed() => if changed.is_err() {
                    return CloseCode::Done;
                }
            }
            continue;
        }
        session.handed.store(after, Ordering::Release);
        if let Err(code) = session.say(&records).await {
            return code;
        }
        add(&shared.counts.handed_over, records.len() as u64);
    }
}

/// What was handed over and not released.
#[derive(Default)]
struct Window {
    frames: VecDeque<(u64, usize)>,
    bytes: usize,
}

impl Window {
    fn push(&mut self, number: u64, length: usize) {
        self.frames.push_back((number, length));
        self.bytes += length;
    }

    fn release(&mut self, upto: u64) {
        while let Some(&(number, length)) = self.frames.front()
            && number <= upto
        {
            self.frames.pop_front();
            self.bytes -= length;
        }
    }
}
