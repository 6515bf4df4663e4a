//! What a link is like: a profile as it applies to IP packets, with what was changed about it.

use std::fmt;

use crate::model::SpecError;
use crate::profile::{Medium, Profile, ProfileError};

/// A pair of links between two hosts, or a channel that hosts share, by a profile.
///
/// Packets count with all that is on the line: on a pair of links that is their length, plus what the profile's overhead has
/// beyond 28 bytes of IPv4 and UDP; on radio it is their length plus the profile's overhead.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The profile's name and what was changed, for people.
    title: String,
    profile: Profile,
    medium: Medium,
    /// Whether the medium has contacts or recorded rates that the profile does not know of.
    planned: bool,
}

/// A profile that cannot be a link here.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// No such profile, or one that does not take the change.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Values that do not go together.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Storage that travels.
    #[error(
        "{0} carries storage, not packets, and works in virtual time only: take another profile"
    )]
    Courier(&'static str),
    /// A change of a link whose contacts or rates are planned.
    #[error(
        "{0} follows a plan of its scenario and cannot change while it is up: change the scenario, then `down` and `up`"
    )]
    Planned(String),
}

/// Bytes of IPv4 and UDP headers (RFC 791, RFC 768). They are in a profile's overhead of a pair of links, which is offered
/// payloads of UDP in virtual time, and they are in the length of an IP packet.
const COUNTED: usize = 28;

impl Shape {
    /// A profile with changes, each `KEY=VALUE`.
    ///
    /// # Errors
    ///
    /// What the profile does not take, and [`ShapeError::Courier`].
    pub fn new(profile: &Profile, changes: &[String]) -> Result<Self, ShapeError> {
        let plain = Self {
            title: profile.name().to_owned(),
            profile: profile.clone(),
            medium: for_ip(profile, profile.medium()?)?,
            planned: false,
        };
        plain.with(changes)
    }

    /// A link of a scenario, of this profile and made of this.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Courier`], and a profile whose values do not go together.
    pub fn planned(name: &str, profile: &Profile, medium: Medium) -> Result<Self, ShapeError> {
        Ok(Self {
            title: format!("{name} ({})", profile.name()),
            profile: profile.clone(),
            planned: medium != profile.medium()?,
            medium: for_ip(profile, medium)?,
        })
    }

    /// This with further changes, each `KEY=VALUE`.
    ///
    /// # Errors
    ///
    /// As [`Self::new`], and [`ShapeError::Planned`].
    pub fn with(&self, changes: &[String]) -> Result<Self, ShapeError> {
        if self.planned {
            return Err(ShapeError::Planned(self.title.clone()));
        }
        let mut profile = self.profile.clone();
        let mut title = self.title.clone();
        for change in changes {
            profile.change(change)?;
            title = format!("{title} {change}");
        }
        Ok(Self {
            title,
            medium: for_ip(&profile, profile.medium()?)?,
            profile,
            planned: false,
        })
    }

    /// What the link is made of; never a courier.
    #[must_use]
    pub fn medium(&self) -> &Medium {
        &self.medium
    }

    /// The largest IP packet that the link carries, both ways, in bytes.
    #[must_use]
    pub fn mtu(&self) -> usize {
        // What was checked has an MTU above its overhead.
        match &self.medium {
            Medium::Pair { forward, back } => std::iter::once(forward)
                .chain(back)
                .map(|spec| spec.mtu.saturating_sub(spec.overhead))
                .min()
                .unwrap_or_default(),
            Medium::Channel(spec) => spec.mtu.saturating_sub(spec.overhead),
            Medium::Courier(_) => 0,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

/// A medium to which IP packets are offered.
fn for_ip(profile: &Profile, mut medium: Medium) -> Result<Medium, ShapeError> {
    match &mut medium {
        Medium::Pair { forward, back } => {
            for spec in std::iter::once(forward).chain(back) {
                spec.overhead = spec.overhead.saturating_sub(COUNTED);
            }
        }
        Medium::Channel(_) => {}
        Medium::Courier(_) => return Err(ShapeError::Courier(profile.name())),
    }
    Ok(medium)
}
