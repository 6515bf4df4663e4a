//! What a connection's profile is now, and when a change is worth telling.

use crate::{Direction, LinkKind, LinkProfile, MIN_MTU};
use quinn::Connection;
use std::time::{Duration, Instant};

/// Changes of the round-trip time are told at most this often.
const RTT_NEWS: Duration = Duration::from_secs(1);

/// Whether the round-trip time moved by more than a quarter.
pub(crate) fn rtt_moved(told: Option<Duration>, now: Duration) -> bool {
    told.is_none_or(|told| told.abs_diff(now) > told / 4)
}

/// The profile that was told last, and when.
#[derive(Debug)]
pub(super) struct ProfileWatch {
    told: LinkProfile,
    at: Instant,
}

impl ProfileWatch {
    /// The first profile of a connection; the error says why it cannot be a link.
    pub(super) fn new(
        connection: &Connection,
        peer: [u8; 32],
        rate_bps: Option<u64>,
    ) -> Result<Self, String> {
        let told = LinkProfile {
            kind: LinkKind::Quic,
            mtu: usable_mtu(connection)?,
            rate_bps,
            rtt: Some(connection.rtt()),
            direction: Direction::Both,
            store_and_forward: false,
            peer_key: Some(peer),
        };
        Ok(Self {
            told,
            at: Instant::now(),
        })
    }

    /// The profile that was told last.
    pub(super) fn told(&self) -> &LinkProfile {
        &self.told
    }

    /// Looks at the connection. A profile comes back if it is worth telling, and counts as told.
    pub(super) fn look(&mut self, connection: &Connection) -> Result<Option<LinkProfile>, String> {
        let mtu = usable_mtu(connection)?;
        let rtt = connection.rtt();
        let rtt_news = self.at.elapsed() >= RTT_NEWS && rtt_moved(self.told.rtt, rtt);
        if mtu == self.told.mtu && !rtt_news {
            return Ok(None);
        }
        self.told.mtu = mtu;
        self.told.rtt = Some(rtt);
        self.at = Instant::now();
        Ok(Some(self.told.clone()))
    }
}

/// The largest datagram now, if frames can travel in datagrams at all.
fn usable_mtu(connection: &Connection) -> Result<usize, String> {
    match connection.max_datagram_size() {
        Some(mtu) if mtu >= MIN_MTU => Ok(mtu),
        Some(mtu) => Err(format!(
            "the path carries only {mtu} bytes a datagram, {MIN_MTU} are needed (use another link)"
        )),
        None => Err("the far side takes no datagrams (compare the versions)".into()),
    }
}
