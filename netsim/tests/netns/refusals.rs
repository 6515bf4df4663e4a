//! What is refused, and what is said then.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::bench::{Net, PROGRAM, netsim};

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

/// Guards scripts that write to a full disk: a failure, with words and without a panic, and `up` says that the network is
/// there all the same.
pub fn what_cannot_be_printed_is_told() {
    let net = Net::named();
    let full = |arguments: &[&str]| {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut program = Command::new(PROGRAM);
        let output = program.args(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = full(&["up", &net.name, "--profile", "lan"]);
    let end = format!("netsim down {}", net.name);
    assert!(said.contains("is up") && said.contains(&end), "{said}");
    net.succeed("exec", &["a", "--", "true"]);
    for arguments in [
        ["stats", &net.name, "--json"].as_slice(),
        &["list"],
        &["profiles"],
    ] {
        let said = full(arguments);
        assert!(said.contains("cannot write"), "{arguments:?}: {said}");
    }
}

/// Guards `netsim … | head -1`.
pub fn a_reader_that_has_gone_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(PROGRAM)
        .arg("profiles")
        .stdout(writer)
        .output();
    let output = output.unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

/// Guards scripts that ask why a command did not run.
pub fn a_command_that_cannot_run_has_the_status_of_shells() {
    let net = Net::up(&["--profile", "lan"]);
    for (command, status, words) in [
        (
            "no-such-program",
            127,
            "there is no program no-such-program",
        ),
        ("/etc/passwd", 126, "/etc/passwd cannot be executed"),
    ] {
        let output = net.run("exec", &["a", "--", command]);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words), "{said}");
    }
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
