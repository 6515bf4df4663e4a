//! What is to come out.

use super::error::ScenarioError;
use super::table::Table;
use super::units;
use crate::model::Nanos;

/// What a run of the scenario has to show. What is `None` is not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expect {
    /// How many of a million messages arrive completely.
    pub delivered_ppm: Option<u32>,
    /// By when, since the beginning; the end of the scenario if not given.
    pub by: Option<Nanos>,
    /// How many of a million messages are confirmed to their senders.
    pub confirmed_ppm: Option<u32>,
    /// The least goodput, in millionths of what the links could have carried.
    pub ratio_ppm: Option<u32>,
    /// The most that links may have been given, in millionths of what the parts have: 1,500,000 is half as much again.
    pub overhead_ppm: Option<u32>,
    /// The most parts that may come out of a node more than once.
    pub max_duplicates: Option<u64>,
    /// Whether in each message all texts come out before any file.
    pub text_before_file: Option<bool>,
    /// Whether recipients may be out of reach.
    pub unreachable: bool,
}

pub(super) fn read(root: &mut Table<'_>) -> Result<Expect, ScenarioError> {
    let Some(mut table) = root.table("expect", "[expect]")? else {
        return Ok(Expect::default());
    };
    let share = |text: &str| match text {
        "all" => Some(1_000_000),
        text => units::share_ppm(text),
    };
    let shares = "\"all\", a number from 0 to 1, or one from 0 to 100 with %";
    let delivered = table.quantity("delivered", share, shares)?;
    let confirmed = table.quantity("confirmed", share, shares)?;
    let times = |text: &str| units::times_ppm(text);
    let overhead = table.quantity(
        "max-overhead",
        times,
        "a number from 1 to 1000, such as 1.5",
    )?;
    let expect = Expect {
        delivered_ppm: delivered.map(|found| found.value),
        by: table.duration("by")?,
        confirmed_ppm: confirmed.map(|found| found.value),
        ratio_ppm: table.share_ppm("ratio")?,
        overhead_ppm: overhead.map(|found| found.value),
        max_duplicates: table.number("max-duplicates", 0..=u64::MAX)?,
        text_before_file: table.truth("text-before-file")?,
        unreachable: table.truth("unreachable")?.unwrap_or(false),
    };
    table.finish()?;
    Ok(expect)
}
