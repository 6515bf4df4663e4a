//! What came when: bytes of each part over time, with the limit drawn beside. For a few messages.

use super::axis::{Axis, Frame, Kind};
use super::figure::{Key, figure, legend};
use super::svg::{Anchor, COLOURS, DASHES, GREY, INK, Svg};
use super::{Report, WIDTH, units};
use crate::sim::tally::seconds;

/// Parts of less than this share of the largest are marked when they come, for their lines would lie on the axis.
const SMALL: f64 = 0.02;

/// A part, and when it was how much there.
struct Curve {
    label: String,
    bytes: u64,
    points: Vec<(f64, u64)>,
    delivered_s: Option<f64>,
}

/// The figure.
pub fn plot(report: &Report<'_>) -> String {
    let curves = curves(report);
    let most = curves.iter().map(|curve| curve.bytes).max().unwrap_or(0);
    let limit = &report.series.limit;
    let most = limit.last().map_or(most, |(_, bytes)| most.max(*bytes));
    let mut svg = Svg::new(WIDTH, 300.0, "Bytes of each part over time");
    let frame = Frame {
        left: 66.0,
        top: 12.0,
        width: WIDTH - 82.0,
        height: 250.0,
        x: report.time_axis(),
        y: Axis::to(Kind::Bytes, most as f64 * 1.04),
    };
    frame.rows(&mut svg, 5);
    frame.columns(&mut svg, 8, true);
    let middle = frame.left + frame.width / 2.0;
    let below = (middle, frame.bottom() + 34.0);
    svg.text(below, Anchor::Middle, INK, "time since the scenario began");
    let mut keys = Vec::new();
    if !limit.is_empty() {
        let mut points: Vec<_> = limit
            .iter()
            .map(|(at, bytes)| (seconds(*at), *bytes))
            .collect();
        points.retain(|(at, _)| *at <= frame.x.to);
        draw(&mut svg, &frame, &points, GREY, "5 4");
        let text = report.outcome.limit_s.map_or(String::new(), |limit| {
            format!(", {} after sending", units::time(limit))
        });
        keys.push(Key::line(
            GREY,
            "5 4",
            &format!("limit: no protocol can be above{text}"),
        ));
    }
    for (i, curve) in curves.iter().enumerate() {
        let (colour, dash) = (
            COLOURS[i % COLOURS.len()],
            DASHES[i / COLOURS.len() % DASHES.len()],
        );
        let when = curve.delivered_s.map_or("not delivered".into(), |at| {
            format!("there at {}", units::time(at))
        });
        let text = format!("{}, {}: {when}", curve.label, units::bytes(curve.bytes));
        if (curve.bytes as f64) < most as f64 * SMALL {
            if let Some(at) = curve.delivered_s {
                svg.dot(frame.at(at, 0.0), 4.5, colour);
            }
            keys.push(Key::dot(colour, &text));
        } else {
            draw(&mut svg, &frame, &curve.points, colour, dash);
            if let Some(at) = curve.delivered_s {
                svg.dot(frame.at(at, curve.bytes as f64), 4.0, colour);
            }
            keys.push(Key::line(colour, dash, &text));
        }
    }
    let caption = "Delivered over time: bytes of each part that its recipient holds or can compute. A dot marks the moment at \
                   which the whole part was verified and handed over.";
    let no_limit = match limit.is_empty() {
        true => " There is no limit to draw: the links bound nothing, or nothing could arrive.",
        false => "",
    };
    figure(
        &format!("{}{}", legend(&keys), svg.finish()),
        &format!("{caption}{no_limit}"),
    )
}

fn draw(svg: &mut Svg, frame: &Frame, points: &[(f64, u64)], colour: &str, dash: &str) {
    let points: Vec<_> = points
        .iter()
        .map(|(at, bytes)| frame.at(*at, *bytes as f64))
        .collect();
    svg.polyline(&points, colour, 1.8, dash);
}

fn curves(report: &Report<'_>) -> Vec<Curve> {
    let mut curves = Vec::new();
    let several = report.outcome.messages.len() > 1;
    for (m, message) in report.outcome.messages.iter().enumerate() {
        for (p, part) in message.parts.iter().enumerate() {
            let held = |held: &Vec<Vec<u64>>| held.get(m).and_then(|parts| parts.get(p)).copied();
            let samples = report.series.samples.iter();
            let mut points: Vec<(f64, u64)> = samples
                .filter_map(|sample| Some((seconds(sample.at), held(&sample.held)?)))
                .collect();
            // What is whole stays so; a line that goes on would only cross others.
            if let Some(at) = part.delivered_s {
                points.retain(|(then, _)| *then < at);
                points.push((at, part.bytes));
            }
            let first = points.iter().position(|(_, bytes)| *bytes > 0).unwrap_or(0);
            points.drain(..first.saturating_sub(1));
            let label = match several {
                true => format!("{} from {} to {}", part.name, message.from, message.to),
                false => part.name.clone(),
            };
            curves.push(Curve {
                label,
                bytes: part.bytes,
                points,
                delivered_s: part.delivered_s,
            });
        }
    }
    curves
}
