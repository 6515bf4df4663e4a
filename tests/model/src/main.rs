//! A model of sessions, epochs and receipts between one sender and one recipient, explored to its end: every order of
//! sending, losing, repeating, writing down, crashing and going back to an older disk that there is within small bounds.
//!
//! `cargo run --release --manifest-path tests/model/Cargo.toml` explores the model as the program is built, and then each of
//! the models in which one rule is left out, which have to fail. docs/models/README.md says what comes out.
//!
//! What the model leaves out: keys and ciphers (a frame opens if its session and epoch are known), symbols (a message is one
//! frame), the session that receipts travel in, time, and links that tell what they carry.

mod dead_ends;
mod model;
mod recipient;
mod sender;

use model::{Bounds, Protocol, Rule};
use stateright::{Checker, Model};
use std::num::NonZeroUsize;
use std::process::ExitCode;

/// Explores a model. Gives the properties that do not hold.
fn explore(protocol: &Protocol) -> (usize, Vec<&'static str>) {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let checker = protocol
        .clone()
        .checker()
        .threads(threads)
        .spawn_bfs()
        .join();
    let found = checker.discoveries();
    let properties = protocol.properties();
    let fails = properties.iter().filter(|property| {
        let discovered = found.contains_key(property.name);
        // An example is wanted of what can happen, and none against what always holds.
        match property.expectation {
            stateright::Expectation::Sometimes => !discovered,
            _ => discovered,
        }
    });
    let mut failed: Vec<&str> = fails.map(|property| property.name).collect();
    // What fails already needs no long search.
    if failed.is_empty() && dead_ends::found(protocol) {
        failed.push(dead_ends::NAME);
    }
    (checker.unique_state_count(), failed)
}

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
    let mut wrong = false;
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

fn named(failed: &[&str]) -> String {
    match failed {
        [] => "nothing".into(),
        failed => failed.join("; "),
    }
}
