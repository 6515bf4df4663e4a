//! `relay`: keeps frames for others.

use super::node::{Stop, event};
use crate::args::RelayRun;
use crate::failure::Outcome;
use crate::grant_args::GrantsArg;
use crate::out::Out;
use crate::plain::bytes;
use crate::{terminal, unlock};
use ostrakon::node::relay::{Counters, Limits, RateLimits, Relay};
use ostrakon::node::{HomeError, NodeError};
use serde_json::json;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// How often it tells what it holds.
const EVERY: Duration = Duration::from_secs(60);
/// Where it listens, if nothing else is said: at this port of all addresses.
const PORT: u16 = 7412;
/// The most it keeps, in bytes, if nothing else is said.
const MAX_BYTES: u64 = 1 << 30;

/// Runs it until it is told to stop.
///
/// # Errors
/// If its folder is in use or damaged, its key is locked, or the address is taken.
pub async fn run(out: Out, dir: &Path, args: &RelayRun) -> Outcome {
    let mut stop = Stop::listen(args.end_with_stdin)?;
    let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
    let listen = args.listen.unwrap_or(everywhere);
    let max_bytes = args.max_bytes.unwrap_or(MAX_BYTES);
    let mut limits = Limits::default();
    limits.mailbox.max_bytes = max_bytes;
    limits.mailbox.max_bytes_per_tag = limits.mailbox.max_bytes_per_tag.min(max_bytes);
    limits.grants_required = args.grants == Some(GrantsArg::Required);
    limits.control = args.control.unwrap_or_default().into();
    let rate = |bits: Option<u64>, usual: u64| bits.map_or(usual, |bits| bits / 8);
    limits.rates = RateLimits {
        client: rate(args.client_rate, limits.rates.client),
        grant: rate(args.grant_rate, limits.rates.grant),
        unknown: rate(args.unknown_rate, limits.rates.unknown),
    };
    let relay = open(dir, listen, limits).await?;
    let addr = relay.address();
    // Nobody can dial a wildcard address.
    let host = addr.ip().is_unspecified().then_some("HOST");
    let uri = relay.uri(host);
    let key = uri.rsplit("key=").next().unwrap_or_default();
    let note = host.map_or(
        "",
        |_| "\n(HOST stands for the name or address by which others reach this machine)",
    );
    let words = format!(
        "the relay listens on {addr}; others add it with:\n  ostrakon link add relay '{uri}'{note}"
    );
    event(
        out,
        json!({"event": "listening", "addr": addr, "uri": uri, "key": key}),
        &words,
    )?;
    let mut told = Counters::default();
    let mut trouble = Ok(());
    let report = |counters: Counters| {
        if counters != told && trouble.is_ok() {
            trouble = tell(out, &counters);
            told = counters;
        }
    };
    relay.run(stop.asked(), Some(EVERY), report).await?;
    trouble
}

/// Opens it. A relay is left alone, so its key has a passphrase only if somebody has set one.
async fn open(dir: &Path, listen: SocketAddr, limits: Limits) -> Outcome<Relay> {
    let given = unlock::from_file()?;
    match Relay::open_with(dir, listen, limits.clone(), given).await {
        Err(NodeError::Home(HomeError::Locked(_))) if terminal::is_there() => {
            let typed = unlock::given(unlock::RELAY).await?;
            Ok(Relay::open_with(dir, listen, limits, typed).await?)
        }
        relay => Ok(relay?),
    }
}

fn tell(out: Out, counters: &Counters) -> Outcome {
    let words = format!(
        "holds {} frames ({}); {} were stored, {} handed over, {} passed on, {} refused",
        counters.held_frames,
        bytes(counters.held_bytes),
        counters.stored,
        counters.handed_over,
        counters.forwarded,
        counters.refused
    );
    let mut object = json!(counters);
    object["event"] = "counters".into();
    event(out, object, &words)
}
