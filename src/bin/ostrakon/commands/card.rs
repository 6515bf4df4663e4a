//! `card`: one's own contact card, as text, file or QR code.

use crate::ask::{absolute, ask, unexpected};
use crate::failure::{Failure, Outcome};
use crate::out::Out;
use ostrakon::node::api::{ErrorKind, Request, Response};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
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
        Form::Text => format!("{text}\n"),
        Form::Qr => qr_code(text)?,
        Form::Mailbox => format!("{mailbox}\n"),
    };
    let Some(file) = file else {
        return out.show(&answer, || shown);
    };
    let file = absolute(file)?;
    std::fs::write(&file, shown).map_err(|error| {
        let what = format!("cannot write {}: {error}", file.display());
        Failure::api(ErrorKind::Store, what, "choose another file or make room")
    })?;
    out.show(&answer, || {
        if form == Form::Mailbox {
            return format!("The mailbox address is in {}.", file.display());
        }
        format!(
            "The card of {name} is in {}.\nGive it to others; they take it in with: ostrakon person add FILE",
            file.display()
        )
    })
}

/// The card as a QR code in half blocks, light on a dark terminal. Upper case, for which QR codes have an alphanumeric
/// mode that is a third smaller; cards are read in either case.
fn qr_code(text: &str) -> Outcome<String> {
    let code =
        QrCode::with_error_correction_level(text.to_uppercase(), EcLevel::L).map_err(|error| {
            let what = format!("this card does not fit into a QR code ({error})");
            Failure::api(
                ErrorKind::Limit,
                what,
                "give it as a file: ostrakon card --out FILE",
            )
        })?;
    let image = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    Ok(image + "\n")
}
