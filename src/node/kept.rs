//! One value in a row of the store, changed as a whole.

use super::error::NodeError;
use crate::store::meta::Meta;
use crate::wire::read::Malformed;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Such a value. Changes are durable before they are seen.
pub(super) struct Kept<T> {
    meta: Meta,
    key: &'static str,
    encode: fn(&T) -> Vec<u8>,
    value: Mutex<T>,
}

impl<T: Default + Clone> Kept<T> {
    /// Reads what was stored under a key. What does not read is told of, and begins anew.
    pub(super) fn load(
        meta: Meta,
        key: &'static str,
        decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
        encode: fn(&T) -> Vec<u8>,
    ) -> Result<Self, NodeError> {
        let stored = meta.get(key)?.map(|bytes| decode(&bytes));
        let value = stored.transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "the stored {key} do not read");
            None
        });
        let value = Mutex::new(value.unwrap_or_default());
        Ok(Self {
            meta,
            key,
            encode,
            value,
        })
    }

    /// The value, for who reads it.
    pub(super) fn get(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it, or leaves it as it was if the change or the disk fails. Blocks on the disk.
    pub(super) fn change<R>(
        &self,
        change: impl FnOnce(&mut T) -> Result<R, NodeError>,
    ) -> Result<R, NodeError> {
        let mut value = self.get();
        let mut next = value.clone();
        let done = change(&mut next)?;
        self.meta.put(self.key, &(self.encode)(&next))?;
        *value = next;
        Ok(done)
    }
}
