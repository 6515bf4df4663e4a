//! `invite`: invitations for people whom one does not know yet.

use super::qr::{Drawing, draw};
use crate::args::InviteCommand;
use crate::ask::{absolute, ask, unexpected};
use crate::failure::{Failure, Outcome};
use crate::out::Out;
use crate::plain::{Lean, one_line, table, time};
use ostrakon::node::api::{InvitationEntry, InvitationState, Request, Response};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Does it.
///
/// # Errors
/// Too many are open, no open one has that id, the file cannot be written, no home.
pub async fn run(out: Out, home: &Path, command: InviteCommand) -> Outcome {
    match command {
        InviteCommand::New {
            days,
            qr,
            out: file,
        } => new(out, home, days, qr, file.as_deref()).await,
        InviteCommand::List => {
            let answer = ask(home, Request::InviteList).await?;
            let Response::Invitations { invitations } = &answer else {
                return Err(unexpected());
            };
            out.show(&answer, || list(invitations))
        }
        InviteCommand::Revoke { id } => {
            let answer = ask(home, Request::InviteRevoke { id }).await?;
            out.show(&answer, || {
                "The invitation lets nobody in any more.\n".into()
            })
        }
    }
}

async fn new(out: Out, home: &Path, days: u16, qr: bool, file: Option<&Path>) -> Outcome {
    let answer = ask(home, Request::Invite { days }).await?;
    let Response::Invitation { id, text, left_s } = &answer else {
        return Err(unexpected());
    };
    let shown = match qr {
        true => draw(text, Drawing::of(file))?,
        false => format!("{text}\n").into_bytes(),
    };
    let Some(file) = file else {
        return out.show(&answer, || String::from_utf8_lossy(&shown).into_owned());
    };
    let file = absolute(file)?;
    write(&file, &shown).map_err(|error| {
        let next = format!(
            "choose another file, and take the invitation back: ostrakon invite revoke {id}"
        );
        Failure::writing(&file, &error, next)
    })?;
    out.show(&answer, || {
        let left = time(Duration::from_secs(*left_s));
        format!(
            "The invitation {id} is in {}, good once and for {left} of uptime.\nGive it to one person, who takes it in with: ostrakon person add FILE",
            file.display()
        )
    })
}

/// Whoever reads it can use it.
fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut to = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)?;
    to.write_all(bytes)
}

fn list(invitations: &[InvitationEntry]) -> String {
    if invitations.is_empty() {
        return "There is no invitation. Make one with: ostrakon invite new\n".into();
    }
    let mut rows = vec![["INVITATION", "STATE"].map(String::from).to_vec()];
    rows.extend(invitations.iter().map(|one| {
        let left = time(Duration::from_secs(one.left_s.unwrap_or(0)));
        let by = one_line(one.used_by.as_deref().unwrap_or("somebody"));
        let state = match one.state {
            InvitationState::Open => format!("open, for {left}"),
            InvitationState::Used => format!("used by {by}"),
            InvitationState::Revoked => "taken back".into(),
            InvitationState::RunOut => "run out".into(),
        };
        vec![one.id.clone(), state]
    }));
    table(0, &[Lean::Left], &rows)
}
