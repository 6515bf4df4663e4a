//! Flows of others on the links of a scenario: who they are, and how they get into a world.

use super::machine::Machine;
use super::options;
use super::quic::{Clock, FlowEnd};
use super::relay::Relay;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::profile::Medium;
use ostrakon_netsim::scenario::{Control, Flow, FlowControl, Mode, Scenario, ScenarioError};
use ostrakon_netsim::world::{HostId, LinkId, World};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// A flow as it takes part in a run.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    /// Its link, by place.
    pub link: usize,
    /// What it goes by.
    pub control: FlowControl,
    /// When it begins.
    pub at: Nanos,
    /// What its keys are made of.
    seed: [u8; 32],
}

impl Present {
    fn draw(rng: &mut ChaCha20Rng, flow: &Flow) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let late = rng.next_u64() % flow.spread.saturating_add(1);
        Self {
            link: flow.link,
            control: flow.control,
            at: flow.start.saturating_add(late),
            seed,
        }
    }
}

/// The flows that take part under a seed. Which others do changes nothing for one.
pub fn present(scenario: &Scenario, seed: u64) -> Vec<Present> {
    let flows = scenario.flows.iter().zip(1..);
    let drawn = flows.map(|(flow, stream)| {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Present::draw(&mut rng, flow)
    });
    drawn
        .filter(|flow| flow.control != FlowControl::Absent)
        .collect()
}

/// Puts flows on the links of a world, each with two hosts of its own. The hosts at the far ends, which count what comes.
///
/// # Errors
/// A link without a way back, over which no connection can be.
pub fn join(
    scenario: &Scenario,
    media: &[Medium],
    world: &mut World<Machine>,
    flows: &[Present],
    clock: Clock,
) -> Result<Vec<HostId>, ScenarioError> {
    let mut ends = Vec::with_capacity(flows.len());
    for (number, flow) in (1..).zip(flows) {
        let name = scenario.links.get(flow.link).map_or("", |link| &link.name);
        let refuse = |expected: &str| {
            let key = "link of [[flow]]".into();
            options::error(scenario, options::refused(key, name, expected))
        };
        if !matches!(
            media.get(flow.link),
            Some(Medium::Pair { back: Some(_), .. })
        ) {
            return Err(refuse("a link that goes both ways"));
        }
        let pair = FlowEnd::pair(clock, flow.control, flow.at, flow.seed);
        let pair = pair.map_err(|why| refuse(&format!("one that can be dialled: {why}")))?;
        let [first, second] = pair.map(|end| Machine::Flow(Box::new(end)));
        let first = world.add_host(format!("flow-{number}-from"), first);
        let second = world.add_host(format!("flow-{number}-to"), second);
        let joined = world.share_pair(LinkId(flow.link as u32), first, second);
        joined.map_err(|why| refuse(&why.to_string()))?;
        ends.push(second);
    }
    Ok(ends)
}

/// The world of a scenario in which flows are alone: its machines do nothing.
///
/// # Errors
/// As [`join`], and as [`Scenario::build`].
pub fn alone(
    scenario: &Scenario,
    media: &[Medium],
    seed: u64,
    flows: &[Present],
) -> Result<(World<Machine>, Vec<HostId>), ScenarioError> {
    let idle = || Machine::Relay(Box::new(Relay::new(0)));
    let mut world = scenario.build(seed, |_, _| idle())?;
    let ends = join(scenario, media, &mut world, flows, Clock::new())?;
    Ok((world, ends))
}

/// A flow that goes by CUBIC and begins at a moment, whatever the scenario says.
pub fn cubic(link: usize, at: Nanos, seed: u64) -> Present {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let (control, start, spread, line) = (FlowControl::Cubic, at, 0, 0);
    Present::draw(
        &mut rng,
        &Flow {
            link,
            control,
            start,
            spread,
            line,
        },
    )
}

/// Whether a scenario can run in mode `model`: nobody else uses its links, and none is to be shared.
pub fn runs_in_model(scenario: &Scenario) -> bool {
    let present = |flow: &Flow| flow.control != FlowControl::Absent;
    let shared = scenario
        .links
        .iter()
        .any(|link| link.control == Control::Shared);
    !shared && !scenario.flows.iter().any(present)
}

/// Refuses in mode `model` what only the QUIC library of mode `quic` can be.
///
/// # Errors
/// That mode, with flows of others or a link that is to be shared.
pub fn check_mode(scenario: &Scenario) -> Result<(), ScenarioError> {
    if runs_in_model(scenario) || scenario.mode == Mode::Quic {
        return Ok(());
    }
    let expected = "quic, which alone has flows of others and links with control = \"shared\"; or set flow=none where \
                    there are flows, and control=own";
    let problem = options::refused("mode".into(), scenario.mode.name(), expected);
    Err(options::error(scenario, problem))
}
