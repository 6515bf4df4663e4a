//! What is wrong with a link, channel or courier that cannot be.

use std::time::Duration;

/// A link, channel or courier that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A rate of zero.
    #[error(
        "a link at 0 bit/s never delivers: give a rate of at least 1 bit/s, or cut the link instead"
    )]
    ZeroRate,
    /// A delay that is too long.
    #[error("a delay of {0:?} is more than a link may have: give at most 30 days")]
    Delay(Duration),
    /// A probability outside 0 to 1.
    #[error("{name} is a probability and cannot be {value}: give a number from 0 to 1")]
    Probability {
        /// Which probability.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// An MTU that leaves no room for content.
    #[error(
        "an MTU of {mtu} bytes has no room beside {overhead} bytes of overhead: give an MTU above the overhead"
    )]
    Mtu {
        /// The MTU given.
        mtu: usize,
        /// The overhead of each packet.
        overhead: usize,
    },
    /// A queue that cannot hold one packet.
    #[error(
        "a queue of {queue} bytes cannot hold one packet of {mtu}: give a queue of at least the MTU"
    )]
    Queue {
        /// The bound of the queue.
        queue: u64,
        /// The MTU given.
        mtu: usize,
    },
    /// A share of bad time that is none.
    #[error(
        "{0} cannot be the share of time that is bad: give a number above 0 and below 1, or no bursts at all"
    )]
    BadShare(f64),
    /// A state of a bursty channel that is too short or too long.
    #[error("a mean time of {0:?} in a state is out of range: give 10 µs to 30 days")]
    BurstMean(Duration),
    /// A CoDel without time to judge by.
    #[error(
        "CoDel cannot work with a target of {target:?} in an interval of {interval:?}: give a target above zero and below the interval"
    )]
    CoDel {
        /// The target given.
        target: Duration,
        /// The interval given.
        interval: Duration,
    },
    /// Bits a byte of a line outside 1 to 32.
    #[error(
        "{0} bits a byte is no framing: give 1 to 32 (8 for a packet line, 10 for a serial line with 8N1)"
    )]
    LineBits(f64),
    /// A plan without contacts.
    #[error(
        "a contact plan without contacts is a link that never is: give a contact, or leave out the link"
    )]
    NoContacts,
    /// A contact that ends before it begins.
    #[error("contact {index} does not end after it begins: give an end after its start, or none")]
    ContactEnd {
        /// Which, counted from 0.
        index: usize,
    },
    /// Contacts that overlap or are not in order.
    #[error(
        "contact {index} begins before the one ahead of it ends: sort the contacts and let them not overlap"
    )]
    ContactOrder {
        /// Which, counted from 0.
        index: usize,
    },
    /// A period too short for its contacts.
    #[error(
        "a plan that repeats after {0:?} needs a last contact that ends by then: give a longer period or an earlier end"
    )]
    ContactPeriod(Duration),
    /// A spreading factor that the formula does not know.
    #[error("a spreading factor of {0} is not modelled: give 7 to 12")]
    SpreadingFactor(u8),
    /// A coding rate that there is not.
    #[error("a coding rate of {0} is none of LoRa's: give 1 (4/5) to 4 (4/8)")]
    CodingRate(u8),
    /// A bandwidth that there is not.
    #[error("a bandwidth of {0} Hz is none of LoRa's: give 7,800 to 500,000 (125,000 as a rule)")]
    Bandwidth(u32),
    /// A frame too long for LoRa.
    #[error("an MTU of {0} bytes is more than a LoRa frame holds: give at most 255")]
    LoRaMtu(usize),
    /// A share of time that is none.
    #[error("{0} cannot be a duty cycle: give a share above 0 and up to 1, or none for no limit")]
    DutyShare(f64),
    /// A frame that may never be sent.
    #[error(
        "a frame of the largest size takes {airtime:?}, and the duty cycle allows {budget:?} in all: give a smaller MTU or a larger share"
    )]
    DutyBudget {
        /// How long such a frame takes.
        airtime: Duration,
        /// What is allowed in one interval.
        budget: Duration,
    },
    /// A persistence that never transmits.
    #[error(
        "{0} cannot be a persistence: give a probability above 0 and up to 1 (KISS: (P + 1) / 256)"
    )]
    Persistence(f64),
    /// A slot of no time.
    #[error(
        "a slot of no time lets a station draw for ever: give a slot time, such as 100 ms, or a persistence of 1"
    )]
    Slot,
    /// Too many stations.
    #[error("{0} stations are more than a channel may have: give at most 1024")]
    Stations(usize),
    /// A courier that goes nowhere.
    #[error(
        "a courier that stops at fewer than two places carries nothing: give it a timetable with two"
    )]
    NoStops,
    /// Too many places.
    #[error("{0} places are more than a courier may visit: give at most 64")]
    Places(usize),
    /// Stops that overlap or are not in order.
    #[error(
        "stop {index} begins before the one ahead of it ends, or does not end after it begins: sort the stops and let them not overlap"
    )]
    StopOrder {
        /// Which, counted from 0.
        index: usize,
    },
    /// A round that is over before its last stop.
    #[error(
        "a round that repeats after {0:?} needs a last stop that ends by then: give a longer time or fewer stops"
    )]
    RoundPeriod(Duration),
    /// Bits a byte outside 1 to 32.
    #[error("{0} bits a byte is no serial framing: give 1 to 32 (10 for 8N1)")]
    BitsPerByte(u8),
}
