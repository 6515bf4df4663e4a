//! `inbox`, `read`, `save`, `delete` and `cancel`: single messages.

use crate::ask::{absolute, ask, unexpected};
use crate::failure::Outcome;
use crate::out::Out;
use crate::plain::{ago, bytes, harmless, one_line, short};
use ostrakon::node::api::{InboxEntry, Request, Response};
use std::path::Path;

/// Lists what came.
///
/// # Errors
/// If there is no home.
pub async fn list(out: Out, home: &Path) -> Outcome {
    let answer = ask(home, Request::Inbox).await?;
    let Response::Inbox { messages } = &answer else {
        return Err(unexpected());
    };
    out.show(&answer, || {
        if messages.is_empty() {
            return "No message has come yet.\n".into();
        }
        let entries: Vec<String> = messages.iter().map(entry).collect();
        entries.join("\n")
    })
}

fn entry(message: &InboxEntry) -> String {
    let state = match (message.complete, message.read, message.seen) {
        (false, ..) => "more is on its way",
        (true, true, _) => "read",
        (true, false, true) => "complete",
        (true, false, false) => "complete, new",
    };
    let mut text = format!(
        "{}  from {}, {}, {state}\n",
        short(&message.message),
        one_line(&message.from),
        ago(message.received)
    );
    if !message.also.is_empty() {
        let names: Vec<String> = message.also.iter().map(|name| one_line(name)).collect();
        text.push_str(&format!("  also to {}\n", names.join(", ")));
    }
    for part in &message.parts {
        let name = if part.name.is_empty() {
            &part.media_type
        } else {
            &part.name
        };
        text.push_str(&format!(
            "  {}  {:>9}  {}\n",
            part.part,
            bytes(part.bytes),
            one_line(name)
        ));
    }
    text
}

/// Shows the text of a message.
///
/// # Errors
/// If there is no such message.
pub async fn read(out: Out, home: &Path, id: String) -> Outcome {
    let answer = ask(home, Request::Read { message: id }).await?;
    let Response::Text { message, texts } = &answer else {
        return Err(unexpected());
    };
    out.show(&answer, || match texts.as_slice() {
        [] => format!(
            "This message has no text. Write its files out with: ostrakon save {} DIR\n",
            short(message)
        ),
        texts => harmless(&texts.join("\n\n")),
    })
}

/// Writes the parts of a message into a folder.
///
/// # Errors
/// If there is no such message, or the folder cannot be written.
pub async fn save(out: Out, home: &Path, id: String, dir: &Path) -> Outcome {
    let dir = absolute(dir)?;
    let answer = ask(home, Request::Save { message: id, dir }).await?;
    let Response::Saved { files } = &answer else {
        return Err(unexpected());
    };
    out.show(&answer, || {
        let lines: Vec<String> = files
            .iter()
            .map(|file| format!("{}\n", file.display()))
            .collect();
        lines.concat()
    })
}

/// Deletes messages that came.
///
/// # Errors
/// If one of them is not there; then none is deleted.
pub async fn delete(out: Out, home: &Path, ids: Vec<String>) -> Outcome {
    let answer = ask(home, Request::Delete { messages: ids }).await?;
    let Response::Deleted { messages } = &answer else {
        return Err(unexpected());
    };
    out.show(&answer, || {
        let lines: Vec<String> = messages
            .iter()
            .map(|message| format!("Deleted {}.\n", short(message)))
            .collect();
        lines.concat()
    })
}

/// Gives up a message of ours.
///
/// # Errors
/// If there is no such message.
pub async fn cancel(out: Out, home: &Path, id: String) -> Outcome {
    let answer = ask(home, Request::Cancel { message: id }).await?;
    out.show(&answer, || {
        "The message is given up. What has arrived already stays there.".into()
    })
}
