//! `person`: contact cards of others, how far they are trusted, introductions.

use super::{strangers, voice};
use crate::args::PersonCommand;
use crate::ask::{ask, unexpected};
use crate::failure::{Failure, Outcome};
use crate::out::Out;
use crate::plain::{Lean, bytes, one_line, short, table, time};
use crate::terminal;
use ostrakon::node::api::{ErrorKind, IntroductionEntry, Level, PersonEntry, Request, Response};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// More than this is no card, whatever it is.
const CARD_MAX: u64 = 64 * 1024;

/// Does it.
///
/// # Errors
/// An unknown person, a card that is damaged, forged or older than the known one, no home.
pub async fn run(out: Out, home: &Path, command: PersonCommand) -> Outcome {
    match command {
        PersonCommand::Add { card } => {
            let card = read_card(&card)?;
            let answer = ask(home, Request::PersonAdd { card }).await?;
            let Response::Person(person) = &answer else {
                return Err(unexpected());
            };
            out.show(&answer, || {
                format!(
                    "You know {} now.\n\n{}",
                    one_line(&person.name),
                    details(person)
                )
            })
        }
        PersonCommand::List => {
            let answer = ask(home, Request::PersonList).await?;
            let Response::Persons {
                persons,
                introductions,
            } = &answer
            else {
                return Err(unexpected());
            };
            out.show(&answer, || list(persons) + &waiting(introductions))
        }
        PersonCommand::Show { name } => {
            let request = Request::PersonShow { person: name };
            about(out, home, request, details).await
        }
        PersonCommand::Verify {
            name,
            number,
            voice: true,
            again,
        } => voice::run(out, home, name, number, again).await,
        PersonCommand::Verify { name, number, .. } => verify(out, home, name, number).await,
        PersonCommand::Revoke { name } => revoke(out, home, name).await,
        PersonCommand::Block { name } => block(out, home, name, true).await,
        PersonCommand::Unblock { name } => block(out, home, name, false).await,
        PersonCommand::Introduce {
            first,
            second,
            days,
            note,
        } => {
            let request = Request::PersonIntroduce {
                first,
                second,
                days,
                note,
            };
            let answer = ask(home, request).await?;
            out.show(&answer, || {
                "Both introductions are queued. Each waits with its recipient until it is accepted.\n".into()
            })
        }
        PersonCommand::Strangers => strangers::list(out, home).await,
        PersonCommand::Accept { name, alias } => {
            let person = name;
            let request = Request::PersonAccept { person, alias };
            about(out, home, request, accepted).await
        }
        PersonCommand::Decline { name } => {
            let answer = ask(home, Request::PersonDecline { person: name }).await?;
            out.show(&answer, || "That one waits no more.\n".into())
        }
    }
}

/// Asks for something that is answered with a person, and shows it.
///
/// # Errors
/// What the node answered instead, or why it did not.
pub async fn about(
    out: Out,
    home: &Path,
    request: Request,
    human: impl FnOnce(&PersonEntry) -> String,
) -> Outcome {
    let answer = ask(home, request).await?;
    let Response::Person(person) = &answer else {
        return Err(unexpected());
    };
    out.show(&answer, || human(person))
}

/// The number comes from the command line, or the user says at the terminal that it is the one shown there.
async fn verify(out: Out, home: &Path, name: String, number: Option<String>) -> Outcome {
    let (person, number) = match number {
        Some(number) => (name, number),
        None => {
            let answer = ask(home, Request::PersonShow { person: name }).await?;
            let Response::Person(person) = answer else {
                return Err(unexpected());
            };
            confirm(&person).await?;
            (person.person, person.safety_number)
        }
    };
    let request = Request::PersonVerify { person, number };
    about(out, home, request, verified).await
}

async fn revoke(out: Out, home: &Path, person: String) -> Outcome {
    about(out, home, Request::PersonRevoke { person }, |person| {
        let name = one_line(&person.name);
        format!("{name} is known, and no more. To take nothing of {name}: ostrakon person block\n")
    })
    .await
}

/// What is said of who was verified just now.
pub fn verified(person: &PersonEntry) -> String {
    format!("{} is verified now.\n", one_line(&person.name))
}

/// Asks whether both see the same number.
async fn confirm(person: &PersonEntry) -> Outcome {
    if !terminal::is_there() {
        let what = "there is nobody to ask whether the safety numbers are the same";
        let next = "give the number that the other side sees: --number DIGITS";
        return Err(Failure::api(ErrorKind::Usage, what, next));
    }
    let (upper, lower) = halves(&person.safety_number);
    let name = one_line(&person.name);
    let question = format!(
        "{upper}\n{lower}\nDoes {name} see the same number? Type yes if you have compared all of it"
    );
    if terminal::line(&question).await?.trim() == "yes" {
        return Ok(());
    }
    let what = "nothing was verified";
    let next = "compare the numbers first; if they differ, somebody sits between you: exchange cards anew by another way";
    Err(Failure::api(ErrorKind::Usage, what, next))
}

async fn block(out: Out, home: &Path, name: String, blocked: bool) -> Outcome {
    let person = name;
    let request = Request::PersonBlock { person, blocked };
    about(out, home, request, |person| {
        let name = one_line(&person.name);
        match blocked {
            true => format!("{name} is blocked: nothing is taken from there, and nothing sent.\n"),
            false => format!("{name} is let in.\n"),
        }
    })
    .await
}

fn accepted(person: &PersonEntry) -> String {
    format!(
        "You know {} now, {}.\n\n{}",
        one_line(&person.name),
        level(person),
        details(person)
    )
}

/// The text of a card in a file, or on standard input for `-`.
///
/// # Errors
/// If it cannot be read, or is too long for a card.
pub fn read_card(path: &Path) -> Outcome<String> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(CARD_MAX + 1)
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(CARD_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::BadInput,
        };
        let what = format!("cannot read {}: {error}", path.display());
        Failure::api(
            kind,
            what,
            "give the file that holds the card, or - for standard input",
        )
    })?;
    let text = String::from_utf8(bytes)
        .ok()
        .filter(|text| text.len() as u64 <= CARD_MAX);
    text.ok_or_else(|| {
        let what = format!("{} is no contact card", path.display());
        Failure::api(
            ErrorKind::BadInput,
            what,
            "give the text that starts with ostrakon-card: or ostrakon-invite:",
        )
    })
}

fn list(persons: &[PersonEntry]) -> String {
    if persons.is_empty() {
        return "You know nobody yet. Take in a card with: ostrakon person add FILE\n".into();
    }
    let heading = ["NAME", "CARD", "TRUST", "PERSON"];
    let mut rows = vec![heading.map(String::from).to_vec()];
    rows.extend(persons.iter().map(|person| {
        vec![
            one_line(&person.name),
            format!("no. {}", person.card_sequence),
            level(person),
            short(&person.person).to_owned(),
        ]
    }));
    table(0, &[Lean::Left], &rows)
}

/// How far a person is trusted, in words.
fn level(person: &PersonEntry) -> String {
    let level = match (person.level, &person.introduced_by) {
        (Level::Verified, _) => "verified".into(),
        (Level::Introduced, Some(by)) => format!("introduced by {}", one_line(by)),
        (Level::Introduced, None) => "introduced".into(),
        (Level::Invited, _) => "invited".into(),
        (Level::Known, _) => "not verified".into(),
        (Level::Unknown, _) => "unknown".into(),
    };
    match person.blocked {
        true => level + ", blocked",
        false => level,
    }
}

/// Introductions that wait for a word of the user.
fn waiting(introductions: &[IntroductionEntry]) -> String {
    if introductions.is_empty() {
        return String::new();
    }
    let heading = ["NAME", "INTRODUCED BY", "GOOD FOR", "PERSON", "NOTE"];
    let mut rows = vec![heading.map(String::from).to_vec()];
    rows.extend(introductions.iter().map(|one| {
        let by = one_line(&one.introducer);
        vec![
            one_line(&one.name),
            match one.introducer_level {
                Level::Verified => by,
                _ => by + ", who is not verified",
            },
            time(Duration::from_secs(u64::from(one.left_s))),
            short(&one.person).to_owned(),
            one_line(&one.note),
        ]
    }));
    let advice = "Take one with: ostrakon person accept NAME, or drop it with: ostrakon person decline NAME\n";
    let table = table(0, &[Lean::Left], &rows);
    format!("\nIntroductions that wait\n{table}{advice}")
}

fn details(person: &PersonEntry) -> String {
    let relays = match person.relays.as_slice() {
        [] => "none named".into(),
        relays => one_line(&relays.join(", ")),
    };
    let takes = match person.largest {
        Some(largest) => format!("messages of up to {}", bytes(largest)),
        None => "messages of any size".into(),
    };
    let (upper, lower) = halves(&person.safety_number);
    let rows = [
        ["Name".into(), one_line(&person.name)],
        ["Person".into(), person.person.clone()],
        ["Card".into(), format!("no. {}", person.card_sequence)],
        ["Trust".into(), level(person)],
        ["Relays".into(), relays],
        ["Takes".into(), takes],
        ["Safety number".into(), upper],
        [String::new(), lower],
    ]
    .map(|row| row.to_vec());
    let advice = "Read the safety number aloud to each other. If both see the same, nobody sits between you; say so with: ostrakon person verify NAME\n";
    format!("{}\n{advice}", table(0, &[Lean::Left], &rows))
}

/// The groups of a safety number on two lines.
fn halves(number: &str) -> (String, String) {
    let groups: Vec<&str> = number.split(' ').collect();
    let (upper, lower) = groups.split_at(groups.len() / 2);
    (upper.join(" "), lower.join(" "))
}
