//! Images of disks: taken while machines run, and put back later, on the same machine or on another.

use std::any::Any;
use std::rc::Rc;

use crate::model::Nanos;

use super::run::{What, World};
use super::{Host, HostId, Stop};

/// How many images of a host are kept; the oldest give way.
pub const MAX_IMAGES: usize = 8;

/// What is on a disk, in the host's own form. Copies share it.
#[derive(Debug, Clone, Default)]
pub struct Image(Option<Rc<dyn Any>>);

impl Image {
    /// Of a disk in the form that the host will look for.
    pub fn new<T: 'static>(disk: T) -> Self {
        Self(Some(Rc::new(disk)))
    }

    /// The disk, if it is in that form.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.as_deref()?.downcast_ref()
    }
}

impl<H: Host> World<H> {
    /// An image of a disk is taken.
    pub(super) fn take_image(&mut self, host: HostId) {
        let place = &mut self.places[host.0 as usize];
        let image = place.host.image();
        place.images.push_front(image);
        place.images.truncate(MAX_IMAGES);
    }

    /// A host loses power, gets an image for a disk, and starts after `off`.
    pub(super) fn put_image(&mut self, host: HostId, of: HostId, ago: u32, off: Nanos) {
        if !self.stop(host, Stop::PowerCut) {
            return;
        }
        let image = self.places[of.0 as usize].images.get(ago as usize).cloned();
        let place = &mut self.places[host.0 as usize];
        place.host.restore(image.as_ref());
        let (host, life) = (host.0, place.life);
        self.push(
            self.now.saturating_add(off.max(1)),
            What::Start { host, life },
        );
    }
}
