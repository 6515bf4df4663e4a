//! The engine of the field in simulated networks: the links, the clock and the faults are `ostrakon-netsim`'s, the nodes
//! are [`crate::engine`] as it is, with a disk that can lose power and an application that keeps a log.
//!
//! Nothing of the sealing, coding or recovery is left out or sped up. What is modelled is the time that a disk and a
//! worker take. Checkers compare the logs of all nodes after the run: nothing that was confirmed is lost, everything
//! comes out once and as it was sent, urgent parts first, no nonce meets two contents. Others look while it runs: at clocks,
//! at bounds, and after a restart at what others were told.

mod bound;
mod build;
mod check;
mod content;
mod disk;
mod expect;
mod flows;
mod gauge;
mod line;
mod log;
mod machine;
mod node;
mod options;
mod outcome;
mod paced;
mod people;
mod plans;
mod promise;
mod quic;
mod quic_links;
mod relay;
pub mod report;
mod run;
mod series;
mod setup;
mod shares;
pub mod shipped;
mod tally;
#[cfg(test)]
mod tests;
mod work;

pub use build::can_be;
pub use flows::runs_in_model;
pub use outcome::{
    Beside, ContactTime, Contacts, LinkOutcome, MessageOutcome, Outcome, PartOutcome,
};
pub use run::{record, run};
pub use series::{Carried, Sample, Series, Trouble};
pub use shares::{FlowShare, Share};
