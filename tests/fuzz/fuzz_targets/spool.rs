//! Batches on removable media: any file ends, in bounded frames; what a writer wrote is read whole; and damage in
//! one place leaves a frame that no damage touched.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use ostrakon_transports::spool::batch::{
    BatchHeader, BatchReader, BatchWriter, Item, MAX_RECORD_FRAME,
};

const HEADER: BatchHeader = BatchHeader {
    origin: [7; 8],
    tag: 9,
};

#[derive(Arbitrary, Debug)]
enum Try {
    Raw(Vec<u8>),
    Damaged {
        frames: Vec<Vec<u8>>,
        at: u16,
        xor: u8,
        cut: u16,
    },
}

fn read(file: &[u8]) -> Vec<Item> {
    let mut reader = BatchReader::new(file);
    let mut items = Vec::new();
    loop {
        // Reading from memory cannot fail.
        let Ok(item) = reader.read() else {
            panic!("memory failed")
        };
        assert!(reader.offset() <= file.len() as u64 && reader.intact() <= file.len() as u64);
        let last = matches!(item, Item::End | Item::Cut | Item::Foreign);
        items.push(item);
        if last {
            return items;
        }
        assert!(
            items.len() <= 2 * file.len() + 2,
            "the reader does not move on"
        );
    }
}

fuzz_target!(|attempt: Try| match attempt {
    Try::Raw(file) => {
        for item in read(&file) {
            assert!(!matches!(item, Item::Frame(frame) if frame.len() > MAX_RECORD_FRAME));
        }
    }
    Try::Damaged {
        mut frames,
        at,
        xor,
        cut,
    } => {
        frames.truncate(16);
        frames
            .iter_mut()
            .for_each(|frame| frame.truncate(MAX_RECORD_FRAME));
        let Some(file) = write(&frames) else { return };
        let intact: Vec<Item> = frames
            .iter()
            .map(|f| Item::Frame(f.clone().into()))
            .chain([Item::End])
            .collect();
        assert_eq!(read(&file), intact);
        let mut damaged = file.clone();
        let at = usize::from(at) % damaged.len();
        damaged[at] ^= xor;
        damaged.truncate(damaged.len() - usize::from(cut) % damaged.len());
        for item in read(&damaged) {
            if let Item::Frame(frame) = item {
                assert!(
                    frames.iter().any(|f| f[..] == frame[..]),
                    "damage made a frame that was never written"
                );
            }
        }
    }
});

fn write(frames: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut writer = BatchWriter::new(Vec::new(), &HEADER).ok()?;
    for frame in frames {
        writer.push(frame).ok()?;
    }
    writer.finish().ok()
}
