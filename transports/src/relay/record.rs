//! The records on a relay's one stream, and reading them.
//!
//! ```text
//! record   = kind (1 byte), length of the body (2 bytes, big-endian), body
//!
//! client to relay                          relay to client
//! 0x01 HELLO    version (1)                0x81 WELCOME  version (1), largest frame (2)
//! 0x02 OPEN     key (32), signature (64)   0x82 OPENED   empty
//! 0x03 FRAME    a frame or a piece         0x83 SETTLED  runs of: fate (1), frames (2)
//! 0x04 RELEASE  number (8)                 0x84 HELD     number (8), a frame
//! 0x05 GRANT    a grant, at most 1024      0x85 GRANTED  answer (1)
//! ```
//!
//! HELLO comes first and once, OPEN at most once, GRANT at most eight times and not in version 2. SETTLED tells the fates of the frames of this connection in the
//! order in which they came. Numbers are big-endian.

use super::mailbox::MailboxProof;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::RecvStream;
use tokio::io::AsyncReadExt;

/// The version of the protocol.
pub(super) const VERSION: u8 = 3;
/// The version before, which has no grants: spoken by who has none to show, so that older relays understand.
pub(super) const WITHOUT_GRANTS: u8 = 2;
/// What is read from the stream in one go, in bytes. The largest record fits.
const READ: usize = 96 * 1024;
/// The largest grant, in bytes.
pub const MAX_GRANT: usize = 1024;
const HEADER: usize = 3;
/// Bytes of a run.
const RUN: usize = 3;

/// What is wrong with a stream.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    /// No record of this protocol, or a body of the wrong size.
    #[error(
        "record 0x{kind:02x} with a body of {length} bytes is not known here (compare the versions)"
    )]
    Unknown { kind: u8, length: usize },
    /// The stream was ended, or the connection lost.
    #[error("the stream ended (the relay is dialled again)")]
    Ended,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientRecord {
    Hello { version: u8 },
    Open(MailboxProof),
    Frame(Bytes),
    Release(u64),
    Grant(Bytes),
}

/// What became of a frame at the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fate {
    /// It is durable there, or was and has been passed on since.
    Stored = 0,
    /// It is larger than the relay takes.
    TooLarge = 1,
    /// Its carrier envelope is not acceptable, or it has none.
    BadEnvelope = 2,
    /// Its mailbox has reached its quota. There may be room later.
    MailboxFull = 3,
    /// Nobody granted the sender the use of this mailbox.
    NotGranted = 4,
    /// It is a piece of a frame, whose fate is that of its last piece. Nothing is durable.
    Piece = 5,
}

impl Fate {
    const ALL: [Self; 6] = [
        Self::Stored,
        Self::TooLarge,
        Self::BadEnvelope,
        Self::MailboxFull,
        Self::NotGranted,
        Self::Piece,
    ];

    fn of(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The relay does not keep it.
    pub(super) fn is_refusal(self) -> bool {
        !matches!(self, Self::Stored | Self::Piece)
    }
}

/// What became of a grant that a client showed. The numbers are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GrantAnswer {
    /// It counts on this connection.
    Taken = 0,
    /// It is none, or one that was changed, forged or widened.
    Unusable = 1,
    /// It is for another key than the one that this client has proved.
    Holder = 2,
    /// It comes from nobody whose grants count here.
    Issuer = 3,
    /// The issuer's counter has gone on.
    Over = 4,
    /// The operator has revoked it, or one that it was made from.
    Revoked = 5,
    /// Too many were shown lately. It may be shown again on another connection.
    Later = 6,
}

impl GrantAnswer {
    const ALL: [Self; 7] = [
        Self::Taken,
        Self::Unusable,
        Self::Holder,
        Self::Issuer,
        Self::Over,
        Self::Revoked,
        Self::Later,
    ];

    fn of(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// What it means for who showed the grant, and what to do.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Taken => "the relay takes the grant",
            Self::Unusable => {
                "the relay cannot use a grant: it is damaged or forged; ask for it again"
            }
            Self::Holder => "a grant is for another key; ask for one for this node's contact card",
            Self::Issuer => {
                "the relay does not know the issuer of a grant; ask its operator for one"
            }
            Self::Over => "a grant is over; ask for a new one",
            Self::Revoked => "a grant was revoked; ask the relay's operator",
            Self::Later => "the relay is shown too many grants now; it is dialled again later",
        }
    }
}

/// So many frames in a row met this fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) fate: Fate,
    pub(super) frames: u16,
}

/// Appends a fate to runs, the last of which it makes longer if it can.
pub(super) fn push_fate(runs: &mut Vec<Run>, fate: Fate) {
    if let Some(last) = runs.last_mut()
        && last.fate == fate
        && last.frames < u16::MAX
    {
        last.frames += 1;
    } else {
        runs.push(Run { fate, frames: 1 });
    }
}

/// What a relay says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RelayRecord {
    Welcome { version: u8, largest: u16 },
    Opened,
    Settled(Vec<Run>),
    Held { number: u64, frame: Bytes },
    Granted(GrantAnswer),
}

/// A record that can be written and read.
pub(super) trait Record: Sized {
    /// Appends the record. False, and nothing appended, if its body would exceed 65535 bytes.
    #[must_use]
    fn write(&self, out: &mut BytesMut) -> bool;
    /// Reads a body.
    fn read(kind: u8, body: Bytes) -> Result<Self, RecordError>;
}

impl Record for ClientRecord {
    fn write(&self, out: &mut BytesMut) -> bool {
        match self {
            Self::Hello { version } => put(out, 0x01, &[&[*version]]),
            Self::Open(proof) => put(out, 0x02, &[&proof.public_key, &proof.signature]),
            Self::Frame(frame) => put(out, 0x03, &[frame]),
            Self::Release(number) => put(out, 0x04, &[&number.to_be_bytes()]),
            Self::Grant(grant) => put(out, 0x05, &[grant]),
        }
    }

    fn read(kind: u8, mut body: Bytes) -> Result<Self, RecordError> {
        match (kind, body.len()) {
            (0x01, 1) => Ok(Self::Hello {
                version: body.get_u8(),
            }),
            (0x02, 96) => {
                let mut proof = MailboxProof {
                    public_key: [0; 32],
                    signature: [0; 64],
                };
                body.copy_to_slice(&mut proof.public_key);
                body.copy_to_slice(&mut proof.signature);
                Ok(Self::Open(proof))
            }
            (0x03, _) => Ok(Self::Frame(body)),
            (0x04, 8) => Ok(Self::Release(body.get_u64())),
            (0x05, ..=MAX_GRANT) => Ok(Self::Grant(body)),
            (kind, length) => Err(RecordError::Unknown { kind, length }),
        }
    }
}

impl Record for RelayRecord {
    fn write(&self, out: &mut BytesMut) -> bool {
        match self {
            Self::Welcome { version, largest } => {
                put(out, 0x81, &[&[*version], &largest.to_be_bytes()])
            }
            Self::Opened => put(out, 0x82, &[]),
            Self::Settled(runs) => {
                let runs: Vec<u8> = runs.iter().flat_map(Run::bytes).collect();
                put(out, 0x83, &[&runs])
            }
            Self::Held { number, frame } => put(out, 0x84, &[&number.to_be_bytes(), frame]),
            Self::Granted(answer) => put(out, 0x85, &[&[*answer as u8]]),
        }
    }

    fn read(kind: u8, mut body: Bytes) -> Result<Self, RecordError> {
        match (kind, body.len()) {
            (0x81, 3) => Ok(Self::Welcome {
                version: body.get_u8(),
                largest: body.get_u16(),
            }),
            (0x82, 0) => Ok(Self::Opened),
            (0x83, length) => {
                let (runs, rest) = body.as_chunks::<RUN>();
                let runs: Option<Vec<Run>> = runs.iter().map(Run::read).collect();
                match runs.filter(|runs| rest.is_empty() && !runs.is_empty()) {
                    Some(runs) => Ok(Self::Settled(runs)),
                    None => Err(RecordError::Unknown { kind, length }),
                }
            }
            (0x84, 8..) => Ok(Self::Held {
                number: body.get_u64(),
                frame: body,
            }),
            (0x85, length @ 1) => GrantAnswer::of(body.get_u8())
                .map(Self::Granted)
                .ok_or(RecordError::Unknown { kind, length }),
            (kind, length) => Err(RecordError::Unknown { kind, length }),
        }
    }
}

impl Run {
    fn bytes(&self) -> [u8; RUN] {
        let [high, low] = self.frames.to_be_bytes();
        [self.fate as u8, high, low]
    }

    fn read(&[fate, high, low]: &[u8; RUN]) -> Option<Self> {
        let frames = u16::from_be_bytes([high, low]);
        let fate = Fate::of(fate)?;
        (frames > 0).then_some(Self { fate, frames })
    }
}

fn put(out: &mut BytesMut, kind: u8, body: &[&[u8]]) -> bool {
    let Ok(length) = u16::try_from(body.iter().map(|piece| piece.len()).sum::<usize>()) else {
        return false;
    };
    out.put_u8(kind);
    out.put_u16(length);
    body.iter().for_each(|piece| out.put_slice(piece));
    true
}

/// Cuts a stream into records. Holds at most one incomplete record and one read beside it.
pub(super) struct RecordReader {
    stream: RecvStream,
    held: BytesMut,
}

impl RecordReader {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            held: BytesMut::new(),
        }
    }

    /// The next record that is here already.
    pub(super) fn take<R: Record>(&mut self) -> Result<Option<R>, RecordError> {
        take(&mut self.held)
    }

    /// Waits for more of the stream. Safe to cancel.
    pub(super) async fn fill(&mut self) -> Result<(), RecordError> {
        self.held.reserve(READ);
        let mut room = (&mut self.held).limit(READ);
        match self.stream.read_buf(&mut room).await {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(RecordError::Ended),
        }
    }

    /// The next record, waiting for it. Safe to cancel.
    pub(super) async fn next<R: Record>(&mut self) -> Result<R, RecordError> {
        loop {
            match self.take()? {
                Some(record) => return Ok(record),
                None => self.fill().await?,
            }
        }
    }
}

fn take<R: Record>(held: &mut BytesMut) -> Result<Option<R>, RecordError> {
    let Some([kind, high, low]) = held.first_chunk::<HEADER>().copied() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if held.len() < HEADER + length {
        return Ok(None);
    }
    held.advance(HEADER);
    R::read(kind, held.split_to(length).freeze()).map(Some)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn round_trip<R: Record + PartialEq + std::fmt::Debug>(record: &R) {
        let mut out = BytesMut::new();
        assert!(record.write(&mut out));
        for cut in 0..out.len() {
            let mut part = BytesMut::from(&out[..cut]);
            assert_eq!(take::<R>(&mut part), Ok(None));
        }
        assert_eq!(take::<R>(&mut out).unwrap().as_ref(), Some(record));
        assert!(out.is_empty());
    }

    /// What is written is read back, and a record that is not whole yet is waited for.
    #[test]
    fn records_survive_the_stream() {
        let frame = Bytes::from_static(b"frame");
        round_trip(&ClientRecord::Hello { version: VERSION });
        round_trip(&ClientRecord::Open(MailboxProof {
            public_key: [1; 32],
            signature: [2; 64],
        }));
        round_trip(&ClientRecord::Frame(frame.clone()));
        round_trip(&ClientRecord::Release(u64::MAX - 1));
        round_trip(&ClientRecord::Grant(Bytes::from_static(b"grant")));
        round_trip(&RelayRecord::Granted(GrantAnswer::Later));
        round_trip(&RelayRecord::Welcome {
            version: VERSION,
            largest: 4096,
        });
        round_trip(&RelayRecord::Opened);
        let mut runs = Vec::new();
        for fate in Fate::ALL.into_iter().flat_map(|fate| [fate; 3]) {
            push_fate(&mut runs, fate);
        }
        assert_eq!((runs.len(), runs[5].frames), (6, 3));
        round_trip(&RelayRecord::Settled(runs));
        round_trip(&RelayRecord::Held { number: 7, frame });
        let oversized = ClientRecord::Frame(Bytes::from(vec![0; 65_536]));
        assert!(!oversized.write(&mut BytesMut::new()));
    }

    /// The layout of version 3, byte by byte.
    #[test]
    fn records_have_the_bytes_that_the_format_says() {
        let bytes = |record: &dyn Fn(&mut BytesMut) -> bool| {
            let mut out = BytesMut::new();
            assert!(record(&mut out));
            out.to_vec()
        };
        let hello = ClientRecord::Hello { version: VERSION };
        assert_eq!(bytes(&|out| hello.write(out)), [0x01, 0, 1, 3]);
        let frame = ClientRecord::Frame(Bytes::from_static(b"ab"));
        assert_eq!(bytes(&|out| frame.write(out)), [0x03, 0, 2, b'a', b'b']);
        let mut runs = Vec::new();
        for fate in [Fate::Stored, Fate::Stored, Fate::MailboxFull] {
            push_fate(&mut runs, fate);
        }
        let settled = RelayRecord::Settled(runs);
        let expected = [0x83, 0, 6, 0, 0, 2, 3, 0, 1];
        assert_eq!(bytes(&|out| settled.write(out)), expected);
        let held = RelayRecord::Held {
            number: 1 << 40,
            frame: Bytes::from_static(b"c"),
        };
        let expected = [0x84, 0, 9, 0, 0, 1, 0, 0, 0, 0, 0, b'c'];
        assert_eq!(bytes(&|out| held.write(out)), expected);
    }

    /// A grant that is too long and an answer that is not known are no records.
    #[test]
    fn grants_are_bounded_and_answers_known() {
        let grant = |length| ClientRecord::read(0x05, Bytes::from(vec![0; length]));
        assert!(grant(MAX_GRANT).is_ok() && grant(MAX_GRANT + 1).is_err());
        assert!(RelayRecord::read(0x85, Bytes::from_static(&[7])).is_err());
    }

    /// A fate that is not known, a run of nothing and half a run are no record.
    #[test]
    fn runs_that_say_nothing_are_refused() {
        for body in [&[6, 0, 1][..], &[0, 0, 0], &[0, 0], &[]] {
            let read = RelayRecord::read(0x83, Bytes::copy_from_slice(body));
            assert!(read.is_err(), "{body:?}");
        }
    }

    proptest! {
        /// Whatever a stream holds, reading it ends with records, a wait or an error.
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut held = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take::<ClientRecord>(&mut held) {}
            let mut held = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take::<RelayRecord>(&mut held) {}
        }
    }
}
