//! A network in real time: namespaces, devices, and a thread for each direction of each link.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::direction::Direction;
use super::ip::{IpError, ip, ip_batch};
use super::plan::{Plan, PlanError};
use super::report::{DirectionReport, LinkReport, NetworkReport};
use super::shape::{Shape, ShapeError};
use super::space::{self, DeviceSpec, Space, SpaceError};
use super::state::{Claim, HostRecord, Record, StateError};
use crate::emulate::Clock;
use crate::model::{Link, SpecError};

/// A network could not be made, or an order to it could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Its plan makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A namespace or device could not be made.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// `ip` failed.
    #[error(transparent)]
    Ip(#[from] IpError),
    /// Its folder is in use or not usable.
    #[error(transparent)]
    State(#[from] StateError),
    /// A link cannot be as asked for.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A link cannot be as asked for.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The system refused.
    #[error("{what}: {source}; see the limits on processes and files (`ulimit -a`)")]
    System {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No link of that name.
    #[error("there is no link {0}: see `netsim stats`")]
    NoLink(String),
    /// The MTU of a device cannot change under way.
    #[error("the MTU of a link that is up cannot change: `netsim down`, then `up` with another")]
    Mtu,
}

/// A network that carries packets.
pub(super) struct Network {
    plan: Plan,
    lines: Vec<Line>,
    threads: Vec<JoinHandle<()>>,
    clock: Clock,
}

/// A link of the network.
struct Line {
    shape: Shape,
    cut: bool,
    /// There and back.
    directions: [Arc<Direction>; 2],
}

impl Network {
    /// Makes namespaces and devices, notes them in the claimed folder, and begins to carry packets.
    pub(super) fn start(plan: Plan, claim: &Claim) -> Result<Self, NetworkError> {
        for host in &plan.hosts {
            let name = plan.name.namespace(host);
            if space::is_taken(&name) {
                return Err(SpaceError::Taken(name).into());
            }
        }
        let mut spaces = Vec::new();
        for host in 0..plan.hosts.len() {
            spaces.push(Space::create(device_specs(&plan, host)?)?);
        }
        // From here on whoever finds the folder of a dead carrier knows which namespaces to remove.
        claim.write(&record(&plan, &spaces))?;
        for (index, (host, space)) in plan.hosts.iter().zip(&spaces).enumerate() {
            let name = plan.name.namespace(host);
            space.attach(&name)?;
            ip_batch(&name, &configuration(&plan, index))?;
        }
        Self::carry(plan, spaces)
    }

    fn carry(plan: Plan, spaces: Vec<Space>) -> Result<Self, NetworkError> {
        let clock = Clock::start();
        let mut devices: Vec<_> = spaces
            .into_iter()
            .map(|space| space.devices.into_iter().map(Arc::new))
            .collect();
        let mut network = Self {
            lines: Vec::new(),
            threads: Vec::new(),
            clock,
            plan,
        };
        for (index, link) in network.plan.links.iter().enumerate() {
            // Devices of a host are in the order of its links.
            let mut end = |host: usize| devices.get_mut(host).and_then(Iterator::next);
            let (Some(a), Some(b)) = (end(link.ends[0]), end(link.ends[1])) else {
                return Err(PlanError::Ends(index).into());
            };
            let [there, back] = network.plan.seeds(index);
            let shape = &link.shape;
            let there = Link::new(shape.there(), there)?;
            // Where nothing comes back, a link that stays cut drops and counts what is sent all the same.
            let back = Link::new(shape.back().unwrap_or(shape.there()), back)?;
            let direction = |link, from, to| {
                Direction::new(link, from, to, clock)
                    .map(Arc::new)
                    .map_err(system("making an event descriptor"))
            };
            let line = Line {
                shape: shape.clone(),
                cut: false,
                directions: [
                    direction(there, Arc::clone(&a), Arc::clone(&b))?,
                    direction(back, b, a)?,
                ],
            };
            line.apply_cut();
            network.lines.push(line);
        }
        network.start_threads()?;
        Ok(network)
    }

    fn start_threads(&mut self) -> Result<(), NetworkError> {
        for (index, line) in self.lines.iter().enumerate() {
            for (direction, way) in line.directions.iter().zip(["there", "back"]) {
                let direction = Arc::clone(direction);
                let name = format!("{}-{way}", Plan::device(index));
                let thread = thread::Builder::new()
                    .name(name.clone())
                    .spawn(move || {
                        if let Err(error) = direction.run() {
                            eprintln!("{name} carries no more: {error}; was its device removed?");
                        }
                    })
                    .map_err(system("starting a thread"))?;
                self.threads.push(thread);
            }
        }
        Ok(())
    }

    /// How the links do.
    pub(super) fn report(&self) -> NetworkReport {
        let links = self.lines.iter().enumerate().map(|(index, line)| {
            let ends = self.plan.link_ends(index);
            let name = Plan::device(index);
            let way = |way: usize| {
                let (from, to) = (&ends[way], &ends[1 - way]);
                let missed = missed(&self.plan.name.namespace(from), &name);
                let counts = line.directions[way].counts();
                DirectionReport::new(from.as_str(), to.as_str(), &counts, missed)
            };
            LinkReport {
                profile: line.shape.to_string(),
                cut: line.cut,
                directions: vec![way(0), way(1)],
                name: name.clone(),
            }
        });
        NetworkReport {
            pid: std::process::id(),
            uptime_s: self.clock.now() as f64 / 1e9,
            links: links.collect(),
        }
    }

    /// Cuts a link or all, or restores them.
    pub(super) fn cut(&mut self, link: Option<&str>, down: bool) -> Result<(), NetworkError> {
        for index in self.chosen(link)? {
            let line = &mut self.lines[index];
            line.cut = down;
            line.apply_cut();
        }
        Ok(())
    }

    /// Changes a link or all; either all that is asked for, or nothing.
    pub(super) fn set(
        &mut self,
        link: Option<&str>,
        changes: &[String],
    ) -> Result<(), NetworkError> {
        let chosen = self.chosen(link)?;
        let mut changed = Vec::new();
        for &index in &chosen {
            let old = &self.lines[index].shape;
            let new = old.with(changes)?;
            if new.mtu() != old.mtu() {
                return Err(NetworkError::Mtu);
            }
            changed.push(new);
        }
        for (index, shape) in chosen.into_iter().zip(changed) {
            let line = &mut self.lines[index];
            line.directions[0].reshape(shape.there())?;
            if let Some(back) = shape.back() {
                line.directions[1].reshape(back)?;
            }
            line.shape = shape;
            line.apply_cut();
        }
        Ok(())
    }

    fn chosen(&self, link: Option<&str>) -> Result<Vec<usize>, NetworkError> {
        let all = 0..self.lines.len();
        let Some(name) = link else {
            return Ok(all.collect());
        };
        let found = all.into_iter().find(|&index| Plan::device(index) == name);
        found
            .map(|index| vec![index])
            .ok_or_else(|| NetworkError::NoLink(name.to_owned()))
    }
}

impl Line {
    fn apply_cut(&self) {
        let oneway = self.shape.back().is_none();
        self.directions[0].set_down(self.cut);
        self.directions[1].set_down(self.cut || oneway);
    }
}

/// Ends the threads and with them the devices.
impl Drop for Network {
    fn drop(&mut self) {
        for direction in self.lines.iter().flat_map(|line| &line.directions) {
            direction.end();
        }
        for thread in self.threads.drain(..) {
            // A panic was printed when it happened.
            let _ended = thread.join();
        }
    }
}

/// The devices of a host, in the order of its links.
fn device_specs(plan: &Plan, host: usize) -> Result<Vec<DeviceSpec>, NetworkError> {
    let mut specs = Vec::new();
    for (index, _end) in plan.links_of(host) {
        let mtu = plan.links[index].shape.mtu();
        specs.push(DeviceSpec {
            name: Plan::device(index),
            mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
        });
    }
    Ok(specs)
}

fn record(plan: &Plan, spaces: &[Space]) -> Record {
    let hosts = plan.hosts.iter().zip(spaces).enumerate();
    Record {
        pid: std::process::id(),
        hosts: hosts
            .map(|(index, (host, space))| HostRecord {
                name: host.as_str().to_owned(),
                namespace: plan.name.namespace(host),
                inode: space.inode,
                addresses: plan
                    .links_of(index)
                    .flat_map(|(link, end)| plan.addresses(link, end))
                    .map(|address| address.to_string())
                    .collect(),
            })
            .collect(),
    }
}

/// Commands for `ip` that bring up a host's devices: addresses, and the first device as the default route.
fn configuration(plan: &Plan, host: usize) -> String {
    let mut commands = String::from("link set lo up\n");
    for (place, (link, end)) in plan.links_of(host).enumerate() {
        let device = Plan::device(link);
        // Multicast is off because the kernel itself would send by it, and count as traffic.
        let _ok = writeln!(commands, "link set {device} multicast off up");
        for address in plan.addresses(link, end) {
            let (bits, extra) = match address {
                std::net::IpAddr::V4(_) => (30, ""),
                std::net::IpAddr::V6(_) => (64, " nodad"),
            };
            let _ok = writeln!(commands, "address add {address}/{bits} dev {device}{extra}");
        }
        if place == 0 {
            for address in plan.addresses(link, 1 - end) {
                let _ok = writeln!(commands, "route add default via {address} dev {device}");
            }
        }
    }
    commands
}

/// Packets that the kernel dropped because we did not read them in time; 0 if it does not tell.
fn missed(namespace: &str, device: &str) -> u64 {
    let printed = ip(&["-n", namespace, "-json", "-stats", "link", "show", device]);
    let value: serde_json::Value = printed
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let dropped = value.pointer("/0/stats64/tx/dropped");
    dropped
        .and_then(serde_json::Value::as_u64)
        .unwrap_or_default()
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> NetworkError {
    move |source| NetworkError::System { what, source }
}
