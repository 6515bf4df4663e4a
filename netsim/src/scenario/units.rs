//! Quantities of scenarios: those of profiles, and what follows from them.

use crate::model::Nanos;
use crate::profile::value;

use super::like::nanos;

/// What a duration has to look like.
pub(super) const DURATION: &str = value::TIME;
/// What a rate has to look like.
pub(super) const RATE: &str = value::RATE;
/// What a share has to look like.
pub(super) const SHARE: &str = value::SHARE;

/// A duration in nanoseconds.
pub(super) fn duration(text: &str) -> Option<Nanos> {
    value::time(text).ok().map(nanos)
}

/// A size in bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    value::bytes(text).ok()
}

/// A rate in bits a second, above zero.
pub(super) fn rate(text: &str) -> Option<u64> {
    value::rate(text).ok()
}

/// A share, in parts per million.
pub(super) fn share_ppm(text: &str) -> Option<u32> {
    let share = value::share(text).ok()?;
    Some((share * 1e6).round() as u32)
}

/// How many times, in millionths: from 1 to 1000.
pub(super) fn times_ppm(text: &str) -> Option<u32> {
    let times = text.trim().parse().ok();
    let times: f64 = times.filter(|times| (1.0..=1000.0).contains(times))?;
    Some((times * 1e6).round() as u32)
}

/// A duration for people: its two largest units.
pub(super) fn show(nanos: Nanos) -> String {
    const UNITS: [(&str, u64); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("min", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let mut rest = nanos;
    let mut words = Vec::new();
    for (name, size) in UNITS {
        if rest >= size && words.len() < 2 {
            words.push(format!("{} {name}", rest / size));
            rest %= size;
        }
    }
    if words.is_empty() {
        "0 s".into()
    } else {
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards what people read: the two largest units, and nothing for what is not there.
    #[test]
    fn durations_are_shown_by_their_largest_units() {
        let shown = |text: &str| show(duration(text).unwrap());
        assert_eq!(shown("0"), "0 s");
        assert_eq!(shown("90min"), "1 h 30 min");
        assert_eq!(show(86_400_000_000_000 + 300_000_000_000 + 7), "1 d 5 min");
    }
}
