//! Values with units, as people write them: `13mbit`, `450ms`, `17%`, `30kB`.
//!
//! A value is a decimal number (`2`, `1.5`, `.17`) and a unit, with or without a space between them. Units are read in any
//! case, except that `B` and `b` are bytes and bits nowhere mixed: sizes are in bytes, rates in bits a second.

use std::time::Duration;

/// A text that is no such value; says what is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give {expected}")]
pub struct ValueError {
    /// What would be accepted, with an example.
    pub expected: &'static str,
}

/// What [`rate`] accepts.
pub const RATE: &str = "a rate above zero, such as 9600bit, 13mbit or 1.5gbit (bits a second)";
/// What [`time`] accepts.
pub const TIME: &str = "a time, such as 450ms, 20s, 5min, 8h or 2d";
/// What [`share`] accepts.
pub const SHARE: &str = "a share from 0 to 1, such as .17 or 17%";
/// What [`bytes()`] accepts.
pub const BYTES: &str = "a number of bytes, such as 1500, 30kB or 8GB";

/// A rate in bits a second: `bit`, `kbit`, `mbit` or `gbit` (thousands), with or without `/s`; without a unit, bits.
///
/// # Errors
///
/// Anything else, zero, and more than 2^64.
pub fn rate(text: &str) -> Result<u64, ValueError> {
    let units = [
        ("", 1.0),
        ("bit", 1.0),
        ("kbit", 1e3),
        ("mbit", 1e6),
        ("gbit", 1e9),
    ];
    let text = text.trim();
    let text = text.strip_suffix("/s").unwrap_or(text);
    match scaled(text, &units) {
        Some(rate) if rate > 0 => Ok(rate),
        _ => Err(ValueError { expected: RATE }),
    }
}

/// A time: `ns`, `us`, `ms`, `s`, `m` or `min`, `h`, `d`. Zero needs no unit.
///
/// # Errors
///
/// Anything else, and more than 584 years.
pub fn time(text: &str) -> Result<Duration, ValueError> {
    let units = [
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("min", 60e9),
        ("h", 3600e9),
        ("d", 86_400e9),
    ];
    let nanos = match text.trim() {
        "0" => Some(0),
        text => scaled(text, &units),
    };
    nanos
        .map(Duration::from_nanos)
        .ok_or(ValueError { expected: TIME })
}

/// A share or probability from 0 to 1: a number, or one with `%`.
///
/// # Errors
///
/// Anything else.
pub fn share(text: &str) -> Result<f64, ValueError> {
    let (number, unit) = split(text);
    let share = match unit.as_str() {
        "" => number,
        "%" => number.map(|percent| percent / 100.0),
        _ => None,
    };
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or(ValueError { expected: SHARE })
}

/// A size in bytes: `B`, `kB`, `MB`, `GB`, `TB` (thousands), `KiB`, `MiB`, `GiB` (1024); without a unit, bytes.
///
/// # Errors
///
/// Anything else, and more than 2^64.
pub fn bytes(text: &str) -> Result<u64, ValueError> {
    let units = [
        ("", 1.0),
        ("b", 1.0),
        ("kb", 1e3),
        ("mb", 1e6),
        ("gb", 1e9),
        ("tb", 1e12),
        ("kib", 1024.0),
        ("mib", 1_048_576.0),
        ("gib", 1_073_741_824.0),
    ];
    scaled(text, &units).ok_or(ValueError { expected: BYTES })
}

/// A number with one of these units, rounded to a whole one of the smallest.
pub(super) fn scaled(text: &str, units: &[(&str, f64)]) -> Option<u64> {
    let (number, unit) = split(text);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    let value = (number? * scale).round();
    // The largest number rounds up to 2^64, which is the first double that does not fit.
    (value < u64::MAX as f64).then_some(value as u64)
}

/// The number at the beginning, if it is one, and what follows it, in lower case.
pub(super) fn split(text: &str) -> (Option<f64>, String) {
    let text = text.trim();
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let end = text.find(|c| !is_digit(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number.parse().ok(), unit.trim_start().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards the units: each value as it is written in scenarios, and what is refused.
    #[test]
    fn values_have_their_units() {
        assert_eq!(rate("13mbit"), Ok(13_000_000));
        assert_eq!(rate("9600bit"), Ok(9600));
        assert_eq!(rate("1.5 Gbit/s"), Ok(1_500_000_000));
        assert_eq!(rate("300"), Ok(300));
        assert_eq!(time("450ms"), Ok(Duration::from_millis(450)));
        assert_eq!(time("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(time("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(time("5 min"), Ok(Duration::from_secs(300)));
        assert_eq!(time("0"), Ok(Duration::ZERO));
        assert_eq!(share(".17"), Ok(0.17));
        assert_eq!(share("17%"), Ok(0.17));
        assert_eq!(share("1"), Ok(1.0));
        assert_eq!(bytes("30kB"), Ok(30_000));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("1500"), Ok(1500));
        for text in [
            "",
            "-1mbit",
            "0",
            "0.0001",
            "mbit",
            "1e9",
            "nan",
            "13mbyte",
            "99999999999gbit",
            "1.2.3",
        ] {
            assert!(rate(text).is_err(), "{text}");
        }
        for text in ["", "5", "-1s", "1 fortnight", "inf", "600000000000000s"] {
            assert!(time(text).is_err(), "{text}");
        }
        for text in ["", "1.01", "101%", "-.1", "5x"] {
            assert!(share(text).is_err(), "{text}");
        }
        for text in ["", "-1", "5kbit", "99999999999TB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
