//! `sim`: the engine in simulated networks.

mod bulk;
mod costs;
mod describe;
mod page;
mod shared;

use crate::args::{SimArgs, SimCommand};
use crate::failure::{Failure, Kind, Outcome};
use crate::out::Out;
use crate::plain::harmless;
use indicatif::{ProgressBar, ProgressStyle};
use ostrakon::node::api::ErrorKind;
use ostrakon::sim::report::Report;
use ostrakon::sim::{self, shipped};
use ostrakon_netsim::scenario::{Mode, Problem, Scenario, ScenarioError};
use serde::Serialize;

/// The last seed: scenarios are TOML, whose whole numbers end there.
const LAST_SEED: u64 = i64::MAX as u64;

/// Does it. The work blocks, so it has a thread of its own.
///
/// # Errors
/// A scenario that does not read, or a violation.
pub async fn run(out: Out, command: SimCommand) -> Outcome {
    let work = move || match command {
        SimCommand::List => list(out),
        SimCommand::Run(args) => run_scenario(out, &args),
    };
    let ended = tokio::task::spawn_blocking(work);
    tokio::select! {
        ended = ended => ended.unwrap_or_else(|_| {
            let next = "run it again with the same seed and report what it prints";
            Err(Failure::new(Kind::Other, "the simulation ended by a defect", next))
        }),
        _ = tokio::signal::ctrl_c() => Err(Failure {
            kind: Kind::Interrupted,
            text: "stopped".into(),
            message: None,
        }),
    }
}

fn list(out: Out) -> Outcome {
    #[derive(Serialize)]
    struct Entry {
        name: String,
        title: String,
    }
    let all = shipped::all();
    let entries: Vec<Entry> = all
        .into_iter()
        .map(|(name, title)| Entry { name, title })
        .collect();
    out.show(&entries, || {
        let line = |entry: &Entry| format!("{:18} {}\n", entry.name, entry.title);
        let lines: String = entries.iter().map(line).collect();
        format!("{lines}\nRun one with: ostrakon sim run NAME\n")
    })
}

fn run_scenario(out: Out, args: &SimArgs) -> Outcome {
    let seed = args.seeds.map(|seeds| seeds.last).or(args.seed);
    if let Some(seed) = seed.filter(|seed| *seed > LAST_SEED) {
        return Err(Failure::api(
            ErrorKind::Usage,
            format!("there is no seed {seed}"),
            format!("give whole numbers from 0 to {LAST_SEED}"),
        ));
    }
    let scenario = prepare(args).map_err(unread)?;
    match args.seeds {
        Some(seeds) => bulk::run(out, args, &scenario, seeds),
        None => one(out, args, &scenario),
    }
}

/// The same scenario in mode `model`, to be run beside it: where it is for mode `quic` by itself, and not because that
/// was asked for, and can be.
fn beside(args: &SimArgs, scenario: &Scenario) -> Option<Scenario> {
    let set = |change: &String| {
        change
            .split('=')
            .next()
            .is_some_and(|key| key.trim() == "mode")
    };
    let asked = args.mode.is_some() || args.set.iter().any(set);
    (scenario.mode == Mode::Quic && !asked && sim::runs_in_model(scenario)).then(|| Scenario {
        mode: Mode::Model,
        ..scenario.clone()
    })
}

fn prepare(args: &SimArgs) -> Result<Scenario, ScenarioError> {
    let mut scenario = shipped::find(&args.scenario)?;
    for change in &args.set {
        let (key, value) = change.split_once('=').unwrap_or((change, ""));
        scenario.set(key.trim(), value.trim())?;
    }
    if let Some(mode) = &args.mode {
        scenario.set("mode", mode)?;
    }
    if args.faults {
        scenario.faults.random.push(None);
    }
    scenario.check_reach()?;
    Ok(scenario)
}

fn one(out: Out, args: &SimArgs, scenario: &Scenario) -> Outcome {
    let seed = args.seed.unwrap_or(scenario.seed);
    let place = match &args.report {
        Some(dir) => Some(page::place(dir, scenario, seed)?),
        None => None,
    };
    let bar = bar(
        scenario.duration / 1_000_000_000,
        "{elapsed} {wide_bar} {pos} of {len} s of the world",
    );
    let mut progress = |at| bar.set_position(at / 1_000_000_000);
    let ran = match &place {
        None => sim::run(scenario, seed, &mut progress).map(|outcome| (outcome, None)),
        Some(_) => sim::record(scenario, seed, &mut progress)
            .map(|(outcome, series)| (outcome, Some(series))),
    };
    bar.finish_and_clear();
    let (mut outcome, series) = ran.map_err(refused)?;
    if let Some(other) = beside(args, scenario) {
        outcome.put_beside(sim::run(&other, seed, &mut |_| {}).map_err(refused)?);
    }
    if let Some((place, series)) = place.as_ref().zip(series.as_ref()) {
        let report = Report {
            scenario,
            outcome: &outcome,
            series,
            command: &repeat(args, seed),
        };
        page::write(place, &report.page())?;
    }
    out.show(&outcome, || {
        let mut text = describe::outcome(&outcome);
        if let Some(place) = &place {
            text.push_str(&format!("report: {}\n", place.display()));
        }
        text
    })?;
    verdict(&outcome.violations)
}

/// The command that runs a seed again.
fn repeat(args: &SimArgs, seed: u64) -> String {
    let mut words = vec!["ostrakon sim run".to_owned(), quoted(&args.scenario)];
    words.push(format!("--seed {seed}"));
    if let Some(mode) = &args.mode {
        words.push(format!("--mode {}", quoted(mode)));
    }
    if args.faults {
        words.push("--faults".into());
    }
    if !args.set.is_empty() {
        words.push(format!("--set {}", quoted(&args.set.join(","))));
    }
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,%:+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A scenario that does not read. Who mistyped the name of a shipped one reads where they are listed.
fn unread(error: ScenarioError) -> Failure {
    let no_file = matches!(*error.problem, Problem::Read(_));
    let mut failure = refused(error);
    if no_file {
        failure.text += ", or the name of a shipped scenario (list them with: ostrakon sim list)";
    }
    failure
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure {
        kind: Kind::Api(ErrorKind::BadInput),
        text: harmless(&error.to_string()),
        message: None,
    }
}

fn verdict(violations: &[String]) -> Outcome {
    if violations.is_empty() {
        return Ok(());
    }
    let what = format!(
        "{} violations, the first: {}",
        violations.len(),
        harmless(&violations[0])
    );
    Err(Failure::new(
        Kind::Unproven,
        what,
        "the same scenario, seed and program give the same run again",
    ))
}

/// A bar on a terminal, nothing elsewhere.
fn bar(len: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::new(len);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
