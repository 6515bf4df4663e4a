//! The attacks of `docs/security.md`, each played against engines on virtual time, over links and disks of a test.
//!
//! A test is called `attack_NN_…` after its number there. The feature `break-NN` takes the defence away that the test
//! guards, and then that test fails and no other: `tests/defences.py` shows it.
//! A failure prints its seed; run it again with `OSTRAKON_SEED=N cargo test --test attacks NAME`.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "sim/store.rs"]
#[allow(
    dead_code,
    reason = "each test binary uses its part of the small world"
)]
mod store;
#[path = "sim/world.rs"]
#[allow(
    dead_code,
    reason = "each test binary uses its part of the small world"
)]
mod world;

#[path = "attacks/cards.rs"]
mod cards;
#[path = "attacks/clones.rs"]
mod clones;
#[path = "attacks/downgrades.rs"]
mod downgrades;
#[path = "attacks/endpoints.rs"]
mod endpoints;
#[path = "attacks/floods.rs"]
mod floods;
#[path = "attacks/fragments.rs"]
mod fragments;
#[path = "attacks/grants.rs"]
mod grants;
#[path = "attacks/harness.rs"]
mod harness;
#[path = "attacks/introductions.rs"]
mod introductions;
#[path = "attacks/invitations.rs"]
mod invitations;
#[path = "attacks/manifests.rs"]
mod manifests;
#[path = "attacks/nonces.rs"]
mod nonces;
#[path = "attacks/preambles.rs"]
mod preambles;
#[path = "attacks/replays.rs"]
mod replays;
#[path = "attacks/reports.rs"]
mod reports;
#[path = "attacks/shared.rs"]
mod shared;
#[path = "attacks/strangers.rs"]
mod strangers;
#[path = "attacks/troubles.rs"]
mod troubles;
