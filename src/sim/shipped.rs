//! The scenarios that come with the program, and one for every link profile.

use ostrakon_netsim::profile::{Medium, Profile};
use ostrakon_netsim::scenario::{Scenario, ScenarioError};
use std::path::Path;

/// Scenarios with a file of their own.
const FILES: [(&str, &str); 24] = [
    ("bursts", include_str!("scenarios/bursts.toml")),
    ("chaos", include_str!("scenarios/chaos.toml")),
    ("courier-only", include_str!("scenarios/courier-only.toml")),
    ("disaster", include_str!("scenarios/disaster.toml")),
    ("limit-bulk-0", include_str!("scenarios/limit-bulk-0.toml")),
    ("limit-bulk-1", include_str!("scenarios/limit-bulk-1.toml")),
    (
        "limit-bulk-10",
        include_str!("scenarios/limit-bulk-10.toml"),
    ),
    (
        "limit-bulk-20",
        include_str!("scenarios/limit-bulk-20.toml"),
    ),
    ("limit-bulk-5", include_str!("scenarios/limit-bulk-5.toml")),
    (
        "limit-burst-12",
        include_str!("scenarios/limit-burst-12.toml"),
    ),
    (
        "limit-burst-200",
        include_str!("scenarios/limit-burst-200.toml"),
    ),
    (
        "limit-geo-10mb",
        include_str!("scenarios/limit-geo-10mb.toml"),
    ),
    ("limit-mars", include_str!("scenarios/limit-mars.toml")),
    ("limit-outage", include_str!("scenarios/limit-outage.toml")),
    ("limit-shared", include_str!("scenarios/limit-shared.toml")),
    ("limit-text", include_str!("scenarios/limit-text.toml")),
    (
        "limit-three-links",
        include_str!("scenarios/limit-three-links.toml"),
    ),
    ("one-way", include_str!("scenarios/one-way.toml")),
    ("outage", include_str!("scenarios/outage.toml")),
    ("relay-chain", include_str!("scenarios/relay-chain.toml")),
    (
        "relay-courier",
        include_str!("scenarios/relay-courier.toml"),
    ),
    (
        "relay-thin-hop",
        include_str!("scenarios/relay-thin-hop.toml"),
    ),
    ("rollback", include_str!("scenarios/rollback.toml")),
    ("three-links", include_str!("scenarios/three-links.toml")),
];

/// The names of all shipped scenarios, each with what it shows.
pub fn all() -> Vec<(String, String)> {
    let files = FILES.iter().map(|(name, text)| {
        let title = Scenario::parse(name, text).map_or_else(|e| e.to_string(), |s| s.title);
        ((*name).to_owned(), title)
    });
    let profiles = Profile::all();
    let links = profiles
        .iter()
        .map(|p| (p.name().to_owned(), format!("one link: {}", p.title())));
    files.chain(links).collect()
}

/// A scenario by its shipped name, or from a file.
///
/// # Errors
/// [`ScenarioError`]: no such file, or a file that does not read.
pub fn find(name: &str) -> Result<Scenario, ScenarioError> {
    if let Some((name, text)) = FILES.iter().find(|(known, _)| *known == name) {
        return Scenario::parse(&format!("{name}.toml"), text);
    }
    match Profile::all().into_iter().find(|p| p.name() == name) {
        Some(profile) => Scenario::parse(&format!("{name}.toml"), &single(&profile)),
        None => Scenario::load(Path::new(name)),
    }
}

/// One link, a text, and a file that it carries in about two minutes if nothing else is said.
fn single(profile: &Profile) -> String {
    let (name, title) = (profile.name(), profile.title());
    let rate = match profile.medium() {
        Ok(Medium::Pair { forward, .. }) => forward.rate_bps.unwrap_or(10_000_000),
        Ok(Medium::Courier(_)) => 10_000_000,
        _ => 2_000,
    };
    let bytes = (rate * 15).clamp(2_000, 20_000_000);
    format!(
        r#"[scenario]
title = "{title}"
duration = "4d"

[[node]]
name = "a"
[[node]]
name = "b"

[[link]]
name = "{name}"
between = ["a", "b"]
profile = "{name}"

[[message]]
from = "a"
to = "b"
at = "1s"
parts = [{{ text = 160, priority = "urgent" }}, {{ file = {bytes}, name = "map", priority = "bulk" }}]

[expect]
delivered = "all"
"#
    )
}
