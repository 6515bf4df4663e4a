//! `largest`: how large messages may be that others send.

use crate::ask::{ask, unexpected};
use crate::failure::Outcome;
use crate::out::Out;
use crate::plain::bytes;
use crate::values::Bound;
use ostrakon::node::api::{Request, Response};
use std::path::Path;

/// Sets the bound, lifts it, or says what it is.
///
/// # Errors
/// No home, or a bound under which nothing passes.
pub async fn run(out: Out, home: &Path, size: Option<Bound>) -> Outcome {
    let request = Request::Largest {
        bytes: match size {
            Some(Bound::Bytes(bytes)) => Some(bytes),
            _ => None,
        },
        any: size == Some(Bound::Any),
    };
    let answer = ask(home, request).await?;
    let Response::Largest { bytes: largest } = &answer else {
        return Err(unexpected());
    };
    out.show(&answer, || match largest {
        Some(largest) => format!(
            "Messages of up to {} are taken. Contacts see it in your card, and are told that larger ones are not wanted.\n",
            bytes(*largest)
        ),
        None => "Messages of any size are taken, as far as there is room.\n".into(),
    })
}
