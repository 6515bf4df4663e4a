//! Which links of a scenario run the QUIC library or pace themselves like it, how their ends are configured, and which of them know each other.

use super::build::{Attached, Plan, profile};
use super::line::Line;
use super::options;
use super::paced;
use super::quic::{self, Meeting, Side};
use crate::engine::io::LinkProfile;
use ostrakon_netsim::profile::Medium;
use ostrakon_netsim::scenario::{
    self, Carrier, Control, Mode, NodeKind, Problem, Scenario, ScenarioError, Start,
};
use ostrakon_transports::keys::{LinkKey, LinkSecret};
use ostrakon_transports::quic::parts::LEAST_MTU;
use ostrakon_transports::quic::{Congestion, QuicSettings};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// Whether links that run QUIC can, and those that are to be shared do.
///
/// # Errors
/// A link whose packets are too small for a handshake, or that is to be shared and runs no QUIC.
pub(super) fn check(scenario: &Scenario, media: &[Medium]) -> Result<(), ScenarioError> {
    for (link, medium) in scenario.links.iter().zip(media) {
        let refuse = |why: String| {
            let problem = Problem::Link {
                link: link.name.clone(),
                why,
            };
            ScenarioError {
                line: Some(link.line),
                ..options::error(scenario, problem)
            }
        };
        let runs = runs(scenario, link, medium);
        if link.control == Control::Shared && !runs {
            let why = "only a link both ways between two nodes of kind \"node\" can have \
                       `control = \"shared\"`: leave `control` out";
            return Err(refuse(why.into()));
        }
        let lines = [Line::out_of(medium, 0), Line::into(medium, 0)];
        // A handshake is padded to it.
        let least_udp = usize::from(LEAST_MTU);
        let small = |line: &Line| runs && line.mtu < least_udp;
        if let Some(line) = lines.into_iter().flatten().find(small) {
            let least = least_udp + line.overhead;
            let why = format!(
                "an `mtu` of {} has no room for the packets of {least_udp} bytes by which QUIC begins: give at least {least}, \
                 or mode = \"model\"",
                line.mtu + line.overhead
            );
            return Err(refuse(why));
        }
    }
    Ok(())
}

/// Whether a link runs the QUIC library.
pub(super) fn runs(scenario: &Scenario, link: &scenario::Link, medium: &Medium) -> bool {
    scenario.mode == Mode::Quic && is_quic(scenario, link, medium)
}

/// Whether the ends of a link pace themselves as QUIC does.
pub(super) fn pace_themselves(scenario: &Scenario, link: &scenario::Link, medium: &Medium) -> bool {
    scenario.mode == Mode::Model && is_quic(scenario, link, medium)
}

/// Whether a link is a pair of both ways between two nodes that speak QUIC. Relays of the simulation do not speak it.
fn is_quic(scenario: &Scenario, link: &scenario::Link, medium: &Medium) -> bool {
    let is_node = |place: &usize| {
        let node = scenario.nodes.get(*place);
        node.is_some_and(|node| node.kind == NodeKind::Node)
    };
    link.carrier == Carrier::Quic
        && matches!(medium, Medium::Pair { back: Some(_), .. })
        && link.ends.len() == 2
        && link.ends.iter().all(is_node)
}

/// An end that paces itself begins with what a connection of the field would: what is configured or remembered.
pub(super) fn paced_setup(profile: &LinkProfile, line: Option<Line>) -> paced::Setup {
    let settings = QuicSettings::of_path(profile.rate_bps, profile.rtt);
    paced::Setup {
        rtt: settings.initial_rtt,
        window: settings.initial_window(),
        overhead: line.map_or(0, |line| line.overhead as u64),
        mtu: profile.mtu,
    }
}

/// The first end of a link dials.
pub(super) fn setup(
    plan: &Plan<'_>,
    place: usize,
    at: &Attached<'_>,
    profile: &LinkProfile,
) -> quic::Setup {
    let identities = &plan.people.identities;
    let peer = at.link.ends[1 - at.station];
    quic::Setup {
        side: [Side::Dials, Side::Listens][at.station],
        secret: LinkSecret::from_seed(*identities[place].link_seed().bytes()),
        peer: LinkKey(identities[peer].link_key()),
        settings: QuicSettings {
            congestion: match at.link.control {
                Control::Own => Congestion::Model,
                Control::Shared => Congestion::Shared,
            },
            ..QuicSettings::of_path(profile.rate_bps, profile.rtt)
        },
        headers: Line::out_of(at.medium, at.station).map_or(0, |line| line.overhead),
    }
}

/// Ends of links that know each other before the scenario begins, by link and station.
pub(super) type Known = BTreeMap<(usize, usize), quic::Link>;

/// With `start = "warm"`, the ends of links that run QUIC have met.
pub(super) fn known(plan: &Plan<'_>, seed: u64) -> Known {
    let mut known = Known::new();
    if plan.scenario.start == Start::Cold {
        return known;
    }
    let mut rng = ChaCha20Rng::seed_from_u64(!seed);
    for (number, (link, medium)) in plan.scenario.links.iter().zip(plan.media).enumerate() {
        let lines = Line::out_of(medium, 0).zip(Line::into(medium, 0));
        let Some((out, back)) = lines.filter(|_| runs(plan.scenario, link, medium)) else {
            continue;
        };
        let meeting = Meeting {
            delays: [out.delay, back.delay],
            mtu: out.mtu.min(back.mtu),
        };
        let clock = plan.clock.earlier(meeting.lead());
        let mut end = |station: usize| {
            let place = link.ends[station];
            let at = Attached {
                link,
                number,
                medium,
                station,
            };
            let setup = setup(plan, place, &at, &profile(plan, place, &at));
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            quic::Link::new(setup, seed, clock.at(0))
        };
        // A key that is not usable is told of when the node starts.
        if let (Ok(mut first), Ok(mut second)) = (end(0), end(1)) {
            meeting.hold(&mut [&mut first, &mut second], clock);
            known.insert((number, 0), first);
            known.insert((number, 1), second);
        }
    }
    known
}
