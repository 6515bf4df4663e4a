//! Frames of plots: scales, ticks at round numbers, grids and labels.

use super::svg::{Anchor, GREY, GRID, INK, Svg};
use super::units;

/// What numbers along an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Seconds.
    Time,
    /// Seconds, each decade as wide as the next.
    LogTime,
    /// Bytes.
    Bytes,
    /// Bits a second.
    Rate,
    /// Shares of one.
    Share,
}

/// An axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// What it shows.
    pub kind: Kind,
    /// Its least value.
    pub from: f64,
    /// Its greatest.
    pub to: f64,
}

impl Axis {
    /// From 0 to at least `most`.
    pub fn to(kind: Kind, most: f64) -> Self {
        Self {
            kind,
            from: 0.0,
            to: if most > 0.0 { most } else { 1.0 },
        }
    }

    /// Where a value lies, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let (value, from, to) = match self.kind {
            Kind::LogTime => (
                libm::log10(value.max(self.from)),
                libm::log10(self.from),
                libm::log10(self.to),
            ),
            _ => (value, self.from, self.to),
        };
        ((value - from) / (to - from)).clamp(0.0, 1.0)
    }

    /// Round values with their labels, about `many` of them.
    pub fn ticks(&self, many: usize) -> Vec<(f64, String)> {
        match self.kind {
            Kind::LogTime => self.decades(),
            Kind::Time => {
                let (unit, name, steps) = self.time_unit();
                let round = self.round(unit, steps, many);
                let label = |v: f64| format!("{} {name}", plain(v / unit));
                round.into_iter().map(|v| (v, label(v))).collect()
            }
            Kind::Share => {
                let steps = [
                    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0,
                ];
                self.labelled(&steps, many, |v| short(&units::percent(v)))
            }
            Kind::Bytes => self.thousands(many, |v| units::bytes(v.round() as u64)),
            Kind::Rate => self.thousands(many, units::rate),
        }
    }

    /// The unit that suits a length of time: its seconds, its name and the steps that are round in it.
    fn time_unit(&self) -> (f64, &'static str, &'static [f64]) {
        const TENS: &[f64] = &[
            0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0,
        ];
        const SIXTIES: &[f64] = &[0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0];
        const HOURS: &[f64] = &[0.5, 1.0, 2.0, 3.0, 6.0, 12.0, 24.0];
        const DAYS: &[f64] = &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0];
        match self.to {
            to if to < 240.0 => (1.0, "s", TENS),
            to if to < 4.0 * 3600.0 => (60.0, "min", SIXTIES),
            to if to < 4.0 * 86_400.0 => (3600.0, "h", HOURS),
            _ => (86_400.0, "d", DAYS),
        }
    }

    fn round(&self, unit: f64, steps: &[f64], many: usize) -> Vec<f64> {
        let wanted = (self.to - self.from) / unit / many.max(1) as f64;
        let step = steps.iter().find(|step| **step >= wanted * 0.999);
        let step = step.or(steps.last()).copied().unwrap_or(1.0) * unit;
        let count = ((self.to - self.from) / step * 1.000_001) as usize;
        (0..=count.min(1000))
            .map(|i| self.from + i as f64 * step)
            .collect()
    }

    fn labelled(
        &self,
        steps: &[f64],
        many: usize,
        label: impl Fn(f64) -> String,
    ) -> Vec<(f64, String)> {
        let round = self.round(1.0, steps, many);
        round.into_iter().map(|v| (v, label(v))).collect()
    }

    /// Steps of 1, 2 or 5 times a power of ten.
    fn thousands(&self, many: usize, label: impl Fn(f64) -> String) -> Vec<(f64, String)> {
        let mut steps = Vec::new();
        let mut power = 1.0;
        while power < 1e15 {
            steps.extend([power, 2.0 * power, 5.0 * power]);
            power *= 10.0;
        }
        let mut ticks = self.labelled(&steps, many, |v| short(&label(v)));
        if let Some(zero) = ticks.first_mut() {
            zero.1 = "0".into();
        }
        ticks
    }

    fn decades(&self) -> Vec<(f64, String)> {
        const ROUND: [f64; 16] = [
            0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 6e6,
            6e7, 6e8, 6e9, 6e10,
        ];
        let inside = ROUND.iter().filter(|v| **v >= self.from && **v <= self.to);
        inside.map(|v| (*v, short(&units::time(*v)))).collect()
    }
}

/// A number without zeros at its end.
fn plain(value: f64) -> String {
    trimmed(&format!("{value:.2}")).to_owned()
}

/// A number with its unit, without zeros at the number's end.
fn short(label: &str) -> String {
    match label.split_once(' ') {
        Some((number, unit)) => format!("{} {unit}", trimmed(number)),
        None => label.to_owned(),
    }
}

fn trimmed(number: &str) -> &str {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    }
}

/// The frame of a plot within a drawing.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Its left edge.
    pub left: f64,
    /// Its upper edge.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// What lies along its lower edge.
    pub x: Axis,
    /// What lies along its left edge.
    pub y: Axis,
}

impl Frame {
    /// Where a pair of values lies in the drawing.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.left + self.x.place(x) * self.width,
            self.top + (1.0 - self.y.place(y)) * self.height,
        )
    }

    /// The lower edge.
    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Draws the grid and the labels at the left.
    pub fn rows(&self, svg: &mut Svg, many: usize) {
        for (value, label) in self.y.ticks(many) {
            let (left, y) = self.at(self.x.from, value);
            svg.line((left, y), (left + self.width, y), GRID, 1.0);
            svg.text((left - 6.0, y + 3.5), Anchor::End, GREY, &label);
        }
    }

    /// Draws the lower edge with its ticks and labels.
    pub fn columns(&self, svg: &mut Svg, many: usize, labels: bool) {
        let bottom = self.bottom();
        svg.line(
            (self.left, bottom),
            (self.left + self.width, bottom),
            INK,
            1.0,
        );
        for (value, label) in self.x.ticks(many) {
            let (x, _) = self.at(value, self.y.from);
            svg.line((x, bottom), (x, bottom + 4.0), INK, 1.0);
            if labels {
                svg.text((x, bottom + 16.0), Anchor::Middle, GREY, &label);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis, many: usize) -> Vec<String> {
        axis.ticks(many)
            .into_iter()
            .map(|(_, label)| label)
            .collect()
    }

    /// Guards that axes are labelled at round numbers with units, within their ends.
    #[test]
    fn ticks_are_round_and_have_units() {
        assert_eq!(
            labels(Axis::to(Kind::Time, 10.0), 5),
            ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s"]
        );
        assert_eq!(
            labels(Axis::to(Kind::Time, 86_400.0), 4),
            ["0 h", "6 h", "12 h", "18 h", "24 h"]
        );
        assert_eq!(
            labels(Axis::to(Kind::Bytes, 20e6), 4),
            ["0", "5 MB", "10 MB", "15 MB", "20 MB"]
        );
        assert_eq!(labels(Axis::to(Kind::Share, 1.0), 4).len(), 5);
        let log = Axis {
            kind: Kind::LogTime,
            from: 0.5,
            to: 100.0,
        };
        assert_eq!(labels(log, 4), ["1 s", "10 s", "60 s"]);
    }

    /// Guards that nothing is drawn outside of its frame, whatever the values.
    #[test]
    fn places_stay_within_the_frame() {
        let (x, y) = (Axis::to(Kind::Time, 10.0), Axis::to(Kind::Bytes, 0.0));
        let frame = Frame {
            left: 50.0,
            top: 10.0,
            width: 100.0,
            height: 40.0,
            x,
            y,
        };
        assert_eq!(frame.at(0.0, 0.0), (50.0, 50.0));
        assert_eq!(frame.at(99.0, -5.0), (150.0, 50.0));
        assert_eq!(frame.at(5.0, 7.0), (100.0, 10.0));
    }
}
