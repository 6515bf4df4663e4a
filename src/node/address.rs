//! Link addresses as users write them.
//!
//! ```text
//! quic://host:port
//! relay://host:port?key=BASE32
//! serial:/dev/ttyX?baud=9600&mtu=222
//! spool:/path/to/folder
//! ```

use super::error::NodeError;
use crate::engine::id::from_base32;
use crate::wire::{MIN_MTU, envelope};
use ostrakon_transports::serial;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// The speed of a serial line unless given, in baud.
const DEFAULT_BAUD: u32 = 9600;

/// Speeds of a serial line, in baud.
const BAUDS: RangeInclusive<u32> = 50..=12_000_000;
/// Physical frames of a serial line, in bytes.
const PHYSICAL: RangeInclusive<usize> = serial::MIN_PHYSICAL_MTU..=serial::MAX_MTU;

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// Straight to somebody's node.
    Quic {
        /// `host:port`.
        at: String,
    },
    /// To a mailbox.
    Relay {
        /// `host:port`.
        at: String,
        /// The key that the relay has to prove.
        key: [u8; 32],
    },
    /// A serial line.
    Serial {
        /// The device.
        path: PathBuf,
        /// Its speed.
        baud: u32,
        /// Its physical frame, if given.
        mtu: Option<usize>,
    },
    /// A folder.
    Spool {
        /// Where.
        dir: PathBuf,
    },
}

impl Address {
    /// Reads an address.
    pub(super) fn parse(uri: &str) -> Result<Self, NodeError> {
        let (scheme, rest) = uri
            .split_once(':')
            .ok_or_else(|| bad(uri, "it has no scheme"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let options = Options::parse(uri, query)?;
        match scheme.to_ascii_lowercase().as_str() {
            "quic" => {
                options.only(uri, &[])?;
                Ok(Self::Quic {
                    at: host_port(uri, place)?,
                })
            }
            "relay" => {
                options.only(uri, &["key"])?;
                let key = options
                    .get("key")
                    .ok_or_else(|| bad(uri, "the key of the relay is missing"))?;
                let key = from_base32(key).ok().and_then(|k| k.try_into().ok());
                Ok(Self::Relay {
                    at: host_port(uri, place)?,
                    key: key.ok_or_else(|| bad(uri, "a key has 52 characters of base32"))?,
                })
            }
            "serial" => {
                options.only(uri, &["baud", "mtu"])?;
                Ok(Self::Serial {
                    path: absolute(uri, place)?,
                    baud: options.number(uri, "baud", &BAUDS)?.unwrap_or(DEFAULT_BAUD),
                    mtu: options.number(uri, "mtu", &PHYSICAL)?,
                })
            }
            "spool" => {
                options.only(uri, &[])?;
                let dir = absolute(uri, place)?;
                if dir.parent().is_none() {
                    return Err(bad(uri, "the root of all files is no folder for batches"));
                }
                Ok(Self::Spool { dir })
            }
            _ => Err(bad(uri, "the scheme is unknown")),
        }
    }

    /// The frames that a link of this kind can be told to keep to, in bytes.
    pub(super) fn frames(&self) -> RangeInclusive<usize> {
        match self {
            Self::Quic { .. } => MIN_MTU..=serial::MAX_MTU,
            Self::Relay { .. } | Self::Spool { .. } => MIN_MTU + envelope::LEN..=serial::MAX_MTU,
            Self::Serial { .. } => PHYSICAL,
        }
    }

    /// Whether a connection there finds out how much it may have under way.
    pub(super) fn paces_itself(&self) -> bool {
        matches!(self, Self::Quic { .. } | Self::Relay { .. })
    }

    /// The kind of link, as users name it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Quic { .. } => "quic",
            Self::Relay { .. } => "relay",
            Self::Serial { .. } => "serial",
            Self::Spool { .. } => "spool",
        }
    }
}

fn bad(uri: &str, why: &str) -> NodeError {
    let shown: String = uri.chars().filter(|c| !c.is_control()).take(120).collect();
    NodeError::Usage(format!(
        "`{shown}` is no link address: {why}; write quic://HOST:PORT, relay://HOST:PORT?key=KEY, \
         serial:/dev/NAME?baud=9600 or spool:/FOLDER"
    ))
}

fn host_port(uri: &str, place: &str) -> Result<String, NodeError> {
    let at = place
        .strip_prefix("//")
        .ok_or_else(|| bad(uri, "`//` is missing before the host"))?
        .trim_end_matches('/');
    let (host, port) = at
        .rsplit_once(':')
        .ok_or_else(|| bad(uri, "the port is missing"))?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let clean = |c: char| !(c.is_control() || c.is_whitespace() || "/@#".contains(c));
    if host.is_empty() || !host.chars().all(clean) || (host.contains(':') && !bracketed) {
        return Err(bad(uri, "the host is not usable"));
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(format!("{host}:{port}")),
        _ => Err(bad(uri, "the port is no number from 1 to 65535")),
    }
}

fn absolute(uri: &str, place: &str) -> Result<PathBuf, NodeError> {
    let path = match place.strip_prefix("//") {
        // `spool:///path`, with an empty host.
        Some(rest) if rest.starts_with('/') => rest,
        _ => place,
    };
    if !path.starts_with('/') || path.contains('\0') {
        return Err(bad(uri, "the path has to start with /"));
    }
    Ok(PathBuf::from(path))
}

/// What stands behind the question mark.
struct Options<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Options<'a> {
    fn parse(uri: &str, query: &'a str) -> Result<Self, NodeError> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| bad(uri, "an option has no value"))?;
            if pairs.iter().any(|(n, _)| *n == name) {
                return Err(bad(uri, "an option is given twice"));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(n, _)| *n == name)?;
        Some(found.1)
    }

    fn number<T>(
        &self,
        uri: &str,
        name: &str,
        range: &RangeInclusive<T>,
    ) -> Result<Option<T>, NodeError>
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let (least, most) = (range.start(), range.end());
                let why = format!("{name} is no number from {least} to {most}");
                Err(bad(uri, &why))
            }
        }
    }

    fn only(&self, uri: &str, known: &[&str]) -> Result<(), NodeError> {
        match self.0.iter().all(|(n, _)| known.contains(n)) {
            true => Ok(()),
            false => Err(bad(uri, "an option is unknown")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_reads_as_documented() {
        let key = crate::engine::id::to_base32(&[9; 32]);
        let read = |uri: &str| Address::parse(uri).unwrap();
        let at = "[2001:db8::1]:7411".to_owned();
        assert_eq!(read("quic://[2001:db8::1]:7411"), Address::Quic { at });
        let at = "relay.example:7".to_owned();
        let relay = Address::Relay { at, key: [9; 32] };
        assert_eq!(read(&format!("relay://relay.example:7?key={key}")), relay);
        let serial = Address::Serial {
            path: "/dev/ttyUSB0".into(),
            baud: 1200,
            mtu: Some(128),
        };
        assert_eq!(read("serial:/dev/ttyUSB0?baud=1200&mtu=128"), serial);
        let dir = PathBuf::from("/media/stick");
        assert_eq!(read("spool:/media/stick"), Address::Spool { dir });
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_forms_that_are() {
        for uri in [
            "",
            "quic",
            "quic:host:1",
            "quic://host",
            "quic://host:0",
            "quic://:7",
            "quic://2001:db8::1:7",
            "quic://h:7?key=a",
            "relay://h:7",
            "relay://h:7?key=abc",
            "serial:dev",
            "serial:/dev/x?baud=fast",
            "serial:/dev/x?baud=1&baud=2",
            "serial:/dev/x?baud=0",
            "serial:/dev/x?mtu=1",
            "serial:/dev/x?mtu=999999",
            "spool:/",
            "spool://",
            "spool:///",
            "spool:stick",
            "mail:a@b",
        ] {
            let refused = Address::parse(uri).unwrap_err();
            assert!(
                refused.to_string().contains("relay://HOST:PORT?key=KEY"),
                "{uri}"
            );
        }
    }
}
