//! What the engine keeps of each link: its profile, its credit, what is under way on it and how it has done.

use super::ends::End;
use super::io::{LinkProfile, Reach, Time};
use super::pool::Run;
use super::rate::RateMeter;
use super::reports::Quiet;
use super::status;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Fragments that are under way on a link that seems to swallow everything.
const PROBES: usize = 8;

/// How long the answer to what a courier took along may take.
const COURIER: Duration = Duration::from_secs(24 * 3600);

/// How long a relay's recipient may be silent before what the relay was given counts as lost.
const RELAYED: Duration = Duration::from_secs(3600);

/// How long a relay's recipient may tell of nothing that the relay was given before that counts as lost.
const UNPROVEN: Duration = Duration::from_secs(60);

/// How long the answer to what is not urgent is waited for at first.
pub const UNHURRIED: Duration = Duration::from_secs(600);

/// The same where somebody carries the frames, who may take hours.
const UNHURRIED_FAR: Duration = Duration::from_secs(6 * 3600);

/// A round trip that is long, if so many frames may leave in it: another round is avoided.
const FAR: Duration = Duration::from_millis(50);
const FAR_FRAMES: u128 = 64;

/// Loss that a link may have that nothing is known of, in parts per million.
const UNKNOWN_LOSS: u32 = 100_000;

/// A fragment under way.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The place of its message in the outbox.
    pub seq: u64,
    /// The part.
    pub part: u8,
    /// Which slices.
    pub run: Run,
    /// What it counts for in the pool.
    pub weight: u32,
    /// The same when it left: it never counts for more.
    pub weighed: u32,
    /// When it left.
    pub at: Time,
    /// Counts up from fragment to fragment of the link.
    pub number: u64,
    /// Bytes of its frame.
    pub bytes: u32,
}

/// How symbols for somebody are sent on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reports come: symbols are drawn from the pool and count there.
    Attached,
    /// Nobody answers, and frames wait somewhere until somebody fetches them: everything goes there once.
    Detached,
    /// Nobody answers, and what is sent may be gone: nothing leaves until somebody does.
    Silent,
}

/// A link.
#[derive(Debug)]
pub struct Link {
    /// What it is like, while it is up.
    pub profile: Option<LinkProfile>,
    /// Frames it has room for.
    pub credit: usize,
    /// Fragments under way, oldest first.
    pub sent: VecDeque<Sent>,
    /// The number of the next fragment.
    next_number: u64,
    /// How it has done.
    pub rate: RateMeter,
    /// When it came up.
    pub up_since: Time,
    /// When it last went down.
    pub down_since: Option<Time>,
    /// When the youngest fragment left that is known to have arrived.
    pub newest_there: Option<Time>,
    /// Of a relay's link: what it carried was late while its recipient answered by others, and nothing has come since.
    pub doubted: bool,
    /// It was a courier who goes both ways when it was up last.
    carried: bool,
    /// Since when it has sent without any proof that something arrived.
    pub unproven_since: Option<Time>,
    /// Frames since the last preamble, by recipient, and from how many on the next is due; none was sent yet where there
    /// is no entry.
    pub since_preamble: BTreeMap<End, (u8, u8)>,
    /// Frames that have been chosen and wait for credit, since a preamble went before them.
    pub pending: VecDeque<(Postmark, Bytes)>,
    /// Nothing to send was found at this count of the engine's work, and will not be before this moment.
    pub idle: Option<(u64, Option<Time>)>,
    /// How far down the schedule there was nothing to send.
    pub passed: Option<Passed>,
    /// No report is due before this.
    pub quiet: Option<Quiet>,
    /// Which endpoints were heard on it since it came up.
    pub near: BTreeSet<End>,
    /// Plain numbers for people.
    pub stats: status::Link,
    /// The highest custody number received, and the highest on its way to be released.
    pub custody: (u64, u64),
    /// A frame in custody was not taken in, so nothing after it may be released.
    pub custody_broken: bool,
}

/// Everything before an item of the schedule has nothing to send on a link.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// The item.
    pub item: (u8, u64, u8),
    /// It was so at this count of the engine's work …
    pub work: u64,
    /// … and will be until this moment.
    pub until: Option<Time>,
}

/// Frames that have been chosen and follow each other.
#[derive(Debug)]
pub struct Ready {
    /// What is known of each of them.
    pub mark: Postmark,
    /// The frames, without envelope; at least one.
    pub frames: Vec<Bytes>,
}

impl Ready {
    /// A single frame.
    pub fn one(mark: Postmark, frame: Bytes) -> Self {
        Self {
            mark,
            frames: vec![frame],
        }
    }
}

/// What those who carry a frame have to know of it.
#[derive(Clone, Copy, Debug)]
pub struct Postmark {
    /// For whom.
    pub to: End,
    /// Groups frames of one message.
    pub tag: u64,
    /// As in [`super::message::Priority::code`].
    pub priority: u8,
    /// Seconds since its message was made, for carriers.
    pub age_s: u32,
}

impl Link {
    /// A link that is down.
    pub fn new(id: super::io::LinkId) -> Self {
        Self {
            profile: None,
            credit: 0,
            sent: VecDeque::new(),
            next_number: 0,
            rate: RateMeter::new(None, None),
            up_since: Time::default(),
            down_since: None,
            unproven_since: None,
            since_preamble: BTreeMap::new(),
            newest_there: None,
            doubted: false,
            carried: false,
            pending: VecDeque::new(),
            idle: None,
            passed: None,
            quiet: None,
            near: BTreeSet::new(),
            stats: status::Link::new(id),
            custody: (0, 0),
            custody_broken: false,
        }
    }

    /// It came up, or its profile changed.
    pub fn up(&mut self, now: Time, profile: LinkProfile) {
        if self.profile.is_none() {
            self.credit = 0;
            self.up_since = now;
            self.rate = RateMeter::new(profile.rate_bps, profile.rtt);
            self.since_preamble.clear();
            self.idle = None;
            self.newest_there = None;
            self.doubted = false;
            self.unproven_since = None;
        }
        self.stats.up = true;
        (self.passed, self.quiet) = (None, None);
        self.carried = profile.courier && profile.can_receive;
        self.profile = Some(profile);
    }

    /// It went down.
    pub fn down(&mut self, now: Time) {
        self.down_since = self.profile.take().map(|_| now).or(self.down_since);
        self.credit = 0;
        self.stats.up = false;
        (self.passed, self.quiet) = (None, None);
        self.pending.clear();
        self.near.clear();
        self.custody = (0, 0);
        self.custody_broken = false;
    }

    /// Whether nothing to send was found on it and nothing has changed since.
    pub fn is_idle(&self, work: u64, now: Time) -> bool {
        let still =
            |(known, until): (u64, Option<Time>)| known == work && until.is_none_or(|at| at > now);
        self.idle.is_some_and(still)
    }

    /// The profile, if frames for this endpoint can leave by it.
    pub fn toward(&self, to: End) -> Option<&LinkProfile> {
        self.profile.as_ref().filter(|p| {
            p.can_send
                && match p.reach {
                    Reach::Anyone => true,
                    Reach::Person(who) => who == to.person,
                    Reach::Endpoint(end) => end.matches(to),
                }
        })
    }

    /// Whether it leads to this endpoint and to nobody else.
    pub fn leads_to(&self, to: End) -> bool {
        let leads = |p: &LinkProfile| matches!(p.reach, Reach::Endpoint(end) if end.matches(to));
        self.profile.as_ref().is_some_and(leads)
    }

    /// Whether its frames have envelopes, for others to keep or to carry them.
    pub fn is_enveloped(&self) -> bool {
        self.profile.as_ref().is_some_and(|p| p.enveloped)
    }

    /// How long the answer to what is not urgent is waited for at first.
    pub fn unhurried(&self) -> Duration {
        match self.is_enveloped() {
            true => UNHURRIED_FAR,
            false => UNHURRIED,
        }
    }

    /// Whether an answer can come back by it while it is up.
    pub fn answers(&self) -> bool {
        let answers = |p: &LinkProfile| p.can_receive && !p.courier;
        self.profile.as_ref().is_some_and(answers)
    }

    /// Bytes of a frame that a fragment can take.
    pub fn room(&self) -> usize {
        self.profile.as_ref().map_or(0, |p| {
            p.mtu
                - if p.enveloped {
                    crate::wire::envelope::LEN
                } else {
                    0
                }
        })
    }

    /// How symbols are sent on it for somebody who was last heard of then.
    pub fn mode(&self, heard: Time, now: Time) -> Mode {
        let Some(profile) = &self.profile else {
            return Mode::Silent;
        };
        let silent = now.since(heard.max(self.up_since)) > self.silence_limit();
        match (profile.courier || !profile.can_receive, silent) {
            (true, _) => Mode::Detached,
            (false, false) => Mode::Attached,
            (false, true) if profile.enveloped => Mode::Detached,
            (false, true) => Mode::Silent,
        }
    }

    /// Whether everybody who is there hears what leaves by it.
    pub fn is_shared_line(&self) -> bool {
        let shared = |p: &LinkProfile| p.reach == Reach::Anyone && !p.enveloped && !p.courier;
        self.profile.as_ref().is_some_and(shared)
    }

    /// Whether a relay keeps what leaves by it until the recipient fetches it, who then answers.
    pub fn is_relayed(&self) -> bool {
        let relayed = |p: &LinkProfile| p.enveloped && p.can_receive && !p.courier;
        self.profile.as_ref().is_some_and(relayed)
    }

    /// Whether its frames are carried by somebody who also brings what there is from the recipient, be he here or away.
    pub fn is_carried_both_ways(&self) -> bool {
        self.carried
    }

    /// When something has to have left for what comes back now to be an answer to it. A courier brings many reports at
    /// once, and none of them knows of what was given to him for the one before.
    pub fn answered_before(&self, now: Time) -> Time {
        let trip = self.rate.least_rtt().filter(|_| self.carried);
        let half = trip.unwrap_or_default().as_nanos() / 2;
        Time(
            now.0
                .saturating_sub(u64::try_from(half).unwrap_or(u64::MAX)),
        )
    }

    /// Whether it leads to a relay that nothing is known to have come through: it may lead nowhere.
    pub fn is_untried(&self) -> bool {
        self.is_relayed() && self.newest_there.is_none()
    }

    /// Loss to reckon with, in parts per million: measured, else assumed.
    pub fn loss_ppm(&self) -> u32 {
        if self.rate.loss_known() {
            return self.rate.loss_ppm().min(900_000);
        }
        self.assumed_loss()
    }

    /// The same for what is to be there without another round. Where that takes long, nothing was measured yet and symbols
    /// cost nothing, some loss is reckoned with: what leaves while a report is on its way delays nothing. What is lost before
    /// a relay nobody tells of whose recipient is away, so there it is what is assumed at least.
    pub fn loss_ahead(&self) -> u32 {
        let loss = self.loss_ppm();
        if self.is_relayed() {
            return loss.max(self.assumed_loss());
        }
        match self.free().is_some_and(is_far) && !self.rate.loss_known() {
            true => loss.max(UNKNOWN_LOSS),
            false => loss,
        }
    }

    fn assumed_loss(&self) -> u32 {
        let profile = self.profile.as_ref();
        profile.map_or(0, |profile| profile.loss_ppm.min(900_000))
    }

    /// The profile, if a symbol more costs nothing.
    fn free(&self) -> Option<&LinkProfile> {
        let free = |p: &&LinkProfile| p.cost == 0 && !p.enveloped && !p.courier;
        self.profile.as_ref().filter(free)
    }

    /// How often a report about one message may leave by this link.
    pub fn report_interval(&self, bytes: usize) -> Duration {
        let Some(profile) = &self.profile else {
            return Duration::from_secs(1);
        };
        if profile.courier {
            return Duration::from_secs(10);
        }
        let rtt = self
            .rate
            .srtt()
            .or(profile.rtt)
            .unwrap_or(Duration::from_millis(200));
        let by_rtt = (rtt / 4).clamp(Duration::from_millis(50), Duration::from_millis(250));
        let line = profile.rate_bps.map_or(Duration::ZERO, |bps| {
            Duration::from_micros(bytes as u64 * 8 * 1_000_000 / bps.max(1) * 8)
        });
        by_rtt.max(line)
    }

    /// When an answer to what left last is overdue, if that is of this part: all of it may be lost, and then nothing tells so
    /// before the link is in doubt. `None` where one more fragment costs something, or would not overtake what is on its way.
    pub fn answer_due(&self, seq: u64, part: u8, now: Time) -> Option<Time> {
        self.free()?;
        let last = self.sent.back().filter(|_| !self.is_unanswered(now))?;
        let patience = self.rate.patience();
        (last.seq == seq && last.part == part).then(|| last.at.after(patience))
    }

    /// How long after sending something an answer may take before it is sent again.
    pub fn patience(&self) -> Duration {
        match &self.profile {
            // Away or here.
            _ if self.carried => COURIER,
            Some(p) if p.courier => COURIER,
            Some(p) => {
                let line = p.rate_bps.map_or(Duration::ZERO, |bps| {
                    Duration::from_micros(6 * p.mtu as u64 * 8 * 1_000_000 / bps.max(1))
                });
                // What a relay holds waits there, but what is urgent passes it, so the least round trip tells more.
                let trip = match self.rate.least_rtt() {
                    Some(least) if self.is_relayed() => least * 2,
                    _ => self.rate.patience(),
                };
                trip + Duration::from_millis(400) + line
            }
            None => Duration::from_secs(2),
        }
    }

    /// After how long without any word the link is in doubt.
    fn doubt_limit(&self) -> Duration {
        self.patience() * 2 + Duration::from_secs(1)
    }

    /// After how long without any word a fragment counts as lost. What a relay was given, it keeps: it may be long on its
    /// way and is not lost for that.
    pub fn loss_limit(&self) -> Duration {
        let least = if self.is_relayed() {
            RELAYED
        } else {
            Duration::ZERO
        };
        self.doubt_limit().max(least)
    }

    /// After how long a fragment is late of which the reports that come do not tell. What a relay holds may take twice as
    /// long as it needs at the rate at which things have come through. `alone`: no other link may bring those reports, so
    /// the relay is asked for what it holds.
    pub fn lateness(&self, alone: bool) -> Duration {
        if self.is_carried_both_ways() {
            return self.patience() * 2;
        }
        if !self.is_relayed() {
            return self.rate.patience() * 2;
        }
        match self.rate.rate_measured() {
            Some(rate) => {
                let held = self.rate.in_flight() as f64 / rate as f64;
                (self.patience() + Duration::from_secs_f64(held)) * 2
            }
            None if alone => UNPROVEN,
            None => self.patience() * 2,
        }
    }

    /// Whether nothing has proven for long that what leaves by it arrives. It becomes so no later than the first
    /// fragments count as lost for want of a word: it may be the word alone that is late, so what is sent for them
    /// then are a few probes. A relay keeps what it was given, however long its recipient stays away, so it is in doubt
    /// only while the recipient answers by other links.
    pub fn is_unanswered(&self, now: Time) -> bool {
        if self.is_relayed() {
            return self.doubted;
        }
        let since = self.unproven_since;
        since.is_some_and(|since| now.since(since) > self.doubt_limit())
    }

    /// Some of what it carried is late. `alone`: no other link may bring reports.
    pub fn doubt(&mut self, now: Time, alone: bool) {
        let lateness = self.lateness(alone);
        let unproven = |since| now.since(since) > lateness;
        self.doubted |= self.is_relayed() && !alone && self.unproven_since.is_some_and(unproven);
    }

    /// Whether it seems to swallow everything, so that a few fragments at a time are enough to find out when it
    /// carries again.
    pub fn is_black_hole(&self, now: Time) -> bool {
        self.sent.len() >= PROBES && self.is_unanswered(now)
    }

    /// Something that left by it has arrived.
    pub fn prove(&mut self, now: Time) {
        self.doubted = false;
        self.unproven_since = (!self.sent.is_empty()).then_some(now);
    }

    /// Some of what it carried is waited for no more, and says nothing of it: only the rest shows whether it is in doubt.
    pub fn spare_doubt(&mut self) {
        let oldest = self.sent.front().map(|sent| sent.at);
        let since = self.unproven_since;
        self.unproven_since = since.and_then(|since| oldest.map(|at| at.max(since)));
    }

    /// A fragment has left.
    pub fn push(&mut self, sent: Sent) {
        let number = self.next_number;
        self.next_number += 1;
        let sent = Sent { number, ..sent };
        self.unproven_since.get_or_insert(sent.at);
        self.rate.on_sent(sent.at, sent.bytes as usize);
        self.sent.push_back(sent);
    }

    /// How long symbols go on without any word from the recipient.
    pub fn silence_limit(&self) -> Duration {
        Duration::from_secs(5) + self.patience() * 3
    }
}

/// Whether an answer takes long, and much more may leave meanwhile.
fn is_far(profile: &LinkProfile) -> bool {
    let Some(rtt) = profile.rtt.filter(|rtt| *rtt >= FAR && profile.can_receive) else {
        return false;
    };
    let carried = |bps: u64| u128::from(bps) * rtt.as_millis() / 8000;
    let frames = FAR_FRAMES * profile.mtu as u128;
    profile.rate_bps.is_none_or(|bps| carried(bps) >= frames)
}
