//! Reassembly: arbitrary segments give only bounded frames, and a frame that follows them whole is joined.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ostrakon_transports::segment::{Reassembler, Segmenter};

const LARGEST: usize = 512;

fuzz_target!(|data: (Vec<Vec<u8>>, Vec<u8>, u8, u8)| {
    let (segments, mut frame, size, number) = data;
    let mut joiner = Reassembler::new(LARGEST);
    for segment in segments {
        if let Some(joined) = joiner.push(segment.into()) {
            assert!(joined.len() <= LARGEST);
        }
    }
    let mut splitter = Segmenter::new(usize::from(size).max(16), number);
    frame.truncate(LARGEST.min(splitter.max_frame()));
    let Some(pieces) = splitter.split(&frame) else {
        return;
    };
    let mut fresh = Reassembler::new(LARGEST);
    let joined: Vec<Bytes> = pieces
        .into_iter()
        .filter_map(|piece| fresh.push(piece))
        .collect();
    assert_eq!(joined, [Bytes::from(frame)]);
});
