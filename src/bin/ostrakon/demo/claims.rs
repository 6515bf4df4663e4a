//! What the demo claims. If one of these does not hold, it says so and fails.

use super::tally::Summary;
use crate::plain::bytes;

/// A little waste is no defect, in bytes.
const RESENT_FLOOR: u64 = 256 * 1024;

/// The claims that did not hold, in plain words.
pub fn broken(summary: &Summary, file_bytes: u64) -> Vec<String> {
    let mut broken = Vec::new();
    let mut claim = |holds: bool, otherwise: String| {
        if !holds {
            broken.push(otherwise);
        }
    };
    claim(
        summary.delivered,
        "the message was not delivered in time".into(),
    );
    claim(
        summary.sha256_match,
        "the file that arrived is not the one that was sent".into(),
    );
    claim(
        summary.deliveries == 1,
        format!("the message was delivered {} times", summary.deliveries),
    );
    claim(
        text_first(summary, file_bytes),
        "the text was not there before the file".into(),
    );
    claim(
        summary.kills == 1,
        format!("{} processes were killed, not one", summary.kills),
    );
    claim(summary.cuts >= 1, "the satellite was not cut".into());
    let pids = &summary.sender_pids;
    claim(
        pids.len() == 2 && pids.first() != pids.last(),
        format!("the sender's processes were {pids:?}, not two"),
    );
    for (kind, percent) in [("quic", 25), ("relay", 10)] {
        let seen = first_seen(summary, kind);
        let enough = u128::from(seen) * 100 >= u128::from(file_bytes) * percent;
        claim(
            enough,
            format!(
                "the {kind} link brought only {} first, less than {percent} %",
                bytes(seen)
            ),
        );
    }
    let serial = summary
        .links
        .iter()
        .find(|link| link.kind == "serial")
        .map_or(0, |link| link.fragments);
    claim(
        serial >= 5,
        format!("the serial line brought only {serial} fragments"),
    );
    let total: u64 = summary.links.iter().map(|link| link.first_seen_bytes).sum();
    claim(
        total >= file_bytes,
        format!("the links together brought only {} first", bytes(total)),
    );
    let resent = summary.resent_bytes;
    let allowed = (file_bytes / 100).max(RESENT_FLOOR);
    claim(
        resent <= allowed,
        format!("{} were sent again after the kill", bytes(resent)),
    );
    broken
}

fn first_seen(summary: &Summary, kind: &str) -> u64 {
    let links = summary.links.iter().filter(|link| link.kind == kind);
    links.map(|link| link.first_seen_bytes).sum()
}

/// Whether some part other than the file was delivered before it.
fn text_first(summary: &Summary, file_bytes: u64) -> bool {
    let at = |is_file: bool| {
        let parts = summary
            .parts
            .iter()
            .filter(move |part| (part.bytes == file_bytes) == is_file);
        parts.map(|part| part.delivered_at_ms).max()
    };
    matches!((at(false), at(true)), (Some(text), Some(file)) if text < file)
}

#[cfg(test)]
mod tests {
    use super::super::tally::{Link, Part};
    use super::*;

    fn good() -> Summary {
        let link = |name, kind, first_seen_bytes| Link {
            name,
            kind,
            frames: 9,
            fragments: 9,
            bytes: first_seen_bytes,
            first_seen_bytes,
        };
        let part = |name: &str, bytes, delivered_at_ms| Part {
            name: name.into(),
            bytes,
            delivered_at_ms,
        };
        Summary {
            delivered: true,
            sha256_match: true,
            deliveries: 1,
            bytes: 6_000_050,
            parts: vec![part("text", 50, 600), part("map", 6_000_000, 20_000)],
            links: vec![
                link("satellite", "quic", 4_500_000),
                link("relay", "relay", 1_490_000),
                link("serial", "serial", 10_000),
            ],
            kills: 1,
            cuts: 1,
            sender_pids: vec![7, 8],
            ..Summary::default()
        }
    }

    /// Every single claim can fail, and a run in which all hold passes.
    #[test]
    fn every_claim_is_looked_at() {
        assert_eq!(broken(&good(), 6_000_000), Vec::<String>::new());
        let spoil: [fn(&mut Summary); 12] = [
            |s| s.delivered = false,
            |s| s.sha256_match = false,
            |s| s.deliveries = 2,
            |s| s.parts[0].delivered_at_ms = 30_000,
            |s| s.kills = 0,
            |s| s.cuts = 0,
            |s| s.sender_pids = vec![7, 7],
            |s| s.sender_pids = vec![7],
            |s| (s.links[0].first_seen_bytes, s.links[1].first_seen_bytes) = (1_400_000, 4_600_000),
            |s| (s.links[0].first_seen_bytes, s.links[1].first_seen_bytes) = (5_500_000, 500_000),
            |s| s.links[2].fragments = 4,
            |s| s.resent_bytes = 262_145,
        ];
        for (n, spoil) in spoil.iter().enumerate() {
            let mut summary = good();
            spoil(&mut summary);
            assert_eq!(broken(&summary, 6_000_000).len(), 1, "claim {n}");
        }
        let mut summary = good();
        summary.links[0].first_seen_bytes = 4_000_000;
        assert_eq!(broken(&summary, 6_000_000).len(), 1);
    }
}
