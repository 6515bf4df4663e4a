//! `grant`: what others let us store at their relays.

use super::person::read_card;
use crate::ask::{ask, unexpected};
use crate::failure::Outcome;
use crate::grant_args::{GrantCommand, TermArgs};
use crate::out::Out;
use crate::plain::bytes;
use ostrakon::node::api::{Request, Response};
use ostrakon::node::grants::{GrantEntry, GrantOrder};
use std::path::Path;

/// Shows one; needs no home.
///
/// # Errors
/// A grant that is damaged, forged or widened.
pub fn show(out: Out, grant: &str) -> Outcome {
    let entry = GrantEntry::read(&text(grant)?)?;
    out.show(&entry, || details(&entry))
}

/// Does what needs the keys of the home.
///
/// # Errors
/// A grant that is not ours or that would be widened, no home.
pub async fn run(out: Out, home: &Path, command: GrantCommand) -> Outcome {
    let (grant, terms, until) = match command {
        GrantCommand::Show { grant } => return show(out, &grant),
        GrantCommand::Narrow {
            grant,
            terms,
            until,
        } => (grant, terms, until),
    };
    let order = GrantOrder {
        until,
        ..order(terms)?
    };
    let grant = text(&grant)?;
    let answer = ask(home, Request::GrantNarrow { grant, order }).await?;
    let Response::Grant(entry) = &answer else {
        return Err(unexpected());
    };
    out.show(&answer, || format!("{}\n", entry.grant))
}

/// What is asked for.
pub fn order(terms: TermArgs) -> Outcome<GrantOrder> {
    let mailboxes = terms.mailbox.iter().map(|given| text(given));
    Ok(GrantOrder {
        to: text(&terms.to)?,
        mailboxes: mailboxes.collect::<Outcome<_>>()?,
        bytes: terms.bytes,
        frames: terms.frames,
        priority: terms.priority.map(|priority| priority.name().to_owned()),
        until: None,
    })
}

/// What was given, or what the file of that name holds.
pub fn text(given: &str) -> Outcome<String> {
    match given == "-" || Path::new(given).is_file() {
        true => read_card(Path::new(given)),
        false => Ok(given.to_owned()),
    }
}

/// A quota; the largest is none.
pub fn quota(most: u64, shown: impl Fn(u64) -> String) -> String {
    match most {
        u64::MAX => "any".into(),
        most => shown(most),
    }
}

fn details(entry: &GrantEntry) -> String {
    let mut text = format!(
        "id         {}\nfirst link {}\nissuer     {}\nholder     {}\nlinks      {}\n",
        entry.id, entry.root, entry.issuer, entry.holder, entry.links
    );
    match entry.mailboxes.is_empty() {
        true => text += "mailboxes  all\n",
        false => text += &format!("mailboxes  {}\n", entry.mailboxes.join("\n           ")),
    }
    text + &format!(
        "bytes      {}\nframes     {}\npriority   {}\ngood until the issuer's counter is past {}\n",
        quota(entry.bytes, bytes),
        quota(entry.frames, |n| n.to_string()),
        entry.priority,
        entry.until
    )
}
