//! The task's end of a link: what [`crate::LinkHandle`] is to the owner.

use crate::{EventSender, LinkCounters, LinkEvent, LinkHandle, LinkId, LinkOrder, LinkProfile};
use std::future::Future;
use tokio::sync::{mpsc, watch};

/// Room for orders: all the credit that a link ever gives, and as many releases.
const ORDERS: usize = 2 * super::valve::MAX_CREDIT;

/// The owner dropped the handle or the event channel: the task has to end.
#[derive(Debug)]
pub(crate) struct Gone;

/// Where a link's events and counts go.
#[derive(Debug)]
pub(crate) struct Outlet {
    id: LinkId,
    events: EventSender,
    counters: watch::Sender<LinkCounters>,
}

impl Outlet {
    /// Sends one event, waiting for room.
    pub(crate) async fn tell(&self, event: LinkEvent) -> Result<(), Gone> {
        self.events.send((self.id, event)).await.map_err(|_| Gone)
    }

    /// Waits for room for one event, which the returned slot then takes without waiting.
    pub(crate) async fn slot(&self) -> Result<Slot<'_>, Gone> {
        let permit = self.events.reserve().await.map_err(|_| Gone)?;
        Ok(Slot(self.id, permit))
    }

    /// Changes the counters.
    pub(crate) fn count(&self, change: impl FnOnce(&mut LinkCounters)) {
        self.counters.send_modify(change);
    }
}

/// Room for one event.
pub(crate) struct Slot<'a>(LinkId, mpsc::Permit<'a, (LinkId, LinkEvent)>);

impl Slot<'_> {
    /// Fills the room.
    pub(crate) fn fill(self, event: LinkEvent) {
        self.1.send((self.0, event));
    }
}

/// A link as its task sees it.
#[derive(Debug)]
pub(crate) struct LinkIo {
    /// Where events and counts go.
    pub(crate) outlet: Outlet,
    /// The owner's orders. `None` from it means that the handle was dropped.
    pub(crate) orders: mpsc::Receiver<LinkOrder>,
    up: bool,
    last_reason: Option<String>,
}

impl LinkIo {
    /// Both ends of a new link.
    pub(crate) fn new(id: LinkId, events: EventSender) -> (Self, LinkHandle) {
        let (order_sender, orders) = mpsc::channel(ORDERS);
        let (counter_sender, counters) = watch::channel(LinkCounters::default());
        let outlet = Outlet {
            id,
            events,
            counters: counter_sender,
        };
        let io = Self {
            outlet,
            orders,
            up: false,
            last_reason: None,
        };
        let handle = LinkHandle {
            orders: order_sender,
            counters,
        };
        (io, handle)
    }

    /// The name of the link.
    pub(crate) fn id(&self) -> LinkId {
        self.outlet.id
    }

    /// Says that the link is up.
    pub(crate) async fn up(&mut self, profile: LinkProfile) -> Result<(), Gone> {
        self.say(LinkEvent::Up(profile)).await?;
        self.up = true;
        self.last_reason = None;
        Ok(())
    }

    /// Says that the link is down. While it was down already, only a reason other than the last one is news.
    pub(crate) async fn down(&mut self, reason: String) -> Result<(), Gone> {
        if !self.up && self.last_reason.as_ref() == Some(&reason) {
            return Ok(());
        }
        self.up = false;
        self.last_reason = Some(reason.clone());
        self.say(LinkEvent::Down(reason)).await
    }

    async fn say(&mut self, event: LinkEvent) -> Result<(), Gone> {
        tokio::select! {
            biased;
            told = self.outlet.tell(event) => told,
            gone = discard(&mut self.orders, &self.outlet) => Err(gone),
        }
    }

    /// Runs `work` while the link is down: orders that come meanwhile rest on void credit and are dropped.
    pub(crate) async fn while_down<F: Future>(&mut self, work: F) -> Result<F::Output, Gone> {
        tokio::select! {
            biased;
            gone = discard(&mut self.orders, &self.outlet) => Err(gone),
            () = self.outlet.events.closed() => Err(Gone),
            done = work => Ok(done),
        }
    }
}

/// Drops orders until the handle is dropped.
async fn discard(orders: &mut mpsc::Receiver<LinkOrder>, outlet: &Outlet) -> Gone {
    while let Some(order) = orders.recv().await {
        if matches!(order, LinkOrder::Transmit { .. }) {
            outlet.count(|c| c.dropped_frames += 1);
        }
    }
    Gone
}
