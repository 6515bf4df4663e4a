//! How much to send when nobody can report: planning for a wanted probability of success.

/// Parts per million that stand for certainty.
pub const CERTAIN: u32 = 1_000_000;

/// The probability, in parts per million, that at least `k` of `n` symbols arrive when each is lost on its own
/// with `loss_ppm`. Exact sum of the binomial distribution, by recurrence from its largest term's logarithm.
pub fn success_ppm(k: u32, n: u32, loss_ppm: u32) -> u32 {
    if n < k {
        return 0;
    }
    if loss_ppm == 0 || k == 0 {
        return CERTAIN;
    }
    if loss_ppm >= CERTAIN {
        return 0;
    }
    let p = f64::from(loss_ppm) / f64::from(CERTAIN);
    // Probability of exactly j losses, from j = 0 up to the n - k that are bearable.
    let mut log_term = f64::from(n) * libm::log(1.0 - p);
    let mut sum = 0.0;
    for lost in 0..=(n - k) {
        sum += libm::exp(log_term);
        let (from, to) = (f64::from(n - lost), f64::from(lost + 1));
        log_term += libm::log(from / to) + libm::log(p / (1.0 - p));
    }
    libm::round(sum.min(1.0) * f64::from(CERTAIN)) as u32
}

/// The least number of symbols, at most `most`, so that `blocks` blocks of `k` all succeed with `wanted_ppm`.
pub fn plan(k: u32, most: u32, blocks: u32, loss_ppm: u32, wanted_ppm: u32) -> u32 {
    let allowed = f64::from(CERTAIN - wanted_ppm.min(CERTAIN)) / f64::from(blocks.max(1));
    let enough = |n: u32| f64::from(CERTAIN - success_ppm(k, n, loss_ppm)) <= allowed;
    let (mut low, mut high) = (k, most.max(k));
    while low < high {
        let middle = low + (high - low) / 2;
        if enough(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The probability that all of `blocks` blocks succeed, each with `each_ppm`.
pub fn all_blocks_ppm(each_ppm: u32, blocks: u32) -> u32 {
    let each = f64::from(each_ppm) / f64::from(CERTAIN);
    (libm::pow(each, f64::from(blocks)) * f64::from(CERTAIN)) as u32
}

/// Extra symbols, beyond the mean, for a block that lacks `lacking` and whose last symbols should not cost another
/// round trip: three standard deviations of the number that arrives of `lacking / (1 - p)`. Loss above 30 % is mostly
/// one's own flood, which more symbols would only feed.
pub fn tail_margin(lacking: u32, loss_ppm: u32) -> u32 {
    let p = f64::from(loss_ppm.min(300_000)) / f64::from(CERTAIN);
    libm::ceil(3.0 * libm::sqrt(f64::from(lacking) * p)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_binomial_distribution() {
        assert_eq!(success_ppm(1, 1, 100_000), 900_000);
        assert_eq!(success_ppm(1, 2, 100_000), 990_000);
        // 2 of 3 at 20 %: 0.8³ + 3 · 0.8² · 0.2 = 0.896
        assert!(success_ppm(2, 3, 200_000).abs_diff(896_000) <= 1);
        assert_eq!(success_ppm(5, 4, 0), 0);
        assert_eq!(success_ppm(1000, 1000, 0), CERTAIN);
    }

    #[test]
    fn a_plan_suffices_and_one_symbol_less_does_not() {
        for (k, loss, blocks) in [
            (1u32, 100_000, 1u32),
            (32, 200_000, 1),
            (1024, 100_000, 75),
            (1000, 10_000, 3),
        ] {
            let n = plan(k, 4 * k + 20, blocks, loss, 999_000);
            assert!(
                all_blocks_ppm(success_ppm(k, n, loss), blocks) >= 998_900,
                "k {k} n {n}"
            );
            assert!(
                n == k || all_blocks_ppm(success_ppm(k, n - 1, loss), blocks) < 999_100,
                "k {k} n {n}"
            );
        }
    }
}
