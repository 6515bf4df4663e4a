//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ostrakon_netsim::netns::{HostName, NetworkName};

/// Puts any program behind a bad link, in real time.
#[derive(Debug, Parser)]
#[command(name = "netsim", version, after_help = EXAMPLE)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXAMPLE: &str = "\
Example:
  netsim up sat --profile geo
  netsim exec sat a -- ping -c 3 10.77.0.2
  netsim down sat

The hosts are a (10.77.0.1, fd6e:7473:696d::1) and b (10.77.0.2, fd6e:7473:696d::2). Root is needed.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start a network: two hosts and a link between them
    Up(Up),
    /// Run a command on one of its hosts; the exit status is the command's
    Exec {
        /// The network
        name: NetworkName,
        /// The host, `a` or `b` unless the network has others
        host: HostName,
        /// The command and its arguments
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Tell what became of the packets, and how exact the emulator is
    Stats {
        /// The network
        name: NetworkName,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a link while it is up
    Set {
        /// The network
        name: NetworkName,
        /// Only this link, as `link0` or by the scenario's name for it
        #[arg(long)]
        link: Option<String>,
        /// What to change
        #[arg(required = true, value_name = "KEY=VALUE")]
        changes: Vec<String>,
    },
    /// Cut the links: nothing passes, and what is under way is lost
    Cut(Links),
    /// Restore links that were cut
    Restore(Links),
    /// End a network and remove everything of it
    Down {
        /// The network
        name: NetworkName,
    },
    /// List the networks that are up, and remove what killed ones left
    List,
    /// List the profiles, or tell all about one
    Profiles {
        /// The profile
        profile: Option<String>,
    },
    /// Measure how exact the emulator is on this machine; fails if a value is out of bounds
    Check {
        /// Measure for a shorter time, with the same bounds
        #[arg(long)]
        quick: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Become a program, for `exec`
    #[command(hide = true)]
    Become {
        /// The program and its arguments
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Carry a network, for `up`
    #[command(hide = true)]
    Carry {
        /// End with the standard input
        #[arg(long)]
        attached: bool,
        #[command(flatten)]
        up: Up,
    },
}

#[derive(Debug, Args)]
pub(super) struct Up {
    /// A name for the network
    pub(super) name: NetworkName,
    /// What the link between `a` and `b` is like; `netsim profiles` lists them
    #[arg(
        long,
        required_unless_present = "topology",
        conflicts_with = "topology"
    )]
    pub(super) profile: Option<String>,
    /// A scenario, whose nodes and links the network is to have instead
    #[arg(long, value_name = "FILE")]
    pub(super) topology: Option<PathBuf>,
    /// What chance follows from: the same packets in the same order meet the same fate (1, or as the scenario says)
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// What is different from the profile, or in the scenario
    #[arg(value_name = "KEY=VALUE")]
    pub(super) changes: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Links {
    /// The network
    pub(super) name: NetworkName,
    /// Only this link, as `link0` or by the scenario's name for it
    #[arg(long)]
    pub(super) link: Option<String>,
}

impl Up {
    /// The arguments that mean the same to `netsim carry`.
    pub(super) fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![self.name.to_string().into()];
        if let Some(profile) = &self.profile {
            words.extend(["--profile".into(), profile.into()]);
        }
        if let Some(topology) = &self.topology {
            words.extend(["--topology".into(), topology.into()]);
        }
        if let Some(seed) = self.seed {
            words.extend(["--seed".into(), seed.to_string().into()]);
        }
        words.push("--".into());
        words.extend(self.changes.iter().map(Into::into));
        words
    }
}
