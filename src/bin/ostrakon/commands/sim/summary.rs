//! What many seeds have shown together.

use super::costs::Costs;
use super::shared::Shared;
use crate::plain::one_line;
use ostrakon::sim::{Outcome, Share};
use serde::Serialize;
use std::fmt::Write as _;

/// Violations of a seed that are told; `--json` has all.
const TOLD: usize = 3;
/// Seeds with violations that are named.
const NAMED: usize = 20;

/// What many seeds have shown.
#[derive(Debug, Serialize)]
pub struct Summary {
    scenario: String,
    mode: &'static str,
    /// Seeds that were asked for: more than ran where the run was stopped.
    asked: u64,
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

/// What the seeds that have ended have shown.
#[derive(Default)]
pub struct Found {
    ran: u64,
    ratios: Vec<(f64, u64)>,
    joint: Vec<f64>,
    beside: Vec<(&'static str, f64)>,
    texts: Vec<f64>,
    text_costs: Vec<u64>,
    shares: Vec<Share>,
    violated: Vec<Violated>,
}

impl Found {
    /// Adds a run.
    pub fn add(&mut self, ran: Outcome) {
        let seed = ran.seed;
        self.ran += 1;
        self.ratios.extend(ran.ratio.map(|ratio| (ratio, seed)));
        self.joint.extend(ran.joint_ratio);
        let beside = ran.beside.as_ref();
        let ratio = beside.and_then(|other| Some((other.mode, other.ratio?)));
        self.beside.extend(ratio);
        self.texts.extend(ran.text_times());
        self.text_costs.extend(ran.text_costs());
        self.shares.extend(ran.shares);
        if !ran.violations.is_empty() {
            let violations = ran.violations;
            self.violated.push(Violated { seed, violations });
        }
    }

    /// How many seeds have violated something.
    pub fn violated(&self) -> usize {
        self.violated.len()
    }

    /// What they have violated, by seed.
    pub fn violations(&self) -> Vec<String> {
        let violated = self.violated.iter();
        violated
            .map(|violated| format!("seed {}: {}", violated.seed, violated.told()))
            .collect()
    }
}

/// What was asked for.
pub struct Asked<'a> {
    /// The scenario's name.
    pub scenario: &'a str,
    /// Its mode.
    pub mode: &'static str,
    /// How many seeds.
    pub seeds: u64,
    /// The command that runs one of them again.
    pub repeat: &'a dyn Fn(u64) -> String,
}

/// Sums it up.
pub fn summary(asked: &Asked<'_>, found: &mut Found) -> Summary {
    found.violated.sort_by_key(|violated| violated.seed);
    found.ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ratios: Vec<f64> = found.ratios.iter().map(|r| r.0).collect();
    found.joint.sort_by(f64::total_cmp);
    found.texts.sort_by(f64::total_cmp);
    found.text_costs.sort_unstable();
    let worst = found.ratios.first();
    let first = found.violated.first();
    Summary {
        scenario: asked.scenario.to_owned(),
        mode: asked.mode,
        asked: asked.seeds,
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
        repeat: first.map(|violated| (asked.repeat)(violated.seed)),
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

/// The same for people.
pub fn describe(summary: &Summary) -> String {
    let of = match summary.ran < summary.asked {
        true => format!(" of {}", summary.asked),
        false => String::new(),
    };
    let mut text = format!(
        "{}: {}{of} seeds ran, {} violated\n",
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
    /// first seed that violated something with the command that repeats it; and how many seeds of how many ran.
    #[test]
    fn the_summary_names_the_worst_and_the_first() {
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
        };
        let asked = Asked {
            scenario: "chaos",
            mode: "quic",
            seeds: 20,
            repeat: &|seed| format!("again {seed}"),
        };
        let summary = summary(&asked, &mut found);
        assert!(describe(&summary).starts_with("chaos: 9 of 20 seeds ran, 2 violated\n"));
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
        assert_eq!(summary.repeat.as_deref(), Some("again 3"));
    }
}
