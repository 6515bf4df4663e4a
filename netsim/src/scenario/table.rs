//! Reading TOML tables by what they may have: each key that is asked for is known, and a key nobody asked for is an
//! error.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Problem, ScenarioError, is_control, list, nearest};
use super::units;
use crate::model::Nanos;

/// A scenario's file, for places in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    /// Where its lines end, in bytes: every key is asked for its line, so that counting anew would take too long.
    pub(super) ends: &'a [usize],
}

/// Where the lines of a text end.
pub(super) fn line_ends(text: &str) -> Vec<usize> {
    text.match_indices('\n').map(|(place, _)| place).collect()
}

impl Source<'_> {
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        1 + self.ends.partition_point(|end| *end < span.start)
    }

    pub(super) fn error(&self, line: usize, problem: Problem) -> ScenarioError {
        ScenarioError {
            file: self.file.into(),
            line: Some(line),
            problem: Box::new(problem),
        }
    }
}

/// A value and its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

type Read<T> = Result<T, ScenarioError>;

/// A table of the file.
pub(super) struct Table<'a> {
    pub(super) source: Source<'a>,
    /// What it is called in messages, such as `[[link]]`.
    pub(super) name: String,
    pub(super) line: usize,
    entries: Vec<Entry<'a>>,
    asked: Vec<&'static str>,
}

struct Entry<'a> {
    key: &'a str,
    line: usize,
    value: &'a DeValue<'a>,
    used: bool,
}

impl<'a> Table<'a> {
    pub(super) fn new(source: Source<'a>, name: &str, line: usize, table: &'a DeTable<'a>) -> Self {
        let mut entries: Vec<Entry<'a>> = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref(),
                line: source.line(&key.span()),
                value: value.get_ref(),
                used: false,
            })
            .collect();
        entries.sort_by_key(|entry| entry.line);
        Self {
            source,
            name: name.into(),
            line,
            entries,
            asked: Vec::new(),
        }
    }

    pub(super) fn error(&self, line: usize, problem: Problem) -> ScenarioError {
        self.source.error(line, problem)
    }

    pub(super) fn missing(&self, key: &'static str, expected: &'static str) -> ScenarioError {
        let table = self.name.clone();
        self.error(
            self.line,
            Problem::MissingKey {
                key,
                table,
                expected,
            },
        )
    }

    pub(super) fn together(&self, why: &'static str) -> ScenarioError {
        let table = self.name.clone();
        self.error(self.line, Problem::Together { table, why })
    }

    fn take(&mut self, key: &'static str) -> Option<Found<&'a DeValue<'a>>> {
        self.asked.push(key);
        let entry = self.entries.iter_mut().find(|entry| entry.key == key)?;
        entry.used = true;
        let (value, line) = (entry.value, entry.line);
        Some(Found { value, line })
    }

    pub(super) fn bad(
        &self,
        key: &str,
        found: &Found<&DeValue<'_>>,
        expected: &str,
    ) -> ScenarioError {
        self.refuse(key, found.line, &shown(found.value), expected)
    }

    pub(super) fn refuse(
        &self,
        key: &str,
        line: usize,
        value: &str,
        expected: &str,
    ) -> ScenarioError {
        let value = value.chars().take(60).collect();
        let (key, expected) = (key.into(), expected.into());
        self.error(
            line,
            Problem::Value {
                key,
                value,
                expected,
            },
        )
    }

    /// A string.
    pub(super) fn text(&mut self, key: &'static str) -> Read<Option<Found<String>>> {
        let Some(found) = self.take(key) else {
            return Ok(None);
        };
        match found.value {
            DeValue::String(text) => Ok(Some(Found {
                value: text.to_string(),
                line: found.line,
            })),
            _ => Err(self.bad(key, &found, "a string")),
        }
    }

    /// A string that may go to a terminal or a page: without control characters.
    pub(super) fn plain_text(&mut self, key: &'static str) -> Read<Option<Found<String>>> {
        let Some(found) = self.text(key)? else {
            return Ok(None);
        };
        match found.value.trim().chars().find(|c| is_control(*c)) {
            Some(control) => Err(self.control(key, found.line, control)),
            None => Ok(Some(found)),
        }
    }

    /// The same of several lines.
    pub(super) fn plain_lines(&mut self, key: &'static str) -> Read<Option<Found<String>>> {
        let Some(mut found) = self.text(key)? else {
            return Ok(None);
        };
        found.value = found.value.replace("\r\n", "\n");
        let control = |c: &char| is_control(*c) && !matches!(c, '\n' | '\t');
        match found.value.chars().find(control) {
            Some(control) => Err(self.control(key, found.line, control)),
            None => Ok(Some(found)),
        }
    }

    fn control(&self, key: &'static str, line: usize, control: char) -> ScenarioError {
        self.error(
            line,
            Problem::Control {
                key,
                control: control.into(),
            },
        )
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Read<Option<T>> {
        let Some(found) = self.take(key) else {
            return Ok(None);
        };
        let text = shown(found.value);
        let text = text.trim_matches('"');
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let words = list(words.iter().map(|(word, _)| *word));
                Err(self.bad(key, &found, &format!("one of {words}")))
            }
        }
    }

    /// A whole number in a range.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Read<Option<u64>> {
        let Some(found) = self.take(key) else {
            return Ok(None);
        };
        let number = match found.value {
            DeValue::Integer(integer) => {
                u64::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            _ => None,
        };
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                Err(self.bad(key, &found, &expected))
            }
        }
    }

    pub(super) fn truth(&mut self, key: &'static str) -> Read<Option<bool>> {
        self.word(key, &[("true", true), ("false", false)])
    }

    /// A quantity, as a string or a bare number.
    pub(super) fn quantity<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> Read<Option<Found<T>>> {
        let Some(found) = self.take(key) else {
            return Ok(None);
        };
        match scalar(found.value).and_then(|text| read(&text)) {
            Some(value) => Ok(Some(Found {
                value,
                line: found.line,
            })),
            None => Err(self.bad(key, &found, expected)),
        }
    }

    pub(super) fn duration(&mut self, key: &'static str) -> Read<Option<Nanos>> {
        let found = self.quantity(key, units::duration, units::DURATION)?;
        Ok(found.map(|found| found.value))
    }

    pub(super) fn share_ppm(&mut self, key: &'static str) -> Read<Option<u32>> {
        let found = self.quantity(key, units::share_ppm, units::SHARE)?;
        Ok(found.map(|found| found.value))
    }

    /// A string, or a list of them.
    pub(super) fn texts(&mut self, key: &'static str) -> Read<Option<Vec<Found<String>>>> {
        let Some(found) = self.take(key) else {
            return Ok(None);
        };
        let text = |value: &DeValue<'_>, line| match value {
            DeValue::String(text) => Some(Found {
                value: text.to_string(),
                line,
            }),
            _ => None,
        };
        let texts = match found.value {
            DeValue::Array(array) => array
                .iter()
                .map(|item| text(item.get_ref(), self.source.line(&item.span())))
                .collect(),
            value => text(value, found.line).map(|text| vec![text]),
        };
        if texts.as_ref().is_some_and(Vec::is_empty) {
            let expected = "a string, or a list of at least one";
            return Err(self.refuse(key, found.line, "an empty list", expected));
        }
        texts
            .map(Some)
            .ok_or_else(|| self.bad(key, &found, "a string, or a list of strings"))
    }

    /// A list of lists of strings.
    pub(super) fn text_lists(
        &mut self,
        key: &'static str,
    ) -> Read<Option<Vec<Vec<Found<String>>>>> {
        let Some(found) = self.take(key) else {
            return Ok(None);
        };
        let text = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
            DeValue::String(text) => Some(Found {
                value: text.to_string(),
                line: self.source.line(&item.span()),
            }),
            _ => None,
        };
        let list = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
            DeValue::Array(array) => array.iter().map(text).collect(),
            _ => None,
        };
        let lists = match found.value {
            DeValue::Array(array) => array.iter().map(list).collect(),
            _ => None,
        };
        lists
            .map(Some)
            .ok_or_else(|| self.bad(key, &found, "a list of lists of strings"))
    }

    /// A list of tables, `[[key]]` or inline; each is called `name` in messages.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        name: &str,
        example: &str,
    ) -> Read<Vec<Table<'a>>> {
        let Some(found) = self.take(key) else {
            return Ok(Vec::new());
        };
        let source = self.source;
        let table = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
            DeValue::Table(table) => {
                Some(Table::new(source, name, source.line(&item.span()), table))
            }
            _ => None,
        };
        let tables = match found.value {
            DeValue::Array(array) => array.iter().map(table).collect(),
            _ => None,
        };
        let expected = || format!("a list of tables, such as {example}");
        tables.ok_or_else(|| self.bad(key, &found, &expected()))
    }

    /// A table, `[key]` or inline.
    pub(super) fn table(&mut self, key: &'static str, name: &str) -> Read<Option<Table<'a>>> {
        let Some(found) = self.take(key) else {
            return Ok(None);
        };
        match found.value {
            DeValue::Table(table) => Ok(Some(Table::new(self.source, name, found.line, table))),
            _ => Err(self.bad(key, &found, "a table")),
        }
    }

    /// All entries that nobody has asked for, as text: for tables that are open.
    pub(super) fn rest(&mut self) -> Read<Vec<(String, Found<String>)>> {
        let mut rest = Vec::new();
        for i in 0..self.entries.len() {
            let entry = &mut self.entries[i];
            if std::mem::replace(&mut entry.used, true) {
                continue;
            }
            let (key, line, value) = (entry.key.to_owned(), entry.line, entry.value);
            let Some(text) = scalar(value) else {
                return Err(self.bad(
                    &key,
                    &Found { value, line },
                    "a string, a number, true or false",
                ));
            };
            rest.push((key, Found { value: text, line }));
        }
        Ok(rest)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Refuses what nobody has asked for.
    pub(super) fn finish(self) -> Read<()> {
        let Some(entry) = self.entries.iter().find(|entry| !entry.used) else {
            return Ok(());
        };
        Err(self.unknown(entry.key, entry.line, &[]))
    }

    /// A key is unknown, also among `more` known ones.
    pub(super) fn unknown(&self, key: &str, line: usize, more: &[&str]) -> ScenarioError {
        let known = || self.asked.iter().chain(more).copied();
        self.error(
            line,
            Problem::UnknownKey {
                key: key.into(),
                table: self.name.clone(),
                nearest: nearest(key, known()),
                known: list(known()),
            },
        )
    }
}

/// A string, number or truth value as text.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str().into()),
        DeValue::Integer(integer) => {
            let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok()?;
            Some(number.to_string())
        }
        DeValue::Float(float) => Some(float.as_str().into()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// A value for a message.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        value => scalar(value).unwrap_or_else(|| format!("of type {}", value.type_str())),
    }
}
