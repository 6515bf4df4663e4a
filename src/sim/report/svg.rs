//! Drawings: elements of SVG 1.1 with numbers of one decimal, and text that cannot break out of its place.

use std::fmt::Write as _;

/// Blue, vermillion, green, purple, orange and sky: colours that people tell apart who see few, from Okabe and Ito,
/// "Color universal design" (2008).
pub const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#a6528c", "#b87700", "#3b8fc4",
];
/// Dashes of lines that follow each other, for print without colour.
pub const DASHES: [&str; 6] = ["", "7 3", "2 2.5", "9 3 2 3", "4 2", "1 3"];
/// Text and axes.
pub const INK: &str = "#1a1a1a";
/// What stands behind.
pub const GREY: &str = "#767676";
/// Lines of a grid.
pub const GRID: &str = "#e3e3e3";

/// Where a text stands relative to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

/// A drawing.
#[derive(Debug)]
pub struct Svg {
    body: String,
    width: f64,
    height: f64,
    about: String,
}

impl Svg {
    /// An empty one, in units of a CSS pixel. `about` says what it shows to those who cannot see it.
    pub fn new(width: f64, height: f64, about: &str) -> Self {
        Self {
            body: String::new(),
            width,
            height,
            about: escape(about),
        }
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        let _ = writeln!(
            self.body,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\" fill=\"none\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// A line through points.
    pub fn polyline(&mut self, points: &[(f64, f64)], colour: &str, width: f64, dash: &str) {
        if points.len() < 2 {
            return;
        }
        let dash = match dash {
            "" => String::new(),
            dash => format!(" stroke-dasharray=\"{dash}\""),
        };
        let _ = writeln!(
            self.body,
            "<path d=\"{}\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\" fill=\"none\"{dash}/>",
            path(points)
        );
    }

    /// A filled area.
    pub fn area(&mut self, points: &[(f64, f64)], colour: &str, opacity: f64) {
        if points.len() < 3 {
            return;
        }
        let _ = writeln!(
            self.body,
            "<path d=\"{}Z\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>",
            path(points)
        );
    }

    /// A filled rectangle, from its upper left corner.
    pub fn rect(&mut self, at: (f64, f64), size: (f64, f64), colour: &str, opacity: f64) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>",
            at.0,
            at.1,
            size.0.max(0.0),
            size.1.max(0.0)
        );
    }

    /// A dot.
    pub fn dot(&mut self, at: (f64, f64), radius: f64, colour: &str) {
        let _ = writeln!(
            self.body,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{colour}\" stroke=\"#fff\"/>",
            at.0, at.1
        );
    }

    /// A text.
    pub fn text(&mut self, at: (f64, f64), anchor: Anchor, colour: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.body,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{}</text>",
            at.0,
            at.1,
            escape(text)
        );
    }

    /// The element.
    pub fn finish(self) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {:.0}\" width=\"{:.0}\" height=\"{:.0}\" \
             role=\"img\" aria-label=\"{}\">\n{}</svg>\n",
            self.width, self.height, self.width, self.height, self.about, self.body
        )
    }
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::with_capacity(points.len() * 12);
    for (i, (x, y)) in points.iter().enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    path
}

/// A text in which nothing is markup, in HTML, in SVG and between double quotes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Neither HTML nor XML has these.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
