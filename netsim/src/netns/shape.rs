//! What a link is like, both ways: a profile as it applies to IP packets, with what was changed about it.

use std::fmt;

use crate::model::{LinkSpec, SpecError};
use crate::profile::{Medium, Profile, ProfileError};

/// A pair of links between two hosts, by a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    profile: Profile,
    changes: Vec<String>,
    there: LinkSpec,
    /// Without one, nothing comes back.
    back: Option<LinkSpec>,
}

/// A profile that cannot be a link between two hosts.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// No such profile, or one that does not take the change.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Values that do not go together.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A shared channel or a courier.
    #[error(
        "{0} is no pair of links: it works in virtual time only; here, take one of {names}",
        names = pairs().join(", ")
    )]
    NoPair(&'static str),
}

impl Shape {
    /// A profile for IP packets, whose headers are in their length: its overhead is 0 unless changed.
    ///
    /// # Errors
    ///
    /// What the profile does not take, and [`ShapeError::NoPair`] for what two hosts cannot have between them here.
    pub fn new(profile: &Profile, changes: &[String]) -> Result<Self, ShapeError> {
        let mut profile = profile.clone();
        profile.set("overhead", "0")?;
        let (there, back) = links(&profile)?;
        let plain = Self {
            profile,
            changes: Vec::new(),
            there,
            back,
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
        let (there, back) = links(&profile)?;
        Ok(Self {
            profile,
            changes: [self.changes.as_slice(), changes].concat(),
            there,
            back,
        })
    }

    /// The link from the first end to the second.
    #[must_use]
    pub fn there(&self) -> &LinkSpec {
        &self.there
    }

    /// The link from the second end to the first; none if nothing comes back.
    #[must_use]
    pub fn back(&self) -> Option<&LinkSpec> {
        self.back.as_ref()
    }

    /// The largest IP packet that the link carries both ways, in bytes.
    #[must_use]
    pub fn mtu(&self) -> usize {
        let both = [Some(&self.there), self.back.as_ref()];
        let all = both.into_iter().flatten();
        // A checked specification's MTU is above its overhead.
        all.map(|spec| spec.mtu.saturating_sub(spec.overhead))
            .min()
            .unwrap_or_default()
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

fn links(profile: &Profile) -> Result<(LinkSpec, Option<LinkSpec>), ShapeError> {
    match profile.medium()? {
        Medium::Pair { forward, back } => Ok((*forward, back.map(|back| *back))),
        _ => Err(ShapeError::NoPair(profile.name())),
    }
}

/// The names of all profiles that are pairs of links.
fn pairs() -> Vec<&'static str> {
    let all = Profile::all();
    let pairs = all
        .iter()
        .filter(|profile| matches!(profile.medium(), Ok(Medium::Pair { .. })));
    pairs.map(Profile::name).collect()
}
