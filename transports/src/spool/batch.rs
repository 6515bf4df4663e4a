//! The batch file: frames in a file that may be cut, copied in part or damaged.
//!
//! All numbers are big-endian, every CRC-32 is that of IEEE 802.3.
//!
//! ```text
//! header   0   4  magic "OSTK"
//!          4   1  version = 1
//!          5   3  zero
//!          8   8  origin: random id of the node that wrote the batch
//!         16   8  tag: the group of frames that become useless together
//!         24   4  CRC-32 of bytes 0..24
//! record   0   2  length of the frame, 0..=2048
//!          2   n  the frame
//!        2+n   4  CRC-32 of the n + 2 bytes before
//!  ... more records
//! end      0   2  0xFFFF
//!          2   4  number of records
//!          6   4  CRC-32 of the 6 bytes before
//! ```
//!
//! A reader takes every record whose CRC-32 fits. Behind a damaged record it goes on at the next place where
//! a record or the end fits: first where the damaged record says it ends, then byte by byte. A damaged header
//! costs no record. A file of another version is left alone.

use crate::frame_check;
use bytes::Bytes;
use std::io::{self, Read, Write};

/// The largest frame that a record holds, in bytes.
pub const MAX_RECORD_FRAME: usize = 2048;

/// Bytes of a record besides the frame.
pub const RECORD_OVERHEAD: usize = 6;

/// Bytes of the header.
pub const HEADER_SIZE: usize = 28;

/// Bytes of the end record.
pub const END_SIZE: usize = 10;

const MAGIC: &[u8; 4] = b"OSTK";
const VERSION: u8 = 1;
const END_MARK: u16 = 0xFFFF;
const WINDOW: usize = 64 * 1024;
/// What must be in sight to judge a record and where it says it ends.
const SIGHT: usize = 2 * (MAX_RECORD_FRAME + RECORD_OVERHEAD);
/// How many bytes one file may make the reader check in search of the next record.
const SEARCH_BUDGET: usize = 64 << 20;

/// Whose frames a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Random id of the node that wrote it.
    pub origin: [u8; 8],
    /// The group of frames that become useless together.
    pub tag: u64,
}

impl BatchHeader {
    fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = VERSION;
        bytes[8..16].copy_from_slice(&self.origin);
        bytes[16..24].copy_from_slice(&self.tag.to_be_bytes());
        let check = frame_check(&[&bytes[..24]]);
        bytes[24..].copy_from_slice(&check.to_be_bytes());
        bytes
    }
}

/// Writes a batch.
#[derive(Debug)]
pub struct BatchWriter<W: Write> {
    out: W,
    records: u32,
}

impl<W: Write> BatchWriter<W> {
    /// Starts a batch.
    pub fn new(mut out: W, header: &BatchHeader) -> io::Result<Self> {
        out.write_all(&header.encode())?;
        Ok(Self { out, records: 0 })
    }

    /// Appends a frame of at most [`MAX_RECORD_FRAME`] bytes; a larger one is an error of the kind `InvalidInput`.
    pub fn push(&mut self, frame: &[u8]) -> io::Result<()> {
        if frame.len() > MAX_RECORD_FRAME {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let length = (frame.len() as u16).to_be_bytes();
        self.out.write_all(&length)?;
        self.out.write_all(frame)?;
        self.out
            .write_all(&frame_check(&[&length, frame]).to_be_bytes())?;
        self.records += 1;
        Ok(())
    }

    /// Writes the end record and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&end_record(self.records))?;
        Ok(self.out)
    }
}

fn end_record(records: u32) -> [u8; END_SIZE] {
    let mut bytes = [0; END_SIZE];
    bytes[..2].copy_from_slice(&END_MARK.to_be_bytes());
    bytes[2..6].copy_from_slice(&records.to_be_bytes());
    let check = frame_check(&[&bytes[..6]]);
    bytes[6..].copy_from_slice(&check.to_be_bytes());
    bytes
}

/// Whether the last [`END_SIZE`] bytes of a file are the end of a batch.
pub fn is_end(bytes: &[u8]) -> bool {
    bytes.len() == END_SIZE && matches!(parse(bytes), Parsed::End)
}

/// What the reader finds next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An intact frame.
    Frame(Bytes),
    /// Something between two intact items, or before the first, or after the last, that is neither.
    Damaged,
    /// The end record.
    End,
    /// The file stops before its end record.
    Cut,
    /// This is no batch of this version.
    Foreign,
}

/// Reads a batch from its start in constant memory.
#[derive(Debug)]
pub struct BatchReader<R> {
    input: R,
    window: Vec<u8>,
    at: usize,
    eof: bool,
    offset: u64,
    intact: u64,
    damaged: bool,
    budget: usize,
    state: State,
    header: Option<BatchHeader>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Records,
    Over(Last),
}

/// How a batch came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    End,
    Cut,
    Foreign,
}

enum Parsed {
    Record(usize),
    End,
    Bad { stated: usize },
    Short,
}

/// What stands at the start of `bytes`.
fn parse(bytes: &[u8]) -> Parsed {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else {
        return Parsed::Short;
    };
    let stated = u16::from_be_bytes(*length);
    let content = if stated == END_MARK {
        4
    } else {
        usize::from(stated)
    };
    if content > MAX_RECORD_FRAME {
        return Parsed::Bad { stated: 1 };
    }
    let Some((content, rest)) = rest.split_at_checked(content) else {
        return Parsed::Short;
    };
    let Some(check) = rest.first_chunk::<4>() else {
        return Parsed::Short;
    };
    if frame_check(&[length, content]) != u32::from_be_bytes(*check) {
        let stated = content.len() + RECORD_OVERHEAD;
        Parsed::Bad { stated }
    } else if stated == END_MARK {
        Parsed::End
    } else {
        Parsed::Record(content.len())
    }
}

impl<R: Read> BatchReader<R> {
    /// Reads from the first byte of a batch.
    pub fn new(input: R) -> Self {
        Self {
            input,
            window: Vec::new(),
            at: 0,
            eof: false,
            offset: 0,
            intact: 0,
            damaged: false,
            budget: SEARCH_BUDGET,
            state: State::Header,
            header: None,
        }
    }

    /// The header, once an item was read and if it is intact.
    pub fn header(&self) -> Option<&BatchHeader> {
        self.header.as_ref()
    }

    /// Where the next item starts, in bytes from the start of the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How far the file was intact from its start, in bytes.
    pub fn intact(&self) -> u64 {
        self.intact
    }

    /// The next item. `End`, `Cut` and `Foreign` are the last, and repeat.
    ///
    /// # Errors
    /// What reading the file gives.
    pub fn read(&mut self) -> io::Result<Item> {
        loop {
            self.fill()?;
            match self.state {
                State::Header => {
                    if let Some(item) = self.read_header() {
                        return Ok(item);
                    }
                }
                State::Records => return self.read_record(),
                State::Over(last) => {
                    return Ok(match last {
                        Last::End => Item::End,
                        Last::Cut => Item::Cut,
                        Last::Foreign => Item::Foreign,
                    });
                }
            }
        }
    }

    fn read_header(&mut self) -> Option<Item> {
        let Some(bytes) = self.window[self.at..].first_chunk::<HEADER_SIZE>() else {
            self.state = State::Over(Last::Cut);
            return None;
        };
        let (fields, check) = bytes.split_at(24);
        let good = check == frame_check(&[fields]).to_be_bytes();
        let (head, ids) = fields.split_at(8);
        let ours = head == [MAGIC.as_slice(), &[VERSION, 0, 0, 0]].concat();
        if good && !ours {
            self.state = State::Over(Last::Foreign);
            return None;
        }
        let (origin, tag) = ids.split_at(8);
        if good {
            self.header = origin
                .try_into()
                .ok()
                .zip(tag.try_into().ok().map(u64::from_be_bytes))
                .map(|(origin, tag)| BatchHeader { origin, tag });
        }
        self.state = State::Records;
        self.advance(HEADER_SIZE);
        if good {
            self.intact = self.offset;
            return None;
        }
        self.damaged = true;
        Some(Item::Damaged)
    }

    fn read_record(&mut self) -> io::Result<Item> {
        match parse(&self.window[self.at..]) {
            Parsed::Record(length) => {
                let frame = &self.window[self.at + 2..self.at + 2 + length];
                let frame = Bytes::copy_from_slice(frame);
                self.advance(RECORD_OVERHEAD + length);
                if !self.damaged {
                    self.intact = self.offset;
                }
                Ok(Item::Frame(frame))
            }
            Parsed::End => {
                self.advance(END_SIZE);
                if !self.damaged {
                    self.intact = self.offset;
                }
                self.state = State::Over(Last::End);
                Ok(Item::End)
            }
            Parsed::Bad { stated } => {
                self.damaged = true;
                let next = parse(&self.window[(self.at + stated).min(self.window.len())..]);
                if matches!(next, Parsed::Record(_) | Parsed::End) {
                    self.advance(stated);
                } else if !self.search()? {
                    self.state = State::Over(Last::Cut);
                }
                Ok(Item::Damaged)
            }
            // Only at the end of the file: elsewhere more is in sight than a record takes.
            Parsed::Short => {
                let rest = self.offset;
                if self.search()? {
                    self.damaged = true;
                    return Ok(Item::Damaged);
                }
                self.offset = rest;
                self.state = State::Over(Last::Cut);
                Ok(Item::Cut)
            }
        }
    }

    /// Goes on byte by byte to the next place where a record or the end fits; false if there is none.
    fn search(&mut self) -> io::Result<bool> {
        loop {
            self.advance(1);
            self.fill()?;
            let rest = &self.window[self.at..];
            let cost = match parse(rest) {
                Parsed::Record(_) | Parsed::End => return Ok(true),
                Parsed::Bad { stated } => 16 + stated,
                Parsed::Short => 16,
            };
            if rest.is_empty() || self.budget < cost {
                return Ok(false);
            }
            self.budget -= cost;
        }
    }

    fn advance(&mut self, bytes: usize) {
        let bytes = bytes.min(self.window.len() - self.at);
        self.at += bytes;
        self.offset += bytes as u64;
    }

    /// Brings enough into the window to judge the next record.
    fn fill(&mut self) -> io::Result<()> {
        if self.eof || self.window.len() - self.at >= SIGHT {
            return Ok(());
        }
        self.window.drain(..self.at);
        self.at = 0;
        let missing = (WINDOW - self.window.len()) as u64;
        let read = self
            .input
            .by_ref()
            .take(missing)
            .read_to_end(&mut self.window)?;
        self.eof = (read as u64) < missing;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: BatchHeader = BatchHeader {
        origin: *b"abcdefgh",
        tag: 7,
    };

    fn batch(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = BatchWriter::new(Vec::new(), &HEADER).unwrap();
        for frame in frames {
            writer.push(frame).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read_all(bytes: &[u8]) -> (Vec<Vec<u8>>, usize, Item) {
        let mut reader = BatchReader::new(bytes);
        let (mut frames, mut damaged) = (Vec::new(), 0);
        loop {
            match reader.read().unwrap() {
                Item::Frame(frame) => frames.push(frame.to_vec()),
                Item::Damaged => damaged += 1,
                last => return (frames, damaged, last),
            }
        }
    }

    fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let frame = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            prop::collection::vec(any::<u8>(), 1300..=MAX_RECORD_FRAME),
        ];
        prop::collection::vec(frame, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What is written is read.
        #[test]
        fn round_trip(frames in frames()) {
            prop_assert_eq!(read_all(&batch(&frames)), (frames, 0, Item::End));
        }

        /// A file cut anywhere gives exactly the records that are whole, and no damage.
        #[test]
        fn cut_gives_whole_records(frames in frames(), cut: usize) {
            let whole = batch(&frames);
            let cut = cut % whole.len();
            let mut end = HEADER_SIZE;
            let want: Vec<_> = frames.into_iter()
                .take_while(|f| { end += f.len() + RECORD_OVERHEAD; end <= cut }).collect();
            prop_assert_eq!(read_all(&whole[..cut]), (want, 0, Item::Cut));
        }

        /// One flipped bit, wherever it is, costs at most the record that it is in.
        #[test]
        fn a_flipped_bit_costs_one_record(frames in frames(), bit: usize) {
            let mut bytes = batch(&frames);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (mut end, mut hit) = (HEADER_SIZE, None);
            for (n, frame) in frames.iter().enumerate() {
                let start = end;
                end += frame.len() + RECORD_OVERHEAD;
                if (start..end).contains(&(bit / 8)) { hit = Some(n); }
            }
            let mut want = frames;
            if let Some(n) = hit { want.remove(n); }
            let (got, damaged, last) = read_all(&bytes);
            prop_assert_eq!(got, want);
            prop_assert!(damaged <= 1);
            prop_assert!(last == Item::Cut || damaged == 1);
        }

        /// Arbitrary bytes never panic and give no frame.
        #[test]
        fn garbage_gives_nothing(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
            prop_assert!(read_all(&bytes).0.is_empty());
        }
    }

    /// The layout in the module's text, on an example.
    #[test]
    fn layout() {
        let bytes = batch(&[vec![0xAA, 0xBB]]);
        let mut want = b"OSTK\x01\0\0\0abcdefgh\0\0\0\0\0\0\0\x07".to_vec();
        want.extend(crc32fast::hash(&want).to_be_bytes());
        let record = [0, 2, 0xAA, 0xBB];
        want.extend(record);
        want.extend(crc32fast::hash(&record).to_be_bytes());
        let end = [0xFF, 0xFF, 0, 0, 0, 1];
        want.extend(end);
        want.extend(crc32fast::hash(&end).to_be_bytes());
        assert_eq!(bytes, want);
        assert!(is_end(&bytes[bytes.len() - END_SIZE..]));
    }

    /// A later version is not read, so that it cannot be misunderstood.
    #[test]
    fn other_versions_are_foreign() {
        let mut bytes = batch(&[vec![1; 30]]);
        bytes[4] = 2;
        let check = frame_check(&[&bytes[..24]]).to_be_bytes();
        bytes[24..28].copy_from_slice(&check);
        assert_eq!(read_all(&bytes), (vec![], 0, Item::Foreign));
    }
}
