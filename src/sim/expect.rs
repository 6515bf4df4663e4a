//! What a scenario expected and did not come, in words.

use super::outcome::{MessageOutcome, Outcome};
use ostrakon_netsim::scenario::Expect;

/// Every expectation that is not met.
pub fn unmet(expect: &Expect, outcome: &Outcome) -> Vec<String> {
    let mut unmet = Vec::new();
    let by = expect.by.map_or(f64::INFINITY, |by| by as f64 / 1e9);
    let share = |some: &dyn Fn(&MessageOutcome) -> Option<f64>| {
        let messages = &outcome.messages;
        let there = messages
            .iter()
            .filter(|m| some(m).is_some_and(|at| at <= by));
        // Of no messages all arrive.
        (there.count() as u64 * 1_000_000)
            .checked_div(messages.len() as u64)
            .unwrap_or(1_000_000)
    };
    let mut want = |what: &str, wanted: Option<u32>, got: u64| {
        if let Some(wanted) = wanted.filter(|wanted| got < u64::from(*wanted)) {
            let percent = |ppm: f64| ppm / 10_000.0;
            unmet.push(format!(
                "expected {} % of the messages {what}, saw {} %",
                percent(f64::from(wanted)),
                percent(got as f64)
            ));
        }
    };
    want("delivered", expect.delivered_ppm, share(&|m| m.delivered_s));
    want("confirmed", expect.confirmed_ppm, share(&|m| m.confirmed_s));
    unmet.extend(amounts(expect, outcome));
    if expect.text_before_file == Some(true) {
        unmet.extend(outcome.messages.iter().filter_map(file_before_text));
    }
    unmet
}

/// Bounds on how much and how often.
fn amounts(expect: &Expect, outcome: &Outcome) -> Vec<String> {
    let mut unmet = Vec::new();
    if let Some(least) = expect.ratio_ppm.map(millionths) {
        match outcome.ratio {
            None => unmet.push(format!(
                "expected a ratio of at least {least}, and there is nothing to compare: the largest message was not \
                 delivered, or its links have no bound"
            )),
            Some(ratio) if ratio < least => unmet.push(format!(
                "expected a ratio of at least {least}, saw {ratio:.3}"
            )),
            Some(_) => {}
        }
    }
    if let Some(most) = expect.overhead_ppm.map(millionths) {
        match outcome.overhead {
            Some(overhead) if overhead > most => unmet.push(format!(
                "expected links to be given at most {most} times the bytes of the parts, saw {overhead:.2} times"
            )),
            _ => {}
        }
    }
    if let Some(most) = expect.max_duplicates.filter(|m| outcome.duplicates > *m) {
        let saw = outcome.duplicates;
        unmet.push(format!(
            "expected at most {most} parts to come out more than once, saw {saw}"
        ));
    }
    unmet
}

fn millionths(ppm: u32) -> f64 {
    f64::from(ppm) / 1e6
}

/// A text that came out after a file of the same message, or not although a file did.
fn file_before_text(message: &MessageOutcome) -> Option<String> {
    let when = |at: Option<f64>| at.unwrap_or(f64::INFINITY);
    let texts = message.parts.iter().filter(|part| part.text);
    let last = texts.max_by(|a, b| when(a.delivered_s).total_cmp(&when(b.delivered_s)))?;
    let files = message.parts.iter().filter(|part| !part.text);
    let early = files
        .filter(|file| {
            file.delivered_s
                .is_some_and(|at| at < when(last.delivered_s))
        })
        .min_by(|a, b| when(a.delivered_s).total_cmp(&when(b.delivered_s)))?;
    Some(format!(
        "of message {} from {} to {}, `{}` came out before the text `{}`",
        message.number, message.from, message.to, early.name, last.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::outcome::PartOutcome;
    use std::collections::BTreeMap;

    /// A message of a text and a file, delivered at these times.
    fn outcome(text_s: Option<f64>, file_s: Option<f64>) -> Outcome {
        let part = |name: &str, text: bool, delivered_s| PartOutcome {
            name: name.into(),
            text,
            priority: "normal",
            bytes: 100,
            delivered_s,
        };
        let message = MessageOutcome {
            number: 0,
            from: "a".into(),
            to: "b".into(),
            at_s: 0.0,
            accepted_s: Some(0.0),
            bytes: 200,
            frames: 2,
            offered_bytes: 0,
            delivered_s: text_s.zip(file_s).map(|(a, b)| a.max(b)),
            confirmed_s: None,
            parts: vec![part("note", true, text_s), part("map", false, file_s)],
        };
        Outcome {
            scenario: String::new(),
            title: String::new(),
            mode: "model",
            seed: 1,
            trace: None,
            events: 0,
            packets: 0,
            frames: 0,
            virtual_s: 0.0,
            wall_s: 0.0,
            events_per_s: 0.0,
            frames_per_s: 0.0,
            messages: vec![message],
            links: vec![],
            shares: vec![],
            dropped: BTreeMap::new(),
            sent: 1,
            delivered: 1,
            confirmed: 0,
            duplicates: 2,
            generations: 0,
            overhead: Some(1.5),
            achieved_s: Some(10.0),
            limit_s: Some(8.0),
            nominal_limit_s: None,
            ratio: Some(0.8),
            joint_ratio: None,
            beside: None,
            violations: vec![],
        }
    }

    fn expect(change: impl FnOnce(&mut Expect)) -> Expect {
        let mut expect = Expect::default();
        change(&mut expect);
        expect
    }

    /// Guards that each expectation can fail and can be met, at its edge.
    #[test]
    fn each_expectation_fails_just_beyond_its_edge() {
        let seen = outcome(Some(1.0), Some(2.0));
        let cases: [(Expect, Expect); 5] = [
            (
                expect(|e| e.ratio_ppm = Some(800_000)),
                expect(|e| e.ratio_ppm = Some(800_001)),
            ),
            (
                expect(|e| e.overhead_ppm = Some(1_500_000)),
                expect(|e| e.overhead_ppm = Some(1_499_999)),
            ),
            (
                expect(|e| e.max_duplicates = Some(2)),
                expect(|e| e.max_duplicates = Some(1)),
            ),
            (
                expect(|e| (e.delivered_ppm, e.by) = (Some(1_000_000), Some(2_000_000_000))),
                expect(|e| (e.delivered_ppm, e.by) = (Some(1_000_000), Some(1_999_999_999))),
            ),
            (expect(|_| {}), expect(|e| e.confirmed_ppm = Some(1))),
        ];
        for (met, missed) in cases {
            assert_eq!(unmet(&met, &seen), [""; 0], "{met:?}");
            assert_eq!(unmet(&missed, &seen).len(), 1, "{missed:?}");
        }
    }

    /// Guards that a scenario without messages, which only moves links and faults, meets what is asked of all messages.
    #[test]
    fn of_no_messages_all_arrive() {
        let mut seen = outcome(None, None);
        seen.messages.clear();
        let all = expect(|e| {
            (e.delivered_ppm, e.confirmed_ppm) = (Some(1_000_000), Some(1_000_000));
        });
        assert_eq!(unmet(&all, &seen), [""; 0]);
    }

    /// Guards that a ratio that was asked for and cannot be told is not taken for a good one.
    #[test]
    fn a_ratio_that_cannot_be_told_is_not_met() {
        let mut seen = outcome(Some(1.0), None);
        seen.ratio = None;
        assert_eq!(unmet(&expect(|e| e.ratio_ppm = Some(1)), &seen).len(), 1);
    }

    /// Guards the order of a message's parts: a text that is late or missing beside a file is told of, with both names.
    #[test]
    fn a_file_before_a_text_is_told_of() {
        let asked = expect(|e| e.text_before_file = Some(true));
        assert_eq!(unmet(&asked, &outcome(Some(2.0), Some(2.0))), [""; 0]);
        assert_eq!(unmet(&asked, &outcome(Some(2.0), None)), [""; 0]);
        for late in [outcome(Some(3.0), Some(2.0)), outcome(None, Some(2.0))] {
            let told = unmet(&asked, &late);
            assert!(told.len() == 1 && told[0].contains("`map`") && told[0].contains("`note`"));
            assert_eq!(unmet(&expect(|_| {}), &late), [""; 0], "only if asked for");
        }
    }
}
