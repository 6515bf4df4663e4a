//! The program `netsim` as its users meet it: real namespaces, real devices, real packets.
//!
//! It needs root and `/dev/net/tun`. Where they are missing the tests are counted as ignored, and the reason is printed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may fail loudly; without the usual harness clippy does not know that these are tests"
)]

#[cfg(target_os = "linux")]
mod bench;
#[cfg(target_os = "linux")]
mod leftovers;
#[cfg(target_os = "linux")]
mod packets;
#[cfg(target_os = "linux")]
mod refusals;

/// Functions, each with its name.
#[cfg(target_os = "linux")]
macro_rules! tests {
    ($($test:path,)*) => { [$((stringify!($test), $test as fn())),*] };
}

#[cfg(target_os = "linux")]
fn main() {
    use libtest_mimic::{Arguments, Trial};

    if bench::play_role() {
        return;
    }
    let missing = bench::missing();
    if let Some(missing) = &missing {
        eprintln!("ignored: {missing}");
    }
    let tests = tests![
        packets::a_round_trip_takes_the_profile_s_time,
        packets::a_tcp_stream_arrives_whole,
        packets::what_is_lost_is_counted,
        packets::a_cut_link_carries_nothing,
        packets::the_exit_status_is_the_command_s,
        packets::a_one_way_link_brings_nothing_back,
        packets::a_radio_channel_carries_both_ways,
        packets::a_scenario_s_hosts_have_all_its_links,
        packets::a_small_mtu_leaves_out_ipv6,
        leftovers::down_leaves_nothing,
        leftovers::of_two_ends_at_once_neither_fails_badly,
        leftovers::a_terminated_carrier_leaves_nothing,
        leftovers::down_removes_what_a_killed_carrier_left,
        leftovers::list_removes_what_a_killed_carrier_left,
        leftovers::up_replaces_what_a_killed_carrier_left,
        leftovers::a_namespace_of_others_stays,
        refusals::a_name_serves_once,
        refusals::what_cannot_be_printed_is_told,
        refusals::a_reader_that_has_gone_is_no_failure,
        refusals::a_command_that_cannot_run_has_the_status_of_shells,
        refusals::bad_arguments_start_nothing,
        refusals::without_root_it_says_so,
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(missing.is_some())
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("0 passed, 0 failed, 0 skipped: there are no network namespaces on this system");
}
