//! Names of networks and hosts: short, and safe in a path, in a namespace's name and on a terminal.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes.
const LONGEST: usize = 32;

/// The name of a network: 1 to 32 of `a`-`z`, `0`-`9` and `-`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetworkName(String);

/// The name of a host in a network: 1 to 32 of `a`-`z`, `0`-`9` and `-`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostName(String);

/// A name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not a name for a network.
    #[error(
        "{0:?} cannot name a network: use 1 to {LONGEST} of a-z, 0-9 and '-', a letter or digit first"
    )]
    Network(String),
    /// Not a name for a host.
    #[error(
        "{0:?} cannot name a host: use 1 to {LONGEST} of a-z, 0-9 and '-', a letter or digit first"
    )]
    Host(String),
}

impl NetworkName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the network namespace of `host`.
    #[must_use]
    pub fn namespace(&self, host: &HostName) -> String {
        format!("{}-{}", self.0, host.0)
    }
}

impl HostName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NetworkName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_plain(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Network(text.to_owned()))
        }
    }
}

impl FromStr for HostName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_plain(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Host(text.to_owned()))
        }
    }
}

fn is_plain(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-')
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards paths and namespaces: no name leaves its folder, looks like an option, or means another network's host.
    #[test]
    fn names_are_safe_in_paths_and_arguments() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "-a",
            "A",
            "a b",
            "ä",
            "a\n",
            &"x".repeat(33),
        ] {
            assert!(bad.parse::<NetworkName>().is_err(), "{bad:?}");
        }
        for bad in ["", "-b", "../x", "B", &"x".repeat(33)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?}");
        }
        let network: NetworkName = "geo-2".parse().unwrap();
        assert_eq!(network.namespace(&"b".parse().unwrap()), "geo-2-b");
    }
}
