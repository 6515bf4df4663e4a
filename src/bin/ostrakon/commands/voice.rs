//! `person verify --voice`: six digits that two persons read to each other.

use super::person::{about, verified};
use crate::ask::{ask, unexpected};
use crate::failure::{Failure, Outcome};
use crate::out::Out;
use crate::terminal;
use ostrakon::node::api::{ErrorKind, Request, Response};
use std::path::Path;
use std::time::Duration;

/// How often it is looked whether the other side has answered.
const EVERY: Duration = Duration::from_millis(500);

/// Begins or goes on. At a terminal it waits for the number and asks for that of the other side; otherwise it says how far
/// it is, and takes the number of the other side as an argument of the next call.
///
/// # Errors
/// An unknown person, another number, a comparison that leads nowhere, no home.
pub async fn run(
    out: Out,
    home: &Path,
    person: String,
    number: Option<String>,
    again: bool,
) -> Outcome {
    let number = match number {
        Some(number) => number,
        None if out.json || !terminal::is_there() => {
            let answer = ask(home, Request::PersonVoice { person, again }).await?;
            let Response::Voice { number, overtaken } = &answer else {
                return Err(unexpected());
            };
            return out.show(&answer, || state(number.as_deref(), *overtaken));
        }
        None => {
            let ours = wait(home, &person, again).await?;
            let question = format!(
                "Read this to the other side: {ours}\nType the six digits that the other side reads to you"
            );
            terminal::line(&question).await?
        }
    };
    let request = Request::PersonVoiceCompare { person, number };
    about(out, home, request, verified).await
}

/// Waits until both sides are committed.
async fn wait(home: &Path, person: &str, mut again: bool) -> Outcome<String> {
    let mut told = false;
    loop {
        let request = Request::PersonVoice {
            person: person.to_owned(),
            again: std::mem::take(&mut again),
        };
        match ask(home, request).await? {
            Response::Voice {
                overtaken: true, ..
            } => {
                let what = "the other side has begun anew";
                let next = "begin anew here as well: add --again";
                return Err(Failure::api(ErrorKind::Usage, what, next));
            }
            Response::Voice {
                number: Some(number),
                ..
            } => return Ok(number),
            Response::Voice { .. } => {}
            _ => return Err(unexpected()),
        }
        if !std::mem::replace(&mut told, true) {
            eprintln!("Waiting for the other side, where the same command has to be run.");
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn state(number: Option<&str>, overtaken: bool) -> String {
    match (number, overtaken) {
        (_, true) => "The other side has begun anew: add --again.\n".into(),
        (Some(number), false) => format!(
            "{number}\nRead it to the other side, and give what is read to you with: --voice --number DIGITS\n"
        ),
        (None, false) => "The other side has not answered yet; ask again.\n".into(),
    }
}
