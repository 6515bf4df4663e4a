//! The protocol without IO: messages, fragments, coding, scheduling, recovery, reassembly.
//!
//! # Contract
//!
//! Give the [`Engine`] one [`Input`], or some that came together, then drain [`Engine::poll_output`] until it returns
//! [`Output::Timeout`]; then wait for the next input, at the latest until that moment, and give it
//! [`Input::Timeout`] then. The engine has no clock, socket, file, thread or random source: `now` is an argument
//! that never runs backwards, and randomness is a seed, given once. The same inputs give the same outputs.
//!
//! *Persist before promise.* A report, a receipt, a release of custody or a delivery leaves only after the batch
//! that it depends on was [`Input::Persisted`].
//!
//! *Links pull.* A frame is chosen when a link has room for it, not before.
//!
//! # Map
//!
//! | File | Idea |
//! | --- | --- |
//! | [`io`] | what goes in and out |
//! | [`message`], [`geometry`], [`coding`] | message → parts → blocks → symbols → slices |
//! | `outgoing`, `pool` | a message being sent, and which symbol leaves next |
//! | `detached`, `redundancy` | the same where nobody answers, and how much is to leave there |
//! | `incoming` | a message arriving, and which symbols are here |
//! | `link`, [`rate`] | what is under way on each link |
//! | `sessions`, `seals` | who seals to whom; where it happens |
//! | `outbox` | messages of ours begin and end |
//! | `serve` | a link has room: the next frame |
//! | `offers`, `supply`, `blocks` | … of a manifest; of a part; the source blocks in memory |
//! | `arrival`, [`reassembly`], `receive` | a frame came, whole or in pieces: whose it is |
//! | `gate` | how much work a link may ask for |
//! | [`trust`] | how far persons are trusted; who is shut out |
//! | `strangers`, `invitations` | persons who are no contacts; who has used which invitation of ours |
//! | `assembly`, `intake`, `symbol` | a manifest in chunks; a message begins or ends; symbols of it come |
//! | `feedback` | a report came |
//! | `reporting`, `reports` | what others are told of what is here; when a link has the next of it |
//! | `overheard` | one copy of a symbol for several recipients |
//! | `apart` | symbols that others may have made up: one recipient of several gets its own |
//! | `generations`, `exchanges` | fresh keys for sessions; when they are offered |
//! | [`ends`] | the devices of a person: what is meant for each |
//! | `doubt` | a recipient lacks what it once reported |
//! | `full` | the store has no room: what can come again is given up |
//! | `noroom` | what a recipient has no room for waits alone |
//! | `incarnations`, `wentback` | which life a home is in; homes that have gone back to an older disk |
//! | `farewell` | links that are over for good |
//! | `lifetimes` | what grows too old |
//! | `storage` | the store and the workers answer |
//! | `writer` | what waits to be written |
//! | `occupancy` | how full it is, for a simulation |

mod apart;
mod arrival;
mod assembly;
mod blocks;
pub mod coding;
mod detached;
mod doubt;
pub mod ends;
mod exchanges;
mod farewell;
mod feedback;
mod full;
mod gate;
mod generations;
pub mod geometry;
pub mod id;
mod incarnations;
mod incoming;
mod intake;
pub mod invitations;
pub mod io;
mod ledger;
mod lifetimes;
pub mod limits;
mod link;
pub mod message;
mod noroom;
#[cfg(feature = "sim")]
pub mod occupancy;
mod offers;
mod outbox;
mod outgoing;
mod overheard;
mod pool;
pub mod rate;
mod readback;
pub mod reassembly;
mod receive;
pub mod redundancy;
mod reporting;
mod reports;
mod restore;
mod seals;
mod serve;
mod sessions;
mod snapshot;
pub mod status;
mod storage;
mod strangers;
mod supply;
mod symbol;
mod texts;
pub mod trust;
mod wentback;
mod writer;

use crate::security::card::Card;
use crate::security::identity::Identity;
use crate::security::invitation::Ticket;
use crate::security::mailbox;
use crate::security::seal::Room;
use crate::security::session::SessionId;
use crate::wire::envelope::MailboxTag;
use crate::wire::fragment::Label;
use arrival::Arrival;
use assembly::Assemblies;
use blocks::BlockKey;
use bytes::Bytes;
pub use sessions::opened_by_others;

use ends::End;
use exchanges::Exchanges;
use full::Slices;
use gate::{Gate, Porch};
use governor::clock::FakeRelativeClock;
use id::{MessageId, PersonId};
use incarnations::Incarnations;
use incoming::{Incoming, Notes};
use invitations::Invitations;
use io::{Event, Input, LinkId, Output, Restored, Time, Token, Why};
use ledger::Ledger;
use lifetimes::Lifetimes;
use limits::Limits;
use link::Link;
use outgoing::Outgoing;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use reassembly::Reassembly;
use reporting::View;
use reports::Reports;
use seals::Seals;
use sessions::Sessions;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use trust::Standings;
use writer::Writer;

/// Progress is made durable, so that it can be reported, this long after it was made.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);
/// How often fragments that nobody reported on are looked through.
const LOSS_TICK: Duration = Duration::from_millis(200);
/// How long symbols wait for a report after a restart or a reconnection.
const HOLD: Duration = Duration::from_millis(2500);

/// What an engine starts with.
#[derive(Debug)]
pub struct Config {
    /// Whose engine it is.
    pub identity: Identity,
    /// Its bounds.
    pub limits: Limits,
    /// Fresh randomness from the host, once per start.
    pub seed: [u8; 32],
    /// What the store kept.
    pub restored: Restored,
}

/// Stored state that does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored state is damaged: {0}; restore the home from a backup or begin a new one")]
pub struct Damaged(pub String);

/// A part as it was delivered, for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartInfo {
    /// From whom.
    pub from: PersonId,
    /// When the sender's clock says it was made, seconds since 1970.
    pub created: Option<u32>,
    /// Its media type.
    pub media_type: String,
    /// Its name, as the sender wrote it: not safe as a file name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// It is the only part of its message.
    pub alone: bool,
    /// Who else it went to.
    pub also: Vec<PersonId>,
    /// Its bytes, if they stood in the manifest; otherwise they are in the store.
    pub inline: Option<Bytes>,
}

/// What a request to the host was made for.
#[derive(Debug)]
enum Request {
    LoadBlock(BlockKey),
    CodeBlock(BlockKey),
    SolveSource {
        message: MessageId,
        part: u8,
        block: u16,
    },
    SolveRepair {
        message: MessageId,
        part: u8,
        block: u16,
    },
    Solve {
        message: MessageId,
        part: u8,
        block: u16,
    },
    ReadDigest {
        message: MessageId,
        part: u8,
    },
    Digest {
        message: MessageId,
        part: u8,
    },
}

/// What may happen once a batch counts.
#[derive(Debug)]
enum Effect {
    Accepted { seqs: Vec<u64>, request: u64 },
    View(MessageId, Box<View>),
    Release { link: LinkId, upto: u64 },
    SessionKnown(SessionId),
    Invited(crate::security::invitation::Id),
    Uninvited(crate::security::invitation::Id),
    Incarnation(u32),
    Offer(PersonId),
    Answer(SessionId),
    GoOn(PersonId, SessionId),
}

/// Where fragments with a label go.
#[derive(Clone, Copy, Debug)]
enum Route {
    Incoming(MessageId),
    Done(MessageId),
    /// Symbols for several recipients, of which we need no more.
    Spent,
}

/// The engine. See the [module](self) for its contract.
#[derive(Debug)]
pub struct Engine {
    me: Identity,
    my_tags: BTreeSet<MailboxTag>,
    limits: Limits,
    rng: ChaCha20Rng,
    now: Time,
    clock: FakeRelativeClock,
    calendar: Option<(Time, u64)>,
    cards: BTreeMap<PersonId, Card>,
    standings: Standings,
    /// Whose card has come in a session of its owner, and of whom the host has not said anything yet.
    guests: BTreeSet<PersonId>,
    /// Whether persons who are no contacts may open sessions.
    open_to_strangers: bool,
    largest: Option<u64>,
    /// How much they may ask for.
    porch: Porch,
    invitations: Invitations,
    /// When the host was last told that somebody has an outdated card of ours.
    told_stale: BTreeMap<PersonId, Time>,

    links: BTreeMap<LinkId, Link>,
    gates: BTreeMap<LinkId, Gate>,
    reassembly: BTreeMap<LinkId, Reassembly>,
    sessions: Sessions,
    seals: Seals,
    incarnations: Incarnations,
    exchanges: Exchanges,
    /// This process has found that its home is an older one, and whose homes are.
    went_back: bool,
    peers_went_back: BTreeSet<PersonId>,

    outbox: BTreeMap<u64, Outgoing>,
    outbox_ids: BTreeMap<(MessageId, End), u64>,
    /// Priority, message and part (0: the manifest) of all that has yet to leave, in the order in which it does.
    schedule: BTreeSet<(u8, u64, u8)>,
    next_seq: u64,
    /// Counts up whenever a link that found nothing to send might find something now.
    work: u64,
    probe_at: Option<Time>,
    /// When an endpoint was heard last, and by which link.
    heard: BTreeMap<End, (Time, LinkId)>,
    /// Blocks in memory, oldest first.
    loaded: VecDeque<BlockKey>,

    inbox: BTreeMap<MessageId, Incoming>,
    /// Room for what is opened of them.
    opened: Room,
    routes: BTreeMap<Label, Route>,
    assembling: Assemblies,
    quarantine: VecDeque<Arrival>,
    quarantine_bytes: usize,
    ledger: Ledger,
    reports: Reports,
    offered: BTreeSet<(MessageId, u8)>,
    /// Messages with blocks to solve or to digest.
    reading: BTreeSet<MessageId>,
    /// What could not be read, and when it is tried again.
    reread: BTreeSet<MessageId>,
    reload: Vec<BlockKey>,
    reread_at: Option<Time>,

    lifetimes: Lifetimes,
    writer: Writer,
    /// Repair symbols that do not count yet, the oldest first.
    repairs: VecDeque<Slices>,
    notes: Notes,
    dirty: BTreeSet<MessageId>,
    effects: BTreeMap<Token, Vec<Effect>>,
    waiting: Vec<Effect>,
    sync_at: Option<Time>,
    loss_at: Option<Time>,
    requests: BTreeMap<Token, Request>,
    next_request: u64,

    out: VecDeque<Output>,
    /// What is due next, when nothing comes before.
    next: (Option<Time>, Why),
    /// The input at hand has changed nothing but counters.
    turned_away: bool,
    /// What follows from the inputs since outputs were drained is yet to be seen.
    unsettled: bool,
    dropped: BTreeMap<&'static str, u64>,
}

impl Engine {
    /// Starts with what was stored.
    ///
    /// # Errors
    /// [`Damaged`] if stored state does not read.
    pub fn new(config: Config, now: Time) -> Result<Self, Damaged> {
        let mailbox_key = config.identity.mailbox_key();
        let clock = FakeRelativeClock::default();
        let mut engine = Self {
            my_tags: (0..mailbox::TAGS)
                .map(|i| mailbox::tag(&mailbox_key, i))
                .collect(),
            me: config.identity,
            porch: Porch::new(&config.limits, &clock),
            limits: config.limits,
            rng: ChaCha20Rng::from_seed(config.seed),
            now,
            clock,
            calendar: None,
            cards: BTreeMap::new(),
            standings: Standings::default(),
            guests: BTreeSet::new(),
            open_to_strangers: false,
            largest: None,
            invitations: Invitations::default(),
            told_stale: BTreeMap::new(),
            links: BTreeMap::new(),
            gates: BTreeMap::new(),
            reassembly: BTreeMap::new(),
            sessions: Sessions::default(),
            seals: Seals::default(),
            incarnations: Incarnations::default(),
            exchanges: Exchanges::default(),
            went_back: false,
            peers_went_back: BTreeSet::new(),
            outbox: BTreeMap::new(),
            outbox_ids: BTreeMap::new(),
            schedule: BTreeSet::new(),
            next_seq: 0,
            work: 0,
            probe_at: None,
            heard: BTreeMap::new(),
            loaded: VecDeque::new(),
            inbox: BTreeMap::new(),
            opened: Room::default(),
            routes: BTreeMap::new(),
            assembling: Assemblies::default(),
            quarantine: VecDeque::new(),
            quarantine_bytes: 0,
            ledger: Ledger::default(),
            reports: Reports::default(),
            offered: BTreeSet::new(),
            reading: BTreeSet::new(),
            reread: BTreeSet::new(),
            reload: Vec::new(),
            reread_at: None,
            lifetimes: Lifetimes::default(),
            writer: Writer::default(),
            repairs: VecDeque::new(),
            notes: Notes::default(),
            dirty: BTreeSet::new(),
            effects: BTreeMap::new(),
            waiting: Vec::new(),
            sync_at: None,
            loss_at: None,
            requests: BTreeMap::new(),
            next_request: 0,
            out: VecDeque::new(),
            next: (None, Why::Idle),
            turned_away: false,
            unsettled: false,
            dropped: BTreeMap::new(),
        };
        engine.restore(config.restored)?;
        engine.incarnations.begin(&mut engine.rng, now);
        engine.settle();
        Ok(engine)
    }

    /// Takes one input. What follows from it shows when [`Engine::poll_output`] is drained to `Timeout`, once for all inputs
    /// that come together.
    pub fn handle_input(&mut self, now: Time, input: Input) {
        self.clock.advance(now.since(self.now));
        self.now = self.now.max(now);
        self.turned_away = false;
        self.take(input);
        // Each frame of a flood costs little only if nothing else is looked at for it.
        let due = self.next.0.is_some_and(|at| at <= self.now);
        self.unsettled |= due || !self.turned_away;
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Send(draft) => self.take_draft(&draft),
            Input::Cancel(message) => self.cancel(message),
            Input::Received {
                link,
                frame,
                custody,
            } => self.on_frame(link, frame, custody),
            Input::LinkUp { link, profile } => self.on_link_up(link, profile),
            Input::LinkDown { link } => self.on_link_down(link),
            Input::LinkGone { link } => self.on_link_gone(link),
            Input::LinkReady { link, frames } => {
                let state = self.links.entry(link).or_insert_with(|| Link::new(link));
                state.credit = state.credit.saturating_add(frames);
            }
            Input::Persisted(token) => self.on_persisted(token),
            Input::PersistFailed(token, error) => self.on_persist_failed(token, error),
            Input::Fetched(token, result) => self.on_fetched(token, result),
            Input::Computed(token, done) => self.on_computed(token, done),
            Input::DeliverAck { message, part } => self.on_delivered(message, part),
            Input::Card(card) => self.on_card(*card),
            Input::Standing(person, standing) => self.on_standing(person, standing),
            Input::Invite {
                id,
                secret,
                seconds,
            } => self.on_invite(id, secret, seconds),
            Input::Uninvite(id) => self.on_uninvite(id),
            Input::Ticket(person, ticket) => self.on_ticket(person, ticket),
            Input::Strangers(open) => self.open_to_strangers = open,
            Input::Largest(largest) => self.largest = largest,
            Input::Calendar(seconds) => self.calendar = Some((self.now, seconds)),
            Input::Prekeys(prekeys) => self.me.prekeys = *prekeys,
            Input::Room(bytes) => self.writer.set_room(bytes),
            Input::Flush => self.flush(),
            Input::Timeout => {}
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Output {
        if std::mem::take(&mut self.unsettled) {
            self.settle();
        }
        let (at, why) = self.next;
        let waits = || Output::Timeout(at, why);
        self.out.pop_front().unwrap_or_else(waits)
    }

    /// What was sealed since the last call, for a simulation that looks for nonces used twice.
    #[cfg(feature = "sim")]
    pub fn take_seal_marks(&mut self) -> Vec<crate::security::seal::SealMark> {
        self.seals.take()
    }

    /// Whether the store cannot keep up: frames that are given now are dropped and counted, so hold them back.
    pub fn is_behind(&self) -> bool {
        self.writer.is_behind()
    }

    /// How often something was dropped for this reason.
    pub fn dropped(&self, reason: &str) -> u64 {
        self.dropped.get(reason).copied().unwrap_or(0)
    }

    /// After inputs that may have changed something: what is due now, and what links may have next.
    fn settle(&mut self) {
        self.look_at_lifetimes();
        self.look_for_losses();
        self.out.extend(self.writer.retry(self.now));
        self.read_back();
        self.make_offers();
        self.write_down();
        self.serve();
        self.next = self.deadline();
    }

    fn deadline(&self) -> (Option<Time>, Why) {
        let all = [
            (
                self.writer.window_end().filter(|_| !self.writer.refuses()),
                Why::Journal,
            ),
            (
                self.sync_at
                    .filter(|_| !self.writer.syncing() && self.writer.retry_at().is_none()),
                Why::Report,
            ),
            (self.report_due(), Why::Report),
            (self.note_due(), Why::Report),
            (self.exchanges.next(), Why::Report),
            (self.loss_at, Why::Loss),
            (self.probe_at, Why::Probe),
            (self.writer.retry_at(), Why::StoreRetry),
            (self.reread_at, Why::StoreRetry),
            (self.lifetimes.next(), Why::Lifetime),
        ];
        let first = all
            .into_iter()
            .filter_map(|(at, why)| at.map(|at| (at, why)))
            .min_by_key(|(at, _)| *at);
        first.map_or((None, Why::Idle), |(at, why)| (Some(at), why))
    }

    fn count(&mut self, reason: &'static str) {
        *self.dropped.entry(reason).or_default() += 1;
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn request(&mut self, request: Request) -> Token {
        self.next_request += 1;
        let token = Token(self.next_request);
        self.requests.insert(token, request);
        token
    }

    fn want_sync(&mut self, within: Duration) {
        let at = self.now.after(within);
        self.sync_at = Some(self.sync_at.map_or(at, |old| old.min(at)));
    }

    fn on_card(&mut self, card: Card) {
        let person = card.person();
        let was_stranger = self.is_stranger(person);
        self.guests.remove(&person);
        self.put_card(card);
        if was_stranger && !self.is_stranger(person) {
            self.release(person);
        }
    }

    /// An invitation of somebody is here.
    fn on_ticket(&mut self, person: PersonId, ticket: Ticket) {
        if self.sessions.set_ticket(person, ticket) {
            return self.event(Event::TicketDone { person });
        }
        if let Some(card) = self.cards.get(&person).cloned() {
            self.renew_session(&card);
        }
        self.work += 1;
    }

    fn put_card(&mut self, card: Card) {
        let known = self.cards.get(&card.person());
        let other_keys = known.is_some_and(|known| known.body().inbox != card.body().inbox);
        let closed = other_keys && self.sessions.close(card.person());
        if closed || self.sessions.is_outdated(&card) {
            self.renew_session(&card);
        }
        let revoked = self.sessions.revoke(&card);
        if !revoked.is_empty() {
            self.want_sync(Duration::ZERO);
        }
        revoked.into_iter().for_each(|row| self.writer.durable(row));
        self.match_places(&card);
        let person = card.person();
        self.cards.insert(person, card);
        self.plan_offer(person);
        self.work += 1;
    }

    /// What waits for a person is sealed anew, to a prekey that this person has not erased.
    fn renew_session(&mut self, card: &Card) {
        let renewed = self
            .sessions
            .sending(&self.me, card, &mut self.rng, self.now);
        let Ok((_, record)) = renewed else {
            return self.count("contact card with unusable keys");
        };
        for link in self.links.values_mut() {
            let other = |end: &End| end.person != card.person();
            link.since_preamble.retain(|end, _| other(end));
        }
        record.into_iter().for_each(|row| self.writer.durable(row));
        self.want_sync(Duration::ZERO);
    }

    fn on_link_up(&mut self, id: LinkId, mut profile: io::LinkProfile) {
        profile.mtu = profile.mtu.max(crate::wire::MIN_MTU);
        let link = self.links.entry(id).or_insert_with(|| Link::new(id));
        let fresh = link.profile.is_none();
        link.up(self.now, profile);
        self.work += 1;
        if !fresh {
            return;
        }
        self.reports.forget(id);
        for message in self.outbox.values_mut() {
            let reaches = link.toward(message.end()).is_some();
            if reaches && !link.profile.as_ref().is_some_and(|p| p.courier) {
                message.greet(id, self.now, link.down_since);
            }
        }
    }

    fn on_link_down(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.down(self.now);
        }
        self.work += 1;
    }

    fn flush(&mut self) {
        for message in self.outbox.values() {
            self.writer.durable(message.record(self.now));
        }
        for message in self.inbox.values() {
            self.writer.durable(message.record(self.now));
        }
        let sessions = self.sessions.records(self.now);
        sessions
            .into_iter()
            .for_each(|row| self.writer.durable(row));
        self.want_sync(Duration::ZERO);
    }
}
