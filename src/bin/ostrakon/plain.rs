//! Numbers, names and tables for people.

use std::time::Duration;

/// A number of bytes, such as `6.0 MB`. Powers of 1000.
pub fn bytes(n: u64) -> String {
    scaled(n, "B")
}

/// A rate, such as `2.0 Mbit/s`. Powers of 1000.
pub fn rate(bits_per_second: u64) -> String {
    scaled(bits_per_second, "bit/s")
}

fn scaled(n: u64, unit: &str) -> String {
    if n < 1000 {
        return format!("{n} {unit}");
    }
    let mut value = n as f64;
    let mut prefix = "";
    for next in ["k", "M", "G", "T", "P"] {
        // What would be shown as 1000 of this takes the next prefix.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        prefix = next;
    }
    let digits = usize::from(value < 99.95);
    format!("{value:.digits$} {prefix}{unit}")
}

/// A length of time, such as `1.8 s`, `3 min 20 s` or `2 d 4 h`.
pub fn time(length: Duration) -> String {
    let ms = length.as_millis();
    let s = length.as_secs();
    match s {
        0 => format!("{ms} ms"),
        1..=59 => format!("{:.1} s", length.as_secs_f64()),
        60..=3599 => format!("{} min {} s", s / 60, s % 60),
        3600..=86_399 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// How much of `total` that is, in whole percent, rounded down so that 100 means all.
pub fn percent(part: u64, total: u64) -> u64 {
    if total == 0 {
        return 100;
    }
    (u128::from(part.min(total)) * 100 / u128::from(total)) as u64
}

/// How long ago a moment (seconds since 1970) was, such as `5 min 2 s ago`.
pub fn ago(then: u64) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    match now.checked_sub(then) {
        Some(0) | None => "just now".into(),
        Some(seconds) => format!("{} ago", time(Duration::from_secs(seconds))),
    }
}

/// The first characters of an identifier: enough for people, and for us to find it by.
pub fn short(uri: &str) -> &str {
    let body = uri.rsplit(':').next().unwrap_or(uri);
    body.get(..12).unwrap_or(body)
}

/// Text from others without what would steer the terminal: control characters, except line feed and tab, and
/// characters that change the direction of writing are shown as `�`.
pub fn harmless(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if steers(c) { '\u{fffd}' } else { c })
        .collect()
}

/// As [`harmless`], on one line.
pub fn one_line(text: &str) -> String {
    harmless(text).replace(['\n', '\t'], " ")
}

/// Which side the cells of a column lean to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lean {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Lines with aligned columns, two spaces apart; the first row is the heading. `lean` repeats its last value.
pub fn table(indent: usize, lean: &[Lean], rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = " ".repeat(indent);
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count().min(*width));
            let side = lean.get(column).or(lean.last()).copied();
            match side {
                Some(Lean::Right) => line.extend([pad.as_str(), cell]),
                _ => line.extend([cell, pad.as_str()]),
            }
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes keep two or three digits and never show as 1000 of a unit.
    #[test]
    fn sizes_and_times_read_well() {
        let shown: Vec<String> = [0, 999, 1000, 9_950, 99_960, 999_499, 999_999, 6_000_000]
            .map(bytes)
            .to_vec();
        let expected = [
            "0 B", "999 B", "1.0 kB", "9.9 kB", "100 kB", "999 kB", "1.0 MB", "6.0 MB",
        ];
        assert_eq!(shown, expected);
        assert_eq!(rate(2_000_000), "2.0 Mbit/s");
        let times =
            [7, 1_800, 200_000, 7_260_000, 180_000_000].map(|ms| time(Duration::from_millis(ms)));
        assert_eq!(
            times,
            ["7 ms", "1.8 s", "3 min 20 s", "2 h 1 min", "2 d 2 h"]
        );
        assert_eq!((percent(999, 1000), percent(0, 0)), (99, 100));
    }

    /// Nothing that came from others can move the cursor, change colours or turn text around.
    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(
            harmless("a\x1b[2Jb\u{202e}c\nd\te\u{9b}"),
            "a\u{fffd}[2Jb\u{fffd}c\nd\te\u{fffd}"
        );
        assert_eq!(one_line("a\nb"), "a b");
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["NAME", "BYTES"], ["é", "1"], ["relay", "20"]]
            .map(|row| row.map(String::from).to_vec());
        let shown = table(2, &[Lean::Left, Lean::Right], &rows);
        assert_eq!(shown, "  NAME   BYTES\n  é          1\n  relay     20\n");
    }
}
