//! Manifests: one encoding each, and every coding that passes can be cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ostrakon::engine::geometry::{BLOCK_BYTES_MAX, Geometry, SYMBOLS_MAX};
use ostrakon::wire::manifest::{Body, Manifest};

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = Manifest::decode(bytes) else {
        return;
    };
    assert_eq!(manifest.encode(), bytes, "two encodings of one manifest");
    for part in &manifest.parts {
        let Body::Coded { len, coding, .. } = &part.body else {
            continue;
        };
        let Ok(geometry) = Geometry::new(*coding, *len) else {
            continue;
        };
        let last = (geometry.blocks() - 1) as u16;
        for block in [0, last / 2, last] {
            assert!(u32::from(geometry.symbols(block)) <= SYMBOLS_MAX);
            assert!(geometry.block_len(block) as u64 <= BLOCK_BYTES_MAX);
            assert!(geometry.repair_offset(block, u16::MAX) < u64::MAX / 2);
        }
        let end = geometry.block_offset(last) + geometry.block_len(last) as u64;
        assert_eq!(end, *len, "the blocks do not cover the part");
    }
});
