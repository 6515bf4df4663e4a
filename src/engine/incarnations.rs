//! The lives of this home and of others': who has heard of which, and what shows that a home has gone back.
//!
//! A home draws a number and a mark for each life, writes both down before anybody hears of them, and tells those it
//! exchanges messages with. They say which one they have heard of last. A home that hears of a life of its own that it does
//! not know was restored from an older image, or somebody else runs a copy of it. A home is one endpoint: others of the
//! same person have lives of their own.

use super::ends::End;
use super::id::PersonId;
use super::io::{LinkId, Record, Table, Time};
use crate::wire::incarnation::{Incarnation, Note};
use crate::wire::read::{Malformed, Reader};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long an incarnation lasts at most, in uptime.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Lives of one home that are remembered.
const REMEMBERED: usize = 16;
/// How much higher than our own number somebody may say that he has heard of. Numbers end, and a liar must not end them.
const LEAP: u32 = 1 << 16;
/// A note leaves this long after it is found to be due, so that messages and receipts go first.
const DELAY: Duration = Duration::from_secs(2);
/// How much later a note leaves by another link than the one that its recipient was heard by.
const DETOUR: Duration = Duration::from_secs(10);
/// How long an answer to a note is waited for at most; twice as long each time.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// What was noticed is acted upon once in this time. Two homes that both live find each other again and again.
const NOTICE: Duration = Duration::from_secs(3600);

/// Lives of one home, the newest last.
type Lives = VecDeque<Incarnation>;

/// All of them.
#[derive(Debug, Default)]
pub struct Incarnations {
    own: Lives,
    /// How far the newest of ours is written down.
    written: Written,
    /// The newest of ours began when this home was found to be an older one.
    went_back: bool,
    /// When the newest of ours began.
    since: Time,
    noticed: Option<Time>,
    others: BTreeMap<End, Other>,
    /// To whom a note is due.
    due: BTreeMap<End, Due>,
}

/// A note that is due.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// From when on.
    at: Time,
    /// By the link that the other was heard by: of two machines that answer to one name it leads to the right one. Other
    /// links wait a while.
    by: LinkId,
}

impl Due {
    fn by(&self, link: LinkId) -> Time {
        match self.by == link {
            true => self.at,
            false => self.at.after(DETOUR),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Written {
    #[default]
    Not,
    UnderWay,
    Durably,
}

/// What is known of somebody else's home.
#[derive(Debug, Default)]
struct Other {
    lives: Lives,
    /// The newest of ours that it has shown to have heard of.
    knows: u32,
    /// When it is asked again, and how long it is waited then.
    ask: Option<(Time, Duration)>,
    noticed: Option<Time>,
}

/// What a note has shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Our own home is an older one, or there are two of it.
    pub we_went_back: bool,
    /// The sender's is.
    pub they_went_back: bool,
    /// The row to write.
    pub record: Option<Record>,
}

impl Incarnations {
    /// From the stored row of our own lives.
    pub fn restore_own(&mut self, value: &[u8]) -> Result<(), Malformed> {
        self.own = read_lives(value)?;
        Ok(())
    }

    /// From that of somebody else's. One from before persons had several endpoints names none, so nothing is known from it.
    pub fn restore_other(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let mut r = Reader::new(key);
        let person = PersonId(r.array()?);
        let other = Other {
            lives: read_lives(value)?,
            ..Other::default()
        };
        if !r.is_empty() {
            self.others.insert(End::new(person, r.array()?), other);
        }
        r.finish()
    }

    /// A new life begins.
    pub fn begin(&mut self, rng: &mut ChaCha20Rng, now: Time) {
        let last = self.own.back().map_or(0, |own| own.number);
        self.go_on(last, rng, now);
    }

    fn go_on(&mut self, after: u32, rng: &mut ChaCha20Rng, now: Time) {
        let mut mark = [0; 8];
        rng.fill_bytes(&mut mark);
        let number = after.saturating_add(1);
        remember(&mut self.own, Incarnation { number, mark });
        (self.written, self.since) = (Written::Not, now);
        self.went_back = false;
        self.due.clear();
        self.others.values_mut().for_each(|other| other.ask = None);
    }

    /// Something authentic came from somebody: whether he knows of our life is found out. `patience`: how long the answer
    /// is waited for at first on that link. Gives the row of it, if that has to be written before.
    pub fn met(
        &mut self,
        who: End,
        (by, patience): (LinkId, Duration),
        rng: &mut ChaCha20Rng,
        now: Time,
    ) -> Option<Record> {
        if self.written == Written::Durably && now.since(self.since) >= LIFE {
            self.begin(rng, now);
        }
        let newest = self.own.back()?.number;
        let other = self.others.entry(who).or_default();
        let waits = other.ask.is_some_and(|(at, _)| at > now);
        if other.knows == newest || waits {
            return None;
        }
        let wait = other.ask.map_or(patience, |(_, wait)| wait);
        other.ask = Some((now.after(wait), (wait * 2).min(PATIENCE)));
        self.owe(who, by, now.after(DELAY))
    }

    /// Somebody wants an answer.
    pub fn owe(&mut self, who: End, by: LinkId, at: Time) -> Option<Record> {
        self.due.insert(who, Due { at, by });
        if self.written != Written::Not {
            return None;
        }
        self.written = Written::UnderWay;
        Some(record(b"i", &self.own))
    }

    /// The number of our life.
    pub fn number(&self) -> u32 {
        self.own.back().map_or(0, |own| own.number)
    }

    /// Our life with this number is durable: others may hear of it.
    pub fn known(&mut self, number: u32) {
        if number == self.number() && self.written == Written::UnderWay {
            self.written = Written::Durably;
        }
    }

    /// When the first note is due on a link that reaches its recipient.
    pub fn due(&self, link: LinkId, able: impl Fn(End) -> bool) -> Option<Time> {
        let due = self.due.iter().filter(|_| self.written == Written::Durably);
        let due = due.filter(|(who, _)| able(**who));
        due.map(|(_, due)| due.by(link)).min()
    }

    /// A note that is due on a link that reaches its recipient.
    pub fn take(
        &mut self,
        now: Time,
        link: LinkId,
        able: impl Fn(End) -> bool,
    ) -> Option<(End, Note)> {
        let own = *self.own.back()?;
        let mut due = self.due.iter().filter(|_| self.written == Written::Durably);
        let (&who, _) = due.find(|(who, due)| due.by(link) <= now && able(**who))?;
        self.due.remove(&who);
        let other = self.others.get(&who);
        let note = Note {
            wants_answer: other.is_none_or(|other| other.knows != own.number),
            went_back: self.went_back,
            own,
            seen: other.and_then(|other| other.lives.back().copied()),
            to: None,
        };
        Some((who, note))
    }

    /// A note came.
    pub fn hear(&mut self, from: End, note: &Note, now: Time) -> Heard {
        let unknown = note.seen.is_some_and(|seen| self.is_unknown(&seen));
        let newest = self.own.back().copied();
        let other = self.others.entry(from).or_default();
        if note.seen == newest {
            other.knows = self.own.back().map_or(0, |own| own.number);
        }
        let known = other.lives.iter().find(|l| l.number == note.own.number);
        let differs = known.is_some_and(|known| known.mark != note.own.mark);
        let last = other.lives.back().map_or(0, |last| last.number);
        let is_new = note.own.number > last;
        if is_new {
            remember(&mut other.lives, note.own);
        }
        // Without the comparison nobody finds out.
        let compares = cfg!(not(feature = "break-12"));
        let theirs = compares && (differs || (is_new && note.went_back));
        Heard {
            we_went_back: compares && unknown && take_notice(&mut self.noticed, now),
            they_went_back: theirs && take_notice(&mut other.noticed, now),
            record: is_new.then(|| record(&other_key(from), &other.lives)),
        }
    }

    /// This home is an older one: its life goes on beyond those that others have heard of.
    pub fn leap(&mut self, heard: Incarnation, rng: &mut ChaCha20Rng, now: Time) {
        self.go_on(self.number().max(heard.number), rng, now);
        self.went_back = true;
    }

    /// Whether this is no life of ours, as far as we remember them, and still within reason.
    fn is_unknown(&self, seen: &Incarnation) -> bool {
        let newest = self.number();
        let known = self.own.iter().find(|own| own.number == seen.number);
        match known {
            Some(known) => known.mark != seen.mark,
            None => seen.number > newest && seen.number - newest <= LEAP,
        }
    }
}

/// Tells whether something is to be acted upon again.
fn take_notice(noticed: &mut Option<Time>, now: Time) -> bool {
    let lately = noticed.is_some_and(|at| now.since(at) < NOTICE);
    if !lately {
        *noticed = Some(now);
    }
    !lately
}

fn remember(lives: &mut Lives, life: Incarnation) {
    lives.push_back(life);
    if lives.len() > REMEMBERED {
        lives.pop_front();
    }
}

fn other_key(end: End) -> Vec<u8> {
    let endpoint = end.key.unwrap_or_default();
    [b"p", &end.person.0[..], &endpoint[..]].concat()
}

fn record(key: &[u8], lives: &Lives) -> Record {
    let mut value = Vec::with_capacity(REMEMBERED * Incarnation::LEN);
    lives.iter().for_each(|life| life.put(&mut value));
    value.resize(REMEMBERED * Incarnation::LEN, 0);
    Record::Put {
        table: Table::Session,
        key: key.to_vec(),
        value,
    }
}

fn read_lives(value: &[u8]) -> Result<Lives, Malformed> {
    let mut r = Reader::new(value);
    let mut lives = Lives::new();
    while !r.is_empty() {
        if let Some(life) = Incarnation::read_any(&mut r)? {
            remember(&mut lives, life);
        }
    }
    Ok(lives)
}

#[cfg(test)]
mod tests {
    use super::super::link::UNHURRIED;
    use super::*;
    use rand_core::SeedableRng;

    const A: End = End::new(PersonId([1; 32]), [1; 32]);
    const B: End = End::new(PersonId([2; 32]), [2; 32]);
    const LINK: LinkId = LinkId(1);
    const HOUR: Duration = Duration::from_secs(3600);

    /// A home and what its disk has.
    struct Home {
        now: Incarnations,
        rows: BTreeMap<Vec<u8>, Vec<u8>>,
        rng: ChaCha20Rng,
    }

    impl Home {
        fn new(seed: u64) -> Self {
            let mut home = Self {
                now: Incarnations::default(),
                rows: BTreeMap::new(),
                rng: ChaCha20Rng::seed_from_u64(seed),
            };
            home.start();
            home
        }

        fn start(&mut self) {
            self.now = Incarnations::default();
            for (key, value) in &self.rows {
                match key.split_first() {
                    Some((b'i', _)) => self.now.restore_own(value).unwrap(),
                    Some((_, person)) => self.now.restore_other(person, value).unwrap(),
                    None => panic!("a row without a key"),
                }
            }
            self.now.begin(&mut self.rng, Time(0));
        }

        fn write(&mut self, record: Option<Record>) {
            if let Some(Record::Put { key, value, .. }) = record {
                self.rows.insert(key, value);
                self.now.known(self.now.number());
            }
        }

        /// What it says to somebody it has just heard of.
        fn note(&mut self, to: End, at: Time) -> Option<Note> {
            let row = self.now.met(to, (LINK, UNHURRIED), &mut self.rng, at);
            self.write(row);
            let taken = self.now.take(at.after(DELAY), LINK, |_| true);
            taken.map(|(_, note)| note)
        }

        fn hear(&mut self, from: End, note: &Note, at: Time) -> (bool, bool) {
            let heard = self.now.hear(from, note, at);
            self.write(heard.record);
            if note.wants_answer {
                let row = self.now.owe(from, LINK, at);
                self.write(row);
            }
            (heard.we_went_back, heard.they_went_back)
        }
    }

    /// Lets both tell each other until nothing is due. Gives what A and B have found of themselves and of the other.
    fn exchange(a: &mut Home, b: &mut Home, at: Time) -> [(bool, bool); 2] {
        let mut found = [(false, false); 2];
        for _ in 0..4 {
            if let Some(note) = a.note(B, at) {
                let heard = b.hear(A, &note, at);
                found[1] = (found[1].0 | heard.0, found[1].1 | heard.1);
            }
            if let Some(note) = b.note(A, at) {
                let heard = a.hear(B, &note, at);
                found[0] = (found[0].0 | heard.0, found[0].1 | heard.1);
            }
        }
        found
    }

    const NOTHING: [(bool, bool); 2] = [(false, false); 2];

    /// Guards against false alarms: starts, days, and lives that nobody heard of show nothing.
    #[test]
    fn a_home_that_only_starts_again_and_grows_old_is_not_suspected() {
        let (mut a, mut b) = (Home::new(1), Home::new(2));
        let mut at = Time(0);
        for day in 0..60 {
            assert_eq!(exchange(&mut a, &mut b, at), NOTHING, "day {day}");
            at = at.after(LIFE);
            match day % 3 {
                0 => a.start(),
                1 => (0..20).for_each(|_| b.start()),
                _ => {}
            }
        }
        assert!(a.now.number() > 30 && b.now.number() > 30);
    }

    /// Guards the alarm: who starts from an older disk finds out, the other as well, and both once.
    #[test]
    fn a_home_from_an_older_disk_is_found_out_by_both() {
        for (starts, lost) in [(1, false), (3, false), (20, false), (1, true)] {
            let (mut a, mut b) = (Home::new(1), Home::new(2));
            exchange(&mut a, &mut b, Time(0));
            let image = a.rows.clone();
            for _ in 0..starts {
                a.start();
                assert_eq!(exchange(&mut a, &mut b, Time(0)), NOTHING);
            }
            a.rows = if lost { BTreeMap::new() } else { image };
            a.start();
            let at = Time(0).after(HOUR * 2);
            let note = a.note(B, at).unwrap();
            let first = b.hear(A, &note, at);
            let answer = b.note(A, at).unwrap();
            assert_eq!(a.hear(B, &answer, at), (true, false));
            a.now.leap(answer.seen.unwrap(), &mut a.rng, at);
            let [of_a, of_b] = exchange(&mut a, &mut b, at.after(UNHURRIED));
            assert_eq!(of_a, (false, false), "{starts}");
            assert!(first.1 || of_b.1, "{starts}");
            a.start();
            assert_eq!(exchange(&mut a, &mut b, at.after(HOUR)), NOTHING);
        }
    }

    /// Guards against liars: a number beyond all reason is not followed.
    #[test]
    fn a_number_beyond_reason_is_not_believed() {
        let mut a = Home::new(1);
        let mut lie = |number| {
            let life = Incarnation {
                number,
                mark: [1; 8],
            };
            let note = Note {
                wants_answer: false,
                went_back: false,
                own: life,
                seen: Some(life),
                to: None,
            };
            a.hear(B, &note, Time(0)).0
        };
        assert!(!lie(u32::MAX));
        assert!(!lie(LEAP + 2));
        assert!(lie(LEAP + 1));
    }
}
