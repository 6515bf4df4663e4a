use super::*;

const LEAST: Duration = Duration::from_millis(50);
const PACKET: u64 = super::PACKET as u64;

/// A path with a packet every millisecond, and the time on it.
#[derive(Default)]
struct Path {
    blame: Blame,
    now: Duration,
}

impl Path {
    /// So many packets come through, each of which has waited for so long.
    fn acks(&mut self, count: u32, wait_ms: impl Fn(u32) -> u64) {
        for n in 0..count {
            self.now += Duration::from_millis(1);
            let trip = LEAST + Duration::from_millis(wait_ms(n));
            self.blame.on_ack(self.now, PACKET, trip, LEAST);
        }
    }

    /// A packet that has just left is lost.
    fn loss(&mut self) -> bool {
        self.blame.on_loss(self.now, self.now, PACKET)
    }

    /// So many packets, one in so many of which is lost. How many of those count.
    fn losses(&mut self, count: u32, every: u32, wait_ms: u64) -> usize {
        let lost = (1..=count).filter(|n| {
            self.acks(1, |_| wait_ms);
            n % every == 0 && self.loss()
        });
        lost.count()
    }
}

/// Guards what makes it fair beside CUBIC: on a path that loses nothing by itself, a loss from a queue counts, be that long
/// or short beside the path; one while hardly anything waits does not.
#[test]
fn a_queue_is_blamed_and_what_is_lost_without_one_is_not() {
    for full in [40, 4] {
        let mut path = Path::default();
        path.acks(400, |n| u64::from(n) * full / 400);
        assert!(path.loss(), "full at {full} ms");
        path.acks(400, |_| full / 5);
        assert!(!path.loss(), "a fifth of {full} ms");
        path.acks(400, |_| full / 2);
        assert!(path.loss(), "half of {full} ms");
    }
}

/// Guards what keeps a lossy line full: where one in a hundred is lost without a queue, one that is short beside the path is
/// not blamed, although it is the longest known, and one that is longer is.
#[test]
fn on_a_lossy_path_a_queue_has_to_be_long() {
    let mut path = Path::default();
    assert_eq!(path.losses(2000, 100, 0), 0);
    assert_eq!(path.losses(2000, 100, 10), 0);
    assert_eq!(path.losses(2000, 100, 13), 20);
}

/// Guards paths that never queue: a wait below what timers tell is none, and neither is jitter, which delays most packets
/// and not all.
#[test]
fn neither_haste_nor_jitter_is_a_queue() {
    let mut path = Path::default();
    path.acks(400, |_| 0);
    assert!(!path.loss());
    path.acks(400, |n| u64::from(n * 5 % 8) * 3);
    assert!(!path.loss());
}

/// Guards others before a policer, or a queue too short to show: loss that is more than chance counts, soon also where a round
/// is a few packets, and when it is over that is forgotten.
#[test]
fn much_loss_is_blamed_without_a_queue() {
    let mut path = Path::default();
    assert_eq!(path.losses(4000, 50, 0), 0);
    let blamed = path.losses(4000, 10, 0);
    assert!((30..=50).contains(&blamed), "{blamed}");
    let blamed = path.losses(32, 2, 0);
    assert!((2..=4).contains(&blamed), "{blamed}");
    path.losses(1000, 100, 0);
    assert_eq!(path.losses(4000, 50, 0), 0);
}

/// Guards against cutting twice for one flood: of what left before the window was cut nothing counts.
#[test]
fn what_left_before_a_cut_counts_once() {
    let mut path = Path::default();
    path.acks(400, |n| u64::from(n / 10));
    let sent = path.now;
    assert!(path.blame.on_loss(path.now, sent, PACKET));
    path.acks(1, |_| 40);
    assert!(!path.blame.on_loss(path.now, sent, 300 * PACKET));
    assert!(path.loss());
}

/// Guards lines that change: what a queue once held is not waited for again when it has become shorter.
#[test]
fn a_queue_that_was_longer_is_forgotten() {
    let mut path = Path::default();
    path.acks(1000, |_| 100);
    path.acks(1000, |_| 10);
    assert!(!path.loss());
    path.acks(20_000, |_| 10);
    assert!(path.loss());
}
