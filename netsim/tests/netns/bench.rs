//! What the tests share: a network of their own, programs to run in it, and a look at what is left.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_netsim");
/// Says what this program is to do instead of testing.
const ROLE: &str = "NETSIM_TEST_ROLE";
/// The addresses of the two hosts, which are the same in every network.
const A: &str = "10.77.0.1";
pub const B: &str = "10.77.0.2";
const PORT: u16 = 4000;
/// How long a program waits for a packet that does come, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why these tests cannot run here.
pub fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        Some("these tests need root")
    } else if !Path::new("/dev/net/tun").exists() {
        Some("these tests need /dev/net/tun")
    } else if Command::new("ip").arg("-V").output().is_err() {
        Some("these tests need `ip` from iproute2")
    } else {
        None
    }
}

/// A network that is removed with this value.
pub struct Net {
    pub name: String,
}

impl Net {
    /// A name that no other test uses.
    pub fn named() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            name: format!("test{}-{next}", std::process::id()),
        }
    }

    pub fn up(arguments: &[&str]) -> Self {
        let net = Self::named();
        net.succeed("up", arguments);
        net
    }

    /// Runs `netsim COMMAND NAME …`.
    pub fn run(&self, command: &str, arguments: &[&str]) -> Output {
        let mut all = vec![command, self.name.as_str()];
        all.extend(arguments);
        netsim(&all)
    }

    pub fn succeed(&self, command: &str, arguments: &[&str]) -> String {
        let output = self.run(command, arguments);
        assert!(
            output.status.success(),
            "{command} {arguments:?}: {output:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it, expects it to fail, and returns what it said.
    pub fn fail(&self, command: &str, arguments: &[&str]) -> String {
        let output = self.run(command, arguments);
        assert!(
            !output.status.success(),
            "{command} {arguments:?}: {output:?}"
        );
        String::from_utf8(output.stderr).unwrap()
    }

    /// Starts `netsim down NAME`.
    pub fn start_down(&self) -> Child {
        let mut down = Command::new(PROGRAM);
        down.args(["down", &self.name]);
        let down = down.stdout(Stdio::piped()).stderr(Stdio::piped());
        down.spawn().unwrap()
    }

    /// Starts this program on a host in another role, and returns when it is ready.
    pub fn start(&self, host: &str, role: &str) -> Role {
        let own = std::env::current_exe().unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["exec", &self.name, host, "--"])
            .arg(own)
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        output.read_line(&mut ready).unwrap();
        assert_eq!(ready.trim(), "ready", "{role} on {host}");
        Role { child, output }
    }

    /// One direction of the first link, as `stats --json` tells of it.
    pub fn stats(&self, direction: usize) -> Value {
        let report: Value = serde_json::from_str(&self.succeed("stats", &["--json"])).unwrap();
        report["links"][0]["directions"][direction].clone()
    }

    /// The process that carries it.
    pub fn carrier(&self) -> i32 {
        let report: Value = serde_json::from_str(&self.succeed("stats", &["--json"])).unwrap();
        i32::try_from(report["pid"].as_i64().unwrap()).unwrap()
    }

    /// Sends the carrier a signal and waits until it is gone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.carrier();
        let process = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(process, signal).unwrap();
        let start = Instant::now();
        while alive(pid) {
            assert!(start.elapsed() < PATIENCE, "process {pid} does not end");
            std::thread::yield_now();
        }
    }

    pub fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    /// Whatever is on the machine of this network.
    pub fn remnants(&self) -> Vec<String> {
        let files = [
            format!("/run/netns/{}", self.namespace("a")),
            format!("/run/netns/{}", self.namespace("b")),
            format!("/run/netsim/{}", self.name),
        ];
        let mut left: Vec<String> = files
            .into_iter()
            .filter(|path| Path::new(path).exists())
            .collect();
        let processes = std::fs::read_dir("/proc").unwrap();
        for process in processes.flatten() {
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = command.split(|&byte| byte == 0).collect();
            if words.contains(&b"carry".as_slice()) && words.contains(&self.name.as_bytes()) {
                left.push(format!("{:?}", process.path()));
            }
        }
        left
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // After a test that ended it itself there is nothing to end.
        let _ended = self.run("down", &[]);
    }
}

pub fn netsim(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

pub fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {arguments:?}");
}

/// Whether a process still runs (and is not only waiting to be reaped).
fn alive(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    status.is_ok_and(|text| {
        let state = text.rsplit(')').next().unwrap_or_default();
        !state.trim_start().starts_with('Z')
    })
}

/// This program on a host, doing something else than testing.
pub struct Role {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Role {
    /// What it prints next.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Does what the environment says, if it says anything.
pub fn play_role() -> bool {
    let Ok(role) = std::env::var(ROLE) else {
        return false;
    };
    match role.as_str() {
        "echo" => echo(),
        "ping" => ping(),
        "tcp-send" => tcp_send(),
        "tcp-receive" => tcp_receive(),
        other => panic!("no role {other:?}"),
    }
    true
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

fn echo() {
    let socket = UdpSocket::bind((B, PORT)).unwrap();
    say("ready");
    let mut buffer = [0; 2048];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&buffer[..len], from).unwrap();
    }
}

/// Five round trips, one after the other; prints the microseconds of each.
fn ping() {
    let socket = UdpSocket::bind((A, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    say("ready");
    for number in 0..5u8 {
        let start = Instant::now();
        socket.send_to(&[number; 64], (B, PORT)).unwrap();
        let mut buffer = [0; 2048];
        let len = socket.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..len], [number; 64]);
        say(&start.elapsed().as_micros().to_string());
    }
}

/// Bytes that the TCP test sends.
pub const STREAM: usize = 2_000_000;

fn tcp_send() {
    let mut stream = TcpStream::connect((B, PORT)).unwrap();
    say("ready");
    let bytes: Vec<u8> = (0..STREAM).map(|at| (at % 251) as u8).collect();
    stream.write_all(&bytes).unwrap();
}

fn tcp_receive() {
    let listener = TcpListener::bind((B, PORT)).unwrap();
    say("ready");
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let whole = bytes
        .iter()
        .enumerate()
        .all(|(at, &byte)| byte == (at % 251) as u8);
    say(&format!("{} {whole}", bytes.len()));
}
