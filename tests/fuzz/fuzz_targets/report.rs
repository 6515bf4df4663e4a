//! Reports: what reads can be written, and then reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ostrakon::wire::report::{Header, Report, Writer};

fuzz_target!(|bytes: &[u8]| {
    let full = |part: u8| (part % 5 != 4).then(|| 0xffu8 >> (part % 8));
    let peeked = Header::peek(bytes);
    let Ok(report) = Report::decode(bytes, full) else { return };
    assert_eq!(peeked, Ok(report.header));
    let mut writer = Writer::new(&report.header, usize::MAX >> 1);
    for (part, state) in &report.parts {
        writer.part(*part, state, full(*part).unwrap_or_default());
    }
    let written = writer.finish();
    assert_eq!(Report::decode(&written, full), Ok(report));
});
