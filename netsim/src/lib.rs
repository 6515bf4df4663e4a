//! Models of bad links, and an emulator that puts real programs behind them.
//!
//! Two layers, each usable without the other's user knowing of it:
//!
//! * [`model`]: what a link does to a packet, as pure functions of a clock that is passed in (integer nanoseconds) and a
//!   seed. No IO, no clock, no global randomness: the same calls with the same seed give the same arrivals on any machine.
//! * [`emulate`]: the same model in real time, between programs on this machine. [`emulate::UdpPath`] is a UDP proxy on
//!   loopback; `emulate::SerialPath` is a pair of pseudo-terminals joined by a serial line (Linux).
//!
//! The crate knows nothing of what travels over its links and depends on no other package of the workspace.
//!
//! # What is modelled, and from where
//!
//! | Property | Formula | Source |
//! | --- | --- | --- |
//! | Serialization | the n-th packet of a busy period leaves `floor(bits sent so far · 10⁹ / rate)` ns after its start; the remainder is carried, so no rounding accumulates | transmission delay `L/R`, any textbook of queueing; compare RFC 2679, section 10.2 (wire time) |
//! | Propagation | constant, added after serialization | RFC 2679 (one-way delay) |
//! | Header cost | `overhead` bytes a packet count against rate, queue and MTU; 28 = 20 (IPv4, RFC 791) + 8 (UDP, RFC 768) | the RFCs named |
//! | Queue | drop-tail in bytes, first in first out; its default is one bandwidth-delay product | RFC 7567, section 2 (tail drop); Villamizar and Song 1994 (buffer = bandwidth · delay) |
//! | Loss | independent for each packet with probability p; drawn as a 64-bit integer below `p · 2⁶⁴` | Bernoulli trial; compare RFC 3357 for the loss patterns this does not have |
//! | Corruption | independent for each packet that is not lost | as above |
//! | MTU | a packet with its overhead above the MTU is dropped, as a router does with Don't Fragment set | RFC 1191, section 3 (no ICMP is sent) |
//! | Serial line | `bits_per_byte` bits (10 for 8N1: start, eight data, stop) at the baud rate, errors for each byte | EIA/TIA-232 framing |
//!
//! # What is not modelled
//!
//! Bursts of loss, jitter, reordering, duplication, shared media, half-duplex turn-round, fading rates, active queue
//! management, and the emulated programs' own processor time. The emulator adds lateness of its own (timers of a
//! millisecond and the scheduler of a loaded machine); it measures that and reports it, see [`emulate::Lateness`].

pub mod emulate;
pub mod model;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod netns;
