//! What can be asked on the command line.

use crate::grant_args::{GrantCommand, GrantsArg, LinkGrantArgs, RelayGrantCommand};
use crate::values::{
    SeedRange, parse_duration_ms, parse_loss, parse_rate, parse_seconds, parse_seeds, parse_size,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ostrakon::node::api::{OneWay, RateControl};
use std::path::PathBuf;

/// Stands at the end of every help page.
const EXIT_CODES: &str = "\
Exit codes:
  0    done; also when the reader of our output went away, and when a node or a relay was stopped
  1    something else failed
  2    the order makes no sense, or names a path or an address that cannot be used
  3    nothing of that name
  4    the home is missing, of another version, or in use
  5    the disk is full or failed
  6    a bound was reached
  7    input that is damaged or forged
  8    the node does not answer
  9    the keys are locked, and the passphrase is missing or wrong
  130  any other command ended by Ctrl-C

Environment:
  OSTRAKON_HOME             the home, unless --home names one
  OSTRAKON_PASSPHRASE_FILE  the file with the passphrase of the keys, unless --passphrase-file names one
  OSTRAKON_LOG              what to log to standard error, such as info or ostrakon=debug";

/// Delivers a message in sealed fragments over several bad links at once.
#[derive(Debug, Parser)]
#[command(name = "ostrakon", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub struct Cli {
    /// Where keys, messages and links are kept [default: $OSTRAKON_HOME, else the folder ostrakon,
    /// or ostrakon-relay for a relay, in $XDG_DATA_HOME, else in ~/.local/share].
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// A file whose first line is the passphrase of the keys [default: $OSTRAKON_PASSPHRASE_FILE, else what is typed
    /// at the terminal].
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Print JSON for programs; errors too.
    #[arg(long, global = true)]
    pub json: bool,
    /// Log what happens to standard error.
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make your keys and an empty home.
    Init {
        /// What others see as your name.
        #[arg(long, required_unless_present = "join")]
        name: Option<String>,
        /// How this device becomes another one of yours, rather than somebody new.
        #[command(flatten)]
        join: JoinArgs,
        /// Be the person whose root key is in this file, with new keys: when no device of yours is left.
        #[arg(long, value_name = "FILE", conflicts_with = "join")]
        root: Option<PathBuf>,
        /// A file whose first line is the passphrase of the root key.
        #[arg(long, value_name = "FILE", requires = "root")]
        root_passphrase_file: Option<PathBuf>,
        /// Ask for no passphrase and use none: whoever gets at the disk gets the keys.
        #[arg(long, conflicts_with = "passphrase_file")]
        no_passphrase: bool,
    },
    /// Your root key, which makes you who you are: kept apart from your devices.
    #[command(subcommand)]
    Root(RootCommand),
    /// The passphrase under which your keys are kept on the disk.
    #[command(subcommand)]
    Passphrase(PassphraseCommand),
    /// Show your contact card, to be given to others.
    Card {
        /// As a QR code for the camera of another device; a picture if the file ends in .svg or .png.
        #[arg(long)]
        qr: bool,
        /// Only the address of your mailbox: what the operator of a relay needs to route frames to you.
        #[arg(long, conflicts_with = "qr")]
        mailbox: bool,
        /// Write it into a file instead.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Your devices.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// People you know.
    #[command(subcommand)]
    Person(PersonCommand),
    /// Invitations: your card with a secret that lets one person in, whom you do not know yet.
    #[command(subcommand)]
    Invite(InviteCommand),
    /// Whether people whom you do not know may write to you [default: off].
    Strangers {
        /// Let them in or not; without a word, say how it is.
        rule: Option<StrangersArg>,
    },
    /// How large messages may be that others send you [default: any that fits]. Your card says it.
    Largest {
        /// Such as 50MB, or `any`; without a word, say how it is.
        #[arg(value_parser = crate::values::parse_bound)]
        size: Option<crate::values::Bound>,
    },
    /// Groups: names for several people.
    #[command(subcommand)]
    Group(GroupCommand),
    /// Links: the ways by which messages travel.
    #[command(subcommand)]
    Link(LinkCommand),
    /// Grants: what others let you store at their relays.
    #[command(subcommand)]
    Grant(GrantCommand),
    /// Run the node: it sends and receives until it is stopped.
    Node {
        /// Where others reach this node by QUIC, ADDRESS:PORT, or none [default: port 7411 of all addresses].
        #[arg(long, value_name = "ADDR")]
        listen: Option<ListenArg>,
        /// How much links have under way that others open.
        #[arg(long, value_name = "MODE", default_value = "own")]
        control: ControlArg,
        /// End when standard input does.
        #[arg(long, hide = true)]
        end_with_stdin: bool,
    },
    /// Queue a message to somebody, or one message to several.
    Send(SendArgs),
    /// List the messages that came.
    Inbox,
    /// Show the text of a message.
    Read {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Write the parts of a message into a folder.
    Save {
        /// Its id, or the beginning of it.
        id: String,
        /// The folder.
        dir: PathBuf,
    },
    /// Delete messages that came, with their files.
    ///
    /// They do not come back, and their senders are not told. Parts that are still on their way come nevertheless.
    Delete {
        /// Their ids, or the beginnings of them.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Show what is under way.
    Status {
        /// Show it again every second until Ctrl-C.
        #[arg(long)]
        watch: bool,
    },
    /// Give up a message of yours.
    Cancel {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Run a relay: it keeps frames for others and reads none of them.
    ///
    /// It has a home of its own, which is not the home of a node: if OSTRAKON_HOME names that one, give --home.
    ///
    /// With routes it also passes them on, to the next relay or into a folder that somebody carries.
    Relay(RelayArgs),
    /// Carry messages by hand, on a stick or a disk.
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// See it work: three links, a cut and a crash, in this machine alone.
    Demo(DemoArgs),
    /// Run the engine in simulated networks, repeatable from a seed.
    #[command(subcommand)]
    Sim(SimCommand),
    /// Print the completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page.
    Man {
        /// Write the pages of all commands into a folder instead.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// Of the passphrase. The node must not run meanwhile.
#[derive(Debug, Subcommand)]
pub enum PassphraseCommand {
    /// Set or change it. It cannot be recovered when it is forgotten.
    Set {
        /// A file whose first line is the new one.
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Keep the keys without one.
    Remove,
}

/// Of the root key. The node must not run meanwhile.
#[derive(Debug, Subcommand)]
pub enum RootCommand {
    /// Move it out of this home into a file, to be put away: on a stick in a drawer, with a copy elsewhere.
    ///
    /// The home goes on without it. Who steals the device then can be stopped: root renew.
    Move {
        /// The new file.
        file: PathBuf,
        /// A file whose first line is a passphrase for it [default: asked for at a terminal, else none].
        #[arg(long, value_name = "FILE")]
        root_passphrase_file: Option<PathBuf>,
    },
    /// Make all keys anew that your devices share: when one of them was stolen, on one that you have.
    ///
    /// Your card names this device alone then; others join anew. Contacts stay, and are sent the new card.
    Renew {
        /// The file with the root key. It is written anew, so copies of it have to be made again.
        file: PathBuf,
        /// A file whose first line is its passphrase [default: asked for at a terminal].
        #[arg(long, value_name = "FILE")]
        root_passphrase_file: Option<PathBuf>,
    },
}

/// Of invitations.
#[derive(Debug, Subcommand)]
pub enum InviteCommand {
    /// Make an invitation. Show it to one person, or send it by a way that you trust: whoever has it first can use it.
    New {
        /// For how many days of your node's uptime it is good, 1 to 366.
        #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=366))]
        days: u16,
        /// As a QR code for the camera of another device; a picture if the file ends in .svg or .png.
        #[arg(long)]
        qr: bool,
        /// Write it into a file instead.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List your invitations, and who has used which.
    List,
    /// Take an open invitation back.
    Revoke {
        /// Its id, or the beginning of it.
        id: String,
    },
}

/// Whether strangers are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StrangersArg {
    /// They may write; what they write waits for your word.
    On,
    /// Nothing of them is taken.
    Off,
}

/// Of a device that becomes another one of somebody.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// Become another device of yours: shows a code, which you give to the device that you have: ostrakon device add.
    #[arg(long, conflicts_with = "name")]
    pub join: bool,
    /// Take in the file that the other device has made for this code.
    #[arg(long, value_name = "FILE", requires = "join")]
    pub from: Option<PathBuf>,
    /// Wait at this address of this device, ADDRESS:PORT, so that the other device reaches it without a file.
    #[arg(long, value_name = "ADDR", requires = "join", conflicts_with = "from")]
    pub at: Option<std::net::SocketAddr>,
    /// Show the code as a QR code.
    #[arg(long, requires = "join", conflicts_with = "from")]
    pub qr: bool,
}

/// Of your devices.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Make another device one of yours: it can then read and write all that you can.
    ///
    /// Take the code from the screen of that device: whoever changes it on the way gets your keys. Both show a number, to be
    /// compared before anything leaves.
    Add {
        /// The code that `ostrakon init --join` shows there, or a file with it.
        code: String,
        /// The number that it shows there, to be compared here [default: you are shown ours and asked].
        #[arg(long, value_name = "DIGITS")]
        number: Option<String>,
        /// Put what the new device needs, sealed for it alone, into a file [default: it is given to the device at the address
        /// in its code].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List your devices.
    List,
    /// Name a device no more: contacts take nothing of it any more once they have your new card.
    ///
    /// It keeps the keys that it has, and can read what is sent to you.
    Remove {
        /// Its URI, or the beginning of its key: see device list.
        device: String,
    },
}

/// Of people.
#[derive(Debug, Subcommand)]
pub enum PersonCommand {
    /// Take in a contact card, or an invitation.
    Add {
        /// A file with the card, or - for standard input.
        card: PathBuf,
    },
    /// List people who have written although you do not know them.
    Strangers,
    /// List everybody you know, and who was introduced to you.
    List,
    /// Show one person and the safety number to compare aloud.
    Show {
        /// The name, the person URI, or the beginning of its key.
        name: String,
    },
    /// Say that you have compared the safety number, by which a person becomes a verified one.
    ///
    /// With --voice six digits do, while you talk to each other: run it on both sides, with both nodes running.
    Verify {
        /// The name, the person URI, or the beginning of its key.
        name: String,
        /// The number that the other side sees, to be compared here [default: you are shown ours and asked].
        #[arg(long, value_name = "DIGITS")]
        number: Option<String>,
        /// Compare six digits that both sides have made for this once, instead of the sixty.
        #[arg(long)]
        voice: bool,
        /// Begin anew, when the other side has.
        #[arg(long, requires = "voice", conflicts_with = "number")]
        again: bool,
    },
    /// Take back what was said of a person: neither verified nor introduced any more, but known.
    Revoke {
        /// The name, the person URI, or the beginning of its key.
        name: String,
    },
    /// Take nothing more from a person, and send nothing.
    ///
    /// What is arriving ends, receipts too; messages to the person wait. It is told nothing of it.
    Block {
        /// The name, the person URI, or the beginning of its key.
        name: String,
    },
    /// Let a blocked person in again.
    Unblock {
        /// The name, the person URI, or the beginning of its key.
        name: String,
    },
    /// Introduce two people you know to each other: each is sent the card of the other, with your word for it.
    ///
    /// What you say here is signed: each of them can show others that it was you who introduced.
    Introduce {
        /// The one: the name, the person URI, or the beginning of its key.
        first: String,
        /// The other.
        second: String,
        /// For how many days of their nodes' uptime they can accept it, 1 to 366.
        #[arg(long = "for", value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=366))]
        days: u16,
        /// A word to both of them.
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// Make a contact of somebody who was introduced to you, or has written as a stranger: see person list and person
    /// strangers.
    Accept {
        /// The name, the person URI, or the beginning of its key.
        name: String,
        /// What you call a stranger, rather than as he calls himself.
        #[arg(long = "as", value_name = "NAME")]
        alias: Option<String>,
    },
    /// Drop an introduction, or a stranger with what he wrote. Nobody is told.
    Decline {
        /// The name, the person URI, or the beginning of its key.
        name: String,
    },
}

/// Of groups.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Add people to a group; with the first it begins.
    Add {
        /// Its name: letters, digits, - and _.
        group: String,
        /// Names, person URIs, or the beginnings of their keys.
        #[arg(required = true, value_name = "PERSON")]
        persons: Vec<String>,
    },
    /// Take people out of a group.
    Remove {
        /// Its name.
        group: String,
        /// As with add.
        #[arg(required = true, value_name = "PERSON")]
        persons: Vec<String>,
    },
    /// List the groups and who is in them.
    List,
    /// Forget a group. Messages that are under way stay so.
    Delete {
        /// Its name.
        group: String,
    },
}

/// Of links.
#[derive(Debug, Subcommand)]
pub enum LinkCommand {
    /// Add a link.
    Add(LinkArgs),
    /// List the links.
    List,
    /// Forget a link. Says how many messages wait that no other link may carry.
    Rm {
        /// Its name.
        name: String,
    },
    /// Have a link to a relay show a grant; may be done eight times.
    Grant(LinkGrantArgs),
}

/// A link to add.
#[derive(Debug, Args)]
pub struct LinkArgs {
    /// What you call it: letters, digits, - and _.
    pub name: String,
    /// quic://HOST:PORT, relay://HOST:PORT?key=KEY, serial:/dev/DEVICE?baud=N (50 to 12000000, 9600 unless given) or
    /// spool:/FOLDER.
    pub uri: String,
    /// Whom it reaches; needed for quic if you know more than one person.
    #[arg(long)]
    pub person: Option<String>,
    /// What it carries, such as 9600, 64kbit or 2mbit (bits per second; at most 1000gbit).
    #[arg(long, value_parser = parse_rate)]
    pub rate: Option<u64>,
    /// Its round-trip time, such as 600ms or 2s; at most 1d.
    #[arg(long, value_parser = parse_duration_ms)]
    pub rtt: Option<u64>,
    /// Its largest frame in bytes, where the medium asks for one: 64 to 2048 on a serial line, 222 to 2048 by quic, 238
    /// to 2048 by a relay or a folder.
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<usize>,
    /// What a megabyte costs, in a unit of your own.
    #[arg(long, default_value_t = 0)]
    pub cost: u32,
    /// Nothing comes back by it, or nothing leaves by it.
    #[arg(long, value_name = "DIRECTION")]
    pub oneway: Option<Direction>,
    /// The loss to expect in percent, 0 to 95, for links from which nothing comes back.
    #[arg(long, value_name = "PERCENT", value_parser = parse_loss)]
    pub loss: Option<u8>,
    /// How much it has under way, by quic or a relay [default: own].
    #[arg(long, value_name = "MODE")]
    pub control: Option<ControlArg>,
}

/// How much a connection has under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ControlArg {
    /// All that the path carries: the path is ours alone.
    #[default]
    Own,
    /// A fair share beside others.
    Shared,
}

impl From<ControlArg> for RateControl {
    fn from(control: ControlArg) -> Self {
        match control {
            ControlArg::Own => Self::Own,
            ControlArg::Shared => Self::Shared,
        }
    }
}

/// The direction of a one-way link.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Direction {
    /// It only sends.
    Send,
    /// It only receives.
    Receive,
}

impl From<Direction> for OneWay {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Send => Self::Send,
            Direction::Receive => Self::Receive,
        }
    }
}

/// A message to send.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("content").required(true).multiple(true))]
pub struct SendArgs {
    /// To whom: the name, the person URI, or the beginning of its key; @NAME is a group. Several with commas between them.
    #[arg(value_name = "PERSON[,PERSON…]")]
    pub person: String,
    /// A text, or - to read it from standard input. It leaves before everything else.
    #[arg(long, group = "content")]
    pub text: Option<String>,
    /// A file; may be given several times.
    #[arg(long, value_name = "PATH", group = "content")]
    pub file: Vec<PathBuf>,
    /// How urgent all of it is.
    #[arg(long)]
    pub priority: Option<PriorityArg>,
    /// How long it is worth carrying, such as 12h or 7d.
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    pub lifetime: Option<u64>,
    /// Only by this link; may be given several times.
    #[arg(long, value_name = "LINK")]
    pub via: Vec<String>,
    /// Only by links that cost at most this much a megabyte.
    #[arg(long, value_name = "N")]
    pub max_cost: Option<u32>,
    /// Show the progress and wait for the receipt.
    #[arg(long)]
    pub wait: bool,
}

/// How urgent a message is.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PriorityArg {
    /// Before everything else, on several links at once.
    Urgent,
    /// Before ordinary messages.
    High,
    /// As usual.
    Normal,
    /// When nothing else waits.
    Bulk,
}

impl PriorityArg {
    /// As the node calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }
}

/// A relay, or what its operator asks of it.
#[derive(Debug, Args)]
pub struct RelayArgs {
    #[command(flatten)]
    pub run: RelayRun,
    /// What to ask instead; the relay may be running or not.
    #[command(subcommand)]
    pub command: Option<RelayCommand>,
}

/// How a relay is run. Nothing of it goes with a question.
#[derive(Debug, Args)]
pub struct RelayRun {
    /// Where it listens, ADDRESS:PORT [default: port 7412 of all addresses].
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<std::net::SocketAddr>,
    /// The most it keeps for all mailboxes together, such as 500MB [default: 1GiB].
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub max_bytes: Option<u64>,
    /// Whether frames need a grant, see: ostrakon relay grant [default: open].
    #[arg(long, value_name = "RULE")]
    pub grants: Option<GrantsArg>,
    /// The most from one client, such as 2mbit (bits per second; a frame counts 128 bytes more than it has)
    /// [default: 400mbit].
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub client_rate: Option<u64>,
    /// The most by one grant and all that were made from it [default: 400mbit].
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub grant_rate: Option<u64>,
    /// The most from all clients together that have shown no grant [default: 400mbit].
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub unknown_rate: Option<u64>,
    /// How much connections of clients have under way [default: own].
    #[arg(long, value_name = "MODE")]
    pub control: Option<ControlArg>,
    /// End when standard input does.
    #[arg(long, hide = true)]
    pub end_with_stdin: bool,
}

/// What an operator asks of a relay.
#[derive(Debug, Subcommand)]
pub enum RelayCommand {
    /// Show what the relay holds, passes on and drops.
    Status,
    /// Links by which the relay passes frames on.
    #[command(subcommand)]
    Link(RelayLinkCommand),
    /// Routes: which mailbox lies behind which link.
    #[command(subcommand)]
    Route(RouteCommand),
    /// Grants: who may fill mailboxes here, with how much, and until when.
    #[command(subcommand)]
    Grant(RelayGrantCommand),
}

/// Of a relay's links.
#[derive(Debug, Subcommand)]
pub enum RelayLinkCommand {
    /// Add a link to another relay or to a folder.
    Add {
        /// What you call it: letters, digits, - and _.
        name: String,
        /// relay://HOST:PORT?key=KEY or spool:/FOLDER.
        uri: String,
        /// Its largest frame in bytes, 238 to 2048; what is larger crosses in pieces.
        #[arg(long, value_name = "BYTES")]
        mtu: Option<usize>,
        /// What it carries, such as 64kbit or 2mbit (bits per second).
        #[arg(long, value_parser = parse_rate)]
        rate: Option<u64>,
        /// How much it has under way to another relay [default: own].
        #[arg(long, value_name = "MODE")]
        control: Option<ControlArg>,
    },
    /// List the links.
    List,
    /// Forget a link that no route needs.
    Rm {
        /// Its name.
        name: String,
    },
    /// Have a link show a grant to the next relay; may be done eight times.
    Grant(LinkGrantArgs),
    /// Say that what was written into the folder of a link has arrived, so that the relay lets go of it.
    Release {
        /// Its name.
        name: String,
    },
}

/// Of routes.
#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Have frames for a mailbox leave by a link: route add MAILBOX via LINK.
    Add {
        /// A mailbox address (its owner shows it with: ostrakon card --mailbox), a file with the contact card of its
        /// owner, - for standard input, or '*' for every mailbox without a route of its own.
        mailbox: String,
        /// The word via.
        #[arg(value_parser = ["via"], hide_possible_values = true, value_name = "via")]
        word: String,
        /// The name of the link, or here: the frames stay until their owner fetches them.
        link: String,
    },
    /// List the routes.
    List,
    /// Forget a route.
    Rm {
        /// As it was given, or the name under which it is listed.
        mailbox: String,
    },
}

/// Of spools.
#[derive(Debug, Subcommand)]
pub enum SpoolCommand {
    /// Write all that waits for others into a folder.
    Export {
        /// The folder.
        dir: PathBuf,
    },
    /// Take in what a folder brought.
    Import {
        /// The folder.
        dir: PathBuf,
    },
}

/// The demo.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// A file of 3 to 32 MB to send [default: a sample of 6 MB].
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// Keep the folder with both homes and all logs.
    #[arg(long)]
    pub keep: bool,
    /// Damage every packet with this probability, so that the demo has to fail.
    #[arg(long, value_name = "P", hide = true, default_value_t = 0.0)]
    pub corrupt: f64,
    /// Give up after so many seconds.
    #[arg(long, value_name = "SECONDS", hide = true, default_value_t = 80)]
    pub give_up: u64,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenArg(pub Option<std::net::SocketAddr>);

impl std::str::FromStr for ListenArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        let wrong = |_| "give ADDRESS:PORT such as 0.0.0.0:7000 or [::]:7000, or none".to_owned();
        text.parse().map(|addr| Self(Some(addr))).map_err(wrong)
    }
}

/// Of simulated networks.
#[derive(Debug, Subcommand)]
pub enum SimCommand {
    /// List the scenarios that come with the program.
    List,
    /// Run a scenario.
    Run(SimArgs),
}

/// What to run.
#[derive(Args, Clone, Debug)]
pub struct SimArgs {
    /// A shipped scenario (see: ostrakon sim list), or a file, see docs/scenarios.md.
    pub scenario: String,
    /// The seed from which all chance is drawn [default: that of the scenario].
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub seed: Option<u64>,
    /// Run all seeds from A to B (or the one that is given), on all processors; each gets a random mix of faults if the scenario asks for one.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    pub seeds: Option<SeedRange>,
    /// With --seeds: end when a seed has violated something.
    #[arg(long, requires = "seeds")]
    pub fail_fast: bool,
    /// Add a random mix of faults, drawn from the seed.
    #[arg(long)]
    pub faults: bool,
    /// What runs on links of kind quic: model (links that pace themselves) or quic (the QUIC library) [default: that
    /// of the scenario].
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Change fields of the scenario, such as rate=13mbit,loss=17% or satellite.rtt=450ms.
    #[arg(long, value_name = "KEY=VALUE,…", value_delimiter = ',')]
    pub set: Vec<String>,
    /// Write the run as one HTML page into a folder, as SCENARIO-SEED.html.
    #[arg(long, value_name = "DIR", conflicts_with = "seeds")]
    pub report: Option<PathBuf>,
}
