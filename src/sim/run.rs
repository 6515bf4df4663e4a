//! Runs a scenario under a seed, in the mode that it names, and tells what came of it.

use super::bound::{self, Counted, Span};
use super::build;
use super::check::{Witness, once_each, overfull, violations};
use super::expect::unmet;
use super::log::Log;
use super::machine::Machine;
use super::outcome::Outcome;
use super::promise;
use super::series::{Recorder, Series};
use super::shares::Watch;
use super::tally::{self, seconds};
use data_encoding::HEXLOWER;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::profile::Medium;
use ostrakon_netsim::scenario::{Message, Mode, Scenario, ScenarioError};
use ostrakon_netsim::world::{Fault, FaultKind, HostId, When, World};
use std::time::Instant;

/// How often it is looked whether everything is over.
const LOOK: Nanos = 1_000_000_000;

/// Runs a scenario to its end, or until every message is confirmed. `progress` is told the time of the world.
///
/// # Errors
/// [`ScenarioError`] if the scenario cannot be.
pub fn run(
    scenario: &Scenario,
    seed: u64,
    progress: &mut dyn FnMut(Nanos),
) -> Result<Outcome, ScenarioError> {
    let mut run = Run::new(scenario, seed)?;
    run.go(progress);
    run.outcome()
}

/// As [`run`], and takes down what happened meanwhile, for a report. What happens is the same.
///
/// # Errors
/// [`ScenarioError`] if the scenario cannot be.
pub fn record(
    scenario: &Scenario,
    seed: u64,
    progress: &mut dyn FnMut(Nanos),
) -> Result<(Outcome, Series), ScenarioError> {
    let mut run = Run::new(scenario, seed)?;
    run.recorder = Some(Recorder::new(&mut run.world));
    run.go(progress);
    let outcome = run.outcome()?;
    let (limit, number) = (run.limit_curve(), run.focus.number);
    let Run {
        recorder,
        scenario,
        media,
        mut world,
        ..
    } = run;
    let mut series = recorder.map_or_else(Series::default, |recorder| {
        recorder.finish(&scenario, &media, &mut world)
    });
    series.limit = limit;
    series.largest = number;
    Ok((outcome, series))
}

/// The message with the most bytes, which the bound is computed for.
struct Focus {
    /// Its number.
    number: usize,
    /// What the links had done when it was sent, and when it had been delivered.
    sent: Option<Counted>,
    delivered: Option<Counted>,
    /// How much the recipient had when it was last looked.
    seen: usize,
}

impl Focus {
    /// What its links have lost while it was under way.
    fn loss(&self, media: &[Medium], link: usize, way: usize) -> f64 {
        match (&self.sent, &self.delivered) {
            (Some(from), Some(to)) => Span { from, to }.loss(media, link, way),
            _ => bound::nominal_loss(media, link, way),
        }
    }
}

struct Run {
    scenario: Scenario,
    media: Vec<Medium>,
    world: World<Machine>,
    began: Instant,
    focus: Focus,
    recorder: Option<Recorder>,
    watch: Watch,
    /// When hosts start again, the last first, and what was found then.
    restarts: Vec<(Nanos, HostId)>,
    broken_promises: Vec<String>,
}

impl Run {
    fn new(scenario: &Scenario, seed: u64) -> Result<Self, ScenarioError> {
        let (mut scenario, media) = build::with_headers(scenario)?;
        scenario.seed = seed;
        let began = Instant::now();
        let (world, watch) = build::world(&scenario, &media, seed)?;
        let messages = scenario.messages.iter().enumerate();
        let largest = messages.max_by_key(|(_, message)| message.bytes());
        let number = largest.map_or(0, |(number, _)| number);
        let restarts = promise::restarts(&scenario);
        Ok(Self {
            scenario,
            media,
            world,
            began,
            focus: Focus {
                number,
                sent: None,
                delivered: None,
                seen: 0,
            },
            recorder: None,
            watch,
            restarts,
            broken_promises: Vec::new(),
        })
    }

    fn go(&mut self, progress: &mut dyn FnMut(Nanos)) {
        let messages = self.scenario.messages.iter();
        let quiet_from = messages.map(|m| m.at).chain(self.last_restore()).max();
        let quiet_from = quiet_from.unwrap_or(0);
        let sent_at = self.largest().map_or(0, |message| message.at);
        let end = self.watch.ends_at();
        let last = end.unwrap_or(self.scenario.duration);
        let mut look = 0;
        while look < last {
            look = (look + LOOK).min(last);
            if self.focus.sent.is_none() && sent_at <= look {
                self.run_until(sent_at);
                self.focus.sent = Some(tally::count(&self.scenario, &mut self.world));
            }
            self.run_until(look);
            progress(look);
            if end.is_none() && look > quiet_from && self.is_over() {
                break;
            }
        }
    }

    /// Runs until then, and takes down on the way what is to be taken down at a moment of its own.
    fn run_until(&mut self, until: Nanos) {
        loop {
            let sample = self.recorder.as_ref().map(Recorder::next_at);
            let restart = self.restarts.last().map(|(at, _)| *at);
            let mark = self.watch.next_at();
            let stop = [sample, restart, mark]
                .into_iter()
                .flatten()
                .fold(until, Nanos::min);
            let recipient = self.largest().map(|message| message.to);
            let seen = self.focus.seen;
            let arrived = |world: &World<Machine>| {
                let log = recipient.and_then(|place| tally::log(world, place));
                log.map_or(0, |log| log.arrived.len())
            };
            self.world.run_until(stop, |world| arrived(world) != seen);
            let now = arrived(&self.world);
            if now != seen {
                self.focus.seen = now;
                if self.focus.delivered.is_none() && self.focus_is_there() {
                    self.focus.delivered = Some(tally::count(&self.scenario, &mut self.world));
                }
                continue;
            }
            if let Some((_, host)) = self.restarts.pop_if(|(at, _)| *at <= stop) {
                let broken = promise::broken(&self.world, host);
                self.broken_promises.extend(broken);
            }
            if mark.is_some_and(|at| at <= stop) {
                self.watch.mark(&self.media, &mut self.world);
            }
            if let Some(recorder) = &mut self.recorder
                && sample.is_some_and(|at| at <= stop)
            {
                recorder.sample(&self.scenario, &self.media, &mut self.world);
            }
            let restart = self.restarts.last().map(|(at, _)| *at);
            let mut more = restart.into_iter().chain(self.watch.next_at());
            if stop >= until && !more.any(|at| at <= until) {
                return;
            }
        }
    }

    fn largest(&self) -> Option<&Message> {
        self.scenario.messages.get(self.focus.number)
    }

    fn focus_is_there(&self) -> bool {
        let there = || {
            let message = self.largest()?;
            let sender = tally::log(&self.world, message.from)?;
            let id = sender.message(self.focus.number as u64)?;
            let arrived = &tally::log(&self.world, message.to)?.arrived;
            arrived.contains_key(&(id, 0)).then_some(())
        };
        there().is_some()
    }

    /// Whether every message was confirmed or given up.
    fn is_over(&self) -> bool {
        let logs = self.world.hosts().filter_map(|(_, machine)| machine.node());
        let over: usize = logs.map(|node| node.log.over_messages()).sum();
        over >= self.scenario.messages.len()
    }

    fn drawn_loss(&self, link: usize, way: usize) -> f64 {
        self.focus.loss(&self.media, link, way)
    }

    /// When a part of the largest message can have been there at the earliest, by its bytes.
    fn limit_curve(&self) -> Vec<(Nanos, u64)> {
        const STEPS: u64 = 100;
        let Some(message) = self.largest() else {
            return Vec::new();
        };
        let bytes = message.bytes();
        let loss = |link: usize, way: usize| self.drawn_loss(link, way);
        let steps = (0..=STEPS).map(|step| (u128::from(bytes) * u128::from(step) / 100) as u64);
        let at = |bytes| bound::earliest(&self.scenario, &self.media, message, bytes, &loss);
        if at(bytes).is_none_or(|at| at <= message.at) {
            return Vec::new();
        }
        steps
            .filter_map(|bytes| Some((at(bytes)?, bytes)))
            .collect()
    }

    fn generations(&self) -> u32 {
        let machines = self.world.hosts().map(|(_, machine)| machine);
        let nodes = machines.filter_map(|machine| machine.node());
        nodes.map(|node| node.generations()).sum()
    }

    fn outcome(&mut self) -> Result<Outcome, ScenarioError> {
        let shares = self.watch.judge(&self.scenario, &self.media)?;
        let (scenario, media) = (&self.scenario, &self.media);
        let counted = tally::count(scenario, &mut self.world);
        let loss = |link: usize, way: usize| self.focus.loss(media, link, way);
        let links = tally::links(scenario, media, &counted, &mut self.world, Some(&loss));
        let world = &self.world;
        let messages = tally::messages(scenario, world);
        let logs: Vec<&Log> = (0..scenario.nodes.len())
            .filter_map(|place| tally::log(world, place))
            .collect();
        let (counts, wall_s) = (world.counts(), self.began.elapsed().as_secs_f64());
        let frames = logs.iter().map(|log| log.sent_frames).sum();
        let bytes: u64 = messages.iter().map(|message| message.bytes).sum();
        let offered: u64 = links.iter().map(|link| link.offered_bytes).sum();
        let (limit, nominal, achieved) = self.limits(&messages);
        let mut outcome = Outcome {
            scenario: scenario.name.clone(),
            title: scenario.title.clone(),
            mode: scenario.mode.name(),
            seed: scenario.seed,
            trace: (scenario.mode == Mode::Model).then(|| HEXLOWER.encode(&world.trace_hash())),
            events: counts.events,
            packets: counts.packets,
            frames,
            virtual_s: seconds(world.now()),
            wall_s,
            events_per_s: counts.events as f64 / wall_s.max(1e-9),
            frames_per_s: frames as f64 / wall_s.max(1e-9),
            sent: logs.iter().map(|log| log.sent.len() as u64).sum(),
            delivered: messages.iter().filter(|m| m.delivered_s.is_some()).count() as u64,
            confirmed: messages.iter().filter(|m| m.confirmed_s.is_some()).count() as u64,
            duplicates: logs.iter().map(|log| log.came_again).sum(),
            generations: self.generations(),
            overhead: (bytes > 0).then(|| offered as f64 / bytes as f64),
            achieved_s: achieved,
            limit_s: limit,
            nominal_limit_s: nominal,
            ratio: limit.zip(achieved).map(|(limit, took)| limit / took),
            joint_ratio: self
                .joint_limit(&messages)
                .zip(achieved)
                .map(|(limit, took)| limit / took),
            beside: None,
            messages,
            links,
            shares,
            dropped: tally::dropped(world),
            violations: self.violations(),
        };
        outcome.violations.extend(overfull(&outcome.links));
        let nothing = Watch::too_little(&outcome.shares);
        outcome.violations.extend(nothing);
        let unmet = unmet(&scenario.expect, &outcome);
        outcome.violations.extend(unmet);
        outcome.violations = once_each(outcome.violations);
        Ok(outcome)
    }

    /// For the largest message the bound from what this seed has lost, that from what is lost on average, and how long it
    /// took.
    fn limits(
        &self,
        messages: &[super::MessageOutcome],
    ) -> (Option<f64>, Option<f64>, Option<f64>) {
        let Some((message, seen)) = self.largest().zip(messages.get(self.focus.number)) else {
            return (None, None, None);
        };
        let bound = |loss: &dyn Fn(usize, usize) -> f64| {
            let at = bound::earliest(&self.scenario, &self.media, message, seen.bytes, loss);
            // Links without a fixed rate bound nothing: all bytes could be there at once.
            at.map(|at| seconds(at) - seen.at_s)
                .filter(|limit| *limit > 0.0)
        };
        (
            bound(&|link, way| self.drawn_loss(link, way)),
            bound(&|link, way| bound::nominal_loss(&self.media, link, way)),
            seen.delivered_s.map(|at| at - seen.at_s),
        )
    }

    /// The bound for all that came to the recipient of the largest message from its sender while that was under way.
    fn joint_limit(&self, messages: &[super::MessageOutcome]) -> Option<f64> {
        let (message, seen) = self.largest().zip(messages.get(self.focus.number))?;
        let until = seen.delivered_s?;
        let of_both = |m: &&super::MessageOutcome| (&m.from, &m.to) == (&seen.from, &seen.to);
        let meanwhile = |m: &&super::MessageOutcome| {
            m.at_s >= seen.at_s && m.delivered_s.is_some_and(|at| at <= until)
        };
        let all = messages.iter().filter(of_both).filter(meanwhile);
        let bytes = all.map(|m| m.bytes).sum();
        let loss = |link: usize, way: usize| self.drawn_loss(link, way);
        let at = bound::earliest(&self.scenario, &self.media, message, bytes, &loss)?;
        Some(seconds(at) - seen.at_s).filter(|limit| *limit > 0.0)
    }

    fn violations(&self) -> Vec<String> {
        let world = &self.world;
        let witnesses = world.hosts().filter_map(|(id, machine)| {
            let node = machine.node()?;
            Some(Witness {
                person: node.person_id()?,
                name: world.name(id),
                log: &node.log,
            })
        });
        let mut found = violations(&witnesses.collect::<Vec<_>>(), self.fastest_ppb());
        found.extend(self.broken_promises.iter().cloned());
        found.extend(self.false_alarms());
        found.extend(self.watch.too_early(self.is_over()));
        for (id, machine) in world.hosts() {
            if let Machine::Relay(relay) = machine
                && relay.peak_bytes > relay.room()
            {
                let (name, peak) = (world.name(id), relay.peak_bytes);
                found.push(format!(
                    "{name}: {peak} bytes waited before a port, where {} are the bound",
                    relay.room()
                ));
            }
        }
        found
    }

    /// Who took a home for an older one although no disk goes back.
    fn false_alarms(&self) -> Vec<String> {
        let plan = self.scenario.fault_plan(self.scenario.seed);
        let goes_back = |fault: &Fault| matches!(fault.kind, FaultKind::Restore { .. });
        let suspects = |machine: &Machine| machine.node().is_some_and(|node| node.log.alarms > 0);
        let hosts = self.world.hosts();
        let alarmed = hosts.filter(|(_, machine)| suspects(machine));
        let told = alarmed.map(|(id, _)| {
            let name = self.world.name(id);
            format!("{name}: a home was taken for an older one, and no disk has gone back")
        });
        match plan.faults.iter().any(goes_back) {
            true => Vec::new(),
            false => told.collect(),
        }
    }

    /// When the last machine goes back to an older disk.
    fn last_restore(&self) -> Option<Nanos> {
        let plan = self.scenario.fault_plan(self.scenario.seed);
        let restores = plan
            .faults
            .iter()
            .filter_map(|fault| match (fault.when, &fault.kind) {
                (When::At(at), FaultKind::Restore { off, .. }) => Some(at.saturating_add(*off)),
                _ => None,
            });
        restores.max()
    }

    /// By how many parts per billion faults make clocks fast at most.
    fn fastest_ppb(&self) -> u32 {
        let plan = self.scenario.fault_plan(self.scenario.seed);
        let drifts = plan.faults.iter().map(|fault| match fault.kind {
            FaultKind::ClockDrift { ppb, .. } => u32::try_from(ppb).unwrap_or(0),
            _ => 0,
        });
        drifts.max().unwrap_or(0)
    }
}
