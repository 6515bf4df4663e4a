//! One client of the relay that brings frames: the grants that it has shown, how fast it may be, what is stored of it.

use super::grants::Grants;
use super::mailboxes::{Mailboxes, refusal};
use super::rates::Rates;
use crate::security::grant::Grant;
use crate::security::mailbox;
use crate::store::mailbox::Brought;
use crate::wire::envelope::Envelope;
use bytes::Bytes;
use ostrakon_transports::keys::LinkKey;
use ostrakon_transports::relay::{
    self, GrantAnswer, MailboxTag, Sorted, Sorter, StoreFuture, Verdict,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A client.
pub(super) struct Guest {
    mailboxes: Arc<Mailboxes>,
    grants: Arc<Grants>,
    rates: Arc<Rates>,
    key: [u8; 32],
    sorter: Sorter,
    passes: Vec<Pass>,
    /// The frame at hand counts for its client already.
    counted: bool,
}

/// A grant that was checked, once for all frames of the connection.
struct Pass {
    grant: Arc<Grant>,
    /// For which tags it is good; without a set for all.
    tags: Option<BTreeSet<MailboxTag>>,
}

impl Pass {
    fn new(grant: Grant) -> Self {
        let keys = grant.mailboxes();
        let tags = keys.iter().flat_map(|key| mailbox::tags(&key.0)).collect();
        Self {
            tags: (!keys.is_empty()).then_some(tags),
            grant: Arc::new(grant),
        }
    }

    fn is_for(&self, tag: &MailboxTag) -> bool {
        self.tags.as_ref().is_none_or(|tags| tags.contains(tag))
    }
}

impl Guest {
    pub(super) fn new(
        mailboxes: Arc<Mailboxes>,
        grants: Arc<Grants>,
        rates: Arc<Rates>,
        key: LinkKey,
    ) -> Self {
        Self {
            sorter: mailboxes.sorter(),
            mailboxes,
            grants,
            rates,
            key: key.0,
            passes: Vec::new(),
            counted: false,
        }
    }

    fn judge(&mut self, bytes: &[u8]) -> GrantAnswer {
        if !self.rates.may_show(&self.key) {
            return GrantAnswer::Later;
        }
        let Ok(grant) = Grant::decode(bytes) else {
            return GrantAnswer::Unusable;
        };
        let answer = self.grants.judge(&grant, &self.key);
        if answer == GrantAnswer::Taken {
            self.passes.push(Pass::new(grant));
        }
        answer
    }

    /// The grants that may pay for a frame with this tag, in the order in which they were shown.
    fn payers(&self, tag: &MailboxTag) -> Vec<Arc<Grant>> {
        let payers = self.passes.iter().filter(|pass| pass.is_for(tag));
        payers.map(|pass| pass.grant.clone()).collect()
    }
}

impl relay::Guest for Guest {
    fn show(&mut self, grant: &[u8]) -> GrantAnswer {
        let answer = self.judge(grant);
        self.grants.count(answer);
        answer
    }

    fn pace(&mut self, frame: &[u8]) -> Option<Duration> {
        if !self.counted {
            if let Some(wait) = self.rates.client(&self.key, frame.len()) {
                return Some(wait);
            }
            self.counted = true;
        }
        // A piece names no mailbox: it counts for the first grant.
        let tag = Envelope::unwrap(frame)
            .ok()
            .map(|(envelope, _)| envelope.tag);
        let covers = |pass: &&Pass| tag.is_none_or(|tag| pass.is_for(&tag));
        let payer = self
            .passes
            .iter()
            .find(covers)
            .map(|pass| pass.grant.root());
        let wait = self.rates.payer(payer.as_ref(), frame.len());
        self.counted = wait.is_some();
        wait
    }

    fn sort(&mut self, frame: &[u8]) -> Sorted {
        (self.sorter)(frame)
    }

    fn store(&mut self, frames: Vec<(MailboxTag, Bytes)>) -> StoreFuture<'_, Vec<Verdict>> {
        Box::pin(async move {
            // What was granted may be over meanwhile.
            let (grants, key) = (&self.grants, &self.key);
            self.passes
                .retain(|pass| grants.judge(&pass.grant, key) == GrantAnswer::Taken);
            let required = grants.are_required();
            let (mut verdicts, mut brought) = (Vec::new(), Vec::new());
            for (tag, frame) in frames {
                let grants = required.then(|| self.payers(&tag));
                if grants.as_ref().is_some_and(Vec::is_empty) {
                    // Refused before the disk is touched.
                    self.mailboxes.drop_one("not granted");
                    verdicts.push(Some(Verdict::NotGranted));
                    continue;
                }
                verdicts.push(None);
                brought.push(Brought { tag, frame, grants });
            }
            if brought.is_empty() {
                return Ok(verdicts.into_iter().flatten().collect());
            }
            let stored = self.mailboxes.take_in(brought).await.map_err(refusal)?;
            let mut stored = stored.into_iter();
            let verdicts = verdicts
                .into_iter()
                .map(|own| own.or_else(|| stored.next()));
            Ok(verdicts.flatten().collect())
        })
    }
}
