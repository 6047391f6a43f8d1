//! One client's task.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use async_io::{Async, Timer};
use smol::{
    future::{self, FutureExt as _},
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
};

use super::{
    guesses::GuessVerdict, held::ClientBytes, Commons, ControlEvent, Responder, ANSWER_TIME,
    PASSWORD_TIME, SILENCE, STALL,
};
use crate::{
    command::{
        plan::{Plan, PlanStep},
        Command, CommandError, CommandOutcome, CommandRequest, Query, StatePart, StateParts,
    },
    control::mpd::{
        command::{Access, ReplyForm},
        print::{print, RowPrinter},
        reply::Reply,
        session::{Guess, Session, SessionAction, SessionEnd, GREETING},
    },
    util::within::Alarm,
};

trait ClientStream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> ClientStream for S {}

/// A connected client.
pub(super) struct ClientTask {
    stream: Pin<Box<dyn ClientStream>>,
    session: Session,
    /// Where it comes from, if by TCP.
    address: Option<SocketAddr>,
    /// When it came, or was told last that its password is wrong.
    since: Instant,
    commons: Arc<Commons>,
    /// What is kept for it in memory.
    held: ClientBytes,
    /// Answers that are on their way to it.
    unsent: String,
    /// Goes off when it has said nothing for too long.
    alarm: Alarm,
}

/// Why a client is no more.
#[derive(Debug, thiserror::Error)]
enum Gone {
    #[error("it hung up")]
    HungUp,
    #[error("it said nothing for too long")]
    Silent,
    #[error("it does not read its answers")]
    Stalled,
    #[error("what is kept for clients has no room for more of it")]
    NoRoom,
    #[error(transparent)]
    Session(#[from] SessionEnd),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ClientTask {
    /// A client that can open the socket needs no password.
    pub fn unix(stream: Async<UnixStream>, commons: Arc<Commons>) -> Self {
        Self::new(Box::pin(stream), None, Access::Local, commons)
    }

    pub fn tcp(stream: Async<TcpStream>, from: SocketAddr, commons: Arc<Commons>) -> Self {
        // Answers are written whole, and somebody waits for each.
        let _ = stream.get_ref().set_nodelay(true);
        let access = match commons.guesses().are_wanted() {
            true => Access::Closed,
            false => Access::Remote,
        };
        Self::new(Box::pin(stream), Some(from), access, commons)
    }

    fn new(
        stream: Pin<Box<dyn ClientStream>>,
        address: Option<SocketAddr>,
        access: Access,
        commons: Arc<Commons>,
    ) -> Self {
        let held = ClientBytes::new(commons.of(address.is_some()).held.clone());
        Self {
            stream,
            session: Session::new(access, commons.has_player),
            address,
            since: Instant::now(),
            commons,
            held,
            unsent: String::new(),
            alarm: Alarm::new(),
        }
    }

    /// Where it comes from, if by TCP.
    pub fn address(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }

    /// Tells the client why it is not served, and lets it read that before it is gone: what
    /// it has sent meanwhile would have its system throw away what it has not read.
    pub async fn turn_away(mut self, why: &str) {
        let text = format!("{GREETING}ACK [5@0] {{}} {why}\n");
        let said = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.close().await?;
            let mut some = [0; 256];
            for _ in 0..MAX_LAST_WORDS {
                if self.stream.read(&mut some).await? == 0 {
                    break;
                }
            }
            io::Result::Ok(())
        };
        let late = async {
            Timer::after(FAREWELL).await;
            Ok(())
        };
        _ = said.or(late).await;
    }

    /// Serves the client until it goes.
    pub async fn serve(mut self, events: Sender<ControlEvent>, bell: Receiver<()>) {
        let Err(gone) = self.talk(&events, &bell).await;
        match self.address {
            Some(address) => log::debug!("control: {address} is gone: {gone}"),
            None => log::debug!("control: a local client is gone: {gone}"),
        }
    }

    async fn talk(
        &mut self,
        events: &Sender<ControlEvent>,
        bell: &Receiver<()>,
    ) -> Result<std::convert::Infallible, Gone> {
        let commons = self.commons.clone();
        let mut seen = commons.changes.counts();
        let mut chunk = [0; READ_CHUNK];
        let mut heard = Instant::now();
        loop {
            while let Some(action) = self.session.poll() {
                heard = Instant::now();
                match action {
                    SessionAction::Write(text) => {
                        self.unsent.push_str(&text);
                        if self.unsent.len() >= SEND_AT {
                            self.send().await?;
                        }
                    }
                    SessionAction::Run(command, form) => {
                        let result = self.run(command, form, events).await?;
                        self.session.handle_done(result.map_err(Into::into));
                    }
                    SessionAction::Compare(given) => {
                        self.send().await?;
                        let guess = self.compare(&given).await?;
                        self.session.handle_guess(guess);
                    }
                    SessionAction::Close(end) => {
                        self.send().await?;
                        return Err(end.into());
                    }
                }
            }
            self.send().await?;
            if !self.held.set(self.session.held()) {
                let text = "ACK [52@0] {} this node keeps too much for its clients: send a \
                            shorter command list\n";
                self.write(text).await?;
                return Err(Gone::NoRoom);
            }
            if let Some(len) = self.wait(&mut chunk, bell, heard).await? {
                heard = Instant::now();
                self.session.handle_bytes(&chunk[..len]);
            }
            let counts = commons.changes.counts();
            self.session.handle_changed(difference(&seen, &counts));
            seen = counts;
        }
    }

    /// Waits for bytes of the client's, or for a change (`None`). The client's
    /// silence counts from `heard`.
    async fn wait(
        &mut self,
        chunk: &mut [u8],
        bell: &Receiver<()>,
        heard: Instant,
    ) -> Result<Option<usize>, Gone> {
        let is_idle = self.session.is_idle();
        let until = match self.session.is_admitted() {
            true => heard + SILENCE,
            false => self.since + PASSWORD_TIME,
        };
        let Self { stream, alarm, .. } = self;
        let bytes = async {
            match stream.read(chunk).await? {
                0 => Err(Gone::HungUp),
                len => Ok(Some(len)),
            }
        };
        // One that is not idle hears of changes with its next command.
        let rung = async {
            if !is_idle || bell.recv().await.is_err() {
                return future::pending().await;
            }
            Ok(None)
        };
        let silence = async {
            alarm.wait((!is_idle).then_some(until)).await;
            Err(Gone::Silent)
        };
        bytes.or(rung).or(silence).await
    }

    /// Compares a password. A wrong one is answered late; nothing more is heard of the
    /// client until then, but that it hangs up.
    async fn compare(&mut self, given: &str) -> Result<Guess, Gone> {
        let (from, now) = (self.address(), Instant::now());
        let verdict = self.commons.guesses().handle_guess(from, given, now);
        let guess = match verdict {
            GuessVerdict::Right => return Ok(Guess::Right),
            GuessVerdict::Unheard { until } => Guess::Unheard((until - now).as_secs() + 1),
            GuessVerdict::Wrong { told } => {
                let hung_up = async {
                    let mut some = [0; 256];
                    match self.stream.read(&mut some).await? {
                        0 => Err(Gone::HungUp),
                        len => {
                            self.session.handle_bytes(&some[..len]);
                            Timer::at(told).await;
                            Ok(())
                        }
                    }
                };
                let due = async {
                    Timer::at(told).await;
                    Ok(())
                };
                hung_up.or(due).await?;
                Guess::Wrong
            }
        };
        self.since = Instant::now();
        if from.is_some_and(|from| self.commons.is_news(from)) {
            let from = from.map(|from| from.to_string()).unwrap_or_default();
            log::warn!("control: wrong passwords come from {from}");
        }
        Ok(guess)
    }

    /// Has the node, and then maybe a plan, carry out a command.
    async fn run(
        &mut self,
        command: Command,
        form: ReplyForm,
        events: &Sender<ControlEvent>,
    ) -> Result<Result<(), CommandError>, Gone> {
        let mut request = CommandRequest::Command(command);
        loop {
            let query = match ask(request, events).await {
                Err(error) => return Ok(Err(error)),
                Ok(CommandOutcome::Answer(answer)) => {
                    let mut reply = Reply::with_tags(self.session.tags());
                    print(&answer, form, &mut reply);
                    let due = Instant::now() + ANSWER_TIME;
                    self.answer(reply.as_str(), due).await?;
                    return Ok(Ok(()));
                }
                Ok(CommandOutcome::Query(query)) => query,
            };
            request = match self.walk(*query, form).await? {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            };
        }
    }

    /// Walks a plan, letting others run between its steps. What it finds and the database
    /// that it looks at are kept meanwhile, so there are few at a time, and none for long.
    async fn walk(
        &mut self,
        query: Query,
        form: ReplyForm,
    ) -> Result<Result<Option<CommandRequest>, CommandError>, Gone> {
        let plans = self.commons.of(self.address.is_some()).plans.clone();
        let _turn = plans.acquire_arc().await;
        let mut plan = Plan::new(query);
        let mut rows = RowPrinter::new(form, self.session.tags());
        let due = Instant::now() + ANSWER_TIME;
        loop {
            match plan.step(PLAN_STEP, &mut rows) {
                PlanStep::Wrote => self.answer(rows.take().as_str(), due).await?,
                PlanStep::Done => return Ok(Ok(None)),
                PlanStep::Insert(found) => return Ok(Ok(Some(CommandRequest::Insert(found)))),
                PlanStep::Failed(error) => return Ok(Err(error)),
            }
            future::yield_now().await;
        }
    }

    /// Takes a part of an answer, all of which has to be taken by the client in time.
    async fn answer(&mut self, text: &str, due: Instant) -> Result<(), Gone> {
        self.unsent.push_str(text);
        if !self.held.set(self.session.held() + self.unsent.len()) {
            return Err(Gone::NoRoom);
        }
        if self.unsent.len() < SEND_AT {
            return Ok(());
        }
        self.send_until(due).await
    }

    /// Sends what the client has not been sent.
    async fn send(&mut self) -> Result<(), Gone> {
        self.send_until(Instant::now() + ANSWER_TIME).await
    }

    /// The same, all of which has to be taken by `due`.
    async fn send_until(&mut self, due: Instant) -> Result<(), Gone> {
        let text = std::mem::take(&mut self.unsent);
        let late = async {
            Timer::at(due).await;
            Err(Gone::Stalled)
        };
        self.write(&text).or(late).await
    }

    async fn write(&mut self, text: &str) -> Result<(), Gone> {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let written = async { Ok(self.stream.write(rest).await?) };
            let stalled = async {
                Timer::after(STALL).await;
                Err(Gone::Stalled)
            };
            match written.or(stalled).await? {
                0 => return Err(Gone::HungUp),
                len => rest = &rest[len..],
            }
        }
        Ok(())
    }
}

async fn ask(
    request: CommandRequest,
    events: &Sender<ControlEvent>,
) -> Result<CommandOutcome, CommandError> {
    let (sender, answer) = async_channel::bounded(1);
    let responder = Responder(sender);
    let event = ControlEvent { request, responder };
    let sent = events.send(event).await;
    sent.map_err(|_| CommandError::Stopping)?;
    let answer = answer.recv().await;
    answer.map_err(|_| CommandError::Stopping)?
}

fn difference(before: &[u32], after: &[u32]) -> StateParts {
    let pairs = before.iter().zip(after).zip(StatePart::ALL);
    let changed = pairs.filter(|((before, after), _)| before != after);
    changed.fold(StateParts::NONE, |all, (_, part)| all.or(part.into()))
}

/// Bytes taken from a client at a time: a command is far shorter.
const READ_CHUNK: usize = 4096;

/// From so many bytes on, an answer is sent before it is complete. A shorter one goes with its
/// end in one piece, so that the client wakes once.
const SEND_AT: usize = 16 * 1024;

/// Of one that is turned away: long enough to say its first command, and to read.
const FAREWELL: Duration = Duration::from_secs(2);

/// Pieces that are heard of one that is turned away, and thrown away.
const MAX_LAST_WORDS: usize = 64;

/// Tracks that a plan looks at in a step, a page of the catalogue: others wait
/// for no more than that, and when all are written it is some 100 KiB.
const PLAN_STEP: usize = 256;
