//! Whom a link joins: two nodes, the stations of a channel, the halts of a courier, or a pattern of many pairs.

use super::MAX_LINKS;
use super::error::ScenarioError;
use super::links::{Halt, Shape};
use super::names::Names;
use super::nodes::check_count;
use super::table::Table;

/// What is said of ends that are not two.
const BETWEEN: &str = "`between` names two different nodes: give two";

/// The nodes on a link, and how they hear of each other.
pub(super) type Place = (Vec<usize>, Shape);

/// Reads which nodes are joined, and how: one entry may make many links.
pub(super) fn read(table: &mut Table<'_>, nodes: &Names<'_>) -> Result<Vec<Place>, ScenarioError> {
    let mut given = |key| -> Result<Option<Vec<usize>>, ScenarioError> {
        let Some(texts) = table.texts(key)? else {
            return Ok(None);
        };
        // What is named twice would be one end.
        if key == "between" && texts.len() > 2 {
            return Err(table.together(BETWEEN));
        }
        nodes.select(&texts).map(Some)
    };
    let (between, stations, among) = (given("between")?, given("stations")?, given("among")?);
    let halts = read_halts(table, nodes)?;
    let every = table.duration("every")?;
    let patterns = [
        ("neighbours", Pattern::Neighbours),
        ("ring", Pattern::Ring),
        ("star", Pattern::Star),
        ("full", Pattern::Full),
    ];
    let pattern = table.word("pattern", &patterns)?;
    match (between, stations, among, halts) {
        (Some(ends), None, None, None) if ends.len() == 2 => Ok(vec![(ends, Shape::Between)]),
        (Some(_), None, None, None) => Err(table.together(BETWEEN)),
        (None, Some(ends), None, None) if ends.len() >= 2 => {
            let hears = read_hears(table, nodes, &ends)?;
            Ok(vec![(ends, Shape::Shared { hears })])
        }
        (None, Some(_), None, None) => Err(table.together("a shared channel has `stations` to speak to: give at least two")),
        (None, None, Some(ends), None) => {
            let Some(pattern) = pattern else {
                return Err(table.missing("pattern", "neighbours, ring, star (the first is the middle) or full"));
            };
            check_count(table.source, table.line, "links", pattern.count(ends.len() as u64), MAX_LINKS)?;
            let pairs = pattern.pairs(&ends).into_iter();
            Ok(pairs.map(|(a, b)| (vec![a, b], Shape::Between)).collect())
        }
        (None, None, None, Some(halts)) => {
            let end = halts.last().map_or(0, |halt| halt.leaves);
            if every.is_some_and(|every| every < end) {
                return Err(table.together("a round of the courier is over before the next begins: give an `every` that is not before the end of the last halt"));
            }
            let mut ends: Vec<usize> = Vec::new();
            for halt in &halts {
                if !ends.contains(&halt.node) {
                    ends.push(halt.node);
                }
            }
            Ok(vec![(ends, Shape::Courier { halts, every })])
        }
        _ => Err(table.together(
            "a link needs one of `between` (two nodes), `stations` (a shared channel), `among` (with a `pattern`), `timetable` (a courier)",
        )),
    }
}

/// Reads which stations hear each other.
fn read_hears(
    table: &mut Table<'_>,
    nodes: &Names<'_>,
    ends: &[usize],
) -> Result<Option<Vec<(usize, usize)>>, ScenarioError> {
    let Some(lists) = table.text_lists("hears")? else {
        return Ok(None);
    };
    let mut pairs = Vec::new();
    for list in lists {
        // A list of more than two is a circle in which each hears each.
        let circle = nodes.select(&list)?;
        if circle.len() < 2 || circle.iter().any(|node| !ends.contains(node)) {
            return Err(table.together("`hears` lists stations of the channel that hear each other: give lists of two or more of them"));
        }
        let later = |i: usize| circle.iter().skip(i + 1);
        pairs.extend(
            circle
                .iter()
                .enumerate()
                .flat_map(|(i, a)| later(i).map(move |b| (*a, *b))),
        );
    }
    Ok(Some(pairs))
}

fn read_halts(
    table: &mut Table<'_>,
    nodes: &Names<'_>,
) -> Result<Option<Vec<Halt>>, ScenarioError> {
    let mut halts: Vec<Halt> = Vec::new();
    let tables = table.tables(
        "timetable",
        "a halt in `timetable`",
        "timetable = [{ at = \"village\", arrive = \"0s\", leave = \"10min\" }]",
    )?;
    if tables.is_empty() {
        return Ok(None);
    }
    for mut halt in tables {
        let Some(at) = halt.text("at")? else {
            return Err(halt.missing("at", "the name of a node"));
        };
        let node = nodes.find(&at)?;
        let Some(arrives) = halt.duration("arrive")? else {
            return Err(halt.missing("arrive", "when the courier comes, such as \"1h\""));
        };
        let Some(leaves) = halt.duration("leave")? else {
            return Err(halt.missing("leave", "when the courier leaves, such as \"70min\""));
        };
        let before = halts.last().map_or(0, |halt| halt.leaves);
        if leaves <= arrives || arrives < before {
            return Err(halt.together("a halt begins after the one before it ends, and ends after it begins: sort the timetable"));
        }
        halt.finish()?;
        halts.push(Halt {
            node,
            arrives,
            leaves,
        });
    }
    Ok(Some(halts))
}

#[derive(Clone, Copy)]
enum Pattern {
    Neighbours,
    Ring,
    Star,
    Full,
}

impl Pattern {
    /// How many links it makes among `n` nodes.
    fn count(self, n: u64) -> u64 {
        match self {
            Self::Neighbours | Self::Star => n.saturating_sub(1),
            Self::Ring => n,
            Self::Full => n.saturating_mul(n.saturating_sub(1)) / 2,
        }
    }

    fn pairs(self, ends: &[usize]) -> Vec<(usize, usize)> {
        let chain = ends.windows(2).map(|two| (two[0], two[1]));
        match self {
            Self::Neighbours => chain.collect(),
            Self::Ring => {
                let close = ends.last().zip(ends.first()).filter(|_| ends.len() > 2);
                chain.chain(close.map(|(a, b)| (*a, *b))).collect()
            }
            Self::Star => {
                let (hub, rest) = ends.split_first().unwrap_or((&0, &[]));
                rest.iter().map(|end| (*hub, *end)).collect()
            }
            Self::Full => {
                let later = |i: usize| ends.iter().skip(i + 1);
                let all = ends.iter().enumerate();
                all.flat_map(|(i, a)| later(i).map(move |b| (*a, *b)))
                    .collect()
            }
        }
    }
}
