//! Carries out commands, and prints what went wrong.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::{Command as Program, ExitCode};

use clap::Parser;
use ostrakon_netsim::netns::{HostName, NetworkName, Plan, Shape, carry, find_up};
use ostrakon_netsim::profile::{Profile, ProfileError};
use ostrakon_netsim::scenario::Scenario;

use super::arguments::{Arguments, Command, Up};
use super::{check, launch, live, profiles};

/// What went wrong, and what to do.
#[derive(Debug)]
pub(super) struct Failure(pub(super) String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs the program.
pub(super) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::Carry { attached, up } = &arguments.command {
        return match carry_network(up, *attached) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // The standard output goes to whoever started this.
                println!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    match obey(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netsim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn obey(command: Command) -> Result<(), Failure> {
    if !matches!(command, Command::Profiles { .. }) {
        need_root()?;
    }
    match command {
        Command::Up(up) => bring_up(&up),
        Command::Exec {
            name,
            host,
            command,
        } => exec(&name, &host, &command),
        Command::Stats { name, json } => live::stats(&name, json),
        Command::Set {
            name,
            link,
            changes,
        } => live::set(&name, link, changes),
        Command::Cut(links) => live::cut(&links.name, links.link, true),
        Command::Restore(links) => live::cut(&links.name, links.link, false),
        Command::Down { name } => live::down(&name),
        Command::List => live::list(),
        Command::Profiles { profile } => profiles::print(profile.as_deref()),
        Command::Check { quick, json } => check::check(quick, json),
        Command::Carry { attached, up } => carry_network(&up, attached),
    }
}

fn need_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure(
        "network namespaces and TUN devices need root: run it by `sudo netsim …`".to_owned(),
    ))
}

fn plan(up: &Up) -> Result<Plan, Failure> {
    if let Some(file) = &up.topology {
        let mut scenario = Scenario::load(file)?;
        for change in &up.changes {
            let (key, value) = change
                .split_once('=')
                .ok_or_else(|| ProfileError::NoChange(change.clone()))?;
            scenario.set(key.trim(), value.trim())?;
        }
        let seed = up.seed.unwrap_or(scenario.seed);
        return Ok(Plan::of_scenario(up.name.clone(), &scenario, seed)?);
    }
    let profile = Profile::named(up.profile.as_deref().unwrap_or_default())?;
    let shape = Shape::new(&profile, &up.changes)?;
    let hosts = ["a".parse()?, "b".parse()?];
    let plan = Plan::pair(up.name.clone(), hosts, shape, up.seed.unwrap_or(1));
    plan.validate()?;
    Ok(plan)
}

fn carry_network(up: &Up, attached: bool) -> Result<(), Failure> {
    carry(plan(up)?, attached)?;
    Ok(())
}

fn bring_up(up: &Up) -> Result<(), Failure> {
    // What is wrong with the arguments is said before anything is started.
    plan(up)?;
    launch::launch(up, false)?;
    let record = find_up(&up.name)?;
    for host in &record.hosts {
        println!(
            "{}: {}; netsim exec {} {} -- COMMAND",
            host.name,
            host.addresses.join(", "),
            up.name,
            host.name
        );
    }
    Ok(())
}

/// Turns this process into the command, so that its exit status and signals are the command's own.
fn exec(name: &NetworkName, host: &HostName, command: &[OsString]) -> Result<(), Failure> {
    let record = find_up(name)?;
    let Some(found) = record.host(host) else {
        let hosts: Vec<&str> = record.hosts.iter().map(|host| host.name.as_str()).collect();
        return Err(Failure(format!(
            "{name} has no host {host}: name one of {}",
            hosts.join(", ")
        )));
    };
    let error = Program::new("ip")
        .args(["netns", "exec", &found.namespace])
        .args(command)
        .exec();
    Err(Failure(format!(
        "cannot run `ip netns exec`: {error}; install iproute2"
    )))
}
