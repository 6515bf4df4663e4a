//! What is refused, and what is said then.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::bench::{Net, netsim};

/// Guards a running network against a second one of its name.
pub fn a_name_serves_once() {
    let net = Net::up(&["--profile", "lan"]);
    let said = net.fail("up", &["--profile", "lan"]);
    assert!(said.contains("up already"), "{said}");
    net.succeed("exec", &["a", "--", "true"]);
}

/// Guards that a mistake in the arguments is told before anything is made.
pub fn bad_arguments_start_nothing() {
    let net = Net::named();
    for arguments in [
        ["--profile", "nonsense"].as_slice(),
        &["--profile", "lan", "loss=2"],
        &["--profile", "lan", "nonsense=1"],
        &["--profile", "lan", "mtu=60"],
    ] {
        let said = net.fail("up", arguments);
        assert!(said.starts_with("netsim: ") && said.contains(':'), "{said}");
        assert_eq!(net.remnants(), Vec::<String>::new(), "{arguments:?}");
    }
    for name in ["../x", "A", "", "-a b"] {
        let output = netsim(&["up", "--profile", "lan", "--", name]);
        assert!(!output.status.success(), "{name:?} {output:?}");
    }
    assert!(net.fail("stats", &[]).contains("no network"));
}

/// Guards the first thing that most people will see.
pub fn without_root_it_says_so() {
    // A copy, because the folder that programs are built in may be closed to others.
    let copy = std::env::temp_dir().join(format!("netsim-{}", std::process::id()));
    std::fs::copy(env!("CARGO_BIN_EXE_netsim"), &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(&copy)
        .args(["up", "x", "--profile", "lan"])
        .current_dir("/")
        .uid(65534)
        .output();
    std::fs::remove_file(&copy).unwrap();
    let output = output.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("root") && said.contains("sudo"), "{said}");
}
