//! Tells of the shipped profiles.

use ostrakon_netsim::model::LinkSpec;
use ostrakon_netsim::profile::{Medium, Profile};

use super::failure::{Failure, say};

/// Lists all profiles, or tells all about one.
pub(super) fn print(name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else {
        for profile in Profile::all() {
            say(format_args!("{:<18} {}", profile.name(), profile.title()))?;
        }
        say(format_args!(
            "\n`netsim profiles NAME` tells the numbers of one, their source, and what can be changed."
        ))?;
        return Ok(());
    };
    let profile = Profile::named(name)?;
    say(format_args!("{}: {}", profile.name(), profile.title()))?;
    match profile.medium()? {
        Medium::Pair { forward, back } => {
            say(format_args!("  a to b: {}", describe(&forward)))?;
            match back {
                Some(back) => say(format_args!("  b to a: {}", describe(&back)))?,
                None => say(format_args!("  b to a: nothing"))?,
            }
        }
        Medium::Channel(spec) => say(format_args!(
            "  a channel that stations share; MTU {} B, {} of them headers",
            spec.mtu, spec.overhead
        ))?,
        _ => say(format_args!("  storage that travels, in virtual time only"))?,
    }
    say(format_args!(
        "\n{}\n\nWhat can be changed:",
        profile.source()
    ))?;
    for key in profile.keys() {
        let example = format!("{}={}", key.name, key.example);
        say(format_args!(
            "  {example:<20} {}: {}",
            key.meaning, key.accepts
        ))?;
    }
    Ok(())
}

fn describe(spec: &LinkSpec) -> String {
    let mut told = Vec::new();
    if let Some(rate) = spec.rate_bps {
        told.push(format!("{rate} bit/s"));
    }
    told.push(format!("{:?}", spec.delay));
    let shares = [("loss", spec.loss), ("damage", spec.corrupt)];
    for (what, share) in shares.into_iter().filter(|(_, share)| *share > 0.0) {
        told.push(format!("{what} {} %", 100.0 * share));
    }
    if !spec.jitter.is_zero() {
        told.push(format!("jitter {:?}", spec.jitter));
    }
    if let Some(burst) = &spec.burst {
        told.push(format!("bad {} % of the time", 100.0 * burst.bad_share()));
    }
    told.push(format!("queue {} B", spec.queue_limit()));
    told.push(format!("MTU {} B", spec.mtu));
    told.join(", ")
}
