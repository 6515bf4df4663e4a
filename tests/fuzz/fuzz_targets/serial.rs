//! A serial line: noise and frames in any cut give the same frames, and a frame after noise always comes through.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ostrakon_transports::serial::framing::{Deframer, PayloadKind, enframe};

const LARGEST: usize = 222;

fuzz_target!(|data: (Vec<u8>, Vec<u8>, u8)| {
    let (noise, mut payload, step) = data;
    payload.truncate(LARGEST);
    let mut line = noise;
    line.extend_from_slice(&enframe(PayloadKind::Frame, &payload));

    let mut whole = Deframer::new(LARGEST);
    let at_once = whole.push(&line);
    let mut cut = Deframer::new(LARGEST);
    let in_pieces: Vec<_> = line
        .chunks(usize::from(step).max(1))
        .flat_map(|piece| cut.push(piece))
        .collect();
    assert_eq!(at_once, in_pieces, "the cut of the stream matters");
    assert_eq!(whole.garbage(), cut.garbage());
    assert!(at_once.iter().all(|frame| frame.payload.len() <= LARGEST));
    let last = at_once.last();
    assert!(
        payload.is_empty() || last.is_some_and(|frame| frame.payload == payload),
        "noise swallowed a frame"
    );
});
