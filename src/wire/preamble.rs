//! The preamble: announces a session to the recipient, in one frame of 138 bytes, or of 146 if the session came about by an
//! invitation.
//!
//! ```text
//! 0        0xE0: kind 7, escape
//! 1        0x01: preamble, version 1; 0x03: one that names an invitation
//! 2..34    the sender's ephemeral X25519 key
//! 34..46   confirmation, also the nonce of what follows
//! 46..122  sealed: static X25519 key of the sending endpoint 32, root key of the sending person 32,
//!          id of the recipient's prekey 4, generation 4, epoch 4, with 0x03 id of the invitation 8
//! 16 bytes tag
//! ```
//!
//! The sealed part is open to the holder of the recipient's inbox key alone. The confirmation is a keyed hash of
//! it under a key of the session itself, so only the sender it names can have made it; and as it depends on every
//! sealed byte, it serves as a nonce that never meets other contents.

use super::read::{Malformed, Reader};

/// The two first bytes.
pub const MARK: [u8; 2] = [0xE0, 0x01];
/// The two first bytes of one that names an invitation.
pub const INVITED: [u8; 2] = [0xE0, 0x03];
/// Bytes of a preamble that names no invitation.
pub const LEN: usize = 2 + 32 + CONFIRM + BODY + 16;
/// Bytes of its sealed part before sealing.
pub const BODY: usize = 32 + 32 + 4 + 4 + 4;
/// Bytes by which the sealed part is longer if it names an invitation.
pub const INVITATION: usize = 8;
/// Bytes of the confirmation.
pub const CONFIRM: usize = 12;

/// Whether the second byte of an escape says that it is a preamble.
pub fn is_extension(extension: u8) -> bool {
    [MARK[1], INVITED[1]].contains(&extension) || is_older(extension)
}

/// Without the version, a frame says what it was never meant to say.
fn is_older(extension: u8) -> bool {
    cfg!(feature = "break-15") && extension == 0
}

/// The outer layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// The sender's ephemeral key.
    pub ephemeral: [u8; 32],
    /// Proof that the sender derived the session; the nonce.
    pub confirm: [u8; CONFIRM],
    /// Ciphertext and tag.
    pub sealed: &'a [u8],
}

impl<'a> View<'a> {
    /// Reads the outer layer.
    ///
    /// # Errors
    /// [`Malformed`] if it is no preamble of this version.
    pub fn parse(frame: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(frame);
        let len = match r.array()? {
            MARK => BODY,
            INVITED => BODY + INVITATION,
            [first, extension] if first == MARK[0] && is_older(extension) => BODY,
            _ => return Err(Malformed::Value("kind")),
        };
        let view = Self {
            ephemeral: r.array()?,
            confirm: r.array()?,
            sealed: r.take(len + 16)?,
        };
        r.finish()?;
        Ok(view)
    }
}

/// The inner layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    /// Static key of the sending endpoint.
    pub sender_static: [u8; 32],
    /// Root key of the sending person.
    pub sender_root: [u8; 32],
    /// Which of the recipient's prekeys was used.
    pub prekey: u32,
    /// Which key exchange of this session; 0 is the first.
    pub generation: u32,
    /// The sender's epoch, in full.
    pub epoch: u32,
    /// The invitation of the recipient whose secret went into the session.
    pub invitation: Option<[u8; INVITATION]>,
}

impl Body {
    /// The first bytes of a frame with this body.
    pub fn mark(&self) -> [u8; 2] {
        match self.invitation {
            None => MARK,
            Some(_) => INVITED,
        }
    }

    /// The bytes to seal.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BODY + INVITATION);
        out.extend_from_slice(&self.sender_static);
        out.extend_from_slice(&self.sender_root);
        out.extend_from_slice(&self.prekey.to_be_bytes());
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend(self.invitation.iter().flatten());
        out
    }

    /// From opened bytes.
    ///
    /// # Errors
    /// [`Malformed`] if the length is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let mut body = Self {
            sender_static: r.array()?,
            sender_root: r.array()?,
            prekey: r.u32()?,
            generation: r.u32()?,
            epoch: r.u32()?,
            invitation: None,
        };
        if !r.is_empty() {
            body.invitation = Some(r.array()?);
        }
        r.finish()?;
        Ok(body)
    }
}
