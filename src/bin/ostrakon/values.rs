//! Values with units, as people write them on the command line.

/// Reads a rate: bits per second, or with a unit `kbit`, `mbit` or `gbit` (powers of 1000).
///
/// # Errors
/// What to write instead.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 5] = [
        ("", 1),
        ("bit", 1),
        ("kbit", 1_000),
        ("mbit", 1_000_000),
        ("gbit", 1_000_000_000),
    ];
    let text = text.strip_suffix("/s").unwrap_or(text);
    match with_unit(text, &UNITS) {
        Some(0) | None => Err("give bits per second such as 9600, 64kbit or 2mbit".into()),
        Some(rate) => Ok(rate),
    }
}

/// How large messages may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// As large as anybody likes.
    Any,
    /// So many bytes.
    Bytes(u64),
}

/// Reads a number of bytes, or `any`.
///
/// # Errors
/// What to write instead.
pub fn parse_bound(text: &str) -> Result<Bound, String> {
    match text.eq_ignore_ascii_case("any") {
        true => Ok(Bound::Any),
        false => parse_size(text).map(Bound::Bytes),
    }
}

/// Reads a length of time with its unit (`ms`, `s`, `min`, `h`, `d`, `w`) in milliseconds.
///
/// # Errors
/// What to write instead.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 7] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("min", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
    ];
    with_unit(text, &UNITS).ok_or_else(|| "give a time such as 600ms, 2s, 30min, 12h or 7d".into())
}

/// Reads a length of time of at least a second, in seconds.
///
/// # Errors
/// What to write instead.
pub fn parse_seconds(text: &str) -> Result<u64, String> {
    match parse_duration_ms(text)? / 1000 {
        0 => Err("give at least one second, such as 12h or 7d".into()),
        seconds => Ok(seconds),
    }
}

/// Reads a number of bytes: plain, or with `kB`, `MB`, `GB`, `TB` (powers of 1000) or `KiB`, `MiB`, `GiB`, `TiB`
/// (powers of 1024).
///
/// # Errors
/// What to write instead.
pub fn parse_size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 10] = [
        ("", 1),
        ("b", 1),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("tb", 1_000_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
    ];
    match with_unit(text, &UNITS) {
        Some(0) | None => Err("give a size such as 500MB or 1GiB".into()),
        Some(size) => Ok(size),
    }
}

/// Reads a loss in percent, 0 to 95, with or without the sign.
///
/// # Errors
/// What to write instead.
pub fn parse_loss(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.trim_end().parse() {
        Ok(percent @ 0..=95) => Ok(percent),
        _ => Err("give whole percent from 0 to 95".into()),
    }
}

/// A decimal number and one of these units, in either case, as a whole number of the smallest unit.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let unit = unit.trim_start();
    let (_, factor) = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*factor);
    }
    let value = number.parse::<f64>().ok()? * *factor as f64;
    // Above this, a floating-point number no longer holds every whole number.
    (value.is_finite() && (0.0..9e15).contains(&value)).then(|| value.round() as u64)
}

/// Seeds from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// Seeds as `A..B`, both included, or one alone.
///
/// # Errors
/// What would be right.
pub fn parse_seeds(text: &str) -> Result<SeedRange, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let range = first.parse().ok().zip(last.parse().ok());
    let range = range.filter(|(first, last)| first <= last);
    let seeds = range.map(|(first, last)| SeedRange { first, last });
    seeds
        .ok_or_else(|| "give two whole numbers, the second not the smaller, such as 1..1000".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every unit that the help pages name is read, and in the sense that they say.
    #[test]
    fn units_are_read_as_documented() {
        assert_eq!(parse_rate("9600"), Ok(9600));
        assert_eq!(parse_rate("2mbit"), Ok(2_000_000));
        assert_eq!(parse_rate("1.5Mbit/s"), Ok(1_500_000));
        assert_eq!(parse_duration_ms("600ms"), Ok(600));
        assert_eq!(parse_duration_ms("0.5s"), Ok(500));
        assert_eq!(parse_seconds("7d"), Ok(604_800));
        assert_eq!(parse_size("1GiB"), Ok(1 << 30));
        assert_eq!(parse_size("500 MB"), Ok(500_000_000));
        assert_eq!(parse_loss("5%"), Ok(5));
        let seeds = |first, last| Ok(SeedRange { first, last });
        assert_eq!(parse_seeds("1..1000"), seeds(1, 1000));
        assert_eq!(parse_seeds("5"), seeds(5, 5));
    }

    /// What has no unit where one is needed, or is no number, is refused and never guessed.
    #[test]
    fn what_is_unclear_is_refused() {
        for text in ["", "fast", "2mb", "-1", "0", "1e9", "99999999999gbit"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        for text in ["", "600", "1y", "ms", "1.2.3s"] {
            assert!(parse_duration_ms(text).is_err(), "{text}");
        }
        for text in ["", "0", "GiB", "1XB", "20000000TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        for text in ["", "96", "100", "-1", "5.5", "%"] {
            assert!(parse_loss(text).is_err(), "{text}");
        }
        for text in ["", "..", "2..1", "1..", "1..2..3", "-1"] {
            assert!(parse_seeds(text).is_err(), "{text}");
        }
        assert!(parse_seconds("999ms").is_err());
    }
}
