//! Many messages at once: the share that has arrived over time, and how long it took, by priority.

use super::axis::{Axis, Frame, Kind};
use super::figure::{Key, figure, legend};
use super::svg::{Anchor, COLOURS, DASHES, GREY, INK, Svg};
use super::{Report, WIDTH, units};

/// Priorities in their order, and how each is drawn.
pub const PRIORITIES: [&str; 4] = ["urgent", "high", "normal", "bulk"];

/// Parts of one priority.
pub struct Group {
    /// Its place in [`PRIORITIES`].
    pub place: usize,
    /// How many there are, and their bytes.
    pub parts: usize,
    /// See `parts`.
    pub bytes: u64,
    /// When those that came were there, in order.
    pub delivered_s: Vec<f64>,
    /// How long they took, in order.
    pub took_s: Vec<f64>,
}

/// The parts of all messages by priority; those that are empty left out.
pub fn groups(report: &Report<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = (0..PRIORITIES.len())
        .map(|place| Group {
            place,
            parts: 0,
            bytes: 0,
            delivered_s: vec![],
            took_s: vec![],
        })
        .collect();
    for message in &report.outcome.messages {
        for part in &message.parts {
            let place = PRIORITIES.iter().position(|p| *p == part.priority);
            let Some(group) = place.and_then(|place| groups.get_mut(place)) else {
                continue;
            };
            group.parts += 1;
            group.bytes += part.bytes;
            group.delivered_s.extend(part.delivered_s);
            group
                .took_s
                .extend(part.delivered_s.map(|at| at - message.at_s));
        }
    }
    for group in &mut groups {
        group.delivered_s.sort_by(f64::total_cmp);
        group.took_s.sort_by(f64::total_cmp);
    }
    groups.retain(|group| group.parts > 0);
    groups
}

/// Both figures.
pub fn plots(report: &Report<'_>) -> String {
    let groups = groups(report);
    format!("{}{}", over_time(report, &groups), latencies(&groups))
}

fn frame(x: Axis) -> Frame {
    Frame {
        left: 66.0,
        top: 12.0,
        width: WIDTH - 82.0,
        height: 220.0,
        x,
        y: Axis::to(Kind::Share, 1.0),
    }
}

fn over_time(report: &Report<'_>, groups: &[Group]) -> String {
    let mut svg = Svg::new(
        WIDTH,
        270.0,
        "Share of parts delivered over time, by priority",
    );
    let frame = frame(report.time_axis());
    axes(&mut svg, &frame, "time since the scenario began");
    let mut sent: Vec<f64> = report
        .outcome
        .messages
        .iter()
        .map(|message| message.at_s)
        .collect();
    sent.sort_by(f64::total_cmp);
    staircase(&mut svg, &frame, &sent, sent.len(), GREY, "5 4");
    let mut keys = vec![Key::line(GREY, "5 4", "messages sent so far")];
    for group in groups {
        let (colour, dash) = style(group);
        staircase(
            &mut svg,
            &frame,
            &group.delivered_s,
            group.parts,
            colour,
            dash,
        );
        let text = format!(
            "{}: {} of {}",
            PRIORITIES[group.place],
            group.delivered_s.len(),
            group.parts
        );
        keys.push(Key::line(colour, dash, &text));
    }
    let caption = "Delivered over time: the share of all parts of each priority that their recipients have, verified.";
    figure(&format!("{}{}", legend(&keys), svg.finish()), caption)
}

fn latencies(groups: &[Group]) -> String {
    let all = || groups.iter().flat_map(|group| &group.took_s).copied();
    let least = all().fold(f64::INFINITY, f64::min).max(0.001);
    let most = all().fold(0.0, f64::max);
    if most <= least {
        return String::new();
    }
    let mut svg = Svg::new(WIDTH, 270.0, "How long parts took, by priority");
    let frame = frame(Axis {
        kind: Kind::LogTime,
        from: least * 0.8,
        to: most * 1.2,
    });
    axes(
        &mut svg,
        &frame,
        "time from sending to delivery (logarithmic)",
    );
    let mut keys = Vec::new();
    for group in groups.iter().filter(|group| !group.took_s.is_empty()) {
        let (colour, dash) = style(group);
        staircase(&mut svg, &frame, &group.took_s, group.parts, colour, dash);
        let median = quantile(&group.took_s, group.parts, 0.5);
        let median = median.map_or("less than half came".into(), |at| {
            format!("half within {}", units::time(at))
        });
        keys.push(Key::line(
            colour,
            dash,
            &format!("{}: {median}", PRIORITIES[group.place]),
        ));
    }
    let caption = "How long it took: the share of parts of each priority that were there within a time after sending. A line \
                   that ends below 100 % has parts that did not come.";
    figure(&format!("{}{}", legend(&keys), svg.finish()), caption)
}

/// The time within which a share of `of` parts came, if so many came. `took` is in order.
pub fn quantile(took: &[f64], of: usize, share: f64) -> Option<f64> {
    let place = (of as f64 * share).ceil() as usize;
    took.get(place.max(1) - 1).copied()
}

fn style(group: &Group) -> (&'static str, &'static str) {
    (
        COLOURS[group.place % COLOURS.len()],
        DASHES[group.place % DASHES.len()],
    )
}

fn axes(svg: &mut Svg, frame: &Frame, below: &str) {
    frame.rows(svg, 5);
    frame.columns(svg, 8, true);
    let middle = (frame.left + frame.width / 2.0, frame.bottom() + 34.0);
    svg.text(middle, Anchor::Middle, INK, below);
}

/// A line that goes up by one part of `of` at each time, in no more points than can be told apart.
fn staircase(svg: &mut Svg, frame: &Frame, times: &[f64], of: usize, colour: &str, dash: &str) {
    let mut points: Vec<(f64, f64)> = vec![frame.at(frame.x.from, 0.0)];
    for (i, at) in times.iter().enumerate() {
        let (x, y) = frame.at(*at, (i + 1) as f64 / of.max(1) as f64);
        match points.last_mut() {
            Some(last) if x - last.0 < 0.5 && i > 0 => last.1 = y,
            last => {
                let before = last.map_or(y, |last| last.1);
                points.extend([(x, before), (x, y)]);
            }
        }
    }
    let y = points.last().map_or(frame.bottom(), |last| last.1);
    if frame.x.kind == Kind::Time {
        points.push((frame.left + frame.width, y));
    }
    svg.polyline(&points, colour, 1.8, dash);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards the numbers of the table: what did not come counts as never, not as nothing.
    #[test]
    fn what_did_not_come_counts() {
        let took = [1.0, 2.0, 3.0];
        assert_eq!(quantile(&took, 3, 0.5), Some(2.0));
        assert_eq!(quantile(&took, 4, 0.5), Some(2.0));
        assert_eq!(quantile(&took, 10, 0.5), None);
        assert_eq!(quantile(&[], 1, 0.9), None);
    }
}
