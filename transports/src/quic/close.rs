//! Why connections close: the codes on the wire, and the text for people.

use quinn::{Connection, ConnectionError, VarInt};

/// Application close codes (RFC 9000, section 20.2). The numbers are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// The owner ended the link.
    Done = 0,
    /// The key that was proved is not welcome here.
    NotAuthorized = 1,
    /// Nobody here takes connections of this protocol now.
    NotServed = 2,
    /// The hello was malformed, of another version, or late.
    BadHello = 3,
    /// A limit of connections is reached.
    TooMany = 4,
    /// The node shuts down.
    ShuttingDown = 5,
    /// A record was malformed, unknown or out of turn.
    BadRecord = 16,
    /// The proof of owning a mailbox did not verify.
    BadProof = 17,
    /// The relay's store failed.
    StoreFailed = 18,
    /// A datagram came where the protocol has none.
    UnexpectedDatagram = 19,
}

impl CloseCode {
    const ALL: [Self; 10] = [
        Self::Done,
        Self::NotAuthorized,
        Self::NotServed,
        Self::BadHello,
        Self::TooMany,
        Self::ShuttingDown,
        Self::BadRecord,
        Self::BadProof,
        Self::StoreFailed,
        Self::UnexpectedDatagram,
    ];

    /// Closes the connection with this code and its name.
    pub(crate) fn close(self, connection: &Connection) {
        connection.close(VarInt::from_u32(self as u32), self.name().as_bytes());
    }

    fn from_wire(code: VarInt) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| u64::from(*known as u32) == code.into_inner())
    }

    /// The name that travels as the reason phrase.
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotAuthorized => "not authorized",
            Self::NotServed => "not served",
            Self::BadHello => "bad hello",
            Self::TooMany => "too many connections",
            Self::ShuttingDown => "shutting down",
            Self::BadRecord => "bad record",
            Self::BadProof => "bad proof",
            Self::StoreFailed => "store failed",
            Self::UnexpectedDatagram => "unexpected datagram",
        }
    }

    /// What it means for the side that was closed upon.
    fn advice(self) -> &'static str {
        match self {
            Self::Done => {
                "the far side ended the link; if it still has it, the side that dials it does so again"
            }
            Self::NotAuthorized => {
                "the far side does not accept this node's key; give it this node's contact card"
            }
            Self::NotServed => {
                "the far side does not offer this service; check the address and the kind of link"
            }
            Self::BadHello => "the far side did not understand the hello; compare the versions",
            Self::TooMany => {
                "the far side takes no more connections of this node, or at all; remove links to it that are not needed, else it is tried again"
            }
            Self::ShuttingDown => "the far side shuts down; it is tried again",
            Self::BadRecord => {
                "the far side could not read a record from here; compare the versions"
            }
            Self::BadProof => "the relay did not accept the mailbox proof; check the mailbox key",
            Self::StoreFailed => "the relay cannot store now; tell its operator",
            Self::UnexpectedDatagram => "the far side expected no datagram; check the kind of link",
        }
    }
}

/// Says for people why a connection ended, and what to do. Text of the far side is never repeated.
pub(crate) fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) => match CloseCode::from_wire(close.error_code) {
            Some(code) => format!("closed: {} ({})", code.name(), code.advice()),
            None => format!(
                "closed with the unknown code {} (compare the versions)",
                close.error_code
            ),
        },
        ConnectionError::TimedOut => {
            "nothing came from the far side in time (check that it runs and that UDP passes)".into()
        }
        ConnectionError::Reset => "the far side restarted (it is dialled again)".into(),
        ConnectionError::LocallyClosed => "ended by this node".into(),
        ConnectionError::TransportError(error) if is_tls(error.code) => {
            format!(
                "the keys or protocols do not match: {error} (check the key and kind of the link)"
            )
        }
        ConnectionError::ConnectionClosed(close) if is_tls(close.error_code) => format!(
            "the far side refused the handshake with {} (check the key and kind of the link)",
            close.error_code
        ),
        other => format!("connection lost: {other} (it is dialled again where this side dials)"),
    }
}

/// TLS alerts are transport errors from 0x100 to 0x1ff (RFC 9001, section 4.8).
fn is_tls(code: quinn::TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}
