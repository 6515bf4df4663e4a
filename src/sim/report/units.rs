//! Amounts as people write them.

/// Bytes with a unit of powers of 1000, to three digits.
pub fn bytes(bytes: u64) -> String {
    with_unit(bytes as f64, &["B", "kB", "MB", "GB", "TB"])
}

/// Bits a second, to three digits.
pub fn rate(bps: f64) -> String {
    with_unit(bps, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"])
}

/// A length of time, in at most two units.
pub fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 0.001 && s > 0.0 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 99.95 => format!("{} s", three(s)),
        s if s < 3600.0 => two(whole / 60, "min", whole % 60, "s"),
        s if s < 2.0 * 86_400.0 => two(whole / 3600, "h", whole / 60 % 60, "min"),
        _ => two(whole / 86_400, "d", whole / 3600 % 24, "h"),
    }
}

/// A share in percent.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p == 0.0 || p >= 99.95 => format!("{p:.0} %"),
        p if p < 0.095 => "< 0.1 %".into(),
        p => format!("{p:.1} %"),
    }
}

/// A number with its thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

fn two(much: u64, unit: &str, little: u64, smaller: &str) -> String {
    if little == 0 {
        return format!("{much} {unit}");
    }
    format!("{much} {unit} {little} {smaller}")
}

fn with_unit(mut amount: f64, units: &[&str]) -> String {
    let mut place = 0;
    while amount >= 999.5 && place + 1 < units.len() {
        amount /= 1000.0;
        place += 1;
    }
    let unit = units.get(place).copied().unwrap_or_default();
    if place == 0 {
        return format!("{amount:.0} {unit}");
    }
    format!("{} {unit}", three(amount))
}

/// Three digits.
fn three(amount: f64) -> String {
    match amount {
        a if a < 9.995 => format!("{a:.2}"),
        a if a < 99.95 => format!("{a:.1}"),
        a => format!("{a:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards what people read in tables: the unit, the digits, and the edges between units.
    #[test]
    fn amounts_have_three_digits_and_the_unit_that_suits() {
        assert_eq!(bytes(160), "160 B");
        assert_eq!(bytes(999_600), "1.00 MB");
        assert_eq!(bytes(20_000_160), "20.0 MB");
        assert_eq!(rate(9600.0), "9.60 kbit/s");
        assert_eq!(time(0.31), "310 ms");
        assert_eq!(time(12.345), "12.3 s");
        assert_eq!(time(600.0), "10 min");
        assert_eq!(time(3725.0), "1 h 2 min");
        assert_eq!(percent(0.103), "10.3 %");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(123), "123");
    }
}
