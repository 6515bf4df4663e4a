//! What a network is to consist of: hosts, and links and channels between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::names::{HostName, NetworkName};
use super::shape::Shape;
use crate::profile::Medium;

/// The smallest MTU of a link that carries IPv4 (RFC 791, section 3.2).
const LEAST_MTU: usize = 68;
/// The smallest MTU of a link that carries IPv6 (RFC 8200, section 5).
const LEAST_MTU_V6: usize = 1280;
/// The most hosts on a channel: each has a number of its own in its addresses.
const MOST_STATIONS: usize = 250;
/// The most links of a network: each has a number of its own in its addresses.
const MOST_LINKS: usize = 256;

/// Hosts and links.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The network's name.
    pub name: NetworkName,
    /// Its hosts.
    pub hosts: Vec<HostName>,
    /// Its links, named `link0`, `link1` and so on in this order, as are their devices.
    pub links: Vec<PlannedLink>,
    /// What chance follows from.
    pub seed: u64,
}

/// A link between hosts.
#[derive(Debug, Clone)]
pub struct PlannedLink {
    /// What its scenario calls it, if it is of one.
    pub name: Option<String>,
    /// Its ends, as places in [`Plan::hosts`]: two, or more on a channel.
    pub ends: Vec<usize>,
    /// On a channel, who does not hear whom: a sender and a receiver, as places in `ends`.
    pub deaf: Vec<(usize, usize)>,
    /// What it is like; between two, from the first end to the second and back.
    pub shape: Shape,
}

/// A network that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Two hosts of one name.
    #[error("two hosts are named {0}: give each a name of its own")]
    SameHost(HostName),
    /// A link without different hosts of the network as its ends.
    #[error(
        "link{0} does not join hosts of this network: name two different hosts, or up to {MOST_STATIONS} on a channel"
    )]
    Ends(usize),
    /// Too many links.
    #[error(
        "{0} links are more than a network may have: leave out some, at most {MOST_LINKS} work"
    )]
    TooManyLinks(usize),
    /// An MTU that cannot carry IP.
    #[error(
        "link{link} carries packets of at most {mtu} bytes, and IPv4 needs {LEAST_MTU}: give `mtu` a higher value"
    )]
    Mtu {
        /// The link.
        link: usize,
        /// Its MTU.
        mtu: usize,
    },
}

impl Plan {
    /// Two hosts `a` and `b`, and one link between them.
    #[must_use]
    pub fn pair(name: NetworkName, hosts: [HostName; 2], shape: Shape, seed: u64) -> Self {
        Self {
            name,
            hosts: hosts.into(),
            links: vec![PlannedLink {
                name: None,
                ends: vec![0, 1],
                deaf: Vec::new(),
                shape,
            }],
            seed,
        }
    }

    /// Checks that such a network can be.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), PlanError> {
        let mut hosts: Vec<&HostName> = self.hosts.iter().collect();
        hosts.sort();
        for pair in hosts.windows(2) {
            if pair[0] == pair[1] {
                return Err(PlanError::SameHost(pair[0].clone()));
            }
        }
        if self.links.len() > MOST_LINKS {
            return Err(PlanError::TooManyLinks(self.links.len()));
        }
        for (index, link) in self.links.iter().enumerate() {
            let mut ends = link.ends.clone();
            ends.sort_unstable();
            ends.dedup();
            let least = 2;
            let most = match link.shape.medium() {
                Medium::Channel(_) => MOST_STATIONS,
                _ => least,
            };
            let different = ends.len() == link.ends.len();
            let known = ends.iter().all(|&end| end < self.hosts.len());
            if !different || !known || !(least..=most).contains(&ends.len()) {
                return Err(PlanError::Ends(index));
            }
            let mtu = link.shape.mtu();
            if mtu < LEAST_MTU {
                return Err(PlanError::Mtu { link: index, mtu });
            }
        }
        Ok(())
    }

    /// The addresses of one end (by its place) of a link: IPv4, and IPv6 if the link's MTU allows.
    ///
    /// They are the same in every network: namespaces keep networks apart.
    pub fn addresses(&self, link: usize, end: usize) -> impl Iterator<Item = IpAddr> + use<> {
        // Checked to be below 256 and 250.
        let (number, host) = (link as u8, 1 + end as u8);
        let v4 = IpAddr::V4(Ipv4Addr::new(10, 77, number, host));
        let wide = self
            .links
            .get(link)
            .is_some_and(|link| link.shape.mtu() >= LEAST_MTU_V6);
        // A locally assigned prefix (RFC 4193), fixed so that scripts can rely on it.
        let v6 = Ipv6Addr::new(
            0xfd6e,
            0x7473,
            0x696d,
            u16::from(number),
            0,
            0,
            0,
            u16::from(host),
        );
        std::iter::once(v4).chain(wide.then_some(IpAddr::V6(v6)))
    }

    /// The links of a host, each with the place among its ends that the host has.
    pub(super) fn links_of(&self, host: usize) -> impl Iterator<Item = (usize, usize)> {
        self.links
            .iter()
            .enumerate()
            .filter_map(move |(index, link)| {
                let end = link.ends.iter().position(|&end| end == host)?;
                Some((index, end))
            })
    }

    /// The hosts at the ends of a link.
    pub(super) fn link_ends(&self, link: usize) -> Vec<HostName> {
        let ends = self.links[link].ends.iter();
        ends.map(|&host| self.hosts[host].clone()).collect()
    }

    /// The name of a link and of its devices.
    pub(super) fn device(link: usize) -> String {
        format!("link{link}")
    }

    /// Seeds of a link, one for each direction.
    pub(super) fn seeds(&self, link: usize) -> [u64; 2] {
        // The increment of SplitMix64: odd, so no two of these meet.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let first = 2 * link as u64;
        [first, first + 1].map(|place| self.seed.wrapping_add(place.wrapping_mul(STEP)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    fn plan(profile: &str, ends: &[usize]) -> Plan {
        let hosts = ["a", "b", "c"].map(|name| name.parse().unwrap());
        let shape = Shape::new(&Profile::named(profile).unwrap(), &[]).unwrap();
        Plan {
            name: "test".parse().unwrap(),
            hosts: hosts.into(),
            links: vec![PlannedLink {
                name: None,
                ends: ends.to_vec(),
                deaf: Vec::new(),
                shape,
            }],
            seed: 1,
        }
    }

    /// Guards what the rest relies on without looking: ends that exist and differ, two of them on a pair of links.
    #[test]
    fn links_join_different_hosts_that_are_there() {
        for (profile, ends, good) in [
            ("lan", [0, 1].as_slice(), true),
            ("lan", &[0, 0], false),
            ("lan", &[0, 3], false),
            ("lan", &[0, 1, 2], false),
            ("uhf-9600", &[0, 1, 2], true),
            ("uhf-9600", &[0], false),
        ] {
            let valid = plan(profile, ends).validate();
            assert_eq!(valid.is_ok(), good, "{profile} {ends:?} {valid:?}");
        }
        let mut twice = plan("lan", &[0, 1]);
        twice.hosts[2] = twice.hosts[0].clone();
        assert!(matches!(twice.validate(), Err(PlanError::SameHost(_))));
    }

    /// Guards the length of an IP packet on the line: all 1500 bytes of it and no more, though profiles add 28.
    #[test]
    fn headers_count_once() {
        let shape =
            |changes: &[String]| Shape::new(&Profile::named("geo").unwrap(), changes).unwrap();
        assert_eq!(shape(&[]).mtu(), 1500);
        // Twelve bytes more than the headers of IPv4 and UDP.
        assert_eq!(shape(&["overhead=40".to_owned()]).mtu(), 1488);
    }
}
