//! `device`: the devices of one person.

use crate::args::DeviceCommand;
use crate::ask::{absolute, ask, unexpected};
use crate::failure::{Failure, Outcome};
use crate::out::Out;
use crate::terminal;
use data_encoding::BASE64;
use ostrakon::node::api::{DeviceEntry, ErrorKind, Request, Response};
use ostrakon::node::{NodeError, hand_over};
use ostrakon::security::enrolment::Code;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Does it.
///
/// # Errors
/// What the node refused, or the file that cannot be read or written.
pub async fn run(out: Out, home: &Path, command: DeviceCommand) -> Outcome {
    match command {
        DeviceCommand::Add {
            code,
            number,
            out: file,
        } => {
            let (code, text) = read(&code)?;
            compare(&code.number(), number.as_deref()).await?;
            match file {
                Some(file) => add_by_file(out, home, text, &file).await,
                None => add(out, home, text, &code).await,
            }
        }
        DeviceCommand::List => show(out, ask(home, Request::DeviceList).await?),
        DeviceCommand::Remove { device } => {
            show(out, ask(home, Request::DeviceRemove { device }).await?)
        }
    }
}

fn read(code: &str) -> Outcome<(Code, String)> {
    let text = text(code)?;
    let code = Code::from_text(&text).map_err(NodeError::from)?;
    Ok((code, text))
}

/// What the new device needs, and its URI.
async fn enrol(home: &Path, code: String) -> Outcome<(String, Vec<u8>)> {
    let Response::Enrolled { device, sealed } = ask(home, Request::DeviceAdd { code }).await?
    else {
        return Err(unexpected());
    };
    let sealed = BASE64.decode(sealed.as_bytes()).map_err(|_| unexpected())?;
    Ok((device, sealed))
}

async fn add(out: Out, home: &Path, text: String, code: &Code) -> Outcome {
    if code.addresses.is_empty() {
        let what = "the code names no address, so the new device waits nowhere";
        let next = "give it a file: ostrakon device add CODE --out FILE";
        return Err(Failure::api(ErrorKind::Usage, what, next));
    }
    let (device, sealed) = enrol(home, text).await?;
    hand_over(code, &sealed).await?;
    out.show(&json!({"device": device}), || {
        "The new device is one of yours. Contacts get your new card.".to_owned()
    })
}

async fn add_by_file(out: Out, home: &Path, text: String, file: &Path) -> Outcome {
    let file = absolute(file)?;
    // Before the card names a device that could not be given anything.
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .map_err(written(&file))?;
    let (device, sealed) = enrol(home, text).await.inspect_err(|_| {
        // Nothing is in it.
        let _ = std::fs::remove_file(&file);
    })?;
    to.write_all(&sealed)
        .and_then(|()| to.sync_all())
        .map_err(written(&file))?;
    let object = json!({"device": device, "file": file.to_string_lossy()});
    out.show(&object, || {
        format!(
            "{} is for the new device alone, which takes it in with: ostrakon init --join --from FILE\nContacts get your new card.",
            file.display()
        )
    })
}

fn written(file: &Path) -> impl FnOnce(std::io::Error) -> Failure + '_ {
    move |error| {
        let next = "choose a file that is not there yet, in a folder that is, or make room";
        Failure::writing(file, &error, next)
    }
}

/// The code itself, or the file that it stands in.
fn text(code: &str) -> Outcome<String> {
    if code.trim_start().starts_with("ostrakon-device:") {
        return Ok(code.to_owned());
    }
    std::fs::read_to_string(code).map_err(|error| {
        let what = format!("cannot read the code in {code}: {error}");
        let next =
            "give the code that `ostrakon init --join` shows on the new device, or a file with it";
        Failure::api(ErrorKind::Usage, what, next)
    })
}

/// Whoever changes the code on its way would get all keys, so nothing is made before the number was compared.
async fn compare(ours: &str, given: Option<&str>) -> Outcome {
    let digits = |text: &str| {
        text.chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    };
    let same = match given {
        Some(number) => digits(number) == digits(ours),
        None if terminal::is_there() => {
            let question = format!(
                "{ours}\nDoes the new device show the same number? Type yes if you have compared all of it"
            );
            terminal::line(&question).await?.trim() == "yes"
        }
        None => {
            let what = "nobody is here to compare the number of the new device";
            let next = "give the number that it shows with --number";
            return Err(Failure::api(ErrorKind::Usage, what, next));
        }
    };
    let what = "the new device does not show the number of this code, so nothing was given away";
    let next = "take the code from the screen of the new device itself, and compare again";
    match same {
        true => Ok(()),
        false => Err(Failure::api(ErrorKind::BadInput, what, next)),
    }
}

fn show(out: Out, answer: Response) -> Outcome {
    let Response::Devices { devices } = &answer else {
        return Err(unexpected());
    };
    let line = |entry: &DeviceEntry| match entry.this {
        true => format!("{}  this device", entry.device),
        false => entry.device.clone(),
    };
    let lines: Vec<String> = devices.iter().map(line).collect();
    out.show(&answer, || lines.join("\n"))
}
