//! What can be asked of grants on the command line.

use crate::args::PriorityArg;
use crate::values::parse_size;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Of grants that others gave to you.
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// Show what a grant allows, and check its signatures.
    Show {
        /// The grant, a file that holds it, or - for standard input.
        grant: String,
    },
    /// Make a narrower grant of one that is yours, for somebody else. What it costs is spent of yours.
    Narrow {
        /// The grant, a file that holds it, or - for standard input.
        grant: String,
        #[command(flatten)]
        terms: TermArgs,
        /// The last value of the issuer's counter with which it is good [default: as in yours].
        #[arg(long, value_name = "N")]
        until: Option<u64>,
    },
}

/// What a grant is to allow.
#[derive(Debug, Args)]
pub struct TermArgs {
    /// For whom: a link key, the address of a relay, or a file with a contact card.
    #[arg(long, value_name = "KEY")]
    pub to: String,
    /// Only for this mailbox: its address, or a file with the card of its owner; may be given eight times.
    #[arg(long, value_name = "MAILBOX")]
    pub mailbox: Vec<String>,
    /// The most bytes, in all, such as 500MB.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub bytes: Option<u64>,
    /// The most frames, in all.
    #[arg(long, value_name = "N")]
    pub frames: Option<u64>,
    /// The most urgent priority; what is more urgent is kept as if it were this.
    #[arg(long)]
    pub priority: Option<PriorityArg>,
}

/// Which grant a link shows.
#[derive(Debug, Args)]
pub struct LinkGrantArgs {
    /// Its name.
    pub name: String,
    /// The grant, a file that holds it, or - for standard input.
    #[arg(required_unless_present = "forget")]
    pub grant: Option<String>,
    /// Show none any more.
    #[arg(long, conflicts_with = "grant")]
    pub forget: bool,
}

/// Of the grants of a relay.
#[derive(Debug, Subcommand)]
pub enum RelayGrantCommand {
    /// Make a grant: its holder may fill mailboxes here, as far as it says.
    Issue {
        #[command(flatten)]
        terms: TermArgs,
        /// It is over when the counter was turned so often.
        #[arg(long, value_name = "N", default_value_t = 1)]
        epochs: u64,
    },
    /// List the grants that were issued, and the issuers that are trusted.
    List,
    /// Have a grant, and all that was made from it, count no more.
    Revoke {
        /// The grant, a file that holds it, or the beginning of its id.
        grant: String,
    },
    /// Advance the relay's counter by one, which ends the grants whose time is over.
    Turn {
        /// Advance that of another issuer, by its key.
        #[arg(long, value_name = "KEY")]
        issuer: Option<String>,
    },
    /// Have the grants of another issuer count here, such as another relay.
    Trust {
        /// Its key, its address, or a file with its contact card.
        issuer: String,
        /// They count no more.
        #[arg(long)]
        forget: bool,
    },
    /// Print a signed statement of what grants have cost here, for audit.
    Spent,
    /// Compare statements of several relays, and find who has spent more than was granted. Ends with exit code 6 then.
    Audit {
        /// Files with statements.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Whether frames need a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GrantsArg {
    /// Everybody may fill mailboxes.
    Open,
    /// Only who shows a grant may.
    Required,
}
