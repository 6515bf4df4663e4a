//! Many seeds of one scenario, on all processors.

use super::order::{beside, repeat, unfit};
use super::summary::{Asked, Found, describe, summary};
use super::{bar, verdict};
use crate::args::SimArgs;
use crate::failure::{Failure, Outcome};
use crate::out::Out;
use crate::values::SeedRange;
use indicatif::ProgressBar;
use ostrakon::sim;
use ostrakon_netsim::scenario::{Scenario, ScenarioError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Seeds that are run, and what they have shown so far.
pub struct Bulk {
    out: Out,
    args: SimArgs,
    seeds: SeedRange,
    scenario: Scenario,
    /// What is run beside.
    other: Option<Scenario>,
    bar: ProgressBar,
    /// Nothing any more once it was told.
    found: Mutex<Option<Found>>,
    failed: Mutex<Option<Failure>>,
}

impl Bulk {
    /// None has run yet.
    pub fn new(out: Out, args: SimArgs, seeds: SeedRange, scenario: Scenario) -> Self {
        let bar = bar(
            seeds.last - seeds.first + 1,
            "{elapsed} {wide_bar} {pos} of {len} seeds, {msg}",
        );
        Self {
            out,
            seeds,
            other: beside(&args, &scenario),
            args,
            scenario,
            bar,
            found: Mutex::new(Some(Found::default())),
            failed: Mutex::default(),
        }
    }

    /// Runs them. With `--json` each prints a line, and the last line sums up.
    ///
    /// # Errors
    /// A scenario that cannot be, or violations.
    pub fn run(&self) -> Outcome {
        let next = AtomicU64::new(self.seeds.first);
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed > self.seeds.last || !self.one(seed) {
                    return;
                }
                let violated = self
                    .found()
                    .as_ref()
                    .is_some_and(|found| found.violated() > 0);
                if self.args.fail_fast && violated {
                    // Seeds below have begun before, and end.
                    next.store(self.seeds.last + 1, Ordering::Relaxed);
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        let failed = self.failed.lock();
        if let Some(failure) = failed.unwrap_or_else(PoisonError::into_inner).take() {
            self.bar.finish_and_clear();
            return Err(failure);
        }
        match self.tell()? {
            Some(found) => verdict(&found.violations()),
            // It was stopped.
            None => Ok(()),
        }
    }

    /// Tells what the seeds that have ended have shown. Those that run still are left alone, and not told of.
    ///
    /// # Errors
    /// If standard output does not take it.
    pub fn stop(&self) -> Outcome {
        self.tell().map(drop)
    }

    fn found(&self) -> MutexGuard<'_, Option<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what was found, once. Nothing comes after it: who prints holds what was found.
    fn tell(&self) -> Outcome<Option<Found>> {
        let mut held = self.found();
        self.bar.finish_and_clear();
        let Some(mut found) = held.take() else {
            return Ok(None);
        };
        let asked = Asked {
            scenario: &self.scenario.name,
            mode: self.scenario.mode.name(),
            seeds: self.seeds.last - self.seeds.first + 1,
            repeat: &|seed| repeat(&self.args, seed),
        };
        let summary = summary(&asked, &mut found);
        self.out.show(&summary, || describe(&summary))?;
        Ok(Some(found))
    }

    /// Runs a seed, and what is to run beside it. False if nothing more is to be run.
    fn one(&self, seed: u64) -> bool {
        let ran = self.both(seed);
        let mut held = self.found();
        let Some(found) = held.as_mut() else {
            return false;
        };
        let ran = ran.map_err(|error| unfit(&self.args, error));
        let shown = ran.and_then(|ran| {
            if self.out.json {
                self.out.object(&ran)?;
            }
            found.add(ran);
            Ok(())
        });
        if let Err(failure) = shown {
            let failed = self.failed.lock();
            *failed.unwrap_or_else(PoisonError::into_inner) = Some(failure);
            return false;
        }
        self.bar
            .set_message(format!("{} violated", found.violated()));
        self.bar.inc(1);
        true
    }

    fn both(&self, seed: u64) -> Result<sim::Outcome, ScenarioError> {
        let run = |scenario| sim::run(scenario, seed, &mut |_| {});
        let mut ran = run(&self.scenario)?;
        if let Some(other) = &self.other {
            ran.put_beside(run(other)?);
        }
        Ok(ran)
    }
}
