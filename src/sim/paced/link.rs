//! One end of a paced link: what it sends, what it has received, and for how many frames there is room.

use super::packet::{HEADER, Packet};
use super::receiver::Receiver;
use super::sender::Sender;
use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use std::time::Duration;

/// What an end is like.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The round trip to assume before the first measurement.
    pub rtt: Duration,
    /// What may be in flight before anything was measured, in bytes.
    pub window: u64,
    /// Bytes that each packet takes beside its own.
    pub overhead: u64,
    /// Bytes of the largest frame.
    pub mtu: usize,
}

/// An end while its link is up.
#[derive(Debug)]
pub struct Link {
    sender: Sender,
    receiver: Receiver,
    mtu: usize,
    /// Frames that the owner has been told of and not used.
    credit: usize,
}

impl Link {
    /// An end that has just come up. `series` is another each time.
    pub fn new(setup: &Setup, series: u16, now: Nanos) -> Self {
        Self {
            sender: Sender::new(series, now, setup.rtt, setup.window, setup.overhead),
            receiver: Receiver::default(),
            mtu: setup.mtu,
            credit: 0,
        }
    }

    /// Takes a frame.
    pub fn send(&mut self, frame: Bytes) {
        self.credit = self.credit.saturating_sub(1);
        self.sender.push(frame);
    }

    /// A packet came: the frame in it, if it is a new one.
    pub fn receive(&mut self, now: Nanos, packet: &Bytes) -> Option<Bytes> {
        match Packet::decode(packet)? {
            Packet::Data {
                series,
                number,
                frame,
            } => {
                let new = self.receiver.take(now, series, number);
                Some(frame).filter(|frame| new && !frame.is_empty())
            }
            Packet::Ack {
                series,
                delay_us,
                ranges,
            } => {
                self.sender.on_ack(now, series, delay_us, &ranges);
                None
            }
        }
    }

    /// The next packet that leaves now.
    pub fn transmit(&mut self, now: Nanos) -> Option<Bytes> {
        let packet = self.receiver.acknowledge(now);
        let packet = packet.or_else(|| self.sender.transmit(now))?;
        Some(packet.encode())
    }

    /// Further frames that there is room for. They count as told.
    pub fn room(&mut self) -> usize {
        let frame = self.mtu.max(1);
        let allowed = self.sender.allowance(frame) / frame;
        let taken = self.sender.waiting_bytes().div_ceil(frame) + self.credit;
        let room = allowed.saturating_sub(taken);
        self.credit += room;
        room
    }

    /// When [`Link::transmit`] has to be called if nothing comes before.
    pub fn due(&self) -> Option<Nanos> {
        let all = [self.receiver.due(), self.sender.due()];
        all.into_iter().flatten().min()
    }
}

/// What is left for a frame of a packet of so many bytes.
pub fn frame_mtu(packet: usize) -> usize {
    packet.saturating_sub(HEADER)
}
