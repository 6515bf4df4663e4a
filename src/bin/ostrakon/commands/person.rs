//! `person`: contact cards of others.

use crate::args::PersonCommand;
use crate::ask::{ask, unexpected};
use crate::failure::{Failure, Outcome};
use crate::out::Out;
use crate::plain::{Lean, one_line, short, table};
use ostrakon::node::api::{ErrorKind, PersonEntry, Request, Response};
use std::io::Read;
use std::path::Path;

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
            let Response::Persons { persons } = &answer else {
                return Err(unexpected());
            };
            out.show(&answer, || list(persons))
        }
        PersonCommand::Show { name } => {
            let answer = ask(home, Request::PersonShow { person: name }).await?;
            let Response::Person(person) = &answer else {
                return Err(unexpected());
            };
            out.show(&answer, || details(person))
        }
    }
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
            "give the text that starts with ostrakon-card:",
        )
    })
}

fn list(persons: &[PersonEntry]) -> String {
    if persons.is_empty() {
        return "You know nobody yet. Take in a card with: ostrakon person add FILE\n".into();
    }
    let mut rows = vec![["NAME", "CARD", "PERSON"].map(String::from).to_vec()];
    rows.extend(persons.iter().map(|person| {
        vec![
            one_line(&person.name),
            format!("no. {}", person.card_sequence),
            short(&person.person).to_owned(),
        ]
    }));
    table(0, &[Lean::Left], &rows)
}

fn details(person: &PersonEntry) -> String {
    let relays = match person.relays.as_slice() {
        [] => "none named".into(),
        relays => one_line(&relays.join(", ")),
    };
    let (upper, lower) = halves(&person.safety_number);
    let rows = [
        ["Name".into(), one_line(&person.name)],
        ["Person".into(), person.person.clone()],
        ["Card".into(), format!("no. {}", person.card_sequence)],
        ["Relays".into(), relays],
        ["Safety number".into(), upper],
        [String::new(), lower],
    ]
    .map(|row| row.to_vec());
    let advice = "Read the safety number aloud to each other. If both see the same, nobody sits between you.\n";
    format!("{}\n{advice}", table(0, &[Lean::Left], &rows))
}

/// The groups of a safety number on two lines.
fn halves(number: &str) -> (String, String) {
    let groups: Vec<&str> = number.split(' ').collect();
    let (upper, lower) = groups.split_at(groups.len() / 2);
    (upper.join(" "), lower.join(" "))
}
