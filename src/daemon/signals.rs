//! Signals as a stream of values.

use std::{io, os::unix::net::UnixStream};

use async_io::Async;
use signal_hook::{consts, low_level::pipe};
use smol::{future, io::AsyncReadExt};

/// What a signal asks of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT: leave, save, end.
    Stop,
    /// SIGHUP: read the configuration and the library again.
    Reload,
}

/// Catches the signals for as long as the process lives.
pub struct Signals {
    stop: Async<UnixStream>,
    reload: Async<UnixStream>,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// When the system refuses them.
    pub fn new() -> io::Result<Self> {
        let (stop, stop_writer) = UnixStream::pair()?;
        pipe::register(consts::SIGTERM, stop_writer.try_clone()?)?;
        pipe::register(consts::SIGINT, stop_writer)?;
        let (reload, reload_writer) = UnixStream::pair()?;
        pipe::register(consts::SIGHUP, reload_writer)?;
        Ok(Self {
            stop: Async::new(stop)?,
            reload: Async::new(reload)?,
        })
    }

    /// Waits for the end to be asked for.
    pub async fn stop(&mut self) {
        wait(&mut self.stop, Signal::Stop).await;
    }

    /// The next signal. Several of one kind may come as one.
    pub async fn next(&mut self) -> Signal {
        let Self { stop, reload } = self;
        future::or(wait(stop, Signal::Stop), wait(reload, Signal::Reload)).await
    }
}

async fn wait(pipe: &mut Async<UnixStream>, signal: Signal) -> Signal {
    let mut bytes = [0; 16];
    match pipe.read(&mut bytes).await {
        Ok(1..) => signal,
        // The writing end lives in the handler, so this cannot end.
        _ => future::pending().await,
    }
}
