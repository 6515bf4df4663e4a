//! What a link is like, both ways.

use std::fmt;
use std::time::Duration;

use crate::model::{LinkSpec, SpecError};

/// Stand-in until profiles are here.
#[derive(Debug, Clone)]
pub struct Shape {
    /// There.
    pub there: LinkSpec,
    /// Back.
    pub back: LinkSpec,
    label: String,
}

/// Bad.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ShapeError {
    /// Unknown.
    #[error("unknown {0}")]
    Unknown(String),
    /// Spec.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

impl Shape {
    /// Profile.
    pub fn new(profile: &str, changes: &[String]) -> Result<Self, ShapeError> {
        let spec = match profile {
            "clean" => LinkSpec::new(),
            "geo" => LinkSpec::new()
                .rate_bps(10_000_000)
                .delay(Duration::from_millis(300)),
            _ => return Err(ShapeError::Unknown(profile.to_owned())),
        }
        .overhead(0);
        Self {
            there: spec.clone(),
            back: spec,
            label: profile.to_owned(),
        }
        .with(changes)
    }

    /// With.
    pub fn with(&self, changes: &[String]) -> Result<Self, ShapeError> {
        let mut new = self.clone();
        for change in changes {
            let bad = || ShapeError::Unknown(change.clone());
            let (key, value) = change.split_once('=').ok_or_else(bad)?;
            for spec in [&mut new.there, &mut new.back] {
                match key {
                    "rate" => spec.rate_bps = Some(value.parse().map_err(|_| bad())?),
                    "delay_ms" => {
                        spec.delay = Duration::from_millis(value.parse().map_err(|_| bad())?)
                    }
                    "loss" => spec.loss = value.parse().map_err(|_| bad())?,
                    "mtu" => spec.mtu = value.parse().map_err(|_| bad())?,
                    "queue" => spec.queue_bytes = Some(value.parse().map_err(|_| bad())?),
                    _ => return Err(bad()),
                }
            }
            new.label += " ";
            new.label += change;
        }
        new.there.validate()?;
        Ok(new)
    }

    /// MTU.
    pub fn mtu(&self) -> usize {
        self.there.mtu.min(self.back.mtu) - self.there.overhead
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}
