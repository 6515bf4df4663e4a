//! How a model is explored to its end.

use crate::dead_ends;
use stateright::{Checker, Expectation, Model};
use std::fmt::Debug;
use std::hash::Hash;
use std::num::NonZeroUsize;

/// A model of which it can be said when all that was begun is over.
pub trait Explored: Model {
    /// Whether nothing waits any more.
    fn is_over(&self, state: &Self::State) -> bool;
}

/// Explores a model. Gives the number of states, and the properties that do not hold.
pub fn explore<M>(model: &M) -> (usize, Vec<&'static str>)
where
    M: Explored + Clone + Send + Sync + 'static,
    M::State: Clone + Debug + Eq + Hash + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let checker = model.clone().checker().threads(threads).spawn_bfs().join();
    let found = checker.discoveries();
    let properties = model.properties();
    let fails = properties.iter().filter(|property| {
        let discovered = found.contains_key(property.name);
        // An example is wanted of what can happen, and none against what always holds.
        match property.expectation {
            Expectation::Sometimes => !discovered,
            _ => discovered,
        }
    });
    let mut failed: Vec<&str> = fails.map(|property| property.name).collect();
    // What fails already needs no long search.
    if failed.is_empty() && dead_ends::found(model) {
        failed.push(dead_ends::NAME);
    }
    (checker.unique_state_count(), failed)
}
