//! A model of sessions, epochs and receipts between one sender and one recipient, explored to its end: every order of
//! sending, losing, repeating, writing down, crashing and going back to an older disk that there is within small bounds.
//!
//! `cargo run --release --manifest-path tests/model/Cargo.toml` explores the model as the program is built, and then each of
//! the models in which one rule is left out, which have to fail. docs/models/README.md says what comes out.
//!
//! What the model leaves out: keys and ciphers (a frame opens if its session and epoch are known), symbols (a message is one
//! frame), the session that receipts travel in, time, and links that tell what they carry.

mod dead_ends;
mod exchange;
mod explore;
mod model;
mod recipient;
mod sender;

use exchange::Exchange;
use explore::explore;
use model::{Bounds, Protocol, Rule};
use std::process::ExitCode;

/// Messages, sessions, epochs, crashes, disks set back.
const fn bounds([messages, sessions, epochs, crashes, set_back]: [u8; 5]) -> Bounds {
    Bounds {
        messages,
        sessions,
        epochs,
        crashes,
        set_back,
    }
}

/// Small worlds, which every rule is left out in as well, each with what the others leave out.
const SMALL: [Bounds; 4] = [
    bounds([1, 1, 3, 1, 0]),
    bounds([1, 2, 2, 0, 0]),
    bounds([1, 1, 2, 0, 1]),
    bounds([2, 1, 2, 1, 0]),
];
/// Larger ones, for the model as it is built.
const LARGE: [Bounds; 1] = [bounds([1, 2, 2, 1, 0])];

fn main() -> ExitCode {
    let mut wrong = !exchanges_hold();
    for rule in Rule::ALL {
        let broken = |bounds| Protocol {
            bounds,
            without: Some(rule),
        };
        let mut results = SMALL.map(broken).into_iter().map(|world| explore(&world).1);
        let failed = results
            .find(|failed| !failed.is_empty())
            .unwrap_or_default();
        println!("without {}, fails: {}", rule.name(), named(&failed));
        wrong |= failed.is_empty();
    }
    for bounds in SMALL.into_iter().chain(LARGE) {
        let whole = Protocol {
            bounds,
            without: None,
        };
        let (states, failed) = explore(&whole);
        println!(
            "as built, {bounds}: {states} states, fails: {}",
            named(&failed)
        );
        wrong |= !failed.is_empty();
    }
    ExitCode::from(u8::from(wrong))
}

/// Generations after the first, sessions, crashes, disks set back.
const EXCHANGES: [[u8; 4]; 3] = [[1, 1, 2, 0], [2, 2, 1, 0], [1, 3, 0, 1]];

/// Likewise the exchanges of generations. Tells whether all is as it has to be.
fn exchanges_hold() -> bool {
    let worlds = EXCHANGES.map(
        |[generations, sessions, crashes, set_back]| exchange::Bounds {
            generations: generations.into(),
            sessions,
            crashes,
            set_back,
        },
    );
    let mut all = true;
    for rule in exchange::Rule::ALL {
        let broken = |bounds| Exchange {
            bounds,
            without: Some(rule),
        };
        let mut results = worlds
            .map(broken)
            .into_iter()
            .map(|world| explore(&world).1);
        let failed = results.find(|failed| !failed.is_empty());
        let failed = failed.unwrap_or_default();
        println!("without {}, fails: {}", rule.name(), named(&failed));
        all &= !failed.is_empty();
    }
    for bounds in worlds {
        let whole = Exchange {
            bounds,
            without: None,
        };
        let (states, failed) = explore(&whole);
        let failed = named(&failed);
        println!("exchanges as built, {bounds}: {states} states, fails: {failed}");
        all &= failed == "nothing";
    }
    all
}

fn named(failed: &[&str]) -> String {
    match failed {
        [] => "nothing".into(),
        failed => failed.join("; "),
    }
}
