//! What a run has shown, as plain values for `--json`, the screen and the report.

use super::shares::Share;
use serde::Serialize;
use std::collections::BTreeMap;

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// What it shows, in a few words.
    pub title: String,
    /// `model`: links that pace themselves, on link models. `quic`: the QUIC library on them.
    pub mode: &'static str,
    /// The seed.
    pub seed: u64,
    /// The hash over everything that happened: equal for equal programs, scenarios and seeds. Not in mode `quic`, where
    /// packets hold keys that no seed gives.
    pub trace: Option<String>,
    /// Events taken.
    pub events: u64,
    /// Packets that crossed or tried to cross a link.
    pub packets: u64,
    /// Frames that the nodes' engines gave to their links.
    pub frames: u64,
    /// Seconds that passed in the world.
    pub virtual_s: f64,
    /// Seconds that it took.
    pub wall_s: f64,
    /// Events taken in a second of `wall_s`.
    pub events_per_s: f64,
    /// Frames in a second of `wall_s`.
    pub frames_per_s: f64,
    /// Messages by number.
    pub messages: Vec<MessageOutcome>,
    /// Directions of links, stations of radio channels, couriers.
    pub links: Vec<LinkOutcome>,
    /// Links that were shared with flows of others.
    pub shares: Vec<Share>,
    /// What the engines that ran at the end had dropped, by node and reason.
    pub dropped: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// Messages given to engines.
    pub sent: u64,
    /// Messages that were handed over whole.
    pub delivered: u64,
    /// Messages whose receipt came back.
    pub confirmed: u64,
    /// Parts that came out more than once, as may happen when a process ends between taking and noting it.
    pub duplicates: u64,
    /// Key exchanges within the sessions that are open at the end.
    pub generations: u32,
    /// Bytes offered to all links over bytes of all parts; each hop counts.
    pub overhead: Option<f64>,
    /// The message with the most bytes took so long, in seconds.
    pub achieved_s: Option<f64>,
    /// The bound for it, from what this seed has lost; see `docs/scenarios.md`. None where links without a fixed rate, such
    /// as radio, could carry it at once, and where nothing could.
    pub limit_s: Option<f64>,
    /// The same, from the loss that the links have on average.
    pub nominal_limit_s: Option<f64>,
    /// `limit_s` over `achieved_s`.
    pub ratio: Option<f64>,
    /// The same, with all else that its sender has brought to its recipient meanwhile counted among its bytes.
    pub joint_ratio: Option<f64>,
    /// The run in the other mode, where one was asked for.
    pub beside: Option<Beside>,
    /// What must never happen and did, and what was expected and did not.
    pub violations: Vec<String>,
}

/// What a run in another mode has shown, for comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Beside {
    /// Its mode.
    pub mode: &'static str,
    /// As in [`Outcome`].
    pub trace: Option<String>,
    /// As in [`Outcome`].
    pub delivered: u64,
    /// As in [`Outcome`].
    pub overhead: Option<f64>,
    /// As in [`Outcome`].
    pub achieved_s: Option<f64>,
    /// As in [`Outcome`].
    pub limit_s: Option<f64>,
    /// As in [`Outcome`].
    pub ratio: Option<f64>,
    /// As in [`Outcome`].
    pub joint_ratio: Option<f64>,
}

impl Outcome {
    /// Puts a run in another mode beside this one. What it violates is violated.
    pub fn put_beside(&mut self, other: Self) {
        let mode = other.mode;
        let violations = other.violations.into_iter();
        self.violations
            .extend(violations.map(|what| format!("mode {mode}: {what}")));
        self.beside = Some(Beside {
            mode,
            trace: other.trace,
            delivered: other.delivered,
            overhead: other.overhead,
            achieved_s: other.achieved_s,
            limit_s: other.limit_s,
            ratio: other.ratio,
            joint_ratio: other.joint_ratio,
        });
    }

    /// How long each text took that arrived, in seconds from its acceptance.
    pub fn text_times(&self) -> impl Iterator<Item = f64> + '_ {
        self.messages.iter().flat_map(|message| {
            let texts = message.parts.iter().filter(|part| part.text);
            texts.filter_map(|part| Some(part.delivered_s? - message.accepted_s?))
        })
    }

    /// What each message that is nothing but texts was offered in beside its own bytes, in bytes.
    pub fn text_costs(&self) -> impl Iterator<Item = u64> + '_ {
        let texts = |message: &&MessageOutcome| message.parts.iter().all(|part| part.text);
        let texts = self.messages.iter().filter(texts);
        texts.map(|message| message.offered_bytes.saturating_sub(message.bytes))
    }
}

/// A message.
#[derive(Clone, Debug, Serialize)]
pub struct MessageOutcome {
    /// Its number in the scenario.
    pub number: u64,
    /// Who sent it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// When it was given to its sender's node, in seconds.
    pub at_s: f64,
    /// When that node had it durably and said so.
    pub accepted_s: Option<f64>,
    /// Its bytes.
    pub bytes: u64,
    /// Frames with fragments of it that its sender gave to links.
    pub frames: u64,
    /// Bytes of the packets in which its sender offered these to links, with all headers: manifest, copies and announcements
    /// of the session count. A packet with frames of several messages is shared among them by their lengths.
    pub offered_bytes: u64,
    /// When all of it had been handed over.
    pub delivered_s: Option<f64>,
    /// When its sender had the receipt.
    pub confirmed_s: Option<f64>,
    /// Its parts.
    pub parts: Vec<PartOutcome>,
}

/// A part.
#[derive(Clone, Debug, Serialize)]
pub struct PartOutcome {
    /// Its name.
    pub name: String,
    /// It is a text rather than a file.
    pub text: bool,
    /// `urgent`, `high`, `normal` or `bulk`.
    pub priority: &'static str,
    /// Its bytes.
    pub bytes: u64,
    /// When it had been handed over.
    pub delivered_s: Option<f64>,
}

/// One direction of a pair of links, one station of a radio channel, or a courier. Bytes are IP bytes, or those of radio
/// frames: what counts against the rate.
#[derive(Clone, Debug, Serialize)]
pub struct LinkOutcome {
    /// The link's name.
    pub link: String,
    /// `pair`, `radio` or `courier`.
    pub kind: &'static str,
    /// The end that sends; `*` for a courier.
    pub from: String,
    /// The end that receives; `*` for all.
    pub to: String,
    /// Bits a second, if it has a fixed rate.
    pub rate_bps: Option<u64>,
    /// Propagation delay in seconds.
    pub delay_s: f64,
    /// The bound of its queue, or of what a courier carries, in bytes.
    pub queue_bytes: u64,
    /// The most that waited at any of its transmitters, or was aboard.
    pub peak_queue_bytes: u64,
    /// When it is there, up to the end of the run; of pairs only, which are there always if not given. Times in which a fault
    /// cut it are not left out.
    pub contacts: Option<Contacts>,
    /// The share of packets that it loses on average.
    pub nominal_loss: f64,
    /// The share that the limit takes as lost: what was lost from the sending of the largest message to its delivery.
    pub limit_loss: f64,
    /// The share of time that it was in the bad state of its bursts, if it has such and they are clocked by time.
    pub bad_share: Option<f64>,
    /// Packets offered to it.
    pub offered_packets: u64,
    /// Bytes offered to it.
    pub offered_bytes: u64,
    /// Packets that left its transmitter.
    pub sent_packets: u64,
    /// Bytes that left its transmitter.
    pub sent_bytes: u64,
    /// Packets lost by chance. On radio, frames that this station did not hear, by chance, collision or its own sending.
    pub lost_packets: u64,
    /// Their bytes; of pairs only.
    pub lost_bytes: Option<u64>,
    /// Packets dropped by its queue.
    pub queue_dropped: u64,
    /// Their bytes; of pairs only.
    pub queue_dropped_bytes: Option<u64>,
    /// Packets dropped because it was cut or had no contact.
    pub cut_packets: u64,
    /// Bytes that arrived. On radio, that this station heard.
    pub delivered_bytes: u64,
}

/// When a link is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contacts {
    /// After how many seconds they begin anew, if they do.
    pub every_s: Option<f64>,
    /// In order of time.
    pub times: Vec<ContactTime>,
}

/// A time in which a link is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContactTime {
    /// When it begins, in seconds.
    pub from_s: f64,
    /// When it ends; never if not given.
    pub until_s: Option<f64>,
    /// Bits a second, if they are not the link's own.
    pub rate_bps: Option<u64>,
    /// Propagation delay in seconds, if it is not the link's own.
    pub delay_s: Option<f64>,
}
