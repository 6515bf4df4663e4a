//! How a command ends when it could not do what was asked.

use ostrakon::node::api::ErrorKind;
use ostrakon::node::{HomeError, NodeError};
use ostrakon::store::is_of_disk;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Why, for people and for programs.
#[derive(Debug)]
pub struct Failure {
    /// Its class, which has an exit code.
    pub kind: Kind,
    /// One or two lines; the last one says what to do next.
    pub text: String,
    /// The URI of the message that it is about, if there is one.
    pub message: Option<String>,
}

/// Classes of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the node knows too.
    Api(ErrorKind),
    /// Anything else.
    Other,
    /// Ctrl-C.
    Interrupted,
    /// The demo did not show what it claims; its figures stand on standard output.
    Unproven,
    /// Statements of relays show that more was spent than granted; they stand on standard output.
    Overspent,
    /// Whoever read our output went away: not worth a word.
    BrokenPipe,
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self {
            kind: Kind::Api(error.kind()),
            text: error.to_string(),
            message: None,
        }
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        NodeError::from(error).into()
    }
}

/// The result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// `what` happened, and what to do `next`.
    pub fn new(kind: Kind, what: impl std::fmt::Display, next: impl std::fmt::Display) -> Self {
        Self {
            kind,
            text: format!("{what}\n{next}"),
            message: None,
        }
    }

    /// The same, about this message, which is there nevertheless.
    pub fn about(self, message: &str) -> Self {
        Self {
            message: Some(message.to_owned()),
            ..self
        }
    }

    /// As [`Failure::new`], of a class that the node has too.
    pub fn api(
        kind: ErrorKind,
        what: impl std::fmt::Display,
        next: impl std::fmt::Display,
    ) -> Self {
        Self::new(Kind::Api(kind), what, next)
    }

    /// A file or folder that was named does not take what we write: for the disk's sake, or because nobody can write there.
    pub fn writing(path: &Path, error: &io::Error, next: impl std::fmt::Display) -> Self {
        let kind = match is_of_disk(error) {
            true => ErrorKind::Store,
            false => ErrorKind::Usage,
        };
        Self::api(
            kind,
            format!("cannot write {}: {error}", path.display()),
            next,
        )
    }

    /// Standard output does not take what we write.
    pub fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                kind: Kind::BrokenPipe,
                text: String::new(),
                message: None,
            };
        }
        let kind = match is_of_disk(error) {
            true => Kind::Api(ErrorKind::Store),
            false => Kind::Other,
        };
        let what = format!("cannot write to standard output: {error}");
        Self::new(
            kind,
            what,
            "check where the output goes, and make room there",
        )
    }

    /// The exit code, as the help page lists it.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::BrokenPipe => 0,
            Kind::Other | Kind::Unproven => 1,
            Kind::Api(ErrorKind::Usage) => 2,
            Kind::Api(ErrorKind::NotFound) => 3,
            Kind::Api(ErrorKind::Home) => 4,
            Kind::Api(ErrorKind::Store) => 5,
            Kind::Api(ErrorKind::Limit) | Kind::Overspent => 6,
            Kind::Api(ErrorKind::BadInput) => 7,
            Kind::Api(ErrorKind::Node) => 8,
            Kind::Api(ErrorKind::Locked) => 9,
            Kind::Interrupted => 130,
        })
    }

    /// The object that stands on standard output with `--json`, unless an answer stands there already.
    pub fn to_json(&self) -> Option<serde_json::Value> {
        let kind = match self.kind {
            Kind::Api(kind) => serde_json::json!(kind),
            Kind::Interrupted => "interrupted".into(),
            Kind::Other => "other".into(),
            Kind::Unproven | Kind::Overspent | Kind::BrokenPipe => return None,
        };
        let mut object = serde_json::json!({"error": {"kind": kind, "text": self.text}});
        if let Some(message) = &self.message {
            object["message"] = message.as_str().into();
        }
        Some(object)
    }
}
