//! Radio channels that stations share.

use super::ground::bursts;
use super::{ms, radio};
use crate::model::{Access, Airtime, ChannelSpec, Duty, LoRa};
use crate::profile::Profile;
use std::time::Duration;

/// HDLC with random content: after five ones in a row a zero is stuffed, on average one bit in 62 (8 · 63/62).
const STUFFED: f64 = 8.129;
/// AX.25 of a UI frame without digipeaters: two addresses of 7 bytes, control, PID, FCS of 2, two flags.
const AX25: usize = 20;
/// The largest information field of AX.25, by default.
const N1: usize = 256;

pub(super) fn all() -> Vec<Profile> {
    vec![
        uhf_9600(),
        lora("lora-sf7", "LoRa at spreading factor 7", 7),
        vhf_1200(),
        lora("lora-sf10", "LoRa at spreading factor 10", 10),
        hf_300(),
        lora("lora-sf12", "LoRa at spreading factor 12", 12),
    ]
}

/// Packet radio: AX.25 frames and CSMA with a persistence of (63 + 1) / 256.
fn packet(rate_bps: u64, tx_delay: Duration, slot: Duration) -> ChannelSpec {
    ChannelSpec {
        airtime: Airtime::Rate {
            rate_bps,
            bits_per_byte: STUFFED,
        },
        access: Access::Csma {
            slot,
            persistence: 0.25,
            detect: ms(20),
        },
        tx_delay,
        capture_db: Some(6),
        mtu: N1 + AX25,
        overhead: AX25,
        loss: 0.02,
        ..ChannelSpec::rate_bps(rate_bps)
    }
}

fn uhf_9600() -> Profile {
    radio(
        "uhf-9600",
        "packet radio at 9600 bit/s on UHF",
        "Rate 9600 bit/s: the FSK modem of G3RUH (ARRL Computer Networking Conference 1988). Framing of AX.25 2.2: 20 bytes a \
         frame, information fields of at most 256 bytes, stuffed bits (8.129 bits a byte of random content). TXDELAY 120 ms, \
         SLOTTIME 50 ms: usual values for fast transceivers. P 63, so a persistence of 25 %: the default of Chepponis and \
         Karn, \"The KISS TNC\" (1987). Carriers noticed after 20 ms, capture at 6 dB, loss 2 %: chosen.",
        packet(9600, ms(120), ms(50)),
    )
}

fn vhf_1200() -> Profile {
    radio(
        "vhf-1200",
        "packet radio at 1200 bit/s on VHF",
        "Rate 1200 bit/s: AFSK with the tones of Bell 202. Framing of AX.25 2.2: 20 bytes a frame, information fields of at \
         most 256 bytes, stuffed bits (8.129 bits a byte of random content). TXDELAY 300 ms: between the usual 150 to 250 ms \
         and the default of 500 ms of Chepponis and Karn, \"The KISS TNC\" (1987); from there SLOTTIME 100 ms and P 63, so a \
         persistence of 25 %. Carriers noticed after 20 ms, capture at 6 dB, loss 2 %: chosen.",
        packet(1200, ms(300), ms(100)),
    )
}

fn hf_300() -> Profile {
    let channel = ChannelSpec {
        loss: 0.05,
        burst: Some(bursts(0.2, ms(10_000))),
        ..packet(300, ms(500), ms(100))
    };
    radio(
        "hf-300",
        "packet radio at 300 bit/s on short wave",
        "Rate 300 bit/s: FSK of 200 Hz as used for packet on HF. Framing of AX.25 2.2: 20 bytes a frame, information fields of \
         at most 256 bytes (operators prefer 32 to 80 here: set mtu), stuffed bits (8.129 bits a byte of random content). \
         TXDELAY 500 ms, SLOTTIME 100 ms and P 63, so a persistence of 25 %: the defaults of Chepponis and Karn, \"The KISS \
         TNC\" (1987). Loss 5 %, bad 20 % of the time for 10 s on average: chosen; ITU-R F.1487 describes the fading. Carriers \
         noticed after 20 ms, capture at 6 dB: chosen.",
        channel,
    )
}

fn lora(name: &'static str, title: &'static str, spreading_factor: u8) -> Profile {
    let channel = ChannelSpec {
        duty: Some(Duty::sliding(0.01)),
        loss: 0.02,
        ..ChannelSpec::lora(LoRa::new(spreading_factor))
    };
    radio(
        name,
        title,
        "Airtime: the formula of Semtech's data sheet of the SX1276 (section 4.1.1.7) at 125 kHz and a coding rate of 4/5, with \
         a preamble of 8 symbols, header and checksum; frames of at most 255 bytes (LoRaWAN allows 51 at spreading factors 10 \
         to 12 in Europe, and 222 at 7: set mtu). Duty cycle 1 % of any hour: ETSI EN 300 220-2, band M (868.0 to 868.6 MHz). \
         Access without carrier sensing, capture at 6 dB: Bor et al., \"Do LoRa low-power wide-area networks scale?\" (MSWiM \
         2016). Loss 2 %: chosen.",
        channel,
    )
}
