//! Who has copied a home, or some of it, and listens.

use super::world::World;
use bytes::Bytes;
use ostrakon::engine::io::{Event, Input, LinkId, Output, Restored, Table, Time};
use ostrakon::engine::limits::Limits;
use ostrakon::engine::{Config, Engine};
use ostrakon::security::identity::Identity;

/// Rows of a store.
pub type Rows = Vec<(Table, Vec<u8>, Vec<u8>)>;

impl World {
    /// The rows of the sessions of a node.
    pub fn session_rows(&self, node: usize) -> Rows {
        let mut rows = self.nodes[node].disk.restored().rows;
        rows.retain(|(table, _, _)| *table == Table::Session);
        rows
    }

    /// Does any of these frames, which somebody else has sent, open to who has these keys and rows? That something was
    /// delivered before does not matter to him, so he has no ledger.
    pub fn opens(&self, keys: &[u8], of: usize, rows: Rows, frames: &[Bytes]) -> bool {
        let config = Config {
            identity: Identity::decode(keys).unwrap(),
            limits: Limits::default(),
            seed: [0; 32],
            restored: Restored {
                rows,
                ..Restored::default()
            },
        };
        let now = Time(self.now);
        let mut thief = Engine::new(config, now).unwrap();
        let card = self.identity(of).card("of", 1, vec![]);
        thief.handle_input(now, Input::Card(Box::new(card)));
        for frame in frames {
            let received = Input::Received {
                link: LinkId(0),
                frame: frame.clone(),
                custody: None,
            };
            thief.handle_input(now, received);
        }
        loop {
            match thief.poll_output() {
                Output::Timeout(..) => return false,
                Output::Event(Event::Arriving { .. }) => return true,
                _ => {}
            }
        }
    }
}
