//! Why there is no such profile, or why it does not take a value.

/// A profile, key or value that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// A name that no profile has.
    #[error("there is no profile {name:?}: did you mean {nearest:?}? There are {}", .names.join(", "))]
    Unknown {
        /// What was given.
        name: String,
        /// The name that is most like it.
        nearest: &'static str,
        /// All names.
        names: Vec<&'static str>,
    },
    /// A key that the medium of this profile does not have.
    #[error("{profile} has no {key:?}: did you mean {nearest:?}? It takes {}", .keys.join(", "))]
    UnknownKey {
        /// The profile.
        profile: &'static str,
        /// What was given.
        key: String,
        /// The key that is most like it.
        nearest: &'static str,
        /// All keys of this profile.
        keys: Vec<&'static str>,
    },
    /// A value that the key does not take.
    #[error("{key} cannot be {value:?}: give {expected}")]
    Value {
        /// The key.
        key: String,
        /// What was given.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A change that is not of the form `key=value`.
    #[error("{0:?} is no change of a profile: give KEY=VALUE, such as rate=13mbit")]
    NoChange(String),
}

/// The one of `names` that takes the fewest edits from `given`; the first of them at a tie.
pub(super) fn nearest(given: &str, names: &[&'static str]) -> &'static str {
    let best = names.iter().min_by_key(|name| distance(given, name));
    best.copied().unwrap_or("")
}

/// The edit distance of Levenshtein, row by row.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let change = before + usize::from(from != *to);
            before = *cell;
            left = change.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards the advice: the distance is the textbook's, and a slip of the hand finds its name.
    #[test]
    fn a_slip_finds_its_name() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(
            nearest("lora-sf11", &["lan", "lora-sf10", "geo"]),
            "lora-sf10"
        );
    }
}
