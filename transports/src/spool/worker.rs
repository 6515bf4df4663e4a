//! The blocking file work of a spool link, one job at a time.

use super::SpoolSpec;
use super::batch::BatchHeader;
use super::folder::{probe, write_batch};
use super::scan::{Own, Scanner, Step};
use bytes::Bytes;
use std::io;

/// What the task asks for.
#[derive(Debug)]
pub(super) enum Job {
    /// A step through the folder.
    Scan,
    /// Write a batch.
    Write { tag: u64, frames: Vec<Bytes> },
    /// Delete our batches of a tag.
    Purge(u64),
    /// Find out whether this many bytes can be written.
    Probe(u64),
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    Scan(io::Result<Step>),
    Write {
        frames: Vec<Bytes>,
        result: io::Result<()>,
    },
    Purge {
        tag: u64,
        result: io::Result<()>,
    },
    Probe(io::Result<()>),
}

/// Knows the folder; lives on whatever thread does the job.
#[derive(Debug)]
pub(super) struct Worker {
    spec: SpoolSpec,
    scanner: Scanner,
}

impl Worker {
    pub(super) fn new(spec: SpoolSpec) -> Self {
        let scanner = Scanner::live(&spec.dir, spec.origin, spec.receives());
        Self { spec, scanner }
    }

    /// Our own batches in the folder.
    pub(super) fn own(&self) -> &Own {
        self.scanner.own()
    }

    /// Does a job; blocks.
    pub(super) fn run(&mut self, job: Job) -> Done {
        match job {
            Job::Scan => {
                let step = self.scanner.step();
                if step.is_err() {
                    self.scanner.abandon_pass();
                }
                Done::Scan(step)
            }
            Job::Write { tag, frames } => {
                let header = self.header(tag);
                let result = write_batch(&self.spec.dir, &header, &frames)
                    .map(|written| self.scanner.wrote(tag, &written));
                Done::Write { frames, result }
            }
            Job::Purge(tag) => Done::Purge {
                tag,
                result: self.scanner.purge(tag),
            },
            Job::Probe(bytes) => Done::Probe(probe(&self.spec.dir, &self.header(0), bytes)),
        }
    }

    fn header(&self, tag: u64) -> BatchHeader {
        BatchHeader {
            origin: self.spec.origin,
            tag,
        }
    }
}
