//! One end of a foreign flow: a connection of the QUIC library as it comes, with its own congestion control, which always
//! has something to send. It is what others do on a link, so nothing of the link's transport is in it but the keys.

use super::clock::Clock;
use super::endpoint::Driven;
use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::scenario::FlowControl;
use ostrakon_netsim::world::{Host, Out, Port, Stop};
use ostrakon_transports::keys::LinkSecret;
use ostrakon_transports::quic::parts::{dialling, listening};
use ostrakon_transports::quic::{EndpointError, QuicSettings};
use quinn_proto::congestion::{BbrConfig, ControllerFactory, CubicConfig};
use quinn_proto::{
    ClientConfig, ConnectionHandle, Dir, Event, StreamEvent, StreamId, TransportConfig, VarInt,
};
use std::sync::Arc;

/// What may be under way and unread, in bytes: more than any path of a scenario holds.
const WINDOW: u32 = 32 << 20;
/// Bytes that are written and read at a time.
const CHUNK: usize = 32 << 10;

/// An end of a flow, as a host of its own.
pub struct FlowEnd {
    clock: Clock,
    driven: Driven,
    /// It is the end that sends.
    sends: bool,
    /// When that begins, and with what.
    begins: Option<(Nanos, ClientConfig)>,
    /// The connection with the stream that is written or read.
    stream: Option<(ConnectionHandle, StreamId)>,
    /// Packets that came in.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl FlowEnd {
    /// The end that sends, from a moment on, and the end that takes it in. `seed` makes their keys.
    ///
    /// # Errors
    /// [`EndpointError::Tls`] if a key is not usable.
    pub fn pair(
        clock: Clock,
        control: FlowControl,
        at: Nanos,
        seed: [u8; 32],
    ) -> Result<[Self; 2], EndpointError> {
        let part =
            |n: u8| blake3::derive_key("ostrakon 2026 simulated flow", &[&seed[..], &[n]].concat());
        let secrets = [0, 1].map(|n| LinkSecret::from_seed(part(n)));
        let settings = QuicSettings::default();
        let transport = transport(control);
        let (config, mut client) = dialling(&secrets[0], secrets[1].public(), &settings)?;
        client.transport_config(transport.clone());
        let first = Driven::new(config, None, part(2));
        let (config, mut server) = listening(&secrets[1], &settings)?;
        server.transport_config(transport);
        let second = Driven::new(config, Some(server), part(3));
        Ok([
            Self::new(clock, first, Some((at, client))),
            Self::new(clock, second, None),
        ])
    }

    fn new(clock: Clock, driven: Driven, begins: Option<(Nanos, ClientConfig)>) -> Self {
        Self {
            clock,
            driven,
            sends: begins.is_some(),
            begins,
            stream: None,
            packets: 0,
            bytes: 0,
        }
    }

    /// Does what is due, and asks to be called when more is.
    fn drive(&mut self, now: Nanos, out: &mut Out<'_>) {
        let instant = self.clock.at(now);
        if let Some((_, client)) = self.begins.take_if(|(at, _)| *at <= now) {
            // A connection that cannot be is one that carries nothing, which the figures show.
            let _ = self.driven.connect(instant, client);
        }
        loop {
            let happened = self.driven.advance(instant);
            let moved = self.pass(happened);
            if !moved {
                break;
            }
        }
        for packet in self.driven.take_leaving() {
            out.send(Port(0), packet);
        }
        let due = self.driven.due().map(|at| self.clock.fires(at, now));
        let begins = self.begins.as_ref().map(|(at, _)| *at);
        match due.into_iter().chain(begins).min() {
            Some(at) => out.wake_at(at),
            None => out.sleep(),
        }
    }

    /// Takes up what has happened, writes what may be written and reads what is there. Whether anything was done.
    fn pass(&mut self, happened: Vec<(ConnectionHandle, Event)>) -> bool {
        let mut moved = false;
        for (handle, event) in happened {
            moved = true;
            let Some(connection) = self.driven.connection(handle) else {
                continue;
            };
            let stream = match event {
                Event::Connected if self.sends => connection.streams().open(Dir::Uni),
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                    connection.streams().accept(Dir::Uni)
                }
                _ => None,
            };
            self.stream = stream.map(|stream| (handle, stream)).or(self.stream);
        }
        match (moved, self.sends) {
            (true, true) => self.write(),
            (true, false) => self.read(),
            (false, _) => {}
        }
        moved
    }

    fn write(&mut self) {
        let Some((handle, stream)) = self.stream else {
            return;
        };
        if let Some(connection) = self.driven.connection(handle) {
            let mut stream = connection.send_stream(stream);
            while stream.write(&[0; CHUNK]).is_ok_and(|written| written > 0) {}
        }
    }

    fn read(&mut self) {
        let Some((handle, stream)) = self.stream else {
            return;
        };
        if let Some(connection) = self.driven.connection(handle) {
            let mut stream = connection.recv_stream(stream);
            if let Ok(mut chunks) = stream.read(true) {
                while let Ok(Some(_)) = chunks.next(CHUNK) {}
                let _ = chunks.finalize();
            }
        }
    }
}

/// The library's own settings, but for windows that bound no path.
fn transport(control: FlowControl) -> Arc<TransportConfig> {
    let factory: Arc<dyn ControllerFactory + Send + Sync> = match control {
        FlowControl::Bbr => Arc::new(BbrConfig::default()),
        FlowControl::Cubic | FlowControl::Absent => Arc::new(CubicConfig::default()),
    };
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .send_window(u64::from(WINDOW))
        .congestion_controller_factory(factory);
    Arc::new(config)
}

impl Host for FlowEnd {
    fn start(&mut self, now: Nanos, out: &mut Out<'_>) {
        self.drive(now, out);
    }

    fn packet(&mut self, now: Nanos, _port: Port, packet: Bytes, out: &mut Out<'_>) {
        self.packets += 1;
        self.bytes += packet.len() as u64;
        self.driven.receive(self.clock.at(now), &packet);
        self.drive(now, out);
    }

    fn timer(&mut self, now: Nanos, out: &mut Out<'_>) {
        self.drive(now, out);
    }

    fn stop(&mut self, _now: Nanos, _how: Stop) {}
}
