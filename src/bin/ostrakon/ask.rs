//! Asks the node, or the home itself where no node runs.

use crate::failure::{Failure, Kind, Outcome};
use crate::unlock;
use ostrakon::node::api::{ErrorKind, Request, Response};
use ostrakon::node::{Client, HomeError, NodeError};
use std::path::{Path, PathBuf};

/// Finds the home: the option, else the environment, else `folder` in the place that the XDG base directory specification
/// gives.
///
/// # Errors
/// If nothing of it is set.
pub fn home(option: Option<PathBuf>, folder: &str) -> Outcome<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let chosen = option
        .or_else(|| set("OSTRAKON_HOME").map(PathBuf::from))
        // A relative path there is to be ignored, says the specification.
        .or_else(|| {
            set("XDG_DATA_HOME")
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
                .map(|p| p.join(folder))
        })
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/share").join(folder)));
    let Some(home) = chosen else {
        let what = "there is no place for the home: neither OSTRAKON_HOME nor HOME is set";
        return Err(Failure::api(
            ErrorKind::Home,
            what,
            "name one with --home DIR",
        ));
    };
    absolute(&home)
}

/// The path seen from the root, since the node may run elsewhere.
///
/// # Errors
/// If the working directory is gone.
pub fn absolute(path: &Path) -> Outcome<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        let what = format!("cannot tell where {} is: {error}", path.display());
        Failure::api(ErrorKind::Usage, what, "give a path that starts with /")
    })
}

/// Puts one question.
///
/// # Errors
/// What the node answered instead, or why it did not.
pub async fn ask(home: &Path, request: Request) -> Outcome<Response> {
    let mut client = client(home).await?;
    let answer = client.ask(request).await;
    client.close().await;
    match answer? {
        Response::Error { kind, text } => Err(Failure {
            kind: Kind::Api(kind),
            text,
            message: None,
        }),
        answer => Ok(answer),
    }
}

/// Who answers. Only a home without a node that runs has to be unlocked.
async fn client(dir: &Path) -> Outcome<Client> {
    match Client::of(unlock::known(dir)?).await {
        Err(NodeError::Home(HomeError::Locked(_))) => {
            Ok(Client::of(unlock::unlocked(dir).await?).await?)
        }
        client => Ok(client?),
    }
}

/// The node answered something else than what was asked for.
pub fn unexpected() -> Failure {
    let what = "the node gave an answer that does not fit the question";
    Failure::api(
        ErrorKind::Node,
        what,
        "run the same version of ostrakon on both sides: restart the node",
    )
}
