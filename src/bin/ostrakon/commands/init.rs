//! `init`: new keys in a new home.

use crate::failure::Outcome;
use crate::out::Out;
use crate::plain::one_line;
use crate::{terminal, unlock};
use ostrakon::node::{Home, NodeError, RootFile};
use std::path::Path;

/// Makes them, of a new person or of the owner of a root key. An existing home is never touched.
///
/// # Errors
/// If there is something already, or the directory cannot be written.
pub async fn run(
    out: Out,
    dir: &Path,
    name: &str,
    root: Option<RootFile>,
    without: bool,
) -> Outcome {
    let passphrase = match unlock::from_file()? {
        Some(_) if without => None,
        None if !without && terminal::is_there() => {
            let question = "A passphrase for your keys (empty for none; then whoever gets at this disk is you)";
            unlock::chosen(question).await?
        }
        given => given,
    };
    let (place, called) = (dir.to_owned(), name.to_owned());
    let of_root = root.is_some();
    let make = move || match root {
        Some(mut root) => Home::create_of_root(&place, &called, &mut root, passphrase.as_ref()),
        None => Ok(Home::create_under(&place, &called, passphrase.as_ref())?),
    };
    let home: Result<Home, NodeError> = unlock::blocking(make).await?;
    let home = home?;
    let person = home.identity()?.person().to_string();
    let kept = home.has_passphrase();
    let object = serde_json::json!({
        "home": home.dir().to_string_lossy(), "name": home.name(), "person": person, "passphrase": kept,
    });
    out.show(&object, || {
        let said = match kept {
            true => "They have a passphrase, and nobody can help you if you forget it.",
            false => {
                "They have no passphrase: who gets at this disk can be you. Set one: ostrakon passphrase set"
            }
        };
        let next = match of_root {
            true => "The root file has counted on: copy it again. Contacts need your card: ostrakon card --out FILE",
            false => "Give your card to others: ostrakon card --out FILE",
        };
        format!(
            "{} has keys now, in {}.\n{said}\n{next}",
            one_line(name),
            dir.display()
        )
    })
}
