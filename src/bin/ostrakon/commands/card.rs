//! `card`: one's own contact card, as text, file or QR code.

use super::qr::{Drawing, draw};
use crate::ask::{absolute, ask, unexpected};
use crate::failure::{Failure, Outcome};
use crate::out::Out;
use ostrakon::node::api::{Request, Response};
use std::path::Path;

/// What is shown of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All as text.
    Text,
    /// All as a QR code.
    Qr,
    /// The address of the mailbox alone.
    Mailbox,
}

impl Form {
    /// As the options say.
    pub fn of(qr: bool, mailbox: bool) -> Self {
        match (qr, mailbox) {
            (true, _) => Self::Qr,
            (_, true) => Self::Mailbox,
            _ => Self::Text,
        }
    }
}

/// Shows it, or writes it into `file`.
///
/// # Errors
/// If there is no home, or the file cannot be written.
pub async fn run(out: Out, home: &Path, form: Form, file: Option<&Path>) -> Outcome {
    let answer = ask(home, Request::Card).await?;
    let Response::Card {
        text,
        name,
        mailbox,
        ..
    } = &answer
    else {
        return Err(unexpected());
    };
    let shown = match form {
        Form::Text => format!("{text}\n").into_bytes(),
        Form::Qr => draw(text, Drawing::of(file))?,
        Form::Mailbox => format!("{mailbox}\n").into_bytes(),
    };
    let Some(file) = file else {
        return out.show(&answer, || String::from_utf8_lossy(&shown).into_owned());
    };
    let file = absolute(file)?;
    std::fs::write(&file, shown).map_err(|error| {
        let next = "choose a file in a folder that is there and may be written, or make room";
        Failure::writing(&file, &error, next)
    })?;
    out.show(&answer, || {
        let file = file.display();
        match form {
            Form::Text => format!(
                "The card of {name} is in {file}.\nGive it to others; they take it in with: ostrakon person add FILE"
            ),
            Form::Qr => format!("The card of {name} is in {file}, for a camera."),
            Form::Mailbox => format!("The mailbox address is in {file}."),
        }
    })
}
