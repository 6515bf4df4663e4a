//! A machine of a simulated world: a node, a relay, or an end of somebody else's flow.

use super::node::Node;
use super::quic::FlowEnd;
use super::relay::Relay;
use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::world::{Host, Image, Out, Port, Stop};

/// A machine.
pub enum Machine {
    /// Somebody's node.
    Node(Box<Node>),
    /// A relay.
    Relay(Box<Relay>),
    /// An end of a flow.
    Flow(Box<FlowEnd>),
}

impl Machine {
    fn host(&mut self) -> &mut dyn Host {
        match self {
            Self::Node(node) => node.as_mut(),
            Self::Relay(relay) => relay.as_mut(),
            Self::Flow(end) => end.as_mut(),
        }
    }

    /// The node, if it is one.
    pub fn node(&self) -> Option<&Node> {
        match self {
            Self::Node(node) => Some(node),
            Self::Relay(_) | Self::Flow(_) => None,
        }
    }
}

impl Host for Machine {
    fn start(&mut self, now: Nanos, out: &mut Out<'_>) {
        self.host().start(now, out);
    }

    fn packet(&mut self, now: Nanos, port: Port, packet: Bytes, out: &mut Out<'_>) {
        self.host().packet(now, port, packet, out);
    }

    fn link(&mut self, now: Nanos, port: Port, up: bool, out: &mut Out<'_>) {
        self.host().link(now, port, up, out);
    }

    fn ready(&mut self, now: Nanos, port: Port, out: &mut Out<'_>) {
        self.host().ready(now, port, out);
    }

    fn timer(&mut self, now: Nanos, out: &mut Out<'_>) {
        self.host().timer(now, out);
    }

    fn done(&mut self, now: Nanos, token: u64, out: &mut Out<'_>) {
        self.host().done(now, token, out);
    }

    fn stop(&mut self, now: Nanos, how: Stop) {
        self.host().stop(now, how);
    }

    fn image(&self) -> Image {
        match self {
            Self::Node(node) => node.image(),
            Self::Relay(relay) => relay.image(),
            Self::Flow(end) => end.image(),
        }
    }

    fn restore(&mut self, image: Option<&Image>) {
        self.host().restore(image);
    }
}
