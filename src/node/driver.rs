//! The task that drives the engine: takes one input, or the events of links that came together, then carries out all outputs,
//! then waits.

use super::api::{InvitationEntry, OutboundEntry, Response, StatusReport};
use super::cards::Contacts;
use super::courier::{self, Export, Import, Step};
use super::error::{NodeError, stopped};
use super::hidden::{Content, Hidden, Outcome};
use super::history::History;
use super::inbox::{Row, now_ms};
use super::invites;
use super::lanes::{Chore, Done, Lanes};
use super::linkbook::Record;
use super::links::Links;
use super::status;
use super::tickets;
use super::upkeep::Errand;
use crate::engine::Engine;
use crate::engine::geometry::Blocks;
use crate::engine::id::{MessageId, PersonId, to_base32};
use crate::engine::io::{Delivery, Event, Input, LinkId, Output, SendError, StoreError, Time, Why};
use crate::engine::message::Draft;
use crate::engine::trust::Standing;
use crate::security::card::Card;
use crate::security::invitation::Ticket;
use crate::security::prekeys::Prekeys;
use data_encoding::BASE64;
use ostrakon_transports as transport;
use ostrakon_transports::LinkEvent;
use ostrakon_transports::quic::Incoming;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

/// How often the engine is told how much room there is.
const ROOM: Duration = Duration::from_secs(2);
/// Of what is free, the share that is kept for keys, notes and what is being sent: one in this many.
const KEPT: u64 = 16;
/// How often the calendar is told.
const CALENDAR: Duration = Duration::from_secs(3600);
/// How often folders done by hand are looked after.
const COURIER_LOOK: Duration = Duration::from_millis(50);
/// What the engine sends within this time, a folder done by hand waits for.
const SOON: Duration = Duration::from_secs(3);
/// How long stopping waits for the disk.
const STOP: Duration = Duration::from_secs(15);
/// Events of links that are taken together.
const EVENTS: usize = 64;
/// Messages that wait for the engine's word at once.
const SENDS: usize = 256;

/// What the engine counts frames as that had to be left out since their manifest is not here.
const EARLY: &str = "fragment too long before its manifest";
/// And as messages that came before the card of who is unknown.
const CARDLESS: &str = "message of a stranger before its card";

/// An order to the driver.
pub(super) enum Command {
    /// Take a message; the answer comes once it is durable.
    Send(Box<Draft>, oneshot::Sender<Result<(), SendError>>),
    /// Up to how many bytes the only part of a message to these persons had better stand in its manifest, and how large
    /// the blocks of others.
    Cut(BTreeSet<PersonId>, oneshot::Sender<(usize, Blocks)>),
    /// Give up the messages of ours whose id begins so.
    Cancel(String, oneshot::Sender<Result<(), NodeError>>),
    /// Give up this message.
    Forget(MessageId),
    /// What is under way. With the numbers of all links that are configured.
    Status(BTreeSet<u32>, oneshot::Sender<StatusReport>),
    /// A card is new.
    Card(Box<Card>),
    /// We stand otherwise to a person.
    Standing(PersonId, Standing),
    /// An invitation of somebody is to be used.
    Ticket(PersonId, Ticket),
    /// Whether strangers are let in.
    Strangers(bool),
    /// How many messages of each of these strangers wait.
    Waiting(Vec<PersonId>, oneshot::Sender<BTreeMap<PersonId, usize>>),
    /// New contacts who were written to and have not said anything.
    Silent(oneshot::Sender<BTreeSet<PersonId>>),
    /// Open or close an invitation; the answer comes once it is durable.
    Invite(invites::Order, oneshot::Sender<bool>),
    /// All invitations.
    Invitations(oneshot::Sender<Vec<InvitationEntry>>),
    /// Our prekeys went on.
    Prekeys(Box<Prekeys>),
    /// A link is new.
    LinkStart(Box<Record>),
    /// A link is no more, and these are. The answer names the messages that none of them may carry since.
    LinkStop(u32, BTreeSet<u32>, oneshot::Sender<Vec<String>>),
    /// Fill a folder.
    Export(PathBuf, courier::Reply),
    /// Read a folder.
    Import(PathBuf, courier::Reply),
}

/// Where inputs come from.
pub(super) struct Sources {
    /// Orders.
    pub(super) commands: mpsc::Receiver<Command>,
    /// Links.
    pub(super) events: mpsc::Receiver<(transport::LinkId, LinkEvent)>,
    /// Connections of others.
    pub(super) incoming: mpsc::Receiver<Incoming>,
    /// Ends of work.
    pub(super) done: mpsc::Receiver<Done>,
}

/// Somebody who waits for a message to be durable.
pub(super) struct Waiting {
    reply: oneshot::Sender<Result<(), SendError>>,
    entries: Vec<(PersonId, OutboundEntry)>,
}

/// The engine and all that its outputs go to.
pub(super) struct Driver {
    pub(super) engine: Engine,
    pub(super) start: Instant,
    pub(super) links: Links,
    pub(super) lanes: Lanes,
    pub(super) history: History,
    pub(super) contacts: Arc<Contacts>,
    pub(super) spool_origin: [u8; 8],
    /// Takes what is to be sent to whom.
    pub(super) errands: mpsc::Sender<Errand>,
    /// Whether this is a node that runs, rather than a home that is asked something.
    pub(super) running: bool,
    pub(super) sends: BTreeMap<u64, Waiting>,
    pub(super) next_request: u64,
    pub(super) invites: invites::Pending,
    pub(super) wake: (Option<Time>, Why),
    pub(super) store_failing: Option<String>,
    pub(super) export: Option<Export>,
    pub(super) import: Option<Import>,
    pub(super) next_courier: u32,
}

impl Driver {
    /// Runs until `stop` says so or everybody who could give orders is gone, then writes everything down.
    pub(super) async fn run(mut self, mut from: Sources, mut stop: watch::Receiver<bool>) {
        self.tell_room();
        self.tell_calendar();
        let [mut room, mut calendar] = [ROOM, CALENDAR].map(every);
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let calm = !self.lanes.behind() && !self.engine.is_behind();
            // Links may lose what a failing store cannot take; a folder done by hand waits.
            let reads = calm && self.store_failing.is_none();
            let open = self.sends.len() < SENDS;
            let couriers = self.export.is_some() || self.import.is_some();
            let wake = self.wake.0.map(|at| self.moment(at));
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(done) = from.done.recv() => self.ended(done),
                command = from.commands.recv(), if open => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                1.. = from.events.recv_many(&mut events, EVENTS), if calm => self.hear(&mut events),
                Some(incoming) = from.incoming.recv() => {
                    for input in self.links.accept(incoming) {
                        self.feed(input);
                    }
                }
                input = next_of(&mut self.import), if reads => self.feed(input),
                () = until(wake) => self.feed(Input::Timeout),
                _ = room.tick() => self.tell_room(),
                _ = calendar.tick() => self.tell_calendar(),
                () = tokio::time::sleep(COURIER_LOOK), if couriers => {}
            }
            self.look_after_couriers();
        }
        self.stop(from).await;
    }

    /// Writes everything down: nothing more is taken in but the ends of work.
    async fn stop(mut self, mut from: Sources) {
        from.commands.close();
        self.feed(Input::Flush);
        let until = Instant::now() + STOP;
        while !self.lanes.idle() {
            tokio::select! {
                Some(done) = from.done.recv() => self.ended(done),
                () = sleep_until(until) => {
                    tracing::warn!("the disk takes too long; what was not written is sent again next time");
                    break;
                }
            }
        }
        let Self { links, lanes, .. } = self;
        drop(links);
        // Results that nobody takes any more must not hold the store's thread back.
        drop(from);
        let _ = tokio::task::spawn_blocking(move || lanes.close()).await;
    }

    /// Tells the engine how much room the disk has.
    fn tell_room(&mut self) {
        self.look_after_door();
        match self.lanes.free_bytes() {
            Ok(free) => self.feed(Input::Room(free - free / KEPT)),
            Err(error) => tracing::warn!(%error, "how much room the disk has is not known"),
        }
    }

    fn tell_calendar(&mut self) {
        self.feed(Input::Calendar(now_ms() / 1000));
    }

    fn now(&self) -> Time {
        Time(0).after(self.start.elapsed())
    }

    fn moment(&self, at: Time) -> Instant {
        self.start + at.since(Time(0))
    }

    /// What links say, then all outputs.
    fn hear(&mut self, events: &mut Vec<(transport::LinkId, LinkEvent)>) {
        let now = self.now();
        for (slot, event) in events.drain(..) {
            if let Some(input) = self.links.event(slot.0, event) {
                self.engine.handle_input(now, input);
            }
        }
        self.carry_out();
    }

    /// One input, then all outputs.
    pub(super) fn feed(&mut self, input: Input) {
        self.engine.handle_input(self.now(), input);
        self.carry_out();
    }

    /// All outputs.
    fn carry_out(&mut self) {
        loop {
            match self.engine.poll_output() {
                Output::Transmit { link, frame, tag } => match &mut self.export {
                    Some(export) if link == export.link => export.take(frame, tag),
                    _ => self.links.transmit(link, frame, tag),
                },
                Output::Release { link, upto } => self.links.release(link, upto),
                Output::Purge { tag } => {
                    if let Some(export) = &mut self.export {
                        export.purge(tag);
                    }
                    self.links.purge(tag);
                }
                Output::Persist(batch) => self.lanes.persist(batch),
                Output::Fetch {
                    token,
                    file,
                    offset,
                    len,
                    last,
                } => {
                    self.lanes.fetch(token, file, (offset, len), last);
                }
                Output::Compute { token, job } => self.lanes.compute(token, job),
                Output::Deliver(delivery) => self.deliver(delivery),
                Output::Event(event) => self.event(event),
                Output::Timeout(at, why) => {
                    self.wake = (at, why);
                    return;
                }
            }
        }
    }

    fn ended(&mut self, mut done: Done) {
        if let Done::Chore(again, _) = &mut done {
            // Of a message that was called off meanwhile nothing is left to deliver.
            let is_gone = |(message, part)| self.engine.part_info(message, part).is_none();
            drop(again.take_if(|chore| chore.file().is_some_and(is_gone)));
        }
        self.lanes.ended(&mut done);
        match done {
            Done::Persisted(token, Ok(())) => self.feed(Input::Persisted(token)),
            Done::Persisted(token, Err(error)) => {
                let full = matches!(error, StoreError::Full(_));
                self.feed(Input::PersistFailed(token, error));
                if full {
                    self.tell_room();
                }
            }
            Done::Fetched(token, bytes) => self.feed(Input::Fetched(token, bytes)),
            Done::Computed(token, done) => self.feed(Input::Computed(token, done)),
            Done::Chore(_, Some((message, part))) => {
                self.feed(Input::DeliverAck { message, part });
            }
            Done::Chore(_, None) => {}
            Done::Hidden(outcome, (message, part)) => {
                match outcome {
                    Outcome::Done => {}
                    Outcome::Card(card) => self.take_card(card),
                    Outcome::Met { standing, card } => {
                        let person = card.person();
                        tracing::info!(?person, level = ?standing.level, "somebody new has written");
                        self.feed(Input::Standing(person, standing));
                        self.take_card(card);
                    }
                    Outcome::OwnCard(card) => {
                        self.take_card(card);
                        // Without room the next hour makes up for it.
                        let _ = self.errands.try_send(Errand::OwnCard);
                    }
                    // What was added or removed may be missing in our card.
                    Outcome::Roster => {
                        let _ = self.errands.try_send(Errand::OwnCard);
                    }
                    // Without room the user's next question makes up for it.
                    Outcome::Voice(person) => {
                        let _ = self.errands.try_send(Errand::Voice(person));
                    }
                }
                self.feed(Input::DeliverAck { message, part });
            }
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let Delivery {
            message,
            from,
            part,
        } = delivery;
        self.heard_of(from);
        if self.deliver_hidden(message, from, part) {
            return;
        }
        let mut row = Row {
            from: from.to_string(),
            media_type: String::new(),
            name: String::new(),
            bytes: 0,
            created: None,
            delivered_at_ms: now_ms(),
            inline: None,
            also: Vec::new(),
        };
        let mut file = false;
        if part != 0 {
            let Some(info) = self.engine.part_info(message, part) else {
                tracing::error!(
                    ?message,
                    part,
                    "a delivery without a part; please report it"
                );
                return;
            };
            file = info.inline.is_none();
            row.media_type = info.media_type;
            row.name = info.name;
            row.bytes = info.bytes;
            row.created = info.created;
            row.also = info.also.iter().map(ToString::to_string).collect();
            row.inline = info.inline.map(|bytes| BASE64.encode(&bytes));
        }
        match serde_json::to_vec(&row) {
            Ok(row) => self.lanes.chore(Chore::Deliver {
                message,
                part,
                file,
                row,
            }),
            Err(error) => tracing::error!(?message, %error, "a delivery cannot be written down"),
        }
    }

    /// What is not for people is taken in, and they see nothing of the message. Tells whether this is such a one.
    fn deliver_hidden(&mut self, message: MessageId, from: PersonId, part: u8) -> bool {
        let info = self.engine.part_info(message, 1).filter(|info| info.alone);
        let Some((content, bytes)) =
            info.and_then(|info| Some((Content::of(&info.media_type)?, info.inline?)))
        else {
            return false;
        };
        match part {
            0 => self.feed(Input::DeliverAck { message, part }),
            _ => self.lanes.chore(Chore::Hidden(Hidden {
                message,
                part,
                from,
                invited: self.engine.was_invited(from),
                content,
                bytes,
                contacts: self.contacts.clone(),
            })),
        }
        true
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Accepted { message, request } => {
                if let Some(waiting) = self.sends.remove(&request) {
                    for (to, entry) in waiting.entries {
                        self.history.begin(message, to, entry);
                    }
                    // Whoever asked may have given up.
                    let _ = waiting.reply.send(Ok(()));
                }
            }
            Event::Refused { request, why } => {
                if let Some(waiting) = self.sends.remove(&request) {
                    let _ = waiting.reply.send(Err(why));
                }
            }
            Event::Confirmed { message, by, part } => {
                self.heard_of(by);
                match part {
                    0 => self.finish(message, by, false),
                    part => self.history.confirmed(message, by, part),
                }
            }
            Event::Expired { message, person } => self.finish(message, person, true),
            Event::Spoiled { message, part } => {
                tracing::warn!(
                    ?message,
                    part,
                    "a part that goes to several does not match its digest, so one of them may have made some of it up; it comes again, sealed to us alone"
                );
            }
            Event::Arriving { message, from } => tracing::debug!(?message, ?from, "arriving"),
            Event::CardOutdated { person } => {
                tracing::info!(?person, "has an outdated contact card of ours");
                // It is told again in a day.
                let _ = self.errands.try_send(Errand::Card(person));
            }
            Event::HomeWentBack { by } => {
                tracing::warn!(?by, "{}", status::HOME_WENT_BACK);
            }
            Event::PeerWentBack { person } => {
                let name = self.contacts.name(person);
                tracing::warn!("{}", status::peer_went_back(&name));
            }
            Event::DigestMismatch { message, part } => {
                tracing::warn!(
                    ?message,
                    part,
                    "a part is whole but does not match its digest: the message is refused; ask its sender to send it again"
                );
            }
            Event::Invited { id } => self.invites.done(id, true),
            Event::NotInvited { id } => self.invites.done(id, false),
            Event::Uninvited { id } => self.invites.done(id, true),
            Event::TicketDone { person } => {
                let key = tickets::row(person);
                self.lanes.chore(Chore::Note { key, value: None });
            }
            Event::StoreFailed(error) => {
                tracing::error!(%error, "the store fails");
                self.store_failing = Some(error.to_string());
            }
            Event::StoreRecovered => {
                tracing::info!("the store works again");
                self.store_failing = None;
                // Frames that a relay holds and that were dropped meanwhile are fetched again.
                for input in self.links.reconnect_relays() {
                    self.feed(input);
                }
            }
            Event::OneWayDone {
                message,
                to,
                link,
                success_ppm,
            } => {
                let percent = f64::from(success_ppm) / 10_000.0;
                let name = self.links.name(link);
                let note = format!(
                    "{name} has sent all it planned; at the loss assumed that suffices with {percent:.2} %"
                );
                self.history.note(message, to, note);
            }
        }
    }

    /// A message of ours is over.
    fn finish(&mut self, message: MessageId, to: PersonId, expired: bool) {
        for chore in self.history.finish(message, to, expired) {
            self.lanes.chore(chore);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Send(mut draft, reply) => {
                let request = self.next_request;
                self.next_request += 1;
                let entries = status::queued(&draft, &self.contacts);
                self.sends.insert(request, Waiting { reply, entries });
                draft.request = request;
                self.feed(Input::Send(draft));
            }
            Command::Cut(to, reply) => {
                let _ = reply.send((self.engine.inline_bytes(&to), self.engine.blocks(&to)));
            }
            Command::Cancel(head, reply) => {
                let _ = reply.send(self.cancel(&head));
            }
            Command::Forget(message) => self.feed(Input::Cancel(message)),
            Command::Status(links, reply) => {
                let _ = reply.send(self.status(&links));
            }
            Command::Prekeys(prekeys) => self.feed(Input::Prekeys(prekeys)),
            Command::Card(card) => self.take_card(card),
            Command::Standing(person, standing) => {
                self.feed(Input::Standing(person, standing));
                match standing.blocked {
                    true => self.end_links(person),
                    false => self.restart_links(person),
                }
            }
            Command::Ticket(person, ticket) => self.feed(Input::Ticket(person, ticket)),
            Command::Strangers(open) => self.feed(Input::Strangers(open)),
            Command::Waiting(persons, reply) => {
                let waiting = persons.into_iter();
                let waiting = waiting.map(|who| (who, self.engine.waiting_of(who).len()));
                let _ = reply.send(waiting.collect());
            }
            Command::Silent(reply) => {
                let sent = self.engine.status(self.now()).outbound.into_iter();
                let unmet = |to: &PersonId| self.contacts.tickets.is_unmet(*to);
                let _ = reply.send(sent.map(|sent| sent.to).filter(unmet).collect());
            }
            Command::Invite(order, reply) => {
                self.invites.wait(order.id(), reply);
                self.feed(order.input());
            }
            Command::Invitations(reply) => {
                let list = invites::list(&self.engine.invitations(), self.now(), &self.contacts);
                let _ = reply.send(list);
            }
            Command::LinkStart(record) => {
                if let Some(input) = self.links.start(*record) {
                    self.feed(input);
                }
            }
            Command::LinkStop(id, left, reply) => {
                let input = self.links.remove(LinkId(id));
                self.feed(input);
                let status = self.engine.status(self.now());
                let _ = reply.send(status::bound_to(&status, id, &left));
            }
            Command::Export(dir, reply) => self.begin_export(dir, reply),
            Command::Import(dir, reply) => self.begin_import(dir, reply),
        }
        self.look_after_door();
    }

    /// Somebody knows us, so that no first message to him has to bring our card.
    fn heard_of(&mut self, person: PersonId) {
        if let Some(key) = self.contacts.tickets.met(person) {
            self.lanes.chore(Chore::Note { key, value: None });
        }
    }

    /// Links of who is unknown are let in while anybody unknown is waited for.
    fn look_after_door(&self) {
        self.contacts.door.set(self.engine.waits_for_unknown());
    }

    /// A card for the engine. Our own says how large messages may be.
    fn take_card(&mut self, card: Box<Card>) {
        let person = card.person();
        if self.contacts.is_me(person) {
            self.feed(Input::Largest(card.body().largest));
        }
        self.feed(Input::Card(card));
        self.restart_links(person);
    }

    fn restart_links(&mut self, person: PersonId) {
        for input in self.links.card_changed(person) {
            self.feed(input);
        }
    }

    fn end_links(&mut self, person: PersonId) {
        for input in self.links.shut_out(person) {
            self.feed(input);
        }
    }

    fn cancel(&mut self, head: &str) -> Result<(), NodeError> {
        let status = self.engine.status(self.now());
        let sent = status.outbound.iter().map(|o| o.message);
        // One to several is there more than once.
        let found: BTreeSet<MessageId> = sent
            .filter(|id| to_base32(&id.0).starts_with(head))
            .collect();
        match Vec::from_iter(found).as_slice() {
            [one] => {
                self.feed(Input::Cancel(*one));
                Ok(())
            }
            [] => Err(NodeError::NotFound(
                "no such message on its way; see `ostrakon status`".into(),
            )),
            _ => Err(super::inbox::several(head)),
        }
    }

    fn status(&self, configured: &BTreeSet<u32>) -> StatusReport {
        let status = self.engine.status(self.now());
        let mut report = status::report(
            &status,
            (&self.links, configured),
            &self.contacts,
            &self.history,
        );
        report.node = self.running.then(std::process::id);
        if self.links.is_removed() {
            report.warnings.push(status::REMOVED.to_owned());
        }
        report.store_failing = match (&self.store_failing, status.store_failing) {
            (Some(why), _) => Some(why.clone()),
            (None, true) => Some("the store does not take anything; see the log".into()),
            (None, false) => None,
        };
        report
    }

    fn begin_export(&mut self, dir: PathBuf, reply: courier::Reply) {
        if self.export.is_some() {
            let _ = reply.send(busy());
            return;
        }
        let link = self.courier_link();
        let wanted = self.engine.tags();
        self.export = Some(Export::new(link, dir, self.spool_origin, wanted, reply));
        let profile = courier::profile(true);
        self.feed(Input::LinkUp { link, profile });
    }

    fn begin_import(&mut self, dir: PathBuf, reply: courier::Reply) {
        if self.import.is_some() {
            let _ = reply.send(busy());
            return;
        }
        let link = self.courier_link();
        let left_out = self.left_out();
        self.import = Some(Import::start(link, dir, self.spool_origin, left_out, reply));
        let profile = courier::profile(false);
        self.feed(Input::LinkUp { link, profile });
    }

    /// Frames that had to be left out since something has to come first, which may be here at a second reading.
    fn left_out(&self) -> u64 {
        self.engine.dropped(EARLY) + self.engine.dropped(CARDLESS)
    }

    fn courier_link(&mut self) -> LinkId {
        let link = LinkId(self.next_courier);
        self.next_courier = self
            .next_courier
            .checked_add(1)
            .unwrap_or(courier::FIRST_COURIER);
        link
    }

    /// The engine means to send something before long, such as what it holds back after a restart.
    fn sends_soon(&self) -> bool {
        let soon = self.now().after(SOON);
        matches!(self.wake, (Some(at), Why::Probe) if at <= soon)
    }

    fn look_after_couriers(&mut self) {
        let idle = self.lanes.idle() && !self.sends_soon();
        if let Some(export) = &mut self.export {
            match export.step(idle) {
                Step::Feed(input) => self.feed(input),
                Step::Wait => {}
                Step::Done => {
                    if let Some(export) = self.export.take() {
                        self.feed(Input::LinkDown { link: export.link });
                        export.finish();
                    }
                }
            }
        }
        let left_out = self.left_out();
        let Some(import) = &mut self.import else {
            return;
        };
        let failed = self.store_failing.clone().filter(|_| import.is_stuck());
        if failed.is_none() && (!import.is_over(idle) || import.read_again(left_out)) {
            return;
        }
        if let Some(import) = self.import.take() {
            self.feed(Input::LinkDown { link: import.link });
            import.finish(failed);
        }
    }
}

fn busy() -> Response {
    NodeError::Usage("another folder is being done by hand; wait until that is over".into())
        .response()
}

async fn next_of(import: &mut Option<Import>) -> Input {
    match import {
        Some(import) => import.next().await,
        None => std::future::pending().await,
    }
}

/// Rings as often as this.
fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
