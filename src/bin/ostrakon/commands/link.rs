//! `link`: the ways by which messages travel.

use super::grant::text;
use crate::args::{LinkArgs, LinkCommand};
use crate::ask::{ask, unexpected};
use crate::failure::Outcome;
use crate::grant_args::LinkGrantArgs;
use crate::out::Out;
use crate::plain::{Lean, one_line, rate, table};
use ostrakon::node::api::{LinkConfig, OneWay, RateControl, Request, Response};
use std::path::Path;

/// Does it.
///
/// # Errors
/// An address that cannot be used, an unknown link or person, no home.
pub async fn run(out: Out, home: &Path, command: LinkCommand) -> Outcome {
    match command {
        LinkCommand::Add(args) => {
            let name = args.name.clone();
            let answer = ask(home, Request::LinkAdd(config(args))).await?;
            out.show(&answer, || format!("Link {name} is there."))
        }
        LinkCommand::List => {
            let answer = ask(home, Request::LinkList).await?;
            let Response::Links { links } = &answer else {
                return Err(unexpected());
            };
            out.show(&answer, || list(links))
        }
        LinkCommand::Rm { name } => {
            let answer = ask(home, Request::LinkRemove { name: name.clone() }).await?;
            let Response::LinkRemoved { waiting } = &answer else {
                return Err(unexpected());
            };
            out.show(&answer, || format!("Link {name} is forgotten."))?;
            if !waiting.is_empty() {
                eprintln!("{}", bound_to(waiting.len()));
            }
            Ok(())
        }
        LinkCommand::Grant(LinkGrantArgs { name, grant, .. }) => {
            let grant = grant.as_deref().map(text).transpose()?;
            let words = match grant {
                Some(_) => format!("Link {name} shows the grant from now on."),
                None => format!("Link {name} shows no grant any more."),
            };
            let answer = ask(home, Request::LinkGrant { name, grant }).await?;
            out.show(&answer, || words)
        }
    }
}

/// What to do with so many messages that no other link may carry.
fn bound_to(waiting: usize) -> String {
    let (which, them) = match waiting {
        1 => (
            "1 message waits for this link alone and leaves".into(),
            "it",
        ),
        more => (
            format!("{more} messages wait for this link alone and leave"),
            "them",
        ),
    };
    format!(
        "{which} by no other: find {them} with `ostrakon status`, give {them} up with \
         `ostrakon cancel ID`, and send {them} again"
    )
}

fn config(args: LinkArgs) -> LinkConfig {
    LinkConfig {
        name: args.name,
        uri: args.uri,
        person: args.person,
        rate_bps: args.rate,
        rtt_ms: args.rtt,
        mtu: args.mtu,
        cost: args.cost,
        oneway: args.oneway.map(OneWay::from),
        loss_percent: args.loss,
        control: args.control.map(RateControl::from),
    }
}

fn list(links: &[LinkConfig]) -> String {
    if links.is_empty() {
        return "There is no link yet. Add one with: ostrakon link add NAME URI\n".into();
    }
    let heading = [
        "NAME",
        "RATE",
        "ROUND TRIP",
        "CONTROL",
        "COST/MB",
        "DIRECTION",
        "PERSON",
        "ADDRESS",
    ];
    let mut rows = vec![heading.map(String::from).to_vec()];
    let dash = || "-".to_owned();
    rows.extend(links.iter().map(|link| {
        vec![
            one_line(&link.name),
            link.rate_bps.map_or_else(dash, rate),
            link.rtt_ms.map_or_else(dash, |ms| format!("{ms} ms")),
            link.control.map_or("-", RateControl::name).into(),
            link.cost.to_string(),
            match link.oneway {
                None => "both".into(),
                Some(OneWay::Send) => "sends only".into(),
                Some(OneWay::Receive) => "receives only".into(),
            },
            link.person
                .as_deref()
                .map_or_else(|| "anyone".into(), one_line),
            one_line(&link.uri),
        ]
    }));
    use Lean::{Left, Right};
    table(0, &[Left, Right, Right, Left, Right, Left], &rows)
}
