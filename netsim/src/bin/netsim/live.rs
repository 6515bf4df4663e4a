//! Commands to networks that are up.

use ostrakon_netsim::netns::{
    Answer, DirectionReport, Found, LatenessReport, NetworkName, NetworkReport, Order, OrderError,
    StateError, StationReport, end, find, find_up, names, order,
};

use super::failure::{Failure, complain, say};

pub(super) fn stats(name: &NetworkName, json: bool) -> Result<(), Failure> {
    let report = report(name)?;
    if json {
        say(format_args!("{}", serde_json::to_string_pretty(&report)?))?;
    } else {
        print(name, &report)?;
    }
    Ok(())
}

/// Asks a network how its links do.
pub(super) fn report(name: &NetworkName) -> Result<NetworkReport, Failure> {
    match tell(name, &Order::Report)? {
        Answer::Report(report) => Ok(report),
        _ => Err(Failure::new(format!(
            "the carrier of {name} is of another version: `netsim down {name}`, then `up` again"
        ))),
    }
}

pub(super) fn set(
    name: &NetworkName,
    link: Option<String>,
    changes: Vec<String>,
) -> Result<(), Failure> {
    tell(name, &Order::Set { link, changes }).map(|_done| ())
}

pub(super) fn cut(name: &NetworkName, link: Option<String>, down: bool) -> Result<(), Failure> {
    tell(name, &Order::Cut { link, down }).map(|_done| ())
}

pub(super) fn down(name: &NetworkName) -> Result<(), Failure> {
    match find(name)? {
        Found::Up(record) => {
            for host in &record.hosts {
                // Without `ip` the order fails as well, and says so.
                let running = host.processes().unwrap_or_default();
                if !running.is_empty() {
                    let running: Vec<String> = running.iter().map(u32::to_string).collect();
                    complain(format_args!(
                        "still running on {}, without a link from now on: process {}",
                        host.name,
                        running.join(", ")
                    ));
                }
            }
            match end(name, record.pid) {
                // Another command or a signal was quicker.
                Err(OrderError::Ended(_)) => ended_meanwhile(name),
                ended => Ok(ended?),
            }
        }
        Found::Swept => swept(name),
    }
}

/// Says what became of a network whose carrier ended before it could be asked to.
fn ended_meanwhile(name: &NetworkName) -> Result<(), Failure> {
    match find(name) {
        Ok(Found::Swept) => swept(name),
        Ok(Found::Up(_)) | Err(StateError::Unknown(_)) => say(format_args!(
            "{name} has ended by another command or a signal meanwhile"
        )),
        Err(error) => Err(error.into()),
    }
}

fn swept(name: &NetworkName) -> Result<(), Failure> {
    say(format_args!(
        "{name} had been killed; what it left is removed"
    ))
}

pub(super) fn list() -> Result<(), Failure> {
    for name in names()? {
        match find(&name) {
            Ok(Found::Up(record)) => {
                let hosts: Vec<String> = record
                    .hosts
                    .iter()
                    .map(|host| format!("{} ({})", host.name, host.addresses.join(", ")))
                    .collect();
                say(format_args!(
                    "{name}: {}; process {}",
                    hosts.join("; "),
                    record.pid
                ))?;
            }
            Ok(Found::Swept) => say(format_args!(
                "{name}: had been killed; what it left is removed"
            ))?,
            // It ended meanwhile.
            Err(StateError::Unknown(_)) => {}
            Err(error) => say(format_args!("{name}: {error}"))?,
        }
    }
    Ok(())
}

fn tell(name: &NetworkName, what: &Order) -> Result<Answer, Failure> {
    let record = find_up(name)?;
    Ok(order(name, record.pid, what)?)
}

fn print(name: &NetworkName, report: &NetworkReport) -> Result<(), Failure> {
    say(format_args!(
        "{name}: up for {:.0} s, process {}",
        report.uptime_s, report.pid
    ))?;
    for link in &report.links {
        let cut = if link.cut { ", cut" } else { "" };
        say(format_args!("{}: {}{cut}", link.name, link.profile))?;
        link.directions.iter().try_for_each(print_direction)?;
        link.stations.iter().try_for_each(print_station)?;
    }
    Ok(())
}

fn print_direction(direction: &DirectionReport) -> Result<(), Failure> {
    let d = direction;
    say(format_args!(
        "  {} to {}: offered {} ({} B), delivered {} ({} B), queued {} B",
        d.from, d.to, d.offered, d.offered_bytes, d.delivered, d.delivered_bytes, d.queued_bytes
    ))?;
    let other = [
        ("lost", d.lost),
        ("queue full", d.queue_full),
        ("dropped by the queue discipline", d.aqm),
        ("too big", d.too_big),
        ("cut", d.cut),
        ("corrupted", d.corrupted),
        ("duplicated", d.duplicated),
        ("reordered", d.reordered),
        ("missed by the emulator", d.missed),
        ("refused by the kernel", d.refused),
    ];
    print_other(&other, &d.lateness)
}

fn print_station(station: &StationReport) -> Result<(), Failure> {
    let s = station;
    say(format_args!(
        "  {}: offered {} ({} B), sent {}, heard {} ({} B), queued {} B",
        s.host, s.offered, s.offered_bytes, s.sent, s.delivered, s.delivered_bytes, s.queued_bytes
    ))?;
    let other = [
        ("missed by chance", s.lost),
        ("missed by collision", s.collided),
        ("missed while transmitting", s.deaf),
        ("queue full", s.queue_full),
        ("too big", s.too_big),
        ("cut", s.cut),
        ("corrupted", s.corrupted),
        ("missed by the emulator", s.missed),
        ("refused by the kernel", s.refused),
    ];
    print_other(&other, &s.lateness)
}

/// Prints those of the counts that are not zero, and the lateness.
fn print_other(counts: &[(&str, u64)], lateness: &LatenessReport) -> Result<(), Failure> {
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let mut told: Vec<String> = counts
        .map(|(what, count)| format!("{what} {count}"))
        .collect();
    if told.is_empty() {
        told.push("nothing lost".to_owned());
    }
    say(format_args!("    {}", told.join(", ")))?;
    say(format_args!(
        "    emulator late by {:.0} us (median), {:.0} us (99 %), {:.0} us (worst)",
        lateness.median_us, lateness.p99_us, lateness.worst_us
    ))
}
