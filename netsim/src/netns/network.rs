//! A network in real time: namespaces, devices, and a thread for each direction of each link.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::carry::note;
use super::ip::{IpError, ip, ip_batch};
use super::line::{Line, Works};
use super::names::HostName;
use super::plan::{Plan, PlanError, PlannedLink};
use super::report::{DirectionReport, LinkReport, NetworkReport, StationReport};
use super::shape::ShapeError;
use super::space::{self, DeviceSpec, Space, SpaceError};
use super::state::{Claim, HostRecord, Record, StateError};
use crate::emulate::Clock;
use crate::model::SpecError;

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
    #[error(
        "there is no link {0}: give `link0` and so on, see `netsim stats`, or a name of the scenario"
    )]
    NoLink(String),
    /// A link without as many devices as it has ends.
    #[error("a link lacks a device at one of its ends: bring the network up again")]
    Ends,
    /// A channel cannot change under way.
    #[error("a radio channel that is up cannot change: `netsim down`, then `up` with the changes")]
    Channel,
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
        // Devices of a host are in the order of its links.
        let mut devices: Vec<_> = spaces
            .into_iter()
            .map(|space| space.devices.into_iter().map(Arc::new))
            .collect();
        let mut lines = Vec::new();
        for (index, link) in plan.links.iter().enumerate() {
            let ends = link.ends.iter();
            let joined: Vec<_> = ends
                .filter_map(|&host| devices.get_mut(host)?.next())
                .collect();
            lines.push(Line::new(link, &joined, plan.seeds(index), clock)?);
        }
        let mut network = Self {
            plan,
            lines,
            threads: Vec::new(),
            clock,
        };
        network.start_threads()?;
        Ok(network)
    }

    fn start_threads(&mut self) -> Result<(), NetworkError> {
        for (index, line) in self.lines.iter().enumerate() {
            for (what, job) in line.jobs() {
                let name = format!("{}-{what}", Plan::device(index));
                let thread = thread::Builder::new()
                    .name(name.clone())
                    .spawn(move || {
                        if let Err(error) = job() {
                            note(format_args!(
                                "{name} carries no more: {error}; was its device removed?"
                            ));
                        }
                    })
                    .map_err(|source| NetworkError::System {
                        what: "starting a thread",
                        source,
                    })?;
                self.threads.push(thread);
            }
        }
        Ok(())
    }

    /// How the links do.
    pub(super) fn report(&self) -> NetworkReport {
        let links = self.lines.iter().enumerate();
        NetworkReport {
            pid: std::process::id(),
            uptime_s: self.clock.now() as f64 / 1e9,
            links: links
                .map(|(index, line)| self.report_line(index, line))
                .collect(),
        }
    }

    fn report_line(&self, index: usize, line: &Line) -> LinkReport {
        let device = Plan::device(index);
        let hosts = self.plan.link_ends(index);
        let missed = |host: &HostName| missed(&self.plan.name.namespace(host), &device);
        let (mut directions, mut stations) = (Vec::new(), Vec::new());
        match line.works() {
            Works::Pair(pair) => {
                let ways = hosts.iter().zip(hosts.iter().rev()).zip(pair);
                directions.extend(ways.map(|((from, to), direction)| {
                    DirectionReport::new(from, to, &direction.counts(), missed(from))
                }));
            }
            Works::Channel(air) => {
                let each = hosts.iter().zip(air.counts());
                stations.extend(
                    each.map(|(host, counts)| StationReport::new(host, &counts, missed(host))),
                );
            }
        }
        LinkReport {
            profile: line.shape().to_string(),
            cut: line.is_cut(),
            directions,
            stations,
            name: device,
        }
    }

    /// Cuts a link or all, or restores them.
    pub(super) fn cut(&mut self, link: Option<&str>, down: bool) -> Result<(), NetworkError> {
        for index in self.chosen(link)? {
            self.lines[index].set_cut(down);
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
        let changed = chosen
            .iter()
            .map(|&index| self.lines[index].changed(changes))
            .collect::<Result<Vec<_>, _>>()?;
        for (index, shape) in chosen.into_iter().zip(changed) {
            self.lines[index].reshape(shape)?;
        }
        Ok(())
    }

    fn chosen(&self, link: Option<&str>) -> Result<Vec<usize>, NetworkError> {
        let all = 0..self.lines.len();
        let Some(name) = link else {
            return Ok(all.collect());
        };
        let named = |link: &PlannedLink| link.name.as_deref() == Some(name);
        let found = all.into_iter().find(|&index| Plan::device(index) == name);
        found
            .or_else(|| self.plan.links.iter().position(named))
            .map(|index| vec![index])
            .ok_or_else(|| NetworkError::NoLink(name.to_owned()))
    }
}

/// Ends the threads and with them the devices.
impl Drop for Network {
    fn drop(&mut self) {
        for line in &self.lines {
            line.end();
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
                std::net::IpAddr::V4(_) => (24, ""),
                std::net::IpAddr::V6(_) => (64, " nodad"),
            };
            let _ok = writeln!(commands, "address add {address}/{bits} dev {device}{extra}");
        }
        // On a channel with more stations nobody is the way to everywhere.
        if place == 0 && plan.links[link].ends.len() == 2 {
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
