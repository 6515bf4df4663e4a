//! Puts any program behind a bad link, in real time: `netsim up`, `netsim exec`, `netsim down`.

#[cfg(target_os = "linux")]
mod arguments;
#[cfg(target_os = "linux")]
mod check;
#[cfg(target_os = "linux")]
mod failure;
#[cfg(target_os = "linux")]
mod launch;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod profiles;
#[cfg(target_os = "linux")]
mod run;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    run::run()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!(
        "netsim: this system has no network namespaces: run it on Linux, or use the library's virtual time"
    );
    std::process::ExitCode::FAILURE
}
