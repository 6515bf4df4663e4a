//! Whether there is a state from which what waits can never be confirmed, whatever comes to pass.

use crate::model::{Protocol, World};
use stateright::Model;
use std::collections::HashMap;

/// The property.
pub const NAME: &str = "from everywhere, all that waits can still be confirmed";

/// All states, by number: which lead to each, and which are over.
#[derive(Default)]
struct Graph {
    numbers: HashMap<World, usize>,
    before: Vec<Vec<usize>>,
    over: Vec<usize>,
}

impl Graph {
    /// The number of a state, and whether it is new.
    fn number(&mut self, world: &World) -> (usize, bool) {
        if let Some(known) = self.numbers.get(world) {
            return (*known, false);
        }
        let new = self.before.len();
        self.before.push(Vec::new());
        if world.is_over() {
            self.over.push(new);
        }
        self.numbers.insert(world.clone(), new);
        (new, true)
    }
}

/// Looks for a dead end: from all states that are over it goes back along every step, and sees whether a state is left.
pub fn found(protocol: &Protocol) -> bool {
    let mut graph = Graph::default();
    let mut open = protocol.init_states();
    for world in &open {
        graph.number(world);
    }
    while let Some(world) = open.pop() {
        let (from, _) = graph.number(&world);
        for next in protocol.next_states(&world) {
            let (to, is_new) = graph.number(&next);
            graph.before[to].push(from);
            if is_new {
                open.push(next);
            }
        }
    }
    let mut reaches = vec![false; graph.before.len()];
    while let Some(state) = graph.over.pop() {
        if !std::mem::replace(&mut reaches[state], true) {
            graph.over.extend(&graph.before[state]);
        }
    }
    reaches.iter().any(|reaches| !reaches)
}
