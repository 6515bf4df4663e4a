//! What is wrong with scenario files, and how that is said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use ostrakon_netsim::scenario::Scenario;
use proptest::prelude::*;

const GOOD: &str = r#"[scenario]
duration = "1h"
[[node]]
name = "a"
[[node]]
name = "b"
[[link]]
name = "l"
between = ["a", "b"]
profile = "geo"
"#;

/// What is added to the good file (from its line 11 on), the line of the error, and words in it.
const BAD: &[(&str, usize, &str)] = &[
    ("x = [", 11, "not TOML"),
    (
        "[scenrio]",
        11,
        "unknown key `scenrio` in the file (did you mean `scenario`?)",
    ),
    (
        "losss = 0.1",
        11,
        "unknown key `losss` in [[link]] (did you mean `loss`?)",
    ),
    (
        "capacity = \"1GB\"",
        11,
        "unknown key `capacity` in [[link]]",
    ),
    ("rate = \"-5mbit\"", 11, "give a rate above zero"),
    ("loss = 1.5", 11, "give a share from 0 to 1"),
    ("mtu = 20", 7, "link `l`: an MTU of 20 bytes has no room"),
    ("oneway = \"perhaps\"", 11, "yes or no"),
    ("told = 3", 11, "one of false, true, peer"),
    ("cost = -1", 11, "a whole number from 0"),
    ("trace = \"none.txt\"", 11, "the trace none.txt: "),
    (
        "[[link]]\nbetween = [\"a\", \"b\"]\nprofile = \"goe\"",
        13,
        "there is no profile `goe` (did you mean `geo`?)",
    ),
    (
        "[[link]]\nbetween = [\"a\", \"c\"]\nprofile = \"geo\"",
        12,
        "no node `c`; there are a, b",
    ),
    (
        "[[link]]\nbetween = [\"a\", \"a\"]\nprofile = \"geo\"",
        11,
        "two different nodes",
    ),
    (
        "[[link]]\nbetween = [\"a\", \"b\"]",
        11,
        "[[link]] needs `profile`",
    ),
    ("[[link]]\nprofile = \"geo\"", 11, "needs one of `between`"),
    (
        "[[link]]\nstations = [\"a\", \"b\"]\nprofile = \"geo\"",
        11,
        "share a radio channel",
    ),
    (
        "[[link]]\nstations = [\"a\", \"b\"]\nhears = [[\"a\"]]\nprofile = \"vhf-1200\"",
        11,
        "`hears` lists stations",
    ),
    (
        "[[link]]\nname = \"l\"\nprofile = \"geo\"\nbetween = [\"a\", \"b\"]",
        12,
        "link `l` is there already",
    ),
    (
        "[[link]]\nname = \"l\"\nprofile = \"geo\"\namong = \"*\"\npattern = \"full\"",
        11,
        "link `l` is there already",
    ),
    (
        "[[link]]\namong = [\"a\", \"b\"]\nprofile = \"geo\"",
        11,
        "needs `pattern`",
    ),
    (
        "[[link]]\nprofile = \"bus-mule\"\ntimetable = [{ at = \"a\", arrive = \"1h\", leave = \"2h\" },\n{ at = \"b\", arrive = \"10min\", leave = \"3h\" }]",
        14,
        "sort the timetable",
    ),
    ("[[node]]\nname = \"a\"", 12, "node `a` is there already"),
    ("[[node]]\nname = \"a b\"", 12, "letters, digits"),
    (
        "[[nodes]]\nprefix = \"n\"\ncount = 1000000",
        11,
        "1000002 nodes are more than a scenario may have: give at most 2000",
    ),
    (
        "[[contact]]\nlink = \"l\"\nfrom = \"2h\"\nuntil = \"1h\"",
        11,
        "ends at 1 h, not after it begins at 2 h",
    ),
    (
        "[[contact]]\nlink = \"l\"\nuntil = \"10min\"\nevery = \"5min\"",
        11,
        "overlap at 5 min",
    ),
    (
        "[[contact]]\nlink = \"l\"\nfrom = \"1min\"\n[[contact]]\nlink = \"l\"\nfrom = \"2min\"",
        14,
        "overlap at 2 min",
    ),
    (
        "[[contact]]\nlink = \"l\"\nuntil = \"1ns\"\nevery = \"2ns\"",
        11,
        "contacts are more",
    ),
    (
        "[[contact]]\nlink = \"l\"\nuntil = \"1s\"\nrate = \"-5mbit\"",
        14,
        "`rate` cannot be \"-5mbit\": give a rate above zero",
    ),
    ("[[contact]]\nlink = \"k\"", 12, "no link `k`"),
    ("control = \"fair\"", 11, "one of own, shared"),
    ("[[flow]]\nlink = \"k\"", 12, "no link `k`"),
    ("[[flow]]\nlink = \"l\"", 11, "[[flow]] needs `control`"),
    (
        "[[flow]]\nlink = \"l\"\ncontrol = \"reno\"",
        13,
        "one of cubic, bbr, none",
    ),
    (
        "[[link]]\nname = \"r\"\nstations = [\"a\", \"b\"]\nprofile = \"vhf-1200\"\n\
         [[flow]]\nlink = \"r\"\ncontrol = \"bbr\"",
        15,
        "a flow shares a link `between` two nodes",
    ),
    ("[judged]\nfrom = \"1s\"", 11, "[judged] needs `until`"),
    (
        "[judged]\nfrom = \"9s\"\nuntil = \"9s\"",
        11,
        "give a later `until`",
    ),
    (
        "[judged]\nuntil = \"61min\"",
        11,
        "`until of [judged]` cannot be 1 h 1 min: give a time within the duration of 1 h",
    ),
    (
        "[judged]\nuntil = \"9s\"",
        11,
        "nothing to judge: give a [[flow]]",
    ),
    (
        "[[flow]]\nlink = \"l\"\ncontrol = \"bbr\"\nstart = \"59min\"\nspread = \"1min\"",
        11,
        "`start and spread of [[flow]]` cannot be 1 h: give times whose sum is before 1 h",
    ),
    (
        "[[flow]]\nlink = \"l\"\ncontrol = \"bbr\"\nstart = \"9s\"\n[judged]\nuntil = \"9s\"",
        11,
        "before 9 s, when the run ends",
    ),
    (
        "kind = \"relay\"\ncontrol = \"shared\"",
        7,
        "link `l`: only a link of kind \"quic\" can have `control = \"shared\"`",
    ),
    ("[[message]]\nfrom = \"a\"\nto = \"b\"", 11, "needs `parts`"),
    (
        "[[message]]\nfrom = \"a\"\nto = \"a\"\nparts = [{ text = 1 }]",
        11,
        "`from` and `to` differ",
    ),
    (
        "[[message]]\nfrom = \"a\"\nto = \"b\"\nparts = [{ text = 1, file = 2 }]",
        14,
        "either `text` or `file`",
    ),
    (
        "[[message]]\nfrom = \"a\"\nto = \"b\"\nparts = [{ size = 1 }]",
        14,
        "a part in `parts`: a part has either",
    ),
    (
        "[[message]]\nfrom = \"a\"\nto = \"b\"\nparts = [{ file = \"1025MiB\" }]",
        14,
        "a size of at most 1 GiB",
    ),
    (
        "[[message]]\nfrom = \"a\"\nto = \"b\"\nevery = \"1ns\"\ncount = 100000\nparts = [{ text = 1 }, { text = 1 }, { text = 1 },\n{ text = 1 }, { text = 1 }, { text = 1 }, { text = 1 }, { text = 1 }, { text = 1 }, { text = 1 }, { text = 1 }]",
        11,
        "1100000 parts are more than a scenario may have: give at most 1000000",
    ),
    (
        "[[message]]\nfrom = \"a\"\nto = []\nparts = [{ text = 1 }]",
        13,
        "`to` cannot be an empty list: give a string, or a list of at least one",
    ),
    (
        "[[node]]\nname = \"r\"\nkind = \"relay\"\n[[message]]\nfrom = \"a\"\nto = [\"b\",\n\"r\"]\nparts = [{ text = 1 }]",
        17,
        "`to` cannot be `r`: give names of nodes of kind \"node\"",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"a\"\nat = \"30min\"\nevery = \"30min\"\ncount = 2",
        11,
        "`at` cannot be 1 h: give a time within the duration of 1 h",
    ),
    (
        "[[link]]\nbetween = [\"a\", \"b\", \"a\"]\nprofile = \"geo\"",
        11,
        "two different nodes",
    ),
    (
        "[[link]]\nprofile = \"bus-mule\"\ntimetable = [{ arrive = \"1h\", leave = \"2h\" }]",
        13,
        "a halt in `timetable` needs `at`: give the name of a node",
    ),
    (
        "[[link]]\nprofile = \"bus-mule\"\nevery = \"5us\"\ntimetable = [{ at = \"a\", arrive = \"0s\", leave = \"1us\" },\n{ at = \"b\", arrive = \"2us\", leave = \"3us\" }]",
        11,
        "stops of couriers, each round counted, are more than a scenario may have: give at most 200000",
    ),
    ("[[node]]\nname = \"c\\u001b[2J\"", 12, "letters, digits"),
    (
        "[[link]]\nprofile = \"geo\"\nbetween = [\"a\", \"\\u001b[2J\"]",
        13,
        "there is no node `\\u{1b}[2J`",
    ),
    (
        "[[message]]\nfrom = \"a\"\nto = \"b\"\nparts = [{ text = 1, via = \"x\" }]",
        14,
        "no link `x`",
    ),
    (
        "[[message]]\nfrom = \"a\"\nto = \"b\"\nat = \"2h\"\nparts = [{ text = 1 }]",
        11,
        "within the duration of 1 h",
    ),
    (
        "[[message]]\nfrom = \"a\"\nto = \"b\"\nevery = \"1s\"\nparts = [{ text = 1 }]",
        11,
        "`every` and `count` go together",
    ),
    (
        "[[message]]\nfrom = \"a\"\nto = \"b\"\nevery = \"1ns\"\ncount = 100001\nparts = [{ text = 1 }]",
        15,
        "from 1 to 100000",
    ),
    (
        "[[fault]]\nkind = \"meteor\"",
        12,
        "one of crash, power-cut",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"c\"",
        13,
        "no node `c`",
    ),
    (
        "[[fault]]\nkind = \"delay\"\nlink = \"l\"",
        11,
        "needs `by`",
    ),
    (
        "[[fault]]\nkind = \"clock-drift\"\nnode = \"a\"\nppm = 1e9",
        14,
        "at most 500000",
    ),
    (
        "[[route]]\nnode = \"a\"\nto = \"b\"\nvia = \"a\"",
        11,
        "differ from `node`",
    ),
    (
        "[expect]\ndelivered = \"some\"",
        12,
        "\"all\", a number from 0 to 1",
    ),
    (
        "[expect]\ndeliverd = \"all\"",
        12,
        "did you mean `delivered`?",
    ),
];

/// Guards errors: each names the file, the line, what is wrong, and a remedy.
#[test]
fn what_is_wrong_is_said_with_its_line_and_a_remedy() {
    Scenario::parse("good.toml", GOOD).unwrap();
    let refused = |text: &str| {
        Scenario::parse("bad.toml", text)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    for (added, line, words) in BAD {
        let why = refused(&format!("{GOOD}{added}\n"));
        assert!(
            why.starts_with(&format!("bad.toml:{line}: ")),
            "{added}\n-> {why}"
        );
        assert!(why.contains(words), "{added}\n-> {why}");
    }
    for (text, words) in [
        ("", "needs `scenario`"),
        (
            "[scenario]\n[[node]]\nname = \"a\"",
            "[scenario] needs `duration`",
        ),
        ("[scenario]\nduration = \"1h\"", "needs `node`"),
        (
            "[scenario]\nduration = 5\n[[node]]\nname = \"a\"",
            "above 0 and of at most 3650d",
        ),
        (
            "[scenario]\nduration = \"1h\"\ntitle = \"\\u202Egnp.exe\"",
            "bad.toml:3: `title` has the control character U+202E: leave it out",
        ),
        (
            "[scenario]\nduration = \"1h\"\ndescription = \"\"\"\ntwo\nlines\\u001b[2J\"\"\"",
            "`description` has the control character U+001B",
        ),
        (
            "[scenario]\nduration = \"1h\"\nmode = \"fast\"",
            "one of model, quic",
        ),
    ] {
        let why = refused(text);
        assert!(why.contains(words), "{text}\n-> {why}");
    }
    let missing = Scenario::load(Path::new("/nowhere/at-all.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("/nowhere/at-all.toml: the file cannot be read"),
        "{missing}"
    );
}

/// Guards the bound of a part's name, which is that of a manifest: 255 bytes, and not one more.
#[test]
fn the_name_of_a_part_has_at_most_255_bytes() {
    let named = |length| {
        let name = "n".repeat(length);
        let part = format!("parts = [{{ text = 1, name = \"{name}\" }}]");
        Scenario::parse(
            "long.toml",
            &format!("{GOOD}[[message]]\nfrom = \"a\"\nto = \"b\"\n{part}\n"),
        )
    };
    named(255).unwrap();
    let why = named(256).unwrap_err().to_string();
    assert!(
        why.starts_with("long.toml:14: ") && why.contains("at most 255 bytes"),
        "{why}"
    );
}

/// Guards against files that are never read to their end, or that nobody writes to.
#[test]
#[cfg(unix)]
fn a_trace_that_is_no_regular_file_is_refused() {
    let folder = std::env::temp_dir().join(format!("netsim-trace-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("endless.toml");
    std::fs::write(&file, format!("{GOOD}trace = \"/dev/zero\"\n")).unwrap();
    let refused = Scenario::load(&file).unwrap_err().to_string();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(
        refused.contains(":11: the trace /dev/zero: it is no regular file"),
        "{refused}"
    );
    let endless = Scenario::load(Path::new("/dev/zero"))
        .unwrap_err()
        .to_string();
    assert!(endless.contains("more than the 4194304 bytes"), "{endless}");
}

/// Guards reading against work that grows with the square of a file's length: as many nodes as fit into one are refused at
/// the first that is too many.
#[test]
fn too_many_nodes_are_refused_where_they_are_too_many() {
    let node = |n: usize| format!("[[node]]\nname = \"n{n}\"\n");
    let nodes: String = (0..120_000).map(node).collect();
    let text = format!("[scenario]\nduration = \"1h\"\n{nodes}");
    let why = Scenario::parse("many.toml", &text).unwrap_err().to_string();
    assert!(
        why.starts_with("many.toml:4003: 2001 nodes are more"),
        "{why}"
    );
}

proptest! {
    /// Guards against bad files: whatever stands in one, reading it gives a scenario or an error with a line of the
    /// file.
    #[test]
    fn broken_files_are_refused_and_nothing_else(
        which in 0usize..3,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..5, any::<char>()), 1..6),
    ) {
        let name = ["two-links.toml", "village-bus.toml", "mesh.toml"][which];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let mut lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        for (a, b, kind, letter) in edits {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            let place = b % lines[a].len().max(1);
            match kind {
                0 => { lines.remove(a); }
                1 => lines.swap(a, b),
                2 => { let line = lines[b].clone(); lines.insert(a, line); }
                3 if !lines[a].is_empty() => { lines[a].remove(place); }
                _ => { let place = place.min(lines[a].len()); lines[a].insert(place, letter); }
            }
        }
        let text: Vec<String> = lines.into_iter().map(|line| line.into_iter().collect()).collect();
        let text = text.join("\n");
        // A letter may be the end of a line.
        let count = text.split('\n').count();
        match Scenario::parse("broken.toml", &text) {
            Ok(scenario) => { let _ = scenario.check_reach(); }
            Err(why) => prop_assert!((1..=count).contains(&why.line.unwrap()), "{why}"),
        }
    }
}
