//! The demo itself: it has to show what it claims, and to fail when it cannot.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the demo; returns its exit code and the object on the last line of standard output.
fn demo(dir: &Path, args: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_ostrakon"))
        .args(["demo", "--json"])
        .args(args)
        .env("TMPDIR", dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let last = stdout.lines().last().unwrap_or_default();
    let object =
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}\n{stdout}\n{stderr}"));
    println!("{stderr}");
    (output.status.code(), object)
}

/// Nothing of the demo is left: no folder, so no home, no log and no socket.
fn assert_nothing_left(dir: &Path) {
    let left: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with("ostrakon-demo"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// One file, three links, a cut and a kill: delivered once, whole, with every link at work and next to nothing sent twice.
/// The demo checks its own claims and fails if one does not hold; the figures here are checked against each other.
#[test]
fn the_demo_shows_what_it_claims() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("three.bin");
    let content: Vec<u8> = (0..3_000_000u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37) as u8)
        .collect();
    std::fs::write(&file, &content).unwrap();
    let (code, shown) = demo(dir.path(), &["--file", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{shown:#}");
    assert_eq!(
        (&shown["delivered"], &shown["sha256_match"]),
        (&true.into(), &true.into())
    );
    assert_eq!(
        (&shown["deliveries"], &shown["kills"]),
        (&1.into(), &1.into())
    );
    let parts = shown["parts"].as_array().unwrap();
    let sum: u64 = parts
        .iter()
        .map(|part| part["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!((parts.len(), sum), (2, shown["bytes"].as_u64().unwrap()));
    assert!(
        parts[0]["delivered_at_ms"].as_u64() < parts[1]["delivered_at_ms"].as_u64(),
        "{shown:#}"
    );
    let first_seen = shown["links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| link["first_seen_bytes"].as_u64().unwrap());
    assert!(first_seen.sum::<u64>() >= 3_000_000, "{shown:#}");
    let held = shown["delivered_bytes_at_kill"].as_u64().unwrap();
    assert!((1_500_000..3_000_000).contains(&held), "{shown:#}");
    let [elapsed, joint, best] = ["elapsed_ms", "bound_joint_ms", "bound_best_link_ms"]
        .map(|key| shown[key].as_u64().unwrap());
    assert!(0 < joint && joint <= best && joint <= elapsed, "{shown:#}");
    assert_nothing_left(dir.path());
}

/// A file that cannot be sent is refused before anything is started.
#[test]
fn a_file_that_cannot_be_sent_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    for (file, code, kind) in [
        (missing.as_path(), 3, "not_found"),
        (dir.path(), 2, "usage"),
    ] {
        // Without a folder for its processes the demo cannot even begin.
        let nowhere = dir.path().join("nowhere");
        let (ended, shown) = demo(&nowhere, &["--file", file.to_str().unwrap()]);
        assert_eq!(
            (ended, &shown["error"]["kind"]),
            (Some(code), &kind.into()),
            "{shown}"
        );
    }
}

/// Whatever ends the demo, its processes end with it.
#[test]
#[cfg(target_os = "linux")]
fn no_process_outlives_a_demo_that_is_killed() {
    use std::io::{BufRead, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ostrakon"))
        .args(["demo", "--json"])
        .env("TMPDIR", dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let up = |line: &std::io::Result<String>| line.as_ref().unwrap().contains("links are up");
    assert!(
        said.any(|line| up(&line)),
        "the demo ended before its links were up"
    );
    let below = dir.path().to_str().unwrap();
    let processes = || {
        let commands = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            // Empty of a process that has ended.
            std::fs::read(entry.unwrap().path().join("cmdline")).ok()
        });
        let texts = commands.map(|command| String::from_utf8_lossy(&command).into_owned());
        texts.filter(|text| text.contains(below)).count()
    };
    assert!(processes() >= 3, "a relay and two nodes are running");
    child.kill().unwrap();
    child.wait().unwrap();
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while processes() > 0 {
        assert!(
            std::time::Instant::now() < patience,
            "{} are left",
            processes()
        );
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// The control: when every packet is damaged on its way, nothing may count as delivered, and the demo has to fail.
#[test]
fn the_demo_fails_when_every_packet_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (code, shown) = demo(dir.path(), &["--corrupt", "1.0", "--give-up", "30"]);
    assert_eq!(code, Some(1), "{shown:#}");
    assert_eq!(
        (&shown["delivered"], &shown["sha256_match"]),
        (&false.into(), &false.into())
    );
    assert_eq!(shown["deliveries"], 0);
    assert_nothing_left(dir.path());
}
