//! The form of a vector file.
//!
//! ```text
//! type: what it is
//! expect: success, or the text of the error
//! note: for people
//! FIELD: VALUE            any number, in the order of the file; a field may repeat
//!
//! the bytes in hexadecimal, in lines of 64 digits
//! ```

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A vector.
#[derive(Clone)]
pub struct Vector {
    /// Its file name, for messages.
    pub name: String,
    headers: Vec<(String, String)>,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// Where vectors are.
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// All vectors, by name.
pub fn all() -> Vec<Vector> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "txt"));
    paths.sort();
    paths.iter().map(|path| Vector::parse(path)).collect()
}

impl Vector {
    /// A new one.
    pub fn new(name: &str, kind: &str, expect: &str, note: &str, body: &[u8]) -> Self {
        let vector = Self {
            name: name.to_owned(),
            headers: Vec::new(),
            body: body.to_vec(),
        };
        vector
            .with("type", kind)
            .with("expect", expect)
            .with("note", note)
    }

    /// Adds a field.
    pub fn with(mut self, field: &str, value: impl ToString) -> Self {
        self.headers.push((field.to_owned(), value.to_string()));
        self
    }

    /// Adds a field of bytes.
    pub fn with_bytes(self, field: &str, bytes: &[u8]) -> Self {
        self.with(field, hex(bytes))
    }

    /// Sets a field that is there already.
    pub fn replace(&mut self, field: &str, value: impl ToString) {
        let slot = self
            .headers
            .iter_mut()
            .find(|(name, _)| name == field)
            .unwrap();
        slot.1 = value.to_string();
    }

    /// Sets what is expected.
    pub fn expecting(mut self, expect: &str) -> Self {
        self.replace("expect", expect);
        self
    }

    fn parse(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (head, body) = text
            .split_once("\n\n")
            .unwrap_or_else(|| panic!("{name}: no empty line"));
        let header = |line: &str| {
            let (field, value) = line
                .split_once(": ")
                .unwrap_or_else(|| panic!("{name}: {line}"));
            (field.to_owned(), value.to_owned())
        };
        let headers = head.lines().map(header).collect();
        let digits: String = body.split_whitespace().collect();
        Self {
            headers,
            body: unhex(&digits),
            name,
        }
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.headers
            .iter()
            .for_each(|(field, value)| writeln!(out, "{field}: {value}").unwrap());
        out.push('\n');
        self.body
            .chunks(32)
            .for_each(|line| writeln!(out, "{}", hex(line)).unwrap());
        out
    }

    /// All values of a field.
    pub fn values(&self, field: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(name, _)| name == field)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The value of a field, if there is one.
    pub fn find(&self, field: &str) -> Option<&str> {
        self.values(field).first().copied()
    }

    /// The value of a field.
    pub fn get(&self, field: &str) -> &str {
        self.find(field)
            .unwrap_or_else(|| panic!("{}: no {field}", self.name))
    }

    /// A field that holds a number.
    pub fn number<T: std::str::FromStr>(&self, field: &str) -> T {
        self.get(field)
            .parse()
            .unwrap_or_else(|_| panic!("{}: {field} is no number", self.name))
    }

    /// A field that holds bytes.
    pub fn bytes(&self, field: &str) -> Vec<u8> {
        unhex(self.get(field))
    }

    /// A field that holds a fixed number of bytes.
    pub fn array<const N: usize>(&self, field: &str) -> [u8; N] {
        self.bytes(field)
            .try_into()
            .unwrap_or_else(|_| panic!("{}: {field} has not {N} bytes", self.name))
    }

    /// Whether the bytes are to be refused; checks that they are, and with which words.
    pub fn refused<T, E: ToString>(&self, result: Result<T, E>) -> bool {
        let expect = self.get("expect");
        match result {
            Ok(_) if expect == "success" => return false,
            Ok(_) => panic!("{}: taken, although {expect} was expected", self.name),
            Err(why) => assert_eq!(why.to_string(), expect, "{}", self.name),
        }
        true
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

/// Hexadecimal to bytes.
pub fn unhex(text: &str) -> Vec<u8> {
    assert!(
        text.is_ascii() && text.len().is_multiple_of(2),
        "not hexadecimal: {text}"
    );
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}
