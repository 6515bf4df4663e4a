//! Small blocks: reed-solomon-erasure over GF(2^8).

use super::Word;
use reed_solomon_erasure::galois_8::ReedSolomon;

pub fn encode(source: &[u8], symbol: usize, repair: usize) -> Option<Vec<u8>> {
    let code = ReedSolomon::new(source.len() / symbol, repair).ok()?;
    let data: Vec<&[u8]> = source.chunks_exact(symbol).collect();
    let mut out = vec![0; repair * symbol];
    let mut parity: Vec<&mut [u8]> = out.chunks_exact_mut(symbol).collect();
    code.encode_sep(&data, &mut parity).ok()?;
    Some(out)
}

/// Gives the symbols that were missing to `found`.
pub fn decode(
    word: &Word<'_>,
    repair: usize,
    mut found: impl FnMut(usize, &[u8]) -> Option<()>,
) -> Option<()> {
    let missing = word.missing();
    let mut shards: Vec<Option<Vec<u8>>> = vec![None; word.k + repair];
    for (i, bytes) in word.source() {
        *shards.get_mut(i)? = Some(bytes.to_vec());
    }
    for (i, bytes) in word.repair(missing.len())? {
        *shards.get_mut(word.k + i)? = Some(bytes.to_vec());
    }
    ReedSolomon::new(word.k, repair)
        .ok()?
        .reconstruct_data(&mut shards)
        .ok()?;
    for i in missing {
        found(i, shards.get(i)?.as_deref()?)?;
    }
    Some(())
}
