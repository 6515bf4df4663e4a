//! What went wrong, one line each, over the time of the run.

use super::axis::{Axis, Frame, Kind};
use super::figure::figure;
use super::svg::{Anchor, COLOURS, GRID, INK, Svg};
use super::{Report, WIDTH};
use crate::sim::tally::seconds;

/// Lines that are drawn.
const DRAWN: usize = 30;
const LINE: f64 = 17.0;

/// The figure; nothing if nothing went wrong.
pub fn plot(report: &Report<'_>) -> String {
    let all = &report.series.troubles;
    if all.is_empty() {
        return String::new();
    }
    let drawn = &all[..all.len().min(DRAWN)];
    let height = LINE * drawn.len() as f64;
    let mut svg = Svg::new(WIDTH, height + 50.0, "What went wrong, over time");
    let frame = Frame {
        left: 66.0,
        top: 6.0,
        width: WIDTH - 82.0,
        height,
        x: report.time_axis(),
        y: Axis::to(Kind::Share, 1.0),
    };
    for (value, _) in frame.x.ticks(8) {
        let (x, _) = frame.at(value, 0.0);
        svg.line((x, frame.top), (x, frame.bottom()), GRID, 1.0);
    }
    for (i, trouble) in drawn.iter().enumerate() {
        let y = frame.top + LINE * i as f64;
        let left = frame.at(seconds(trouble.from), 0.0).0;
        let right = frame.at(seconds(trouble.until), 0.0).0.max(left + 2.5);
        svg.rect((left, y + 4.0), (right - left, LINE - 8.0), COLOURS[1], 0.5);
        // The text stands where there is room.
        let middle = frame.left + frame.width / 2.0;
        let (x, anchor) = match right {
            right if right < middle || left < middle && right < frame.left + frame.width * 0.7 => {
                (right + 6.0, Anchor::Start)
            }
            _ if left > frame.left + frame.width * 0.4 => (left - 6.0, Anchor::End),
            _ => (left + 6.0, Anchor::Start),
        };
        svg.text((x, y + 12.5), anchor, INK, &trouble.what);
    }
    frame.columns(&mut svg, 8, true);
    let middle = frame.left + frame.width / 2.0;
    let below = (middle, frame.bottom() + 34.0);
    svg.text(below, Anchor::Middle, INK, "time since the scenario began");
    let more = match all.len() - drawn.len() {
        0 => String::new(),
        more => format!(" {more} more are left out."),
    };
    figure(
        &svg.finish(),
        &format!("What went wrong, and for how long.{more}"),
    )
}
