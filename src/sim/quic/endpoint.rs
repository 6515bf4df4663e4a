//! One endpoint of the QUIC library with its connections, driven by hand: packets and the time go in, packets, events and
//! the next moment come out.

use super::costs::Lump;
use bytes::{Bytes, BytesMut};
use quinn_proto::{
    ClientConfig, ConnectError, Connection, ConnectionHandle, DatagramEvent, Endpoint,
    EndpointConfig, Event, ServerConfig, Transmit,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// Packets that leave in one lump at most, as where the kernel takes segments.
const LUMP: usize = 10;
/// A connection settles within so many rounds; a timer that is due again and again waits for the next moment.
const ROUNDS: usize = 16;
/// Where each thinks the other is (RFC 5737). A link has two ends, so the world knows better.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4433);
/// No name is sent, but the library asks for one.
const NAME: &str = "ostrakon.invalid";

/// An endpoint.
pub(super) struct Driven {
    endpoint: Endpoint,
    connections: BTreeMap<usize, Connection>,
    leaving: Vec<Bytes>,
    /// What of these belongs to connections.
    lumps: Vec<Lump>,
    buffer: Vec<u8>,
}

impl Driven {
    pub(super) fn new(
        config: EndpointConfig,
        server: Option<ServerConfig>,
        seed: [u8; 32],
    ) -> Self {
        let server = server.map(Arc::new);
        Self {
            endpoint: Endpoint::new(Arc::new(config), server, true, Some(seed)),
            connections: BTreeMap::new(),
            leaving: Vec::new(),
            lumps: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Begins a connection to the other end.
    pub(super) fn connect(
        &mut self,
        now: Instant,
        config: ClientConfig,
    ) -> Result<ConnectionHandle, ConnectError> {
        let (handle, connection) = self.endpoint.connect(now, config, PEER, NAME)?;
        self.connections.insert(handle.0, connection);
        Ok(handle)
    }

    /// A connection that has not ended.
    pub(super) fn connection(&mut self, handle: ConnectionHandle) -> Option<&mut Connection> {
        self.connections.get_mut(&handle.0)
    }

    /// A packet came.
    pub(super) fn receive(&mut self, now: Instant, packet: &[u8]) {
        let packet = BytesMut::from(packet);
        self.buffer.clear();
        let event = self
            .endpoint
            .handle(now, PEER, None, None, packet, &mut self.buffer);
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(connection) = self.connections.get_mut(&handle.0) {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.buffer.clear();
                let accepted = self.endpoint.accept(incoming, now, &mut self.buffer, None);
                match accepted {
                    Ok((handle, connection)) => {
                        self.connections.insert(handle.0, connection);
                    }
                    Err(refused) => {
                        if let Some(answer) = refused.response {
                            cut(&answer, &self.buffer, &mut self.leaving);
                        }
                    }
                }
            }
            Some(DatagramEvent::Response(answer)) => cut(&answer, &self.buffer, &mut self.leaving),
            None => {}
        }
    }

    /// Does all that can be done now, and says what happened.
    pub(super) fn advance(&mut self, now: Instant) -> Vec<(ConnectionHandle, Event)> {
        let mut happened = Vec::new();
        for (&place, connection) in &mut self.connections {
            let handle = ConnectionHandle(place);
            for _ in 0..ROUNDS {
                let due = connection.poll_timeout().is_some_and(|at| at <= now);
                if due {
                    connection.handle_timeout(now);
                }
                self.buffer.clear();
                let mut frames = connection.stats().frame_tx.datagram;
                while let Some(lump) = connection.poll_transmit(now, LUMP, &mut self.buffer) {
                    let packets = self.leaving.len();
                    cut(&lump, &self.buffer, &mut self.leaving);
                    self.buffer.clear();
                    let before =
                        std::mem::replace(&mut frames, connection.stats().frame_tx.datagram);
                    self.lumps.push(Lump {
                        handle,
                        frames: frames - before,
                        packets: (self.leaving.len() - packets) as u64,
                        bytes: lump.size as u64,
                    });
                }
                let mut answered = false;
                while let Some(event) = connection.poll_endpoint_events() {
                    if let Some(answer) = self.endpoint.handle_event(handle, event) {
                        connection.handle_event(answer);
                        answered = true;
                    }
                }
                while let Some(event) = connection.poll() {
                    happened.push((handle, event));
                }
                if !due && !answered {
                    break;
                }
            }
        }
        self.connections
            .retain(|_, connection| !connection.is_drained());
        happened
    }

    /// The packets that have left since it was last asked.
    pub(super) fn take_leaving(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.leaving)
    }

    /// What has left of connections since it was last asked.
    pub(super) fn take_lumps(&mut self) -> Vec<Lump> {
        std::mem::take(&mut self.lumps)
    }

    /// When something is to be done if nothing comes before.
    pub(super) fn due(&mut self) -> Option<Instant> {
        let connections = self.connections.values_mut();
        connections.filter_map(Connection::poll_timeout).min()
    }
}

/// The packets of a lump.
fn cut(lump: &Transmit, bytes: &[u8], into: &mut Vec<Bytes>) {
    let bytes = bytes.get(..lump.size).unwrap_or(bytes);
    let size = lump.segment_size.unwrap_or(lump.size).max(1);
    into.extend(bytes.chunks(size).map(Bytes::copy_from_slice));
}
