//! Large blocks: reed-solomon-simd over GF(2^16).

use super::Word;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

pub fn encode(source: &[u8], symbol: usize, repair: usize) -> Option<Vec<u8>> {
    let mut code = ReedSolomonEncoder::new(source.len() / symbol, repair, symbol).ok()?;
    for bytes in source.chunks_exact(symbol) {
        code.add_original_shard(bytes).ok()?;
    }
    let coded = code.encode().ok()?;
    let mut out = Vec::with_capacity(repair * symbol);
    coded
        .recovery_iter()
        .for_each(|bytes| out.extend_from_slice(bytes));
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
