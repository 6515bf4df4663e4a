//! Storage that travels.

use std::time::Duration;

use super::QueueSize;
use crate::model::{CourierSpec, Stop};
use crate::profile::{Medium, Profile};

pub(super) fn all() -> Vec<Profile> {
    vec![bus_mule(), courier_usb()]
}

fn bus_mule() -> Profile {
    let spec = shuttle(150, 3600)
        .rate_bps(2_500_000)
        .capacity(1_000_000_000);
    courier(
        "bus-mule",
        "a bus with a wireless box, an hour's ride between two places",
        "Rate 2.5 Mbit/s and stops of 150 s: about the goodput and the length of a session in Pentland, Fletcher and Hasson, \
         \"DakNet: rethinking connectivity in developing nations\" (IEEE Computer 37, 2004). Capacity 1 GB, a ride of an hour \
         from stop to stop and back at once: chosen.",
        spec,
    )
}

fn courier_usb() -> Profile {
    let spec = shuttle(600, 8 * 3600)
        .rate_bps(240_000_000)
        .capacity(32_000_000_000);
    courier(
        "courier-usb",
        "a USB stick in somebody's pocket, eight hours between two places",
        "Rate 240 Mbit/s (30 MB/s): half of the 480 Mbit/s of USB 2.0, as sticks commonly reach. Capacity 32 GB, stops of ten \
         minutes, eight hours from stop to stop and back at once: chosen.",
        spec,
    )
}

/// A courier that goes to and fro between two places, with `stay` seconds at each and `ride` from arrival to arrival.
fn shuttle(stay: u64, ride: u64) -> CourierSpec {
    let stop = |place, at| {
        Stop::new(
            place,
            Duration::from_secs(at),
            Duration::from_secs(at + stay),
        )
    };
    CourierSpec::new(vec![stop(0, 0), stop(1, ride)]).every(Duration::from_secs(2 * ride))
}

fn courier(
    name: &'static str,
    title: &'static str,
    source: &'static str,
    spec: CourierSpec,
) -> Profile {
    Profile {
        name,
        title,
        source,
        tells: false,
        medium: Medium::Courier(spec),
        queue: QueueSize::Products(1.0),
    }
}
