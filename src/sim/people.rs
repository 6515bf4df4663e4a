//! The people of a scenario: their keys, and whose contact cards they have.

use super::options::Options;
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
    /// Of a scenario under a seed, whose machines are as `options` say. A twin has the keys of another node and no card.
    pub fn of(scenario: &Scenario, options: &[Options], seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let nodes = scenario.nodes.iter();
        let mut identities: Vec<Identity> = nodes.map(|_| Identity::generate(&mut rng)).collect();
        let twin = |place: usize| options.get(place).and_then(|options| options.twin);
        let cards = identities.iter().zip(&scenario.nodes).enumerate();
        let cards: Vec<_> = cards
            .filter(|(place, (_, node))| node.kind == NodeKind::Node && twin(*place).is_none())
            .map(|(_, (identity, node))| identity.card(&node.name, 1, vec![]))
            .collect();
        for place in 0..identities.len() {
            let keys = twin(place).map(|twin| identities[twin].encode());
            // What was written reads.
            if let Some(Ok(same)) = keys.map(|keys| Identity::decode(&keys)) {
                identities[place] = same;
            }
        }
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
