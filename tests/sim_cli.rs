//! `ostrakon sim`, as people and scripts meet it: exit codes, and what is told of a run that was stopped.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

fn sim(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ostrakon"));
    command
        .env_remove("OSTRAKON_LOG")
        .arg("sim")
        .args(args)
        .stdin(Stdio::null());
    command
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// Guards the table of exit codes: a name that nothing has, an order that makes no sense, and input that is damaged are told
/// apart, and an order is named by its own words.
#[test]
fn the_exit_code_says_whose_doing_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken");
    std::fs::write(&file, "[scenario]\nduration = 5\n").unwrap();
    let (file, folder) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
    for (expected, args, words) in [
        (3, &["nosuch"][..], "there is no scenario \"nosuch\""),
        (3, &[""], "sim list"),
        (2, &[folder], "sim list"),
        (2, &["outage", "--mode", "foo"], "--mode foo: "),
        (2, &["outage", "--set", "bogus=1"], "--set bogus=1: "),
        (2, &["outage", "--set", "rate=1,rate=2"], "was set before"),
        (2, &["limit-bulk-0", "--set", "mtu=600"], "--set mtu=600: "),
        (2, &["limit-shared", "--mode", "model"], "--mode model: "),
        (2, &["outage", "--seeds", "2..1"], "1..1000"),
        (7, &[file], "broken:2: "),
        (7, &[file, "--set", "rate=0"], "broken:2: "),
    ] {
        let output = sim(&[&["run"][..], args].concat()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), Some(expected), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

/// Guards that output which found no room is told as a disk that is full.
#[test]
#[cfg(target_os = "linux")]
fn output_without_room_is_a_full_disk() {
    for args in [&["list"][..], &["run", "outage", "--json"]] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let mut command = sim(args);
        let output = command.stdout(full).stderr(Stdio::piped()).output();
        let output = output.unwrap();
        assert_eq!(code(&output), Some(5), "{args:?}: {output:?}");
    }
}

/// Guards the work of hours: who stops a run of many seeds reads what those have shown that had ended, and that they are not all.
#[test]
fn what_has_ended_is_told_when_the_rest_is_stopped() {
    let mut command = sim(&["run", "outage", "--seeds", "1..1000000", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(first["seed"].is_u64(), "{first}");
    let pid = i32::try_from(child.id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<Value> = lines
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let [seeds @ .., sum, stopped] = rest.as_slice() else {
        panic!("{rest:?}");
    };
    assert_eq!(stopped["error"]["kind"], "interrupted", "{stopped}");
    assert_eq!(sum["asked"], 1_000_000, "{sum}");
    assert_eq!(sum["ran"], seeds.len() + 1, "{sum}");
    assert!(seeds.iter().all(|seed| seed["seed"].is_u64()));
}
