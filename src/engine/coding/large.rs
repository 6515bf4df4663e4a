//! Large blocks: reed-solomon-simd over GF(2^16).

use super::{Word, padded};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The work space of an encoder is larger than a block and its repair symbols, so that of the last one is used again.
static SPARE: Mutex<Option<ReedSolomonEncoder>> = Mutex::new(None);

fn spare() -> MutexGuard<'static, Option<ReedSolomonEncoder>> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first `wanted` repair symbols of `repair` for `k` symbols; what is missing of the last ones is zeros.
pub fn encode(
    source: &[u8],
    k: usize,
    symbol: usize,
    repair: usize,
    wanted: usize,
) -> Option<Vec<u8>> {
    let last = spare().take();
    let mut code = match last {
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
    *spare() = Some(code);
    Some(out)
}

pub fn decode(word: &Word<'_>, repair: usize) -> Option<Vec<(usize, Vec<u8>)>> {
    let missing = word.missing();
    if missing.is_empty() {
        return Some(Vec::new());
    }
    let mut code = ReedSolomonDecoder::new(word.k, repair, word.span.len).ok()?;
    for (i, bytes) in word.source() {
        code.add_original_shard(i, bytes).ok()?;
    }
    for (i, bytes) in word.repair(missing.len())? {
        code.add_recovery_shard(i, bytes).ok()?;
    }
    let solved = code.decode().ok()?;
    missing
        .into_iter()
        .map(|i| Some((i, solved.restored_original(i)?.to_vec())))
        .collect()
}
