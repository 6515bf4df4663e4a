//! What is wrong with a scenario: where, what, and what to do.

use crate::profile::ProfileError;

/// A scenario that cannot be, and the place in its file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{file}{}: {}", .line.map(|line| format!(":{line}")).unwrap_or_default(), plain(&.problem.to_string()))]
pub struct ScenarioError {
    /// The file, as named by whoever gave it.
    pub file: String,
    /// The line, from 1; `None` if it concerns the whole or comes from an override.
    pub line: Option<usize>,
    /// What is wrong, and the remedy.
    pub problem: Box<Problem>,
}

/// What is wrong with a scenario, and the remedy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The text is no TOML.
    #[error("this is not TOML: {0}; correct the line")]
    Syntax(String),
    /// The file cannot be read.
    #[error("the file cannot be read: {why}; give the path of a readable file")]
    Read {
        /// What kind of error it is: there may be no such file.
        kind: std::io::ErrorKind,
        /// The words of the system.
        why: String,
    },
    /// A text with a character that would steer the terminal it is shown on.
    #[error(
        "`{key}` has the control character U+{control:04X}: leave it out, for terminals obey such characters"
    )]
    Control {
        /// The key.
        key: &'static str,
        /// The character's number in Unicode.
        control: u32,
    },
    /// A key that means nothing there.
    #[error("unknown key `{key}` in {table}{}; the keys there are {known}", or_nearest(.nearest))]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it stands.
        table: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
        /// All known keys.
        known: String,
    },
    /// A key that has to be there.
    #[error("{table} needs `{key}`: give {expected}")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// Where it is missing.
        table: String,
        /// What it would have to be.
        expected: &'static str,
    },
    /// A value that its key does not take.
    #[error("`{key}` cannot be {value}: give {expected}")]
    Value {
        /// The key.
        key: String,
        /// The value as given, shortened.
        value: String,
        /// What it would have to be.
        expected: String,
    },
    /// A name that nothing has.
    #[error("there is no {what} `{name}`{}; there are {known}", or_nearest(.nearest))]
    UnknownName {
        /// What kind of thing was named.
        what: &'static str,
        /// The name.
        name: String,
        /// The known name that looks most like it.
        nearest: Option<String>,
        /// The known names, shortened.
        known: String,
    },
    /// A name that two things have.
    #[error("{what} `{name}` is there already: give another name")]
    Twice {
        /// What kind of thing was named.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// More than a scenario may have.
    #[error("{count} {what} are more than a scenario may have: give at most {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there would be.
        count: u64,
        /// The bound.
        limit: u64,
    },
    /// Two keys, of which one has to go, or a key without one that it needs.
    #[error("{table}: {why}")]
    Together {
        /// Where.
        table: String,
        /// What does not go together, and the remedy.
        why: &'static str,
    },
    /// An end that is not after its beginning.
    #[error(
        "the contact on `{link}` ends at {until}, not after it begins at {from}: give a later `until`, or leave it out for an open end"
    )]
    Backwards {
        /// Which link.
        link: String,
        /// When it begins.
        from: String,
        /// When it ends.
        until: String,
    },
    /// Contacts of one link at the same time.
    #[error(
        "two contacts on `{link}` overlap at {at}: let one end before the next begins, repetitions included"
    )]
    Overlap {
        /// Which link.
        link: String,
        /// Where the later one begins.
        at: String,
    },
    /// A profile that there is not, or a value that it does not take.
    #[error(transparent)]
    Profile(ProfileError),
    /// A recorded rate that cannot be read.
    #[error("the trace {file}: {why}")]
    Trace {
        /// Its file, as the scenario names it.
        file: String,
        /// What is wrong with it, and the remedy.
        why: String,
    },
    /// Faults that cannot be.
    #[error("the faults: {0}")]
    Faults(String),
    /// The model refuses a link.
    #[error("link `{link}`: {why}")]
    Link {
        /// Which link.
        link: String,
        /// Its words, which end with the remedy.
        why: String,
    },
    /// A recipient that nothing can reach in time.
    #[error(
        "nothing from `{from}` sent at {at} can reach `{to}` within {duration}{}: add a link, contact, relay or route, or give a longer `duration`; if that is meant, set `unreachable = true` in [expect]",
        .earliest.as_ref().map(|t| format!(" (the earliest is {t})")).unwrap_or_default()
    )]
    Unreachable {
        /// The sender.
        from: String,
        /// The recipient.
        to: String,
        /// When it was to be sent.
        at: String,
        /// How long the scenario lasts.
        duration: String,
        /// When it would arrive if the scenario went on, if ever.
        earliest: Option<String>,
    },
    /// An override of something that cannot be overridden.
    #[error("`{key}` cannot be set{}; what can be set: {known}", or_nearest(.nearest))]
    UnknownOverride {
        /// The key.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
        /// All that can be set.
        known: String,
    },
}

fn or_nearest(nearest: &Option<String>) -> String {
    let suggestion = |name| format!(" (did you mean `{name}`?)");
    nearest.as_ref().map(suggestion).unwrap_or_default()
}

/// Whether a terminal would obey a character instead of showing it: control characters, and those that turn the
/// direction of text (Unicode Standard Annex 9, section 2).
pub(super) fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A message that may quote a file, with such characters shown by their numbers.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '\n' => shown.push(c),
            c if is_control(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// The name most like `name`, if one is like it at all.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let length = name.chars().count();
    let most = (length / 3).max(2).min(length.saturating_sub(1));
    let scored = known
        .into_iter()
        .map(|other| (distance(name, other), other));
    let best = scored.min_by_key(|(distance, _)| *distance);
    best.filter(|(distance, _)| *distance <= most)
        .map(|(_, other)| other.to_owned())
}

/// Edits from one word to another: letters put in, left out, changed, or swapped with the next (Damerau 1964).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    let width = b.len() + 1;
    let mut edits = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            edits[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = edits[(i - 1) * width + j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let left_out = edits[(i - 1) * width + j] + 1;
                let put_in = edits[i * width + j - 1] + 1;
                let swapped = if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    edits[(i - 2) * width + j - 2] + 1
                } else {
                    usize::MAX
                };
                changed.min(left_out).min(put_in).min(swapped)
            };
        }
    }
    edits[a.len() * width + b.len()]
}

/// Names for a message, in order, at most a dozen of them.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown = names.iter().take(if names.len() > 40 { 12 } else { 40 });
    let mut text = shown.copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => text.push_str("none"),
        n if n > 40 => text.push_str(&format!(" and {} more", n - 12)),
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards suggestions: a slip is recognized, something else entirely is not.
    #[test]
    fn the_nearest_name_is_one_that_may_have_been_meant() {
        let known = ["geo", "geo-rain", "lora-sf12", "hf-300"];
        assert_eq!(nearest("geo-rian", known).as_deref(), Some("geo-rain"));
        assert_eq!(nearest("lorasf12", known).as_deref(), Some("lora-sf12"));
        assert_eq!(nearest("starlink", known), None);
        assert_eq!(nearest("goe", ["lte", "geo"]).as_deref(), Some("geo"));
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
