//! The records on a relay's one stream, and reading them.
//!
//! ```text
//! record   = kind (1 byte), length of the body (2 bytes, big-endian), body
//!
//! client to relay                          relay to client
//! 0x01 HELLO    version (1)                0x81 WELCOME  version (1), largest frame (2)
//! 0x02 OPEN     key (32), signature (64)   0x82 OPENED   empty
//! 0x03 FRAME    a frame                    0x83 STORED   five counts (8 each): see Tally
//! 0x04 RELEASE  number (8)                 0x84 HELD     number (8), a frame
//! ```
//!
//! HELLO comes first and once, OPEN at most once. Numbers are big-endian.

use super::mailbox::MailboxProof;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::RecvStream;
use tokio::io::AsyncReadExt;

/// The version of the protocol.
pub(super) const VERSION: u8 = 1;
/// What is read from the stream in one go, in bytes. The largest record fits.
const READ: usize = 96 * 1024;
const HEADER: usize = 3;

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
}

/// How many frames of this connection met which fate, counted from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) stored: u64,
    pub(super) too_large: u64,
    pub(super) bad_envelope: u64,
    pub(super) mailbox_full: u64,
    pub(super) not_granted: u64,
}

impl Tally {
    /// Frames that were refused, for whatever reason.
    pub(super) fn refused(&self) -> u64 {
        [
            self.too_large,
            self.bad_envelope,
            self.mailbox_full,
            self.not_granted,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// Frames whose fate is known.
    pub(super) fn settled(&self) -> u64 {
        self.stored.saturating_add(self.refused())
    }
}

/// What a relay says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RelayRecord {
    Welcome { version: u8, largest: u16 },
    Opened,
    Stored(Tally),
    Held { number: u64, frame: Bytes },
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
            Self::Stored(tally) => {
                let counts = [
                    tally.stored,
                    tally.too_large,
                    tally.bad_envelope,
                    tally.mailbox_full,
                    tally.not_granted,
                ];
                put(
                    out,
                    0x83,
                    &counts.map(u64::to_be_bytes).each_ref().map(|c| &c[..]),
                )
            }
            Self::Held { number, frame } => put(out, 0x84, &[&number.to_be_bytes(), frame]),
        }
    }

    fn read(kind: u8, mut body: Bytes) -> Result<Self, RecordError> {
        match (kind, body.len()) {
            (0x81, 3) => Ok(Self::Welcome {
                version: body.get_u8(),
                largest: body.get_u16(),
            }),
            (0x82, 0) => Ok(Self::Opened),
            (0x83, 40) => Ok(Self::Stored(Tally {
                stored: body.get_u64(),
                too_large: body.get_u64(),
                bad_envelope: body.get_u64(),
                mailbox_full: body.get_u64(),
                not_granted: body.get_u64(),
            })),
            (0x84, 8..) => Ok(Self::Held {
                number: body.get_u64(),
                frame: body,
            }),
            (kind, length) => Err(RecordError::Unknown { kind, length }),
        }
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
        round_trip(&ClientRecord::Hello { version: 1 });
        round_trip(&ClientRecord::Open(MailboxProof {
            public_key: [1; 32],
            signature: [2; 64],
        }));
        round_trip(&ClientRecord::Frame(frame.clone()));
        round_trip(&ClientRecord::Release(u64::MAX - 1));
        round_trip(&RelayRecord::Welcome {
            version: 1,
            largest: 4096,
        });
        round_trip(&RelayRecord::Opened);
        round_trip(&RelayRecord::Stored(Tally {
            stored: 1,
            too_large: 2,
            bad_envelope: 3,
            mailbox_full: 4,
            not_granted: 5,
        }));
        round_trip(&RelayRecord::Held { number: 7, frame });
        let oversized = ClientRecord::Frame(Bytes::from(vec![0; 65_536]));
        assert!(!oversized.write(&mut BytesMut::new()));
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
