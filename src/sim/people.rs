//! The people of a scenario: their keys, and whose contact cards they have.

use super::setup::Person;
use crate::security::identity::Identity;
use ostrakon_netsim::scenario::{NodeKind, Scenario};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::rc::Rc;
use zeroize::Zeroizing;

/// The people of a scenario, by the place of their nodes. Relays are nobody.
pub struct People {
    /// Who each is.
    pub identities: Vec<Identity>,
    /// What each machine is given of it.
    pub persons: Vec<Person>,
}

impl People {
    /// Of a scenario under a seed.
    pub fn of(scenario: &Scenario, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let nodes = scenario.nodes.iter();
        let identities: Vec<Identity> = nodes.map(|_| Identity::generate(&mut rng)).collect();
        let cards = identities.iter().zip(&scenario.nodes);
        let cards: Vec<_> = cards
            .filter(|(_, node)| node.kind == NodeKind::Node)
            .map(|(identity, node)| identity.card(&node.name, 1, vec![]))
            .collect();
        let cards = Rc::new(cards);
        let person = |identity: &Identity| Person {
            keys: Rc::new(Zeroizing::new(identity.encode().to_vec())),
            cards: cards.clone(),
        };
        let persons = identities.iter().map(person).collect();
        Self {
            identities,
            persons,
        }
    }
}
