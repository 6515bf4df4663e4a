//! Paths in JSON. Nearly all are texts; one whose bytes are no UTF-8, which is as good a name on Unix, is an array of
//! its bytes.

use serde::de::Deserializer;
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form<T, B> {
    Text(T),
    Bytes(B),
}

impl<'a> From<&'a Path> for Form<&'a str, &'a [u8]> {
    fn from(path: &'a Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text),
            None => Self::Bytes(path.as_os_str().as_bytes()),
        }
    }
}

impl From<Form<String, Vec<u8>>> for PathBuf {
    fn from(form: Form<String, Vec<u8>>) -> Self {
        match form {
            Form::Text(text) => text.into(),
            Form::Bytes(bytes) => OsString::from_vec(bytes).into(),
        }
    }
}

/// For `serde(with)` on one path.
pub(super) mod one {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        path: &Path,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        Form::from(path).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<PathBuf, D::Error> {
        Form::deserialize(from).map(PathBuf::from)
    }
}

/// For `serde(with)` on several.
pub(super) mod many {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        paths: &[PathBuf],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let mut seq = to.serialize_seq(Some(paths.len()))?;
        for path in paths {
            seq.serialize_element(&Form::from(path.as_path()))?;
        }
        seq.end()
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<PathBuf>, D::Error> {
        let forms = Vec::<Form<String, Vec<u8>>>::deserialize(from)?;
        Ok(forms.into_iter().map(PathBuf::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::node::api::{Request, SendRequest};
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    /// Every name that a file can have reaches the node as it is; texts stay texts.
    #[test]
    fn every_path_reads_back_as_itself() {
        let odd = || OsString::from_vec(b"/tmp/\xff\"map".to_vec()).into();
        let send = Request::Send(SendRequest {
            files: vec!["/tmp/map.png".into(), odd()],
            ..SendRequest::default()
        });
        let save = Request::Save {
            message: "abcd".into(),
            dir: odd(),
        };
        for request in [send, save] {
            let line = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        }
        let line = serde_json::to_string(&Request::SpoolExport { dir: "/a".into() });
        assert_eq!(line.unwrap(), r#"{"ask":"spool_export","dir":"/a"}"#);
    }
}
