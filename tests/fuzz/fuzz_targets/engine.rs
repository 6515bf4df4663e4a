//! An engine that gets arbitrary frames: real ones changed, and authentic ones of a contact who means ill.
//!
//! A contact can seal whatever it likes, so the seal is not what keeps us from harm. Whatever comes, the engine ends
//! every input with a wait, asks for no more memory than a block, and does not spin on its own clock.
#![no_main]

#[path = "../support/host.rs"]
mod host;

use bytes::Bytes;
use host::{Host, card, identity};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use ostrakon::engine::coding::Scheme;
use ostrakon::engine::geometry::Coding;
use ostrakon::engine::id::MessageId;
use ostrakon::engine::io::{Input, LinkId};
use ostrakon::engine::trust::{Level, Standing};
use ostrakon::security::session::{Epoch, SendSession};
use ostrakon::wire::fragment::{Kind, ManifestChunk, Place};
use ostrakon::wire::manifest::{Body, Lifetime, Manifest, PartEntry};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::sync::OnceLock;

/// What the far side, or the world, does.
#[derive(Arbitrary, Debug)]
enum Act {
    /// A frame that a real sender sent, changed in some places, cut or not.
    Replay {
        frame: u16,
        changes: Vec<(u16, u8)>,
        keep: Option<u16>,
    },
    /// Anything.
    Raw(Vec<u8>),
    /// An authentic fragment with any content, of the message last begun.
    Sealed {
        place: (u8, u16, u16, u8),
        kind: u8,
        plain: Vec<u8>,
    },
    /// An authentic symbol of the right length: one byte, repeated.
    Symbols {
        part: u8,
        block: u16,
        first: u16,
        count: u8,
        len: u16,
        fill: u8,
    },
    /// A new message with an honest manifest of arbitrary values.
    Begin {
        salt: u8,
        parts: Vec<AnyPart>,
    },
    /// A new message whose manifest is arbitrary bytes.
    BeginRaw(Vec<u8>),
    /// A control record: code and content.
    Control {
        salt: u8,
        code: u8,
        body: Vec<u8>,
    },
    Wait {
        ms: u16,
    },
    Link {
        which: u8,
        up: bool,
        frames: u8,
    },
    DiskFails(bool),
    /// The sender is blocked or let in, and trusted more or less.
    Standing {
        level: u8,
        blocked: bool,
    },
    Cancel,
    Calendar(u32),
    Card,
    Restart,
}

#[derive(Arbitrary, Debug)]
struct AnyPart {
    id: u8,
    priority: u8,
    lifetime: u8,
    len: u32,
    inline: Option<Vec<u8>>,
    digest: u8,
    scheme: u8,
    slice_len: u16,
    slices: u8,
    block_symbols: u16,
    repair: u16,
    chosen: bool,
}

impl AnyPart {
    fn entry(self) -> PartEntry {
        let body = match self.inline {
            Some(mut bytes) => {
                bytes.truncate(1024);
                Body::Inline(bytes.into())
            }
            None if self.chosen => {
                let len = u64::from(self.len % 400_000).max(1);
                Body::Coded {
                    len,
                    digest: [self.digest; 32],
                    coding: Coding::choose(len),
                }
            }
            None => {
                let scheme = Scheme::from_code(self.scheme % 3 + 1).unwrap_or(Scheme::Repeat);
                let coding = Coding {
                    scheme,
                    slice_len: self.slice_len,
                    slices: self.slices % 9,
                    block_symbols: self.block_symbols,
                    repair: self.repair,
                };
                Body::Coded {
                    len: u64::from(self.len),
                    digest: [self.digest; 32],
                    coding,
                }
            }
        };
        PartEntry {
            id: self.id,
            priority: self.priority,
            lifetime: Lifetime(self.lifetime),
            media_type: "a/b".into(),
            name: "n".into(),
            body,
        }
    }
}

/// What was recorded once, and the key of an epoch that the engine knows: a valid session.
struct Recorded {
    frames: Vec<Bytes>,
    preamble: Bytes,
    epoch: Epoch,
}

fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let frames = host::record_a_conversation();
        assert!(frames.len() > 40, "only {} frames recorded", frames.len());
        let mut rng = ChaCha20Rng::seed_from_u64(99);
        let Ok(session) = SendSession::open(&identity(0), &card(1), &mut rng) else {
            panic!("no session")
        };
        Recorded {
            frames,
            preamble: session.preamble(&identity(0)).into(),
            epoch: session.epoch(),
        }
    })
}

fn seal_manifest(host: &mut Host, bytes: &[u8], id: MessageId) {
    let keys = recorded().epoch.message(recorded().epoch.label(id));
    for (number, piece) in bytes.chunks(ManifestChunk::SIZE).take(128).enumerate() {
        let plain = ManifestChunk {
            manifest_len: bytes.len() as u16,
            bytes: piece,
        }
        .encode();
        let place = Place {
            part: 0,
            block: 0,
            symbol: number as u16,
            slice: 0,
        };
        host.receive(0, keys.seal(Kind::Narrow, &place, &plain));
    }
}

fn begin(host: &mut Host, manifest: &Manifest) -> MessageId {
    let id = manifest.message_id(identity(0).person(), identity(1).person());
    seal_manifest(host, &manifest.encode(), id);
    id
}

fn act(host: &mut Host, current: &mut MessageId, what: Act) {
    let recorded = recorded();
    match what {
        Act::Replay {
            frame,
            changes,
            keep,
        } => {
            let mut bytes = recorded.frames[usize::from(frame) % recorded.frames.len()].to_vec();
            for (at, value) in changes {
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= value;
            }
            bytes.truncate(keep.map_or(usize::MAX, usize::from));
            host.receive(0, bytes.into());
        }
        Act::Raw(bytes) => host.receive(1, bytes.into()),
        Act::Sealed {
            place: (part, block, symbol, slice),
            kind,
            plain,
        } => {
            let kind = [Kind::Narrow, Kind::Wide, Kind::Short][usize::from(kind % 3)];
            let place = Place {
                part,
                block,
                symbol: symbol & 0x1fff,
                slice: slice & 7,
            };
            let keys = recorded.epoch.message(recorded.epoch.label(*current));
            host.receive(0, keys.seal(kind, &place, &plain));
        }
        Act::Symbols {
            part,
            block,
            first,
            count,
            len,
            fill,
        } => {
            let keys = recorded.epoch.message(recorded.epoch.label(*current));
            let plain = vec![fill; usize::from(len % 1500).max(1)];
            for symbol in first..first.saturating_add(u16::from(count)) {
                let place = Place {
                    part,
                    block,
                    symbol: symbol & 0x1fff,
                    slice: 0,
                };
                let kind = if block == 0 { Kind::Narrow } else { Kind::Wide };
                host.receive(0, keys.seal(kind, &place, &plain));
            }
        }
        Act::Begin { salt, parts } => {
            let parts: Vec<_> = parts.into_iter().take(20).map(AnyPart::entry).collect();
            *current = begin(
                host,
                &Manifest {
                    salt: [salt; 8],
                    created: None,
                    parts,
                    shared: None,
                },
            );
        }
        Act::BeginRaw(bytes) => {
            *current = MessageId(*blake3::hash(&bytes).as_bytes());
            seal_manifest(host, &bytes, *current);
        }
        Act::Control { salt, code, body } => {
            let Some(name) = ostrakon::wire::manifest::control_name(code | 0x80) else {
                return;
            };
            begin(
                host,
                &Manifest::single([salt; 8], None, Lifetime(0), name, body.into()),
            );
        }
        Act::Wait { ms } => host.wait(ms),
        Act::Link { which, up, frames } => {
            host.link(LinkId(u32::from(which % 3)), up, usize::from(frames))
        }
        Act::Standing { level, blocked } => {
            let levels = [
                Level::Unknown,
                Level::Known,
                Level::Invited,
                Level::Introduced,
                Level::Verified,
            ];
            let level = levels[usize::from(level % 5)];
            let standing = Standing { level, blocked };
            host.input(Input::Standing(card(0).person(), standing));
        }
        Act::DiskFails(fails) => host.disk_fails = fails,
        Act::Cancel => host.input(Input::Cancel(*current)),
        Act::Calendar(seconds) => host.input(Input::Calendar(u64::from(seconds))),
        Act::Card => host.input(Input::Card(Box::new(card(0)))),
        Act::Restart => host.restart(),
    }
}

fuzz_target!(|acts: Vec<Act>| {
    let mut host = Host::new(1);
    host.link(LinkId(0), true, 64);
    host.receive(0, recorded().preamble.clone());
    let mut current = MessageId([0; 32]);
    for what in acts.into_iter().take(60) {
        act(&mut host, &mut current, what);
    }
    host.disk_fails = false;
    host.wait(u16::MAX);
});
