//! `relay status`, `relay link`, `relay route`: what the operator of a relay asks of it.

use super::grant::text;
use super::person::read_card;
use super::relay_grants;
use crate::args::{RelayCommand, RelayLinkCommand, RelayRun, RouteCommand};
use crate::ask::unexpected;
use crate::failure::{Failure, Kind, Outcome};
use crate::grant_args::LinkGrantArgs;
use crate::out::Out;
use crate::plain::{Lean, bytes, one_line, rate, table};
use ostrakon::node::api::{ErrorKind, RateControl};
use ostrakon::node::relay::api::{
    ALL, GrantStatus, HERE, LinkConfig, Request, Response, Route, Status,
};
use ostrakon::node::relay::ask;
use std::path::Path;

/// Does it.
///
/// # Errors
/// An address or a mailbox that cannot be used, an unknown link or route, a directory that is damaged or in use.
pub async fn run(out: Out, dir: &Path, command: RelayCommand) -> Outcome {
    let command = match command {
        RelayCommand::Grant(command) => return relay_grants::run(out, dir, command).await,
        command => command,
    };
    let request = request(command)?;
    let answer = match ask(dir, request.clone(), None).await? {
        Response::Error { kind, text } => {
            return Err(Failure {
                kind: Kind::Api(kind),
                text,
                message: None,
            });
        }
        answer => answer,
    };
    let text = match (&request, &answer) {
        (_, Response::Status(status)) => show_status(status),
        (_, Response::Links { links }) => show_links(links),
        (_, Response::Routes { routes }) => show_routes(routes),
        (_, Response::Route(route)) => format!("Frames for {}\n", sentence(route)),
        (_, Response::Released { frames }) => format!("{frames} frames are let go of.\n"),
        (Request::LinkAdd(link), Response::Done) => {
            let name = &link.name;
            format!(
                "Link {name} is there. Have frames leave by it with: ostrakon relay route add MAILBOX via {name}\n"
            )
        }
        (Request::LinkGrant { name, grant }, Response::Done) => match grant {
            Some(_) => format!("Link {name} shows the grant from now on.\n"),
            None => format!("Link {name} shows no grant any more.\n"),
        },
        (Request::LinkRemove { name }, Response::Done) => format!("Link {name} is forgotten.\n"),
        (Request::RouteRemove { .. }, Response::Done) => "The route is forgotten.\n".into(),
        _ => return Err(unexpected()),
    };
    out.show(&answer, || text)
}

/// A question says nothing of how the relay is run.
///
/// # Errors
/// If it does.
pub fn refuse_options(run: &RelayRun) -> Outcome {
    let given = [
        ("--listen", run.listen.is_some()),
        ("--max-bytes", run.max_bytes.is_some()),
        ("--grants", run.grants.is_some()),
        ("--client-rate", run.client_rate.is_some()),
        ("--grant-rate", run.grant_rate.is_some()),
        ("--unknown-rate", run.unknown_rate.is_some()),
        ("--control", run.control.is_some()),
        ("--end-with-stdin", run.end_with_stdin),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => {
            let what = format!("{option} is for the relay that runs, not for what is asked of it");
            let next = format!("leave {option} out, or start the relay with: ostrakon relay");
            Err(Failure::api(ErrorKind::Usage, what, next))
        }
    }
}

fn request(command: RelayCommand) -> Outcome<Request> {
    Ok(match command {
        // Grants have been dealt with.
        RelayCommand::Status | RelayCommand::Grant(_) => Request::Status,
        RelayCommand::Link(RelayLinkCommand::Add {
            name,
            uri,
            mtu,
            rate,
            control,
        }) => Request::LinkAdd(LinkConfig {
            name,
            uri,
            mtu,
            rate_bps: rate,
            control: control.map(RateControl::from),
            grants: Vec::new(),
        }),
        RelayCommand::Link(RelayLinkCommand::List) => Request::LinkList,
        RelayCommand::Link(RelayLinkCommand::Rm { name }) => Request::LinkRemove { name },
        RelayCommand::Link(RelayLinkCommand::Grant(LinkGrantArgs { name, grant, .. })) => {
            Request::LinkGrant {
                name,
                grant: grant.as_deref().map(text).transpose()?,
            }
        }
        RelayCommand::Link(RelayLinkCommand::Release { name }) => Request::LinkRelease { name },
        RelayCommand::Route(RouteCommand::Add { mailbox, link, .. }) => Request::RouteAdd {
            mailbox: mailbox_text(mailbox)?,
            via: link,
        },
        RelayCommand::Route(RouteCommand::List) => Request::RouteList,
        RelayCommand::Route(RouteCommand::Rm { mailbox }) => {
            // What is no file is a name.
            let text = match Path::new(&mailbox).is_file() {
                true => mailbox_text(mailbox)?,
                false => mailbox,
            };
            Request::RouteRemove { mailbox: text }
        }
    })
}

/// A mailbox as it was given, or the card in the file of that name.
fn mailbox_text(given: String) -> Outcome<String> {
    if given == ALL || given.trim().to_ascii_lowercase().starts_with("ostrakon") {
        return Ok(given);
    }
    read_card(Path::new(&given))
}

fn sentence(route: &Route) -> String {
    let whom = match &route.owner {
        Some(owner) => one_line(owner),
        None if route.mailbox == ALL => "all others".into(),
        None => route.mailbox.clone(),
    };
    match &*route.via {
        HERE => format!("{whom} stay here until they are fetched."),
        via => format!("{whom} leave by {via}."),
    }
}

fn show_links(links: &[LinkConfig]) -> String {
    if links.is_empty() {
        return "The relay has no link. Add one with: ostrakon relay link add NAME URI\n".into();
    }
    let mut rows = vec![
        ["NAME", "CONTROL", "FRAME", "RATE", "ADDRESS"]
            .map(String::from)
            .to_vec(),
    ];
    let dash = || "-".to_owned();
    rows.extend(links.iter().map(|link| {
        vec![
            one_line(&link.name),
            link.controlled().map_or("-", RateControl::name).into(),
            link.mtu.map_or_else(dash, |mtu| mtu.to_string()),
            link.rate_bps.map_or_else(dash, rate),
            one_line(&link.uri),
        ]
    }));
    table(
        0,
        &[Lean::Left, Lean::Left, Lean::Right, Lean::Right, Lean::Left],
        &rows,
    )
}

fn show_routes(routes: &[Route]) -> String {
    if routes.is_empty() {
        return "There is no route: all frames stay until they are fetched. Add one with: ostrakon relay route add MAILBOX via LINK\n".into();
    }
    let mut rows = vec![["VIA", "OWNER", "MAILBOX"].map(String::from).to_vec()];
    rows.extend(routes.iter().map(|route| {
        vec![
            one_line(&route.via),
            route.owner.as_deref().map_or_else(|| "-".into(), one_line),
            route.mailbox.clone(),
        ]
    }));
    table(0, &[Lean::Left], &rows)
}

fn show_status(status: &Status) -> String {
    let counters = &status.counters;
    let mut text = match status.running {
        true => {
            let control = status.control.unwrap_or_default().name();
            format!("The relay is running, with control {control}.\n")
        }
        false => "The relay is not running; start it with: ostrakon relay\n".to_owned(),
    };
    text += &format!(
        "It holds {} frames ({}).\n",
        counters.held_frames,
        bytes(counters.held_bytes)
    );
    if let Some(error) = &status.store_error {
        text += &format!("Its store fails: {}.\n", one_line(error));
    }
    if status.running {
        text += &format!(
            "Since it started: {} stored, {} fetched, {} passed on, {} refused.\n",
            counters.stored, counters.handed_over, counters.forwarded, counters.refused
        );
    }
    if !status.links.is_empty() {
        let heading = [
            "LINK",
            "STATE",
            "CONTROL",
            "WAITING",
            "",
            "PASSED ON",
            "WRITTEN",
            "READ",
        ];
        let mut rows = vec![heading.map(String::from).to_vec()];
        rows.extend(status.links.iter().map(|link| {
            vec![
                one_line(&link.name),
                if link.up { "up" } else { "down" }.into(),
                link.control.map_or("-", RateControl::name).into(),
                link.waiting_frames.to_string(),
                bytes(link.waiting_bytes),
                link.forwarded.to_string(),
                link.exported.to_string(),
                link.imported.to_string(),
            ]
        }));
        text += &format!(
            "\n{}",
            table(0, &[Lean::Left, Lean::Left, Lean::Left, Lean::Right], &rows)
        );
        for link in &status.links {
            let why = if link.up {
                &link.notice
            } else {
                &link.down_reason
            };
            if let Some(why) = why {
                text += &format!("{}: {}\n", one_line(&link.name), one_line(why));
            }
        }
    }
    let before_links = status.links.iter().flat_map(|link| &link.dropped);
    let dropped: Vec<String> = status
        .dropped
        .iter()
        .chain(before_links)
        .map(|(why, frames)| format!("{} {frames}", one_line(why)))
        .collect();
    if !dropped.is_empty() {
        text += &format!("\nDropped or refused: {}\n", dropped.join(", "));
    }
    text += &show_grants(&status.grants);
    for route in &status.routes {
        text += &format!(
            "{} Waiting: {} ({})\n",
            sentence(&route.route),
            route.waiting_frames,
            bytes(route.waiting_bytes)
        );
    }
    text
}

fn show_grants(grants: &GrantStatus) -> String {
    let mut text = String::new();
    if grants.required {
        text += &format!("Frames need a grant; the counter is {}.\n", grants.counter);
    }
    let shown: Vec<String> = grants
        .shown
        .iter()
        .map(|(what, n)| format!("{what} {n}"))
        .collect();
    if !shown.is_empty() {
        text += &format!("Grants shown: {}\n", shown.join(", "));
    }
    let slowed = &grants.slowed;
    if slowed.client + slowed.grant + slowed.unknown > 0 {
        text += &format!(
            "Frames that had to wait: {} for their client, {} for their grant, {} without a grant\n",
            slowed.client, slowed.grant, slowed.unknown
        );
    }
    text
}
