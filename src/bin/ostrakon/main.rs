//! The command line of ostrakon.

mod args;
mod ask;
mod commands;
mod demo;
mod failure;
mod grant_args;
mod memory;
mod out;
mod plain;
mod progress;
mod terminal;
mod unlock;
mod values;

use args::{Cli, Command};
use clap::Parser;
use clap::error::ErrorKind as ClapError;
use commands::node::Stop;
use commands::{
    card, device, grant, group, inbox, init, invite, join, largest, link, node, pages, passphrase,
    person, relay, root, routes, send, sim, spool, status, strangers,
};
use failure::{Failure, Kind, Outcome};
use grant_args::GrantCommand;
use out::Out;
use std::num::NonZero;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let out = Out { json: cli.json };
    log_to_stderr(cli.verbose);
    let workers = workers();
    // Others end soon, or have the machine for themselves.
    if matches!(cli.command, Command::Node { .. } | Command::Relay(_)) {
        memory::keep_small(workers);
    }
    let ended = runtime(workers).and_then(|runtime| {
        let ended = runtime.block_on(run(out, cli));
        // Reads of standard input may hang on a terminal; nothing waits for them.
        runtime.shutdown_background();
        unlock::forget();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(out, &failure),
    }
}

/// Half of the processor's cores drive the engine and the links, which hand each other every frame: more of them would hand it
/// from core to core. The others code, read and write.
fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores.div_ceil(2)
}

fn runtime(workers: usize) -> Outcome<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build();
    built.map_err(|error| {
        let what = format!("the system gives us no threads: {error}");
        Failure::new(Kind::Other, what, "close other programs and try again")
    })
}

async fn run(out: Out, cli: Cli) -> Outcome {
    if cfg!(feature = "broken") && !matches!(cli.command, Command::Sim(_)) {
        let what =
            "this program was built with an engine that is broken on purpose, and only simulates";
        let next = "build it without the features that begin with `break-`";
        return Err(Failure::new(Kind::Other, what, next));
    }
    // These need no home.
    let command = match cli.command {
        Command::Demo(args) => return demo::run(out, args).await,
        Command::Completions { shell } => return pages::completions(out, shell),
        Command::Man { out: dir } => return pages::man(out, dir.as_deref()),
        Command::Sim(command) => return sim::run(out, command).await,
        Command::Grant(GrantCommand::Show { grant }) => return grant::show(out, &grant),
        command => command,
    };
    memory::keep_private();
    unlock::from(cli.passphrase_file);
    if let Command::Relay(args) = command {
        let dir = ask::home(cli.home, "ostrakon-relay")?;
        return match args.command {
            Some(command) => {
                routes::refuse_options(&args.run)?;
                routes::run(out, &dir, command).await
            }
            None => relay::run(out, &dir, &args.run).await,
        };
    }
    let home = ask::home(cli.home, "ostrakon")?;
    match command {
        // These end in order on Ctrl-C by themselves.
        Command::Node {
            listen,
            control,
            end_with_stdin,
        } => node::run(out, &home, listen, control, Stop::listen(end_with_stdin)?).await,
        Command::Send(args) => send::run(out, &home, args).await,
        command => tokio::select! {
            ended = short(out, &home, command) => ended,
            _ = tokio::signal::ctrl_c() => Err(Failure {
                kind: Kind::Interrupted,
                text: "stopped".into(),
                message: None,
            }),
        },
    }
}

/// Commands that ask and show.
async fn short(out: Out, home: &std::path::Path, command: Command) -> Outcome {
    match command {
        Command::Init {
            name: Some(name),
            root,
            root_passphrase_file,
            no_passphrase,
            ..
        } => {
            let root = match root {
                Some(file) => Some(root::opened(&file, root_passphrase_file).await?),
                None => None,
            };
            init::run(out, home, &name, root, no_passphrase).await
        }
        Command::Init {
            name: None,
            join,
            no_passphrase,
            ..
        } => join::run(out, home, join, no_passphrase).await,
        Command::Device(command) => device::run(out, home, command).await,
        Command::Root(command) => root::run(out, home, command).await,
        Command::Passphrase(command) => passphrase::run(out, home, command).await,
        Command::Card {
            qr,
            mailbox,
            out: file,
        } => {
            let form = card::Form::of(qr, mailbox);
            card::run(out, home, form, file.as_deref()).await
        }
        Command::Person(command) => person::run(out, home, command).await,
        Command::Invite(command) => invite::run(out, home, command).await,
        Command::Largest { size } => largest::run(out, home, size).await,
        Command::Strangers { rule } => strangers::rule(out, home, rule).await,
        Command::Group(command) => group::run(out, home, command).await,
        Command::Link(command) => link::run(out, home, command).await,
        Command::Grant(command) => grant::run(out, home, command).await,
        Command::Inbox => inbox::list(out, home).await,
        Command::Read { id } => inbox::read(out, home, id).await,
        Command::Save { id, dir } => inbox::save(out, home, id, &dir).await,
        Command::Delete { ids } => inbox::delete(out, home, ids).await,
        Command::Cancel { id } => inbox::cancel(out, home, id).await,
        Command::Status { watch } => status::run(out, home, watch).await,
        Command::Spool(command) => spool::run(out, home, command).await,
        Command::Node { .. }
        | Command::Relay(_)
        | Command::Send(_)
        | Command::Demo(_)
        | Command::Sim(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
    }
}

/// Says what failed, and gives the exit code.
fn report(out: Out, failure: &Failure) -> ExitCode {
    if failure.kind != Kind::BrokenPipe {
        eprintln!("ostrakon: {}", failure.text);
    }
    if let Some(object) = failure.to_json().filter(|_| out.json)
        && let Err(failure) = out.object(&object)
    {
        return failure.exit_code();
    }
    failure.exit_code()
}

/// The command line itself was wrong, or help was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ClapError::DisplayHelp | ClapError::DisplayVersion
    ) {
        return match error.print() {
            Err(error) => report(Out { json: false }, &Failure::output(&error)),
            Ok(()) => ExitCode::SUCCESS,
        };
    }
    let json = std::env::args_os().any(|arg| arg == "--json");
    if !json {
        // If not even this can be shown, the exit code has to do.
        let _shown = error.print();
        return ExitCode::from(2);
    }
    let kind = Kind::Api(ostrakon::node::api::ErrorKind::Usage);
    let text = error.render().to_string().trim_end().to_owned();
    let message = None;
    report(
        Out { json },
        &Failure {
            kind,
            text,
            message,
        },
    )
}

/// Logs go to standard error: what OSTRAKON_LOG asks for, with --verbose at least what happens.
fn log_to_stderr(verbose: bool) {
    let usual = if verbose { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("OSTRAKON_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}
