//! A link is over for good. Its number may be given to another one, which inherits nothing.

use super::Engine;
use super::io::LinkId;
use super::outgoing::Outgoing;

impl Engine {
    /// Nothing is kept of a link, but for how much work may be asked for by that number: whoever comes back as often as he likes
    /// asks for no more.
    pub(super) fn on_link_gone(&mut self, id: LinkId) {
        self.give_up_sent(id);
        self.links.remove(&id);
        self.reassembly.remove(&id);
        self.reports.forget(id);
        for message in self.outbox.values_mut() {
            message.forget_link(id);
        }
        let arriving = self.inbox.values_mut();
        for part in arriving.flat_map(|message| message.parts.values_mut()) {
            part.first_seen.remove(&id);
        }
        self.work += 1;
    }

    /// What is under way on it is lost, or may still come out of a relay.
    fn give_up_sent(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (kept, carried) = (link.is_relayed(), link.is_carried_both_ways());
        for sent in std::mem::take(&mut link.sent) {
            if let Some(message) = self.outbox.get_mut(&sent.seq) {
                message.given_up(&sent, id, kept, carried);
            }
        }
    }
}

impl Outgoing {
    fn forget_link(&mut self, id: LinkId) {
        self.offers.remove(&id);
        for part in self.parts.values_mut() {
            part.detached.remove(&id);
            part.newest_there.remove(&id);
        }
    }
}
