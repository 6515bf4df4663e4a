//! `relay grant`: who may fill the mailboxes of a relay.

use super::grant::{order, quota, text};
use crate::ask::unexpected;
use crate::failure::{Failure, Kind, Outcome};
use crate::grant_args::RelayGrantCommand;
use crate::out::Out;
use crate::plain::{Lean, bytes, short, table};
use crate::{terminal, unlock};
use ostrakon::engine::id::to_base32;
use ostrakon::node::api::ErrorKind;
use ostrakon::node::relay::api::{Issued, Issuer, Request, Response, Spent, SpentLink};
use ostrakon::node::relay::ask;
use ostrakon::node::{HomeError, NodeError};
use ostrakon::security::spending::{self, Overspent, Statement};
use serde_json::json;
use std::io::Read;
use std::path::Path;

/// Does it.
///
/// # Errors
/// A key, a mailbox or a grant that cannot be used, an unknown id, a key that is locked, no relay; for an audit also that
/// more was spent than granted.
pub async fn run(out: Out, dir: &Path, command: RelayGrantCommand) -> Outcome {
    if let RelayGrantCommand::Audit { files } = &command {
        return audit(out, files);
    }
    let answer = answer(dir, request(command)?).await?;
    let shown = match &answer {
        Response::Error { kind, text } => {
            return Err(Failure {
                kind: Kind::Api(*kind),
                text: text.clone(),
                message: None,
            });
        }
        Response::Grant(entry) => format!("{}\n", entry.grant),
        Response::Grants {
            counter,
            grants,
            issuers,
        } => list(*counter, grants, issuers),
        Response::Revoked { id } => format!("Grant {} counts no more.\n", short(id)),
        Response::Turned { counter } => format!("The counter is {counter} now.\n"),
        Response::Trusted(issuer) => format!("Issuer {}: done.\n", short(&issuer.key)),
        Response::Spent(spent) => statement(spent),
        _ => return Err(unexpected()),
    };
    out.show(&answer, || shown)
}

/// Asks; the key is opened only where the relay does not run and the question needs it.
async fn answer(dir: &Path, request: Request) -> Outcome<Response> {
    let given = unlock::from_file()?;
    match ask(dir, request.clone(), given.as_ref()).await {
        Err(NodeError::Home(HomeError::Locked(_))) if terminal::is_there() => {
            let typed = unlock::given(unlock::RELAY).await?;
            Ok(ask(dir, request, typed.as_ref()).await?)
        }
        answer => Ok(answer?),
    }
}

fn request(command: RelayGrantCommand) -> Outcome<Request> {
    Ok(match command {
        RelayGrantCommand::Issue { terms, epochs } => Request::GrantIssue {
            order: order(terms)?,
            turns: epochs.max(1),
        },
        RelayGrantCommand::Revoke { grant } => Request::GrantRevoke {
            grant: text(&grant)?,
        },
        RelayGrantCommand::Turn { issuer } => Request::GrantTurn {
            issuer: issuer.as_deref().map(text).transpose()?,
        },
        RelayGrantCommand::Trust { issuer, forget } => Request::GrantTrust {
            issuer: text(&issuer)?,
            forget,
        },
        RelayGrantCommand::Spent => Request::GrantSpent,
        RelayGrantCommand::List | RelayGrantCommand::Audit { .. } => Request::GrantList,
    })
}

fn list(counter: u64, grants: &[Issued], issuers: &[Issuer]) -> String {
    let mut text = format!("The counter is {counter}.\n");
    let heading = [
        "ID",
        "HOLDER",
        "MAILBOXES",
        "FRAMES",
        "BYTES",
        "PRIORITY",
        "UNTIL",
        "STATE",
    ];
    let mut rows = vec![heading.map(String::from).to_vec()];
    rows.extend(grants.iter().map(|issued| {
        let entry = &issued.entry;
        let of = |spent: String, most: String| format!("{spent} of {most}");
        vec![
            short(&entry.id).into(),
            short(&entry.holder).into(),
            match entry.mailboxes.len() {
                0 => "all".into(),
                some => some.to_string(),
            },
            of(
                issued.spent_frames.to_string(),
                quota(entry.frames, |n| n.to_string()),
            ),
            of(bytes(issued.spent_bytes), quota(entry.bytes, bytes)),
            entry.priority.clone(),
            entry.until.to_string(),
            match (issued.revoked, issued.over) {
                (true, _) => "revoked",
                (_, true) => "over",
                _ => "good",
            }
            .into(),
        ]
    }));
    match grants.is_empty() {
        true => {
            text += "No grant was issued. Issue one with: ostrakon relay grant issue --to KEY\n"
        }
        false => text += &format!("\n{}", table(0, &[Lean::Left], &rows)),
    }
    for issuer in issuers {
        text += &format!(
            "Grants of {} count too; its counter is {} here.\n",
            issuer.key, issuer.counter
        );
    }
    text
}

/// The statement alone, so that it can be written into a file.
fn statement(spent: &Spent) -> String {
    format!("{}\n", spent.statement)
}

fn audit(out: Out, files: &[std::path::PathBuf]) -> Outcome {
    let mut statements = Vec::new();
    for file in files {
        let read = Statement::from_text(&read_statement(file)?);
        statements.push(read.map_err(|error| {
            let text = format!("{}: {error}", file.display());
            Failure {
                kind: Kind::Api(ErrorKind::BadInput),
                text,
                message: None,
            }
        })?);
    }
    let found = spending::audit(&statements);
    let links: Vec<_> = found.iter().map(shown).collect();
    let object = json!({"statements": statements.len(), "overspent": links});
    out.show(&object, || report(&found, statements.len()))?;
    match found.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            Kind::Overspent,
            format!(
                "{} links of grants have cost more than they allow",
                found.len()
            ),
            "revoke them at each relay with: ostrakon relay grant revoke ID",
        )),
    }
}

fn shown(link: &Overspent) -> serde_json::Value {
    let mut object = json!(SpentLink::of(&link.row));
    let at = link.at.iter().map(|(relay, spent)| {
        json!({"relay": to_base32(relay), "frames": spent.frames, "bytes": spent.bytes})
    });
    object["at"] = at.collect();
    object
}

fn report(found: &[Overspent], statements: usize) -> String {
    if found.is_empty() {
        return format!("{statements} statements; nobody has spent more than was granted.\n");
    }
    let mut text = String::new();
    for Overspent { row, at } in found {
        text += &format!(
            "{}, held by {}:\n  {} frames of {}, {} of {}\n",
            to_base32(&row.id),
            to_base32(&row.holder),
            row.spent.frames,
            quota(row.granted.frames, |n| n.to_string()),
            bytes(row.spent.bytes),
            quota(row.granted.bytes, bytes),
        );
        for (relay, spent) in at {
            let (frames, size) = (spent.frames, bytes(spent.bytes));
            text += &format!("  at {}: {frames} frames, {size}\n", to_base32(relay));
        }
    }
    text
}

fn read_statement(path: &Path) -> Outcome<String> {
    let mut text = String::new();
    let most = spending::MAX as u64 + 1024;
    let read = std::fs::File::open(path).and_then(|file| file.take(most).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) => {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::BadInput,
            };
            let what = format!("cannot read {}: {error}", path.display());
            Err(Failure::api(
                kind,
                what,
                "give a file that `ostrakon relay grant spent` was written into",
            ))
        }
    }
}
