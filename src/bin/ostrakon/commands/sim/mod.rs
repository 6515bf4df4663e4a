//! `sim`: the engine in simulated networks.

mod bulk;
mod describe;

use crate::args::{SimArgs, SimCommand};
use crate::failure::{Failure, Kind, Outcome};
use crate::out::Out;
use indicatif::{ProgressBar, ProgressStyle};
use ostrakon::node::api::ErrorKind;
use ostrakon::sim::report::Report;
use ostrakon::sim::{self, shipped};
use ostrakon_netsim::scenario::{Scenario, ScenarioError};
use serde::Serialize;
use std::path::{Path, PathBuf};

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
    let scenario = prepare(args).map_err(refused)?;
    match args.seeds {
        Some(seeds) => bulk::run(out, args, &scenario, seeds),
        None => one(out, args, &scenario),
    }
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
    let page = match &args.report {
        Some(dir) => Some(place_for_page(dir, scenario, seed)?),
        None => None,
    };
    let bar = bar(
        scenario.duration / 1_000_000_000,
        "{elapsed} {wide_bar} {pos} of {len} s of the world",
    );
    let mut progress = |at| bar.set_position(at / 1_000_000_000);
    let ran = match &page {
        None => sim::run(scenario, seed, &mut progress).map(|outcome| (outcome, None)),
        Some(_) => sim::record(scenario, seed, &mut progress)
            .map(|(outcome, series)| (outcome, Some(series))),
    };
    bar.finish_and_clear();
    let (outcome, series) = ran.map_err(refused)?;
    if let Some((page, series)) = page.as_ref().zip(series.as_ref()) {
        let report = Report {
            scenario,
            outcome: &outcome,
            series,
            command: &repeat(args, seed),
        };
        std::fs::write(page, report.page()).map_err(|why| cannot_write(page, &why))?;
    }
    out.show(&outcome, || {
        let mut text = describe::outcome(&outcome);
        if let Some(page) = &page {
            text.push_str(&format!("report: {}\n", page.display()));
        }
        text
    })?;
    verdict(&outcome.violations)
}

/// Where the page of a run goes. The folder is made before the run, which may take long.
fn place_for_page(dir: &Path, scenario: &Scenario, seed: u64) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(dir).map_err(|why| cannot_write(dir, &why))?;
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    let name: String = scenario.name.chars().map(plain).collect();
    Ok(dir.join(format!("{name}-{seed}.html")))
}

fn cannot_write(path: &Path, why: &std::io::Error) -> Failure {
    let next = "name a folder that you may write to after --report";
    Failure::new(
        Kind::Other,
        format!("cannot write {}: {why}", path.display()),
        next,
    )
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

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure {
        kind: Kind::Api(ErrorKind::BadInput),
        text: error.to_string(),
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
        violations[0]
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
