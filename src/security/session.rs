//! Sessions: from a sender's endpoint to a recipient person.
//!
//! ```text
//! ikm  = DH(a_s, B_p) ‖ DH(e, B_s) ‖ DH(e, B_p) ‖ DH(a_s, B_s) ‖ [secret of an invitation]
//!                                                     a_s static key of the sending endpoint, e ephemeral,
//!                                                     B_s inbox key, B_p inbox prekey of the recipient
//! RK   = HKDF-Extract(H(suite ‖ root keys ‖ static keys ‖ prekey id ‖ e ‖ [id of the invitation]), ikm)
//! CK_0 = Expand(RK, "chain", generation)
//! EK_n = Expand(CK_n, "epoch", n);  CK_n+1 = Expand(CK_n, "next", n)
//! label  = PRF(EK, "label", message id)[..6]
//! hint   = PRF(EK, "hint", label)[..2]
//! secret = PRF(EK, "frag", label)                     of one message; the key of each kind is PRF(secret, "kind", kind)
//! ```
//!
//! RK binds keys, never whole cards: a new mailbox address must not break what is under way. A thief of the
//! sender's long-term keys alone cannot read what others send to that sender, and a thief of the recipient's inbox
//! key alone, or of its prekey alone, cannot speak to the recipient as somebody else, since the sender's static key meets
//! both; a thief of both can. Epochs are logical. A receiver keeps the keys of [`BEHIND`] older epochs, can look [`AHEAD`]
//! newer ones up, and moves only after a tag has verified.

mod generations;

pub use generations::GenerationError;

use super::announcement::Announcement;
use super::card::Card;
use super::identity::Identity;
use super::invitation::{self, Ticket};
use super::kdf::{Key, expand, extract, hash, prf};
use super::seal::{Context, MessageKeys};
use crate::engine::id::{MessageId, PersonId};
use crate::wire::fragment::Label;
use crate::wire::preamble;
use crate::wire::read::{Malformed, Reader};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use generations::{Answering, Offering};
use rand_core::CryptoRng;
use std::collections::BTreeMap;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// The suite, bound in all keys. Otherwise what was made under another one, or under none, is taken for ours.
pub const SUITE: &[u8] = match cfg!(feature = "break-15") {
    true => b"",
    false => b"ostrakon v2 X25519 HKDF-SHA256 BLAKE3 ChaCha20Poly1305",
};
/// Epochs behind the current one whose keys are kept.
pub const BEHIND: u32 = 13;
/// Epochs ahead of the current one that a fragment may use.
pub const AHEAD: u32 = 18;

/// The highest epoch that a preamble may name: each costs a derivation, and a contact must not make us do many.
pub const EPOCH_MAX: u32 = 1 << 14;

/// Names a session to both of its ends.
pub type SessionId = [u8; 16];

/// Why no session came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// A key agreement gave zero: the key is of low order, so made to give nothing away but a known result.
    #[error("a public key is of low order")]
    LowOrder,
    /// The card has no usable prekey.
    #[error("the contact card has no prekey")]
    NoPrekey,
    /// The preamble does not open.
    #[error("a preamble does not open")]
    NotAuthentic,
    /// The preamble names somebody whose card is not known.
    #[error("a preamble of a stranger")]
    Stranger,
    /// The preamble, which names this person as its sender, uses a prekey that is gone. Nothing shows that it is theirs.
    #[error("a preamble for a prekey that is gone")]
    Prekey(PersonId),
    /// The preamble names an invitation that is used, revoked, over, or never was one.
    #[error("a preamble with an invitation that is not open")]
    Invitation,
    /// The preamble names a generation of this session that has to be looked up, or that is not known. Nothing shows that
    /// it is of this person.
    #[error("a preamble of a generation that is not known")]
    Generation(PersonId, SessionId),
    /// The preamble names an epoch beyond all reason.
    #[error("a preamble of an epoch that is too far ahead")]
    EpochTooFar,
    /// The preamble does not read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

pub(super) fn agree(
    secret: &StaticSecret,
    public: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, SessionError> {
    let shared = secret.diffie_hellman(&PublicKey::from(*public));
    // Without the question, who knows no secret knows the result.
    if shared.was_contributory() || cfg!(feature = "break-10") {
        Ok(Zeroizing::new(shared.to_bytes()))
    } else {
        Err(SessionError::LowOrder)
    }
}

/// The public values that a session binds.
pub(super) struct Binding {
    pub(super) sender_root: [u8; 32],
    pub(super) recipient_root: [u8; 32],
    pub(super) sender_static: [u8; 32],
    pub(super) inbox: [u8; 32],
    pub(super) prekey: u32,
    pub(super) ephemeral: [u8; 32],
    pub(super) invitation: Option<invitation::Id>,
}

impl Binding {
    fn salt(&self) -> [u8; 32] {
        let prekey = self.prekey.to_be_bytes();
        let mut fields: Vec<&[u8]> = vec![
            SUITE,
            &self.sender_root,
            &self.recipient_root,
            &self.sender_static,
            &self.inbox,
            &prekey,
            &self.ephemeral,
        ];
        fields.extend(self.invitation.as_ref().map(|id| &id[..]));
        hash("session", &fields)
    }

    /// RK, from the agreements and the secret of the invitation, if there is one.
    pub(super) fn root_key(&self, agreed: &[&[u8; 32]; 4], secret: Option<&Key>) -> Key {
        let [_, inbox, fresh, fixed] = *agreed;
        // Without the first, the inbox key alone is enough to speak as somebody else.
        let mut ikm = match cfg!(feature = "break-24") {
            true => vec![&[0; 32], inbox, fresh, fixed],
            false => agreed.to_vec(),
        };
        ikm.extend(secret.map(Key::bytes));
        extract(&self.salt(), &ikm)
    }

    pub(super) fn id(&self) -> SessionId {
        let whole = hash("session id", &[&self.salt()]);
        let mut id = [0; 16];
        id.copy_from_slice(&whole[..16]);
        id
    }
}

/// The key of one epoch, and what its fragments are bound to.
#[derive(Clone, Debug)]
pub struct Epoch {
    key: Key,
    context: Context,
    number: u32,
}

impl Epoch {
    /// What takes the place of an epoch where a key seals one message alone: see [`super::shared`].
    pub(super) fn of_content(key: Key, context: Context) -> Self {
        Self {
            key,
            context,
            number: 0,
        }
    }

    /// The label of a message in this epoch.
    pub fn label(&self, message: MessageId) -> Label {
        first(&prf(&self.key, "label", &[&message.0]))
    }

    /// The hint beside a label.
    pub fn hint(&self, label: Label) -> [u8; 2] {
        first(&prf(&self.key, "hint", &[&label]))
    }

    /// The keys of the message with this label.
    pub fn message(&self, label: Label) -> MessageKeys {
        let secret = prf(&self.key, "frag", &[&label]);
        MessageKeys::new(
            secret,
            self.context,
            (self.number & 31) as u8,
            self.hint(label),
            label,
        )
    }
}

fn first<const N: usize>(key: &Key) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&key.bytes()[..N]);
    out
}

/// The chain from which epochs come.
#[derive(Clone, Debug)]
struct Chain {
    key: Key,
    epoch: u32,
    salt: [u8; 32],
    generation: u32,
}

impl Chain {
    fn start(root: &Key, generation: u32, salt: [u8; 32]) -> Self {
        Self {
            key: expand(root, "chain", generation),
            epoch: 0,
            salt,
            generation,
        }
    }

    fn current(&self) -> Epoch {
        Epoch {
            key: expand(&self.key, "epoch", self.epoch),
            context: epoch_context(&self.salt, self.generation, self.epoch),
            number: self.epoch,
        }
    }

    fn advance(&mut self) {
        self.key = expand(&self.key, "next", self.epoch);
        self.epoch = self.epoch.saturating_add(1);
    }

    fn store(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.key.bytes());
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.generation.to_be_bytes());
    }

    fn restore(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            key: Key::new(r.array()?),
            epoch: r.u32()?,
            salt: r.array()?,
            generation: r.u32()?,
        })
    }
}

fn epoch_context(salt: &[u8; 32], generation: u32, epoch: u32) -> Context {
    let (generation, epoch) = (generation.to_be_bytes(), epoch.to_be_bytes());
    hash("context", &[salt, &generation, &epoch])
}

/// The sending side.
#[derive(Clone, Debug)]
pub struct SendSession {
    id: SessionId,
    chain: Chain,
    ephemeral: [u8; 32],
    prekey: u32,
    outer: Key,
    confirm: Key,
    invitation: Option<invitation::Id>,
    offering: Offering,
}

impl SendSession {
    /// Opens a session with the person that a card describes.
    ///
    /// # Errors
    /// [`SessionError::NoPrekey`] and [`SessionError::LowOrder`].
    pub fn open(
        me: &Identity,
        card: &Card,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, SessionError> {
        Self::open_by(me, card, None, rng)
    }

    /// Opens a session by an invitation of that person, if there is one.
    ///
    /// # Errors
    /// As [`SendSession::open`].
    pub fn open_by(
        me: &Identity,
        card: &Card,
        ticket: Option<&Ticket>,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, SessionError> {
        let to = card.body();
        let prekey = to.prekeys.last().ok_or(SessionError::NoPrekey)?;
        let ephemeral = StaticSecret::from(*Key::draw(rng).bytes());
        let binding = Binding {
            sender_root: me.person().0,
            recipient_root: to.root,
            sender_static: PublicKey::from(&me.endpoint_static).to_bytes(),
            inbox: to.inbox,
            prekey: prekey.id,
            ephemeral: PublicKey::from(&ephemeral).to_bytes(),
            invitation: ticket.map(|ticket| ticket.id),
        };
        let inbox = agree(&ephemeral, &to.inbox)?;
        let long_term = agree(&me.endpoint_static, &prekey.key)?;
        let fresh = agree(&ephemeral, &prekey.key)?;
        let fixed = agree(&me.endpoint_static, &to.inbox)?;
        let secret = ticket.map(|ticket| &ticket.secret);
        let root = binding.root_key(&[&long_term, &inbox, &fresh, &fixed], secret);
        Ok(Self {
            id: binding.id(),
            chain: Chain::start(&root, 0, binding.salt()),
            ephemeral: binding.ephemeral,
            prekey: prekey.id,
            outer: outer_key(&inbox, &binding.ephemeral, &to.inbox),
            confirm: expand(&root, "confirm", 0),
            invitation: binding.invitation,
            offering: Offering::new(generations::next_key(&root, 0)),
        })
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The invitation that it was opened by.
    pub fn invitation(&self) -> Option<invitation::Id> {
        self.invitation
    }

    /// The recipient's prekey that it was opened with.
    pub fn prekey(&self) -> u32 {
        self.prekey
    }

    /// The number of the current epoch.
    pub fn epoch_number(&self) -> u32 {
        self.chain.epoch
    }

    /// The current epoch.
    pub fn epoch(&self) -> Epoch {
        self.chain.current()
    }

    /// Goes on to the next epoch; the key of this one is gone then.
    pub fn advance(&mut self) {
        self.chain.advance();
    }

    /// Whether its epochs are used up, so that a new session is due.
    pub fn is_exhausted(&self) -> bool {
        self.chain.epoch >= EPOCH_MAX - AHEAD
    }

    /// The frame that announces this session and its current epoch.
    pub fn preamble(&self, me: &Identity) -> Vec<u8> {
        let body = preamble::Body {
            sender_static: PublicKey::from(&me.endpoint_static).to_bytes(),
            sender_root: me.person().0,
            prekey: self.prekey,
            generation: self.chain.generation,
            epoch: self.chain.epoch,
            invitation: self.invitation,
        };
        let mut sealed = body.encode();
        let confirm = confirmation(&self.confirm, &body);
        let cipher = ChaCha20Poly1305::new(self.outer.bytes().into());
        // ChaCha20-Poly1305 refuses only more than 256 GiB.
        let tag = cipher.encrypt_inout_detached(
            &confirm.into(),
            &self.ephemeral,
            sealed.as_mut_slice().into(),
        );
        let mut out = body.mark().to_vec();
        out.extend_from_slice(&self.ephemeral);
        out.extend_from_slice(&confirm);
        out.extend_from_slice(&sealed);
        out.extend_from_slice(&tag.unwrap_or_default());
        out
    }

    /// The bytes to keep. Secret.
    pub fn store(&self) -> Vec<u8> {
        let mut out = self.id.to_vec();
        self.chain.store(&mut out);
        out.extend_from_slice(&self.ephemeral);
        out.extend_from_slice(&self.prekey.to_be_bytes());
        out.extend_from_slice(self.outer.bytes());
        out.extend_from_slice(self.confirm.bytes());
        self.offering.store(&mut out);
        out.extend(self.invitation.iter().flatten());
        out
    }

    /// Reads what [`SendSession::store`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn restore(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let mut session = Self {
            id: r.array()?,
            chain: Chain::restore(&mut r)?,
            ephemeral: r.array()?,
            prekey: r.u32()?,
            outer: Key::new(r.array()?),
            confirm: Key::new(r.array()?),
            offering: Offering::restore(&mut r)?,
            invitation: None,
        };
        if !r.is_empty() {
            session.invitation = Some(r.array()?);
        }
        r.finish()?;
        Ok(session)
    }
}

/// What shows that the author of a preamble knows RK, under a key that follows from it.
pub(super) fn confirmation(key: &Key, body: &preamble::Body) -> [u8; preamble::CONFIRM] {
    first(&prf(key, "preamble", &[&body.encode()]))
}

pub(super) fn outer_key(inbox: &[u8; 32], ephemeral: &[u8; 32], recipient: &[u8; 32]) -> Key {
    expand(
        &extract(&hash("preamble", &[ephemeral, recipient]), &[inbox]),
        "preamble",
        0,
    )
}

/// The receiving side.
#[derive(Clone, Debug)]
pub struct RecvSession {
    id: SessionId,
    peer: PersonId,
    endpoint: [u8; 32],
    /// One epoch ahead of the newest verified one.
    chain: Chain,
    /// Keys of the newest verified epoch and of those behind it, in its generation.
    kept: BTreeMap<u32, Key>,
    answering: Answering,
}

impl RecvSession {
    /// Opens a preamble.
    ///
    /// `card_of` gives the card of a person if it is known. Costs one key agreement for a forgery, three more
    /// for what opens and names somebody known.
    ///
    /// # Errors
    /// [`SessionError`] says why not: [`SessionError::Generation`] if it is one for [`RecvSession::resume`].
    pub fn accept<'c>(
        me: &Identity,
        frame: &[u8],
        card_of: impl FnOnce(PersonId) -> Option<&'c Card>,
    ) -> Result<Self, SessionError> {
        let announced = Announcement::open(me, frame)?;
        let card = card_of(announced.sender()).ok_or(SessionError::Stranger)?;
        if !announced.is_of(card) {
            return Err(SessionError::Stranger);
        }
        announced.accept(me, None)
    }

    /// Begins with what was agreed upon.
    pub(super) fn open_with(binding: &Binding, root: &Key, body: &preamble::Body) -> Self {
        let mut session = Self {
            id: binding.id(),
            peer: PersonId(body.sender_root),
            endpoint: body.sender_static,
            chain: Chain::start(root, body.generation, binding.salt()),
            kept: BTreeMap::new(),
            answering: Answering::new(generations::next_key(root, 0)),
        };
        session.jump(body.epoch);
        session
    }

    /// Goes to an epoch that a confirmed preamble named; never back.
    pub fn jump(&mut self, epoch: u32) {
        while self.chain.epoch <= epoch && self.chain.epoch < u32::MAX {
            let current = self.chain.current();
            self.kept.insert(current.number, current.key);
            self.chain.advance();
            let oldest = self.chain.epoch.saturating_sub(BEHIND + 1);
            // Otherwise old keys stay for ever.
            if cfg!(not(feature = "break-05")) {
                self.kept = self.kept.split_off(&oldest);
                self.answering.forget(oldest);
            }
        }
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Who sends in it.
    pub fn peer(&self) -> PersonId {
        self.peer
    }

    /// The static key of the sending endpoint.
    pub fn endpoint(&self) -> [u8; 32] {
        self.endpoint
    }

    /// The newest verified epoch.
    pub fn epoch_number(&self) -> u32 {
        self.chain.epoch.saturating_sub(1)
    }

    /// The one epoch of the window whose number ends in these five bits, if its key is not gone.
    pub fn epoch(&self, bits: u8) -> Option<Epoch> {
        let newest = self.epoch_number();
        let ahead = u32::from(bits).wrapping_sub(newest) & 31;
        if ahead == 0 || ahead > AHEAD {
            let behind = (32 - ahead) & 31;
            let number = newest.checked_sub(behind)?;
            let key = self.kept.get(&number)?.clone();
            return Some(self.epoch_with(number, key));
        }
        let mut chain = self.chain.clone();
        (1..ahead).for_each(|_| chain.advance());
        Some(chain.current())
    }

    fn epoch_with(&self, number: u32, key: Key) -> Epoch {
        Epoch {
            key,
            context: epoch_context(&self.chain.salt, self.chain.generation, number),
            number,
        }
    }

    /// A tag verified in this epoch: the window moves there if it is newer. Tells whether it moved.
    pub fn verified(&mut self, epoch: &Epoch) -> bool {
        let moved = epoch.number >= self.chain.epoch;
        self.jump(epoch.number);
        moved
    }

    /// The bytes to keep. Secret.
    pub fn store(&self) -> Vec<u8> {
        let mut out = self.id.to_vec();
        out.extend_from_slice(&self.peer.0);
        out.extend_from_slice(&self.endpoint);
        self.chain.store(&mut out);
        for (number, key) in &self.kept {
            out.extend_from_slice(&number.to_be_bytes());
            out.extend_from_slice(key.bytes());
        }
        self.answering.store(&mut out);
        out
    }

    /// Reads what [`RecvSession::store`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn restore(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let mut session = Self {
            id: r.array()?,
            peer: PersonId(r.array()?),
            endpoint: r.array()?,
            chain: Chain::restore(&mut r)?,
            kept: BTreeMap::new(),
            answering: Answering::default(),
        };
        while !r.is_empty() {
            match r.u32()? {
                generations::MARK => session.answering = Answering::restore(&mut r)?,
                number => {
                    session.kept.insert(number, Key::new(r.array()?));
                }
            }
        }
        Ok(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    struct Pair {
        rng: ChaCha20Rng,
        a: Identity,
        b: Identity,
    }

    fn pair() -> Pair {
        let mut rng = ChaCha20Rng::seed_from_u64(11);
        let (a, b) = (Identity::generate(&mut rng), Identity::generate(&mut rng));
        Pair { rng, a, b }
    }

    fn open(pair: &mut Pair) -> (SendSession, RecvSession) {
        let send = SendSession::open(&pair.a, &pair.b.card("B", 1, vec![]), &mut pair.rng).unwrap();
        let card = pair.a.card("A", 1, vec![]);
        let recv = RecvSession::accept(&pair.b, &send.preamble(&pair.a), |_| Some(&card)).unwrap();
        (send, recv)
    }

    #[test]
    fn both_ends_derive_the_same_labels_hints_and_keys_also_from_store() {
        let mut pair = pair();
        let (send, recv) = open(&mut pair);
        let (send, recv) = (
            SendSession::restore(&send.store()).unwrap(),
            RecvSession::restore(&recv.store()).unwrap(),
        );
        assert_eq!(send.id(), recv.id());
        assert_eq!(recv.peer(), pair.a.person());
        let label = send.epoch().label(MessageId([4; 32]));
        assert_eq!(recv.epoch(0).unwrap().label(MessageId([4; 32])), label);
        assert_eq!(
            recv.epoch(0).unwrap().message(label).store(),
            send.epoch().message(label).store()
        );
    }

    #[test]
    fn the_window_reaches_eighteen_ahead_thirteen_behind_and_moves_only_when_told() {
        let mut pair = pair();
        let (mut send, mut recv) = open(&mut pair);
        let label = [1; 6];
        let old = send.epoch().message(label).store();
        for _ in 0..AHEAD {
            send.advance();
        }
        let newest = recv.epoch(AHEAD as u8).unwrap();
        assert_eq!(
            newest.message(label).store(),
            send.epoch().message(label).store()
        );
        assert_eq!(recv.epoch_number(), 0, "looking is not moving");
        assert_eq!(recv.epoch(0).unwrap().message(label).store(), old);
        assert!(recv.verified(&newest));
        assert_eq!(recv.epoch_number(), AHEAD);
        let looked_up = recv.epoch(0).unwrap().message(label).store();
        assert_ne!(
            looked_up, old,
            "the bits of an epoch that is gone name one that is to come"
        );
        let behind = AHEAD - BEHIND;
        assert!(recv.epoch((behind & 31) as u8).is_some());
        assert!(!recv.verified(&recv.epoch((behind & 31) as u8).unwrap()));
        assert_eq!(recv.epoch_number(), AHEAD);
    }

    #[test]
    fn a_changed_preamble_is_refused_at_every_bit_and_a_stranger_by_name() {
        let mut pair = pair();
        let card = pair.a.card("A", 1, vec![]);
        let send = SendSession::open(&pair.a, &pair.b.card("B", 1, vec![]), &mut pair.rng).unwrap();
        let frame = send.preamble(&pair.a);
        assert_eq!(frame.len(), preamble::LEN);
        for bit in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                RecvSession::accept(&pair.b, &bad, |_| Some(&card)).is_err(),
                "bit {bit}"
            );
        }
        assert_eq!(
            RecvSession::accept(&pair.b, &frame, |_| None).unwrap_err(),
            SessionError::Stranger
        );
        let other = Identity::generate(&mut pair.rng);
        assert!(RecvSession::accept(&other, &frame, |_| Some(&card)).is_err());
    }

    #[test]
    fn a_forger_who_knows_all_cards_cannot_announce_a_session_in_anothers_name() {
        let mut pair = pair();
        let forger = Identity::generate(&mut pair.rng);
        let (card_a, card_b) = (pair.a.card("A", 1, vec![]), pair.b.card("B", 1, vec![]));
        let send = SendSession::open(&forger, &card_b, &mut pair.rng).unwrap();
        // The forger claims A's static and root key inside a correctly sealed preamble.
        let frame = send.preamble_claiming(&card_a);
        let refused = RecvSession::accept(&pair.b, &frame, |_| Some(&card_a)).unwrap_err();
        assert_eq!(refused, SessionError::NotAuthentic);
    }

    #[test]
    fn keys_of_low_order_are_refused() {
        let mut pair = pair();
        let send = SendSession::open(&pair.a, &pair.b.card("B", 1, vec![]), &mut pair.rng).unwrap();
        let mut frame = send.preamble(&pair.a);
        frame[2..34].fill(0);
        let refused = RecvSession::accept(&pair.b, &frame, |_| None).unwrap_err();
        assert_eq!(refused, SessionError::LowOrder);
    }

    impl SendSession {
        fn preamble_claiming(&self, card: &Card) -> Vec<u8> {
            let body = preamble::Body {
                sender_static: card.body().endpoints[0].key,
                sender_root: card.body().root,
                prekey: self.prekey,
                generation: 0,
                epoch: 0,
                invitation: None,
            };
            let mut sealed = body.encode();
            let confirm: [u8; preamble::CONFIRM] =
                first(&prf(&self.confirm, "preamble", &[&sealed]));
            let cipher = ChaCha20Poly1305::new(self.outer.bytes().into());
            let tag = cipher
                .encrypt_inout_detached(
                    &confirm.into(),
                    &self.ephemeral,
                    sealed.as_mut_slice().into(),
                )
                .unwrap();
            [
                &preamble::MARK[..],
                &self.ephemeral,
                &confirm,
                &sealed,
                &tag,
            ]
            .concat()
        }
    }
}
