//! ostrakon delivers a message in sealed fragments over several bad links at once.
//!
//! The attributes keep the clock, threads, files, chance and unordered tables out of three modules: see `clippy.toml`.

#[cfg(all(feature = "broken", not(debug_assertions)))]
compile_error!(
    "features that begin with `break-` take defences away; build without them, or with debug assertions"
);

#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod engine;
#[cfg(feature = "node")]
pub mod node;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod security;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "node")]
pub mod store;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod wire;
