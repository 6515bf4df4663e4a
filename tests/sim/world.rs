//! A minimal virtual world: engines, disks and links on one clock, repeatable from a seed.

use super::store::Disk;
use bytes::Bytes;
use ostrakon::engine::ends::End;
use ostrakon::engine::id::{MessageId, PersonId};
use ostrakon::engine::io::{
    Delivery, Event, FileId, FileKind, Input, LinkId, LinkProfile, Output, Reach, Time,
};
use ostrakon::engine::limits::Limits;
use ostrakon::engine::message::{Content, Draft, DraftPart, LinkPolicy, Priority};
use ostrakon::engine::status::Status;
use ostrakon::engine::trust::{Level, Standing};
use ostrakon::engine::{Config, Engine};
use ostrakon::security::card::{Card, Endpoint, MEDIA_TYPE};
use ostrakon::security::identity::Identity;
use ostrakon::security::kdf::Key;
use ostrakon::wire::manifest::Lifetime;
use ostrakon_netsim::model::{Link, LinkSpec, LinkStats};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1000 * MS;
const VERIFIED: Standing = Standing {
    level: Level::Verified,
    blocked: false,
};
/// Frames that a pacing transport takes beyond the one on the wire.
const TRANSPORT_QUEUE: usize = 3;

enum What {
    Input(usize, u64, Input),
    /// A link may have something to hand out, in the direction from the end with this index.
    Poll(usize, usize),
    Timeout(usize, u64),
    Do(Box<dyn FnOnce(&mut World)>),
}

pub struct Node {
    name: &'static str,
    /// The key file.
    pub keys: Vec<u8>,
    pub engine: Option<Engine>,
    pub disk: Disk,
    /// Counts starts: what was meant for an earlier process is dropped.
    life: u64,
    timeout: Option<Time>,
    /// When the disk has done all that it was given.
    pub store_free: u64,
    /// What the application has, durably: how often each part was put there anew.
    pub inbox: BTreeMap<(MessageId, u8), u32>,
    /// How often the application was handed anything, repeats included.
    pub inbox_writes: u32,
    /// Content of parts: inline ones, and files once they were delivered, as a host keeps them.
    kept: BTreeMap<(MessageId, u8), Bytes>,
    /// When each part was delivered.
    pub delivered_at: BTreeMap<(MessageId, u8), u64>,
    pub events: Vec<Event>,
    /// Every frame this node has sent, for whoever wants to look.
    pub sent: Vec<Bytes>,
    pub keep_sent: bool,
    pub released: BTreeMap<LinkId, u64>,
}

struct WorldLink {
    ends: [usize; 2],
    ways: [Option<Link<Bytes>>; 2],
    /// When each direction will be polled.
    polls: [Option<u64>; 2],
    rates: [u64; 2],
    busy: [u64; 2],
    profile: LinkProfile,
    direct: bool,
    /// Who is on the line as well: hears what the first end sends, and speaks to it.
    also: Vec<usize>,
    up: bool,
}

pub struct World {
    pub now: u64,
    seq: u64,
    queue: BTreeMap<(u64, u64), What>,
    pub nodes: Vec<Node>,
    links: Vec<WorldLink>,
    pub rng: ChaCha20Rng,
    pub frames: u64,
    /// Of engines started from now on.
    pub limits: Limits,
    /// Of messages sent from now on.
    pub lifetime: Lifetime,
    /// The media type of their parts.
    pub media_type: &'static str,
    /// The senders' clock, in seconds since 1970, if they have one.
    pub created: Option<u32>,
    /// What a durable batch takes.
    pub sync: u64,
    /// Whether a node is told after every batch how much room there is, or only by [`World::tell_room`].
    pub tells_room: bool,
    /// How a node stands to another one, unless that is verified.
    pub standings: BTreeMap<(usize, usize), Standing>,
    /// Which node knows which other one not at all: it has neither its card nor a word on how it stands to it.
    pub unknown: BTreeSet<(usize, usize)>,
    /// What the hosts of nodes have been sent by those, and how they stand to them since.
    pub met: BTreeMap<(usize, PersonId), (Standing, Card)>,
    /// Whether nodes let strangers in.
    pub open: bool,
    /// For how long inputs are gathered before an engine is asked what follows from them.
    pub together: u64,
    /// Whose engine has inputs gathered.
    gathering: BTreeSet<usize>,
}

/// A link between two nodes, as an operator would configure it.
pub struct Spec {
    pub rate: u64,
    pub rtt: Duration,
    pub loss: f64,
    pub mtu: usize,
    pub oneway: bool,
    pub courier: bool,
    pub assume_loss_ppm: u32,
    /// Each end knows that it reaches the other and nobody else.
    pub direct: bool,
    /// Its ends remember its rate and its round trip.
    pub warm: bool,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            rate: 10_000_000,
            rtt: Duration::from_millis(100),
            loss: 0.0,
            mtu: 1414,
            oneway: false,
            courier: false,
            assume_loss_ppm: 0,
            direct: false,
            warm: false,
        }
    }
}

/// Runs a test over seeds, or over the one that the environment names.
pub fn seeds(range: std::ops::Range<u64>, test: impl Fn(u64)) {
    let only = std::env::var("OSTRAKON_SEED").ok();
    let only: Option<u64> = only.and_then(|s| s.parse().ok());
    for seed in only.map_or(range, |s| s..s + 1) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(seed)));
        if let Err(why) = outcome {
            eprintln!("seed {seed}; repeat with OSTRAKON_SEED={seed}");
            std::panic::resume_unwind(why);
        }
    }
}

impl World {
    pub fn new(seed: u64, names: &[&'static str]) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let nodes = names
            .iter()
            .map(|name| Node::new(name, &Identity::generate(&mut rng)))
            .collect();
        let mut world = Self {
            now: SECOND,
            seq: 0,
            queue: BTreeMap::new(),
            nodes,
            links: Vec::new(),
            rng,
            frames: 0,
            limits: Limits::default(),
            lifetime: Lifetime(0),
            media_type: "application/octet-stream",
            created: None,
            sync: 4 * MS,
            tells_room: true,
            standings: BTreeMap::new(),
            unknown: BTreeSet::new(),
            met: BTreeMap::new(),
            open: false,
            together: 0,
            gathering: BTreeSet::new(),
        };
        for node in 0..world.nodes.len() {
            world.start(node);
        }
        world
    }

    pub fn identity(&self, node: usize) -> Identity {
        Identity::decode(&self.nodes[node].keys).unwrap()
    }

    pub fn person(&self, node: usize) -> PersonId {
        self.identity(node).person()
    }

    /// The card of a node's person. It names the endpoints on all nodes.
    fn card(&self, node: usize) -> Card {
        let me = self.identity(node);
        let all = (0..self.nodes.len()).map(|other| self.identity(other));
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for one in all.filter(|other| other.person() == me.person()) {
            let endpoint = one.described();
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        me.card_of(self.nodes[node].name, 1, vec![], endpoints)
    }

    /// Makes a node another endpoint of the person that another node is, and has everybody know.
    pub fn enrol(&mut self, node: usize, of: usize) {
        let new = self.identity(of).another_endpoint(&mut self.rng);
        self.nodes[node].keys = new.encode().to_vec();
        (0..self.nodes.len()).for_each(|node| self.kill(node, false));
        (0..self.nodes.len()).for_each(|node| self.start(node));
    }

    fn push(&mut self, at: u64, what: What) {
        self.seq += 1;
        self.queue.insert((at.max(self.now), self.seq), what);
    }

    /// Calls something at a moment.
    pub fn at(&mut self, at: u64, action: impl FnOnce(&mut Self) + 'static) {
        self.push(at, What::Do(Box::new(action)));
    }

    /// Starts a process: from its disk, with everybody's card, its links coming up.
    pub fn start(&mut self, node: usize) {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let state = &mut self.nodes[node];
        let config = Config {
            identity: Identity::decode(&state.keys).unwrap(),
            limits: self.limits.clone(),
            seed,
            restored: state.disk.restored(),
        };
        state.life += 1;
        state.timeout = None;
        state.engine = Some(Engine::new(config, Time(self.now)).unwrap());
        self.input(node, Input::Strangers(self.open));
        let met = self
            .met
            .clone()
            .into_iter()
            .filter(|((at, _), _)| *at == node);
        for ((_, person), (standing, card)) in met {
            self.input(node, Input::Standing(person, standing));
            self.input(node, Input::Card(Box::new(card)));
        }
        let others = (0..self.nodes.len()).filter(|&other| other != node);
        let unknown = self.unknown.clone();
        for other in others.filter(|other| !unknown.contains(&(node, *other))) {
            let card = self.card(other);
            let standing = self.standings.get(&(node, other)).copied();
            let standing = Input::Standing(card.person(), standing.unwrap_or(VERIFIED));
            self.input(node, standing);
            self.input(node, Input::Card(Box::new(card)));
        }
        for link in 0..self.links.len() {
            self.announce(link, node);
        }
        self.drain(node);
    }

    /// Ends a process at once; with `power_cut` its machine as well.
    pub fn kill(&mut self, node: usize, power_cut: bool) {
        let state = &mut self.nodes[node];
        state.engine = None;
        state.life += 1;
        if power_cut {
            state.disk.power_cut();
        }
        for link in 0..self.links.len() {
            let state = &self.links[link];
            // That one of several has left the line is no news to its first end.
            let seen = state.up && !state.also.contains(&node);
            if let Some(other) = state.other(node).filter(|_| seen) {
                self.input(
                    other,
                    Input::LinkDown {
                        link: LinkId(link as u32),
                    },
                );
            }
        }
    }

    pub fn is_up(&self, node: usize) -> bool {
        self.nodes[node].engine.is_some()
    }

    pub fn link(&mut self, a: usize, b: usize, spec: &Spec) -> usize {
        let model = |loss: f64, seed: u64| {
            let half = spec.rtt / 2;
            let spec = LinkSpec::new()
                .rate_bps(spec.rate)
                .delay(half)
                .loss(loss)
                .mtu(1500)
                .overhead(28);
            Link::new(&spec, seed).unwrap()
        };
        let (seed_a, seed_b) = (self.rng.next_u64(), self.rng.next_u64());
        let profile = LinkProfile {
            mtu: spec.mtu,
            rate_bps: (spec.warm || spec.rate < 100_000).then_some(spec.rate),
            rtt: spec.warm.then_some(spec.rtt),
            can_send: true,
            can_receive: !spec.oneway,
            enveloped: false,
            courier: spec.courier,
            reach: Reach::Anyone,
            cost: 0,
            loss_ppm: spec.assume_loss_ppm,
        };
        let back = (!spec.oneway).then(|| model(spec.loss, seed_b));
        let link = WorldLink {
            ends: [a, b],
            ways: [Some(model(spec.loss, seed_a)), back],
            polls: [None; 2],
            rates: [spec.rate; 2],
            busy: [0; 2],
            profile,
            direct: spec.direct,
            also: Vec::new(),
            up: true,
        };
        self.links.push(link);
        let id = self.links.len() - 1;
        self.announce(id, a);
        self.announce(id, b);
        id
    }

    /// Puts a third node on a line.
    pub fn join(&mut self, link: usize, node: usize) {
        self.links[link].also.push(node);
        self.announce(link, node);
    }

    pub fn link_stats(&mut self, link: usize) -> [Option<LinkStats>; 2] {
        let now = self.now;
        self.links[link]
            .ways
            .each_mut()
            .map(|way| way.as_mut().map(|l| l.stats(now)))
    }

    /// Cuts or restores a link; both ends notice.
    pub fn set_link(&mut self, link: usize, up: bool) {
        if std::mem::replace(&mut self.links[link].up, up) == up {
            return;
        }
        let now = self.now;
        self.links[link]
            .ways
            .iter_mut()
            .flatten()
            .for_each(|l| l.set_down(now, !up));
        for node in self.links[link].ends {
            if up {
                self.announce(link, node);
            } else {
                self.input(
                    node,
                    Input::LinkDown {
                        link: LinkId(link as u32),
                    },
                );
            }
        }
    }

    /// Cuts or restores a link without anybody noticing: frames just do not arrive.
    pub fn set_link_silently(&mut self, link: usize, up: bool) {
        self.links[link].up = up;
        let now = self.now;
        self.links[link]
            .ways
            .iter_mut()
            .flatten()
            .for_each(|l| l.set_down(now, !up));
    }

    fn announce(&mut self, link: usize, node: usize) {
        let state = &self.links[link];
        let Some(other) = state.other(node) else {
            return;
        };
        if !state.up || !self.is_up(node) || !self.is_up(other) {
            return;
        }
        let ends = self.links[link].ends;
        let known = |node: &usize| ends.contains(node);
        for (node, far) in [(node, other), (other, node)] {
            // Another one on the line is no news to its first end.
            if node == ends[0] && !(known(&node) && known(&far)) {
                continue;
            }
            let far = self.identity(far);
            let far = End::new(far.person(), far.endpoint_key());
            let way = usize::from(self.links[link].ends[0] != node);
            let state = &mut self.links[link];
            state.busy[way] = 0;
            let mut profile = state.profile.clone();
            profile.can_send = state.ways[way].is_some();
            profile.can_receive = state.ways[1 - way].is_some();
            if state.direct {
                profile.reach = Reach::Endpoint(far);
            }
            let id = LinkId(link as u32);
            // A far side that was killed is seen as a loss of the link first.
            self.input(node, Input::LinkDown { link: id });
            self.input(node, Input::LinkUp { link: id, profile });
            self.input(
                node,
                Input::LinkReady {
                    link: id,
                    frames: TRANSPORT_QUEUE,
                },
            );
        }
    }

    pub fn input(&mut self, node: usize, input: Input) {
        let now = Time(self.now);
        if let Some(engine) = &mut self.nodes[node].engine {
            engine.handle_input(now, input);
            match self.together {
                0 => self.drain(node),
                wait if self.gathering.insert(node) => self.at(self.now + wait, move |world| {
                    world.gathering.remove(&node);
                    world.drain(node);
                }),
                _ => {}
            }
        }
    }

    /// Tells a node how much room its disk has, if that is bounded.
    pub fn tell_room(&mut self, node: usize) {
        if let Some(room) = self.nodes[node].disk.room() {
            self.input(node, Input::Room(room));
        }
    }

    fn drain(&mut self, node: usize) {
        loop {
            let Some(engine) = &mut self.nodes[node].engine else {
                return;
            };
            match engine.poll_output() {
                Output::Timeout(at, _) => {
                    let life = self.nodes[node].life;
                    if at != self.nodes[node].timeout {
                        self.nodes[node].timeout = at;
                        if let Some(at) = at {
                            self.push(at.0.max(self.now + 1), What::Timeout(node, life));
                        }
                    }
                    return;
                }
                output => self.output(node, output),
            }
        }
    }

    fn output(&mut self, node: usize, output: Output) {
        let life = self.nodes[node].life;
        match output {
            Output::Transmit { link, frame, .. } => self.transmit(node, link, frame),
            Output::Persist(batch) => {
                let took = if batch.durable { self.sync } else { MS / 2 };
                let at = self.nodes[node].store_free.max(self.now) + took;
                self.nodes[node].store_free = at;
                self.at(at, move |world| {
                    if world.nodes[node].life != life {
                        return;
                    }
                    let token = batch.token;
                    let answer = match world.nodes[node].disk.apply(&batch) {
                        Ok(()) => {
                            if world.tells_room {
                                world.tell_room(node);
                            }
                            Input::Persisted(token)
                        }
                        Err(error) => Input::PersistFailed(token, error),
                    };
                    world.input(node, answer);
                });
            }
            Output::Fetch {
                token,
                file,
                offset,
                len,
                ..
            } => {
                let bytes = self.nodes[node]
                    .disk
                    .read(&file, offset, len)
                    .map(Bytes::from);
                self.push(
                    self.now + MS / 2,
                    What::Input(node, life, Input::Fetched(token, bytes)),
                );
            }
            Output::Compute { token, job } => {
                let done = job.run();
                self.push(
                    self.now + MS,
                    What::Input(node, life, Input::Computed(token, done)),
                );
            }
            Output::Deliver(delivery) => self.deliver(node, &delivery),
            Output::Event(event) => self.nodes[node].events.push(event),
            Output::Release { link, upto } => {
                self.nodes[node].released.insert(link, upto);
            }
            Output::Purge { .. } | Output::Timeout(..) => {}
        }
    }

    fn deliver(&mut self, node: usize, delivery: &Delivery) {
        let key = (delivery.message, delivery.part);
        let file = self.payload(node, delivery.message, delivery.part);
        let state = &mut self.nodes[node];
        let info = state
            .engine
            .as_ref()
            .and_then(|e| e.part_info(delivery.message, delivery.part));
        let card = info.as_ref().filter(|info| info.media_type == MEDIA_TYPE);
        let card = card.and_then(|info| Card::decode(info.inline.as_ref()?).ok());
        if let Some(inline) = info.and_then(|info| info.inline) {
            state.kept.insert(key, inline);
        } else if let Some(file) = file {
            state.kept.entry(key).or_insert_with(|| file.into());
        }
        state.inbox_writes += 1;
        // The inbox takes each part once; a repeated delivery finds it there.
        state.inbox.entry(key).or_insert(1);
        state.delivered_at.entry(key).or_insert(self.now);
        let life = state.life;
        let ack = Input::DeliverAck {
            message: delivery.message,
            part: delivery.part,
        };
        if let Some(card) = card {
            self.push(
                self.now + 4 * MS,
                What::Do(Box::new(move |world| world.meet(node, card))),
            );
        }
        self.push(self.now + 4 * MS, What::Input(node, life, ack));
    }

    /// Takes in what somebody has sent of himself, as a host does.
    fn meet(&mut self, node: usize, card: Card) {
        let Some(engine) = &self.nodes[node].engine else {
            return;
        };
        let person = card.person();
        let level = match engine.was_invited(person) {
            true => Level::Invited,
            false => Level::Unknown,
        };
        let new = Standing {
            level,
            blocked: false,
        };
        let (standing, known) = self
            .met
            .entry((node, person))
            .or_insert((new, card.clone()));
        let standing = *standing;
        *known = card.clone();
        self.input(node, Input::Standing(person, standing));
        self.input(node, Input::Card(Box::new(card)));
    }

    fn transmit(&mut self, node: usize, id: LinkId, frame: Bytes) {
        self.frames += 1;
        if self.nodes[node].keep_sent {
            self.nodes[node].sent.push(frame.clone());
        }
        let link = &mut self.links[id.0 as usize];
        let way = usize::from(link.ends[0] != node);
        assert!(
            frame.len() <= link.profile.mtu,
            "a frame of {} bytes",
            frame.len()
        );
        let took = (frame.len() as u64 + 28) * 8 * SECOND / link.rates[way];
        link.busy[way] = link.busy[way].max(self.now) + took;
        let ready_at = link.busy[way];
        let life = self.nodes[node].life;
        let ready = Input::LinkReady {
            link: id,
            frames: 1,
        };
        self.push(ready_at, What::Input(node, life, ready));
        let link = &mut self.links[id.0 as usize];
        let Some(model) = &mut link.ways[way] else {
            panic!("a frame on a link that only receives")
        };
        model.offer(self.now, frame.len(), frame);
        self.schedule(id.0 as usize, way);
    }

    /// Sees to it that a direction of a link is polled when it says.
    fn schedule(&mut self, link: usize, way: usize) {
        let state = &mut self.links[link];
        let next = state.ways[way].as_ref().and_then(Link::next_at);
        if let Some(at) = next
            && state.polls[way].is_none_or(|planned| at < planned)
        {
            state.polls[way] = Some(at);
            self.push(at, What::Poll(link, way));
        }
    }

    /// Gives the far end what has arrived.
    fn poll(&mut self, link: usize, way: usize) {
        if self.links[link].polls[way].is_none_or(|planned| planned > self.now) {
            return;
        }
        self.links[link].polls[way] = None;
        let mut to = vec![self.links[link].ends[1 - way]];
        if way == 0 {
            to.extend(&self.links[link].also);
        }
        let now = self.now;
        while let Some(model) = &mut self.links[link].ways[way]
            && let Some(arrival) = model.poll(now)
        {
            let mut frame = arrival.packet;
            if arrival.damaged {
                let mut bytes = frame.to_vec();
                model.damage(&mut bytes);
                frame = bytes.into();
            }
            for to in &to {
                let received = Input::Received {
                    link: LinkId(link as u32),
                    frame: frame.clone(),
                    custody: None,
                };
                self.input(*to, received);
            }
        }
        self.schedule(link, way);
    }

    /// Takes one event. False when nothing is left.
    pub fn step(&mut self) -> bool {
        let Some(((at, _), what)) = self.queue.pop_first() else {
            return false;
        };
        self.now = at;
        match what {
            What::Input(node, life, input) if self.nodes[node].life == life => {
                self.input(node, input)
            }
            What::Input(..) => {}
            What::Timeout(node, life) if self.nodes[node].life == life => {
                if self.nodes[node].timeout.is_some_and(|t| t.0 <= self.now) {
                    self.nodes[node].timeout = None;
                    self.input(node, Input::Timeout);
                }
            }
            What::Timeout(..) => {}
            What::Poll(link, way) => self.poll(link, way),
            What::Do(action) => action(self),
        }
        true
    }

    /// Runs until a condition holds. Gives whether it came to hold before `limit` (in virtual time).
    pub fn run_until(&mut self, limit: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        while self.now < limit {
            if done(self) {
                return true;
            }
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            if next.is_some_and(|at| at > limit) {
                self.now = limit;
            } else if !self.step() {
                return done(self);
            }
        }
        done(self)
    }

    /// Queues a message as the host of a node would. Parts: name, content, priority.
    pub fn send(
        &mut self,
        from: usize,
        to: usize,
        parts: &[(&str, Vec<u8>, Priority)],
    ) -> MessageId {
        self.send_to(from, &[to], parts)
    }

    /// Queues one message to several.
    pub fn send_to(
        &mut self,
        from: usize,
        to: &[usize],
        parts: &[(&str, Vec<u8>, Priority)],
    ) -> MessageId {
        let mut content_key = [0; 32];
        if to.len() > 1 {
            self.rng.fill_bytes(&mut content_key);
        }
        let mut salt = [0; 8];
        self.rng.fill_bytes(&mut salt);
        let drafts = parts
            .iter()
            .enumerate()
            .map(|(i, (name, bytes, priority))| DraftPart {
                id: i as u8 + 1,
                media_type: self.media_type.into(),
                name: (*name).into(),
                priority: *priority,
                lifetime: self.lifetime,
                policy: LinkPolicy::default(),
                content: if bytes.len() <= 256 {
                    Content::Inline(bytes.clone().into())
                } else {
                    Content::Snapshot {
                        len: bytes.len() as u64,
                        digest: *blake3::hash(bytes).as_bytes(),
                    }
                },
            });
        let to = to.iter().map(|to| self.person(*to)).collect();
        let blocks = self.nodes[from].engine.as_ref().unwrap().blocks(&to);
        let draft = Draft {
            request: 1,
            to,
            salt,
            content_key: Key::new(content_key),
            created: self.created,
            blocks,
            parts: drafts.collect(),
        };
        let id = draft
            .message_id(self.person(from), &Limits::default())
            .unwrap();
        for (i, (_, bytes, _)) in parts.iter().enumerate().filter(|(_, p)| p.1.len() > 256) {
            let file = FileId {
                kind: FileKind::Outgoing,
                message: id,
                part: i as u8 + 1,
            };
            self.nodes[from].disk.add_file(file, bytes.clone());
        }
        self.input(from, Input::Send(Box::new(draft)));
        id
    }

    /// The content of a delivered part.
    pub fn content(&self, node: usize, message: MessageId, part: u8) -> Option<Vec<u8>> {
        let kept = self.nodes[node].kept.get(&(message, part));
        kept.map(|bytes| bytes.to_vec())
            .or_else(|| self.payload(node, message, part))
    }

    /// What the store has of a part that arrives.
    pub fn payload(&self, node: usize, message: MessageId, part: u8) -> Option<Vec<u8>> {
        let kind = FileKind::Incoming;
        let file = FileId {
            kind,
            message,
            part,
        };
        self.nodes[node].disk.file(&file).cloned()
    }

    pub fn delivered(&self, node: usize, message: MessageId) -> bool {
        self.nodes[node].inbox.contains_key(&(message, 0))
    }

    pub fn confirmed(&self, node: usize, message: MessageId) -> bool {
        let mut events = self.nodes[node].events.iter();
        events.any(
            |event| matches!(event, Event::Confirmed { message: m, part: 0, .. } if *m == message),
        )
    }

    /// Whether one of several recipients has confirmed a message.
    pub fn confirmed_by(&self, node: usize, message: MessageId, by: usize) -> bool {
        let by = self.person(by);
        let part = 0;
        let confirmed = Event::Confirmed { message, by, part };
        self.nodes[node].events.contains(&confirmed)
    }

    pub fn status(&self, node: usize) -> Status {
        self.nodes[node]
            .engine
            .as_ref()
            .map(|e| e.status(Time(self.now)))
            .unwrap_or_default()
    }

    /// Random bytes from the world's seed.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// A number below `below` from the world's seed.
    pub fn below(&mut self, below: u64) -> u64 {
        self.rng.next_u64() % below
    }
}

impl WorldLink {
    fn other(&self, node: usize) -> Option<usize> {
        match self.ends {
            [a, b] if a == node => Some(b),
            [a, b] if b == node => Some(a),
            [a, _] if self.also.contains(&node) => Some(a),
            _ => None,
        }
    }
}

impl Node {
    fn new(name: &'static str, identity: &Identity) -> Self {
        Self {
            name,
            keys: identity.encode().to_vec(),
            engine: None,
            disk: Disk::default(),
            life: 0,
            timeout: None,
            store_free: 0,
            inbox: BTreeMap::new(),
            inbox_writes: 0,
            kept: BTreeMap::new(),
            delivered_at: BTreeMap::new(),
            events: Vec::new(),
            sent: Vec::new(),
            keep_sent: false,
            released: BTreeMap::new(),
        }
    }
}
