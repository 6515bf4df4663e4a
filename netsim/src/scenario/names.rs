//! Finding things by name, and refusing names that nothing or two things have.

use std::collections::BTreeMap;

use super::error::{Problem, ScenarioError, list, nearest};
use super::table::{Found, Source};

/// The names of one kind of thing.
pub(super) struct Names<'a> {
    source: Source<'a>,
    what: &'static str,
    places: BTreeMap<String, usize>,
    ordered: Vec<String>,
}

impl<'a> Names<'a> {
    pub(super) fn new(source: Source<'a>, what: &'static str) -> Self {
        Self {
            source,
            what,
            places: BTreeMap::new(),
            ordered: Vec::new(),
        }
    }

    /// Adds the next thing. Its name must not look like a pattern, the key of an override, or a path.
    pub(super) fn add(&mut self, name: &Found<String>) -> Result<usize, ScenarioError> {
        let Found { value, line } = name;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !(1..=64).contains(&value.len()) || !value.chars().all(good) {
            let (key, expected) = ("name".into(), "1 to 64 letters, digits, - and _".into());
            let value = format!("{value:?}").chars().take(60).collect();
            return Err(self.source.error(
                *line,
                Problem::Value {
                    key,
                    value,
                    expected,
                },
            ));
        }
        let place = self.ordered.len();
        if self.places.insert(value.clone(), place).is_some() {
            let (what, name) = (self.what, value.clone());
            return Err(self.source.error(*line, Problem::Twice { what, name }));
        }
        self.ordered.push(value.clone());
        Ok(place)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    pub(super) fn name(&self, place: usize) -> &str {
        self.ordered.get(place).map_or("", String::as_str)
    }

    pub(super) fn find(&self, name: &Found<String>) -> Result<usize, ScenarioError> {
        let found = self.places.get(&name.value).copied();
        found.ok_or_else(|| self.unknown(name))
    }

    /// What a list of names and patterns means, in the order of the list, each once. A pattern ends in `*` and stands
    /// for all names that begin as it does, in the order of the file.
    pub(super) fn select(&self, patterns: &[Found<String>]) -> Result<Vec<usize>, ScenarioError> {
        let mut chosen = Vec::new();
        let mut taken = vec![false; self.ordered.len()];
        for pattern in patterns {
            let places = match pattern.value.strip_suffix('*') {
                None => vec![self.find(pattern)?],
                Some(start) => {
                    let named = self.ordered.iter().enumerate();
                    named
                        .filter(|(_, name)| name.starts_with(start))
                        .map(|(i, _)| i)
                        .collect()
                }
            };
            if places.is_empty() {
                return Err(self.unknown(pattern));
            }
            for place in places {
                if !std::mem::replace(&mut taken[place], true) {
                    chosen.push(place);
                }
            }
        }
        Ok(chosen)
    }

    fn unknown(&self, name: &Found<String>) -> ScenarioError {
        let known = || self.ordered.iter().map(String::as_str);
        self.source.error(
            name.line,
            Problem::UnknownName {
                what: self.what,
                name: name.value.clone(),
                nearest: nearest(&name.value, known()),
                known: list(known()),
            },
        )
    }
}
