//! What a link is like: its profile, what differs from it, and what hosts want to know.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{Nanos, Trace};
use crate::profile::{Medium, Profile};
use crate::world::Notice;

use super::error::{Problem, ScenarioError, list, nearest};
use super::flows::CONTROLS;
use super::links::{Carrier, Halt, Link, Shape};
use super::places::Place;
use super::read::Files;
use super::table::Table;
use super::units;

/// Recorded rates, each file read once.
pub(super) struct Traces<'f> {
    files: Files<'f>,
    known: BTreeMap<String, Trace>,
}

impl<'f> Traces<'f> {
    pub(super) fn new(files: Files<'f>) -> Self {
        let known = BTreeMap::new();
        Self { files, known }
    }
}

/// Reads all but the name and the places of a link; what it gives has none.
pub(super) fn read(
    mut table: Table<'_>,
    place: Option<&Place>,
    traces: &mut Traces<'_>,
) -> Result<Link, ScenarioError> {
    let Some(wanted) = table.text("profile")? else {
        return Err(table.missing("profile", "the name of a profile, such as \"geo\""));
    };
    let Ok(mut profile) = Profile::named(&wanted.value) else {
        let problem = Problem::UnknownName {
            what: "profile",
            nearest: nearest(&wanted.value, Profile::names()),
            known: list(Profile::names()),
            name: wanted.value,
        };
        return Err(table.error(wanted.line, problem));
    };
    let carriers = [
        ("quic", Carrier::Quic),
        ("relay", Carrier::Relay),
        ("serial", Carrier::Serial),
        ("spool", Carrier::Spool),
    ];
    let by_default = match (place, profile.tells()) {
        (Some((_, Shape::Courier { .. })), _) => Carrier::Spool,
        (Some((_, Shape::Shared { .. })), _) | (_, true) => Carrier::Serial,
        _ => Carrier::Quic,
    };
    let carrier = table.word("kind", &carriers)?.unwrap_or(by_default);
    let control = table.word("control", &CONTROLS)?.unwrap_or_default();
    let told = [
        ("false", Notice::Nothing),
        ("true", Notice::Line),
        ("peer", Notice::Peer),
    ];
    let notice = table.word("told", &told)?.unwrap_or(match carrier {
        Carrier::Quic | Carrier::Relay => Notice::Peer,
        Carrier::Serial | Carrier::Spool => Notice::Line,
    });
    let cost = table.number("cost", 0..=u64::from(u32::MAX))?.unwrap_or(0) as u32;
    let assume_loss_ppm = table.share_ppm("assume-loss")?;
    let remembered = table.quantity("remembered-rate", units::rate, units::RATE)?;
    let traces = [
        trace(&mut table, "trace", traces)?,
        trace(&mut table, "trace-back", traces)?,
    ];
    for (key, value) in table.rest()? {
        let keys: Vec<&str> = profile.keys().iter().map(|key| key.name).collect();
        if !keys.contains(&key.as_str()) {
            return Err(table.unknown(&key, value.line, &keys));
        }
        let set = profile.set(&key, &value.value);
        set.map_err(|why| table.error(value.line, Problem::Profile(why)))?;
    }
    Ok(Link {
        name: String::new(),
        group: None,
        ends: Vec::new(),
        shape: Shape::Between,
        profile,
        traces,
        carrier,
        control,
        notice,
        cost,
        assume_loss_ppm,
        remembered_bps: remembered.map(|found| found.value),
        line: table.line,
    })
}

fn trace(
    table: &mut Table<'_>,
    key: &'static str,
    traces: &mut Traces<'_>,
) -> Result<Option<Trace>, ScenarioError> {
    let Some(name) = table.text(key)? else {
        return Ok(None);
    };
    let wrong = |why: String| {
        let file = name.value.clone();
        table.error(name.line, Problem::Trace { file, why })
    };
    if let Some(trace) = traces.known.get(&name.value) {
        return Ok(Some(trace.clone()));
    }
    let text = (traces.files)(&name.value).map_err(|why| {
        wrong(format!(
            "{why}; give the path of a readable, regular file, and at most 64 MiB of traces in all"
        ))
    })?;
    let trace = Trace::parse(&text).map_err(|why| wrong(why.to_string()))?;
    traces.known.insert(name.value.clone(), trace.clone());
    Ok(Some(trace))
}

/// Makes of a shape what the medium of a profile can be.
pub(super) fn fit(
    shape: Shape,
    ends: &[usize],
    profile: &Profile,
) -> Result<(Vec<usize>, Shape), &'static str> {
    let medium = profile.medium();
    let shape = match (shape, medium) {
        // What is wrong with the profile shows later.
        (shape, Err(_)) => shape,
        (shape @ Shape::Between, Ok(Medium::Pair { .. }))
        | (shape @ Shape::Shared { .. }, Ok(Medium::Channel(_)))
        | (shape @ Shape::Courier { .. }, Ok(Medium::Courier(_))) => shape,
        (Shape::Between, Ok(Medium::Channel(_))) => Shape::Shared { hears: None },
        (Shape::Between, Ok(Medium::Courier(spec))) => Shape::Courier {
            halts: spec
                .stops
                .iter()
                .filter_map(|stop| {
                    Some(Halt {
                        node: *ends.get(stop.place)?,
                        arrives: nanos(stop.arrive),
                        leaves: nanos(stop.leave),
                    })
                })
                .collect(),
            every: spec.every.map(nanos),
        },
        (Shape::Shared { .. }, Ok(_)) => {
            return Err(
                "`stations` share a radio channel: take a profile of one, such as \"vhf-1200\"",
            );
        }
        (Shape::Courier { .. }, Ok(_)) => {
            return Err(
                "a `timetable` is a courier's: take a profile of one, such as \"bus-mule\"",
            );
        }
    };
    Ok((ends.to_vec(), shape))
}

pub(super) fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}
