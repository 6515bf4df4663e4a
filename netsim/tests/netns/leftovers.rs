//! What is left on the machine when a network has ended, one way or another.

use std::path::Path;

use rustix::process::Signal;

use super::bench::{Net, ip, netsim};

/// Guards the ordinary end.
pub fn down_leaves_nothing() {
    let net = Net::up(&["--profile", "lan"]);
    assert!(net.remnants().len() >= 4, "{:?}", net.remnants());
    net.succeed("down", &[]);
    assert_eq!(net.remnants(), Vec::<String>::new());
    assert!(net.fail("down", &[]).contains("no network"));
}

/// Guards a script and a person who end a network at once: whoever comes second is told that it has ended, and not to kill
/// a process that is gone or another's by now.
pub fn of_two_ends_at_once_neither_fails_badly() {
    for _ in 0..3 {
        let net = Net::up(&["--profile", "lan"]);
        let both = [(), ()].map(|()| net.start_down());
        for down in both {
            let output = down.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            let ended = output.status.success() || said.contains("there is no network");
            assert!(
                ended && !said.contains("kill"),
                "{:?}: {said}",
                output.status
            );
        }
        assert_eq!(net.remnants(), Vec::<String>::new());
    }
}

/// Guards a shutdown of the machine, or an impatient user: SIGTERM is an ordinary end.
pub fn a_terminated_carrier_leaves_nothing() {
    let net = Net::up(&["--profile", "lan"]);
    net.signal(Signal::TERM);
    assert_eq!(net.remnants(), Vec::<String>::new());
}

/// Guards `down` after a kill that nothing can catch.
pub fn down_removes_what_a_killed_carrier_left() {
    let net = killed();
    let said = net.succeed("down", &[]);
    assert!(said.contains("killed"), "{said}");
    assert_eq!(net.remnants(), Vec::<String>::new());
}

/// Guards `list` after such a kill.
pub fn list_removes_what_a_killed_carrier_left() {
    let net = killed();
    let listed = netsim(&["list"]);
    assert!(listed.status.success(), "{listed:?}");
    assert_eq!(net.remnants(), Vec::<String>::new());
}

/// Guards `up` after such a kill: the name serves again at once.
pub fn up_replaces_what_a_killed_carrier_left() {
    let net = killed();
    net.succeed("up", &["--profile", "lan"]);
    net.succeed("exec", &["a", "--", "true"]);
}

/// Guards everybody else's namespaces: one that took a name meanwhile is not removed.
pub fn a_namespace_of_others_stays() {
    let net = killed();
    let name = net.namespace("a");
    ip(&["netns", "del", &name]);
    ip(&["netns", "add", &name]);
    net.succeed("down", &[]);
    let stayed = Path::new("/run/netns").join(&name).exists();
    let refused = net.fail("up", &["--profile", "lan"]);
    ip(&["netns", "del", &name]);
    assert!(stayed);
    assert!(refused.contains(&name), "{refused}");
    assert_eq!(net.remnants(), Vec::<String>::new());
}

/// A network whose carrier was killed; its namespaces are still there.
fn killed() -> Net {
    let net = Net::up(&["--profile", "lan"]);
    net.signal(Signal::KILL);
    assert!(net.remnants().len() >= 3, "{:?}", net.remnants());
    net
}
