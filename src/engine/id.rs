//! Identifiers and their URIs.
//!
//! | Thing | URI |
//! | --- | --- |
//! | person | `ostrakon:person:KEY` |
//! | endpoint | `ostrakon:endpoint:KEY` |
//! | message | `ostrakon:message:ID` |
//! | part | `ostrakon:message:ID/part/N` |
//! | fragment | `ostrakon:message:ID/part/N/block/B/symbol/S` and, for one slice, `/slice/J` |
//!
//! `KEY` and `ID` are 32 bytes in RFC 4648 base32, lower case, without padding: 52 characters. Readers accept
//! upper case too, so that a QR code may use its alphanumeric mode. Numbers are decimal without leading zeros.
//! By RFC 3986 these are absolute URIs without authority, query or fragment; their path is rootless. They
//! name, they do not locate: no transport is implied.
//!
//! RFC 2392 names mail: [`MessageId::mid`] gives the `mid:` URL under which a message of ours is known when it
//! is put into mail, `mid:ID@ostrakon.invalid`, and [`PartId::cid`] the `cid:` of a part,
//! `cid:N.ID@ostrakon.invalid`. The domain is reserved by RFC 2606, so that no such id collides with a real one.

use data_encoding::{BASE32_NOPAD, Specification};
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

static BASE32: LazyLock<data_encoding::Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.translate.from.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    spec.translate.to.push_str("abcdefghijklmnopqrstuvwxyz");
    spec.encoding().unwrap_or(BASE32_NOPAD)
});

/// Lower-case base32 without padding.
pub fn to_base32(bytes: &[u8]) -> String {
    BASE32.encode(bytes)
}

/// Reads base32 in either case.
///
/// # Errors
/// [`UriError::Base32`] if it is not base32.
pub fn from_base32(text: &str) -> Result<Vec<u8>, UriError> {
    BASE32.decode(text.as_bytes()).map_err(|_| UriError::Base32)
}

/// Why a URI could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Another scheme or another kind of thing.
    #[error("not an ostrakon URI of this kind; it starts like ostrakon:message:…")]
    Form,
    /// Not base32.
    #[error("not base32: letters a to z and digits 2 to 7, please")]
    Base32,
    /// Not 32 bytes.
    #[error("an id has 52 characters")]
    Length,
    /// A number out of range or with leading zeros.
    #[error("a number in the URI is out of range")]
    Number,
}

macro_rules! id32 {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("ostrakon:", $kind, ":{}"), to_base32(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($kind, ":{}"), self.short())
            }
        }

        impl $name {
            /// The first characters, for people.
            pub fn short(&self) -> String {
                to_base32(&self.0).chars().take(12).collect()
            }
        }

        impl FromStr for $name {
            type Err = UriError;
            fn from_str(text: &str) -> Result<Self, UriError> {
                let body = strip_prefix(text, concat!("ostrakon:", $kind, ":"))?;
                Ok(Self(key32(body)?))
            }
        }
    };
}

id32!(
    /// A message: the hash of its manifest and of who sends it to whom.
    MessageId,
    "message"
);
id32!(
    /// A person: the public root key.
    PersonId,
    "person"
);
id32!(
    /// An endpoint, one device of a person: its public key.
    EndpointId,
    "endpoint"
);

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Result<&'a str, UriError> {
    let head = text.get(..prefix.len()).ok_or(UriError::Form)?;
    if !head.eq_ignore_ascii_case(prefix) {
        return Err(UriError::Form);
    }
    text.get(prefix.len()..).ok_or(UriError::Form)
}

fn key32(text: &str) -> Result<[u8; 32], UriError> {
    from_base32(text)?.try_into().map_err(|_| UriError::Length)
}

fn number<T: FromStr>(text: &str) -> Result<T, UriError> {
    if text.is_empty()
        || (text.len() > 1 && text.starts_with('0'))
        || !text.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(UriError::Number);
    }
    text.parse().map_err(|_| UriError::Number)
}

impl MessageId {
    /// The RFC 2392 URL of this message in mail.
    pub fn mid(&self) -> String {
        format!("mid:{}@ostrakon.invalid", to_base32(&self.0))
    }
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId {
    /// The message.
    pub message: MessageId,
    /// Its number, 1 to 255.
    pub part: u8,
}

impl PartId {
    /// The RFC 2392 URL of this part in mail.
    pub fn cid(&self) -> String {
        format!(
            "cid:{}.{}@ostrakon.invalid",
            self.part,
            to_base32(&self.message.0)
        )
    }
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/part/{}", self.message, self.part)
    }
}

impl FromStr for PartId {
    type Err = UriError;
    fn from_str(text: &str) -> Result<Self, UriError> {
        let (message, part) = text.split_once("/part/").ok_or(UriError::Form)?;
        let part = number::<u8>(part)?;
        if part == 0 {
            return Err(UriError::Number);
        }
        Ok(Self {
            message: message.parse()?,
            part,
        })
    }
}

/// A fragment: a symbol of a part, or one slice of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentId {
    /// The part.
    pub part: PartId,
    /// The source block.
    pub block: u16,
    /// The encoding symbol id (ESI) within the block.
    pub symbol: u16,
    /// The slice, 0 to 7, or the whole symbol.
    pub slice: Option<u8>,
}

impl fmt::Display for FragmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/block/{}/symbol/{}",
            self.part, self.block, self.symbol
        )?;
        self.slice
            .map_or(Ok(()), |slice| write!(f, "/slice/{slice}"))
    }
}

impl FromStr for FragmentId {
    type Err = UriError;
    fn from_str(text: &str) -> Result<Self, UriError> {
        let (part, rest) = text.split_once("/block/").ok_or(UriError::Form)?;
        let (block, rest) = rest.split_once("/symbol/").ok_or(UriError::Form)?;
        let (symbol, slice) = match rest.split_once("/slice/") {
            Some((symbol, slice)) => (symbol, Some(number::<u8>(slice)?)),
            None => (rest, None),
        };
        if slice.is_some_and(|j| j > 7) {
            return Err(UriError::Number);
        }
        Ok(Self {
            part: part.parse()?,
            block: number(block)?,
            symbol: number(symbol)?,
            slice,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_identifier_reads_back_as_itself_in_either_case(
            id: [u8; 32], part in 1u8.., block: u16, symbol: u16, slice in proptest::option::of(0u8..8),
        ) {
            let message = MessageId(id);
            prop_assert_eq!(message.to_string().parse(), Ok(message));
            prop_assert_eq!(message.to_string().to_uppercase().parse(), Ok(message));
            prop_assert_eq!(PersonId(id).to_string().parse(), Ok(PersonId(id)));
            prop_assert_eq!(EndpointId(id).to_string().parse(), Ok(EndpointId(id)));
            let part = PartId { message, part };
            prop_assert_eq!(part.to_string().parse(), Ok(part));
            let fragment = FragmentId { part, block, symbol, slice };
            prop_assert_eq!(fragment.to_string().parse(), Ok(fragment));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text: String) {
            let _ = text.parse::<MessageId>();
            let _ = text.parse::<FragmentId>();
        }
    }

    #[test]
    fn what_is_no_identifier_is_refused_by_name() {
        let id = MessageId([7; 32]).to_string();
        assert_eq!("mailto:a@b".parse::<MessageId>(), Err(UriError::Form));
        assert_eq!(
            id.replace("message", "person").parse::<MessageId>(),
            Err(UriError::Form)
        );
        assert!(format!("{id}a").parse::<MessageId>().is_err());
        assert_eq!(
            format!("{id}/part/0").parse::<PartId>(),
            Err(UriError::Number)
        );
        assert_eq!(
            format!("{id}/part/01").parse::<PartId>(),
            Err(UriError::Number)
        );
        assert_eq!(
            format!("{id}/part/1/block/1/symbol/1/slice/8").parse::<FragmentId>(),
            Err(UriError::Number)
        );
    }
}
