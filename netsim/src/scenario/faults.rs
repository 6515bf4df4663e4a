//! What goes wrong, as `[[fault]]` says.

use crate::world::{
    Fault, FaultKind, FaultPlan, HostId, LinkId, MAX_DRIFT_PPB, MAX_IMAGES, Meddling, Rollbacks,
    Stop, Way, When,
};

use super::MAX_FAULTS;
use super::error::ScenarioError;
use super::links::Link;
use super::names::Names;
use super::nodes::check_count;
use super::table::Table;
use super::traffic::repetitions;
use super::units;

/// Faults of a scenario. Hosts and links have the numbers of nodes and links in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Those that are named one by one.
    pub plan: FaultPlan,
    /// Where each of the plan stands in the file.
    pub lines: Vec<usize>,
    /// For each random mix its seed; `None` is that of the run.
    pub random: Vec<Option<u64>>,
    /// Nodes that go back to older disks at random.
    pub rollbacks: Vec<Rollbacks>,
}

#[derive(Clone, Copy)]
enum Kind {
    Stop(Stop),
    Image,
    Rollback,
    Clone,
    Jump,
    Drift,
    Cut,
    Partition,
    Drop,
    Delay,
    Reorder,
    Duplicate,
    Corrupt,
    Random,
    Rollbacks,
}

const KINDS: [(&str, Kind); 16] = [
    ("crash", Kind::Stop(Stop::Crash)),
    ("power-cut", Kind::Stop(Stop::PowerCut)),
    ("image", Kind::Image),
    ("rollback", Kind::Rollback),
    ("clone", Kind::Clone),
    ("clock-jump", Kind::Jump),
    ("clock-drift", Kind::Drift),
    ("cut", Kind::Cut),
    ("partition", Kind::Partition),
    ("drop", Kind::Drop),
    ("delay", Kind::Delay),
    ("reorder", Kind::Reorder),
    ("duplicate", Kind::Duplicate),
    ("corrupt", Kind::Corrupt),
    ("random", Kind::Random),
    ("rollbacks", Kind::Rollbacks),
];

pub(super) fn read(
    root: &mut Table<'_>,
    nodes: &Names<'_>,
    links: &[Link],
    link_names: &Names<'_>,
) -> Result<Faults, ScenarioError> {
    let mut faults = Faults::default();
    for mut table in root.tables("fault", "[[fault]]", "[[fault]]")? {
        let Some(kind) = table.word("kind", &KINDS)? else {
            return Err(table.missing("kind", "what goes wrong, such as \"crash\" or \"cut\""));
        };
        if let Kind::Random = kind {
            faults.random.push(table.number("seed", 0..=u64::MAX)?);
            table.finish()?;
            continue;
        }
        if let Kind::Rollbacks = kind {
            faults.rollbacks.push(rollbacks(&mut table, nodes)?);
            table.finish()?;
            continue;
        }
        let whens = read_whens(&mut table)?;
        let kinds = match kind {
            Kind::Stop(_) | Kind::Jump | Kind::Drift => of_nodes(&mut table, kind, nodes)?,
            Kind::Image | Kind::Rollback | Kind::Clone => of_disks(&mut table, kind, nodes)?,
            Kind::Cut | Kind::Partition => vec![cut(&mut table, kind, nodes, links, link_names)?],
            _ => of_links(&mut table, kind, links, link_names)?,
        };
        let (source, line) = (table.source, table.line);
        table.finish()?;
        let count = (whens.len() as u64).saturating_mul(kinds.len() as u64);
        let count = count.saturating_add(faults.plan.faults.len() as u64);
        check_count(source, line, "faults", count, MAX_FAULTS)?;
        for &when in &whens {
            let all = kinds.iter().cloned();
            faults
                .plan
                .faults
                .extend(all.map(|kind| Fault { when, kind }));
            faults.lines.resize(faults.plan.faults.len(), line);
        }
    }
    Ok(faults)
}

fn read_whens(table: &mut Table<'_>) -> Result<Vec<When>, ScenarioError> {
    if let Some(events) = table.number("after-events", 0..=u64::MAX)? {
        return Ok(vec![When::AfterEvents(events)]);
    }
    Ok(repetitions(table)?.all().map(When::At).collect())
}

fn hosts(table: &mut Table<'_>, nodes: &Names<'_>) -> Result<Vec<HostId>, ScenarioError> {
    let Some(names) = table.texts("node")? else {
        return Err(table.missing("node", "the name of a node, or a list"));
    };
    let places = nodes.select(&names)?.into_iter();
    Ok(places.map(|place| HostId(place as u32)).collect())
}

fn rollbacks(table: &mut Table<'_>, nodes: &Names<'_>) -> Result<Rollbacks, ScenarioError> {
    Ok(Rollbacks {
        hosts: hosts(table, nodes)?,
        seed: table.number("seed", 0..=u64::MAX)?,
        shared: table.truth("shared")?.unwrap_or(false),
    })
}

/// Images of disks, and disks that become those of images.
fn of_disks(
    table: &mut Table<'_>,
    kind: Kind,
    nodes: &Names<'_>,
) -> Result<Vec<FaultKind>, ScenarioError> {
    let hosts = hosts(table, nodes)?;
    if let Kind::Image = kind {
        let image = |host| FaultKind::Image { host };
        return Ok(hosts.into_iter().map(image).collect());
    }
    let off = table.duration("off")?.unwrap_or(1);
    if let Kind::Rollback = kind {
        let ago = table.number("ago", 0..=MAX_IMAGES as u64)?.unwrap_or(0) as u32;
        let back = |host| FaultKind::Restore {
            host,
            of: host,
            ago,
            off,
        };
        return Ok(hosts.into_iter().map(back).collect());
    }
    let Some(of) = table.text("of")? else {
        return Err(table.missing("of", "the name of the node whose disk is copied"));
    };
    let of = HostId(nodes.find(&of)? as u32);
    let copy = |host| FaultKind::Restore {
        host,
        of,
        ago: 0,
        off,
    };
    let image = std::iter::once(FaultKind::Image { host: of });
    Ok(image.chain(hosts.into_iter().map(copy)).collect())
}

fn of_nodes(
    table: &mut Table<'_>,
    kind: Kind,
    nodes: &Names<'_>,
) -> Result<Vec<FaultKind>, ScenarioError> {
    let hosts = hosts(table, nodes)?.into_iter();
    Ok(match kind {
        Kind::Stop(how) => {
            let off = table.duration("off")?;
            hosts
                .map(|host| FaultKind::Stop { host, how, off })
                .collect()
        }
        Kind::Jump => {
            let by = table.quantity(
                "by",
                signed_duration,
                "a duration, perhaps with -, such as \"-2h\"",
            )?;
            let Some(by) = by else {
                return Err(table.missing("by", "by how much the calendar jumps, such as \"-2h\""));
            };
            hosts
                .map(|host| FaultKind::ClockJump { host, by: by.value })
                .collect()
        }
        _ => {
            let most = MAX_DRIFT_PPB / 1000;
            let ppm = |text: &str| text.parse::<i32>().ok().filter(|ppm| ppm.abs() <= most);
            let expected =
                "parts per million that a clock is fast (or slow, if negative), at most 500000";
            let Some(ppm) = table.quantity("ppm", ppm, expected)? else {
                return Err(
                    table.missing("ppm", "by how many parts per million the clocks are fast")
                );
            };
            let ppb = ppm.value * 1000;
            hosts
                .map(|host| FaultKind::ClockDrift { host, ppb })
                .collect()
        }
    })
}

fn signed_duration(text: &str) -> Option<i64> {
    let (sign, text) = match text.trim().strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    Some(sign * i64::try_from(units::duration(text)?).ok()?)
}

fn cut(
    table: &mut Table<'_>,
    kind: Kind,
    nodes: &Names<'_>,
    links: &[Link],
    link_names: &Names<'_>,
) -> Result<FaultKind, ScenarioError> {
    let places = match kind {
        Kind::Cut => chosen(table, links, link_names)?,
        _ => {
            let Some(names) = table.texts("node")? else {
                return Err(table.missing("node", "the nodes on one side of the partition"));
            };
            let inside = nodes.select(&names)?;
            let crosses = |link: &Link| {
                let within = link.ends.iter().filter(|end| inside.contains(end)).count();
                within > 0 && within < link.ends.len()
            };
            let all = links.iter().enumerate();
            all.filter(|(_, link)| crosses(link))
                .map(|(place, _)| place)
                .collect()
        }
    };
    Ok(FaultKind::Cut {
        links: places
            .into_iter()
            .map(|place| LinkId(place as u32))
            .collect(),
        lasts: table.duration("lasts")?,
        noticed: table.truth("noticed")?.unwrap_or(true),
    })
}

fn of_links(
    table: &mut Table<'_>,
    kind: Kind,
    links: &[Link],
    link_names: &Names<'_>,
) -> Result<Vec<FaultKind>, ScenarioError> {
    let places = chosen(table, links, link_names)?;
    let ways = [
        ("both", Way::Both),
        ("forward", Way::Forward),
        ("back", Way::Back),
    ];
    let way = table.word("way", &ways)?.unwrap_or(Way::Both);
    if way != Way::Both && places.iter().any(|place| links[*place].between().is_none()) {
        return Err(table.together("only a link `between` two nodes has a `way`: leave it out"));
    }
    let share_ppm = table.share_ppm("share")?.unwrap_or(1_000_000);
    let lasts = table.duration("lasts")?;
    let mut by = |expected| {
        table
            .duration("by")?
            .ok_or_else(|| table.missing("by", expected))
    };
    let what = match kind {
        Kind::Delay => Meddling::Delay(by("how late packets are, such as \"2s\"")?),
        Kind::Reorder => Meddling::Reorder(by("how late packets are at most, such as \"2s\"")?),
        Kind::Duplicate => Meddling::Duplicate(by("how long after the first the second comes")?),
        Kind::Corrupt => Meddling::Corrupt,
        _ => Meddling::Drop,
    };
    let meddle = |place| FaultKind::Meddle {
        link: LinkId(place as u32),
        way,
        what,
        share_ppm,
        lasts,
    };
    Ok(places.into_iter().map(meddle).collect())
}

/// The links that `link` names: by name or pattern, or by the name of a group.
fn chosen(
    table: &mut Table<'_>,
    links: &[Link],
    names: &Names<'_>,
) -> Result<Vec<usize>, ScenarioError> {
    let Some(texts) = table.texts("link")? else {
        return Err(table.missing("link", "the name of a link, or a list"));
    };
    super::links::select(&texts, links, names)
}
