//! The keys of a running node: its identity, and the prekeys in it that age.

use super::home::{Home, HomeError};
use crate::security::identity::Identity;
use crate::security::prekeys::Prekeys;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shared by all parts of a node. The node holds the lock of the store, so nobody else writes the key file.
pub(super) struct Keys(Mutex<State>);

struct State {
    home: Home,
    identity: Arc<Identity>,
}

impl Keys {
    /// Of an unlocked home.
    pub(super) fn new(home: Home) -> Result<Self, HomeError> {
        let identity = Arc::new(home.identity()?);
        Ok(Self(Mutex::new(State { home, identity })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who we are, with the prekeys of now.
    pub(super) fn identity(&self) -> Arc<Identity> {
        self.state().identity.clone()
    }

    /// Goes on to the prekey that another endpoint has as the current one, on the disk as well. Gives the prekeys if they
    /// went on. Blocks.
    pub(super) fn catch_up(&self, current: u32) -> Result<Option<Prekeys>, HomeError> {
        let mut state = self.state();
        let mut identity = state.home.identity()?;
        if !identity.prekeys.catch_up(current) {
            return Ok(None);
        }
        state.home.save(&identity)?;
        let prekeys = identity.prekeys.clone();
        state.identity = Arc::new(identity);
        Ok(Some(prekeys))
    }

    /// Counts uptime of the prekeys, on the disk as well. Gives them if another one is current now. Blocks.
    pub(super) fn age(&self, uptime: Duration) -> Result<Option<Prekeys>, HomeError> {
        let mut state = self.state();
        let mut identity = state.home.identity()?;
        let turned = identity.prekeys.age(uptime);
        state.home.save(&identity)?;
        let prekeys = turned.then(|| identity.prekeys.clone());
        state.identity = Arc::new(identity);
        Ok(prekeys)
    }
}
