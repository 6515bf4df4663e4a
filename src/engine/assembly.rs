//! Manifests that come in chunks, and verified fragments that came before their manifest was whole.
//!
//! Both are kept in memory only: after a restart their sender offers the manifest again. What a person can make us
//! keep is bounded, and what has gained no chunk for [`IDLE`] is forgotten.

use super::arrival::Arrival;
use super::coding;
use super::ends::End;
use super::id::PersonId;
use super::io::Time;
use super::outgoing::manifest_coding;
use super::trust::Quota;
use crate::security::seal::MessageKeys;
use crate::security::session::Epoch;
use crate::wire::fragment::{Label, ManifestChunk};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a manifest may go without a further chunk.
pub const IDLE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A manifest of which some chunks are here.
#[derive(Debug)]
pub struct Assembly {
    /// From whom.
    pub from: End,
    /// The epoch of its label.
    pub epoch: Epoch,
    /// The keys of its label.
    pub keys: MessageKeys,
    /// Verified fragments that wait for it.
    pub early: Vec<Arrival>,
    len: u16,
    chunks: Vec<Option<Bytes>>,
    heard: Time,
}

/// All of them, by label.
#[derive(Debug, Default)]
pub struct Assemblies {
    by_label: BTreeMap<Label, Assembly>,
    /// Bytes of the fragments that wait, by who sent them.
    early_bytes: BTreeMap<PersonId, usize>,
}

impl Assemblies {
    /// The keys for a label of which chunks are here.
    pub fn keys(&self, label: Label) -> Option<&MessageKeys> {
        self.by_label.get(&label).map(|assembly| &assembly.keys)
    }

    /// Opens an assembly. False if there are `most` already; a person who has too many loses the one that was quiet for
    /// longest.
    pub fn open(&mut self, assembly: Assembly, quota: &Quota, most: usize) -> bool {
        let own = |a: &&Assembly| a.from.person == assembly.from.person;
        if self.by_label.values().filter(own).count() >= quota.manifests {
            let quietest = (self.by_label.iter())
                .filter(|(_, a)| a.from.person == assembly.from.person)
                .min_by_key(|(_, a)| a.heard)
                .map(|(label, _)| *label);
            quietest.and_then(|label| self.close(label));
        } else if self.by_label.len() >= most {
            return false;
        }
        self.by_label.insert(assembly.keys.label(), assembly);
        true
    }

    /// Keeps a verified fragment until the manifest is whole. False if its sender has no room left, or all together have
    /// `most` bytes.
    pub fn keep(&mut self, label: Label, arrival: &Arrival, quota: &Quota, most: usize) -> bool {
        let (len, all) = (arrival.frame.len(), self.early_bytes());
        let Some(assembly) = self.by_label.get_mut(&label) else {
            return false;
        };
        let own = self.early_bytes.entry(assembly.from.person).or_default();
        let fits = *own + len <= quota.early_bytes && all + len <= most;
        if fits {
            *own += len;
            assembly.early.push(arrival.to_keep());
        }
        fits
    }

    /// Who sends what belongs to this label.
    pub fn from(&self, label: Label) -> Option<PersonId> {
        self.by_label
            .get(&label)
            .map(|assembly| assembly.from.person)
    }

    /// Adds a chunk; false if it does not fit the others.
    pub fn add(&mut self, now: Time, label: Label, chunk: &ManifestChunk<'_>, symbol: u16) -> bool {
        let Some(assembly) = self.by_label.get_mut(&label) else {
            return false;
        };
        assembly.heard = now;
        assembly.add(chunk, symbol)
    }

    /// The bytes of a manifest, once enough chunks are here.
    pub fn whole(&self, label: Label) -> Option<Vec<u8>> {
        self.by_label.get(&label)?.whole()
    }

    /// Takes an assembly out.
    pub fn close(&mut self, label: Label) -> Option<Assembly> {
        let assembly = self.by_label.remove(&label)?;
        let bytes: usize = assembly.early.iter().map(|a| a.frame.len()).sum();
        if let Some(own) = self.early_bytes.get_mut(&assembly.from.person) {
            *own = own.saturating_sub(bytes);
        }
        self.early_bytes.retain(|_, bytes| *bytes > 0);
        Some(assembly)
    }

    /// Drops all assemblies of a person.
    pub fn close_all(&mut self, from: PersonId) {
        self.by_label
            .retain(|_, assembly| assembly.from.person != from);
        self.early_bytes.remove(&from);
    }

    /// How many there are.
    #[cfg(feature = "sim")]
    pub fn len(&self) -> usize {
        self.by_label.len()
    }

    /// Bytes of the fragments that wait for a manifest.
    pub fn early_bytes(&self) -> usize {
        self.early_bytes.values().sum()
    }

    /// When the last chunk of a manifest came.
    pub fn heard(&self, label: Label) -> Option<Time> {
        self.by_label.get(&label).map(|assembly| assembly.heard)
    }
}

impl Assembly {
    /// Nothing of it is here yet.
    pub fn new(now: Time, from: End, epoch: Epoch, keys: MessageKeys) -> Self {
        Self {
            from,
            epoch,
            keys,
            early: Vec::new(),
            len: 0,
            chunks: Vec::new(),
            heard: now,
        }
    }

    /// Adds a chunk; false if it does not fit the others.
    fn add(&mut self, chunk: &ManifestChunk<'_>, symbol: u16) -> bool {
        let len = usize::from(chunk.manifest_len);
        let (n, parity) = (ManifestChunk::count(len), ManifestChunk::parity(len));
        if self.len == 0 {
            self.len = chunk.manifest_len;
            self.chunks = vec![None; n + parity];
        }
        let index = usize::from(symbol);
        let last = len - (n - 1) * ManifestChunk::SIZE;
        let expected = if index + 1 == n {
            last
        } else {
            ManifestChunk::SIZE
        };
        let fits = self.len == chunk.manifest_len && chunk.bytes.len() == expected;
        match self.chunks.get_mut(index) {
            Some(slot) if fits => {
                *slot = Some(Bytes::copy_from_slice(chunk.bytes));
                true
            }
            _ => false,
        }
    }

    /// The manifest, once enough chunks are here.
    fn whole(&self) -> Option<Vec<u8>> {
        let len = usize::from(self.len);
        let n = ManifestChunk::count(len);
        let (source, parity) = self.chunks.split_at_checked(n)?;
        if self.chunks.iter().flatten().count() < n {
            return None;
        }
        if source.iter().all(Option::is_some) {
            return Some(
                source
                    .iter()
                    .flatten()
                    .flat_map(|chunk| chunk.iter().copied())
                    .collect(),
            );
        }
        let flat = |chunks: &[Option<Bytes>]| {
            let mut out = vec![0; chunks.len() * ManifestChunk::SIZE];
            for (slot, chunk) in out.chunks_mut(ManifestChunk::SIZE).zip(chunks) {
                if let Some(chunk) = chunk {
                    slot[..chunk.len()].copy_from_slice(chunk);
                }
            }
            Bytes::from(out)
        };
        let coding = manifest_coding(len);
        let held = self
            .chunks
            .iter()
            .map(|chunk| u8::from(chunk.is_some()))
            .collect();
        let (k, source) = (n as u16, flat(source));
        let job = coding::Job::Decode {
            coding,
            k,
            source: source.clone(),
            repair: flat(parity),
            held,
        };
        let coding::Done::Decoded(found) = job.run() else {
            return None;
        };
        let mut block = coding::join(&coding, k, &source, &found)?;
        block.truncate(len);
        Some(block)
    }
}
