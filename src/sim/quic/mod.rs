//! Links that run the QUIC library itself, in virtual time: handshake, acknowledgements, loss detection, pacing, search
//! for the path MTU, keep-alives and idle times are those of the field, over the world's links.
//!
//! The library is configured, dialled, greeted and given credit by the very parts of the field's transport
//! ([`ostrakon_transports::quic::parts`]). What is not the field's: each link has an endpoint of its own, nobody moves
//! to another address, and a packet costs no processor time. Timers fire at whole milliseconds, as those of the
//! runtime do.
//!
//! Keys of the handshake and connection ids come from the library's own randomness, so packets differ from run to run.
//! Their sizes and times follow from the seed.

mod clock;
mod costs;
mod endpoint;
mod flow;
mod link;
mod ports;
mod session;
#[cfg(test)]
mod tests;
mod warm;

pub use clock::Clock;
pub use flow::FlowEnd;
pub use link::{Link, Setup, Side};
pub use ports::QuicPorts;
pub use warm::Meeting;
