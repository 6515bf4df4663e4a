//! Whether there is a state from which what waits can never be confirmed, whatever comes to pass.

use crate::explore::Explored;
use std::collections::HashMap;
use std::hash::Hash;

/// The property.
pub const NAME: &str = "from everywhere, all that waits can still be confirmed";

/// All states, by number: which lead to each, and which are over.
struct Graph<S> {
    numbers: HashMap<S, usize>,
    before: Vec<Vec<usize>>,
    over: Vec<usize>,
}

impl<S: Clone + Eq + Hash> Graph<S> {
    /// The number of a state, and whether it is new.
    fn number(&mut self, world: &S, is_over: bool) -> (usize, bool) {
        if let Some(known) = self.numbers.get(world) {
            return (*known, false);
        }
        let new = self.before.len();
        self.before.push(Vec::new());
        if is_over {
            self.over.push(new);
        }
        self.numbers.insert(world.clone(), new);
        (new, true)
    }
}

/// Looks for a dead end: from all states that are over it goes back along every step, and sees whether a state is left.
pub fn found<M: Explored>(model: &M) -> bool
where
    M::State: Clone + Eq + Hash,
{
    let mut graph = Graph {
        numbers: HashMap::new(),
        before: Vec::new(),
        over: Vec::new(),
    };
    let mut open = model.init_states();
    for world in &open {
        graph.number(world, model.is_over(world));
    }
    while let Some(world) = open.pop() {
        let (from, _) = graph.number(&world, model.is_over(&world));
        for next in model.next_states(&world) {
            let (to, is_new) = graph.number(&next, model.is_over(&next));
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
