//! The bodies of the records between a client and its relay: what reads is written as it was.
//!
//! The records are no public API, so the target takes their source in. Cutting a stream into records has its own
//! test beside them.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use record::{ClientRecord, Record, RelayRecord};

#[allow(dead_code)]
#[path = "../../../transports/src/relay/mailbox.rs"]
mod mailbox;
#[allow(dead_code)]
#[path = "../../../transports/src/relay/record.rs"]
mod record;

fn check<R: Record>(kind: u8, body: &Bytes) {
    let Ok(record) = R::read(kind, body.clone()) else {
        return;
    };
    let mut written = BytesMut::new();
    let fits = record.write(&mut written);
    assert_eq!(fits, body.len() <= usize::from(u16::MAX));
    if fits {
        assert_eq!((written[0], &written[3..]), (kind, &body[..]));
    }
}

fuzz_target!(|data: (u8, Vec<u8>)| {
    let (kind, body) = (data.0, Bytes::from(data.1));
    check::<ClientRecord>(kind, &body);
    check::<RelayRecord>(kind, &body);
});
