//! A protocol to try worlds with: go-back-N with cumulative acknowledgements and a receiver that has a disk.

use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::world::{Host, Out, Port, Stop};

pub const MS: Nanos = 1_000_000;
pub const SECOND: Nanos = 1000 * MS;
/// How long the receiver's disk takes to write.
const WRITE: Nanos = 2 * MS;

/// Sends `total` packets of `len` bytes.
pub struct Sender {
    pub total: u64,
    pub window: u64,
    pub len: usize,
    pub timeout: Nanos,
    pub acked: u64,
    pub starts: Vec<(Nanos, i64)>,
    next: u64,
}

/// Takes packets in order, and acknowledges what is on its disk.
#[derive(Default)]
pub struct Receiver {
    /// What the process has taken.
    pub taken: u64,
    /// What a power cut leaves.
    disk: u64,
    pub starts: Vec<(Nanos, i64)>,
    pub links: Vec<(Nanos, bool)>,
    /// Packets that came with other bytes than a sender would send.
    pub bad: u64,
    pub copies: u64,
}

pub enum Toy {
    Sender(Sender),
    Receiver(Receiver),
}

impl Toy {
    pub fn sender(total: u64, window: u64, len: usize, timeout: Nanos) -> Self {
        Self::Sender(Sender {
            total,
            window,
            len,
            timeout,
            acked: 0,
            starts: Vec::new(),
            next: 0,
        })
    }

    pub fn receiver() -> Self {
        Self::Receiver(Receiver::default())
    }

    pub fn as_sender(&self) -> &Sender {
        match self {
            Self::Sender(sender) => sender,
            Self::Receiver(_) => panic!("a receiver"),
        }
    }

    pub fn as_receiver(&self) -> &Receiver {
        match self {
            Self::Receiver(receiver) => receiver,
            Self::Sender(_) => panic!("a sender"),
        }
    }
}

fn packet(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![number as u8; len];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..16].copy_from_slice(&(!number).to_be_bytes());
    bytes
}

/// The number in a packet that is as it was sent.
fn number(bytes: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(*bytes.first_chunk()?);
    (bytes == packet(number, bytes.len())).then_some(number)
}

impl Sender {
    fn fill(&mut self, now: Nanos, out: &mut Out<'_>) {
        while self.next < self.total && self.next < self.acked + self.window {
            out.send(Port(0), packet(self.next, self.len));
            self.next += 1;
        }
        if self.acked < self.total {
            out.wake_at(now + self.timeout);
        } else {
            out.sleep();
        }
    }
}

impl Host for Toy {
    fn start(&mut self, now: Nanos, out: &mut Out<'_>) {
        match self {
            Self::Sender(s) => {
                s.starts.push((now, out.calendar()));
                s.next = s.acked;
                s.fill(now, out);
            }
            Self::Receiver(r) => {
                r.starts.push((now, out.calendar()));
                out.note("started", "receiver", r.taken);
            }
        }
    }

    fn packet(&mut self, now: Nanos, port: Port, packet: Bytes, out: &mut Out<'_>) {
        match self {
            Self::Sender(s) => {
                // An acknowledgement says the same twice, so that damage shows.
                let (a, b) = packet.split_at(8);
                let acked = u64::from_be_bytes(a.try_into().unwrap());
                if a == b && acked > s.acked {
                    s.acked = acked;
                    s.next = s.next.max(acked);
                    s.fill(now, out);
                }
            }
            Self::Receiver(r) => match number(&packet) {
                None => r.bad += 1,
                Some(n) if n == r.taken => {
                    r.taken += 1;
                    out.after(WRITE, r.taken);
                }
                Some(_) => {
                    r.copies += 1;
                    out.send(port, [r.disk.to_be_bytes(); 2].concat());
                }
            },
        }
    }

    fn link(&mut self, now: Nanos, _port: Port, up: bool, _out: &mut Out<'_>) {
        if let Self::Receiver(r) = self {
            r.links.push((now, up));
        }
    }

    fn timer(&mut self, now: Nanos, out: &mut Out<'_>) {
        if let Self::Sender(s) = self {
            s.next = s.acked;
            s.fill(now, out);
        }
    }

    fn done(&mut self, _now: Nanos, token: u64, out: &mut Out<'_>) {
        if let Self::Receiver(r) = self {
            r.disk = token;
            out.send(Port(0), [r.disk.to_be_bytes(); 2].concat());
        }
    }

    fn stop(&mut self, _now: Nanos, how: Stop) {
        if let Self::Receiver(r) = self {
            match how {
                Stop::Crash => r.disk = r.taken,
                Stop::PowerCut => r.taken = r.disk,
            }
        }
    }
}
