//! Frames as a link brings them: fragments, envelopes, preambles. What parses is within bounds and reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ostrakon::wire::envelope::{self, Envelope};
use ostrakon::wire::fragment::{Kind, ManifestChunk, Place, View};
use ostrakon::wire::read::{Reader, put_varint, varint_len};
use ostrakon::engine::reassembly::Reassembly;
use ostrakon::wire::piece::{self, Piece};
use ostrakon::wire::{FrameKind, frame_kind, preamble};

fuzz_target!(|frame: &[u8]| {
    let kind = frame_kind(frame);
    if let Ok(view) = View::parse(frame) {
        assert_eq!(kind, FrameKind::Fragment(view.kind));
        assert!(
            view.tag().len() == 16 && view.sealed.len() >= 16 && view.sealed.len() < frame.len()
        );
        assert!(view.epoch_bits < 32);
    }
    if let Ok((found, inner)) = Envelope::unwrap(frame) {
        assert_eq!(kind, FrameKind::Envelope);
        assert_eq!(inner.len() + envelope::LEN, frame.len());
        let again = found.wrap(inner);
        assert_eq!(Envelope::unwrap(&again), Ok((found, inner)));
    }
    if let Ok(piece) = Piece::decode(frame) {
        assert_eq!(kind, FrameKind::Escape(piece::MARK[1]));
        assert_eq!(piece.encode(), frame);
        let mut reassembly = Reassembly::default();
        assert!(reassembly.take(&piece).is_none() && reassembly.take(&piece).is_none());
    }
    if let Ok(view) = preamble::View::parse(frame) {
        let longer = match frame.starts_with(&preamble::INVITED) {
            true => preamble::INVITATION,
            false => 0,
        };
        assert_eq!(frame.len(), preamble::LEN + longer);
        assert_eq!(view.sealed.len(), preamble::BODY + longer + 16);
    }
    if let Ok(body) = preamble::Body::decode(frame) {
        assert_eq!(body.encode(), frame);
    }
    if let Ok(chunk) = ManifestChunk::decode(frame) {
        assert_eq!(chunk.encode(), frame);
    }
    for kind in [Kind::Narrow, Kind::Wide, Kind::Short] {
        if let Ok(place) = Place::decode(kind, frame) {
            let (bytes, len) = place.encode(kind);
            assert_eq!(Place::decode(kind, &bytes[..len]), Ok(place));
        }
    }
    if let Ok(value) = Reader::new(frame).varint() {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        assert_eq!(out.len(), varint_len(value));
        assert_eq!(Reader::new(&out).varint(), Ok(value));
    }
});
