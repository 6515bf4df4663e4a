//! Prints what a packet costs on links of several kinds: offered, sent, and handed out, in nanoseconds of this machine.
//!
//! `cargo run --release --example link_load` sends a million packets over each, with never more than a queue of them under
//! way, as a simulation does: the link is asked whenever it says that something arrives.

use std::time::{Duration, Instant};

use ostrakon_netsim::model::{Burst, Channel, Link, LinkSpec, Nanos, Qdisc, Trace};
use ostrakon_netsim::profile::{Medium, Profile};

const PACKETS: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plain = LinkSpec::new()
        .rate_bps(10_000_000)
        .delay(Duration::from_millis(300))
        .loss(0.01);
    let all = plain
        .clone()
        .jitter(Duration::from_millis(20), false)
        .burst(Burst::share(0.1, Duration::from_millis(200))?)
        .corrupt(0.01)
        .reorder(0.01, Duration::from_millis(10))
        .duplicate(0.01)
        .qdisc(Qdisc::codel());
    let trace = Trace::parse("1\n1\n2\n4\n5\n")?;
    let kinds = [
        ("without rate", LinkSpec::new()),
        ("rate, delay, loss", plain.clone()),
        ("CoDel", plain.clone().qdisc(Qdisc::codel())),
        ("trace", plain.trace(trace)),
        ("every impairment", all),
    ];
    for (name, spec) in kinds {
        println!("{name:20} {:6.0} ns a packet", link(&spec)?);
    }
    let Medium::Channel(mut spec) = Profile::named("uhf-9600")?.medium()? else {
        return Err("packet radio is a channel".into());
    };
    spec.queue_bytes = Some(1 << 30);
    println!(
        "{:20} {:6.0} ns a frame and station",
        "channel of ten",
        channel(&spec)?
    );
    Ok(())
}

/// A sender that offers a tenth more than the link carries.
fn link(spec: &LinkSpec) -> Result<f64, Box<dyn std::error::Error>> {
    let mut link: Link<[u8; 32]> = Link::new(spec, 1)?;
    let interval: Nanos = 1_091_000;
    let (start, mut arrived) = (Instant::now(), 0);
    for n in 0..PACKETS {
        let now = n * interval;
        while let Some(at) = link.next_at().filter(|at| *at <= now) {
            while let Some(arrival) = link.poll(at) {
                arrived += u64::from(arrival.packet[0]);
            }
        }
        link.offer(now, 1472, [1; 32]);
    }
    let spent = start.elapsed();
    assert!(arrived > PACKETS / 2);
    Ok(spent.as_nanos() as f64 / PACKETS as f64)
}

/// Ten stations with a frame in turn, half of what the channel carries.
fn channel(spec: &ostrakon_netsim::model::ChannelSpec) -> Result<f64, Box<dyn std::error::Error>> {
    const STATIONS: u64 = 10;
    const FRAMES: u64 = PACKETS / 10;
    let mut channel: Channel<[u8; 32]> = Channel::new(spec, STATIONS as usize, 1)?;
    let (start, mut arrived) = (Instant::now(), 0);
    for n in 0..FRAMES {
        let now = n * 700_000_000;
        while let Some(at) = channel.next_at().filter(|at| *at <= now) {
            while let Some(reception) = channel.poll(at) {
                arrived += u64::from(reception.packet[0]);
            }
        }
        channel.offer(now, (n % STATIONS) as usize, 200, [1; 32]);
    }
    let spent = start.elapsed();
    assert!(arrived > FRAMES);
    Ok(spent.as_nanos() as f64 / (FRAMES * STATIONS) as f64)
}
