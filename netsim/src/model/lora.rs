//! How long a LoRa frame is on the air.
//!
//! The formula is that of Semtech's data sheet of the SX1276/77/78/79 (section 4.1.1.7, *Time on air*) and of its
//! application note AN1200.13 (*LoRa modem designer's guide*): with spreading factor SF and bandwidth BW a symbol takes
//! `2^SF / BW`; the preamble has 4.25 symbols beyond its programmed length; and a payload of PL bytes takes
//!
//! `8 + max(⌈(8 PL - 4 SF + 28 + 16 CRC - 20 IH) / (4 (SF - 2 DE))⌉ · (CR + 4), 0)` symbols,
//!
//! where CRC is 1 with a checksum, IH is 1 without a header, DE is 1 with low data rate optimisation and CR is 1 to 4 for
//! the coding rates 4/5 to 4/8. Spreading factors 5 and 6 follow other rules and are left out.

use super::{Nanos, SpecError};

/// Symbols longer than this need low data rate optimisation: 16 ms (the data sheet, section 4.1.1.6).
const OPTIMISE_ABOVE: Nanos = 16_000_000;
/// The longest payload of a frame.
const MAX_PAYLOAD: usize = 255;

/// The settings of a LoRa modem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoRa {
    /// Chips a symbol as a power of two: 7 to 12.
    pub spreading_factor: u8,
    /// Bandwidth in Hz: 7,800 to 500,000 for the chips there are.
    pub bandwidth_hz: u32,
    /// 1 for 4/5, up to 4 for 4/8.
    pub coding_rate: u8,
    /// Programmed length of the preamble in symbols.
    pub preamble: u16,
    /// Whether frames say their length and coding rate; without, both ends know them.
    pub header: bool,
    /// Whether frames carry a checksum of their payload.
    pub crc: bool,
    /// Low data rate optimisation; `None` for symbols that take more than 16 ms, as the data sheet asks.
    pub low_data_rate: Option<bool>,
}

impl LoRa {
    /// The usual settings: 125 kHz, coding rate 4/5, a preamble of 8 symbols, header and checksum.
    #[must_use]
    pub fn new(spreading_factor: u8) -> Self {
        Self {
            spreading_factor,
            bandwidth_hz: 125_000,
            coding_rate: 1,
            preamble: 8,
            header: true,
            crc: true,
            low_data_rate: None,
        }
    }

    /// Sets the bandwidth in Hz.
    #[must_use]
    pub fn bandwidth_hz(self, bandwidth_hz: u32) -> Self {
        Self {
            bandwidth_hz,
            ..self
        }
    }

    /// Sets the coding rate: 1 for 4/5, up to 4 for 4/8.
    #[must_use]
    pub fn coding_rate(self, coding_rate: u8) -> Self {
        Self {
            coding_rate,
            ..self
        }
    }

    /// Sets the length of the preamble in symbols.
    #[must_use]
    pub fn preamble(self, preamble: u16) -> Self {
        Self { preamble, ..self }
    }

    /// Sets whether frames have a header.
    #[must_use]
    pub fn header(self, header: bool) -> Self {
        Self { header, ..self }
    }

    /// Sets whether frames carry a checksum.
    #[must_use]
    pub fn crc(self, crc: bool) -> Self {
        Self { crc, ..self }
    }

    /// Sets low data rate optimisation, instead of letting the symbol time decide.
    #[must_use]
    pub fn low_data_rate(self, on: bool) -> Self {
        Self {
            low_data_rate: Some(on),
            ..self
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// A spreading factor, coding rate or bandwidth out of range.
    pub fn validate(&self) -> Result<(), SpecError> {
        if !(7..=12).contains(&self.spreading_factor) {
            return Err(SpecError::SpreadingFactor(self.spreading_factor));
        }
        if !(1..=4).contains(&self.coding_rate) {
            return Err(SpecError::CodingRate(self.coding_rate));
        }
        if !(7_800..=500_000).contains(&self.bandwidth_hz) {
            return Err(SpecError::Bandwidth(self.bandwidth_hz));
        }
        Ok(())
    }

    /// The longest payload in bytes.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        MAX_PAYLOAD
    }

    /// How long a symbol takes, rounded down.
    #[must_use]
    pub fn symbol_time(&self) -> Nanos {
        self.symbols_time(4)
    }

    /// How long a frame of `len` bytes is on the air, preamble included, rounded down to a nanosecond.
    #[must_use]
    pub fn airtime(&self, len: usize) -> Nanos {
        let preamble = 4 * u64::from(self.preamble) + 17;
        self.symbols_time(preamble + 4 * self.payload_symbols(len))
    }

    fn payload_symbols(&self, len: usize) -> u64 {
        let optimised = (self.low_data_rate).unwrap_or(self.symbol_time() > OPTIMISE_ABOVE);
        let sf = i64::from(self.spreading_factor);
        let bits = 8 * len.min(MAX_PAYLOAD) as i64 - 4 * sf + 28 + 16 * i64::from(self.crc)
            - 20 * i64::from(!self.header);
        let bits_a_block = 4 * (sf - 2 * i64::from(optimised));
        let blocks = u64::try_from(bits)
            .unwrap_or(0)
            .div_ceil(bits_a_block.max(1) as u64);
        8 + blocks * (u64::from(self.coding_rate) + 4)
    }

    /// The time of so many quarters of a symbol.
    fn symbols_time(&self, quarters: u64) -> Nanos {
        let chips = u128::from(quarters) << self.spreading_factor.min(12);
        let nanos = chips * 1_000_000_000 / (4 * u128::from(self.bandwidth_hz.max(1)));
        Nanos::try_from(nanos).unwrap_or(Nanos::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards the formula: times on the air worked out by hand from the data sheet, to the microsecond below.
    #[test]
    fn airtime_follows_the_data_sheet() {
        // SF, bandwidth, coding rate, preamble, bytes, expected microseconds.
        let cases = [
            // 8 + ⌈(184 - 28 + 44) / 28⌉ · 5 = 48 and 12.25 symbols of 1.024 ms.
            (7, 125_000, 1, 8, 23, 61_696),
            // 8 + ⌈(184 - 40 + 44) / 40⌉ · 5 = 33 and 12.25 symbols of 8.192 ms.
            (10, 125_000, 1, 8, 23, 370_688),
            // Optimised: 8 + ⌈(184 - 48 + 44) / 40⌉ · 5 = 33 and 12.25 symbols of 32.768 ms.
            (12, 125_000, 1, 8, 23, 1_482_752),
            // Optimised as well: 8 + ⌈(408 - 44 + 44) / 36⌉ · 5 = 68 and 12.25 symbols of 16.384 ms.
            (11, 125_000, 1, 8, 51, 1_314_816),
            // 8 + ⌈(1776 - 28 + 44) / 28⌉ · 5 = 328 and 12.25 symbols of 1.024 ms.
            (7, 125_000, 1, 8, 222, 348_416),
            // Not optimised: 8 + ⌈(80 - 44 + 44) / 44⌉ · 8 = 24 and 20.25 symbols of 4.096 ms.
            (11, 500_000, 4, 16, 10, 181_248),
            // No negative count: 8 and 12.25 symbols of 1.024 ms, plus one block of 5 for -28 + 44 = 16 bits.
            (7, 125_000, 1, 8, 0, 25_856),
        ];
        for (sf, bandwidth, rate, preamble, len, micros) in cases {
            let lora = LoRa::new(sf)
                .bandwidth_hz(bandwidth)
                .coding_rate(rate)
                .preamble(preamble);
            assert_eq!(lora.airtime(len) / 1000, micros, "{lora:?} {len}");
        }
        let bare = LoRa::new(12).header(false).crc(false);
        assert_eq!(bare.airtime(0), bare.symbol_time() * 81 / 4);
        // 8 · 23 - 28 + 28 - 20 = 164 bits: 6 blocks.
        let bare = LoRa::new(7).header(false).crc(false).low_data_rate(false);
        assert_eq!(bare.airtime(23) / 1000, (12_250 + 38_000) * 1024 / 1000);
    }
}
