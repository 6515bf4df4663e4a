//! What stands around a drawing: its legend and its caption.

use super::svg::{Svg, escape};

/// An entry of a legend.
pub struct Key {
    sign: String,
    text: String,
}

impl Key {
    /// A line.
    pub fn line(colour: &str, dash: &str, text: &str) -> Self {
        let mut svg = Svg::new(26.0, 10.0, "");
        svg.polyline(&[(0.0, 5.0), (26.0, 5.0)], colour, 2.0, dash);
        Self::new(svg, text)
    }

    /// A dot.
    pub fn dot(colour: &str, text: &str) -> Self {
        let mut svg = Svg::new(12.0, 10.0, "");
        svg.dot((6.0, 5.0), 4.5, colour);
        Self::new(svg, text)
    }

    /// An area.
    pub fn area(colour: &str, opacity: f64, text: &str) -> Self {
        let mut svg = Svg::new(16.0, 10.0, "");
        svg.rect((0.0, 0.0), (16.0, 10.0), colour, opacity);
        Self::new(svg, text)
    }

    fn new(svg: Svg, text: &str) -> Self {
        Self {
            sign: svg.finish(),
            text: escape(text),
        }
    }
}

/// A legend.
pub fn legend(keys: &[Key]) -> String {
    let entries = keys
        .iter()
        .map(|key| format!("<li>{}{}</li>", key.sign, key.text));
    format!(
        "<ul class=\"legend\">{}</ul>\n",
        entries.collect::<String>()
    )
}

/// A figure with its caption.
pub fn figure(content: &str, caption: &str) -> String {
    format!(
        "<figure>\n{content}<figcaption>{}</figcaption>\n</figure>\n",
        escape(caption)
    )
}
