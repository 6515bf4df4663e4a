//! Links on the ground that carry IP.

use super::{QueueSize, link, ms, pair};
use crate::model::{Burst, BurstClock};
use crate::profile::Profile;
use std::time::Duration;

pub(super) fn all() -> Vec<Profile> {
    vec![lan(), wifi_mesh(), lte(), lte_edge(), gprs()]
}

fn lan() -> Profile {
    let spec = link(1_000_000_000, Duration::from_micros(100));
    pair(
        "lan",
        "a wired local network",
        "Rate 1 Gbit/s: IEEE 802.3ab (1000BASE-T). Delay 100 µs each way: chosen, a switch and two network stacks. Loss none: \
         a bit error rate of 1e-10 (IEEE 802.3ab) is one packet in 800,000.",
        spec.clone(),
        spec,
    )
}

fn wifi_mesh() -> Profile {
    let spec = link(5_000_000, ms(20))
        .jitter(ms(20), true)
        .loss(0.02)
        .burst(bursts(0.05, ms(200)));
    pair(
        "wifi-mesh",
        "three hops of a wireless mesh",
        "Rate 5 Mbit/s each way: IEEE 802.11n at MCS 3 in 20 MHz sends 26 Mbit/s, about 60 % of it is left above the MAC \
         (chosen), and three hops on one channel share that. Round trip 40 ms: of the order that Bicket et al., \"Architecture \
         and evaluation of an unplanned 802.11b mesh network\" (MobiCom 2005), found over its average route of three hops. \
         Jitter 20 ms, loss 2 %, bad 5 % of the time for 200 ms on average: chosen, after the intermediate loss rates of \
         Aguayo et al., \"Link-level measurements from an 802.11b mesh network\" (SIGCOMM 2004).",
        spec.clone(),
        spec,
    )
}

fn lte() -> Profile {
    let profile = pair(
        "lte",
        "a phone with good LTE",
        "Rates 12.7 Mbit/s to the phone and 5.6 Mbit/s from it, round trip 70 ms: the medians of Huang et al., \"A close \
         examination of performance and power characteristics of 4G LTE networks\" (MobiSys 2012). Jitter 10 ms: chosen; \
         packets keep their order (RLC acknowledged mode, 3GPP TS 36.322). Loss 0.1 %: chosen, what retransmission by RLC \
         leaves. Queue four bandwidth-delay products: chosen, after Jiang et al., \"Tackling bufferbloat in 3G/4G networks\" \
         (IMC 2012), who found far larger queues than one.",
        link(12_700_000, ms(35)).jitter(ms(10), true).loss(0.001),
        link(5_600_000, ms(35)).jitter(ms(10), true).loss(0.001),
    );
    deep(profile)
}

fn lte_edge() -> Profile {
    let way = |rate| {
        link(rate, ms(75))
            .jitter(ms(60), true)
            .loss(0.01)
            .burst(bursts(0.1, ms(500)))
    };
    let profile = pair(
        "lte-edge-of-cell",
        "a phone with hardly any LTE",
        "Rates 1.2 Mbit/s to the phone and 0.6 Mbit/s from it: the cell-edge spectral efficiency that ITU-R M.2134 asks for in \
         urban cells (0.06 and 0.03 bit/s/Hz) in 20 MHz. Round trip 150 ms, jitter 60 ms, loss 1 %, bad 10 % of the time for \
         500 ms on average: chosen, for repeated HARQ and RLC rounds and for failed handovers. Queue four bandwidth-delay \
         products: as for lte.",
        way(1_200_000),
        way(600_000),
    );
    deep(profile)
}

fn gprs() -> Profile {
    let way = |rate| link(rate, ms(500)).jitter(ms(300), true).loss(0.005);
    pair(
        "gprs",
        "a phone or sensor on GPRS",
        "Rates 53.6 kbit/s to the phone and 26.8 kbit/s from it: four and two slots (multislot class 10, 3GPP TS 45.002) of \
         13.4 kbit/s (coding scheme CS-2, 3GPP TS 45.003). Round trip 1 s: of the order that Chakravorty et al., \"Practical \
         experience with TCP over GPRS\" (GLOBECOM 2002), report. Jitter 300 ms and loss 0.5 %: chosen.",
        way(53_600),
        way(26_800),
    )
}

/// Gives a profile the deep queues of mobile networks.
fn deep(profile: Profile) -> Profile {
    Profile {
        queue: QueueSize::Products(4.0),
        ..profile
    }
}

/// Bursts in which everything is lost, bad for a share of the time.
pub(super) fn bursts(bad: f64, mean_bad: Duration) -> Burst {
    let clock = BurstClock::Time {
        mean_good: mean_bad.mul_f64((1.0 - bad) / bad),
        mean_bad,
    };
    Burst {
        clock,
        loss_bad: 1.0,
    }
}
