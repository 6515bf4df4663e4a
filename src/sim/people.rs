//! The people of a scenario: their keys, and whose contact cards they have.

use super::setup::Person;
use crate::security::card::Card;
use crate::security::identity::Identity;
use ostrakon_netsim::scenario::{NodeKind, Scenario};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::{BTreeMap, BTreeSet};
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
        let cards: Vec<Option<Card>> = cards
            .map(|(identity, node)| {
                let is_person = node.kind == NodeKind::Node;
                is_person.then(|| identity.card(&node.name, 1, vec![]))
            })
            .collect();
        let correspond = correspond(scenario);
        let known = |place: usize| {
            let others = correspond.get(&place).into_iter().flatten();
            others.filter_map(|other| cards.get(*other)?.clone())
        };
        let person = |(place, identity): (usize, &Identity)| Person {
            keys: Rc::new(Zeroizing::new(identity.encode().to_vec())),
            cards: Rc::new(known(place).collect()),
        };
        let persons = identities.iter().enumerate().map(person).collect();
        Self {
            identities,
            persons,
        }
    }
}

/// With whom the messages of each node go, in either direction: what a network of N nodes takes would grow with N² if
/// everybody knew everybody.
fn correspond(scenario: &Scenario) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut with: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for message in &scenario.messages {
        with.entry(message.from).or_default().insert(message.to);
        with.entry(message.to).or_default().insert(message.from);
    }
    with
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards what a person knows of others: the cards of those with whom messages go, in either direction, and of nobody
    /// else, so that a network of many takes no more than its messages do.
    #[test]
    fn people_know_those_they_correspond_with() {
        let text = "[scenario]\nduration = \"1h\"\n[[nodes]]\nprefix = \"n\"\ncount = 4\n[[link]]\namong = \"n*\"\n\
                    pattern = \"ring\"\nprofile = \"lan\"\n[[message]]\nfrom = [\"n1\", \"n3\"]\nto = \"n2\"\n\
                    parts = [{ text = 9 }]\n";
        let scenario = Scenario::parse("t.toml", text).unwrap();
        let people = People::of(&scenario, 1);
        let place = |card: &Card| {
            let mut all = people.identities.iter();
            all.position(|identity| identity.person() == card.person())
        };
        let known = people.persons.iter();
        let known: Vec<Vec<_>> = known
            .map(|person| person.cards.iter().filter_map(place).collect())
            .collect();
        assert_eq!(known, [vec![1], vec![0, 2], vec![1], vec![]]);
    }
}
