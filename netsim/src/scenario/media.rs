//! What the links of a scenario are made of: profiles with their changes, contacts and timetables.

use std::time::Duration;

use crate::model::{Contact, ContactPlan, LinkSpec, SpecError, Stop};
use crate::profile::Medium;

use super::contacts::Occurrence;
use super::error::{Problem, ScenarioError};
use super::links::{Link, Shape};
use super::read::Scenario;

impl Scenario {
    /// What each link is made of: its profile with all changes, its contacts, and its timetable with places that are
    /// indexes into [`Link::ends`].
    ///
    /// # Errors
    ///
    /// Values or contacts that do not go together, which overrides may have caused.
    pub fn media(&self) -> Result<Vec<Medium>, ScenarioError> {
        let links = self.links.iter().zip(self.occurrences()?);
        let medium = |(link, times): (&Link, Option<Vec<Occurrence>>)| {
            medium(link, times.as_deref()).map_err(|why| {
                let (link, line) = (link.name.clone(), Some(link.line));
                let why = why.to_string();
                self.error(line, Problem::Link { link, why })
            })
        };
        links.map(medium).collect()
    }
}

fn medium(link: &Link, times: Option<&[Occurrence]>) -> Result<Medium, SpecError> {
    let mut medium = link.profile.medium()?;
    match (&mut medium, &link.shape) {
        (Medium::Pair { forward, back }, _) => {
            let plan = times.map(plan).transpose()?;
            let ways = [Some(forward), back.as_mut()].into_iter().zip(&link.traces);
            for (spec, trace) in ways.filter_map(|(spec, trace)| Some((spec?, trace))) {
                change(spec, plan.as_ref(), trace.as_ref());
                spec.validate()?;
            }
        }
        (Medium::Courier(spec), Shape::Courier { halts, every }) => {
            let place = |node: usize| link.ends.iter().position(|end| *end == node).unwrap_or(0);
            spec.stops = halts
                .iter()
                .map(|halt| {
                    let (arrive, leave) = (
                        Duration::from_nanos(halt.arrives),
                        Duration::from_nanos(halt.leaves),
                    );
                    Stop::new(place(halt.node), arrive, leave)
                })
                .collect();
            spec.every = every.map(Duration::from_nanos);
            spec.validate()?;
        }
        _ => {}
    }
    Ok(medium)
}

fn change(spec: &mut LinkSpec, plan: Option<&ContactPlan>, trace: Option<&crate::model::Trace>) {
    if let Some(plan) = plan {
        spec.contacts = Some(plan.clone());
    }
    if let Some(trace) = trace {
        spec.trace = Some(trace.clone());
    }
}

fn plan(times: &[Occurrence]) -> Result<ContactPlan, SpecError> {
    let contact = |time: &Occurrence| {
        let until = time.until.map(Duration::from_nanos);
        let mut contact = Contact::new(Duration::from_nanos(time.from), until);
        contact.rate_bps = time.rate_bps;
        contact.delay = time.delay.map(Duration::from_nanos);
        contact
    };
    ContactPlan::new(times.iter().map(contact).collect())
}
