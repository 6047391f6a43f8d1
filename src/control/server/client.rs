//! One client's task.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    pin::Pin,
    sync::Arc,
    time::Instant,
};

use async_channel::{Receiver, Sender};
use async_io::{Async, Timer};
use smol::{
    future::{self, FutureExt as _},
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
};

use super::{Answer, Changes, ControlEvent, Responder, PASSWORD_TIME, SILENCE, STALL};
use crate::control::{
    mpd::{
        apply::{Request, Task},
        args::{Ack, AckCode},
        command::Command,
        plan::{Plan, Step},
        session::{End, Session, SessionAction},
    },
    view::{Subsystem, Subsystems},
};

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// A connected client.
pub(super) struct Client {
    stream: Pin<Box<dyn Stream>>,
    session: Session,
    /// Where it comes from, if by TCP.
    address: Option<SocketAddr>,
    since: Instant,
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
    #[error(transparent)]
    Session(#[from] End),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Client {
    /// Whoever can open the socket needs no password.
    pub fn unix(stream: Async<UnixStream>) -> Self {
        Self {
            stream: Box::pin(stream),
            session: Session::new(None),
            address: None,
            since: Instant::now(),
        }
    }

    pub fn tcp(stream: Async<TcpStream>, from: SocketAddr, password: Option<Arc<str>>) -> Self {
        // Answers are written whole, and somebody waits for each.
        let _ = stream.get_ref().set_nodelay(true);
        Self {
            stream: Box::pin(stream),
            session: Session::new(password),
            address: Some(from),
            since: Instant::now(),
        }
    }

    /// Where it comes from, if by TCP.
    pub fn address(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }

    /// Serves the client until it goes.
    pub async fn serve(
        mut self,
        events: Sender<ControlEvent>,
        changes: Arc<Changes>,
        bell: Receiver<()>,
    ) {
        let Err(gone) = self.talk(&events, &changes, &bell).await;
        match self.address {
            Some(address) => log::debug!("control: {address} is gone: {gone}"),
            None => log::debug!("control: a local client is gone: {gone}"),
        }
    }

    async fn talk(
        &mut self,
        events: &Sender<ControlEvent>,
        changes: &Changes,
        bell: &Receiver<()>,
    ) -> Result<std::convert::Infallible, Gone> {
        let mut seen = changes.counts();
        let mut chunk = [0; READ_CHUNK];
        let mut heard = Instant::now();
        loop {
            while let Some(action) = self.session.poll() {
                heard = Instant::now();
                match action {
                    SessionAction::Write(text) => self.write(&text).await?,
                    SessionAction::Run(command) => {
                        let result = self.run(command, events).await?;
                        self.session.handle_done(result);
                    }
                    SessionAction::Close(end) => return Err(end.into()),
                }
            }
            if let Some(len) = self.wait(&mut chunk, bell, heard).await? {
                heard = Instant::now();
                self.session.handle_bytes(&chunk[..len]);
            }
            let counts = changes.counts();
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
        let bytes = async {
            match self.stream.read(chunk).await? {
                0 => Err(Gone::HungUp),
                len => Ok(Some(len)),
            }
        };
        let rung = async {
            match bell.recv().await {
                Ok(()) => Ok(None),
                Err(_) => future::pending().await,
            }
        };
        let silence = async {
            if is_idle {
                return future::pending().await;
            }
            Timer::at(until).await;
            Err(Gone::Silent)
        };
        bytes.or(rung).or(silence).await
    }

    /// Has the node, and then maybe a plan, carry out a command.
    async fn run(
        &mut self,
        command: Command,
        events: &Sender<ControlEvent>,
    ) -> Result<Result<(), Ack>, Gone> {
        let mut task = Task::Command(command);
        loop {
            let tags = self.session.tags();
            let plan = match ask(Request { task, tags }, events).await {
                Err(ack) => return Ok(Err(ack)),
                Ok(Answer::Reply(reply)) => {
                    self.write(reply.as_str()).await?;
                    return Ok(Ok(()));
                }
                Ok(Answer::Plan(plan)) => plan,
            };
            task = match self.walk(plan).await? {
                Ok(Some(task)) => task,
                Ok(None) => return Ok(Ok(())),
                Err(ack) => return Ok(Err(ack)),
            };
        }
    }

    /// Walks a plan, letting others run between its steps.
    async fn walk(&mut self, mut plan: Box<Plan>) -> Result<Result<Option<Task>, Ack>, Gone> {
        loop {
            match plan.step(PLAN_STEP) {
                Step::Write(reply) => self.write(reply.as_str()).await?,
                Step::Done => return Ok(Ok(None)),
                Step::Insert(insertion) => return Ok(Ok(Some(Task::Insert(insertion)))),
                Step::Failed(ack) => return Ok(Err(ack)),
            }
            future::yield_now().await;
        }
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

async fn ask(request: Request, events: &Sender<ControlEvent>) -> Result<Answer, Ack> {
    let (sender, answer) = async_channel::bounded(1);
    let responder = Responder(sender);
    let going = || Ack::new(AckCode::System, "this node is being stopped");
    let event = ControlEvent { request, responder };
    events.send(event).await.map_err(|_| going())?;
    answer.recv().await.map_err(|_| going())?
}

fn difference(before: &[u32], after: &[u32]) -> Subsystems {
    let pairs = before.iter().zip(after).zip(Subsystem::ALL);
    let changed = pairs.filter(|((before, after), _)| before != after);
    changed.fold(Subsystems::NONE, |all, (_, subsystem)| {
        all.or(subsystem.into())
    })
}

/// Bytes taken from a client at a time: a command is far shorter.
const READ_CHUNK: usize = 4096;

/// Tracks that a plan looks at in a step, a page of the catalogue: others wait
/// for no more than that, and when all are written it is some 100 KiB.
const PLAN_STEP: usize = 256;
