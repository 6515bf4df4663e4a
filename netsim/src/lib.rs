//! Models of bad links, and an emulator that puts real programs behind them.
//!
//! Layers, each usable without the other's user knowing of it:
//!
//! * [`model`]: what links, radio channels and couriers do to packets, as pure functions of a clock that is passed in
//!   (integer nanoseconds) and a seed. No IO, no clock, no global randomness: the same calls with the same seed give the
//!   same arrivals on any machine.
//! * [`profile`]: what links of a kind are like, from a wired network to Mars, each number with its source.
//! * [`world`]: hosts on such links in virtual time: discrete events, faults, a trace that is the same for the same seed.
//! * [`reach`] and [`scenario`]: when something can arrive at the earliest over known contacts; worlds described by a file.
//! * [`emulate`]: the same models in real time, between programs on this machine. [`emulate::UdpPath`] is a UDP proxy on
//!   loopback; `emulate::SerialPath` is a pair of pseudo-terminals joined by a serial line (Linux).
//! * `netns` (feature `cli`, Linux): the same models in real time for any program, in network namespaces joined by TUN
//!   devices. The program `netsim` is its command line; `docs/netsim.md` is about it.
//!
//! The crate knows nothing of what travels over its links and depends on no other package of the workspace.
//!
//! # What is modelled, and from where
//!
//! Point-to-point links ([`model::Link`]):
//!
//! | Property | Formula | Source |
//! | --- | --- | --- |
//! | Serialization | the n-th packet of a busy period leaves `floor(bits sent so far · 10⁹ / rate)` ns after its start; the remainder is carried, so no rounding accumulates | transmission delay `L/R`, any textbook of queueing; compare RFC 2679, section 10.2 (wire time) |
//! | Framing | `bits_per_byte` bits a byte, to a thousandth: 8; 10 for 8N1; 8.129 for HDLC with random content | EIA/TIA-232; ISO/IEC 13239 (a bit stuffed after five ones: one in 62) |
//! | Recorded rates | 1504 bytes at each time of a trace, which repeats; what nobody waits for is gone | Mahimahi (USENIX ATC 2015) |
//! | Propagation | constant, added after serialization | RFC 2679 (one-way delay) |
//! | Jitter | uniform from 0 to the most, with or without keeping order | RFC 3393 (delay variation) |
//! | Header cost | `overhead` bytes a packet count against rate, queue and MTU; 28 = 20 (IPv4, RFC 791) + 8 (UDP, RFC 768) | the RFCs named |
//! | Queue | bytes, first in first out; its default is one bandwidth-delay product; drop-tail, or CoDel besides | RFC 7567, section 2 (tail drop); Villamizar and Song 1994 (buffer = bandwidth · delay); RFC 8289 (CoDel) |
//! | Loss | independent for each packet with probability p; drawn as a 64-bit integer below `p · 2⁶⁴` | Bernoulli trial |
//! | Bursts | two states with a loss each; exponential times in each, clocked by time; or clocked by packets | Gilbert 1960, Elliott 1963 |
//! | Corruption, duplication | independent for each packet that is not lost | Bernoulli trial |
//! | Reordering | a packet is held back by a fixed time with a probability | RFC 4737 (what counts as reordered) |
//! | MTU | a packet with its overhead above the MTU is dropped, as a router does with Don't Fragment set | RFC 1191, section 3 (no ICMP is sent) |
//! | Contacts | a link is there from a start to an end, at the contact's rate and delay; what has left by the end arrives | CCSDS 734.3-B-1 |
//!
//! Shared half-duplex channels ([`model::Channel`]), couriers ([`model::Courier`]), serial lines ([`model::SerialLine`]):
//!
//! | Property | Formula | Source |
//! | --- | --- | --- |
//! | Access | p-persistent CSMA, with TXDELAY, SLOTTIME and P; or pure ALOHA | AX.25 2.2; Chepponis and Karn 1987; Abramson 1970 |
//! | Collisions | frames that overlap at a receiver are lost, unless one is stronger than each other by a margin | Bor et al. 2016 (capture of 6 dB on LoRa) |
//! | LoRa's time on the air | symbols of `2^SF / BW` | Semtech, data sheet of the SX1276, section 4.1.1.7 |
//! | Duty cycle | a share of any hour, or a pause after each frame | ETSI EN 300 220; LoRaWAN |
//! | Couriers | a timetable, a capacity, a rate at each stop | Shah et al. 2003 (data mules) |
//! | Serial line | `bits_per_byte` bits (10 for 8N1: start, eight data, stop) at the baud rate, errors for each byte | EIA/TIA-232 framing |
//!
//! # What is not modelled
//!
//! Fading within a frame, the sum of several interferers, propagation between stations that sense a carrier, more than one
//! frame a keying, link-layer retransmission, rates that a link adapts to its state, ECN marks, and the emulated programs'
//! own processor time. The emulator adds lateness of its own (timers of a millisecond and the scheduler of a loaded
//! machine); it measures that and reports it, see [`emulate::Lateness`].

pub mod emulate;
pub mod model;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod netns;
pub mod profile;
pub mod reach;
pub mod scenario;
pub mod world;
