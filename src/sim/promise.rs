//! Persist before promise, looked at where it shows: right after a restart, when a node knows what its disk kept and nothing
//! else. Whatever others were told by then that it has, it has.

use super::log::Log;
use super::machine::Machine;
use super::node::Node;
use crate::engine::id::MessageId;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::scenario::Scenario;
use ostrakon_netsim::world::{Fault, FaultKind, HostId, When, World};
use std::collections::BTreeMap;

/// What a sender was told: of which part so many bytes are durable.
type Told = (MessageId, u8, u64);

/// When hosts start again after faults that have a time, the last first. None where disks go back: whoever has an older one
/// has less than others were told.
pub fn restarts(scenario: &Scenario) -> Vec<(Nanos, HostId)> {
    let plan = scenario.fault_plan(scenario.seed);
    let goes_back = |fault: &Fault| matches!(fault.kind, FaultKind::Restore { .. });
    if plan.faults.iter().any(goes_back) {
        return Vec::new();
    }
    let mut restarts: Vec<_> = plan
        .faults
        .iter()
        .filter_map(|fault| match (fault.when, &fault.kind) {
            (When::At(at), FaultKind::Stop { host, off, .. }) => {
                Some((at.saturating_add((*off)?.max(1)), *host))
            }
            _ => None,
        })
        .collect();
    restarts.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));
    restarts
}

/// What others were told that a host has, and it has not. Nothing if it does not run.
pub fn broken(world: &World<Machine>, host: HostId) -> Vec<String> {
    let found = || {
        let node = world.host(host).node()?;
        let (held, person) = (held(node)?, node.person_id()?);
        let name = world.name(host);
        let senders = world.hosts().filter_map(|(id, machine)| {
            let status = machine.node()?.status()?;
            let outbound = status.outbound.into_iter();
            let told = outbound.filter(|message| message.to == person);
            let told = told.flat_map(|message| {
                let parts = message.parts.into_iter();
                parts.map(move |part| (message.message, part.part, part.confirmed_bytes))
            });
            Some((world.name(id), told.collect::<Vec<Told>>()))
        });
        let lost = senders.flat_map(|(sender, told)| {
            lost(&told, &held, &node.log)
                .map(|(id, part, told, held)| {
                    format!(
                        "{sender} was told that {name} has {told} bytes of part {part} of {id}, and after its restart it has {held}"
                    )
                })
                .collect::<Vec<_>>()
        });
        Some(lost.collect())
    };
    found().unwrap_or_default()
}

/// Bytes that the engine of a node has of the parts that are arriving.
fn held(node: &Node) -> Option<BTreeMap<(MessageId, u8), u64>> {
    let inbound = node.status()?.inbound.into_iter();
    let parts = inbound.flat_map(|message| {
        let parts = message.parts.into_iter();
        parts.map(move |part| ((message.message, part.part), part.held_bytes))
    });
    Some(parts.collect())
}

/// What was told and is not there, neither arriving nor with the application: which part, what was told, what there is.
fn lost<'a>(
    told: &'a [Told],
    held: &'a BTreeMap<(MessageId, u8), u64>,
    log: &'a Log,
) -> impl Iterator<Item = (MessageId, u8, u64, u64)> + 'a {
    let missing = |(id, part, told): &Told| {
        let held = held.get(&(*id, *part)).copied().unwrap_or(0);
        let taken = log.arrived.contains_key(&(*id, *part));
        (*told > held && !taken).then_some((*id, *part, *told, held))
    };
    told.iter().filter_map(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards that a promise counts as broken only if the bytes are neither in the engine nor with the application.
    #[test]
    fn what_was_told_is_there_or_told_of() {
        let id = MessageId([3; 32]);
        let told = [(id, 1, 500), (id, 2, 800)];
        let held = |second| BTreeMap::from([((id, 1), 500), ((id, 2), second)]);
        let mut log = Log::default();
        assert_eq!(lost(&told, &held(800), &log).count(), 0);
        let found: Vec<_> = lost(&told, &held(799), &log).collect();
        assert_eq!(found, [(id, 2, 800, 799)]);
        assert_eq!(lost(&told, &BTreeMap::new(), &log).count(), 2);
        log.delivered(1, id, 2, [0; 32]);
        assert_eq!(lost(&told, &held(0), &log).count(), 0);
    }
}
