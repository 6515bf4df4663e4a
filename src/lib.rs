//! ostrakon delivers a message in sealed fragments over several bad links at once.

pub mod engine;
#[cfg(feature = "node")]
pub mod node;
pub mod security;
#[cfg(feature = "node")]
pub mod store;
pub mod wire;
