//! A preamble as its recipient examines it: first whom it names, at the price of one key agreement, and then, if that
//! person may open a session, what it is worth, at the price of three more.

use super::card::Card;
use super::identity::Identity;
use super::invitation;
use super::kdf::{Key, expand};
use super::session::{
    Binding, EPOCH_MAX, RecvSession, SessionError, SessionId, agree, confirmation, outer_key,
};
use crate::engine::id::PersonId;
use crate::wire::preamble::{Body, CONFIRM, View};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use subtle::ConstantTimeEq;
use x25519_dalek::PublicKey;
use zeroize::Zeroizing;

/// A preamble that was sealed to us. What it says of its sender is not shown yet.
#[derive(Debug)]
pub struct Announcement {
    body: Body,
    ephemeral: [u8; 32],
    confirm: [u8; CONFIRM],
    inbox: Zeroizing<[u8; 32]>,
}

impl Announcement {
    /// Opens the sealed part.
    ///
    /// # Errors
    /// [`SessionError::Malformed`], [`SessionError::LowOrder`], [`SessionError::NotAuthentic`].
    pub fn open(me: &Identity, frame: &[u8]) -> Result<Self, SessionError> {
        let view = View::parse(frame)?;
        let recipient = PublicKey::from(&me.inbox).to_bytes();
        let inbox = agree(&me.inbox, &view.ephemeral)?;
        let body = open_sealed(&view, &outer_key(&inbox, &view.ephemeral, &recipient))?;
        Ok(Self {
            body,
            ephemeral: view.ephemeral,
            confirm: view.confirm,
            inbox,
        })
    }

    /// Whom it names as its sender.
    pub fn sender(&self) -> PersonId {
        PersonId(self.body.sender_root)
    }

    /// The static key of the endpoint that it names.
    pub fn endpoint(&self) -> [u8; 32] {
        self.body.sender_static
    }

    /// Which invitation it names.
    pub fn invitation(&self) -> Option<invitation::Id> {
        self.body.invitation
    }

    /// The session that it announces.
    pub fn session(&self, me: &Identity) -> SessionId {
        self.binding(me).id()
    }

    /// The generation that it names.
    pub fn generation(&self) -> u32 {
        self.body.generation
    }

    /// The epoch that it names.
    pub fn epoch(&self) -> u32 {
        self.body.epoch
    }

    /// Whether a card of its sender names the endpoint.
    pub fn is_of(&self, card: &Card) -> bool {
        // Without the list, any device speaks for the person.
        cfg!(feature = "break-26") || card.names(&self.body.sender_static)
    }

    /// Whether it was made by who knows this confirmation key.
    pub fn is_confirmed_by(&self, key: &Key) -> bool {
        let confirm = confirmation(key, &self.body);
        confirm.ct_eq(&self.confirm).into()
    }

    /// Derives the session, with the secret of the invitation that it names.
    ///
    /// # Errors
    /// [`SessionError`] says why not. [`SessionError::Invitation`] if it names one and there is no secret, or the reverse.
    pub fn accept(self, me: &Identity, secret: Option<&Key>) -> Result<RecvSession, SessionError> {
        Ok(self.accept_with_key(me, secret)?.0)
    }

    /// As [`Announcement::accept`]; the key that later announcements of the session are confirmed by comes with it.
    ///
    /// # Errors
    /// As [`Announcement::accept`].
    pub fn accept_with_key(
        self,
        me: &Identity,
        secret: Option<&Key>,
    ) -> Result<(RecvSession, Key), SessionError> {
        let body = &self.body;
        if body.invitation.is_some() != secret.is_some() {
            return Err(SessionError::Invitation);
        }
        // What a later generation is made of stands in no preamble.
        if body.generation > 0 {
            return Err(SessionError::Generation(self.sender(), self.session(me)));
        }
        let prekey = me.prekeys.secret(body.prekey);
        let prekey = prekey.ok_or(SessionError::Prekey(self.sender()))?;
        let binding = self.binding(me);
        let long_term = agree(&prekey, &body.sender_static)?;
        let fresh = agree(&prekey, &self.ephemeral)?;
        let fixed = agree(&me.inbox, &body.sender_static)?;
        let root = binding.root_key(&[&long_term, &self.inbox, &fresh, &fixed], secret);
        let key = expand(&root, "confirm", 0);
        if !bool::from(confirmation(&key, body).ct_eq(&self.confirm)) {
            return Err(SessionError::NotAuthentic);
        }
        // Without the bound, an announcement costs as many derivations as it likes, and forgets all epochs before.
        if body.epoch > EPOCH_MAX && cfg!(not(feature = "break-14")) {
            return Err(SessionError::EpochTooFar);
        }
        Ok((RecvSession::open_with(&binding, &root, body), key))
    }
}

impl Announcement {
    fn binding(&self, me: &Identity) -> Binding {
        Binding {
            sender_root: self.body.sender_root,
            recipient_root: me.person().0,
            sender_static: self.body.sender_static,
            inbox: PublicKey::from(&me.inbox).to_bytes(),
            prekey: self.body.prekey,
            ephemeral: self.ephemeral,
            invitation: self.body.invitation,
        }
    }
}

fn open_sealed(view: &View<'_>, key: &Key) -> Result<Body, SessionError> {
    let sealed = view.sealed.split_last_chunk::<16>();
    let (cipher, tag) = sealed.ok_or(SessionError::NotAuthentic)?;
    let mut plain = Zeroizing::new(cipher.to_vec());
    let opened = ChaCha20Poly1305::new(key.bytes().into()).decrypt_inout_detached(
        &view.confirm.into(),
        &view.ephemeral,
        plain.as_mut_slice().into(),
        &(*tag).into(),
    );
    opened.map_err(|_| SessionError::NotAuthentic)?;
    Ok(Body::decode(&plain)?)
}
