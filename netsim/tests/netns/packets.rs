//! What happens to packets.

use serde_json::Value;

use super::bench::{Net, STREAM};

/// Guards the delay, and that only programs' packets are on the link: a packet is never early, and both directions carried
/// exactly the five that were sent.
pub fn a_round_trip_takes_the_profile_s_time() {
    let net = Net::up(&["--profile", "geo", "loss=0"]);
    let _echo = net.start("b", "echo");
    let mut ping = net.start("a", "ping");
    for _ in 0..5 {
        let micros: u64 = ping.line().parse().unwrap();
        assert!(micros >= 600_000, "{micros} us");
    }
    for direction in [0, 1] {
        let stats = net.stats(direction);
        assert_eq!(stats["offered"], 5, "{stats}");
        assert_eq!(stats["delivered"], 5, "{stats}");
        // 64 bytes, and 28 of IPv4 and UDP.
        assert_eq!(stats["delivered_bytes"], 5 * 92, "{stats}");
    }
}

/// Guards against segments above the MTU: TCP hands the kernel large ones, and the link must meet none of them.
pub fn a_tcp_stream_arrives_whole() {
    let net = Net::up(&["--profile", "lan"]);
    let mut receiver = net.start("b", "tcp-receive");
    let _sender = net.start("a", "tcp-send");
    assert_eq!(receiver.line(), format!("{STREAM} true"));
    let stats = net.stats(0);
    assert_eq!(stats["too_big"], 0, "{stats}");
    assert!(
        stats["offered"].as_u64().unwrap() > (STREAM / 1500) as u64,
        "{stats}"
    );
}

/// Guards `set`, and the counts: with a loss of 1 every packet is counted as lost, and none arrives.
pub fn what_is_lost_is_counted() {
    let net = Net::up(&["--profile", "lan"]);
    net.succeed("set", &["loss=1"]);
    net.succeed("exec", &["a", "--", "sh", "-c", SEND_TEN]);
    let stats = net.stats(0);
    assert_eq!(stats["offered"], 10, "{stats}");
    assert_eq!(stats["lost"], 10, "{stats}");
    assert_eq!(stats["delivered"], 0, "{stats}");
    assert!(net.fail("set", &["loss=2"]).contains("0 to 1"));
    assert!(net.fail("set", &["mtu=600"]).contains("MTU"));
}

/// Guards `cut` and `restore`: nothing passes while the link is cut, and packets pass again after it.
pub fn a_cut_link_carries_nothing() {
    let net = Net::up(&["--profile", "lan"]);
    net.succeed("cut", &[]);
    net.succeed("exec", &["a", "--", "sh", "-c", SEND_TEN]);
    let stats = net.stats(0);
    assert_eq!(stats["cut"], 10, "{stats}");
    net.succeed("restore", &["--link", "link0"]);
    let _echo = net.start("b", "echo");
    let mut ping = net.start("a", "ping");
    let _micros: u64 = ping.line().parse().unwrap();
    assert!(net.fail("cut", &["--link", "link1"]).contains("link1"));
}

/// Guards that programs in scripts behave as without netsim: their exit status comes through.
pub fn the_exit_status_is_the_command_s() {
    let net = Net::up(&["--profile", "lan"]);
    let ended = net.run("exec", &["b", "--", "sh", "-c", "exit 7"]);
    assert_eq!(ended.status.code(), Some(7));
    assert!(net.fail("exec", &["c", "--", "true"]).contains("a, b"));
}

/// Guards one-way links: what is sent back is dropped and counted, also after a cut and a restoration.
pub fn a_one_way_link_brings_nothing_back() {
    let net = Net::up(&["--profile", "lan", "oneway=yes"]);
    net.succeed("cut", &[]);
    net.succeed("restore", &[]);
    net.succeed(
        "exec",
        &["b", "--", "sh", "-c", &SEND_TEN.replace("0.2/", "0.1/")],
    );
    let stats = net.stats(1);
    assert_eq!(stats["cut"], 10, "{stats}");
}

/// Guards radio: the stations take turns on one channel, and 64 bytes with all headers take their time at 9600 bit/s, there
/// and back.
pub fn a_radio_channel_carries_both_ways() {
    let net = Net::up(&["--profile", "uhf-9600", "loss=0"]);
    let _echo = net.start("b", "echo");
    let mut ping = net.start("a", "ping");
    for _ in 0..5 {
        let micros: u64 = ping.line().parse().unwrap();
        assert!(micros >= 2 * 92 * 8 * 1_000_000 / 9600, "{micros} us");
    }
    let report: Value = serde_json::from_str(&net.succeed("stats", &["--json"])).unwrap();
    for station in report["links"][0]["stations"].as_array().unwrap() {
        assert_eq!(station["sent"], 5, "{station}");
        assert_eq!(station["delivered"], 5, "{station}");
    }
    assert!(net.fail("set", &["loss=1"]).contains("radio"));
}

/// Guards scenarios as topologies: two links between the same hosts are two devices, a channel of three reaches all three,
/// and what one link is made to lose the other does not.
pub fn a_scenario_s_hosts_have_all_its_links() {
    let file = std::env::temp_dir().join(format!("netsim-{}.toml", std::process::id()));
    std::fs::write(&file, SCENARIO).unwrap();
    let path = file.to_str().unwrap();
    let net = Net::up(&["--topology", path]);
    let refused = Net::named().fail("up", &["--topology", path, "sat.los=1"]);
    std::fs::remove_file(&file).unwrap();
    assert!(refused.contains("sat.loss"), "{refused}");
    net.succeed("set", &["--link", "sat", "loss=1"]);
    assert!(net.fail("cut", &["--link", "sad"]).contains("no link sad"));
    net.succeed("exec", &["a", "--", "sh", "-c", SEND_TEN]);
    for address in ["1.2/", "2.2/", "2.3/"] {
        let send = SEND_TEN.replace("0.2/", address);
        net.succeed("exec", &["a", "--", "sh", "-c", &send]);
    }
    let report: Value = serde_json::from_str(&net.succeed("stats", &["--json"])).unwrap();
    let links = &report["links"];
    assert_eq!(links[0]["directions"][0]["lost"], 10, "{report}");
    assert_eq!(links[1]["directions"][0]["offered"], 10, "{report}");
    assert_eq!(links[1]["directions"][0]["lost"], 0, "{report}");
    assert_eq!(links[2]["stations"][0]["offered"], 20, "{report}");
}

const SCENARIO: &str = r#"
[scenario]
duration = "1h"
[[node]]
name = "a"
[[node]]
name = "b"
[[node]]
name = "c-3"
[[link]]
name = "sat"
between = ["a", "b"]
profile = "geo"
[[link]]
name = "cable"
between = ["a", "b"]
profile = "lan"
[[link]]
name = "radio"
stations = ["a", "b", "c-3"]
profile = "uhf-9600"
"#;

/// Guards thin links: IPv6 needs 1280 bytes (RFC 8200), so a smaller link has IPv4 only, and comes up.
pub fn a_small_mtu_leaves_out_ipv6() {
    let net = Net::up(&["--profile", "lan", "mtu=300"]);
    let addresses = net.succeed(
        "exec",
        &["a", "--", "ip", "-oneline", "address", "show", "link0"],
    );
    assert!(addresses.contains("10.77.0.1/24"), "{addresses}");
    assert!(!addresses.contains("inet6"), "{addresses}");
}

/// Ten UDP packets to a port where nobody listens, by a shell that knows no more than `/dev/udp`.
const SEND_TEN: &str =
    "exec bash -c 'for i in 0 1 2 3 4 5 6 7 8 9; do echo $i >/dev/udp/10.77.0.2/4000; done'";
