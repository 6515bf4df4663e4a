//! `sim`: the engine in simulated networks.

use crate::args::{SimArgs, SimCommand};
use crate::failure::{Failure, Kind, Outcome};
use crate::out::Out;
use crate::values::SeedRange;
use indicatif::{ProgressBar, ProgressStyle};
use ostrakon::node::api::ErrorKind;
use ostrakon::sim::{self, Outcome as Ran, shipped};
use ostrakon_netsim::scenario::{Scenario, ScenarioError};
use serde::Serialize;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds with violations that are named.
const NAMED: usize = 20;

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
        Some(seeds) => bulk(out, &scenario, seeds),
        None => one(out, &scenario, args.seed.unwrap_or(scenario.seed)),
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

fn one(out: Out, scenario: &Scenario, seed: u64) -> Outcome {
    let bar = bar(
        scenario.duration / 1_000_000_000,
        "{elapsed} {wide_bar} {pos} of {len} s of the world",
    );
    let ran = sim::run(scenario, seed, &mut |at| {
        bar.set_position(at / 1_000_000_000)
    });
    bar.finish_and_clear();
    let ran = ran.map_err(refused)?;
    out.show(&ran, || describe(&ran))?;
    verdict(&ran.violations)
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

fn describe(ran: &Ran) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}: {}", ran.scenario, ran.title);
    let _ = writeln!(
        text,
        "seed {}, mode {}, {}",
        ran.seed,
        ran.mode,
        ran.trace.as_ref().map_or(
            "no trace hash: the keys of QUIC follow from no seed".into(),
            |trace| format!("trace {trace}")
        )
    );
    let _ = writeln!(
        text,
        "{} events, {} packets, {} frames; {:.1} s of the world in {:.1} s",
        ran.events, ran.packets, ran.frames, ran.virtual_s, ran.wall_s
    );
    let _ = writeln!(
        text,
        "{} messages sent, {} delivered, {} confirmed",
        ran.sent, ran.delivered, ran.confirmed
    );
    if ran.messages.len() <= 10 {
        for message in &ran.messages {
            for part in &message.parts {
                let when = part.delivered_s.map_or("not delivered".into(), |at| {
                    format!("delivered after {:.3} s", at - message.at_s)
                });
                let _ = writeln!(
                    text,
                    "  {} to {}: {} ({} bytes) {when}",
                    message.from, message.to, part.name, part.bytes
                );
            }
        }
    }
    if let (Some(limit), Some(achieved), Some(ratio)) = (ran.limit_s, ran.achieved_s, ran.ratio) {
        let _ = writeln!(
            text,
            "the largest message took {achieved:.3} s; the limit is {limit:.3} s, ratio {ratio:.3}"
        );
    }
    if ran.links.len() <= 12 {
        for link in &ran.links {
            let _ = writeln!(
                text,
                "  {} {} to {}: offered {} B, lost {} B, {} packets dropped by the queue, arrived {} B",
                link.link,
                link.from,
                link.to,
                link.offered_bytes,
                link.lost_bytes,
                link.queue_dropped,
                link.delivered_bytes
            );
        }
    }
    if ran.dropped.len() <= 12 {
        for (node, reasons) in &ran.dropped {
            let reasons: Vec<String> = reasons
                .iter()
                .map(|(why, n)| format!("{n} × {why}"))
                .collect();
            let _ = writeln!(text, "  dropped by {node}: {}", reasons.join(", "));
        }
    }
    for violation in ran.violations.iter().take(NAMED) {
        let _ = writeln!(text, "VIOLATION {violation}");
    }
    text
}

/// What many seeds have shown.
#[derive(Serialize)]
struct Summary {
    scenario: String,
    mode: &'static str,
    ran: u64,
    violated: u64,
    first: Vec<Violated>,
}

#[derive(Clone, Serialize)]
struct Violated {
    seed: u64,
    violations: Vec<String>,
}

fn bulk(out: Out, scenario: &Scenario, seeds: SeedRange) -> Outcome {
    let total = seeds.last - seeds.first + 1;
    let bar = bar(total, "{elapsed} {wide_bar} {pos} of {len} seeds, {msg}");
    let next = AtomicU64::new(seeds.first);
    let violated = Mutex::new(Vec::new());
    let failed = Mutex::new(None);
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed > seeds.last {
            return;
        }
        match sim::run(scenario, seed, &mut |_| {}) {
            Ok(ran) => {
                if out.json && scenario.faults.random.is_empty() {
                    // A line a seed: these are measurements.
                    let _ = out.object(&ran);
                }
                if !ran.violations.is_empty()
                    && let Ok(mut all) = violated.lock()
                {
                    all.push(Violated {
                        seed,
                        violations: ran.violations,
                    });
                    bar.set_message(format!("{} violated", all.len()));
                }
            }
            Err(error) => {
                if let Ok(mut failed) = failed.lock() {
                    *failed = Some(refused(error));
                }
                return;
            }
        }
        bar.inc(1);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    if let Some(failure) = failed.into_inner().ok().flatten() {
        return Err(failure);
    }
    let mut violated = violated.into_inner().unwrap_or_default();
    violated.sort_by_key(|v: &Violated| v.seed);
    let summary = Summary {
        scenario: scenario.name.clone(),
        mode: scenario.mode.name(),
        ran: total,
        violated: violated.len() as u64,
        first: violated.iter().take(NAMED).cloned().collect(),
    };
    out.show(&summary, || summarize(&summary))?;
    let all: Vec<String> = violated
        .iter()
        .map(|v| format!("seed {}: {}", v.seed, v.violations.join("; ")))
        .collect();
    verdict(&all)
}

fn summarize(summary: &Summary) -> String {
    let mut text = format!(
        "{}: {} seeds ran, {} violated\n",
        summary.scenario, summary.ran, summary.violated
    );
    for violated in &summary.first {
        let _ = writeln!(
            text,
            "  seed {}: {}",
            violated.seed,
            violated.violations.join("; ")
        );
    }
    text
}
