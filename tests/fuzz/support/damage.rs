//! Damage to something real: bytes that were changed, an end that was cut off.

pub fn damaged(real: &[u8], changes: Vec<(u16, u8)>, cut: u8) -> Vec<u8> {
    let mut bytes = real.to_vec();
    for (at, value) in changes {
        let at = usize::from(at) % bytes.len();
        bytes[at] = value;
    }
    bytes.truncate(bytes.len() - usize::from(cut).min(bytes.len()));
    bytes
}
