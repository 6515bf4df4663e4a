//! `init --join`: this device becomes another one of somebody who has one.

use super::qr::{Drawing, draw};
use crate::args::JoinArgs;
use crate::ask::absolute;
use crate::failure::Outcome;
use crate::out::Out;
use crate::plain::one_line;
use crate::{terminal, unlock};
use ostrakon::node::{Home, Joining, NodeError, read_sealed, wait};
use ostrakon::security::enrolment::Code;
use ostrakon::security::lockbox::Passphrase;
use serde_json::json;
use std::path::Path;

/// What to do with the code.
const BY_FILE: &str = "There: ostrakon device add CODE --out FILE\nBring the file here, and take it in: ostrakon init --join --from FILE";
/// The same where the device listens.
const WAITS: &str = "There: ostrakon device add CODE\nThis waits until it comes.";

/// Shows the code of this device, or takes in what another device has made for it.
///
/// # Errors
/// If there is a home already, or what the other device has made is for somebody else.
pub async fn run(out: Out, dir: &Path, args: JoinArgs, without: bool) -> Outcome {
    let passphrase = passphrase(dir, without).await?;
    let (place, kept) = (dir.to_owned(), passphrase.clone());
    let begin = move || Joining::begin(&place, kept.as_ref());
    let joining = unlock::blocking(begin).await??;
    if let Some(at) = args.at {
        let show = |code: &Code| {
            // What cannot be shown here ends with the wait.
            let _ = show(out, code, args.qr, WAITS);
        };
        return joined(out, &wait(joining, at, passphrase, show).await?);
    }
    let Some(file) = args.from else {
        return show(out, &joining.code(Vec::new()), args.qr, BY_FILE);
    };
    let file = absolute(&file)?;
    let finish = move || {
        let sealed = read_sealed(&file)?;
        joining.finish(&sealed, passphrase.as_ref())
    };
    let home: Result<Home, NodeError> = unlock::blocking(finish).await?;
    joined(out, &home?)
}

fn show(out: Out, code: &Code, qr: bool, next: &str) -> Outcome {
    let (text, number) = (code.to_text(), code.number());
    let drawn = match qr {
        true => String::from_utf8_lossy(&draw(&text, Drawing::Terminal)?).into_owned(),
        false => format!("{text}\n"),
    };
    out.show(&json!({"code": text, "number": number}), || {
        format!(
            "{drawn}\nGive this code to the device that you have, where this number has to show:\n\n  {number}\n\n{next}"
        )
    })
}

/// Says what it is now.
pub fn joined(out: Out, home: &Home) -> Outcome {
    let person = home.identity()?.person().to_string();
    let object = json!({
        "home": home.dir().to_string_lossy(), "name": home.name(), "person": person, "passphrase": home.has_passphrase(),
    });
    out.show(&object, || {
        format!(
            "This is a device of {} now, in {}.\nLinks are its own: add them with `ostrakon link add`, and run `ostrakon node`.",
            one_line(home.name()),
            home.dir().display()
        )
    })
}

/// That of what was begun here, or a new one.
async fn passphrase(dir: &Path, without: bool) -> Outcome<Option<Passphrase>> {
    match Joining::is_locked(dir)? {
        Some(true) => unlock::given("Passphrase of the keys of this device").await,
        // Keys that were begun without one are kept under it in the end.
        Some(false) if !without => unlock::from_file(),
        Some(false) => Ok(None),
        None => match unlock::from_file()? {
            Some(_) if without => Ok(None),
            None if !without && terminal::is_there() => {
                let question = "A passphrase for your keys on this device (empty for none; then whoever gets at this disk is you)";
                unlock::chosen(question).await
            }
            given => Ok(given),
        },
    }
}
