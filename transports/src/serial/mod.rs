//! Frames over a serial line: a cable, a radio modem, a pseudo-terminal.
//!
//! The device is opened raw, 8 data bits, no parity, one stop bit, and opened again when it disappears. A
//! link is up while the device is open; a serial line does not tell whether anybody listens.
//!
//! # On the line
//!
//! Every frame is one line frame: delimiter, COBS of (header, payload, CRC-32), delimiter. [`framing`] has the
//! layout byte by byte. If physical frames are smaller than [`MIN_MTU`], a frame that does not fit travels in
//! segments, each the payload of a line frame of the kind *segment*, as in [`crate::segment`]. A receiver
//! takes both kinds and any size up to [`MAX_MTU`], whatever it sends itself.
//!
//! # Pace
//!
//! Every byte on the line counts against [`SerialSpec::rate_bps`]. The link asks for the next frame when the
//! line has carried off the one before: credit is 1, and what lies in the operating system and the modem
//! is at most one frame and 20 ms of line time.

pub mod framing;
mod pacer;

use crate::segment::{Reassembler, Segmenter};
use crate::{
    Direction, EventSender, LinkCounters, LinkEvent, LinkHandle, LinkId, LinkKind, LinkOrder,
    LinkProfile, MIN_MTU,
};
use bytes::Bytes;
use framing::{Deframer, PayloadKind, enframe, line_size};
use pacer::Pacer;
use serial2_tokio::SerialPort;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The smallest physical frame, in bytes of payload.
pub const MIN_PHYSICAL_MTU: usize = 64;

/// The largest frame on a serial line, in bytes.
pub const MAX_MTU: usize = 2048;

const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_LAST: Duration = Duration::from_secs(2);
const CREDIT: usize = 1;
const ORDERS: usize = 64;

/// How a serial line is used.
#[derive(Clone, Debug)]
pub struct SerialSpec {
    /// The device, for example `/dev/serial/by-id/...`.
    pub path: PathBuf,
    /// Line speed in baud.
    pub baud: u32,
    /// The payload of a physical frame in bytes; taken as [`MIN_PHYSICAL_MTU`] if below and [`MAX_MTU`] if above.
    pub mtu: usize,
    /// What the line carries in bits per second; `None` is 8 of the 10 bits that a byte takes at that speed.
    pub rate_bps: Option<u64>,
    /// Which way frames travel.
    pub direction: Direction,
}

impl SerialSpec {
    /// Both ways at the full speed of the line, in physical frames of [`MIN_MTU`] bytes.
    pub fn new(path: impl Into<PathBuf>, baud: u32) -> Self {
        Self {
            path: path.into(),
            baud,
            mtu: MIN_MTU,
            rate_bps: None,
            direction: Direction::Both,
        }
    }

    fn physical_mtu(&self) -> usize {
        self.mtu.clamp(MIN_PHYSICAL_MTU, MAX_MTU)
    }

    fn rate(&self) -> u64 {
        self.rate_bps
            .unwrap_or(u64::from(self.baud) * 8 / 10)
            .max(1)
    }

    fn profile(&self) -> LinkProfile {
        LinkProfile {
            kind: LinkKind::Serial,
            mtu: self.physical_mtu().max(MIN_MTU),
            rate_bps: Some(self.rate()),
            rtt: None,
            direction: self.direction,
            store_and_forward: false,
            peer_key: None,
            notice: None,
        }
    }
}

/// A link over a serial line.
#[derive(Debug)]
pub struct SerialLink {
    link: LinkId,
    spec: SerialSpec,
    events: EventSender,
    counters: watch::Sender<LinkCounters>,
}

/// Why a session or a wait came to its end.
enum End {
    /// The owner dropped the handle or no longer listens.
    Owner,
    /// The device failed.
    Device(String),
}

impl SerialLink {
    /// Starts the link; needs a tokio runtime with IO and time.
    ///
    /// The link says `Up` when the device opens and `Down` with the reason when it does not or is gone. It
    /// tries again after 0.2 s, then at growing intervals of up to 2 s.
    pub fn spawn(link: LinkId, spec: SerialSpec, events: EventSender) -> LinkHandle {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (counters, watched) = watch::channel(LinkCounters::default());
        let serial = Self {
            link,
            spec,
            events,
            counters,
        };
        tokio::spawn(serial.run(inbox));
        LinkHandle {
            orders,
            counters: watched,
        }
    }

    async fn run(self, mut inbox: mpsc::Receiver<LinkOrder>) {
        let mut backoff = BACKOFF_FIRST;
        let mut told_down = false;
        loop {
            let reason = match self.open() {
                Ok(port) => {
                    backoff = BACKOFF_FIRST;
                    told_down = false;
                    match self.session(&port, &mut inbox).await {
                        End::Owner => return,
                        End::Device(reason) => reason,
                    }
                }
                Err(error) => format!(
                    "cannot open {}: {error}; check the cable, the path and the right to use it",
                    self.spec.path.display()
                ),
            };
            if !told_down {
                tracing::info!(link = self.link.0, %reason, "serial line down");
                if self
                    .tell_idle(LinkEvent::Down(reason), &mut inbox)
                    .await
                    .is_err()
                {
                    return;
                }
                told_down = true;
            }
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                _ = self.refuse(&mut inbox) => return,
            }
            backoff = (backoff * 2).min(BACKOFF_LAST);
        }
    }

    fn open(&self) -> std::io::Result<SerialPort> {
        SerialPort::open(&self.spec.path, self.spec.baud)
    }

    /// Carries frames both ways until the device fails or the owner leaves.
    async fn session(&self, port: &SerialPort, inbox: &mut mpsc::Receiver<LinkOrder>) -> End {
        let up = LinkEvent::Up(self.spec.profile());
        if let Err(end) = self.tell_idle(up, inbox).await {
            return end;
        }
        let (queue, mut queued) = mpsc::channel(CREDIT);
        let end = tokio::select! {
            end = self.accept(inbox, queue) => end,
            end = self.write(port, &mut queued) => end,
            end = self.read(port) => end,
        };
        while queued.try_recv().is_ok() {
            self.drop_frame();
        }
        end
    }

    /// Takes orders at all times, so that the owner never waits for the line.
    async fn accept(
        &self,
        inbox: &mut mpsc::Receiver<LinkOrder>,
        queue: mpsc::Sender<Bytes>,
    ) -> End {
        let sends = self.sends();
        while let Some(order) = inbox.recv().await {
            if let LinkOrder::Transmit { frame, .. } = order
                && (!sends || queue.try_send(frame).is_err())
            {
                self.drop_frame();
            }
        }
        End::Owner
    }

    /// While there is no device: drops frames until the owner leaves.
    async fn refuse(&self, inbox: &mut mpsc::Receiver<LinkOrder>) -> End {
        while let Some(order) = inbox.recv().await {
            if matches!(order, LinkOrder::Transmit { .. }) {
                self.drop_frame();
            }
        }
        End::Owner
    }

    async fn write(&self, port: &SerialPort, queued: &mut mpsc::Receiver<Bytes>) -> End {
        if !self.sends() {
            return std::future::pending().await;
        }
        let mtu = self.spec.physical_mtu();
        let mut pacer = Pacer::new(self.spec.rate(), line_size(mtu));
        let mut segmenter = Segmenter::new(mtu, getrandom::u32().unwrap_or(0) as u8);
        loop {
            pacer.room().await;
            if self.tell(LinkEvent::Ready(CREDIT)).await.is_err() {
                return End::Owner;
            }
            let Some(frame) = queued.recv().await else {
                return End::Owner;
            };
            if frame.len() > self.spec.profile().mtu {
                self.drop_frame();
                continue;
            }
            let lines = to_lines(&frame, mtu, &mut segmenter);
            for line in lines {
                pacer.take(line.len()).await;
                if let Err(error) = port.write_all(&line).await {
                    self.drop_frame();
                    return self.failed(&error);
                }
            }
            self.counters.send_modify(|c| {
                c.sent_frames += 1;
                c.sent_bytes += frame.len() as u64;
            });
        }
    }

    async fn read(&self, port: &SerialPort) -> End {
        let mut deframer = Deframer::new(MAX_MTU);
        let mut reassembler = Reassembler::new(MAX_MTU);
        let mut buffer = [0; 4096];
        let mut garbage = 0;
        loop {
            let bytes = match port.read(&mut buffer).await {
                Ok(0) => return self.failed(&std::io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => &buffer[..n],
                Err(error) => return self.failed(&error),
            };
            if self.spec.direction == Direction::SendOnly {
                continue;
            }
            for line in deframer.push(bytes) {
                let frame = match line.kind {
                    PayloadKind::Frame => Some(line.payload),
                    PayloadKind::Segment => reassembler.push(line.payload),
                };
                if let Some(frame) = frame
                    && self.deliver(frame).await.is_err()
                {
                    return End::Owner;
                }
            }
            let seen = deframer.garbage() + reassembler.garbage();
            if seen > garbage {
                self.counters.send_modify(|c| c.garbage += seen - garbage);
                garbage = seen;
            }
        }
    }

    async fn deliver(&self, frame: Bytes) -> Result<(), End> {
        self.counters.send_modify(|c| {
            c.received_frames += 1;
            c.received_bytes += frame.len() as u64;
        });
        self.tell(LinkEvent::Received {
            frame,
            custody: None,
        })
        .await
    }

    async fn tell(&self, event: LinkEvent) -> Result<(), End> {
        self.events
            .send((self.link, event))
            .await
            .map_err(|_| End::Owner)
    }

    /// Tells while no frame is expected, and still takes orders, so that owner and link never wait for each other.
    async fn tell_idle(
        &self,
        event: LinkEvent,
        inbox: &mut mpsc::Receiver<LinkOrder>,
    ) -> Result<(), End> {
        tokio::select! {
            told = self.tell(event) => told,
            end = self.refuse(inbox) => Err(end),
        }
    }

    fn sends(&self) -> bool {
        self.spec.direction != Direction::ReceiveOnly
    }

    fn drop_frame(&self) {
        self.counters.send_modify(|c| c.dropped_frames += 1);
    }

    fn failed(&self, error: &std::io::Error) -> End {
        End::Device(format!(
            "{} is gone: {error}; plug it in again, it is looked for every 2 s",
            self.spec.path.display()
        ))
    }
}

/// The line frames that carry `frame`.
fn to_lines(frame: &[u8], mtu: usize, segmenter: &mut Segmenter) -> Vec<Vec<u8>> {
    if frame.len() <= mtu {
        return vec![enframe(PayloadKind::Frame, frame)];
    }
    // A frame fits: 128 segments of the smallest physical size carry more than the MTU of such a link.
    let segments = segmenter.split(frame).unwrap_or_default();
    segments
        .iter()
        .map(|segment| enframe(PayloadKind::Segment, segment))
        .collect()
}
