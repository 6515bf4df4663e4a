//! Live progress: bars on a terminal, now and then a plain line elsewhere.

use crate::failure::{Failure, Outcome};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a plain line is printed at most.
const PLAIN_EVERY: Duration = Duration::from_millis(1000);

/// One line of the display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is about; also tells rows apart.
    pub label: String,
    /// How much there is.
    pub at: u64,
    /// How much it may become; 0 if that is unknown.
    pub of: u64,
    /// What else there is to say beside a bar.
    pub note: String,
    /// The same in few words, for a plain line.
    pub brief: String,
}

/// Which stream it is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error, where standard output belongs to a program.
    Err,
}

/// The display. Bars vanish when it is dropped; what was said stays.
#[derive(Debug)]
pub struct Screen {
    stream: Stream,
    since: Instant,
    bars: Option<MultiProgress>,
    rows: BTreeMap<String, ProgressBar>,
    said_at: Option<Instant>,
    said: String,
}

impl Screen {
    /// An empty display whose clock starts now.
    pub fn new(stream: Stream) -> Self {
        let (terminal, target) = match stream {
            Stream::Out => (
                std::io::stdout().is_terminal(),
                ProgressDrawTarget::stdout(),
            ),
            Stream::Err => (
                std::io::stderr().is_terminal(),
                ProgressDrawTarget::stderr(),
            ),
        };
        Self {
            stream,
            since: Instant::now(),
            bars: terminal.then(|| MultiProgress::with_draw_target(target)),
            rows: BTreeMap::new(),
            said_at: None,
            said: String::new(),
        }
    }

    /// Starts the clock that plain lines show anew.
    pub fn restart_clock(&mut self) {
        self.since = Instant::now();
    }

    /// Prints lines that stay.
    ///
    /// # Errors
    /// If the stream does not take them.
    pub fn say(&self, text: &str) -> Outcome {
        match &self.bars {
            Some(bars) => bars.println(text),
            None => self.print(text),
        }
        .map_err(|e| Failure::output(&e))
    }

    /// Shows how far things are now.
    ///
    /// # Errors
    /// If the stream does not take it.
    pub fn show(&mut self, rows: &[Row]) -> Outcome {
        if let Some(bars) = &self.bars {
            for row in rows {
                let bar = self.rows.entry(row.label.clone()).or_insert_with(|| {
                    bars.add(
                        ProgressBar::new(row.of)
                            .with_prefix(row.label.clone())
                            .with_style(style()),
                    )
                });
                bar.set_length(row.of.max(row.at));
                bar.set_position(row.at);
                bar.set_message(row.note.clone());
            }
            return Ok(());
        }
        self.show_plain(rows)
    }

    fn show_plain(&mut self, rows: &[Row]) -> Outcome {
        if self.said_at.is_some_and(|at| at.elapsed() < PLAIN_EVERY) {
            return Ok(());
        }
        let cells: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {}", row.label, row.brief))
            .collect();
        let text = cells.join("  ");
        if text == self.said {
            return Ok(());
        }
        let line = format!("{:>6.1} s  {text}", self.since.elapsed().as_secs_f64());
        self.print(&line).map_err(|e| Failure::output(&e))?;
        self.said_at = Some(Instant::now());
        self.said = text;
        Ok(())
    }

    /// Leaves the bars as they are now on the screen and forgets them.
    pub fn settle(&mut self) {
        for bar in std::mem::take(&mut self.rows).into_values() {
            bar.abandon();
        }
    }

    fn print(&self, text: &str) -> std::io::Result<()> {
        match self.stream {
            Stream::Out => {
                let mut out = std::io::stdout().lock();
                writeln!(out, "{text}").and_then(|()| out.flush())
            }
            Stream::Err => writeln!(std::io::stderr().lock(), "{text}"),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars
            && !self.rows.is_empty()
        {
            // Only the terminal itself could fail here, and there is nothing left to tell it.
            let _cleared = bars.clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("  {prefix:18!} {bar:28.cyan/dim} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}
