//! What the user may set of a QUIC link, and what follows for the transport.

use super::controller::ModelConfig;
use super::sharing::SharingConfig;
use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig};
use quinn::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use std::sync::Arc;
use std::time::Duration;

/// The most that waits unsent in the datagram buffer, in bytes. The valve lets in far less.
pub(super) const DATAGRAM_SEND_BUFFER: usize = 1024 * 1024;
/// What may wait for the owner to read it, in bytes a connection.
const DATAGRAM_RECEIVE_BUFFER: usize = 2 * 1024 * 1024;
/// Flow control of the one stream, and the most that is buffered to be sent on it, in bytes.
/// 10 Mbit/s over 600 ms is 750 kB.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Ten packets (RFC 9002, section 7.2); quinn's BBR would begin with two hundred, too much for a thin link.
const INITIAL_WINDOW: u64 = 14_720;
/// A configured rate is believed up to this many bytes in flight: 100 Mbit/s at 600 ms.
const LARGEST_INITIAL_WINDOW: u64 = 7_500_000;
/// The UDP payload in bytes that every path takes (RFC 9000, section 14).
pub const LEAST_MTU: u16 = 1200;
/// When a larger payload is tried again that did not come through. The library would wait for ten minutes: too long where three
/// probes of one size are lost by chance.
const MTU_AGAIN: Duration = Duration::from_secs(10);
/// The same of one that has come through and seems not to any more. The library would wait for a minute. But it takes four lost
/// packets for that, of which none is shorter than one that has arrived since, and of these there are many where much is lost;
/// while it sends short packets, each symbol needs two.
const MTU_DOUBTED: Duration = Duration::ZERO;
/// The longest time that any setting may name.
const LONGEST: Duration = Duration::from_secs(3600);

/// Flow control of a connection.
pub(super) fn stream_window() -> VarInt {
    VarInt::from_u32(STREAM_WINDOW)
}

/// What decides how much may be in flight.
#[derive(Clone, Default)]
pub enum Congestion {
    /// CUBIC (RFC 9438): backs off on loss, so that a satellite path that loses one packet in a hundred carries
    /// a fiftieth of what it could.
    Cubic,
    /// The BBR of the QUIC library: keeps its rate through random loss, but overruns narrow paths by far,
    /// because it takes the rate between two neighbouring acknowledgements for the rate of the path. What it
    /// sends too much the path drops.
    Bbr,
    /// A model of the path's rate that makes up for loss and gives way to queues; for links that are one's own.
    #[default]
    Model,
    /// CUBIC that hears only of losses that come from a queue: fair beside CUBIC flows, and keeps its rate through random
    /// loss of up to two in a hundred packets; for links that others use too.
    Shared,
    /// A controller of the caller's own.
    Own(Arc<dyn ControllerFactory + Send + Sync>),
}

impl Congestion {
    fn factory(&self, initial_window: u64) -> Arc<dyn ControllerFactory + Send + Sync> {
        match self {
            Self::Cubic => {
                let mut cubic = CubicConfig::default();
                cubic.initial_window(initial_window);
                Arc::new(cubic)
            }
            Self::Bbr => {
                let mut bbr = BbrConfig::default();
                bbr.initial_window(initial_window);
                Arc::new(bbr)
            }
            Self::Model => Arc::new(ModelConfig { initial_window }),
            Self::Shared => Arc::<SharingConfig>::default(),
            Self::Own(factory) => factory.clone(),
        }
    }
}

impl std::fmt::Debug for Congestion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cubic => "Cubic",
            Self::Bbr => "Bbr",
            Self::Model => "Model",
            Self::Shared => "Shared",
            Self::Own(_) => "Own(..)",
        })
    }
}

/// Settings of one QUIC link.
#[derive(Clone, Debug)]
pub struct QuicSettings {
    /// The round-trip time to assume before the first measurement. 333 ms unless set (RFC 9002); more spares
    /// a satellite link useless retransmissions. Between 1 ms and 60 s.
    pub initial_rtt: Duration,
    /// A connection over which nothing came for this long is given up. 30 s unless set; at most an hour.
    pub idle_timeout: Duration,
    /// How often a sign of life is sent when there is nothing else to send. 5 s unless set.
    pub keep_alive: Duration,
    /// How long one attempt to connect may take, hello included. 6 s unless set.
    pub connect_timeout: Duration,
    /// The UDP payload that path MTU discovery tries, in bytes; 1200 is what it falls back to. 1412 unless set: that is the
    /// least with which datagrams take 1374 bytes, a full frame, and nothing in between would take one. With more,
    /// acknowledgements would ride along on some of them; and where a fifth is lost, it happens that of those longer ones
    /// several in a row are, which the library takes for a path MTU that has shrunk.
    pub mtu_upper_bound: u16,
    /// The rate in bits per second, where the user knows it. It stands in the link's profile, and with
    /// `initial_rtt` it says how much may be in flight from the start: one bandwidth-delay product.
    pub rate_bps: Option<u64>,
    /// The congestion controller. [`Congestion::Model`] unless set.
    pub congestion: Congestion,
}

impl Default for QuicSettings {
    fn default() -> Self {
        Self {
            initial_rtt: Duration::from_millis(333),
            idle_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(6),
            mtu_upper_bound: 1412,
            rate_bps: None,
            congestion: Congestion::default(),
        }
    }
}

impl QuicSettings {
    /// Settings of a path of which the user knows the rate in bits per second or the round-trip time.
    pub fn of_path(rate_bps: Option<u64>, rtt: Option<Duration>) -> Self {
        let mut settings = Self {
            rate_bps,
            ..Self::default()
        };
        if let Some(rtt) = rtt {
            settings.initial_rtt = rtt;
            // A handshake takes several round trips, and one may be lost.
            settings.connect_timeout = settings.connect_timeout.max(rtt.saturating_mul(8));
        }
        settings
    }

    /// What may be in flight before anything was measured, in bytes.
    pub fn initial_window(&self) -> u64 {
        let product = |bps: u64| u128::from(bps) * self.initial_rtt.as_micros() / 8_000_000;
        let known = self.rate_bps.map_or(0, product);
        u64::try_from(known)
            .unwrap_or(u64::MAX)
            .clamp(INITIAL_WINDOW, LARGEST_INITIAL_WINDOW)
    }

    /// The transport that these settings ask for. Values out of range are brought into it.
    ///
    /// No packet is acknowledged at once for coming out of order: where a fifth is lost that would be nearly every one, and the
    /// way back of a satellite would be full of acknowledgements.
    pub(super) fn transport(&self) -> Arc<TransportConfig> {
        let mut mtu = MtuDiscoveryConfig::default();
        let bound = self.mtu_upper_bound.max(LEAST_MTU);
        // A step that leaves nothing between: the library tries the bound itself, at once.
        mtu.upper_bound(bound)
            .minimum_change((bound - LEAST_MTU).max(1));
        mtu.interval(MTU_AGAIN).black_hole_cooldown(MTU_DOUBTED);
        let idle = self.idle_timeout.clamp(Duration::from_secs(1), LONGEST);
        let mut acks = AckFrequencyConfig::default();
        acks.reordering_threshold(VarInt::from_u32(0));
        let mut config = TransportConfig::default();
        config
            .max_concurrent_bidi_streams(VarInt::from_u32(1))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
            .receive_window(stream_window())
            .send_window(u64::from(STREAM_WINDOW))
            .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER)
            .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER))
            .initial_rtt(
                self.initial_rtt
                    .clamp(Duration::from_millis(1), Duration::from_secs(60)),
            )
            .max_idle_timeout(IdleTimeout::try_from(idle).ok())
            .keep_alive_interval(Some(
                self.keep_alive.clamp(Duration::from_millis(100), LONGEST),
            ))
            .mtu_discovery_config(Some(mtu))
            .ack_frequency_config(Some(acks))
            .enable_segmentation_offload(true)
            .congestion_controller_factory(self.congestion.factory(self.initial_window()));
        Arc::new(config)
    }
}
