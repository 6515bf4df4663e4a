//! `strangers`, `person strangers`: people who write although one does not know them.

use crate::args::StrangersArg;
use crate::ask::{ask, unexpected};
use crate::failure::Outcome;
use crate::out::Out;
use crate::plain::{Lean, one_line, short, table, time};
use ostrakon::node::api::{Request, Response, StrangerEntry};
use std::path::Path;
use std::time::Duration;

/// Lets them in or not, or says how it is.
///
/// # Errors
/// No home.
pub async fn rule(out: Out, home: &Path, rule: Option<StrangersArg>) -> Outcome {
    let open = rule.map(|rule| rule == StrangersArg::On);
    let answer = ask(home, Request::Strangers { open }).await?;
    let Response::Strangers { open, strangers } = &answer else {
        return Err(unexpected());
    };
    out.show(&answer, || {
        let rule = match open {
            true => {
                "Strangers may write to you. What they write waits: ostrakon person strangers\n"
            }
            false => "Strangers are not let in. Let them in with: ostrakon strangers on\n",
        };
        match strangers.len() {
            0 => rule.into(),
            waiting => format!("{rule}{waiting} wait for your word.\n"),
        }
    })
}

/// Lists those who wait.
///
/// # Errors
/// No home.
pub async fn list(out: Out, home: &Path) -> Outcome {
    let answer = ask(home, Request::Strangers { open: None }).await?;
    let Response::Strangers { strangers, .. } = &answer else {
        return Err(unexpected());
    };
    out.show(&answer, || waiting(strangers))
}

fn waiting(strangers: &[StrangerEntry]) -> String {
    if strangers.is_empty() {
        return "No stranger waits.\n".into();
    }
    let heading = ["CALLS HIMSELF", "MESSAGES", "WAITS FOR", "PERSON"];
    let mut rows = vec![heading.map(String::from).to_vec()];
    rows.extend(strangers.iter().map(|one| {
        let name = one_line(&one.name);
        vec![
            match one.invited {
                true => name + ", invited, like a contact",
                false => name,
            },
            one.messages.to_string(),
            time(Duration::from_secs(u64::from(one.left_s))),
            short(&one.person).to_owned(),
        ]
    }));
    let advice = "Nothing shows that they are who they say. Take one in with: ostrakon person accept NAME, or drop one with: ostrakon person decline NAME\n";
    format!("{}{advice}", table(0, &[Lean::Left], &rows))
}
