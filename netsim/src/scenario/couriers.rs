//! How often couriers halt.

use super::MAX_STOPS;
use super::error::{Problem, ScenarioError};
use super::links::Shape;
use super::read::Scenario;

/// Refuses timetables that come again so often that nobody could work out their rides.
pub(super) fn check_stops(scenario: &Scenario) -> Result<(), ScenarioError> {
    let mut count = 0u64;
    for link in &scenario.links {
        let Shape::Courier { halts, every } = &link.shape else {
            continue;
        };
        let rounds = every.map_or(1, |every| scenario.duration / every.max(1) + 1);
        count = count.saturating_add(rounds.saturating_mul(halts.len() as u64));
        if count > MAX_STOPS {
            let (what, limit) = ("stops of couriers, each round counted,", MAX_STOPS);
            let problem = Problem::TooMany { what, count, limit };
            return Err(scenario.error(Some(link.line), problem));
        }
    }
    Ok(())
}
