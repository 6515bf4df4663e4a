//! A link of a network that is up: a pair of directions, or a channel.

use std::io;
use std::sync::Arc;

use super::air::Air;
use super::device::Device;
use super::direction::Direction;
use super::network::NetworkError;
use super::plan::PlannedLink;
use super::shape::Shape;
use crate::emulate::Clock;
use crate::model::{Channel, Link};
use crate::profile::Medium;

/// A link that carries packets once its threads run.
pub(super) struct Line {
    shape: Shape,
    cut: bool,
    works: Works,
}

/// What carries the packets.
pub(super) enum Works {
    /// There and back.
    Pair([Arc<Direction>; 2]),
    Channel(Arc<Air>),
}

/// What a thread of a line does until the line ends.
type Job = Box<dyn FnOnce() -> io::Result<()> + Send>;

impl Line {
    /// Joins the devices of the link's ends, given in their order.
    pub(super) fn new(
        link: &PlannedLink,
        devices: &[Arc<Device>],
        seeds: [u64; 2],
        clock: Clock,
    ) -> Result<Self, NetworkError> {
        let system = |source| NetworkError::System {
            what: "making an event descriptor",
            source,
        };
        let works = match (link.shape.medium(), devices) {
            (Medium::Pair { forward, back }, [a, b]) => {
                let there = Link::new(forward, seeds[0])?;
                // Where nothing comes back, a link that stays cut drops and counts what is sent all the same.
                let back = Link::new(back.as_ref().unwrap_or(forward), seeds[1])?;
                let (a2, b2) = (Arc::clone(a), Arc::clone(b));
                let there = Direction::new(there, Arc::clone(a), b2, clock).map_err(system)?;
                let back = Direction::new(back, Arc::clone(b), a2, clock).map_err(system)?;
                Works::Pair([Arc::new(there), Arc::new(back)])
            }
            (Medium::Channel(spec), devices) => {
                let mut channel = Channel::new(spec, devices.len(), seeds[0])?;
                for &(from, to) in &link.deaf {
                    channel.set_level(0, from, to, None);
                }
                let air = Air::new(channel, devices.to_vec(), clock).map_err(system)?;
                Works::Channel(Arc::new(air))
            }
            _ => return Err(NetworkError::Ends),
        };
        let line = Self {
            shape: link.shape.clone(),
            cut: false,
            works,
        };
        line.apply_cut();
        Ok(line)
    }

    /// What its threads are to do, each with a word that tells it from the others.
    pub(super) fn jobs(&self) -> Vec<(&'static str, Job)> {
        match &self.works {
            Works::Pair([there, back]) => {
                let (there, back) = (Arc::clone(there), Arc::clone(back));
                vec![
                    ("there", Box::new(move || there.run())),
                    ("back", Box::new(move || back.run())),
                ]
            }
            Works::Channel(air) => {
                let air = Arc::clone(air);
                vec![("air", Box::new(move || air.run()))]
            }
        }
    }

    /// Makes the jobs return.
    pub(super) fn end(&self) {
        match &self.works {
            Works::Pair(directions) => directions.iter().for_each(|direction| direction.end()),
            Works::Channel(air) => air.end(),
        }
    }

    pub(super) fn works(&self) -> &Works {
        &self.works
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn set_cut(&mut self, cut: bool) {
        self.cut = cut;
        self.apply_cut();
    }

    /// What the line would be like with changes; an error if it cannot be, or not while it is up.
    pub(super) fn changed(&self, changes: &[String]) -> Result<Shape, NetworkError> {
        let new = self.shape.with(changes)?;
        if matches!(self.works, Works::Channel(_)) {
            return Err(NetworkError::Channel);
        }
        if new.mtu() != self.shape.mtu() {
            return Err(NetworkError::Mtu);
        }
        Ok(new)
    }

    /// Becomes as [`Self::changed`] said.
    pub(super) fn reshape(&mut self, new: Shape) -> Result<(), NetworkError> {
        if let (Works::Pair(directions), Medium::Pair { forward, back }) =
            (&self.works, new.medium())
        {
            directions[0].reshape(forward)?;
            if let Some(back) = back {
                directions[1].reshape(back)?;
            }
        }
        self.shape = new;
        self.apply_cut();
        Ok(())
    }

    fn apply_cut(&self) {
        match &self.works {
            Works::Pair(directions) => {
                let oneway = matches!(self.shape.medium(), Medium::Pair { back: None, .. });
                directions[0].set_down(self.cut);
                directions[1].set_down(self.cut || oneway);
            }
            Works::Channel(air) => air.set_down(self.cut),
        }
    }
}
