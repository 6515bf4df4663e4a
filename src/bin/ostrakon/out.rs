//! Standard output, for people or for programs.

use crate::failure::{Failure, Outcome};
use serde::Serialize;
use std::io::Write;

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    /// Programs read it.
    pub json: bool,
}

impl Out {
    /// Shows a result: one line of JSON, or what `human` makes of it.
    ///
    /// # Errors
    /// If standard output does not take it.
    pub fn show(self, value: &impl Serialize, human: impl FnOnce() -> String) -> Outcome {
        if self.json {
            self.object(value)
        } else {
            self.text(&human())
        }
    }

    /// Writes one line of JSON.
    ///
    /// # Errors
    /// If standard output does not take it.
    pub fn object(self, value: &impl Serialize) -> Outcome {
        let line = serde_json::to_string(value).map_err(|e| Failure::output(&e.into()))?;
        self.text(&line)
    }

    /// Writes text as it is, with a line feed at its end if it has none.
    ///
    /// # Errors
    /// If standard output does not take it.
    pub fn text(self, text: &str) -> Outcome {
        let end = if text.ends_with('\n') || text.is_empty() {
            ""
        } else {
            "\n"
        };
        self.raw(format!("{text}{end}").as_bytes())
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// If standard output does not take them.
    pub fn raw(self, bytes: &[u8]) -> Outcome {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(|e| Failure::output(&e))
    }
}
