//! Generations of one session: offers, answers, going on, and what is said when an end has lost its part.
//!
//! Epochs are left out, since a generation begins at one and they are in the other model: a message is sealed in a session and
//! a generation, which is named by the keys of all exchanges up to it.

use crate::explore::Explored;
use crate::model::Home;
use stateright::{Model, Property};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A key that was drawn: each is like no other.
type Key = u8;
/// A session and the keys of all exchanges in it: what a message is sealed in, and what a preamble names.
type Label = (u8, Vec<(Key, Key)>);

/// A rule of the program that a model may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An offer leaves once its key is durable.
    OfferAfterDisk,
    /// An answer leaves once its generation is durable.
    AnswerAfterDisk,
    /// A session goes on once the answer is durable.
    GoOnAfterDisk,
    /// A note that a session is known names its generation.
    GenerationInNote,
    /// Epochs of a former generation are still opened.
    KeepFormer,
    /// Whoever names a generation that is not known is told so.
    TellUnknown,
    /// That is believed of the present preamble only.
    PresentOnly,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::OfferAfterDisk,
        Self::AnswerAfterDisk,
        Self::GoOnAfterDisk,
        Self::GenerationInNote,
        Self::KeepFormer,
        Self::TellUnknown,
        Self::PresentOnly,
    ];

    /// What it says, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::OfferAfterDisk => "offers after the disk",
            Self::AnswerAfterDisk => "answers after the disk",
            Self::GoOnAfterDisk => "going on after the disk",
            Self::GenerationInNote => "the generation in a note that a session is known",
            Self::KeepFormer => "epochs of former generations",
            Self::TellUnknown => "telling that a generation is not known",
            Self::PresentOnly => "believing that of the present preamble only",
        }
    }
}

/// A frame. Whatever was sent may come at any time, any number of times, or never.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frame {
    Preamble(Label),
    Fragment(Label),
    /// Session, number of the generation, key.
    Offer(u8, usize, Key),
    /// The same, and the key of the answer. The confirmation binds all of it.
    Answer(u8, usize, Key, Key),
    /// A session is known in this generation.
    Known(u8, usize),
    /// The generation that this preamble named is not.
    Unknown(Label),
    Receipt,
}

/// A sender of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sender {
    place: Label,
    confirmed: bool,
    offer: Option<Key>,
    answer: Option<(Key, Key)>,
    /// What the message is sealed in, once it was taken.
    message: Option<Label>,
    receipt: bool,
}

/// What a recipient knows of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Known {
    keys: Vec<(Key, Key)>,
    pending: Option<(Key, Key)>,
}

/// A recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Recipient {
    sessions: BTreeMap<u8, Known>,
    message: bool,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    sender: Home<Sender>,
    recipient: Home<Recipient>,
    frames: BTreeSet<Frame>,
    /// Keys that were ever drawn, and sessions opened beside the first.
    drawn: Key,
    opened: u8,
    crashes: u8,
    images: u8,
    set_back: [u8; 2],
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    Take,
    Offer,
    GoOn,
    Doubt,
    Arrive(Frame),
    WriteSender,
    WriteRecipient,
    CrashSender,
    CrashRecipient,
    Image,
    SetSenderBack,
    SetRecipientBack,
}

/// How far a world goes: generations after the first, sessions, crashes, and disks that are set back.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub generations: usize,
    pub sessions: u8,
    pub crashes: u8,
    pub set_back: u8,
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "generations {}, sessions {}, crashes {}, disks set back {}",
            self.generations, self.sessions, self.crashes, self.set_back
        )
    }
}

/// The exchange with all of its rules, or without one, in a world of some size.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub bounds: Bounds,
    pub without: Option<Rule>,
}

impl Exchange {
    fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Everything leaves that may. What has left may still never arrive.
    fn send(&self, world: &mut World) {
        let Home { now, disk, .. } = &world.sender;
        let (session, number) = (now.place.0, now.place.1.len() + 1);
        if !now.confirmed {
            world.frames.insert(Frame::Preamble(now.place.clone()));
        }
        if let Some(label) = now.message.as_ref().filter(|_| disk.message.is_some()) {
            world.frames.insert(Frame::Fragment(label.clone()));
        }
        let durable = disk.offer == now.offer && disk.place == now.place;
        if let Some(key) = now
            .offer
            .filter(|_| durable || !self.has(Rule::OfferAfterDisk))
        {
            world.frames.insert(Frame::Offer(session, number, key));
        }
        let Home { now, disk, .. } = &world.recipient;
        let answering = match self.has(Rule::AnswerAfterDisk) {
            true => disk,
            false => now,
        };
        for (session, known) in &answering.sessions {
            if let Some((offer, answer)) = known.pending {
                let number = known.keys.len() + 1;
                let frame = Frame::Answer(*session, number, offer, answer);
                world.frames.insert(frame);
            }
        }
        let known = disk.sessions.iter();
        world
            .frames
            .extend(known.map(|(session, known)| Frame::Known(*session, known.keys.len())));
        if disk.message {
            world.frames.insert(Frame::Receipt);
        }
    }

    fn arrive(&self, world: &mut World, frame: Frame) {
        let (sender, recipient) = (&mut world.sender.now, &mut world.recipient.now);
        let number = sender.place.1.len();
        match frame {
            Frame::Preamble(label) => {
                if !recipient.announced(&label) && self.has(Rule::TellUnknown) {
                    world.frames.insert(Frame::Unknown(label));
                }
            }
            Frame::Fragment(label) => {
                recipient.message |= recipient.opens(&label, self.has(Rule::KeepFormer));
            }
            Frame::Offer(session, number, key) => {
                let known = recipient.sessions.get_mut(&session);
                let due = |known: &&mut Known| known.keys.len() + 1 == number;
                if let Some(known) = known.filter(due)
                    && known.pending.is_none()
                {
                    world.drawn += 1;
                    known.pending = Some((key, world.drawn));
                }
            }
            Frame::Answer(session, of, offer, answer) => {
                let due = session == sender.place.0 && of == number + 1;
                if due && sender.offer == Some(offer) {
                    sender.answer.get_or_insert((offer, answer));
                }
            }
            Frame::Known(session, of) => {
                let present = of == number || !self.has(Rule::GenerationInNote);
                sender.confirmed |= session == sender.place.0 && present;
            }
            Frame::Unknown(label) => {
                let present = label == sender.place || !self.has(Rule::PresentOnly);
                let present = present && label.0 == sender.place.0;
                if present && world.opened + 1 < self.bounds.sessions {
                    world.opened += 1;
                    sender.open(world.opened);
                }
            }
            Frame::Receipt => sender.receipt |= sender.message.is_some(),
        }
    }
}

impl Sender {
    /// A new session; the message that waits is sealed anew.
    fn open(&mut self, session: u8) {
        *self = Self {
            place: (session, Vec::new()),
            message: self.message.as_ref().map(|_| (session, Vec::new())),
            receipt: self.receipt,
            ..Self::default()
        };
    }

    /// What a process begins with: an answer that was written down has its generation begin.
    fn started(&self) -> Self {
        let mut sender = self.clone();
        if sender.answer.is_some() {
            sender.go_on();
        }
        sender
    }

    fn go_on(&mut self) {
        self.place.1.extend(self.answer.take());
        (self.offer, self.confirmed) = (None, false);
    }
}

impl Recipient {
    /// A preamble that is authentic. Tells whether it names what is known or expected.
    fn announced(&mut self, (session, keys): &Label) -> bool {
        let Some(known) = self.sessions.get_mut(session) else {
            let is_first = keys.is_empty();
            if is_first {
                self.sessions.insert(*session, Known::default());
            }
            return is_first;
        };
        let next: Vec<(Key, Key)> = known.keys.iter().copied().chain(known.pending).collect();
        if known.pending.is_some() && *keys == next {
            *known = Known {
                keys: next,
                pending: None,
            };
        }
        *keys == known.keys
    }

    fn opens(&self, (session, keys): &Label, former: bool) -> bool {
        let known = self.sessions.get(session);
        known.is_some_and(|known| *keys == known.keys || (former && known.keys.starts_with(keys)))
    }

    /// Whether a generation is known, or will be with its preamble.
    fn holds(&self, (session, keys): &Label) -> bool {
        let known = self.sessions.get(session);
        known.is_some_and(|known| {
            let next = known.keys.iter().copied().chain(known.pending);
            known.keys == *keys || next.eq(keys.iter().copied())
        })
    }
}

impl World {
    fn is_set_back(&self) -> bool {
        self.set_back != [0, 0]
    }
}

impl Explored for Exchange {
    fn is_over(&self, world: &World) -> bool {
        let sender = &world.sender.now;
        // Where a disk is set back, the session that is opened then may be the last of the world.
        let exchanged = sender.place.1.len() == self.bounds.generations || world.is_set_back();
        sender.receipt && exchanged
    }
}

impl Model for Exchange {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::default();
        self.send(&mut world);
        vec![world]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        let Home { now, disk, .. } = &world.sender;
        let more = now.place.1.len() < self.bounds.generations;
        let kept = disk.answer == now.answer && disk.place == now.place;
        let goes_on = now.answer.is_some() && (kept || !self.has(Rule::GoOnAfterDisk));
        let crash = world.crashes < self.bounds.crashes;
        let back = world.set_back.iter().sum::<u8>() < self.bounds.set_back;
        let all = [
            (now.message.is_none(), Act::Take),
            (now.confirmed && now.offer.is_none() && more, Act::Offer),
            (goes_on, Act::GoOn),
            // A session in which nobody answers is announced again.
            (now.confirmed && world.is_set_back(), Act::Doubt),
            (now != disk, Act::WriteSender),
            (
                world.recipient.now != world.recipient.disk,
                Act::WriteRecipient,
            ),
            (crash, Act::CrashSender),
            (crash, Act::CrashRecipient),
            (back && world.images == 0, Act::Image),
            (back, Act::SetSenderBack),
            (back, Act::SetRecipientBack),
        ];
        acts.extend(all.into_iter().filter(|(can, _)| *can).map(|(_, act)| act));
        acts.extend(world.frames.iter().cloned().map(Act::Arrive));
    }

    fn next_state(&self, before: &World, act: Act) -> Option<World> {
        let mut world = before.clone();
        let (sender, recipient) = (&mut world.sender, &mut world.recipient);
        match act {
            Act::Take => sender.now.message = Some(sender.now.place.clone()),
            Act::Offer => {
                world.drawn += 1;
                sender.now.offer = Some(world.drawn);
            }
            Act::GoOn => sender.now.go_on(),
            Act::Doubt => sender.now.confirmed = false,
            Act::Arrive(frame) => self.arrive(&mut world, frame),
            Act::WriteSender => sender.disk = sender.now.clone(),
            Act::WriteRecipient => recipient.disk = recipient.now.clone(),
            Act::CrashSender | Act::CrashRecipient => {
                world.crashes += 1;
                match act {
                    Act::CrashSender => sender.now = sender.disk.started(),
                    _ => recipient.now = recipient.disk.clone(),
                }
            }
            Act::Image => {
                world.images += 1;
                sender.image = sender.disk.clone();
                recipient.image = recipient.disk.clone();
            }
            Act::SetSenderBack => {
                world.set_back[0] += 1;
                (sender.now, sender.disk) = (sender.image.started(), sender.image.clone());
            }
            Act::SetRecipientBack => {
                world.set_back[1] += 1;
                (recipient.now, recipient.disk) =
                    (recipient.image.clone(), recipient.image.clone());
            }
        }
        self.send(&mut world);
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "a sender goes on where its recipient can follow",
                |_, world: &World| {
                    let place = &world.sender.now.place;
                    let first = place.1.is_empty();
                    first || world.is_set_back() || world.recipient.disk.holds(place)
                },
            ),
            Property::always("confirmed means known", |_, world: &World| {
                let Home { now, .. } = &world.sender;
                let known = world.recipient.disk.sessions.get(&now.place.0);
                let known = known.is_some_and(|known| known.keys == now.place.1);
                !now.confirmed || known || world.is_set_back()
            }),
            Property::always(
                "no session is left while no disk is set back",
                |_, world: &World| world.opened == 0 || world.is_set_back(),
            ),
            Property::sometimes(
                "everything is exchanged and confirmed",
                |model: &Self, world: &World| {
                    let sender = &world.sender.now;
                    sender.receipt && sender.place.1.len() == model.bounds.generations
                },
            ),
        ]
    }
}
