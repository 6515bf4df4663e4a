//! QUIC between two nodes: one frame a datagram (RFC 9000, RFC 9221).
//!
//! A [`QuicEndpoint`] is one UDP socket that both connects and listens. Both sides prove an Ed25519 key in
//! the handshake (RFC 7250); the dialling side accepts exactly one key, the listening side asks its owner.
//! After the handshake both sides say a small hello on one bidirectional stream: TLS 1.3 lets a client
//! finish before the server has judged the client's key, so only an answer shows that it is welcome.

mod accept;
mod backoff;
mod belief;
mod blame;
mod close;
mod config;
mod controller;
mod dial;
mod endpoint;
mod flight;
mod handover;
mod io;
mod link;
mod model;
mod pace;
pub mod parts;
mod profile;
mod race;
mod rounds;
mod settings;
mod sharing;
mod silence;
mod steady;
mod tls;
mod train;
mod trips;
mod valve;

pub use accept::{Incoming, PeerListener};
pub use dial::PeerSpec;
pub use endpoint::{EndpointError, EndpointOptions, QuicEndpoint};
pub use handover::{Handover, HandoverError, Handovers};
pub use settings::{Congestion, QuicSettings};
pub use tls::{ALPN_HANDOVER, ALPN_PEER, ALPN_RELAY};

pub(crate) use accept::Authenticated;
pub(crate) use backoff::Backoff;
pub(crate) use close::{CloseCode, explain};
pub(crate) use dial::{DialError, dial};
pub(crate) use io::{Gone, LinkIo, Outlet};
pub(crate) use profile::rtt_moved;
