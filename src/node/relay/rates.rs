//! How fast clients may bring frames: each client, each grant, and all clients without one together. What comes faster
//! waits in the path, and costs the relay nothing meanwhile.

use governor::clock::Clock;
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

type Keyed = DefaultKeyedRateLimiter<[u8; 32]>;

/// What is counted, in bytes: finer steps than a clock has would make fast limits wrong.
const CELL: u64 = 64;
/// What a frame counts for beyond its length, in bytes, as in the mailboxes.
const FRAME: u64 = crate::store::mailbox::FRAME_COST;
/// What every limit lets through at once, in cells: more than the largest record counts for.
const AT_ONCE: u32 = 2048;
/// The grants that a client may show at once, and one more each second.
const SHOWN_AT_ONCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(15);
/// Keys that are remembered before those that have been quiet are forgotten.
const MOST_KEYS: usize = 4096;

/// The most that is taken, in bytes a second. A frame counts as its length plus 128 bytes. What was saved up counts for
/// one second, and for 128 KiB at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// From one client.
    pub client: u64,
    /// By one grant and all that were made from it.
    pub grant: u64,
    /// From all clients together that have shown no grant.
    pub unknown: u64,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            client: 50_000_000,
            grant: 50_000_000,
            unknown: 50_000_000,
        }
    }
}

/// Frames that had to wait, by what held them up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slowed {
    /// The limit of their client.
    pub client: u64,
    /// The limit of their grant.
    pub grant: u64,
    /// The limit of all clients without a grant.
    pub unknown: u64,
}

/// All limits of a relay that runs.
pub(super) struct Rates {
    clients: Keyed,
    grants: Keyed,
    unknown: DefaultDirectRateLimiter,
    shown: Keyed,
    slowed: [AtomicU64; 3],
}

impl Rates {
    pub(super) fn new(limits: RateLimits) -> Self {
        let shown = Quota::per_second(NonZeroU32::MIN).allow_burst(SHOWN_AT_ONCE);
        Self {
            clients: RateLimiter::keyed(quota(limits.client)),
            grants: RateLimiter::keyed(quota(limits.grant)),
            unknown: RateLimiter::direct(quota(limits.unknown)),
            shown: RateLimiter::keyed(shown),
            slowed: Default::default(),
        }
    }

    /// Whether this client may have a grant checked now.
    pub(super) fn may_show(&self, client: &[u8; 32]) -> bool {
        prune(&self.shown);
        self.shown.check_key(client).is_ok()
    }

    /// Takes a frame of a client into account, or says how long it has to wait.
    pub(super) fn client(&self, client: &[u8; 32], length: usize) -> Option<Duration> {
        self.wait(0, keyed(&self.clients, client, cells(length)))
    }

    /// Likewise of what a grant pays for; without one, of what nobody has granted.
    pub(super) fn payer(&self, grant: Option<&[u8; 32]>, length: usize) -> Option<Duration> {
        match grant {
            Some(root) => self.wait(1, keyed(&self.grants, root, cells(length))),
            None => self.wait(2, direct(&self.unknown, cells(length))),
        }
    }

    fn wait(&self, which: usize, wait: Option<Duration>) -> Option<Duration> {
        if wait.is_some() {
            self.slowed[which].fetch_add(1, Ordering::Relaxed);
        }
        wait
    }

    /// Frames that had to wait so far.
    pub(super) fn slowed(&self) -> Slowed {
        let [client, grant, unknown] = self.slowed.each_ref().map(|n| n.load(Ordering::Relaxed));
        Slowed {
            client,
            grant,
            unknown,
        }
    }
}

fn quota(bytes: u64) -> Quota {
    let cells = u32::try_from(bytes.div_ceil(CELL)).unwrap_or(u32::MAX);
    let cells = NonZeroU32::new(cells).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(cells).allow_burst(cells.max(NonZeroU32::MIN.saturating_add(AT_ONCE)))
}

fn cells(length: usize) -> NonZeroU32 {
    let cells = (length as u64 + FRAME).div_ceil(CELL);
    let cells = u32::try_from(cells).unwrap_or(AT_ONCE).min(AT_ONCE);
    NonZeroU32::new(cells).unwrap_or(NonZeroU32::MIN)
}

fn keyed(limiter: &Keyed, key: &[u8; 32], cells: NonZeroU32) -> Option<Duration> {
    prune(limiter);
    match limiter.check_key_n(key, cells) {
        Ok(Err(early)) => Some(early.wait_time_from(limiter.clock().now())),
        Ok(Ok(())) | Err(_) => None,
    }
}

fn direct(limiter: &DefaultDirectRateLimiter, cells: NonZeroU32) -> Option<Duration> {
    match limiter.check_n(cells) {
        Ok(Err(early)) => Some(early.wait_time_from(limiter.clock().now())),
        Ok(Ok(())) | Err(_) => None,
    }
}

/// Forgets who has been quiet, once there are many: they have all of their limit again, as if they were new.
fn prune(limiter: &Keyed) {
    if limiter.len() > MOST_KEYS {
        limiter.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who brings more than the limit waits, others do not, and the time to wait is that which the excess takes.
    #[test]
    fn the_fast_wait_and_others_do_not() {
        let slow = 1_000_000;
        let rates = Rates::new(RateLimits {
            client: slow,
            grant: slow,
            unknown: slow,
        });
        let mut taken = 0;
        let wait = loop {
            match rates.client(&[1; 32], 1000) {
                Some(wait) => break wait,
                None => taken += 1,
            }
            assert!(taken < 10_000, "no limit");
        };
        // A second's worth, of 18 cells each; while the test runs some more may pass.
        assert!(taken >= 860, "{taken}");
        assert!(wait <= Duration::from_millis(3), "{wait:?}");
        assert_eq!(rates.client(&[2; 32], 1000), None);
        assert_eq!(rates.payer(Some(&[1; 32]), 1000), None);
        assert_eq!(rates.payer(None, 1000), None);
        assert_eq!(rates.slowed().client, 1);
    }

    /// A client that shows grants without end has few of them checked.
    #[test]
    fn few_grants_are_checked_of_one_client() {
        let rates = Rates::new(RateLimits::default());
        let checked = (0..1000).filter(|_| rates.may_show(&[1; 32])).count();
        assert!((16..100).contains(&checked), "{checked}");
        assert!(rates.may_show(&[2; 32]));
    }
}
