//! Links of `model` mode that pace themselves as the field's QUIC links do, without its cryptography and its handshake:
//! numbered packets, acknowledgements, loss detection and a pacer after RFC 9002, and the very rate model of the field
//! ([`ostrakon_transports::quic::parts::RateModel`]). Everything follows from the seed, byte for byte.

mod link;
mod packet;
mod ports;
mod receiver;
mod sender;

#[cfg(test)]
mod tests;

pub use link::{Setup, frame_mtu};
pub use packet::HEADER;
pub use ports::PacedPorts;
