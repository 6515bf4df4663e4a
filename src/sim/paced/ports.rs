//! The ports of a node that pace themselves, as the node's runtime would have them: what happens on them becomes inputs
//! of the engine.

use super::super::work;
use super::link::{Link, Setup};
use crate::engine::io::{Input, LinkId, LinkProfile};
use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::world::{Out, Port};
use std::collections::{BTreeMap, VecDeque};

/// The paced ports of a node.
#[derive(Debug, Default)]
pub struct PacedPorts {
    ports: BTreeMap<LinkId, PacedPort>,
}

#[derive(Debug)]
struct PacedPort {
    setup: Setup,
    profile: LinkProfile,
    /// There while the port is up.
    link: Option<Link>,
    inputs: VecDeque<Input>,
    /// Something has happened to the link since it was last driven.
    touched: bool,
    /// When the link has to be driven.
    due: Option<Nanos>,
}

impl PacedPorts {
    /// Configures a port.
    pub fn add(&mut self, id: LinkId, setup: Setup, profile: LinkProfile) {
        let port = PacedPort {
            setup,
            profile,
            link: None,
            inputs: VecDeque::new(),
            touched: false,
            due: None,
        };
        self.ports.insert(id, port);
    }

    /// Whether a port paces itself.
    pub fn has(&self, id: LinkId) -> bool {
        self.ports.contains_key(&id)
    }

    /// A port came up.
    pub fn up(&mut self, now: Nanos, id: LinkId, out: &mut Out<'_>) {
        if let Some(port) = self.ports.get_mut(&id) {
            let mut series = [0; 2];
            out.random(&mut series);
            let link = Link::new(&port.setup, u16::from_be_bytes(series), now);
            (port.link, port.touched) = (Some(link), true);
            let profile = port.profile.clone();
            port.inputs.push_back(Input::LinkUp { link: id, profile });
        }
    }

    /// A port went down, with what waited on it.
    pub fn down(&mut self, id: LinkId) {
        if let Some(port) = self.ports.get_mut(&id) {
            (port.link, port.due) = (None, None);
            port.inputs.push_back(Input::LinkDown { link: id });
        }
    }

    /// The program ends.
    pub fn stop(&mut self) {
        for port in self.ports.values_mut() {
            (port.link, port.due) = (None, None);
            port.inputs.clear();
        }
    }

    /// A packet came.
    pub fn receive(&mut self, now: Nanos, id: LinkId, packet: &Bytes) {
        let Some(port) = self.ports.get_mut(&id) else {
            return;
        };
        port.touched = true;
        if let Some(frame) = port.link.as_mut().and_then(|l| l.receive(now, packet)) {
            port.inputs.push_back(Input::Received {
                link: id,
                frame,
                custody: None,
            });
        }
    }

    /// The engine sends a frame.
    pub fn send(&mut self, id: LinkId, frame: Bytes) {
        if let Some(port) = self.ports.get_mut(&id) {
            port.touched = true;
            if let Some(link) = &mut port.link {
                link.send(frame);
            }
        }
    }

    /// Drives the links, and says what the engine is to be told next. To be called until it is nothing.
    pub fn poll(&mut self, now: Nanos, out: &mut Out<'_>) -> Option<Input> {
        for (id, port) in &mut self.ports {
            if let Some(input) = port.inputs.pop_front() {
                return Some(input);
            }
            let Some(link) = &mut port.link else {
                continue;
            };
            if !port.touched && port.due.is_none_or(|due| due > now) {
                continue;
            }
            port.touched = false;
            while let Some(packet) = link.transmit(now) {
                out.send(Port(id.0), packet);
            }
            port.due = link.due().map(|at| work::timer(at, now));
            let frames = link.room();
            if frames > 0 {
                return Some(Input::LinkReady { link: *id, frames });
            }
        }
        None
    }

    /// When [`PacedPorts::poll`] has to be called if nothing comes before.
    pub fn due(&self) -> Option<Nanos> {
        self.ports.values().filter_map(|port| port.due).min()
    }
}
