//! A message on its way to somebody: its manifest, its parts, and what each link has had of it.

use super::coding;
use super::detached::Cursor;
use super::ends::End;
use super::geometry::{Coding, Geometry};
use super::id::{MessageId, PersonId};
use super::io::{LinkId, LinkProfile, Record, Table, Time};
use super::link::Postmark;
use super::message::{Draft, LinkPolicy, Priority};
use super::noroom::Wait;
use super::pool::Pool;
use crate::security::seal::MessageKeys;
use crate::security::session::SessionId;
use crate::security::shared;
use crate::wire::fragment::ManifestChunk;
use crate::wire::manifest::{Body, Manifest};
use crate::wire::read::{Malformed, Reader, put_varint};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a recipient is told that a message was given up.
const NOTE_LIFETIME: Duration = Duration::from_secs(14 * 24 * 3600);

/// How long a message is kept for an endpoint once another one of the person has it.
const FOLLOW_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// A message to one endpoint of a person; one to several endpoints or persons is as many of these, of one id.
#[derive(Debug)]
pub struct Outgoing {
    /// Its place in the outbox.
    pub seq: u64,
    /// Its id.
    pub id: MessageId,
    /// To whom.
    pub to: PersonId,
    /// To which of the endpoints; `None` in a row from before persons had several, until the card is there.
    pub key: Option<[u8; 32]>,
    /// How old it was, in seconds, when another endpoint of the person confirmed it.
    followed_s: Option<u64>,
    /// What it consists of.
    pub manifest: Manifest,
    /// Keys of its present label.
    pub keys: MessageKeys,
    /// Keys of the symbols that all recipients get, unless this one has been set apart.
    content: Option<MessageKeys>,
    /// The recipient takes no symbols under the content key any more.
    pub apart: bool,
    /// The session and the epoch of that label.
    pub sealed_in: (SessionId, u32),
    /// Groups its frames on links.
    pub tag: u64,
    /// Parts with symbols of their own.
    pub parts: BTreeMap<u8, OutPart>,
    /// The recipient has the manifest.
    pub manifest_there: bool,
    /// Offers of the manifest, by link.
    pub offers: BTreeMap<LinkId, Offer>,
    /// Symbols wait until then for a report that says what is there already.
    pub hold_until: Option<Time>,
    /// The recipient has no room for it.
    pub no_room: Option<Wait>,
    /// When the recipient last said anything about this message.
    pub heard: Option<Time>,
    /// Since when the recipient has answered without long pauses.
    pub answering: Option<Time>,
    /// Since when reports say that something lacks which was reported before.
    pub doubted: Option<Time>,
    /// When it was taken, less the age it had then.
    pub taken: Time,
    /// Seconds that it was old when `taken` was set.
    pub age_s: u64,
    /// It is durable here, so that it may leave.
    pub durable: bool,
    /// Its sender has given it up: nothing leaves but the note that says so, until the recipient has confirmed it.
    pub withdrawn: bool,
    /// Fragments sent by this process.
    pub sent_fragments: u64,
    /// It comes from the store, so an earlier process may have sent of it.
    restored: bool,
    /// Bytes of the manifest.
    manifest_len: usize,
    /// The manifest, cut.
    chunks: Vec<Bytes>,
    /// Policies of all parts, for links that carry the manifest.
    policies: BTreeMap<u8, LinkPolicy>,
}

/// A part with symbols of its own.
#[derive(Debug)]
pub struct OutPart {
    /// How urgent it is.
    pub priority: Priority,
    /// Its symbols.
    pub pool: Pool,
    /// The recipient has all of it, verified.
    pub complete: bool,
    /// How far each detached link is.
    pub detached: BTreeMap<LinkId, Cursor>,
    /// The number of the youngest fragment that is known to have arrived, by relay.
    pub newest_there: BTreeMap<LinkId, u64>,
}

/// How the manifest is offered on one link.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// The next chunk.
    pub chunk: usize,
    /// Chunks left of this round.
    pub left: usize,
    /// Copies of the only chunk that have left in the first round beside it.
    pub copies: usize,
    /// Rounds so far.
    pub rounds: u32,
    /// When the next round may begin.
    pub next: Time,
    /// Symbols that left by this link since the last round began.
    pub symbols: u32,
}

impl Outgoing {
    /// From a draft that was checked.
    #[allow(
        clippy::too_many_arguments,
        reason = "what the engine chooses for a message"
    )]
    pub fn new(
        draft: &Draft,
        to: End,
        manifest: Manifest,
        id: MessageId,
        keys: MessageKeys,
        sealed_in: (SessionId, u32),
        tag: u64,
        now: Time,
    ) -> Self {
        let policies = draft
            .parts
            .iter()
            .map(|p| (p.id, p.policy.clone()))
            .collect();
        Self::assemble(id, to, manifest, keys, sealed_in, tag, now, policies)
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one constructor for new and restored messages"
    )]
    fn assemble(
        id: MessageId,
        to: End,
        manifest: Manifest,
        keys: MessageKeys,
        sealed_in: (SessionId, u32),
        tag: u64,
        now: Time,
        policies: BTreeMap<u8, LinkPolicy>,
    ) -> Self {
        let encoded = manifest.encode();
        let chunks = cut_manifest(&encoded);
        let parts = manifest.parts.iter().filter_map(|entry| {
            let Body::Coded { len, coding, .. } = &entry.body else {
                return None;
            };
            let priority = Priority::from_code(entry.priority);
            let geometry = Geometry::new(*coding, *len).ok()?;
            Some((entry.id, OutPart::new(geometry, priority)))
        });
        let parts = parts.collect();
        let content = manifest.shared.as_ref().and_then(|s| s.content.as_ref());
        let content = content.map(|content| shared::content_keys(&content.key, id));
        Self {
            seq: 0,
            id,
            to: to.person,
            key: to.key,
            followed_s: None,
            parts,
            manifest,
            keys,
            content,
            apart: false,
            sealed_in,
            tag,
            manifest_there: false,
            offers: BTreeMap::new(),
            hold_until: None,
            no_room: None,
            heard: None,
            answering: None,
            doubted: None,
            taken: now,
            age_s: 0,
            durable: false,
            withdrawn: false,
            sent_fragments: 0,
            restored: false,
            manifest_len: encoded.len(),
            chunks,
            policies,
        }
    }

    /// To whom.
    pub fn end(&self) -> End {
        End {
            person: self.to,
            key: self.key,
        }
    }

    /// Whether another endpoint of the person has confirmed it.
    pub fn follows(&self) -> bool {
        self.followed_s.is_some()
    }

    /// Another endpoint of the person has confirmed it.
    pub fn follow(&mut self, now: Time) {
        let age = self.age(now).as_secs();
        self.followed_s.get_or_insert(age);
    }

    /// The same message, of which nothing is known to be there, for another endpoint of the person.
    pub fn for_endpoint(&self, end: End, now: Time) -> Self {
        let (manifest, keys) = (self.manifest.clone(), self.keys.clone());
        let policies = self.policies.clone();
        let (sealed_in, tag) = (self.sealed_in, self.tag);
        let mut other = Self::assemble(self.id, end, manifest, keys, sealed_in, tag, now, policies);
        other.age_s = self.age(now).as_secs();
        other.durable = true;
        if self.withdrawn {
            other.withdraw(now);
        }
        other
    }

    /// The recipient has said something about it; `limit` is the silence after which it is asked for a word.
    pub fn answered(&mut self, now: Time, limit: Duration) {
        let paused = self.heard.is_none_or(|heard| now.since(heard) > limit * 2);
        if paused {
            self.answering = Some(now);
        }
        self.heard = Some(now);
        // Whoever answers need not be asked ever more rarely.
        for offer in self.offers.values_mut() {
            offer.rounds = offer.rounds.min(1);
            offer.next = offer.next.min(now.after(limit));
        }
    }

    /// Keys of its symbols.
    pub fn symbol_keys(&self) -> &MessageKeys {
        self.content.as_ref().unwrap_or(&self.keys)
    }

    /// Whether its symbols are sealed for several recipients.
    pub fn is_shared(&self) -> bool {
        self.content.is_some()
    }

    /// The recipient has thrown away what came under the content key, but for complete parts, and gets the rest sealed to
    /// it alone. False if that was known.
    pub fn set_apart(&mut self) -> bool {
        if self.content.take().is_none() {
            return false;
        }
        self.apart = true;
        for part in self.parts.values_mut().filter(|part| !part.complete) {
            *part = OutPart::new(*part.pool.geometry(), part.priority);
        }
        true
    }

    /// Nothing is known any more of what the recipient has of a part. Gives how urgent that is.
    pub fn start_over(&mut self, part: u8) -> Option<Priority> {
        let part = self.parts.get_mut(&part)?;
        *part = OutPart::new(*part.pool.geometry(), part.priority);
        part.pool.forget();
        Some(part.priority)
    }

    /// Whether the recipient may have anything of it.
    pub fn may_have_left(&self) -> bool {
        self.sent_fragments > 0 || self.restored
    }

    /// Gives it up: its parts are not needed any more.
    pub fn withdraw(&mut self, now: Time) {
        (self.taken, self.age_s) = (now, 0);
        self.withdrawn = true;
        self.manifest_there = false;
        self.parts.clear();
        self.offers.clear();
    }

    /// A link toward the recipient came up: the manifest is offered there at once, which makes the recipient
    /// report, and symbols wait for that report unless the recipient was heard of just now, and since the link went
    /// down: until then nobody knows what of that link's last fragments is there.
    pub fn greet(&mut self, link: LinkId, now: Time, down_since: Option<Time>) {
        let rounds = self.offers.get(&link).map_or(0, |o| o.rounds.min(1));
        self.offers.insert(
            link,
            Offer {
                chunk: 0,
                left: self.source_chunks(),
                copies: 0,
                rounds,
                next: now,
                symbols: 0,
            },
        );
        let lately = self.heard.is_some_and(|heard| {
            now.since(heard) < super::HOLD && down_since.is_none_or(|down| heard > down)
        });
        if self.may_have_left() && !lately {
            self.hold_until = Some(now.after(super::HOLD));
        }
    }

    /// What those who carry a frame of it have to know.
    pub fn postmark(&self, priority: Priority, now: Time) -> Postmark {
        Postmark {
            to: self.end(),
            tag: self.tag,
            priority: priority.code(),
            age_s: u32::try_from(self.age(now).as_secs()).unwrap_or(u32::MAX),
        }
    }

    /// Whether it fits one short fragment of so many bytes.
    pub fn fits_short(&self, room: usize) -> bool {
        self.parts.is_empty() && self.frame_len() <= room
    }

    /// Bytes of the frame that the manifest takes if one is enough.
    pub fn frame_len(&self) -> usize {
        self.manifest_len + crate::wire::fragment::NARROW_OVERHEAD
    }

    /// The most urgent part decides when the manifest leaves.
    pub fn priority(&self) -> Priority {
        self.manifest
            .parts
            .iter()
            .map(|p| Priority::from_code(p.priority))
            .min()
            .unwrap_or(Priority::Bulk)
    }

    /// Chunk number `index` of the manifest, parity after source.
    pub fn chunk(&self, index: usize) -> Option<&Bytes> {
        self.chunks.get(index)
    }

    /// All chunks, parity included.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Source chunks.
    pub fn source_chunks(&self) -> usize {
        ManifestChunk::count(self.manifest_len)
    }

    /// Numbers of the links that may carry any of it, if those are named of all of it.
    pub fn bound_to(&self) -> Option<BTreeSet<u32>> {
        let named = self.policies.values().map(|policy| policy.links.as_ref());
        let named: Option<Vec<_>> = named.collect();
        let links = named
            .filter(|named| !named.is_empty())?
            .into_iter()
            .flatten();
        Some(links.map(|link| link.0).collect())
    }

    /// Whether a link may carry a part; the manifest (part 0) may leave by every link that any part may use.
    pub fn allows(&self, part: u8, link: LinkId, profile: &LinkProfile) -> bool {
        let allows = |policy: &LinkPolicy| {
            policy
                .links
                .as_ref()
                .is_none_or(|links| links.contains(&link))
                && policy.max_cost.is_none_or(|most| profile.cost <= most)
        };
        match part {
            0 => self.policies.values().any(allows),
            part => self.policies.get(&part).is_none_or(allows),
        }
    }

    /// The longest lifetime of its parts; `None` is for ever. The note that it was given up has one of its own, and what
    /// another endpoint has confirmed is kept for an absent one no longer than [`FOLLOW_LIFETIME`].
    pub fn lifetime(&self) -> Option<Duration> {
        let followed = |age_s| Duration::from_secs(age_s) + FOLLOW_LIFETIME;
        match (self.withdrawn, self.followed_s.map(followed)) {
            (true, _) => Some(NOTE_LIFETIME),
            (false, None) => self.manifest.lifetime(),
            (false, Some(most)) => Some(self.manifest.lifetime().map_or(most, |l| l.min(most))),
        }
    }

    /// Its age now.
    pub fn age(&self, now: Time) -> Duration {
        now.since(self.taken) + Duration::from_secs(self.age_s)
    }

    /// When its lifetime ends.
    pub fn expires(&self) -> Option<Time> {
        let rest = self
            .lifetime()?
            .saturating_sub(Duration::from_secs(self.age_s));
        Some(self.taken.after(rest))
    }

    /// The key of its row. There is one for each endpoint of each recipient.
    pub fn row_key(&self) -> Vec<u8> {
        match (self.key, &self.manifest.shared) {
            (Some(key), _) => [self.id.0, self.to.0, key].concat(),
            (None, None) => self.id.0.to_vec(),
            (None, Some(_)) => [self.id.0, self.to.0].concat(),
        }
    }

    /// The row of this message.
    pub fn record(&self, now: Time) -> Record {
        let mut value = self.to.0.to_vec();
        let flags = [self.withdrawn, self.apart, self.follows()].map(u8::from);
        value.push(flags[0] | flags[1] << 1 | flags[2] << 2);
        value.extend_from_slice(&self.sealed_in.0);
        value.extend_from_slice(&self.sealed_in.1.to_be_bytes());
        value.extend_from_slice(&self.tag.to_be_bytes());
        value.extend_from_slice(&self.age(now).as_secs().to_be_bytes());
        value.extend(self.followed_s.iter().flat_map(|age| age.to_be_bytes()));
        put_list(&mut value, &self.keys.store());
        put_list(&mut value, &self.manifest.encode());
        for (part, policy) in &self.policies {
            value.push(*part);
            put_varint(&mut value, policy.max_cost.map_or(0, |c| u64::from(c) + 1));
            put_varint(
                &mut value,
                policy.links.as_ref().map_or(0, |l| l.len() as u64 + 1),
            );
            for link in policy.links.iter().flatten() {
                value.extend_from_slice(&link.0.to_be_bytes());
            }
        }
        Record::Put {
            table: Table::Outbox,
            key: self.row_key(),
            value,
        }
    }

    /// Reads what [`Outgoing::record`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn restore(key: &[u8], value: &[u8], now: Time) -> Result<Self, Malformed> {
        let id = MessageId(Reader::new(key).array()?);
        let mut r = Reader::new(value);
        let endpoint = key.get(64..).filter(|rest| !rest.is_empty());
        let endpoint = endpoint.map(|rest| Reader::new(rest).array()).transpose()?;
        let to = End {
            person: PersonId(r.array()?),
            key: endpoint,
        };
        let flags = r.u8()?;
        let sealed_in = (r.array()?, r.u32()?);
        let (tag, age_s) = (r.u64()?, r.u64()?);
        let followed_s = (flags & 4 != 0).then(|| r.u64()).transpose()?;
        let keys = MessageKeys::restore(list(&mut r)?)?;
        let manifest = Manifest::decode(list(&mut r)?)?;
        let mut policies = BTreeMap::new();
        while !r.is_empty() {
            let part = r.u8()?;
            let max_cost = r
                .varint()?
                .checked_sub(1)
                .and_then(|c| u32::try_from(c).ok());
            let links = match r.varint()?.checked_sub(1) {
                Some(n) => Some(
                    (0..n)
                        .map(|_| r.u32().map(LinkId))
                        .collect::<Result<Vec<_>, _>>()?,
                ),
                None => None,
            };
            policies.insert(part, LinkPolicy { links, max_cost });
        }
        let mut message = Self::assemble(id, to, manifest, keys, sealed_in, tag, now, policies);
        if message.row_key() != key {
            return Err(Malformed::Value("outbox key"));
        }
        if flags & 2 != 0 {
            message.set_apart();
        }
        if flags & 1 != 0 {
            message.withdraw(now);
        }
        message.followed_s = followed_s;
        (message.age_s, message.durable, message.restored) = (age_s, true, true);
        Ok(message)
    }
}

impl OutPart {
    /// Nothing of it has left.
    pub fn new(geometry: Geometry, priority: Priority) -> Self {
        Self {
            priority,
            pool: Pool::new(geometry, priority == Priority::Urgent),
            complete: false,
            detached: BTreeMap::new(),
            newest_there: BTreeMap::new(),
        }
    }
}

fn put_list(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn list<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(r.varint()?).map_err(|_| Malformed::Truncated)?;
    r.take(len)
}

/// The coding of a manifest of `len` bytes.
pub fn manifest_coding(len: usize) -> Coding {
    Coding {
        scheme: coding::Scheme::SmallBlock,
        slice_len: ManifestChunk::SIZE as u16,
        slices: 1,
        block_symbols: ManifestChunk::count(len) as u16,
        repair: ManifestChunk::parity(len) as u16,
    }
}

fn cut_manifest(bytes: &[u8]) -> Vec<Bytes> {
    let wrap = |piece: &[u8]| {
        Bytes::from(
            ManifestChunk {
                manifest_len: bytes.len() as u16,
                bytes: piece,
            }
            .encode(),
        )
    };
    let mut chunks: Vec<Bytes> = bytes.chunks(ManifestChunk::SIZE).map(wrap).collect();
    if chunks.len() > 1 {
        let coding = manifest_coding(bytes.len());
        let job = coding::Job::Encode {
            coding,
            k: coding.block_symbols,
            source: Bytes::copy_from_slice(bytes),
            repair: coding.repair,
        };
        if let coding::Done::Encoded(parity) = job.run() {
            chunks.extend(parity.chunks(ManifestChunk::SIZE).map(wrap));
        }
    }
    chunks
}
