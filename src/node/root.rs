//! The root key kept apart from the devices, in a file that its owner puts away.
//!
//! With the root elsewhere a home signs with a delegate of it. Who steals such a device speaks for its owner until the root
//! puts another key in the delegate's place, and not after that.

use super::cards;
use super::error::NodeError;
use super::home::{Home, HomeError, io_at, seeded_rng};
use super::keyfile::KeyFile;
use crate::engine::io::{Batch, Record, Restored, Token};
use crate::engine::opened_by_others;
use crate::security::identity::Identity;
use crate::security::lockbox::Passphrase;
use crate::security::root::Root;
use crate::store::Store;
use crate::store::meta::Meta;
use rand_chacha::ChaCha20Rng;
use std::fs;
use std::path::{Path, PathBuf};

/// A file with a root key.
pub struct RootFile {
    path: PathBuf,
    file: KeyFile,
}

impl std::fmt::Debug for RootFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RootFile({})", self.path.display())
    }
}

impl RootFile {
    /// Reads it. It may be locked.
    ///
    /// # Errors
    /// [`NodeError::Root`]: missing, readable by others, or damaged.
    pub fn open(path: &Path) -> Result<Self, NodeError> {
        // What a link leads to is written anew, and not the link.
        let path = path.canonicalize().map_err(io_at(path));
        let path = path.map_err(NodeError::Root)?;
        let file = KeyFile::read_elsewhere(&path).map_err(NodeError::Root)?;
        let opened = Self { path, file };
        if !opened.is_locked() {
            opened.root()?;
        }
        Ok(opened)
    }

    /// Whether it needs a passphrase that [`RootFile::unlock`] was not given yet.
    pub fn is_locked(&self) -> bool {
        self.file.is_locked()
    }

    /// Opens it if it is locked. Takes a good part of a second, and 64 MiB of memory for that time.
    ///
    /// # Errors
    /// [`NodeError::Root`] if the passphrase is wrong.
    pub fn unlock(&mut self, passphrase: &Passphrase) -> Result<(), NodeError> {
        self.file.unlock(passphrase).map_err(NodeError::Root)?;
        self.root().map(|_| ())
    }

    fn root(&self) -> Result<Root, NodeError> {
        let secret = self.file.secret().map_err(NodeError::Root)?;
        Root::decode(secret).map_err(|error| {
            NodeError::Root(HomeError::Damaged {
                path: self.path.clone(),
                reason: error.to_string(),
            })
        })
    }

    /// Makes keys under the root, which is durable with its new number before they are given.
    fn use_by(
        &mut self,
        keys: impl FnOnce(&mut Root, &mut ChaCha20Rng) -> Identity,
    ) -> Result<Identity, NodeError> {
        let mut rng = seeded_rng().map_err(NodeError::random)?;
        let mut root = self.root()?;
        let keys = keys(&mut root, &mut rng);
        self.file.save(&root.encode()).map_err(NodeError::Root)?;
        Ok(keys)
    }
}

impl Home {
    /// Moves the root key into a new file, under this passphrase if there is one. The home goes on with a delegate.
    ///
    /// # Errors
    /// [`NodeError`]: the home is locked or in use, has no root key, has other devices, or the file is there.
    pub fn move_root(
        &mut self,
        path: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<(), NodeError> {
        let (store, _) = Store::open(&self.store_dir(), self.identity()?.row_key())?;
        self.refresh()?;
        let identity = self.identity()?;
        let mut root = identity.root().ok_or_else(|| {
            NodeError::Usage("the root key is not in this home; it was moved before".into())
        })?;
        let card = cards::last_own(&store.handle().meta())?;
        if card.is_some_and(|card| card.body().endpoints.len() > 1) {
            return Err(NodeError::Usage(
                "other devices of yours have the root key as well; take them out of your card with `ostrakon device remove`, and let them join anew afterwards".into(),
            ));
        }
        self.check_place(path)?;
        let mut rng = seeded_rng().map_err(NodeError::random)?;
        let keys = identity.without_root(&mut root, &mut rng);
        // In this order: the root is never nowhere.
        let kept = KeyFile::create_elsewhere(path, &root.encode(), passphrase);
        kept.map_err(NodeError::Root)?;
        self.save(&keys).map_err(|error| {
            // What could not be synced may have taken its place nonetheless.
            if self.refresh().is_ok() && self.identity().is_ok_and(|keys| keys.has_root()) {
                let _ = fs::remove_file(path);
            }
            error.into()
        })
    }

    /// Whether a root may be put there.
    fn check_place(&self, path: &Path) -> Result<(), NodeError> {
        let refuse = |why: &str| Err(NodeError::Usage(format!("{} {why}", path.display())));
        if path.symlink_metadata().is_ok() {
            return refuse(
                "is there already; name a new file, and remove that one if a move that was cut off has left it",
            );
        }
        let real = |path: &Path| path.canonicalize().ok();
        let Some(parent) = path.parent().and_then(real) else {
            return refuse("is in a directory that is not there; make it first");
        };
        match real(self.dir()).is_some_and(|home| parent.starts_with(home)) {
            true => refuse("is in the home that the root key is to leave; name a file elsewhere"),
            false => Ok(()),
        }
    }

    /// Makes all keys anew that the devices of its owner share, and names this device alone. What was stolen with another
    /// device is worth nothing then for what comes.
    ///
    /// # Errors
    /// [`NodeError`]: the home is locked or in use, or the root is of somebody else.
    pub fn renew(&mut self, root: &mut RootFile) -> Result<(), NodeError> {
        let _lock = crate::store::hold(&self.store_dir())?;
        self.refresh()?;
        let identity = self.identity()?;
        if root.root()?.person() != identity.person() {
            return Err(NodeError::Usage(format!(
                "{} holds the root key of somebody else; name the one that was moved out of this home",
                root.path.display()
            )));
        }
        let keys = root.use_by(|root, rng| identity.renewed(root, rng))?;
        Ok(self.save(&keys)?)
    }

    /// Makes a home with new keys for the owner of a root, as [`Home::create_under`] otherwise.
    ///
    /// # Errors
    /// [`NodeError`], also if `dir` holds keys of somebody else.
    pub fn create_of_root(
        dir: &Path,
        name: &str,
        root: &mut RootFile,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, NodeError> {
        let person = root.root()?.person();
        let new = || root.use_by(Identity::of_root);
        Self::create_by(dir, name, passphrase, Some(person), new)
    }
}

/// Where the shared keys are new: ends the sessions that were opened to the old ones, which somebody else may have, unless
/// that is done. It is before our card names the new keys.
pub(super) fn end_old_sessions(
    store: &mut Store,
    meta: &Meta,
    identity: &Identity,
    restored: &mut Restored,
) -> Result<(), NodeError> {
    let last = cards::last_own(meta)?;
    if !last.is_some_and(|card| identity.renews(&card)) {
        return Ok(());
    }
    let old = restored.rows.extract_if(.., |row| opened_by_others(row));
    let records = old.map(|(table, key, _)| Record::Delete { table, key });
    let batch = Batch {
        token: Token(0),
        records: records.collect(),
        durable: true,
    };
    Ok(store.apply(&batch)?)
}
