//! What a connection's profile is now, and when a change is worth telling.

use crate::{Direction, LinkKind, LinkProfile, MIN_MTU};
use std::time::{Duration, Instant};

/// Changes of the round-trip time are told at most this often.
const RTT_NEWS: Duration = Duration::from_secs(1);

/// Whether the round-trip time moved by more than a quarter.
pub(crate) fn rtt_moved(told: Option<Duration>, now: Duration) -> bool {
    told.is_none_or(|told| told.abs_diff(now) > told / 4)
}

/// What a connection says of its path.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The largest datagram in bytes, if the far side takes datagrams.
    pub mtu: Option<usize>,
    /// The round-trip time.
    pub rtt: Duration,
}

impl Reading {
    pub(super) fn of(connection: &quinn::Connection) -> Self {
        Self {
            mtu: connection.max_datagram_size(),
            rtt: connection.rtt(),
        }
    }

    /// The largest datagram now, if frames can travel in datagrams at all.
    fn usable_mtu(self) -> Result<usize, String> {
        match self.mtu {
            Some(mtu) if mtu >= MIN_MTU => Ok(mtu),
            Some(mtu) => Err(format!(
                "the path carries only {mtu} bytes a datagram, {MIN_MTU} are needed (use another link)"
            )),
            None => Err("the far side takes no datagrams (compare the versions)".into()),
        }
    }
}

/// The profile that was told last, and when.
#[derive(Debug)]
pub struct ProfileWatch {
    told: LinkProfile,
    at: Instant,
}

impl ProfileWatch {
    /// The first profile of a connection.
    ///
    /// # Errors
    ///
    /// A text that says why it cannot be a link.
    pub fn new(
        reading: Reading,
        peer: [u8; 32],
        rate_bps: Option<u64>,
        now: Instant,
    ) -> Result<Self, String> {
        let told = LinkProfile {
            kind: LinkKind::Quic,
            mtu: reading.usable_mtu()?,
            rate_bps,
            rtt: Some(reading.rtt),
            direction: Direction::Both,
            store_and_forward: false,
            peer_key: Some(peer),
            notice: None,
        };
        Ok(Self { told, at: now })
    }

    /// The profile that was told last.
    pub fn told(&self) -> &LinkProfile {
        &self.told
    }

    /// Looks at the connection. A profile comes back if it is worth telling, and counts as told.
    ///
    /// # Errors
    ///
    /// A text that says why it can be a link no longer.
    pub fn look(&mut self, reading: Reading, now: Instant) -> Result<Option<LinkProfile>, String> {
        let mtu = reading.usable_mtu()?;
        let rtt = reading.rtt;
        let rtt_news =
            now.saturating_duration_since(self.at) >= RTT_NEWS && rtt_moved(self.told.rtt, rtt);
        if mtu == self.told.mtu && !rtt_news {
            return Ok(None);
        }
        self.told.mtu = mtu;
        self.told.rtt = Some(rtt);
        self.at = now;
        Ok(Some(self.told.clone()))
    }
}
