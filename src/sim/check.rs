//! What must hold whatever went wrong, checked after a run from the logs of all nodes. Checkers know nothing of faults, but
//! for how fast they make clocks.

use super::log::{Log, Planned};
use super::outcome::LinkOutcome;
use crate::engine::id::{MessageId, PersonId};
use crate::engine::message::INLINE;
use ostrakon_netsim::model::Nanos;
use std::collections::BTreeMap;
use std::time::Duration;

/// A node's log, and whose it is.
pub struct Witness<'a> {
    /// The person.
    pub person: PersonId,
    /// The name in the scenario.
    pub name: &'a str,
    /// What it saw.
    pub log: &'a Log,
}

/// Every violation, in words. No clock of any node has run faster than `fast_ppb` parts per billion.
pub fn violations(witnesses: &[Witness<'_>], fast_ppb: u32) -> Vec<String> {
    let mut by_person: BTreeMap<PersonId, Vec<&Witness<'_>>> = BTreeMap::new();
    for witness in witnesses {
        by_person.entry(witness.person).or_default().push(witness);
    }
    let mut found = Vec::new();
    let mut sent: BTreeMap<MessageId, &Planned> = BTreeMap::new();
    for witness in witnesses {
        let own = witness.log.violations.iter();
        found.extend(own.map(|what| format!("{}: {what}", witness.name)));
        let refused = witness.log.refused.iter();
        found.extend(
            refused.map(|(number, why)| {
                format!("{}: message {number} was refused: {why}", witness.name)
            }),
        );
        sent.extend(witness.log.sent.iter().map(|(id, planned)| (*id, planned)));
        for (id, planned) in &witness.log.sent {
            let Some(recipients) = by_person.get(&planned.to) else {
                continue;
            };
            found.extend(confirmed_is_there(*id, planned, witness, recipients));
            for recipient in recipients {
                priorities_hold(*id, planned, recipient, &mut found);
            }
        }
    }
    for same in by_person.values() {
        nonces_are_not_shared(same, &mut found);
    }
    for witness in witnesses {
        delivered_is_what_was_sent(witness, &sent, &mut found);
        given_up_too_early(witness, &sent, fast_ppb, &mut found);
    }
    found
}

/// Machines with the same keys do not use one nonce for two contents either.
fn nonces_are_not_shared(same: &[&Witness<'_>], found: &mut Vec<String>) {
    for (i, one) in same.iter().enumerate() {
        let others = same.iter().skip(i + 1);
        for other in others.filter(|other| one.log.shares_a_nonce(other.log)) {
            let (one, other) = (one.name, other.name);
            found.push(format!(
                "{one} and {other}: a nonce was used for two contents"
            ));
        }
    }
}

/// A message that its sender was told is handed over has been handed over, and not later than the sender knew; to one of
/// them, if several machines are the recipient.
fn confirmed_is_there(
    id: MessageId,
    planned: &Planned,
    sender: &Witness<'_>,
    recipients: &[&Witness<'_>],
) -> Option<String> {
    let confirmed = sender.log.confirmed.get(&(id, 0))?;
    let arrived = recipients
        .iter()
        .filter_map(|r| r.log.arrived.get(&(id, 0)));
    let there = arrived.map(|arrived| arrived.at).min();
    there.is_none_or(|at| at > *confirmed).then(|| {
        let names: Vec<&str> = recipients.iter().map(|r| r.name).collect();
        format!(
            "{}: message {} was confirmed by {} and is not there",
            sender.name,
            planned.number,
            names.join(" or ")
        )
    })
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
    sent: &BTreeMap<MessageId, &Planned>,
    found: &mut Vec<String>,
) {
    for ((id, part), arrived) in &witness.log.arrived {
        let Some(planned) = sent.get(id).filter(|p| p.to == witness.person) else {
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

/// A lifetime counts the time that machines are up, by clocks that may be fast. So nothing is given up before its lifetime
/// has passed by the fastest clock, whatever calendars said; later is possible, since time without power does not count.
fn given_up_too_early(
    witness: &Witness<'_>,
    sent: &BTreeMap<MessageId, &Planned>,
    fast_ppb: u32,
    found: &mut Vec<String>,
) {
    for (at, id) in &witness.log.expired {
        let Some(planned) = sent.get(id) else {
            continue;
        };
        let parts = planned.parts.iter().map(|part| part.lifetime.duration());
        let lifetime: Option<Vec<Duration>> = parts.collect();
        let Some(lifetime) = lifetime.and_then(|all| all.into_iter().max()) else {
            found.push(format!(
                "{}: message {} was given up, and has no end of its lifetime",
                witness.name, planned.number
            ));
            continue;
        };
        let fastest = 1_000_000_000 + u128::from(fast_ppb);
        let least = (lifetime.as_nanos() * 1_000_000_000 / fastest) as Nanos;
        if *at < planned.at.saturating_add(least) {
            found.push(format!(
                "{}: message {} was given up {} s after it was sent, before its lifetime of {} s was over",
                witness.name,
                planned.number,
                (at - planned.at.min(*at)) / 1_000_000_000,
                lifetime.as_secs()
            ));
        }
    }
}

/// Links whose queues have held more than their bounds.
pub fn overfull(links: &[LinkOutcome]) -> Vec<String> {
    let mut bounds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for link in links {
        let (bound, peak) = bounds.entry(&link.link).or_default();
        *bound = (*bound).max(link.queue_bytes);
        *peak = (*peak).max(link.peak_queue_bytes);
    }
    let over = bounds
        .iter()
        .filter(|(_, (bound, peak))| *bound > 0 && peak > bound);
    over.map(|(link, (bound, peak))| {
        format!("{link}: {peak} bytes waited, where {bound} are the bound")
    })
    .collect()
}

/// Each of them once, in their order; with how often, if it was more than that.
pub fn once_each(all: Vec<String>) -> Vec<String> {
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    let mut order = Vec::new();
    for what in all {
        let times = times.entry(what.clone()).or_default();
        *times += 1;
        if *times == 1 {
            order.push(what);
        }
    }
    let told = |what: String| match times.get(&what) {
        Some(times @ 2..) => format!("{what} ({times} times)"),
        _ => what,
    };
    order.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::message::{LinkPolicy, Priority};
    use crate::security::seal::SealMark;
    use crate::sim::log::PlannedPart;
    use crate::wire::manifest::Lifetime;

    const S: Nanos = 1_000_000_000;
    const ID: MessageId = MessageId([7; 32]);
    const A: PersonId = PersonId([1; 32]);
    const B: PersonId = PersonId([2; 32]);

    fn part(priority: Priority, lifetime_s: Option<u64>) -> PlannedPart {
        PlannedPart {
            name: "part".into(),
            text: true,
            bytes: 100,
            content: 1,
            digest: [9; 32],
            priority,
            lifetime: Lifetime::at_least(lifetime_s.map(Duration::from_secs)),
            policy: LinkPolicy::default(),
        }
    }

    /// The logs of a sender and a recipient of a message of two parts that arrived and was confirmed as it should be.
    fn logs() -> (Log, Log) {
        let (mut sender, mut recipient) = (Log::default(), Log::default());
        let parts = vec![
            part(Priority::Urgent, Some(60)),
            part(Priority::Bulk, Some(30)),
        ];
        let planned = Planned {
            number: 0,
            at: S,
            to: B,
            parts,
        };
        sender.sent(ID, planned);
        recipient.delivered(2 * S, ID, 1, [9; 32]);
        recipient.delivered(3 * S, ID, 2, [9; 32]);
        recipient.delivered(3 * S, ID, 0, [0; 32]);
        sender.confirmed(4 * S, ID, 0);
        (sender, recipient)
    }

    fn found(sender: &Log, recipient: &Log) -> Vec<String> {
        let witness = |person, name, log| Witness { person, name, log };
        let all = [witness(A, "a", sender), witness(B, "b", recipient)];
        violations(&all, 0)
    }

    fn one(sender: &Log, recipient: &Log, what: &str) {
        let found = found(sender, recipient);
        assert!(
            found.len() == 1 && found[0].contains(what),
            "{what}: {found:?}"
        );
    }

    /// Guards each checker on its own: nothing is said of a run as it should be, and each thing that must not happen is
    /// named, once.
    #[test]
    fn each_checker_can_fail() {
        let (sender, recipient) = logs();
        assert_eq!(found(&sender, &recipient), [""; 0]);

        let (sender, mut recipient) = logs();
        recipient.arrived.remove(&(ID, 0));
        one(&sender, &recipient, "confirmed by b and is not there");

        let (mut sender, recipient) = logs();
        sender.confirmed.insert((ID, 0), 2 * S);
        one(&sender, &recipient, "confirmed by b and is not there");

        let (sender, mut recipient) = logs();
        recipient.arrived.remove(&(ID, 1));
        one(&sender, &recipient, "part 1 came after part 2");

        let (sender, mut recipient) = logs();
        recipient.delivered(5 * S, MessageId([8; 32]), 1, [9; 32]);
        one(&sender, &recipient, "never sent");

        let (mut sender, recipient) = logs();
        sender
            .sent
            .entry(ID)
            .and_modify(|planned| planned.parts[1].digest = [8; 32]);
        one(
            &sender,
            &recipient,
            "part 2 of message 0 is not what was sent",
        );

        let (sender, mut recipient) = logs();
        recipient.delivered(5 * S, ID, 2, [9; 32]);
        one(&sender, &recipient, "delivered twice");

        let (mut sender, recipient) = logs();
        sender.refused.push((1, "a name that is too long".into()));
        one(
            &sender,
            &recipient,
            "a: message 1 was refused: a name that is too long",
        );
    }

    /// Guards the one thing that sealing must never do: another content under a nonce is told of, the same one is not.
    #[test]
    fn a_nonce_with_two_contents_is_told_of() {
        let (mut sender, recipient) = logs();
        let mark = |content| SealMark {
            nonce: [1; 16],
            content: [content; 16],
        };
        sender.sealed(&[mark(1)]);
        sender.restarted();
        sender.sealed(&[mark(1)]);
        assert_eq!(found(&sender, &recipient), [""; 0]);
        sender.sealed(&[mark(2)]);
        one(&sender, &recipient, "nonce");
    }

    /// Guards machines with the same keys: a nonce that one has used for a content is used for no other by the other one, and
    /// what has come out at one of them has come out.
    #[test]
    fn machines_of_one_person_are_looked_at_together() {
        let mark = |content| SealMark {
            nonce: [1; 16],
            content: [content; 16],
        };
        for (content, wrong) in [(1, false), (2, true)] {
            let ((mut sender, recipient), mut twin) = (logs(), Log::default());
            sender.sealed(&[mark(1)]);
            twin.sealed(&[mark(content)]);
            let idle = Log::default();
            let witness = |person, name, log| Witness { person, name, log };
            let all = [
                witness(A, "a", &sender),
                witness(A, "twin", &twin),
                witness(B, "idle", &idle),
                witness(B, "b", &recipient),
            ];
            let found = violations(&all, 0);
            assert_eq!(found.len(), usize::from(wrong), "{found:?}");
        }
    }

    /// Guards disks that go back: what one has forgotten may come out again, and is the same.
    #[test]
    fn what_an_older_disk_has_forgotten_comes_out_again_unchanged() {
        for (digest, wrong) in [([9; 32], 0), ([8; 32], 1)] {
            let (sender, mut recipient) = logs();
            recipient.restarted();
            recipient.went_back(super::super::log::Kept::default());
            recipient.delivered(9 * S, ID, 1, digest);
            assert_eq!(found(&sender, &recipient).len(), wrong);
            assert_eq!(recipient.came_again, 1);
        }
    }

    /// Guards lifetimes: they end by the longest part, no sooner than the fastest clock allows, and never without one.
    #[test]
    fn what_is_given_up_too_early_is_told_of() {
        let lifetime = part(Priority::Urgent, Some(60)).lifetime.duration();
        let ends = S + lifetime.map_or(0, |l| l.as_nanos() as Nanos);
        for (at, fast_ppb, wrong) in [
            (ends, 0, false),
            (ends - S, 0, true),
            (ends - S, 100_000_000, false),
        ] {
            let (mut sender, recipient) = logs();
            sender.confirmed.clear();
            sender.expired(at, ID);
            let witness = |person, name, log| Witness { person, name, log };
            let all = [witness(A, "a", &sender), witness(B, "b", &recipient)];
            assert_eq!(
                violations(&all, fast_ppb).len(),
                usize::from(wrong),
                "{at} {fast_ppb}"
            );
        }
        let (mut sender, recipient) = logs();
        sender.expired(9_999 * S, ID);
        sender
            .sent
            .entry(ID)
            .and_modify(|planned| planned.parts[0].lifetime = Lifetime(0));
        one(&sender, &recipient, "no end");
    }

    /// Guards that queues are held to their bounds, that of the wider direction for a pair, and that a link without a bound
    /// is left alone.
    #[test]
    fn a_queue_above_its_bound_is_told_of() {
        let link = |name: &str, queue_bytes, peak_queue_bytes| LinkOutcome {
            queue_bytes,
            peak_queue_bytes,
            ..crate::sim::tally::blank_row(name, "pair")
        };
        let fine = [link("a", 10, 20), link("a", 20, 20), link("free", 0, 99)];
        assert_eq!(overfull(&fine), [""; 0]);
        let full = [link("a", 10, 21), link("a", 20, 21)];
        assert_eq!(overfull(&full).len(), 1);
    }

    /// Guards what people read: a thing that happened a thousand times is told once.
    #[test]
    fn what_happened_often_is_told_once() {
        let seen = ["b", "a", "b"].map(String::from).to_vec();
        assert_eq!(once_each(seen), ["b (2 times)", "a"]);
    }
}
