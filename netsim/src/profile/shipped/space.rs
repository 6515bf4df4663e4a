//! Links through space.

use super::ground::bursts;
use super::{QueueSize, link, ms, pair};
use crate::model::{Contact, ContactPlan, LinkSpec};
use crate::profile::Profile;
use std::time::Duration;

/// How long a handover silences a link.
const HANDOVER: Duration = Duration::from_millis(100);
/// How long a terminal stays with a satellite.
const SLOT: Duration = Duration::from_secs(15);

/// Around the earth.
pub(super) fn near() -> Vec<Profile> {
    vec![leo_handover(), geo(), geo_rain()]
}

/// Beyond.
pub(super) fn far() -> Vec<Profile> {
    vec![lunar(), mars()]
}

fn leo_handover() -> Profile {
    let way = |rate| {
        let spec = link(rate, ms(20)).jitter(ms(7), true).loss(0.01);
        LinkSpec {
            contacts: handovers(),
            ..spec
        }
    };
    pair(
        "leo-handover",
        "a terminal that changes low satellites every 15 s",
        "Rates 100 Mbit/s to the terminal and 10 Mbit/s from it: chosen, within the 10 to 370 Mbit/s that Huston, \"A \
         transport protocol's view of Starlink\" (APNIC 2024), reports. From there as well: another satellite every 15 s with \
         another delay (here 15, 25 and 20 ms each way in turn), a jitter of 6.7 ms on average (here up to 7 ms each way) and \
         a loss of 1 to 2 % apart from congestion (here 1 % each way). A silence of 100 ms at each handover: chosen.",
        way(100_000_000),
        way(10_000_000),
    )
}

/// Three satellites in turn.
fn handovers() -> Option<ContactPlan> {
    let delays = [ms(15), ms(25), ms(20)];
    let contact = |(slot, delay): (u32, Duration)| {
        let start = SLOT * slot;
        Contact::new(start, Some(start + SLOT - HANDOVER)).delay(delay)
    };
    let contacts: Vec<Contact> = (0..).zip(delays).map(contact).collect();
    ContactPlan::repeating(contacts, SLOT * 3).ok()
}

fn geo() -> Profile {
    pair(
        "geo",
        "a geostationary satellite",
        "Round trip 600 ms: 239.6 to 279.0 ms up and down again, each way (RFC 2488, section 2), and processing. Rates \
         10 Mbit/s to the terminal and 2 Mbit/s from it, loss 1 % each way: chosen, a small shared terminal on a fair day. \
         Queue one bandwidth-delay product: the rule of Villamizar and Song (1994).",
        link(10_000_000, ms(300)).loss(0.01),
        link(2_000_000, ms(300)).loss(0.01),
    )
}

fn geo_rain() -> Profile {
    let way = |rate| link(rate, ms(300)).loss(0.03).burst(bursts(0.15, ms(5000)));
    pair(
        "geo-rain",
        "a geostationary satellite in heavy rain",
        "Round trip 600 ms: as for geo. Rates 3 Mbit/s to the terminal and 600 kbit/s from it: those of geo after adaptive \
         coding went from 16APSK 2/3 (2.64 bits a symbol) to QPSK 2/5 (0.79), ETSI EN 302 307-1, table 13. Loss 3 %, bad 15 % \
         of the time for 5 s on average, both ways: chosen, for fades deeper than that margin; ITU-R P.1623 describes how long \
         fades last.",
        way(3_000_000),
        way(600_000),
    )
}

fn lunar() -> Profile {
    let way = || link(10_000_000, ms(1300)).loss(0.001);
    pair(
        "lunar",
        "the moon, while it is in view",
        "Delay 1.3 s each way: 384,400 km at the speed of light is 1.28 s (the distance varies from 356,500 to 406,700 km), \
         and processing. Rates 10 Mbit/s: chosen, a tenth of the 100 Mbit/s that the Lunar Reconnaissance Orbiter sends in Ka \
         band (Tooley et al., \"Lunar Reconnaissance Orbiter mission and spacecraft design\", 2010). Loss 0.1 %: chosen, what \
         coding leaves. Contacts are for a contact plan to say.",
        way(),
        way(),
    )
}

fn mars() -> Profile {
    let way = |rate| link(rate, Duration::from_secs(750)).loss(0.001);
    let profile = pair(
        "mars",
        "mars, while a station on earth listens",
        "Delay 750 s each way: 225 million km, about the mean distance, at the speed of light; it varies from 182 to 1337 s \
         (54.6 to 401 million km). Rate 2 kbit/s to the spacecraft: chosen, one of the telecommand rates of CCSDS 401.0. Rate \
         2 Mbit/s from it: the Mars Reconnaissance Orbiter sends 0.5 to 4 Mbit/s by distance (NASA, mission pages). \
         Loss 0.1 %: chosen, what coding leaves. Queue 16 MB: chosen, since a bandwidth-delay product would be 375 MB. \
         Contacts are for a contact plan to say.",
        way(2000),
        way(2_000_000),
    );
    Profile {
        queue: QueueSize::Bytes(16_000_000),
        ..profile
    }
}
