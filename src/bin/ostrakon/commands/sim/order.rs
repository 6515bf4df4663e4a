//! From an order to a scenario, and whose doing it is if that cannot be: the file's, or the order's.

use crate::args::SimArgs;
use crate::failure::{Failure, Kind, Outcome};
use crate::plain::harmless;
use ostrakon::node::api::ErrorKind;
use ostrakon::sim::{self, shipped};
use ostrakon_netsim::scenario::{Mode, Problem, Scenario, ScenarioError};
use std::collections::BTreeSet;
use std::io;

/// A change of a scenario that was asked for.
struct Change<'a> {
    key: &'a str,
    value: &'a str,
    /// As it stands on the command line.
    words: String,
}

/// The scenario that was asked for.
///
/// # Errors
/// No scenario of that name, one that does not read, or changes that make no sense.
pub fn prepare(args: &SimArgs) -> Outcome<Scenario> {
    let mut scenario = shipped::find(&args.scenario).map_err(|error| unread(args, error))?;
    let changes = changes(args);
    let mut keys = BTreeSet::new();
    for change in &changes {
        if change.key.is_empty() || change.value.is_empty() {
            let what = format!("{}: that is no change", change.words);
            let next = "give KEY=VALUE, and several with one comma between them, such as --set rate=13mbit,loss=17%";
            return Err(Failure::api(ErrorKind::Usage, harmless(&what), next));
        }
        if !keys.insert(change.key) {
            let what = format!("{}: {} was set before", change.words, change.key);
            let next = "give each key once";
            return Err(Failure::api(ErrorKind::Usage, harmless(&what), next));
        }
        let set = scenario.set(change.key, change.value);
        set.map_err(|error| senseless(args, &change.words, error))?;
    }
    if args.faults {
        scenario.faults.random.push(None);
    }
    scenario.check_reach().map_err(|error| unfit(args, error))?;
    Ok(scenario)
}

fn changes(args: &SimArgs) -> Vec<Change<'_>> {
    let set = args.set.iter().map(|change| {
        let (key, value) = change.split_once('=').unwrap_or((change, ""));
        Change {
            key: key.trim(),
            value: value.trim(),
            words: format!("--set {change}"),
        }
    });
    let mode = args.mode.iter().map(|mode| Change {
        key: "mode",
        value: mode,
        words: format!("--mode {mode}"),
    });
    set.chain(mode).collect()
}

/// The same scenario in mode `model`, to be run beside it: where it is for mode `quic` by itself, and not because that
/// was asked for, and can be.
pub fn beside(args: &SimArgs, scenario: &Scenario) -> Option<Scenario> {
    let asked = changes(args).iter().any(|change| change.key == "mode");
    (scenario.mode == Mode::Quic && !asked && sim::runs_in_model(scenario)).then(|| Scenario {
        mode: Mode::Model,
        ..scenario.clone()
    })
}

/// The command that runs a seed again.
pub fn repeat(args: &SimArgs, seed: u64) -> String {
    let mut words = vec!["ostrakon sim run".to_owned(), quoted(&args.scenario)];
    words.push(format!("--seed {seed}"));
    if let Some(mode) = &args.mode {
        words.push(format!("--mode {}", quoted(mode)));
    }
    if args.faults {
        words.push("--faults".into());
    }
    if !args.set.is_empty() {
        words.push(format!("--set {}", quoted(&args.set.join(","))));
    }
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,%:+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A scenario that does not read. Who mistyped the name of a shipped one reads where they are listed.
fn unread(args: &SimArgs, error: ScenarioError) -> Failure {
    let Problem::Read { kind, .. } = *error.problem else {
        return refused(error);
    };
    const OR: &str = "the name of a shipped scenario (list them with: ostrakon sim list)";
    let kind = match kind {
        io::ErrorKind::NotFound => {
            let what = format!("there is no scenario {:?}", args.scenario);
            let next = format!("give the path of a file, or {OR}");
            return Failure::api(ErrorKind::NotFound, what, next);
        }
        // It was read, and is none.
        io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => ErrorKind::BadInput,
        _ => ErrorKind::Usage,
    };
    let text = format!("{}, or {OR}", refused(error).text);
    Failure {
        kind: Kind::Api(kind),
        text,
        message: None,
    }
}

/// A scenario that cannot run. If it can as it stands, what was to be changed makes no sense.
pub fn unfit(args: &SimArgs, error: ScenarioError) -> Failure {
    let runs = || {
        let scenario = shipped::find(&args.scenario)?;
        scenario.check_reach()?;
        sim::can_be(&scenario)
    };
    let words: Vec<String> = changes(args).into_iter().map(|c| c.words).collect();
    match !words.is_empty() && runs().is_ok() {
        true => senseless(args, &words.join(" "), error),
        false => refused(error),
    }
}

/// Changes that make no sense. A place in a file is named only if it is the user's: shipped scenarios have none.
fn senseless(args: &SimArgs, words: &str, error: ScenarioError) -> Failure {
    let own = error.file == args.scenario && error.line.is_some();
    let why = match own {
        true => error.to_string(),
        false => error.problem.to_string(),
    };
    Failure {
        kind: Kind::Api(ErrorKind::Usage),
        text: harmless(&format!("{words}: {why}")),
        message: None,
    }
}

fn refused(error: ScenarioError) -> Failure {
    Failure {
        kind: Kind::Api(ErrorKind::BadInput),
        text: harmless(&error.to_string()),
        message: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(scenario: &str, set: &[&str]) -> SimArgs {
        SimArgs {
            scenario: scenario.into(),
            seed: None,
            seeds: None,
            fail_fast: false,
            faults: false,
            mode: None,
            set: set.iter().map(|change| (*change).into()).collect(),
            report: None,
        }
    }

    /// Guards that a run can be repeated from what is printed: every word that matters stands there, as a shell takes it.
    #[test]
    fn the_command_that_repeats_a_run_is_whole() {
        let args = SimArgs {
            faults: true,
            ..args("my net.toml", &["rate=1mbit", "loss=2%"])
        };
        let again = "ostrakon sim run 'my net.toml' --seed 3 --faults --set rate=1mbit,loss=2%";
        assert_eq!(repeat(&args, 3), again);
    }

    /// Guards who is blamed: a name that nothing has, an order that makes no sense, which is quoted without a file that the
    /// user does not have, and a file that is no scenario.
    #[test]
    fn an_order_is_blamed_for_what_it_changes() {
        let failed = |args: &SimArgs| {
            let scenario = prepare(args);
            let ran = scenario.and_then(|s| sim::can_be(&s).map_err(|e| unfit(args, e)));
            let failure = ran.unwrap_err();
            assert!(!failure.text.contains(".toml"), "{}", failure.text);
            (failure.kind, failure.text)
        };
        for name in ["nosuch", ""] {
            let (kind, text) = failed(&args(name, &[]));
            assert_eq!(kind, Kind::Api(ErrorKind::NotFound), "{text}");
            assert!(text.contains("ostrakon sim list"), "{text}");
        }
        for (scenario, set) in [
            ("outage", &["bogus=1"] as &[&str]),
            ("outage", &["", ""]),
            ("outage", &["rate=1kbit", ""]),
            ("outage", &["rate"]),
            ("outage", &["=1kbit"]),
            ("outage", &["rate=0"]),
            ("outage", &["rate=1kbit", " rate=2kbit"]),
            ("outage", &["duration=1s"]),
            ("limit-bulk-0", &["text=5"]),
            ("limit-bulk-0", &["flow=none"]),
            ("limit-bulk-0", &["mtu=600"]),
            ("limit-shared", &["mode=model"]),
            ("limit-shared", &["duration=30s"]),
        ] {
            let (kind, text) = failed(&args(scenario, set));
            assert_eq!(kind, Kind::Api(ErrorKind::Usage), "{text}");
            assert!(text.starts_with("--set "), "{text}");
            let cut = set
                .iter()
                .any(|change| !change.contains('=') || change.starts_with('='));
            assert_eq!(text.contains("KEY=VALUE"), cut, "{text}");
        }
        let mode = SimArgs {
            mode: Some("foo".into()),
            ..args("outage", &[])
        };
        let (kind, text) = failed(&mode);
        assert_eq!(kind, Kind::Api(ErrorKind::Usage));
        assert!(text.starts_with("--mode foo: "), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("no-scenario");
        std::fs::write(&file, "x = [").unwrap();
        let (kind, _) = failed(&args(file.to_str().unwrap(), &["rate=0"]));
        assert_eq!(kind, Kind::Api(ErrorKind::BadInput));
    }
}
