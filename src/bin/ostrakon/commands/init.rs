//! `init`: new keys in a new home.

use crate::failure::Outcome;
use crate::out::Out;
use crate::plain::one_line;
use ostrakon::node::Home;
use std::path::Path;

/// Makes them. An existing home is never touched.
///
/// # Errors
/// If there is something already, or the directory cannot be written.
pub fn run(out: Out, dir: &Path, name: &str) -> Outcome {
    let home = Home::create(dir, name)?;
    let person = home.identity()?.person().to_string();
    let object = serde_json::json!({"home": home.dir().to_string_lossy(), "name": home.name(), "person": person});
    out.show(&object, || {
        format!(
            "{} has keys now, in {}.\nGive your card to others: ostrakon card --out FILE",
            one_line(name),
            dir.display()
        )
    })
}
