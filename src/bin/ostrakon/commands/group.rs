//! `group`: names for several people.

use crate::args::GroupCommand;
use crate::ask::{ask, unexpected};
use crate::failure::Outcome;
use crate::out::Out;
use crate::plain::{Lean, one_line, table};
use ostrakon::node::api::{GroupEntry, Request, Response};
use std::path::Path;

/// Does it.
///
/// # Errors
/// An unknown group or person, a name that no group can have, no home.
pub async fn run(out: Out, home: &Path, command: GroupCommand) -> Outcome {
    match command {
        GroupCommand::Add { group, persons } => {
            let answer = ask(home, Request::GroupAdd { group, persons }).await?;
            show(out, &answer)
        }
        GroupCommand::Remove { group, persons } => {
            let answer = ask(home, Request::GroupRemove { group, persons }).await?;
            show(out, &answer)
        }
        GroupCommand::List => {
            let answer = ask(home, Request::GroupList).await?;
            let Response::Groups { groups } = &answer else {
                return Err(unexpected());
            };
            out.show(&answer, || list(groups))
        }
        GroupCommand::Delete { group } => {
            let name = one_line(&group);
            let answer = ask(home, Request::GroupDelete { group }).await?;
            out.show(&answer, || format!("The group {name} is forgotten."))
        }
    }
}

fn show(out: Out, answer: &Response) -> Outcome {
    let Response::Group(group) = answer else {
        return Err(unexpected());
    };
    out.show(answer, || format!("@{}: {}", group.name, people(group)))
}

fn people(group: &GroupEntry) -> String {
    if group.persons.is_empty() {
        return "nobody".into();
    }
    let names = group.persons.iter().map(|person| one_line(&person.name));
    names.collect::<Vec<_>>().join(", ")
}

fn list(groups: &[GroupEntry]) -> String {
    if groups.is_empty() {
        return "There is no group yet. Begin one with: ostrakon group add NAME PERSON…\n".into();
    }
    let mut rows = vec![["GROUP", "PEOPLE"].map(String::from).to_vec()];
    let row = |group: &GroupEntry| vec![format!("@{}", group.name), people(group)];
    rows.extend(groups.iter().map(row));
    table(0, &[Lean::Left], &rows)
}
