//! A run on one page: an HTML file that needs nothing else, neither another file nor a script, to be read, printed or put
//! into a paper.

mod axis;
mod carried;
mod delivered;
mod figure;
mod many;
mod svg;
mod tables;
mod troubles;
mod units;

use super::outcome::{LinkOutcome, Outcome};
use super::series::{FEW, Series};
use super::tally::seconds;
use axis::{Axis, Kind};
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::scenario::Scenario;
use std::fmt::Write as _;
use svg::escape;

/// The width of drawings, in CSS pixels.
const WIDTH: f64 = 760.0;
/// Violations that are named.
const NAMED: usize = 40;

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The scenario as it ran, changes included.
    pub scenario: &'a Scenario,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// What happened meanwhile.
    pub series: &'a Series,
    /// The command that does it again.
    pub command: &'a str,
}

impl Report<'_> {
    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let few = self.outcome.messages.len() <= FEW;
        let body = [
            self.head(),
            verdict(&self.outcome.violations),
            "<h2>Messages</h2>\n".into(),
            if few {
                delivered::plot(self)
            } else {
                many::plots(self)
            },
            tables::messages(self),
            "<h2>Links</h2>\n".into(),
            carried::plot(self),
            tables::links(self),
            troubles::plot(self),
            tables::dropped(self),
            self.repeat(),
        ];
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{} · seed {}</title>\n<style>\n{}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
            escape(&self.outcome.scenario),
            self.outcome.seed,
            include_str!("style.css"),
            body.concat()
        )
    }

    fn head(&self) -> String {
        let outcome = self.outcome;
        let title = match outcome.title.as_str() {
            "" => &outcome.scenario,
            title => title,
        };
        let mut out = format!("<h1>{}</h1>\n", escape(title));
        if !self.scenario.description.is_empty() {
            let _ = writeln!(
                out,
                "<p class=\"lead\">{}</p>",
                escape(&self.scenario.description)
            );
        }
        let _ = writeln!(
            out,
            "<p class=\"lead\">Scenario <code>{}</code>, seed {}, mode <code>{}</code>: {}.</p>",
            escape(&outcome.scenario),
            outcome.seed,
            escape(outcome.mode),
            match outcome.mode {
                "model" =>
                    "the engine of the field, on modelled links that pace themselves, in virtual time",
                _ =>
                    "the engine and the QUIC library of the field, on modelled links, in virtual time",
            }
        );
        out.push_str("<div class=\"figures\">\n");
        let all = outcome.messages.len();
        let mut figure = |value: String, what: &str| {
            let _ = writeln!(
                out,
                "<div><b>{}</b><span>{}</span></div>",
                escape(&value),
                escape(what)
            );
        };
        figure(
            format!("{} of {all}", outcome.delivered),
            "messages delivered",
        );
        figure(
            format!("{} of {all}", outcome.confirmed),
            "confirmed to their senders",
        );
        if let Some(took) = outcome.achieved_s {
            figure(units::time(took), "the largest took");
        }
        match outcome.limit_s {
            Some(limit) => figure(units::time(limit), "the limit for it"),
            None if all > 0 => figure("none".into(), "the limit for it, see below"),
            None => {}
        }
        if let Some(ratio) = outcome.ratio {
            figure(format!("{ratio:.3}"), "limit over achieved");
        }
        if let Some(overhead) = outcome.overhead {
            figure(format!("{overhead:.2}"), "bytes sent per byte of parts");
        }
        out.push_str("</div>\n");
        out
    }

    fn repeat(&self) -> String {
        let outcome = self.outcome;
        let rows = [
            (
                "trace",
                (outcome.trace.clone())
                    .unwrap_or_else(|| "none: the keys of QUIC follow from no seed".into()),
            ),
            ("time in the world", units::time(outcome.virtual_s)),
            ("time it took to compute", units::time(outcome.wall_s)),
            (
                "events, packets, frames",
                [outcome.events, outcome.packets, outcome.frames]
                    .map(units::count)
                    .join(", "),
            ),
            (
                "a second",
                format!(
                    "{} events, {} frames",
                    units::count(outcome.events_per_s as u64),
                    units::count(outcome.frames_per_s as u64)
                ),
            ),
            (
                "nominal limit",
                outcome.nominal_limit_s.map_or("none".into(), |limit| {
                    format!(
                        "{}, with the loss that links have on average",
                        units::time(limit)
                    )
                }),
            ),
        ];
        let rows =
            rows.map(|(what, value)| format!("<dt>{what}</dt><dd>{}</dd>\n", escape(&value)));
        format!(
            "<h2>The run</h2>\n<dl>\n{}</dl>\n<p>The same again{}:</p>\n\
             <pre>{}</pre>\n\
             <p>The limit is the earliest time at which the bytes of the largest message can be at the recipient if every link \
             carries its rate, less what it has lost to chance in this run, times 0.94, from its delay on and within its \
             contacts, all links at once. What a full queue drops is no loss but the sender’s doing. Radio channels and recorded \
             rates have no fixed rate: what they alone could bring has no limit.</p>\n",
            rows.concat(),
            if outcome.trace.is_some() {
                ", byte for byte, with the same program"
            } else {
                ""
            },
            escape(self.command)
        )
    }

    fn axis_end(&self) -> f64 {
        seconds(self.series.end).max(1e-3)
    }

    fn time_axis(&self) -> Axis {
        Axis::to(Kind::Time, self.axis_end())
    }

    /// When the link of a row was down.
    fn down(&self, row: &LinkOutcome) -> Vec<(Nanos, Nanos)> {
        let place = self
            .scenario
            .links
            .iter()
            .position(|link| link.name == row.link);
        let down = place.and_then(|place| self.series.down.get(place));
        down.cloned().unwrap_or_default()
    }
}

fn verdict(violations: &[String]) -> String {
    if violations.is_empty() {
        return "<p class=\"good\">No violation: nothing that was confirmed is lost, everything came out as it was sent and once, \
                no nonce met two contents, memory and queues kept to their bounds, and what the scenario expects came true.</p>\n"
            .into();
    }
    let named = violations
        .iter()
        .take(NAMED)
        .map(|what| format!("<li>{}</li>\n", escape(what)));
    let more = match violations.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("<p>And {more} more.</p>\n"),
    };
    format!(
        "<div class=\"bad\">\n<p><b>Violations: {}</b></p>\n<ul>\n{}</ul>\n{more}</div>\n",
        violations.len(),
        named.collect::<String>()
    )
}
