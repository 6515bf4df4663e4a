//! The least time in which links can carry a message at all, under the cuts that there were.
//!
//! With, for each link *i*,
//!
//! * `C_i` its rate in bits per second; on a serial line 8 of the 10 bits that a byte takes there (start, 8 data, stop),
//! * `p_i` its loss,
//! * `η_i` the share of a packet that is content: 0.94 for fragments of 1344 bytes in QUIC over UDP and IP, with their
//!   headers, seals and reports; 1 on a serial line, whose start and stop bits stand in `C_i` already, so that its bound
//!   errs on the fast side,
//! * `A_i(T)` how long it was available within `[0, T]`: neither cut nor its sender dead,
//! * `d_i` its one-way delay, paid once,
//!
//! it is the least `T` with `Σ_i C_i · (1 − p_i) · η_i · max(0, A_i(T) − d_i) = M`, the bits of the message. It is computed,
//! not measured: no program that uses these links in this way can be faster.

/// The share of content in packets of QUIC links.
pub const QUIC_SHARE: f64 = 0.94;

/// A span of time in milliseconds since the message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Its begin.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
}

/// What the formula needs to know of a link.
#[derive(Clone, Debug)]
pub struct Pipe {
    /// `C_i` in bits per second.
    pub rate_bps: f64,
    /// `p_i`, from 0 to 1.
    pub loss: f64,
    /// `η_i`.
    pub share: f64,
    /// `d_i` in milliseconds.
    pub delay_ms: u64,
    /// When it was not available. May overlap.
    pub gaps: Vec<Gap>,
}

impl Pipe {
    /// Bits of content that it can have delivered `at_ms` after the start.
    fn bits(&self, at_ms: u64) -> f64 {
        let useful = self.available(at_ms).saturating_sub(self.delay_ms);
        self.rate_bps * (1.0 - self.loss) * self.share * useful as f64 / 1000.0
    }

    /// `A_i`, in milliseconds.
    fn available(&self, until_ms: u64) -> u64 {
        let mut gaps = self.gaps.clone();
        gaps.sort_by_key(|gap| gap.from_ms);
        let (mut gone, mut seen_to) = (0, 0);
        for gap in gaps {
            let from = gap.from_ms.max(seen_to);
            let to = gap.to_ms.min(until_ms);
            gone += to.saturating_sub(from);
            seen_to = seen_to.max(to);
        }
        until_ms.saturating_sub(gone)
    }
}

/// The least number of milliseconds in which all `pipes` together can deliver `bytes`; `None` if they never can.
pub fn least_ms(pipes: &[Pipe], bytes: u64) -> Option<u64> {
    let wanted = bytes as f64 * 8.0;
    let enough = |at_ms: u64| pipes.iter().map(|pipe| pipe.bits(at_ms)).sum::<f64>() >= wanted;
    let mut high = 1u64;
    while !enough(high) {
        // Thousands of years: not a link that delivers.
        high = high.checked_mul(2).filter(|ms| *ms < 1 << 47)?;
    }
    let mut low = high / 2;
    while low + 1 < high {
        let middle = low.midpoint(high);
        if enough(middle) {
            high = middle
        } else {
            low = middle
        }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe(rate_bps: f64, loss: f64, share: f64, delay_ms: u64, gaps: &[(u64, u64)]) -> Pipe {
        let gap = |&(from_ms, to_ms): &(u64, u64)| Gap { from_ms, to_ms };
        Pipe {
            rate_bps,
            loss,
            share,
            delay_ms,
            gaps: gaps.iter().map(gap).collect(),
        }
    }

    /// A case computed by hand. 1,000,000 bytes are 8,000,000 bits.
    ///
    /// Fast link: 10 Mbit/s, 20 % loss, half of it content: 4000 bits a ms, 300 ms late, cut from 1000 to 3000 ms.
    /// Until the cut it delivers 700 ms × 4000 = 2,800,000 bits; the other 5,200,000 take 1300 ms more: 4300 ms.
    /// Slow link: 1 Mbit/s, all content, no loss, no delay: 1000 bits a ms: alone 8000 ms.
    /// Together: at 3000 ms there are 2,800,000 + 3,000,000; 2,200,000 are left at 5000 a ms: 440 ms: 3440 ms.
    #[test]
    fn the_bound_is_what_a_pencil_gives() {
        let fast = pipe(10e6, 0.2, 0.5, 300, &[(1000, 3000)]);
        let slow = pipe(1e6, 0.0, 1.0, 0, &[]);
        assert_eq!(least_ms(std::slice::from_ref(&fast), 1_000_000), Some(4300));
        assert_eq!(least_ms(std::slice::from_ref(&slow), 1_000_000), Some(8000));
        assert_eq!(least_ms(&[fast, slow], 1_000_000), Some(3440));
    }

    /// A cut and a dead sender at the same time count once, in whatever order they are given.
    #[test]
    fn gaps_that_overlap_count_once() {
        // 1000 bits a ms; away from 100 to 500 ms: 100,000 bits until then, 100,000 after: 600 ms.
        let link = pipe(1e6, 0.0, 1.0, 0, &[(300, 500), (100, 400), (150, 200)]);
        assert_eq!(least_ms(&[link], 25_000), Some(600));
        let never = pipe(1e6, 1.0, 1.0, 0, &[]);
        assert_eq!((least_ms(&[never], 1), least_ms(&[], 1)), (None, None));
    }
}
