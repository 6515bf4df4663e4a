//! Large blocks: reed-solomon-simd over GF(2^16).

use super::{Word, padded};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use std::sync::{Mutex, PoisonError};

/// The work space of a coder is larger than a block and its repair symbols, so that of the last one is used again.
struct Spare<T>(Mutex<Option<T>>);

static ENCODER: Spare<ReedSolomonEncoder> = Spare::new();
static DECODER: Spare<ReedSolomonDecoder> = Spare::new();

impl<T> Spare<T> {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn give(&self, coder: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(coder);
    }
}

/// The first `wanted` repair symbols of `repair` for `k` symbols; what is missing of the last ones is zeros.
pub fn encode(
    source: &[u8],
    k: usize,
    symbol: usize,
    repair: usize,
    wanted: usize,
) -> Option<Vec<u8>> {
    let mut code = match ENCODER.take() {
        Some(mut code) => code.reset(k, repair, symbol).ok().map(|()| code)?,
        None => ReedSolomonEncoder::new(k, repair, symbol).ok()?,
    };
    for index in 0..k {
        let (from, end) = (index * symbol, (index + 1) * symbol);
        let added = match source.get(from..end) {
            Some(bytes) => code.add_original_shard(bytes),
            None => {
                code.add_original_shard(padded(source.get(from..).unwrap_or_default(), symbol)?)
            }
        };
        added.ok()?;
    }
    let coded = code.encode().ok()?;
    let mut out = Vec::with_capacity(wanted * symbol);
    coded
        .recovery_iter()
        .take(wanted)
        .for_each(|bytes| out.extend_from_slice(bytes));
    drop(coded);
    ENCODER.give(code);
    Some(out)
}

/// Gives the symbols that were missing to `found`.
pub fn decode(
    word: &Word<'_>,
    repair: usize,
    mut found: impl FnMut(usize, &[u8]) -> Option<()>,
) -> Option<()> {
    let missing = word.missing();
    if missing.is_empty() {
        return Some(());
    }
    let (k, len) = (word.k, word.span.len);
    let mut code = match DECODER.take() {
        Some(mut code) => code.reset(k, repair, len).ok().map(|()| code)?,
        None => ReedSolomonDecoder::new(k, repair, len).ok()?,
    };
    for (i, bytes) in word.source() {
        code.add_original_shard(i, bytes).ok()?;
    }
    for (i, bytes) in word.repair(missing.len())? {
        code.add_recovery_shard(i, bytes).ok()?;
    }
    let solved = code.decode().ok()?;
    for i in missing {
        found(i, solved.restored_original(i)?)?;
    }
    drop(solved);
    DECODER.give(code);
    Some(())
}
