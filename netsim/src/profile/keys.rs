//! What may be changed about a profile.

use super::change::{self, BAD, BITS, CODING, DECIBELS, DUTY, FACTOR, HERTZ, QDISC, QUEUE, TRUTH};
use super::error::nearest;
use super::value::{self, ValueError};
use super::{Medium, Profile, ProfileError};
use crate::model::Airtime;

/// A value that may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What it takes.
    pub accepts: &'static str,
    /// A value that it takes.
    pub example: &'static str,
    media: &'static [Kind],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pair,
    Rate,
    LoRa,
    Courier,
}

use Kind::{Courier, LoRa, Pair, Rate};

const fn key(
    name: &'static str,
    meaning: &'static str,
    accepts: &'static str,
    example: &'static str,
    media: &'static [Kind],
) -> Key {
    Key {
        name,
        meaning,
        accepts,
        example,
        media,
    }
}

const RADIO: &[Kind] = &[Rate, LoRa];
const AIR: &[Kind] = &[Pair, Rate, LoRa];
const ALL: &[Kind] = &[Pair, Rate, LoRa, Courier];

static KEYS: &[Key] = &[
    key(
        "rate",
        "rate; back as well, where it was the same or would be above it",
        value::RATE,
        "13mbit",
        &[Pair, Rate, Courier],
    ),
    key("rate-back", "rate back", value::RATE, "9600bit", &[Pair]),
    key(
        "delay",
        "propagation delay, each way",
        value::TIME,
        "450ms",
        AIR,
    ),
    key(
        "rtt",
        "propagation there and back, half of it each way",
        value::TIME,
        "550ms",
        &[Pair],
    ),
    key(
        "jitter",
        "the most that a packet is late beyond the delay, uniform",
        value::TIME,
        "25ms",
        &[Pair],
    ),
    key(
        "in-order",
        "whether packets keep their order under jitter",
        TRUTH,
        "no",
        &[Pair],
    ),
    key(
        "loss",
        "probability that a packet is lost, both ways",
        value::SHARE,
        "17%",
        ALL,
    ),
    key(
        "loss-back",
        "probability that a packet is lost on the way back",
        value::SHARE,
        ".17",
        &[Pair],
    ),
    key(
        "burst",
        "mean time of a bad state (200 ms where only `bad` is given)",
        value::TIME,
        "20s",
        AIR,
    ),
    key(
        "bad",
        "share of time that is bad (10 % where only `burst` is given)",
        BAD,
        "12%",
        AIR,
    ),
    key(
        "loss-bad",
        "probability that a packet is lost in a bad state",
        value::SHARE,
        "80%",
        AIR,
    ),
    key(
        "corrupt",
        "probability that a packet is damaged, both ways",
        value::SHARE,
        "1%",
        AIR,
    ),
    key(
        "reorder",
        "probability that a packet is held back",
        value::SHARE,
        "2%",
        &[Pair],
    ),
    key(
        "reorder-by",
        "how long a packet is held back",
        value::TIME,
        "15ms",
        &[Pair],
    ),
    key(
        "duplicate",
        "probability that a packet arrives twice",
        value::SHARE,
        "1%",
        &[Pair],
    ),
    key(
        "mtu",
        "largest packet, overhead included",
        value::BYTES,
        "1280",
        ALL,
    ),
    key(
        "overhead",
        "bytes added to each packet",
        value::BYTES,
        "40",
        ALL,
    ),
    key(
        "bits-per-byte",
        "bits that a byte takes on the line (10 for 8N1)",
        BITS,
        "10",
        &[Pair, Rate],
    ),
    key("queue", "bytes that may wait", QUEUE, "2bdp", &[Pair]),
    key(
        "queue",
        "bytes that may wait at a station",
        value::BYTES,
        "30kB",
        RADIO,
    ),
    key(
        "qdisc",
        "which packets the queue drops",
        QDISC,
        "codel",
        &[Pair],
    ),
    key(
        "oneway",
        "whether there is no way back",
        TRUTH,
        "yes",
        &[Pair],
    ),
    key(
        "tx-delay",
        "from keying a transmitter to its first bit",
        value::TIME,
        "350ms",
        RADIO,
    ),
    key(
        "slot",
        "how long to wait after a draw against transmitting",
        value::TIME,
        "80ms",
        &[Rate],
    ),
    key(
        "persistence",
        "probability to transmit when the channel is clear",
        value::SHARE,
        "50%",
        &[Rate],
    ),
    key(
        "capture",
        "how much stronger a frame must be to survive another",
        DECIBELS,
        "10dB",
        RADIO,
    ),
    key(
        "duty",
        "share of time that a station may transmit",
        DUTY,
        "10%",
        RADIO,
    ),
    key("sf", "spreading factor", FACTOR, "9", &[LoRa]),
    key("bandwidth", "bandwidth", HERTZ, "250kHz", &[LoRa]),
    key("coding-rate", "coding rate", CODING, "4/8", &[LoRa]),
    key(
        "capacity",
        "bytes that the courier carries",
        value::BYTES,
        "512MB",
        &[Courier],
    ),
];

/// The keys that a medium takes.
pub(super) fn of(medium: &Medium) -> Vec<&'static Key> {
    let kind = kind(medium);
    KEYS.iter()
        .filter(|key| key.media.contains(&kind))
        .collect()
}

/// Changes a value.
pub(super) fn set(profile: &mut Profile, key: &str, value: &str) -> Result<(), ProfileError> {
    let keys = of(&profile.medium);
    let Some(known) = keys.iter().find(|known| known.name == key) else {
        let names: Vec<&'static str> = keys.iter().map(|key| key.name).collect();
        return Err(ProfileError::UnknownKey {
            profile: profile.name,
            nearest: nearest(key, &names),
            key: key.to_owned(),
            keys: names,
        });
    };
    let done = match &mut profile.medium {
        Medium::Pair { .. } if key == "queue" => {
            change::queue(value).map(|queue| profile.queue = queue)
        }
        Medium::Pair { forward, back } => change::set_pair(forward, back, key, value),
        Medium::Channel(channel) => change::set_channel(channel, key, value),
        Medium::Courier(courier) => change::set_courier(courier, key, value),
    };
    done.map_err(|ValueError { .. }| ProfileError::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        expected: known.accepts,
    })
}

fn kind(medium: &Medium) -> Kind {
    match medium {
        Medium::Pair { .. } => Pair,
        Medium::Courier(_) => Courier,
        Medium::Channel(channel) => match channel.airtime {
            Airtime::LoRa(_) => LoRa,
            _ => Rate,
        },
    }
}
