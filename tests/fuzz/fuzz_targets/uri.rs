//! Identifiers as people paste them: what is taken prints as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ostrakon::engine::id::{
    EndpointId, FragmentId, MessageId, PartId, PersonId, from_base32, to_base32,
};
use std::fmt::{Debug, Display};
use std::str::FromStr;

fn same<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    let Ok(id) = text.parse::<T>() else { return };
    let shown = id.to_string();
    assert!(shown.eq_ignore_ascii_case(text), "{text} became {shown}");
    assert_eq!(shown.parse::<T>().ok(), Some(id));
}

fuzz_target!(|text: &str| {
    same::<PersonId>(text);
    same::<EndpointId>(text);
    same::<MessageId>(text);
    same::<PartId>(text);
    same::<FragmentId>(text);
    if let Ok(bytes) = from_base32(text) {
        assert!(
            to_base32(&bytes).eq_ignore_ascii_case(text),
            "two texts for the same bytes"
        );
    }
});
