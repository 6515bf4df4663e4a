//! When a link is there: contact plans.
//!
//! A contact is a time during which a transmitter is heard, with the rate and delay of that time, as in the contact plans of
//! CCSDS 734.3-B-1 (*Schedule-aware bundle routing*, section 2.3). Outside of its contacts a link takes nothing. At the end
//! of a contact what waits or is being sent is lost; what has left is on its way and arrives, be it minutes later.

use std::sync::Arc;
use std::time::Duration;

use super::spec::nanos;
use super::{Nanos, SpecError};

/// A time during which a link is there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contact {
    /// When it begins, since the origin of time (or since the beginning of a repetition).
    pub start: Duration,
    /// When it ends; `None` for never.
    pub end: Option<Duration>,
    /// Its rate in bits a second; `None` for the link's own.
    pub rate_bps: Option<u64>,
    /// Its delay; `None` for the link's own.
    pub delay: Option<Duration>,
}

impl Contact {
    /// A contact with the link's own rate and delay.
    #[must_use]
    pub fn new(start: Duration, end: Option<Duration>) -> Self {
        Self {
            start,
            end,
            rate_bps: None,
            delay: None,
        }
    }

    /// Sets the rate, in bits a second.
    #[must_use]
    pub fn rate_bps(self, rate: u64) -> Self {
        Self {
            rate_bps: Some(rate),
            ..self
        }
    }

    /// Sets the delay.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self {
            delay: Some(delay),
            ..self
        }
    }
}

/// The contacts of one direction of a link, in order; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactPlan {
    contacts: Arc<[Contact]>,
    every: Option<Nanos>,
}

impl ContactPlan {
    /// A plan of contacts that follow each other; one may begin when the one before ends.
    ///
    /// # Errors
    ///
    /// Contacts that end before they begin, overlap or are not sorted, that have a rate of zero, or none at all.
    pub fn new(contacts: Vec<Contact>) -> Result<Self, SpecError> {
        let mut free_from = Some(Duration::ZERO);
        for (index, contact) in contacts.iter().enumerate() {
            if contact.end.is_some_and(|end| end <= contact.start) {
                return Err(SpecError::ContactEnd { index });
            }
            if free_from.is_none_or(|free| contact.start < free) {
                return Err(SpecError::ContactOrder { index });
            }
            if contact.rate_bps == Some(0) {
                return Err(SpecError::ZeroRate);
            }
            super::spec::check_delay(contact.delay.unwrap_or_default())?;
            free_from = contact.end;
        }
        if contacts.is_empty() {
            return Err(SpecError::NoContacts);
        }
        Ok(Self {
            contacts: contacts.into(),
            every: None,
        })
    }

    /// A plan that begins anew after each `period`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); and a last contact that does not end within the period.
    pub fn repeating(contacts: Vec<Contact>, period: Duration) -> Result<Self, SpecError> {
        let plan = Self::new(contacts)?;
        let last = plan.contacts.last().and_then(|contact| contact.end);
        if last.is_none_or(|end| end > period) {
            return Err(SpecError::ContactPeriod(period));
        }
        Ok(Self {
            every: Some(nanos(period)),
            ..plan
        })
    }

    /// The same plan with the link's own delay in each contact.
    pub(crate) fn without_delays(self) -> Self {
        let plain = |contact: &Contact| Contact {
            delay: None,
            ..contact.clone()
        };
        Self {
            contacts: self.contacts.iter().map(plain).collect(),
            ..self
        }
    }

    /// The contacts of the plan, or of one repetition.
    #[must_use]
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    /// After how many nanoseconds the plan begins anew, if it does.
    #[must_use]
    pub fn period(&self) -> Option<Nanos> {
        self.every
    }

    /// The contact at `now`: from its start up to, but without, its end.
    #[must_use]
    pub fn at(&self, now: Nanos) -> Option<&Contact> {
        let (_, within) = self.place(now);
        let next = (self.contacts).partition_point(|contact| nanos(contact.start) <= within);
        let contact = self.contacts.get(next.checked_sub(1)?)?;
        let ended = contact.end.is_some_and(|end| nanos(end) <= within);
        (!ended).then_some(contact)
    }

    /// When a contact begins or ends next, after `now`.
    #[must_use]
    pub fn next_change(&self, now: Nanos) -> Option<Nanos> {
        let (base, within) = self.place(now);
        let edges = |contact: &Contact| [Some(contact.start), contact.end];
        let later = self
            .contacts
            .partition_point(|contact| contact.end.is_some_and(|end| nanos(end) <= within));
        let mut coming = self.contacts.iter().skip(later).flat_map(edges).flatten();
        if let Some(edge) = coming.find(|edge| nanos(*edge) > within) {
            return base.checked_add(nanos(edge));
        }
        let first = nanos(self.contacts.first()?.start);
        base.checked_add(self.every?)?.checked_add(first)
    }

    /// When the repetition at `now` began, and how far `now` is into it.
    fn place(&self, now: Nanos) -> (Nanos, Nanos) {
        let within = self.every.map_or(now, |every| now % every);
        (now - within, within)
    }
}
