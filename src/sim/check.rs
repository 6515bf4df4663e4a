//! What must hold whatever went wrong, checked after a run from the logs of all nodes. Checkers know nothing of faults.

use super::log::{Log, Planned};
use super::node::INLINE;
use crate::engine::id::{MessageId, PersonId};
use std::collections::BTreeMap;

/// A node's log, and whose it is.
pub struct Witness<'a> {
    /// The person.
    pub person: PersonId,
    /// The name in the scenario.
    pub name: &'a str,
    /// What it saw.
    pub log: &'a Log,
}

/// Every violation, in words.
pub fn violations(witnesses: &[Witness<'_>]) -> Vec<String> {
    let by_person: BTreeMap<PersonId, &Witness<'_>> =
        witnesses.iter().map(|w| (w.person, w)).collect();
    let mut found = Vec::new();
    let mut sent: BTreeMap<MessageId, (&Planned, &str)> = BTreeMap::new();
    for witness in witnesses {
        let own = witness.log.violations.iter();
        found.extend(own.map(|what| format!("{}: {what}", witness.name)));
        let messages = witness.log.sent.iter();
        sent.extend(messages.map(|(id, planned)| (*id, (planned, witness.name))));
        for (id, planned) in &witness.log.sent {
            if let Some(recipient) = by_person.get(&planned.to) {
                confirmed_is_there(*id, planned, witness, recipient, &mut found);
                priorities_hold(*id, planned, recipient, &mut found);
            }
        }
    }
    for witness in witnesses {
        delivered_is_what_was_sent(witness, &sent, &mut found);
    }
    found
}

/// What a sender was told is durable at the recipient has been handed over there, and not later than the sender knew.
fn confirmed_is_there(
    id: MessageId,
    planned: &Planned,
    sender: &Witness<'_>,
    recipient: &Witness<'_>,
    found: &mut Vec<String>,
) {
    let parts = std::iter::once(0).chain((1..=u8::MAX).take(planned.parts.len()));
    for part in parts {
        let Some(confirmed) = sender.log.confirmed.get(&(id, part)) else {
            continue;
        };
        // A receipt for a part says that it is whole and durable; for the message, that all was handed over.
        let there = match part {
            0 => recipient.log.arrived.get(&(id, 0)).map(|a| a.at),
            _ => continue,
        };
        if there.is_none_or(|at| at > *confirmed) {
            found.push(format!(
                "{}: message {} was confirmed by {} and is not there",
                sender.name, planned.number, recipient.name
            ));
        }
    }
}

/// A part that stands in the manifest comes out no later than one that is less urgent. Larger parts leave in that order,
/// but may lose it on their way.
fn priorities_hold(
    id: MessageId,
    planned: &Planned,
    recipient: &Witness<'_>,
    found: &mut Vec<String>,
) {
    let at = |part: u8| recipient.log.arrived.get(&(id, part)).map(|a| a.at);
    let parts = || (1..=u8::MAX).zip(&planned.parts);
    for (first, urgent) in parts() {
        for (second, other) in parts() {
            let before = urgent.priority < other.priority && urgent.bytes <= INLINE;
            let late = match (at(first), at(second)) {
                (Some(first), Some(second)) => first > second,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            if before && late && urgent.policy == other.policy {
                found.push(format!(
                    "{}: of message {}, part {first} came after part {second}, which is less urgent",
                    recipient.name, planned.number
                ));
            }
        }
    }
}

/// What came out was sent, by somebody, to this person, with these bytes.
fn delivered_is_what_was_sent(
    witness: &Witness<'_>,
    sent: &BTreeMap<MessageId, (&Planned, &str)>,
    found: &mut Vec<String>,
) {
    for ((id, part), arrived) in &witness.log.arrived {
        let Some((planned, _)) = sent.get(id).filter(|(p, _)| p.to == witness.person) else {
            found.push(format!(
                "{}: {id} came out and was never sent",
                witness.name
            ));
            continue;
        };
        let Some(index) = part.checked_sub(1) else {
            continue;
        };
        let digest = planned.parts.get(usize::from(index)).map(|p| p.digest);
        if digest != Some(arrived.digest) {
            found.push(format!(
                "{}: part {part} of message {} is not what was sent",
                witness.name, planned.number
            ));
        }
    }
}
