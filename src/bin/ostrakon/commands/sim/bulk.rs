//! Many seeds of one scenario, on all processors.

use super::costs::Costs;
use super::shared::Shared;
use super::{bar, beside, refused, repeat, verdict};
use crate::args::SimArgs;
use crate::failure::{Failure, Outcome};
use crate::out::Out;
use crate::plain::one_line;
use crate::values::SeedRange;
use indicatif::ProgressBar;
use ostrakon::sim::{self, Share};
use ostrakon_netsim::scenario::Scenario;
use serde::Serialize;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Violations of a seed that are told; `--json` has all.
const TOLD: usize = 3;
/// Seeds with violations that are named.
const NAMED: usize = 20;

/// What many seeds have shown.
#[derive(Debug, Serialize)]
struct Summary {
    scenario: String,
    mode: &'static str,
    /// Seeds that ran to their end.
    ran: u64,
    violated: u64,
    /// The ratio in the middle, and the least with its seed.
    median_ratio: Option<f64>,
    worst_ratio: Option<f64>,
    worst_ratio_seed: Option<u64>,
    /// The same of the joint ratios, and of what ran beside.
    median_joint_ratio: Option<f64>,
    beside: Option<Compared>,
    /// How links were shared with flows of others.
    shares: Option<Shared>,
    /// How long the texts of all seeds took together.
    texts: Option<Times>,
    /// What they cost beside their own bytes.
    text_costs: Option<Costs>,
    /// The first seeds that violated something.
    first: Vec<Violated>,
    /// The command that runs the first of them again.
    repeat: Option<String>,
}

/// Ratios of the runs in the other mode.
#[derive(Clone, Debug, Serialize)]
struct Compared {
    mode: &'static str,
    median_ratio: Option<f64>,
    worst_ratio: Option<f64>,
}

/// Times in seconds.
#[derive(Clone, Debug, Serialize)]
struct Times {
    count: usize,
    median_s: f64,
    p99_s: f64,
    worst_s: f64,
}

impl Times {
    /// Of times in order; none of none.
    fn of(times: &[f64]) -> Option<Self> {
        Some(Self {
            count: times.len(),
            median_s: median(times)?,
            p99_s: *p99(times)?,
            worst_s: *times.last()?,
        })
    }
}

#[derive(Clone, Debug, Serialize)]
struct Violated {
    seed: u64,
    violations: Vec<String>,
}

impl Violated {
    /// The first of its violations, and how many more there are.
    fn told(&self) -> String {
        let (told, more) = self.violations.split_at(self.violations.len().min(TOLD));
        let told = told.join("; ");
        match more.len() {
            0 => told,
            more => format!("{told}; and {more} more"),
        }
    }
}

/// What threads have found so far.
#[derive(Default)]
struct Found {
    ran: u64,
    ratios: Vec<(f64, u64)>,
    joint: Vec<f64>,
    beside: Vec<(&'static str, f64)>,
    texts: Vec<f64>,
    text_costs: Vec<u64>,
    shares: Vec<Share>,
    violated: Vec<Violated>,
    failed: Option<Failure>,
}

/// Runs them. With `--json` each prints a line, and the last line sums up.
///
/// # Errors
/// A scenario that cannot be, or violations.
pub fn run(out: Out, args: &SimArgs, scenario: &Scenario, seeds: SeedRange) -> Outcome {
    let bar = bar(
        seeds.last - seeds.first + 1,
        "{elapsed} {wide_bar} {pos} of {len} seeds, {msg}",
    );
    let next = AtomicU64::new(seeds.first);
    let other = beside(args, scenario);
    let runs = (scenario, other.as_ref());
    let found = Mutex::new(Found::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds.last || !one(out, runs, seed, &found, &bar) {
                return;
            }
            let violated = found.lock().is_ok_and(|found| !found.violated.is_empty());
            if args.fail_fast && violated {
                // Seeds below have begun before, and end.
                next.store(seeds.last + 1, Ordering::Relaxed);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    let mut found = found.into_inner().unwrap_or_default();
    if let Some(failure) = found.failed.take() {
        return Err(failure);
    }
    let summary = summary(args, scenario, &mut found);
    out.show(&summary, || describe(&summary))?;
    let all: Vec<String> = found
        .violated
        .iter()
        .map(|violated| format!("seed {}: {}", violated.seed, violated.told()))
        .collect();
    verdict(&all)
}

/// Runs a seed, and what is to run beside it. False if nothing more is to be run.
fn one(
    out: Out,
    (scenario, other): (&Scenario, Option<&Scenario>),
    seed: u64,
    found: &Mutex<Found>,
    bar: &ProgressBar,
) -> bool {
    let run = |scenario| sim::run(scenario, seed, &mut |_| {});
    let ran = run(scenario).and_then(|mut ran| {
        if let Some(other) = other {
            ran.put_beside(run(other)?);
        }
        Ok(ran)
    });
    let Ok(mut found) = found.lock() else {
        return false;
    };
    let ran = match ran {
        Ok(ran) => ran,
        Err(error) => {
            found.failed = Some(refused(error));
            return false;
        }
    };
    if out.json
        && let Err(failure) = out.object(&ran)
    {
        found.failed = Some(failure);
        return false;
    }
    found.ran += 1;
    found.ratios.extend(ran.ratio.map(|ratio| (ratio, seed)));
    found.joint.extend(ran.joint_ratio);
    let beside = ran.beside.as_ref();
    let ratio = beside.and_then(|other| Some((other.mode, other.ratio?)));
    found.beside.extend(ratio);
    found.texts.extend(ran.text_times());
    found.text_costs.extend(ran.text_costs());
    found.shares.extend(ran.shares);
    if !ran.violations.is_empty() {
        let violations = ran.violations;
        found.violated.push(Violated { seed, violations });
    }
    bar.set_message(format!("{} violated", found.violated.len()));
    bar.inc(1);
    true
}

fn summary(args: &SimArgs, scenario: &Scenario, found: &mut Found) -> Summary {
    found.violated.sort_by_key(|violated| violated.seed);
    found.ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ratios: Vec<f64> = found.ratios.iter().map(|r| r.0).collect();
    found.joint.sort_by(f64::total_cmp);
    found.texts.sort_by(f64::total_cmp);
    found.text_costs.sort_unstable();
    let worst = found.ratios.first();
    let first = found.violated.first();
    Summary {
        scenario: scenario.name.clone(),
        mode: scenario.mode.name(),
        ran: found.ran,
        violated: found.violated.len() as u64,
        median_ratio: median(&ratios),
        worst_ratio: worst.map(|r| r.0),
        worst_ratio_seed: worst.map(|r| r.1),
        median_joint_ratio: median(&found.joint),
        beside: compared(&found.beside),
        shares: Shared::of(&found.shares),
        texts: Times::of(&found.texts),
        text_costs: Costs::of(&found.text_costs),
        first: found.violated.iter().take(NAMED).cloned().collect(),
        repeat: first.map(|violated| repeat(args, violated.seed)),
    }
}

fn compared(beside: &[(&'static str, f64)]) -> Option<Compared> {
    let mut ratios: Vec<f64> = beside.iter().map(|(_, ratio)| *ratio).collect();
    ratios.sort_by(f64::total_cmp);
    Some(Compared {
        mode: beside.first()?.0,
        median_ratio: median(&ratios),
        worst_ratio: ratios.first().copied(),
    })
}

/// The middle of numbers in order, between two of them if they are even in number.
pub(super) fn median(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some((sorted.get(low)? + sorted.get(high)?) / 2.0)
}

/// The least of numbers in order that no more than one in a hundred exceeds.
pub(super) fn p99<T>(sorted: &[T]) -> Option<&T> {
    sorted.get((sorted.len() * 99).div_ceil(100).checked_sub(1)?)
}

fn describe(summary: &Summary) -> String {
    let mut text = format!(
        "{}: {} seeds ran, {} violated\n",
        one_line(&summary.scenario),
        summary.ran,
        summary.violated
    );
    if let (Some(median), Some(worst), Some(seed)) = (
        summary.median_ratio,
        summary.worst_ratio,
        summary.worst_ratio_seed,
    ) {
        let _ = writeln!(
            text,
            "  ratio to the limit: median {median:.3}, worst {worst:.3} (seed {seed})"
        );
    }
    if let Some(other) = &summary.beside
        && let (Some(median), Some(worst)) = (other.median_ratio, other.worst_ratio)
    {
        let mode = other.mode;
        let _ = writeln!(
            text,
            "  in mode {mode}: median {median:.3}, worst {worst:.3}"
        );
    }
    if let Some(shared) = &summary.shares {
        let _ = writeln!(text, "  {}", shared.line());
    }
    if let Some(texts) = &summary.texts {
        let _ = writeln!(
            text,
            "  {} texts: median {:.3} s, 99 of 100 within {:.3} s, worst {:.3} s",
            texts.count, texts.median_s, texts.p99_s, texts.worst_s
        );
    }
    if let Some(costs) = &summary.text_costs {
        let _ = writeln!(text, "  {}", costs.line());
    }
    for violated in &summary.first {
        let _ = writeln!(
            text,
            "  seed {}: {}",
            violated.seed,
            one_line(&violated.told())
        );
    }
    if let Some(repeat) = &summary.repeat {
        let _ = writeln!(text, "repeat with: {repeat}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards what the last line says: the middle and the worst ratio, those of the other mode, the times of texts, and the
    /// first seed that violated something with the command that repeats it.
    #[test]
    fn the_summary_names_the_worst_and_the_first() {
        let args = SimArgs {
            scenario: "my net.toml".into(),
            seed: None,
            seeds: None,
            fail_fast: false,
            faults: true,
            mode: None,
            set: vec!["rate=1mbit".into(), "loss=2%".into()],
            report: None,
        };
        let violated = |seed| Violated {
            seed,
            violations: vec!["x".into()],
        };
        let mut found = Found {
            ran: 9,
            ratios: vec![(0.9, 4), (0.5, 7), (0.8, 5)],
            joint: vec![0.4, 0.6],
            beside: vec![("model", 0.7), ("model", 0.9), ("model", 0.8)],
            texts: (1..=200).map(f64::from).collect(),
            text_costs: vec![],
            shares: vec![],
            violated: vec![violated(7), violated(3)],
            failed: None,
        };
        let scenario = sim::shipped::find("chaos").unwrap();
        let summary = summary(&args, &scenario, &mut found);
        assert_eq!(
            (summary.median_ratio, summary.worst_ratio_seed),
            (Some(0.8), Some(7))
        );
        assert_eq!(summary.first[0].seed, 3);
        assert_eq!(summary.median_joint_ratio, Some(0.5));
        let other = summary.beside.unwrap();
        assert_eq!(
            (other.median_ratio, other.worst_ratio),
            (Some(0.8), Some(0.7))
        );
        assert!(summary.shares.is_none());
        let texts = summary.texts.unwrap();
        assert_eq!(
            (texts.median_s, texts.p99_s, texts.worst_s),
            (100.5, 198.0, 200.0)
        );
        let again = "ostrakon sim run 'my net.toml' --seed 3 --faults --set rate=1mbit,loss=2%";
        assert_eq!(summary.repeat.as_deref(), Some(again));
    }
}
