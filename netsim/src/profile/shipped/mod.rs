//! The profiles, by where they are used.

mod courier;
mod ground;
mod radio;
mod space;

use std::time::Duration;

use super::{Medium, Profile, QueueSize};
use crate::model::{ChannelSpec, LinkSpec};

/// All profiles, from near to far and fast to slow.
pub(super) fn all() -> Vec<Profile> {
    [
        ground::all(),
        space::near(),
        radio::all(),
        space::far(),
        courier::all(),
    ]
    .concat()
}

/// A pair of links with the same delay each way and queues of one bandwidth-delay product.
fn pair(
    name: &'static str,
    title: &'static str,
    source: &'static str,
    forward: LinkSpec,
    back: LinkSpec,
) -> Profile {
    Profile {
        name,
        title,
        source,
        tells: false,
        medium: Medium::Pair {
            forward: Box::new(forward),
            back: Some(Box::new(back)),
        },
        queue: QueueSize::Products(1.0),
    }
}

/// A radio channel, whose modems tell when they are free.
fn radio(
    name: &'static str,
    title: &'static str,
    source: &'static str,
    channel: ChannelSpec,
) -> Profile {
    Profile {
        name,
        title,
        source,
        tells: true,
        medium: Medium::Channel(Box::new(channel)),
        queue: QueueSize::Products(1.0),
    }
}

fn link(rate_bps: u64, delay: Duration) -> LinkSpec {
    LinkSpec::new().rate_bps(rate_bps).delay(delay)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
