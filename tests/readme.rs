//! What the README promises to scripts.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

use std::process::Command;

/// Guards that the README and the program name the same exit codes.
#[test]
fn exit_codes_are_those_of_the_help() {
    let help = Command::new(env!("CARGO_BIN_EXE_ostrakon"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let codes = help
        .lines()
        .skip_while(|line| *line != "Exit codes:")
        .skip(1);
    let told: Vec<String> = codes
        .map_while(|line| line.trim().split_once(' '))
        .map(|(code, text)| format!("| {code} | {} |", text.trim()))
        .collect();
    let readme = include_str!("../README.md").lines();
    let rows: Vec<&str> = readme
        .skip_while(|line| *line != "| exit code | |")
        .skip(2)
        .collect();
    assert!(told.len() > 9, "{help}");
    assert_eq!(told, rows[..told.len()]);
    assert_eq!(rows[told.len()], "");
}
