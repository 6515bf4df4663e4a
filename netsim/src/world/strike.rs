//! Faults taking effect.

use super::fault::FaultKind;
use super::medium::{Active, Notice};
use super::run::{What, World};
use super::trace::Record;
use super::{Host, HostId, LinkId, Stop};

impl<H: Host> World<H> {
    /// Lets the faults take effect that wait for as many events as there have been. True if there were any.
    pub(super) fn strike_by_event(&mut self) -> bool {
        let due = self.by_event.first_key_value().map(|(n, _)| *n);
        if due.is_none_or(|n| n > self.counts.events) {
            return false;
        }
        let (_, places) = self.by_event.pop_first().unwrap_or_default();
        places.into_iter().for_each(|place| self.strike(place));
        true
    }

    /// A fault begins.
    pub(super) fn strike(&mut self, place: usize) {
        self.event(&Record::Fault(place));
        let lasts = match self.faults[place].kind.clone() {
            FaultKind::Stop { host, how, off } => {
                if self.stop(host, how)
                    && let Some(off) = off
                {
                    let (host, life) = (host.0, self.places[host.0 as usize].life);
                    let at = self.now.saturating_add(off.max(1));
                    self.push(at, What::Start { host, life });
                }
                None
            }
            FaultKind::Image { host } => {
                self.take_image(host);
                None
            }
            FaultKind::Restore { host, of, ago, off } => {
                self.put_image(host, of, ago, off);
                None
            }
            FaultKind::ClockJump { host, by } => {
                self.places[host.0 as usize].clock.jump(by);
                None
            }
            FaultKind::ClockDrift { host, ppb } => {
                self.places[host.0 as usize].clock.set_drift(self.now, ppb);
                self.arm_timer(host.0 as usize);
                None
            }
            FaultKind::Cut {
                links,
                lasts,
                noticed,
            } => {
                self.cut(&links, noticed, true);
                lasts
            }
            FaultKind::Meddle {
                link,
                way,
                what,
                share_ppm,
                lasts,
            } => {
                self.media[link.0 as usize].meddling.push(Active {
                    fault: place,
                    way,
                    what,
                    share_ppm,
                });
                lasts
            }
        };
        if let Some(lasts) = lasts {
            self.push(self.now.saturating_add(lasts), What::FaultEnd(place as u32));
        }
    }

    /// A fault ends.
    pub(super) fn relent(&mut self, place: usize) {
        self.event(&Record::FaultEnd(place));
        match self.faults[place].kind.clone() {
            FaultKind::Cut { links, noticed, .. } => self.cut(&links, noticed, false),
            FaultKind::Meddle { link, .. } => {
                let meddling = &mut self.media[link.0 as usize].meddling;
                meddling.retain(|active| active.fault != place);
            }
            _ => {}
        }
    }

    /// Ends a program now. False if it does not run.
    pub fn stop(&mut self, host: HostId, how: Stop) -> bool {
        if !self.is_running(host) {
            return false;
        }
        self.event(&Record::Stop(host, how));
        let now = self.now;
        let place = &mut self.places[host.0 as usize];
        place.host.stop(place.clock.local(now), how);
        place.running = false;
        place.life += 1;
        place.wake = None;
        place.powered &= how != Stop::PowerCut;
        let media: Vec<u32> = place.ports.iter().map(|at| at.medium).collect();
        media
            .into_iter()
            .for_each(|medium| self.refresh(medium as usize));
        true
    }

    /// Starts a program that was stopped, as the next event of the present time.
    pub fn restart(&mut self, host: HostId) {
        if let Some(place) = self.places.get(host.0 as usize) {
            let (host, life) = (host.0, place.life);
            self.push(self.now, What::Start { host, life });
        }
    }

    fn cut(&mut self, links: &[LinkId], noticed: bool, begins: bool) {
        for link in links {
            let medium = &mut self.media[link.0 as usize];
            // Where nobody notices anything, a transmitter goes on sending and hears of nothing.
            let seen = noticed && medium.notice != Notice::Nothing;
            let count = if seen {
                &mut medium.cuts
            } else {
                &mut medium.hidden_cuts
            };
            *count = if begins {
                *count + 1
            } else {
                count.saturating_sub(1)
            };
            let up = medium.carries();
            medium.apply_cuts(self.now);
            self.trace.add(self.now, &Record::Up(*link, up));
            self.refresh(link.0 as usize);
        }
    }
}
