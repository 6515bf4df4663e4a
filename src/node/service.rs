//! Answers requests: the same whether they come over the control socket or from within the process.

use super::api::{ErrorKind, Request, Response, SendRequest};
use super::cards::{self, Contacts, id_head};
use super::control::Answers;
use super::driver::Command;
use super::error::{NodeError, blocking};
use super::grants::narrow;
use super::groups::Groups;
use super::inbox;
use super::keys::Keys;
use super::linkbook::{self, Linkbook};
use super::send::{Note, Order, Prepared, prepare, prepare_note};
use super::upkeep::logged;
use crate::engine::id::PersonId;
use crate::engine::io::{LinkId, StoreError};
use crate::engine::limits::Limits;
use crate::engine::message::{INLINE, Priority};
use crate::security::card::Card;
use crate::store::Handle;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};

/// How long the engine may take until a message is durable.
const ACCEPT: Duration = Duration::from_secs(60);

/// What answers need. Clones are the same service.
#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Inner>);

/// See [`Service`].
pub(super) struct Inner {
    pub(super) handle: Handle,
    pub(super) keys: Arc<Keys>,
    pub(super) name: String,
    pub(super) limits: Limits,
    pub(super) contacts: Arc<Contacts>,
    pub(super) links: Arc<Linkbook>,
    pub(super) commands: mpsc::Sender<Command>,
    /// Held by whoever changes settings.
    pub(super) settings: Mutex<()>,
}

impl Answers for Service {
    type Request = Request;
    type Response = Response;

    async fn answer(&self, request: Request) -> Response {
        self.try_answer(request)
            .await
            .unwrap_or_else(|error| error.response())
    }

    fn ends_with_client(request: &Request) -> bool {
        matches!(request, Request::Send(_))
    }

    fn unreadable(text: String) -> Response {
        let kind = ErrorKind::BadInput;
        Response::Error { kind, text }
    }
}

impl Inner {
    fn groups(&self) -> Groups<'_> {
        Groups::new(self.handle.meta(), &self.contacts)
    }
}

impl Service {
    async fn try_answer(&self, request: Request) -> Result<Response, NodeError> {
        match request {
            Request::Send(request) => self.send(request).await,
            Request::Cancel { message } => self.cancel(&message).await,
            Request::Status => {
                let report = self
                    .ask(|reply| Command::Status(self.0.links.numbers(), reply))
                    .await?;
                Ok(Response::Status(report))
            }
            Request::Inbox => self.inbox().await,
            Request::Read { message } => self.read(message).await,
            Request::Save { message, dir } => self.save(message, dir).await,
            Request::Delete { messages } => {
                self.with_store(move |s| {
                    let messages = inbox::delete(&s.handle, &s.contacts.marks, &messages)?;
                    Ok(Response::Deleted { messages })
                })
                .await
            }
            Request::PersonAdd { card } => self.person_add(card).await,
            Request::Largest { bytes, any } => {
                self.largest(bytes.map(Some).or(any.then_some(None))).await
            }
            Request::Strangers { open } => self.strangers(open).await,
            Request::Invite { days } => self.invite(days).await,
            Request::InviteList => self.invitations().await,
            Request::InviteRevoke { id } => self.uninvite(&id).await,
            Request::PersonList => self.with_store(|s| Ok(s.contacts.all())).await,
            Request::PersonShow { person } => {
                let contacts = &self.0.contacts;
                Ok(Response::Person(contacts.entry(&contacts.find(&person)?)))
            }
            Request::PersonRevoke { person } => self.person_revoke(person).await,
            Request::PersonVerify { person, number } => self.person_verify(person, number).await,
            Request::PersonVoice { person, again } => self.voice(person, again).await,
            Request::PersonVoiceCompare { person, number } => {
                self.voice_compare(person, number).await
            }
            Request::PersonBlock { person, blocked } => self.person_block(person, blocked).await,
            Request::PersonIntroduce {
                first,
                second,
                days,
                note,
            } => self.person_introduce([&first, &second], days, note).await,
            Request::PersonAccept { person, alias } => self.person_accept(person, alias).await,
            Request::PersonDecline { person } => self.person_decline(person).await,
            Request::GroupAdd { group, persons } => {
                self.in_turn(move |s| s.groups().add(&group, &persons))
                    .await
            }
            Request::GroupRemove { group, persons } => {
                self.in_turn(move |s| s.groups().remove(&group, &persons))
                    .await
            }
            Request::GroupList => self.with_store(|s| s.groups().list()).await,
            Request::GroupDelete { group } => {
                self.in_turn(move |s| s.groups().delete(&group)).await
            }
            Request::DeviceAdd { code } => self.device_add(code).await,
            Request::DeviceList => self.device_list().await,
            Request::DeviceRemove { device } => self.device_remove(device).await,
            Request::Card => Ok(cards::shown_card(&self.newest_card().await?)),
            Request::LinkAdd(config) => {
                self.start_link(move |s| s.links.add(config, &s.contacts))
                    .await
            }
            Request::LinkList => Ok(self.0.links.shown(&self.0.contacts)),
            Request::LinkRemove { name } => {
                let _turn = self.0.settings.lock().await;
                let record = self.with_store(move |s| s.links.remove(&name)).await?;
                let left = self.0.links.numbers();
                let stop = |reply| Command::LinkStop(record.id, left, reply);
                let waiting = self.ask(stop).await?;
                Ok(Response::LinkRemoved { waiting })
            }
            Request::LinkGrant { name, grant } => {
                self.start_link(move |s| {
                    let holder = s.keys.identity().link_key();
                    s.links.set_grant(&name, grant.as_deref(), holder)
                })
                .await
            }
            Request::GrantNarrow { grant, order } => {
                let narrower = narrow(&grant, &order, &self.0.keys.identity())?;
                Ok(Response::Grant(narrower))
            }
            Request::SpoolExport { dir } => self.export(dir).await,
            Request::SpoolImport { dir } => self.courier(dir, Command::Import).await,
        }
    }

    async fn send(&self, request: SendRequest) -> Result<Response, NodeError> {
        let text = request.person.clone();
        let to = self
            .with_store(move |s| s.groups().recipients(&text))
            .await?;
        let links = self.via(&request.via)?;
        let bound = self.0.contacts.smallest_bound(&to);
        let from: PersonId = self.0.keys.identity().person();
        let alone = request.files.len() + usize::from(request.text.is_some()) == 1;
        let whom = to.clone();
        let (inline, blocks) = self.ask(|reply| Command::Cut(whom, reply)).await?;
        let inline = if alone { inline } else { INLINE };
        // Gone when nobody waits for the answer any more.
        let wanted = Arc::new(());
        let order = Order {
            wanted: Arc::downgrade(&wanted),
            request,
            from,
            to,
            links,
            bound,
            inline,
            blocks,
        };
        let prepared = self
            .with_store(move |s| prepare(s.handle.clone(), &order, &s.limits))
            .await?;
        self.submit(prepared).await
    }

    async fn submit(&self, mut prepared: Prepared) -> Result<Response, NodeError> {
        let draft = Box::new(prepared.draft.clone());
        let message = prepared.message;
        let to = draft.to.iter().map(|to| self.0.contacts.name(*to));
        let to = to.collect();
        let (reply, answer) = oneshot::channel();
        prepared.given = true;
        let accepted = match self.order(Command::Send(draft, reply)).await {
            Err(stopped) => Err(stopped),
            Ok(()) => match tokio::time::timeout(ACCEPT, answer).await {
                Ok(Ok(Ok(()))) => Ok(()),
                Ok(Ok(Err(refused))) => Err(refused.into()),
                Ok(Err(_)) => return Err(NodeError::Unsure("it is being stopped".into())),
                Err(_) => {
                    self.order(Command::Forget(message)).await?;
                    let text = "the message could not be made durable in time; see `ostrakon status`, and send it again";
                    return Err(StoreError::Io(text.into()).into());
                }
            },
        };
        match accepted {
            Ok(()) => Ok(Response::Queued {
                message: message.to_string(),
                to,
            }),
            Err(error) => {
                prepared.given = false;
                self.with_store(move |_| {
                    drop(prepared);
                    Ok(())
                })
                .await?;
                Err(error)
            }
        }
    }

    fn via(&self, names: &[String]) -> Result<Option<Vec<LinkId>>, NodeError> {
        if names.is_empty() {
            return Ok(None);
        }
        let find = |name: &String| Ok(LinkId(self.0.links.find(name)?.id));
        names.iter().map(find).collect::<Result<_, _>>().map(Some)
    }

    async fn cancel(&self, message: &str) -> Result<Response, NodeError> {
        let head = id_head(message).ok_or_else(|| inbox::no_id(message))?;
        self.ask(|reply| Command::Cancel(head, reply)).await??;
        Ok(Response::Done)
    }

    async fn person_add(&self, text: String) -> Result<Response, NodeError> {
        let turn = self.0.settings.lock().await;
        let (card, ticket, stored, entry) = self
            .with_store(move |s| {
                let (card, ticket) = s.contacts.add(&text)?;
                s.contacts.strangers.leave(card.person())?;
                let stored = s.contacts.standings.get(card.person());
                let entry = s.contacts.entry(&card);
                Ok((card, ticket, stored, entry))
            })
            .await?;
        let person = card.person();
        self.order(Command::Standing(person, stored.standing()))
            .await?;
        let invited = ticket.is_some();
        if let Some(ticket) = ticket {
            self.order(Command::Ticket(person, ticket)).await?;
        }
        self.order(Command::Card(Box::new(card))).await?;
        drop(turn);
        if invited {
            self.send_own_card(person, Priority::Urgent).await?;
        }
        Ok(Response::Person(entry))
    }

    /// Our card as it has to be now.
    pub(super) async fn newest_card(&self) -> Result<Card, NodeError> {
        let _turn = self.0.settings.lock().await;
        let (card, is_new) = self
            .with_store(|s| {
                let relays = s.links.relays();
                let card = cards::own(&s.handle.meta(), &s.keys.identity(), &s.name, &relays)?;
                let is_new = s.contacts.set_own(&card);
                Ok((card, is_new))
            })
            .await?;
        if is_new && self.0.contacts.has_siblings() {
            self.order(Command::Card(Box::new(card.clone()))).await?;
        }
        Ok(card)
    }

    /// Sends our newest card to all who have an older one, other endpoints of ours included.
    pub(super) async fn tell_all(&self) {
        match self.not_told().await {
            Ok(persons) => {
                for person in persons {
                    let sent = self.send_card(person).await;
                    logged("a contact was not sent our card", sent);
                }
            }
            Err(error) => tracing::warn!(%error, "our card cannot be written"),
        }
    }

    /// Who has an older card of ours than the newest.
    async fn not_told(&self) -> Result<Vec<PersonId>, NodeError> {
        let sequence = self.newest_card().await?.body().sequence;
        self.with_store(move |s| Ok(s.contacts.not_told(sequence)))
            .await
    }

    /// Sends somebody what people see nothing of.
    pub(super) async fn send_note(&self, note: Note, to: PersonId) -> Result<Response, NodeError> {
        let prepared = self
            .with_store(move |s| {
                let from = s.keys.identity().person();
                prepare_note(s.handle.clone(), note, from, to, &s.limits)
            })
            .await?;
        self.submit(prepared).await
    }

    /// Sends somebody our newest card.
    pub(super) async fn send_card(&self, to: PersonId) -> Result<(), NodeError> {
        self.send_own_card(to, Priority::High).await
    }

    /// A new contact who has been written to and says nothing may not know us: it is sent our card, without which what it got
    /// is of nobody.
    pub(super) async fn send_first_cards(&self) -> Result<(), NodeError> {
        for person in self.ask(Command::Silent).await? {
            self.send_card(person).await?;
            self.with_store(move |s| {
                if let Some(row) = s.contacts.tickets.met(person) {
                    s.handle.meta().delete(&row)?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn send_own_card(&self, to: PersonId, priority: Priority) -> Result<(), NodeError> {
        let card = self.newest_card().await?;
        let sequence = card.body().sequence;
        let roster = self.0.contacts.roster();
        if self.0.contacts.is_me(to) && !roster.is_empty() {
            // Ahead of the card, so that nobody takes a removal in it for a card by who did not know.
            self.send_note(Note::roster(&roster), to).await?;
        }
        self.send_note(Note::card(&card, priority), to).await?;
        self.with_store(move |s| s.contacts.note_told(to, sequence))
            .await
    }

    async fn export(&self, dir: PathBuf) -> Result<Response, NodeError> {
        self.send_first_cards().await?;
        self.courier(dir, Command::Export).await
    }

    async fn courier(
        &self,
        dir: PathBuf,
        command: impl FnOnce(PathBuf, oneshot::Sender<Response>) -> Command,
    ) -> Result<Response, NodeError> {
        if !dir.is_absolute() {
            return Err(NodeError::Usage(
                "the folder has to be an absolute path; give one".into(),
            ));
        }
        self.ask(|reply| command(dir, reply)).await
    }

    pub(super) async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let inner = self.0.clone();
        blocking(move || work(&inner)).await
    }

    /// As [`Service::with_store`], while no other settings change.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let _turn = self.0.settings.lock().await;
        self.with_store(work).await
    }

    /// Writes a link down, and starts it as it is now.
    async fn start_link(
        &self,
        work: impl FnOnce(&Inner) -> Result<linkbook::Record, NodeError> + Send + 'static,
    ) -> Result<Response, NodeError> {
        let _turn = self.0.settings.lock().await;
        let record = self.with_store(work).await?;
        self.order(Command::LinkStart(Box::new(record))).await?;
        Ok(Response::Done)
    }

    pub(super) async fn order(&self, command: Command) -> Result<(), NodeError> {
        let sent = self.0.commands.send(command).await;
        sent.map_err(|_| NodeError::Stopped)
    }

    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, NodeError> {
        let (reply, answer) = oneshot::channel();
        self.order(command(reply)).await?;
        answer.await.map_err(|_| NodeError::Stopped)
    }
}
