//! What the operator of a node configures: who it is, and its ports.

use crate::engine::io::LinkProfile;
use crate::security::card::Card;
use std::rc::Rc;
use zeroize::Zeroizing;

/// A port of the machine, as its operator has configured it.
#[derive(Clone, Debug)]
pub struct PortSetup {
    /// What the engine is told of the link.
    pub profile: LinkProfile,
    /// The transmitter tells when it is free, so the engine is asked for one frame at a time.
    pub tells: bool,
    /// The port says whether it is up; otherwise it always seems so.
    pub notices: bool,
    /// The transport paces by itself: bits a second, and bytes that each frame takes beside its own.
    pub pace: Option<(u64, u64)>,
    /// Bytes that each frame takes beside its own, where the library does not decide what is in a packet.
    pub beside: usize,
}

/// Who a node is.
#[derive(Clone, Debug)]
pub struct Person {
    /// The keys.
    pub keys: Rc<Zeroizing<Vec<u8>>>,
    /// The contact cards of everybody.
    pub cards: Rc<Vec<Card>>,
}
