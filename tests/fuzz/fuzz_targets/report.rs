//! Reports: what reads can be written, and then says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ostrakon::wire::report::{Header, Held, Part, Report, Writer};

/// A bitmap may end in symbols of which nothing is here; the writer leaves them out.
fn trim(report: &mut Report) {
    for (_, part) in &mut report.parts {
        let Part::Blocks { listed, .. } = part else {
            continue;
        };
        for block in listed {
            let Held::Some(masks) = &mut block.held else {
                continue;
            };
            let len = masks
                .iter()
                .rposition(|&mask| mask != 0)
                .map_or(0, |last| last + 1);
            masks.truncate(len);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let full = |part: u8| (part % 5 != 4).then(|| 0xffu8 >> (part % 8));
    let peeked = Header::peek(bytes);
    let Ok(mut report) = Report::decode(bytes, full) else {
        return;
    };
    assert_eq!(peeked, Ok(report.header));
    let mut writer = Writer::new(&report.header, usize::MAX >> 1);
    for (part, state) in &report.parts {
        writer.part(*part, state, full(*part).unwrap_or_default());
    }
    let written = writer.finish();
    trim(&mut report);
    let again = Report::decode(&written, full).map(|mut report| {
        trim(&mut report);
        report
    });
    assert_eq!(again, Ok(report));
});
