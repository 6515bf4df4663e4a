//! The ports of a node that run QUIC, as the node's runtime would have them: events of links become inputs of the engine.

use super::clock::Clock;
use super::link::{Link, Setup};
use crate::engine::io::{Input, LinkId, LinkProfile};
use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::world::{Out, Port};
use ostrakon_transports::quic::EndpointError;
use ostrakon_transports::{self as transport, LinkEvent};
use std::collections::BTreeMap;

/// The QUIC ports of a node.
pub struct QuicPorts {
    clock: Clock,
    ports: BTreeMap<LinkId, QuicPort>,
}

struct QuicPort {
    setup: Setup,
    /// What the operator configures.
    configured: LinkProfile,
    /// There while the program runs, and before its first start if it knows the other end.
    link: Option<Link>,
    /// Something has happened to the link since it was last driven.
    touched: bool,
    /// When the link has to be driven.
    due: Option<Nanos>,
}

impl QuicPorts {
    /// No ports yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            ports: BTreeMap::new(),
        }
    }

    /// Configures a port; `known` is the link of an end that knows the other.
    pub fn add(&mut self, id: LinkId, setup: Setup, configured: LinkProfile, known: Option<Link>) {
        self.ports.insert(
            id,
            QuicPort {
                setup,
                configured,
                link: known,
                touched: true,
                due: None,
            },
        );
    }

    /// Whether a port runs QUIC.
    pub fn has(&self, id: LinkId) -> bool {
        self.ports.contains_key(&id)
    }

    /// The program starts.
    ///
    /// # Errors
    /// A key that is not usable.
    pub fn start(&mut self, now: Nanos, out: &mut Out<'_>) -> Result<(), EndpointError> {
        for port in self.ports.values_mut() {
            if port.link.is_none() {
                let mut seed = [0; 32];
                out.random(&mut seed);
                let link = Link::new(port.setup.clone(), seed, self.clock.at(now))?;
                port.link = Some(link);
            }
            port.touched = true;
        }
        Ok(())
    }

    /// The program ends. The other ends are not told.
    pub fn stop(&mut self) {
        for port in self.ports.values_mut() {
            (port.link, port.due) = (None, None);
        }
    }

    /// A packet came.
    pub fn receive(&mut self, now: Nanos, id: LinkId, packet: &[u8]) {
        let now = self.clock.at(now);
        if let Some(link) = self.touch(id) {
            link.receive(now, packet);
        }
    }

    /// The engine sends a frame; `tag` groups it with others.
    pub fn send(&mut self, id: LinkId, frame: Bytes, tag: u64) {
        if let Some(link) = self.touch(id) {
            link.send(frame, tag);
        }
    }

    /// What the frames of each tag have cost since it was last asked, in bytes of packets with all headers.
    pub fn take_costs(&mut self) -> Vec<(u64, u64)> {
        let links = self.ports.values_mut().filter_map(|p| p.link.as_mut());
        links.flat_map(Link::take_costs).collect()
    }

    /// Drives the links, and says what the engine is to be told next. To be called until it is nothing.
    pub fn poll(&mut self, now: Nanos, out: &mut Out<'_>) -> Option<Input> {
        for (id, port) in &mut self.ports {
            let Some(link) = &mut port.link else {
                continue;
            };
            if port.touched || port.due.is_some_and(|due| due <= now) {
                port.touched = false;
                for packet in link.advance(self.clock.at(now)) {
                    out.send(Port(id.0), packet);
                }
                port.due = link.due().map(|at| self.clock.fires(at, now));
            }
            if let Some(event) = link.poll() {
                return Some(input(*id, &port.configured, event));
            }
        }
        None
    }

    /// When [`QuicPorts::poll`] has to be called if nothing comes before.
    pub fn due(&self) -> Option<Nanos> {
        self.ports.values().filter_map(|port| port.due).min()
    }

    /// Frames that the transports have dropped.
    pub fn dropped(&self) -> u64 {
        let links = self.ports.values().filter_map(|port| port.link.as_ref());
        links.map(|link| link.dropped).sum()
    }

    fn touch(&mut self, id: LinkId) -> Option<&mut Link> {
        let port = self.ports.get_mut(&id)?;
        port.touched = true;
        port.link.as_mut()
    }
}

fn input(link: LinkId, configured: &LinkProfile, event: LinkEvent) -> Input {
    match event {
        LinkEvent::Up(found) | LinkEvent::Changed(found) => Input::LinkUp {
            link,
            profile: profile(configured, &found),
        },
        LinkEvent::Down(_) => Input::LinkDown { link },
        LinkEvent::Ready(frames) => Input::LinkReady { link, frames },
        LinkEvent::Received { frame, custody } => Input::Received {
            link,
            frame,
            custody,
        },
    }
}

/// What was configured, and what the transport has found.
fn profile(configured: &LinkProfile, found: &transport::LinkProfile) -> LinkProfile {
    LinkProfile {
        mtu: found.mtu,
        rate_bps: configured.rate_bps.or(found.rate_bps),
        rtt: found.rtt.or(configured.rtt),
        ..configured.clone()
    }
}
