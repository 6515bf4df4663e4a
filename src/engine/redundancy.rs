//! How much to send when nobody can report: planning for a wanted probability of success.

/// Parts per million that stand for certainty.
pub const CERTAIN: u32 = 1_000_000;
/// A term that is no more than this part of the sum before it ends the sum.
const NEGLIGIBLE: f64 = 1e-17;

/// The chance that fewer than `k` of `n` symbols arrive when each is lost on its own with `loss_ppm`.
pub fn failure(k: u32, n: u32, loss_ppm: u32) -> f64 {
    failure_at(k, n, share(loss_ppm))
}

fn share(ppm: u32) -> f64 {
    f64::from(ppm.min(CERTAIN)) / f64::from(CERTAIN)
}

/// The sum of a tail of the binomial distribution. It is exact also where it is far below a millionth, as it has to be for
/// a single one of many blocks.
fn failure_at(k: u32, n: u32, p: f64) -> f64 {
    if k == 0 || n >= k && p <= 0.0 {
        return 0.0;
    }
    if n < k || p >= 1.0 {
        return 1.0;
    }
    // It fails from so many losses on. The tail that leads away from the mean is summed, so that no term is too small.
    let losses = n - k + 1;
    if f64::from(losses) > f64::from(n) * p {
        return tail(n, losses, p);
    }
    1.0 - tail(n, k, 1.0 - p)
}

/// The chance that at least `from` of `n` happen, each with the chance `p`; `from` is at least the mean.
fn tail(n: u32, from: u32, p: f64) -> f64 {
    let (all, odds) = (f64::from(n), libm::log(p / (1.0 - p)));
    let ways =
        |j: f64| libm::lgamma(all + 1.0) - libm::lgamma(j + 1.0) - libm::lgamma(all - j + 1.0);
    let mut log_term = ways(f64::from(from)) + f64::from(from) * odds + all * libm::log(1.0 - p);
    let mut sum = 0.0;
    for happened in from..=n {
        let term = libm::exp(log_term);
        sum += term;
        if term <= sum * NEGLIGIBLE {
            break;
        }
        log_term += libm::log(f64::from(n - happened) / f64::from(happened + 1)) + odds;
    }
    sum.min(1.0)
}

/// The least number of symbols, at most `most`, so that `blocks` blocks of `k` all succeed with `wanted_ppm`.
pub fn plan(k: u32, most: u32, blocks: u32, loss_ppm: u32, wanted_ppm: u32) -> u32 {
    let allowed = (1.0 - share(wanted_ppm)) / f64::from(blocks.max(1));
    let (mut low, mut high) = (k, most.max(k));
    while low < high {
        let middle = low + (high - low) / 2;
        if failure(k, middle, loss_ppm) <= allowed {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// How often something has to leave so that all copies are lost in one of a million cases at most.
pub fn copies(loss_ppm: u32) -> u32 {
    let p = share(loss_ppm.clamp(1, CERTAIN - 1));
    // Less a hair: an error of rounding is no further copy.
    libm::ceil(libm::log(1.0 / f64::from(CERTAIN)) / libm::log(p) - 1e-9) as u32
}

/// The chance that less than `source` different pieces of a manifest arrive, of the `all` that there are with parity, when
/// `sent` have left in turn.
pub fn manifest_failure(source: u32, all: u32, sent: u32, loss_ppm: u32) -> f64 {
    match sent / all.max(1) {
        0 => failure(source, sent, loss_ppm),
        turns => failure_at(source, all, libm::pow(share(loss_ppm), f64::from(turns))),
    }
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

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= b.abs() * 1e-9
    }

    #[test]
    fn the_sum_is_the_binomial_distribution() {
        assert!(close(failure(1, 1, 100_000), 0.1));
        assert!(close(failure(1, 2, 100_000), 0.01));
        // 2 of 3 at 20 %: 1 - (0.8³ + 3 · 0.8² · 0.2) = 0.104
        assert!(close(failure(2, 3, 200_000), 0.104));
        // All of 3 at 90 %: 1 - 0.1³
        assert!(close(failure(3, 3, 900_000), 0.999));
        assert_eq!(failure(5, 4, 0), 1.0);
        assert_eq!(failure(1000, 1000, 0), 0.0);
        assert_eq!(failure(1, 9, CERTAIN), 1.0);
    }

    /// Guards that chances which only count among thousands of blocks are told from each other.
    #[test]
    fn small_chances_are_not_rounded_away() {
        assert!(close(failure(1, 12, 100_000), 1e-12));
        let few = failure(4096, 4700, 100_000);
        let more = failure(4096, 4720, 100_000);
        assert!(0.0 < more && more < few && few < 1e-9, "{more} {few}");
    }

    /// Guards the sum for blocks as large as there are against a walk through the same distribution, step by step.
    #[test]
    fn the_sum_of_a_large_block_is_that_of_its_steps() {
        let (k, n, p) = (200usize, 240, 0.1);
        let mut arrived = vec![0.0; n + 1];
        arrived[0] = 1.0;
        for _ in 0..n {
            for j in (1..=n).rev() {
                arrived[j] = arrived[j] * p + arrived[j - 1] * (1.0 - p);
            }
            arrived[0] *= p;
        }
        let walked: f64 = arrived[..k].iter().sum();
        let summed = failure(k as u32, n as u32, 100_000);
        assert!(close(summed, walked), "{summed} {walked}");
    }

    #[test]
    fn a_plan_suffices_and_one_symbol_less_does_not() {
        for (k, loss, blocks) in [
            (1u32, 100_000, 1u32),
            (32, 200_000, 1),
            (1024, 100_000, 75),
            (4000, 100_000, 25),
            (4096, 100_000, 65_536),
            (1000, 10_000, 3),
        ] {
            let n = plan(k, 4 * k + 20, blocks, loss, 999_000);
            let all = |n| failure(k, n, loss) * f64::from(blocks);
            assert!(
                all(n) <= 0.001 && (n == k || all(n - 1) > 0.001),
                "k {k} n {n}"
            );
        }
    }

    #[test]
    fn copies_and_pieces_of_a_manifest_are_as_many_as_their_losses_ask_for() {
        assert_eq!([0, 10_000, 100_000, 500_000].map(copies), [1, 3, 6, 20]);
        assert!(close(manifest_failure(1, 1, 4, 100_000), 1e-4));
        // Two of four pieces, each of which left twice: lost if three or four of them are.
        let lost: f64 = 0.01;
        let expected = 4.0 * lost.powi(3) * (1.0 - lost) + lost.powi(4);
        assert!(close(manifest_failure(2, 4, 8, 100_000), expected));
        assert_eq!(manifest_failure(2, 4, 1, 0), 1.0);
        assert_eq!(manifest_failure(2, 4, 2, 0), 0.0);
    }
}
