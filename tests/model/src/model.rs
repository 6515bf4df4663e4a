//! The whole: both ends, all frames that were ever sent, and what can happen next.

use crate::explore::Explored;
use crate::recipient::Recipient;
use crate::sender::{Label, Sender};
use stateright::{Model, Property};
use std::collections::BTreeSet;
use std::fmt;

/// The most messages that are sent in any world.
pub const MESSAGES: usize = 2;
/// The most sessions that are opened in any.
pub const SESSIONS: usize = 2;
/// Epochs behind the newest verified one whose keys are kept. 13 in the program.
pub const BEHIND: u8 = 1;
/// Epochs ahead of it that a fragment may use. 18 in the program.
pub const AHEAD: u8 = 1;

/// A rule of the program that a model may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A receipt leaves once its message is durably over.
    ReceiptAfterDisk,
    /// A message leaves once it is durable.
    MessageAfterDisk,
    /// What the ledger knows is not taken in again.
    Ledger,
    /// The window of epochs moves for what is authentic only.
    AuthenticFirst,
    /// A message that nobody answers is sealed anew, in the present session and epoch.
    SealAnew,
    /// A session in which nobody answers is announced again, although it was confirmed.
    AnnounceAgain,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ReceiptAfterDisk,
        Self::MessageAfterDisk,
        Self::Ledger,
        Self::AuthenticFirst,
        Self::SealAnew,
        Self::AnnounceAgain,
    ];

    /// What it says, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReceiptAfterDisk => "receipts after the disk",
            Self::MessageAfterDisk => "messages after the disk",
            Self::Ledger => "the ledger",
            Self::AuthenticFirst => "authenticity before the window",
            Self::SealAnew => "sealing anew",
            Self::AnnounceAgain => "announcing again",
        }
    }
}

/// A frame. Whatever was sent may come at any time, any number of times, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frame {
    /// Announces a session and an epoch.
    Preamble(Label),
    /// A whole message under a label.
    Fragment(Label, usize),
    /// A message was handed over.
    Receipt(usize),
    /// A session is known.
    Known(u8),
}

/// One end: what is on its disk, what is in its memory, and an image of the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Home<T> {
    /// What the process has.
    pub now: T,
    /// What survives it.
    pub disk: T,
    /// An older disk, from the beginning or from when it was taken.
    pub image: T,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    /// The sender.
    pub sender: Home<Sender>,
    /// The recipient.
    pub recipient: Home<Recipient>,
    /// All frames that were ever sent.
    pub frames: BTreeSet<Frame>,
    /// Sessions that were ever opened: a fresh key is like no other, whatever disk it was drawn on.
    pub opened: u8,
    /// Of each the highest epoch that it was ever used in.
    pub used: [u8; SESSIONS],
    /// How often each message was handed over.
    pub handed: [u8; MESSAGES],
    /// Something was handed over that the same disk knew to be over.
    pub again: bool,
    /// Messages whose sender was ever shown a receipt.
    pub receipts: [bool; MESSAGES],
    /// Crashes so far, images taken, and disks set back: of the sender, and of the recipient.
    pub crashes: u8,
    pub images: u8,
    pub set_back: [u8; 2],
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    Take,
    Advance,
    Open,
    SealAnew(usize),
    Doubt,
    WriteSender,
    WriteRecipient,
    HandOver(usize),
    Arrive(Frame),
    Forge(Label),
    CrashSender,
    CrashRecipient,
    ImageSender,
    ImageRecipient,
    SetSenderBack,
    SetRecipientBack,
}

/// How far a world goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Messages that are sent.
    pub messages: u8,
    /// Sessions that are opened, and epochs of each.
    pub sessions: u8,
    /// See `sessions`.
    pub epochs: u8,
    /// Crashes, and disks that are set back after an image of one was taken.
    pub crashes: u8,
    /// See `crashes`.
    pub set_back: u8,
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [messages, sessions, epochs] = [self.messages, self.sessions, self.epochs];
        write!(
            f,
            "messages {messages}, sessions {sessions}, epochs {epochs}, crashes {}, disks set back {}",
            self.crashes, self.set_back
        )
    }
}

/// The protocol with all of its rules, or without one, in a world of some size.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// The size.
    pub bounds: Bounds,
    /// The rule that is left out.
    pub without: Option<Rule>,
}

impl Protocol {
    fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    fn sender_acts(&self, world: &World, acts: &mut Vec<Act>) {
        let Home { now, disk, .. } = &world.sender;
        let waits = now.outbox.iter().any(Option::is_some);
        let all = [
            (now.taken < self.bounds.messages, Act::Take),
            (now.place.1 + 1 < self.bounds.epochs, Act::Advance),
            (world.opened + 1 < self.bounds.sessions, Act::Open),
            (
                now.confirmed && waits && self.has(Rule::AnnounceAgain),
                Act::Doubt,
            ),
            (now != disk, Act::WriteSender),
        ];
        acts.extend(all.into_iter().filter(|(can, _)| *can).map(|(_, act)| act));
        for message in 0..MESSAGES {
            if now.is_behind(message) && self.has(Rule::SealAnew) {
                acts.push(Act::SealAnew(message));
            }
        }
    }

    fn recipient_acts(&self, world: &World, acts: &mut Vec<Act>) {
        let Home { now, disk, .. } = &world.recipient;
        if now != disk {
            acts.push(Act::WriteRecipient);
        }
        for message in 0..MESSAGES {
            if now.inbox[message] && disk.inbox[message] {
                acts.push(Act::HandOver(message));
            }
        }
        if !self.has(Rule::AuthenticFirst) {
            let sessions = 0..self.bounds.sessions;
            acts.extend(sessions.map(|session| Act::Forge((session, self.bounds.epochs))));
        }
    }

    fn troubles(&self, world: &World, acts: &mut Vec<Act>) {
        if world.crashes < self.bounds.crashes {
            acts.extend([Act::CrashSender, Act::CrashRecipient]);
        }
        if world.set_back.iter().sum::<u8>() < self.bounds.set_back {
            acts.extend([Act::SetSenderBack, Act::SetRecipientBack]);
            if world.images == 0 {
                acts.extend([Act::ImageSender, Act::ImageRecipient]);
            }
        }
    }

    /// Everything leaves that may. What has left may still never arrive, so nothing is lost by sending it at once.
    fn send(&self, world: &mut World) {
        let Home { now, disk, .. } = &world.sender;
        if !now.confirmed {
            world.frames.insert(Frame::Preamble(now.place));
        }
        for message in 0..MESSAGES {
            let durable = disk.outbox[message].is_some() || !self.has(Rule::MessageAfterDisk);
            if let Some(label) = now.outbox[message].filter(|_| durable) {
                world.frames.insert(Frame::Fragment(label, message));
            }
        }
        let Home { now, disk, .. } = &world.recipient;
        for message in 0..MESSAGES {
            let over = match self.has(Rule::ReceiptAfterDisk) {
                true => disk.ledger[message],
                false => now.inbox[message],
            };
            if over {
                world.frames.insert(Frame::Receipt(message));
            }
        }
        let known = disk
            .newest
            .iter()
            .zip(0..)
            .filter(|(newest, _)| newest.is_some());
        world
            .frames
            .extend(known.map(|(_, session)| Frame::Known(session)));
    }

    fn arrive(&self, world: &mut World, frame: Frame) {
        match frame {
            Frame::Preamble(label) => world.recipient.now.announced(label),
            Frame::Fragment(label, message) if world.recipient.now.opens(label) => {
                let recipient = &mut world.recipient.now;
                recipient.take(label, message);
                recipient.inbox[message] |= !self.has(Rule::Ledger);
            }
            Frame::Fragment(..) => {}
            Frame::Receipt(message) => {
                world.receipts[message] |= world.sender.now.outbox[message].is_some();
                world.sender.now.receipt(message);
            }
            Frame::Known(session) => {
                world.sender.now.confirmed |= session == world.sender.now.place.0;
            }
        }
    }
}

impl World {
    fn hand_over(&mut self, message: usize) {
        let Home { now, disk, .. } = &mut self.recipient;
        self.again |= disk.ledger[message];
        // The application's own disk takes each message once.
        self.handed[message] += u8::from(!now.app[message]);
        (now.app[message], disk.app[message]) = (true, true);
        (now.inbox[message], now.ledger[message]) = (false, true);
    }

    fn open(&mut self) {
        self.opened += 1;
        let sender = &mut self.sender.now;
        (sender.place, sender.confirmed) = ((self.opened, 0), false);
    }

    fn trouble(&mut self, act: Act) {
        let (sender, recipient) = (&mut self.sender, &mut self.recipient);
        match act {
            Act::CrashSender => sender.now = sender.disk.clone(),
            Act::CrashRecipient => recipient.now = recipient.disk.clone(),
            Act::ImageSender => sender.image = sender.disk.clone(),
            Act::ImageRecipient => recipient.image = recipient.disk.clone(),
            Act::SetSenderBack => {
                sender.disk = sender.image.clone();
                sender.now = sender.image.clone();
            }
            _ => {
                recipient.disk = recipient.image.clone();
                recipient.now = recipient.image.clone();
            }
        }
        match act {
            Act::CrashSender | Act::CrashRecipient => self.crashes += 1,
            Act::ImageSender | Act::ImageRecipient => self.images += 1,
            Act::SetSenderBack => self.set_back[0] += 1,
            _ => self.set_back[1] += 1,
        }
    }

    /// Nothing waits for its receipt, in memory or on the disk.
    pub fn is_over(&self) -> bool {
        let Home { now, disk, .. } = &self.sender;
        now.outbox.iter().chain(&disk.outbox).all(Option::is_none)
    }
}

impl Explored for Protocol {
    fn is_over(&self, world: &World) -> bool {
        world.is_over()
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::default();
        self.send(&mut world);
        vec![world]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        self.sender_acts(world, acts);
        self.recipient_acts(world, acts);
        acts.extend(world.frames.iter().map(|frame| Act::Arrive(*frame)));
        self.troubles(world, acts);
    }

    fn next_state(&self, before: &World, act: Act) -> Option<World> {
        let mut world = before.clone();
        let sender = &mut world.sender.now;
        match act {
            Act::Take => {
                sender.outbox[usize::from(sender.taken)] = Some(sender.place);
                sender.taken += 1;
            }
            Act::Advance => sender.place.1 += 1,
            Act::Open => world.open(),
            Act::SealAnew(message) => sender.outbox[message] = Some(sender.place),
            Act::Doubt => sender.confirmed = false,
            Act::WriteSender => world.sender.disk = sender.clone(),
            Act::WriteRecipient => world.recipient.disk = world.recipient.now.clone(),
            Act::HandOver(message) => world.hand_over(message),
            Act::Arrive(frame) => self.arrive(&mut world, frame),
            Act::Forge(label) => world.recipient.now.announced(label),
            _ => world.trouble(act),
        }
        let (session, epoch) = world.sender.now.place;
        let used = &mut world.used[usize::from(session)];
        *used = epoch.max(*used);
        self.send(&mut world);
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a receipt means handed over", |_, world: &World| {
                let pairs = world.receipts.iter().zip(&world.handed);
                pairs
                    .into_iter()
                    .all(|(receipt, handed)| !receipt || *handed > 0)
            }),
            Property::always("handed over once by each disk", |_, world: &World| {
                let [_, recipient] = world.set_back;
                world.handed.iter().all(|times| *times <= 1 + recipient)
            }),
            Property::always(
                "what is over is not handed over again",
                |_, world: &World| !world.again,
            ),
            Property::always(
                "nothing comes out that was not taken",
                |_, world: &World| {
                    let [sender, _] = world.set_back;
                    let taken = usize::from(world.sender.now.taken);
                    sender > 0
                        || world.crashes > 0
                        || world.handed.iter().skip(taken).all(|times| *times == 0)
                },
            ),
            Property::always("what leaves survives its process", |_, world: &World| {
                let [sender, _] = world.set_back;
                let sent = world.frames.iter().filter_map(|frame| match frame {
                    Frame::Fragment(_, message) => Some(*message),
                    _ => None,
                });
                let disk = usize::from(world.sender.disk.taken);
                sender > 0 || sent.into_iter().all(|message| message < disk)
            }),
            Property::always("no window is ahead of its sender", |_, world: &World| {
                let windows = world.recipient.now.newest.iter().zip(&world.used);
                windows
                    .into_iter()
                    .all(|(newest, used)| newest.is_none_or(|newest| newest <= *used))
            }),
            Property::sometimes(
                "everything is confirmed",
                |protocol: &Self, world: &World| {
                    let all = usize::from(protocol.bounds.messages);
                    let receipts = world.receipts.iter().filter(|receipt| **receipt);
                    receipts.count() == all && world.is_over()
                },
            ),
        ]
    }
}
