//! `sim`: the engine in simulated networks.

mod bulk;
mod costs;
mod describe;
mod order;
mod page;
mod shared;
mod summary;

use crate::args::{SimArgs, SimCommand};
use crate::failure::{Failure, Kind, Outcome};
use crate::out::Out;
use crate::plain::harmless;
use bulk::Bulk;
use indicatif::{ProgressBar, ProgressStyle};
use order::{beside, prepare, repeat, unfit};
use ostrakon::node::api::ErrorKind;
use ostrakon::sim::report::Report;
use ostrakon::sim::{self, shipped};
use ostrakon_netsim::scenario::Scenario;
use serde::Serialize;
use std::sync::{Arc, OnceLock};

/// The last seed: scenarios are TOML, whose whole numbers end there.
const LAST_SEED: u64 = i64::MAX as u64;

/// Does it. The work blocks, so it has a thread of its own.
///
/// # Errors
/// A scenario that does not read, an order that makes no sense, or a violation.
pub async fn run(out: Out, command: SimCommand) -> Outcome {
    // Of many seeds, what has ended is told even if the others do not.
    let many = Arc::new(OnceLock::new());
    let seeds = many.clone();
    let work = move || match command {
        SimCommand::List => list(out),
        SimCommand::Run(args) => run_scenario(out, args, &seeds),
    };
    let ended = tokio::task::spawn_blocking(work);
    tokio::select! {
        ended = ended => ended.unwrap_or_else(|_| {
            let next = "run it again with the same seed and report what it prints";
            Err(Failure::new(Kind::Other, "the simulation ended by a defect", next))
        }),
        _ = tokio::signal::ctrl_c() => {
            many.get().map_or(Ok(()), Bulk::stop)?;
            Err(Failure {
                kind: Kind::Interrupted,
                text: "stopped".into(),
                message: None,
            })
        }
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

fn run_scenario(out: Out, args: SimArgs, many: &OnceLock<Bulk>) -> Outcome {
    let seed = args.seeds.map(|seeds| seeds.last).or(args.seed);
    if let Some(seed) = seed.filter(|seed| *seed > LAST_SEED) {
        return Err(Failure::api(
            ErrorKind::Usage,
            format!("there is no seed {seed}"),
            format!("give whole numbers from 0 to {LAST_SEED}"),
        ));
    }
    let scenario = prepare(&args)?;
    match args.seeds {
        Some(seeds) => many
            .get_or_init(|| Bulk::new(out, args, seeds, scenario))
            .run(),
        None => one(out, &args, &scenario),
    }
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
    let (mut outcome, series) = ran.map_err(|error| unfit(args, error))?;
    if let Some(other) = beside(args, scenario) {
        let other = sim::run(&other, seed, &mut |_| {});
        outcome.put_beside(other.map_err(|error| unfit(args, error))?);
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
