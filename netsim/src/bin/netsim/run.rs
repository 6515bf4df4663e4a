//! Carries out commands, and prints what went wrong.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command as Program, ExitCode};

use clap::Parser;
use ostrakon_netsim::netns::{HostName, NetworkName, Plan, Shape, carry, find_up};
use ostrakon_netsim::profile::{Profile, ProfileError};
use ostrakon_netsim::scenario::Scenario;

use super::arguments::{Arguments, Command, Up};
use super::failure::{Failure, say};
use super::launch::own_program;
use super::{check, launch, live, profiles};

/// Runs the program.
pub(super) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::Carry { attached, up } = &arguments.command {
        return match carry_network(up, *attached) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // The standard output goes to whoever started this, and who may be gone.
                let _told = say(format_args!("{error}"));
                ExitCode::FAILURE
            }
        };
    }
    obey(arguments.command).map_or_else(|error| error.end(), |()| ExitCode::SUCCESS)
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
        Command::Become { command } => become_program(&command),
    }
}

fn need_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::new(
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
        let told = say(format_args!(
            "{}: {}; netsim exec {} {} -- COMMAND",
            host.name,
            host.addresses.join(", "),
            up.name,
            host.name
        ));
        told.map_err(|error| {
            error.and(&format!("; {0} is up, `netsim down {0}` ends it", up.name))
        })?;
    }
    Ok(())
}

/// Turns this process into the command, so that its exit status and signals are the command's own.
fn exec(name: &NetworkName, host: &HostName, command: &[OsString]) -> Result<(), Failure> {
    let record = find_up(name)?;
    let Some(found) = record.host(host) else {
        let hosts: Vec<&str> = record.hosts.iter().map(|host| host.name.as_str()).collect();
        return Err(Failure::new(format!(
            "{name} has no host {host}: name one of {}",
            hosts.join(", ")
        )));
    };
    // `ip` has one exit status for all that goes wrong, so this program takes the last step itself.
    let error = Program::new("ip")
        .args(["netns", "exec", &found.namespace])
        .arg(own_program()?)
        .args(["become", "--"])
        .args(command)
        .exec();
    Err(Failure::new(format!(
        "cannot run `ip netns exec`: {error}; install iproute2"
    )))
}

/// Turns this process into a program, with the exit status of shells if there is none (127) or it cannot be executed (126).
fn become_program(command: &[OsString]) -> Result<(), Failure> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Failure::new("there is no command to run: give one after `--`"))?;
    let error = Program::new(program).args(arguments).exec();
    let program = program.display();
    Err(match error.kind() {
        io::ErrorKind::NotFound => Failure::new(format!(
            "there is no program {program} here, or not the interpreter that its first line names: give a path, or a name that is found in $PATH"
        ))
        .status(127),
        _ => Failure::new(format!(
            "{program} cannot be executed: {error}; see its permissions by `ls -l`, and that it is a program for this machine"
        ))
        .status(126),
    })
}
