//! What a link is like: a profile as it applies to IP packets, with what was changed about it.

use std::fmt;

use crate::model::SpecError;
use crate::profile::{Medium, Profile, ProfileError};

/// A pair of links between two hosts, or a channel that hosts share, by a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    profile: Profile,
    changes: Vec<String>,
    medium: Medium,
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
}

impl Shape {
    /// A profile for IP packets. A pair of links adds nothing to them, unless its overhead is changed, since their headers
    /// are in their length; radio adds what its link layer adds.
    ///
    /// # Errors
    ///
    /// What the profile does not take, and [`ShapeError::Courier`].
    pub fn new(profile: &Profile, changes: &[String]) -> Result<Self, ShapeError> {
        let mut profile = profile.clone();
        let mut medium = profile.medium()?;
        if matches!(medium, Medium::Pair { .. }) {
            profile.set("overhead", "0")?;
            medium = profile.medium()?;
        }
        let plain = Self {
            profile,
            changes: Vec::new(),
            medium,
        };
        plain.with(changes)
    }

    /// This with further changes, each `KEY=VALUE`.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with(&self, changes: &[String]) -> Result<Self, ShapeError> {
        let mut profile = self.profile.clone();
        for change in changes {
            profile.change(change)?;
        }
        let medium = profile.medium()?;
        if matches!(medium, Medium::Courier(_)) {
            return Err(ShapeError::Courier(profile.name()));
        }
        Ok(Self {
            profile,
            changes: [self.changes.as_slice(), changes].concat(),
            medium,
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
        f.write_str(self.profile.name())?;
        for change in &self.changes {
            write!(f, " {change}")?;
        }
        Ok(())
    }
}
