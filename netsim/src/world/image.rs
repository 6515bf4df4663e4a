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

#[cfg(test)]
mod tests {
    use super::super::{FaultKind, FaultPlan, Out};
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    /// Counts its starts, on its disk.
    struct Counter(u32);

    impl Host for Counter {
        fn start(&mut self, _now: Nanos, _out: &mut Out<'_>) {
            self.0 += 1;
        }
        fn packet(&mut self, _: Nanos, _: super::super::Port, _: bytes::Bytes, _: &mut Out<'_>) {}
        fn image(&self) -> Image {
            Image::new(self.0)
        }
        fn restore(&mut self, image: Option<&Image>) {
            self.0 = image.and_then(Image::get).copied().unwrap_or(0);
        }
    }

    /// Guards that a host starts on the image that was asked for: its own, another's, or none.
    #[test]
    fn a_host_starts_on_the_image_that_was_asked_for() {
        let mut world = World::new(1);
        let a = world.add_host("a", Counter(10));
        let b = world.add_host("b", Counter(20));
        let restore = |host, of, ago| FaultKind::Restore {
            host,
            of,
            ago,
            off: SECOND,
        };
        let plan = FaultPlan::new()
            .at(SECOND, FaultKind::Image { host: a })
            .at(2 * SECOND, restore(a, a, 0))
            .at(4 * SECOND, FaultKind::Image { host: a })
            .at(5 * SECOND, restore(b, a, 1))
            .at(7 * SECOND, restore(a, a, 0))
            .at(9 * SECOND, restore(b, b, 0));
        world.add_faults(&plan).unwrap();
        for (until, disks) in [
            (1, [11, 21]),
            (4, [12, 21]),
            (7, [12, 12]),
            (8, [13, 12]),
            (11, [13, 1]),
        ] {
            world.run_until(until * SECOND, |_| false);
            assert_eq!([a, b].map(|host| world.host(host).0), disks, "{until} s");
        }
    }
}
