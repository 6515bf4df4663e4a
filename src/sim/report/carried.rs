//! What each link carried: its rate against what it can, what it lost, what its queue dropped, and when it was not there.

use super::axis::{Axis, Frame, Kind};
use super::figure::{Key, figure, legend};
use super::svg::{Anchor, COLOURS, GREY, GRID, INK, Svg};
use super::{Report, WIDTH, units};
use crate::sim::outcome::LinkOutcome;
use crate::sim::series::{Carried, Sample};
use crate::sim::tally::seconds;

/// Rows that are drawn; the rest stands in the table.
const DRAWN: usize = 8;
/// Steps in which a row is drawn.
const STEPS: usize = 170;
/// Heights of a row's title, of its rates and of its losses.
const TITLE: f64 = 20.0;
const RATES: f64 = 74.0;
const LOSSES: f64 = 24.0;
const ROW: f64 = TITLE + RATES + LOSSES + 14.0;

/// What a link did between two moments.
struct Step {
    from: f64,
    to: f64,
    sent_bps: f64,
    delivered_bps: f64,
    lost: f64,
    dropped: u64,
}

/// The figure.
pub fn plot(report: &Report<'_>) -> String {
    let links = &report.outcome.links;
    let mut rows: Vec<usize> = (0..links.len())
        .filter(|row| links[*row].offered_packets > 0)
        .collect();
    let busy = rows.len();
    rows.sort_by_key(|row| std::cmp::Reverse(links[*row].sent_bytes));
    rows.truncate(DRAWN);
    rows.sort_unstable();
    if rows.is_empty() {
        return String::new();
    }
    let all: Vec<(usize, Vec<Step>)> = rows.iter().map(|row| (*row, steps(report, *row))).collect();
    let worst = all
        .iter()
        .flat_map(|(_, steps)| steps)
        .map(|step| step.lost)
        .fold(0.0, f64::max);
    let mut svg = Svg::new(
        WIDTH,
        ROW * rows.len() as f64 + 40.0,
        "What each link carried over time",
    );
    for (place, (row, steps)) in all.iter().enumerate() {
        let last = place + 1 == all.len();
        draw(
            &mut svg,
            report,
            &links[*row],
            steps,
            ROW * place as f64,
            worst,
            last,
        );
    }
    let middle = 66.0 + (WIDTH - 82.0) / 2.0;
    let below = ROW * rows.len() as f64 + 30.0;
    svg.text(
        (middle, below),
        Anchor::Middle,
        INK,
        "time since the scenario began",
    );
    let keys = [
        Key::area(COLOURS[0], 0.3, "arrived"),
        Key::line(COLOURS[0], "", "left the transmitter"),
        Key::line(GREY, "5 4", "what the link can carry"),
        Key::area(COLOURS[1], 0.9, "share of packets lost by chance"),
        Key::dot(COLOURS[3], "dropped by a full queue"),
        Key::area(GREY, 0.22, "no contact, or cut"),
    ];
    let step = report.axis_end() / STEPS as f64;
    let left_out = match busy - all.len() {
        0 => String::new(),
        _ => format!(
            " Drawn are the {} busiest of {busy} directions; the table has all.",
            all.len()
        ),
    };
    let caption = format!(
        "What each link carried, headers included, in steps of about {}. Below each, what it lost.{left_out}",
        units::time(step)
    );
    figure(&format!("{}{}", legend(&keys), svg.finish()), &caption)
}

fn draw(
    svg: &mut Svg,
    report: &Report<'_>,
    link: &LinkOutcome,
    steps: &[Step],
    top: f64,
    worst: f64,
    last: bool,
) {
    let peak = steps
        .iter()
        .map(|step| step.sent_bps.max(step.delivered_bps))
        .fold(0.0, f64::max);
    // A rate that is far above what is used would press everything flat.
    let can = link
        .rate_bps
        .map(|rate| rate as f64)
        .filter(|rate| *rate < peak * 20.0);
    let rates = Frame {
        left: 66.0,
        top: top + TITLE,
        width: WIDTH - 82.0,
        height: RATES,
        x: report.time_axis(),
        y: Axis::to(Kind::Rate, peak.max(can.unwrap_or(0.0)) * 1.08),
    };
    let losses = Frame {
        top: rates.bottom() + 4.0,
        height: LOSSES,
        y: Axis::to(Kind::Share, worst),
        ..rates
    };
    title(svg, link, &rates);
    for (from, until) in report.down(link) {
        let (left, right) = (
            rates.at(seconds(from), 0.0).0,
            rates.at(seconds(until), 0.0).0,
        );
        let size = ((right - left).max(0.6), RATES + LOSSES + 4.0);
        svg.rect((left, rates.top), size, GREY, 0.22);
    }
    rates.rows(svg, 3);
    let outline = |value: &dyn Fn(&Step) -> f64| -> Vec<(f64, f64)> {
        let ends = |step: &Step| {
            [
                rates.at(step.from, value(step)),
                rates.at(step.to, value(step)),
            ]
        };
        steps.iter().flat_map(ends).collect()
    };
    let mut area = outline(&|step| step.delivered_bps);
    area.insert(0, rates.at(0.0, 0.0));
    area.push(rates.at(steps.last().map_or(0.0, |step| step.to), 0.0));
    svg.area(&area, COLOURS[0], 0.3);
    svg.polyline(&outline(&|step| step.sent_bps), COLOURS[0], 1.1, "");
    if let Some(can) = can {
        let ends = [rates.at(0.0, can), rates.at(rates.x.to, can)];
        svg.polyline(&ends, GREY, 1.2, "5 4");
    }
    lost(svg, steps, &rates, &losses, worst);
    losses.columns(svg, 8, last);
}

fn title(svg: &mut Svg, link: &LinkOutcome, rates: &Frame) {
    let ends = match link.kind {
        "radio" => format!("sent by {}", link.from),
        "courier" => "courier".into(),
        _ => format!("{} → {}", link.from, link.to),
    };
    let name = format!("{}, {ends}", link.link);
    svg.text((rates.left, rates.top - 7.0), Anchor::Start, INK, &name);
    let rate = link
        .rate_bps
        .map_or("rate not fixed".into(), |rate| units::rate(rate as f64));
    let numbers = format!(
        "{rate}, {} delay, {} loss",
        units::time(link.delay_s),
        units::percent(link.nominal_loss)
    );
    svg.text(
        (rates.left + rates.width, rates.top - 7.0),
        Anchor::End,
        GREY,
        &numbers,
    );
}

/// Losses stand on the lowest axis, and what the queue dropped is marked above them.
fn lost(svg: &mut Svg, steps: &[Step], rates: &Frame, losses: &Frame, worst: f64) {
    let (left, right) = (rates.left, rates.left + rates.width);
    svg.line((left, rates.bottom()), (right, rates.bottom()), GRID, 1.0);
    if worst > 0.0 {
        let label = (left - 6.0, losses.top + LOSSES / 2.0 + 5.0);
        svg.text(label, Anchor::End, COLOURS[1], &units::percent(worst));
    }
    for step in steps
        .iter()
        .filter(|step| step.lost > 0.0 && step.to > step.from)
    {
        let (at, to) = (losses.at(step.from, step.lost), losses.at(step.to, 0.0));
        svg.rect(at, ((to.0 - at.0).max(0.8), to.1 - at.1), COLOURS[1], 0.9);
    }
    for step in steps.iter().filter(|step| step.dropped > 0) {
        let (x, _) = rates.at((step.from + step.to) / 2.0, 0.0);
        svg.dot((x, rates.bottom()), 2.6, COLOURS[3]);
    }
}

/// A row's samples, taken together to about [`STEPS`].
fn steps(report: &Report<'_>, row: usize) -> Vec<Step> {
    let samples = &report.series.samples;
    let carried = |sample: &Sample| sample.carried.get(row).copied().unwrap_or_default();
    let width = report.axis_end() / STEPS as f64;
    let mut steps = Vec::new();
    let mut before: Option<(f64, Carried)> = None;
    for (i, sample) in samples.iter().enumerate() {
        let (at, now) = (seconds(sample.at), carried(sample));
        let Some((from, was)) = before else {
            before = Some((at, now));
            continue;
        };
        if at - from < width * 0.999 && i + 1 < samples.len() {
            continue;
        }
        let bps = |bytes: u64| bytes as f64 * 8.0 / (at - from).max(1e-9);
        let lost = now.lost_packets - was.lost_packets;
        let sent = (now.sent_packets - was.sent_packets).max(lost);
        steps.push(Step {
            from,
            to: at,
            sent_bps: bps(now.sent.saturating_sub(was.sent)),
            delivered_bps: bps(now.delivered.saturating_sub(was.delivered)),
            lost: lost as f64 / sent.max(1) as f64,
            dropped: now.queue_dropped - was.queue_dropped,
        });
        before = Some((at, now));
    }
    steps
}
