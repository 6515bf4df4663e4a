//! What the keys of a profile accept, and what becomes of a value.

use std::time::Duration;

use super::QueueSize;
use super::value::{self, ValueError};
use crate::model::{
    Access, Airtime, Burst, BurstClock, ChannelSpec, CourierSpec, Duty, LinkSpec, Qdisc,
};

pub(super) const BAD: &str = "a share of time from 0 up to (but not) 1, such as 15%";
pub(super) const QUEUE: &str =
    "a number of bytes or of bandwidth-delay products, such as 30kB or 1bdp";
pub(super) const QDISC: &str = "droptail or codel";
pub(super) const TRUTH: &str = "yes or no";
pub(super) const BITS: &str = "a number from 1 to 32, such as 8 or 10";
pub(super) const DUTY: &str =
    "a share of any hour, such as 1%, one kept by pauses, such as 1% pause, or none";
pub(super) const DECIBELS: &str = "a whole number of decibels from 0 to 255, such as 6dB, or none";
pub(super) const FACTOR: &str = "a whole number from 7 to 12";
pub(super) const HERTZ: &str = "a bandwidth, such as 125kHz";
pub(super) const CODING: &str = "4/5, 4/6, 4/7 or 4/8";

/// The mean time of a bad state, and the share of bad time, where only the other was given.
const DEFAULT_BURST: Duration = Duration::from_millis(200);
const DEFAULT_BAD: f64 = 0.1;

pub(super) fn set_pair(
    forward: &mut LinkSpec,
    back: &mut Option<Box<LinkSpec>>,
    key: &str,
    value: &str,
) -> Result<(), ValueError> {
    match key {
        "oneway" => {
            if truth(value)? {
                *back = None;
            } else if back.is_none() {
                *back = Some(Box::new(forward.clone()));
            }
        }
        "rate" => {
            let rate = value::rate(value)?;
            let before = forward.rate_bps.replace(rate);
            if let Some(back) = back
                && (back.rate_bps == before || back.rate_bps.is_none_or(|back| back > rate))
            {
                back.rate_bps = Some(rate);
            }
        }
        "rate-back" => {
            let rate = value::rate(value)?;
            back.iter_mut().for_each(|back| back.rate_bps = Some(rate));
        }
        "loss-back" => {
            let loss = value::share(value)?;
            back.iter_mut().for_each(|back| back.loss = loss);
        }
        "burst" | "bad" | "loss-bad" => {
            forward.burst = burst(forward.burst.take(), key, value)?;
            for back in back.iter_mut().filter(|back| back.burst.is_some()) {
                back.burst = burst(back.burst.take(), key, value)?;
            }
        }
        _ => {
            set_way(forward, key, value)?;
            if let Some(back) = back {
                set_way(back, key, value)?;
            }
        }
    }
    Ok(())
}

/// What is the same in both directions.
fn set_way(spec: &mut LinkSpec, key: &str, text: &str) -> Result<(), ValueError> {
    match key {
        "delay" => set_delay(spec, value::time(text)?),
        "rtt" => set_delay(spec, value::time(text)? / 2),
        "jitter" => spec.jitter = value::time(text)?,
        "in-order" => spec.in_order = truth(text)?,
        "loss" => spec.loss = value::share(text)?,
        "corrupt" => spec.corrupt = value::share(text)?,
        "reorder" => spec.reorder = value::share(text)?,
        "reorder-by" => spec.reorder_by = value::time(text)?,
        "duplicate" => spec.duplicate = value::share(text)?,
        "mtu" => spec.mtu = size(text)?,
        "overhead" => spec.overhead = size(text)?,
        "bits-per-byte" => spec.bits_per_byte = bits(text)?,
        "qdisc" => {
            spec.qdisc = match text {
                "droptail" => Qdisc::DropTail,
                "codel" => Qdisc::codel(),
                _ => return Err(ValueError { expected: QDISC }),
            }
        }
        _ => return Err(ValueError { expected: "" }),
    }
    Ok(())
}

/// A delay that was set holds always: contacts of the profile lose their own.
fn set_delay(spec: &mut LinkSpec, delay: Duration) {
    spec.delay = delay;
    spec.contacts = spec.contacts.take().map(|plan| plan.without_delays());
}

pub(super) fn set_channel(spec: &mut ChannelSpec, key: &str, text: &str) -> Result<(), ValueError> {
    match (key, &mut spec.airtime, &mut spec.access) {
        ("rate", Airtime::Rate { rate_bps, .. }, _) => *rate_bps = value::rate(text)?,
        ("bits-per-byte", Airtime::Rate { bits_per_byte, .. }, _) => *bits_per_byte = bits(text)?,
        ("sf", Airtime::LoRa(lora), _) => {
            let factor = value::scaled(text, &[("", 1.0)]).filter(|sf| (7..=12).contains(sf));
            lora.spreading_factor = factor.ok_or(ValueError { expected: FACTOR })? as u8;
        }
        ("bandwidth", Airtime::LoRa(lora), _) => {
            let hertz = value::scaled(text, &[("hz", 1.0), ("khz", 1e3)]);
            let hertz = hertz.and_then(|hertz| u32::try_from(hertz).ok());
            lora.bandwidth_hz = hertz.ok_or(ValueError { expected: HERTZ })?;
        }
        ("coding-rate", Airtime::LoRa(lora), _) => {
            let rates = ["4/5", "4/6", "4/7", "4/8"];
            let rate = rates.iter().zip(1..).find(|(name, _)| **name == text);
            lora.coding_rate = rate.ok_or(ValueError { expected: CODING })?.1;
        }
        ("slot", _, Access::Csma { slot, .. }) => *slot = value::time(text)?,
        ("persistence", _, Access::Csma { persistence, .. }) => *persistence = value::share(text)?,
        ("delay", ..) => spec.delay = value::time(text)?,
        ("tx-delay", ..) => spec.tx_delay = value::time(text)?,
        ("loss", ..) => spec.loss = value::share(text)?,
        ("corrupt", ..) => spec.corrupt = value::share(text)?,
        ("burst" | "bad" | "loss-bad", ..) => spec.burst = burst(spec.burst.take(), key, text)?,
        ("mtu", ..) => spec.mtu = size(text)?,
        ("overhead", ..) => spec.overhead = size(text)?,
        ("queue", ..) => spec.queue_bytes = Some(size(text)?),
        ("capture", ..) => {
            spec.capture_db = optional(text, |text| {
                let decibels = value::scaled(text, &[("", 1.0), ("db", 1.0)]);
                let decibels = decibels.and_then(|decibels| u8::try_from(decibels).ok());
                decibels.ok_or(ValueError { expected: DECIBELS })
            })?
        }
        ("duty", ..) => spec.duty = optional(text, duty)?,
        _ => return Err(ValueError { expected: "" }),
    }
    Ok(())
}

pub(super) fn set_courier(spec: &mut CourierSpec, key: &str, text: &str) -> Result<(), ValueError> {
    match key {
        "rate" => spec.rate_bps = Some(value::rate(text)?),
        "loss" => spec.loss = value::share(text)?,
        "mtu" => spec.mtu = size(text)?,
        "overhead" => spec.overhead = size(text)?,
        "capacity" => spec.capacity = value::bytes(text)?,
        _ => return Err(ValueError { expected: "" }),
    }
    Ok(())
}

/// Bursts with one of their values changed; a share of 0 is none.
fn burst(before: Option<Burst>, key: &str, text: &str) -> Result<Option<Burst>, ValueError> {
    let (mut bad, mut mean, mut loss) = (DEFAULT_BAD, DEFAULT_BURST, 1.0);
    if let Some(before) = &before {
        (bad, loss) = (before.bad_share(), before.loss_bad);
        if let BurstClock::Time { mean_bad, .. } = before.clock {
            mean = mean_bad;
        }
    }
    match key {
        "burst" => mean = value::time(text)?,
        "bad" => bad = value::share(text)?,
        _ => loss = value::share(text)?,
    }
    if bad == 0.0 {
        return Ok(None);
    }
    // Only a share of all time fails here.
    let burst = Burst::share(bad, mean).map_err(|_always| ValueError { expected: "" })?;
    Ok(Some(burst.loss_bad(loss)))
}

fn duty(text: &str) -> Result<Duty, ValueError> {
    match text.strip_suffix("pause") {
        Some(share) => value::share(share).map(Duty::off_time),
        None => value::share(text).map(Duty::sliding),
    }
}

pub(super) fn queue(text: &str) -> Result<QueueSize, ValueError> {
    match value::split(text) {
        (Some(count), unit) if unit == "bdp" => Ok(QueueSize::Products(count)),
        _ => value::bytes(text).map(QueueSize::Bytes),
    }
}

fn size(text: &str) -> Result<usize, ValueError> {
    let expected = value::BYTES;
    let bytes = usize::try_from(value::bytes(text)?);
    bytes.map_err(|_too_many| ValueError { expected })
}

fn bits(text: &str) -> Result<f64, ValueError> {
    match value::split(text) {
        (Some(bits), unit) if unit.is_empty() && (1.0..=32.0).contains(&bits) => Ok(bits),
        _ => Err(ValueError { expected: BITS }),
    }
}

fn truth(text: &str) -> Result<bool, ValueError> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(ValueError { expected: TRUTH }),
    }
}

fn optional<T>(
    text: &str,
    read: impl Fn(&str) -> Result<T, ValueError>,
) -> Result<Option<T>, ValueError> {
    match text {
        "none" => Ok(None),
        text => read(text).map(Some),
    }
}
