use super::*;
use crate::security::identity::Identity;
use proptest::prelude::*;
use rand_core::SeedableRng;
use std::collections::BTreeSet;

/// What happens next among devices that are apart from each other.
#[derive(Clone, Debug)]
enum Step {
    /// One of them adds a device.
    Add(usize),
    /// One of them removes a device that was added, if its card names one.
    Remove(usize, usize),
    /// One of them makes another card for another reason.
    Change(usize),
    /// One of what is on its way arrives.
    Arrive(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (one, any) = (0usize..3, 0usize..64);
    prop_oneof![
        1 => one.clone().prop_map(Step::Add),
        1 => (one.clone(), any.clone()).prop_map(|(who, which)| Step::Remove(who, which)),
        2 => one.prop_map(Step::Change),
        4 => any.prop_map(Step::Arrive),
    ]
}

struct Device {
    roster: Roster,
    card: Card,
}

/// The first devices of one person, and what they have told each other.
struct Devices {
    me: Identity,
    first: Vec<Endpoint>,
    all: Vec<Device>,
    on_the_way: Vec<(usize, Roster, Card)>,
    cards: u64,
    added: BTreeSet<[u8; 32]>,
    removed: BTreeSet<[u8; 32]>,
}

fn endpoint(number: u64) -> Endpoint {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Endpoint {
        id,
        key: [7; 32],
        link: [8; 32],
    }
}

impl Devices {
    fn new(count: usize) -> Self {
        let me = Identity::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(1));
        let first: Vec<Endpoint> = (0..count as u64).map(endpoint).collect();
        let before = me.card("Ada", 1, vec![]);
        let card = me.card_after(&before, "Ada", vec![], first.clone(), None);
        let device = || Device {
            roster: Roster::default(),
            card: card.clone(),
        };
        Self {
            me,
            all: (0..count).map(|_| device()).collect(),
            first,
            on_the_way: vec![],
            cards: 0,
            added: BTreeSet::new(),
            removed: BTreeSet::new(),
        }
    }

    /// A device makes the next card and tells it.
    fn make(&mut self, who: usize) {
        self.cards += 1;
        let (last, roster) = (&self.all[who].card, self.all[who].roster.clone());
        let relays = vec![format!("relay {}", self.cards)];
        let card = self
            .me
            .card_after(last, "Ada", relays, roster.devices(last), None);
        self.all[who].card = card.clone();
        let others = (0..self.all.len()).filter(|other| *other != who);
        let told = others.map(|other| (other, roster.clone(), card.clone()));
        self.on_the_way.extend(told);
    }

    fn arrive(&mut self, which: usize) {
        let (who, roster, card) = self.on_the_way.swap_remove(which);
        let device = &mut self.all[who];
        device.roster.merge(&roster);
        if card.replaces(&device.card).is_ok() {
            device.card = card;
        }
        if device.roster.devices(&device.card) != device.card.body().endpoints {
            self.make(who);
        }
    }

    fn go(&mut self, step: &Step) {
        let count = self.all.len();
        match *step {
            Step::Add(who) if self.first.len() + self.added.len() < MAX_DEVICES => {
                let device = endpoint(100 + self.cards);
                let who = who % count;
                let by = &mut self.all[who];
                by.roster.add(&device, &by.card);
                self.added.insert(device.id);
                self.make(who);
            }
            Step::Remove(who, which) => {
                let who = who % count;
                let by = &mut self.all[who];
                let named = by.card.body().endpoints.iter().map(|device| device.id);
                let named: Vec<_> = named.filter(|id| self.added.contains(id)).collect();
                if !named.is_empty() {
                    let id = named[which % named.len()];
                    by.roster.remove(id, &by.card);
                    self.removed.insert(id);
                    self.make(who);
                }
            }
            Step::Change(who) => self.make(who % count),
            Step::Arrive(which) if !self.on_the_way.is_empty() => {
                self.arrive(which % self.on_the_way.len());
            }
            Step::Add(_) | Step::Arrive(_) => {}
        }
    }
}

proptest! {
    /// Guards that devices which add and remove others while they are apart agree in the end, after so many cards, on one that
    /// names all that were added and none that was removed, in whatever order they hear of each other.
    #[test]
    fn devices_that_were_apart_agree(
        count in 2usize..4,
        steps in prop::collection::vec(step(), 0..24),
        order in prop::collection::vec(0usize..64, 32),
    ) {
        let mut devices = Devices::new(count);
        steps.iter().for_each(|step| devices.go(step));
        let before = devices.cards;
        let mut order = order.iter().cycle();
        while !devices.on_the_way.is_empty() {
            let which = order.next().map_or(0, |which| which % devices.on_the_way.len());
            devices.arrive(which);
            prop_assert!(devices.cards < before + 200, "they correct each other for ever");
        }
        let first = devices.first.iter().map(|device| device.id);
        let added = devices.added.difference(&devices.removed).copied();
        let expected: BTreeSet<[u8; 32]> = first.chain(added).collect();
        for device in &devices.all {
            prop_assert_eq!(device.card.bytes(), devices.all[0].card.bytes());
            let named = device.card.body().endpoints.iter().map(|device| device.id);
            prop_assert_eq!(named.collect::<BTreeSet<_>>(), expected.clone());
        }
    }

    /// Guards that words on devices count the same in whatever order and however often they come.
    #[test]
    fn words_may_come_in_any_order(
        said in prop::collection::vec((0u64..30, any::<bool>(), 0u64..5), 0..40),
        twice in 0usize..40,
    ) {
        let me = Identity::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(2));
        let word = |(device, added, number): &(u64, bool, u64)| {
            let (mut roster, card) = (Roster::default(), me.card("Ada", *number, vec![]));
            match added {
                true => roster.add(&endpoint(*device), &card),
                false => roster.remove(endpoint(*device).id, &card),
            }
            roster
        };
        let few: Vec<Roster> = said.iter().filter(|(device, ..)| *device < 4).map(word).collect();
        let (mut forth, mut back) = (Roster::default(), Roster::default());
        few.iter().for_each(|one| { forth.merge(one); });
        few.iter().rev().for_each(|one| { back.merge(one); });
        few.get(twice).iter().for_each(|one| { back.merge(one); });
        prop_assert_eq!(&forth, &back);
        prop_assert!(!forth.clone().merge(&back));
        // However many there are, they fit where messages are small, and read back.
        let mut all = Roster::default();
        said.iter().map(word).for_each(|one| { all.merge(&one); });
        prop_assert!(all.encode().len() <= 1024);
        prop_assert_eq!(Roster::decode(&all.encode()), Ok(all));
    }
}

#[test]
fn what_is_no_roster_is_refused_by_name() {
    let me = Identity::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(3));
    let mut roster = Roster::default();
    roster.add(&endpoint(1), &me.card("Ada", 1, vec![]));
    roster.remove(endpoint(2).id, &me.card("Ada", 1, vec![]));
    let bytes = roster.encode();
    for cut in [0, 2, 40, bytes.len() - 1] {
        assert_eq!(Roster::decode(&bytes[..cut]), Err(Malformed::Truncated));
    }
    let kind = [&bytes[..5], &[2], &bytes[6..]].concat();
    let why = Malformed::Value("kind of a word on a device");
    assert_eq!(Roster::decode(&kind), Err(why));
    let twice = [&bytes[..], &bytes[5..]].concat();
    let why = Malformed::Value("order of devices");
    assert_eq!(Roster::decode(&twice), Err(why));
    let removed = |number: u64| [&[0][..], &endpoint(number).id, &[0; 8]].concat();
    let many: Vec<u8> = (0..30).flat_map(removed).collect();
    let why = Malformed::Value("number of devices");
    assert_eq!(
        Roster::decode(&[&[VERSION, 0, 0, 0, 0], &many[..]].concat()),
        Err(why)
    );
}

/// Guards that what was said under former keys brings no device back once the root has made them anew, in whatever order it comes.
#[test]
fn words_under_former_keys_count_no_more() {
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(4);
    let me = Identity::generate(&mut rng);
    let mut root = me.root().unwrap();
    let former = me.without_root(&mut root, &mut rng);
    let new = former.renewed(&mut root, &mut rng);
    let mut before = Roster::default().under(1);
    before.add(&endpoint(1), &former.card("Ada", 1, vec![]));
    let card = new.card("Ada", 2, vec![]);
    assert_eq!(before.devices(&card), card.body().endpoints);
    let mut now = before.clone().under(card.number());
    assert!(now.is_empty() && !now.merge(&before) && now.is_empty());
    now.add(&endpoint(2), &card);
    assert!(!before.merge(&now));
    assert_eq!(Roster::decode(&now.encode()), Ok(now));
}
