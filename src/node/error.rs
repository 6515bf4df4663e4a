//! What a node can refuse, and into which class it falls.

use super::api::{ErrorKind, Response};
use super::home::HomeError;
use crate::engine::Damaged;
use crate::engine::io::{SendError, StoreError};
use crate::security::card::CardError;
use crate::security::enrolment::EnrolmentError;
use crate::security::grant::GrantError;
use crate::security::introduction::IntroductionError;
use crate::security::invitation::InvitationError;
use crate::security::lockbox::LockError;
use crate::security::spending::StatementError;
use crate::security::strangers::StrangerError;
use crate::security::voice::VoiceError;
use crate::store::{OpenError, is_of_disk};
use ostrakon_transports::quic::EndpointError;
use ostrakon_transports::spool::SpoolError;
use std::io;
use std::path::PathBuf;

/// Why something could not be done. The text ends with what to do next.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The order makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The store of the home.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine's stored state.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The engine did not take a message.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A contact card was not taken.
    #[error(transparent)]
    Card(#[from] CardError),
    /// A device was not enrolled.
    #[error(transparent)]
    Enrolment(#[from] EnrolmentError),
    /// A new device was not reached.
    #[error(
        "the new device was not reached ({0}); see that it waits there, or give it a file: ostrakon device add CODE --out FILE; your card names it by now, until: ostrakon device remove"
    )]
    Handover(String),
    /// A file with a root key is not there, not to be read, or damaged.
    #[error(transparent)]
    Root(HomeError),
    /// Somebody takes no message that large.
    #[error(
        "{name} takes messages of at most {max} bytes; send less at once, or ask for more: it is `ostrakon largest` there"
    )]
    Bound {
        /// Who.
        name: String,
        /// How large they may be.
        max: u64,
    },
    /// An introduction was not made or not taken.
    #[error(transparent)]
    Introduction(#[from] IntroductionError),
    /// An invitation was not taken.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// An invitation was not made.
    #[error("64 invitations are open already; take some back with `ostrakon invite revoke`")]
    TooManyInvitations,
    /// A stranger was not kept.
    #[error(transparent)]
    Stranger(#[from] StrangerError),
    /// Another safety number than ours.
    #[error(
        "that is not the safety number with {0}; read it once more, and if it still differs somebody sits between you: exchange cards anew by another way"
    )]
    SafetyNumber(String),
    /// A step of a comparison by voice was not taken.
    #[error(transparent)]
    Voice(#[from] VoiceError),
    /// Another number than ours was read aloud.
    #[error(
        "that is not the number that {0} has to see; if it was read right, somebody sits between you: exchange cards anew by another way"
    )]
    VoiceNumber(String),
    /// There is nothing to compare yet.
    #[error(
        "there is no number to compare with {0} yet; run `ostrakon person verify NAME --voice` on both sides first"
    )]
    NoNumber(String),
    /// A grant was not taken, or not made.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A statement of what grants have cost was not taken.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The UDP socket.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A spool folder.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A file of the user's.
    #[error("cannot {what} {}: {source}; check the path, the rights and the free space", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The operating system has no more of something.
    #[error(
        "the system refuses {what}: {source}; close other programs or raise the limit, then try again"
    )]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The node went away.
    #[error("the node stopped before it answered; ask again")]
    Stopped,
    /// The node went away while it was to queue a message.
    #[error(
        "the node stopped before it said whether the message is queued ({0}): look for it in `ostrakon status`, and send it again only if it is not there"
    )]
    Unsure(String),
    /// The node does not answer as it should.
    #[error("the node in {} does not answer ({reason}); restart it", home.display())]
    Silent {
        /// Its home.
        home: PathBuf,
        /// How it failed.
        reason: String,
    },
}

/// The class of what keeps a lockbox shut. `damaged`: that of one that makes no sense.
fn lock_kind(why: &LockError, damaged: ErrorKind) -> ErrorKind {
    match why {
        LockError::Passphrase => ErrorKind::Locked,
        LockError::Length => ErrorKind::Usage,
        LockError::Memory(_) => ErrorKind::Limit,
        LockError::Malformed(_) | LockError::Cost(_) => damaged,
    }
}

/// The class of what is wrong with a file that holds a root key.
fn root_kind(why: &HomeError) -> ErrorKind {
    match why {
        HomeError::Locked(_) => ErrorKind::Locked,
        HomeError::Lock { source, .. } => lock_kind(source, ErrorKind::BadInput),
        HomeError::Damaged { .. } => ErrorKind::BadInput,
        HomeError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            ErrorKind::NotFound
        }
        HomeError::Io { source, .. } if is_of_disk(source) => ErrorKind::Store,
        _ => ErrorKind::Usage,
    }
}

impl NodeError {
    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Usage(_) => ErrorKind::Usage,
            Self::NotFound(_) | Self::Send(SendError::UnknownPerson) => ErrorKind::NotFound,
            Self::Home(HomeError::Name) => ErrorKind::Usage,
            Self::Home(HomeError::Locked(_)) => ErrorKind::Locked,
            Self::Home(HomeError::Lock { source, .. }) => lock_kind(source, ErrorKind::Home),
            Self::Home(HomeError::Io { source, .. }) | Self::Open(OpenError::Io { source, .. })
                if is_of_disk(source) =>
            {
                ErrorKind::Store
            }
            Self::Root(why) => root_kind(why),
            Self::Home(_) | Self::Open(_) | Self::Damaged(_) => ErrorKind::Home,
            Self::Spool(SpoolError::Read { source, .. } | SpoolError::Write { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                ErrorKind::NotFound
            }
            Self::Store(_) | Self::Spool(_) => ErrorKind::Store,
            Self::Send(SendError::UnusableCard) => ErrorKind::BadInput,
            Self::Send(SendError::Limit(_)) => ErrorKind::Limit,
            Self::Send(_) => ErrorKind::Usage,
            Self::Introduction(why) => match why {
                IntroductionError::Spent => ErrorKind::NotFound,
                IntroductionError::TooMany => ErrorKind::Limit,
                IntroductionError::Known | IntroductionError::NameTaken => ErrorKind::Usage,
                _ => ErrorKind::BadInput,
            },
            Self::TooManyInvitations | Self::Stranger(StrangerError::TooMany) => ErrorKind::Limit,
            Self::Invitation(_) | Self::Stranger(_) => ErrorKind::BadInput,
            Self::Grant(GrantError::TooMany(_) | GrantError::Long) => ErrorKind::Limit,
            Self::Grant(GrantError::Widened(_)) => ErrorKind::Usage,
            Self::NoNumber(_) => ErrorKind::NotFound,
            Self::Card(_) | Self::SafetyNumber(_) | Self::Voice(_) | Self::VoiceNumber(_) => {
                ErrorKind::BadInput
            }
            Self::Enrolment(EnrolmentError::TooLarge) | Self::Bound { .. } => ErrorKind::Limit,
            Self::Grant(_) | Self::Statement(_) | Self::Enrolment(_) => ErrorKind::BadInput,
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ if is_of_disk(source) => ErrorKind::Store,
                _ => ErrorKind::Usage,
            },
            Self::System { .. } => ErrorKind::Limit,
            Self::Endpoint(EndpointError::Socket { .. }) => ErrorKind::Usage,
            Self::Handover(_)
            | Self::Endpoint(_)
            | Self::Stopped
            | Self::Unsure(_)
            | Self::Silent { .. } => ErrorKind::Node,
        }
    }

    /// As the answer to a request.
    pub fn response(&self) -> Response {
        Response::Error {
            kind: self.kind(),
            text: self.to_string(),
        }
    }

    /// For `map_err`: the system gives no random numbers.
    pub(super) fn random(source: io::Error) -> Self {
        let what = "random numbers";
        Self::System { what, source }
    }

    /// For `map_err`: a failure to do `what` with a file of the user's.
    pub(super) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}

/// Ready once a stop was ordered, or nobody is left to order it.
pub(super) async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Runs work that blocks on a thread made for it.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(NodeError::Stopped),
    }
}
