//! The live line of `status --watch`.

use std::{
    io::{self, Read as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use signal_hook::{consts, low_level::pipe};

use super::{client::CtlClient, print, terminal, watched_line::WatchedLine, CtlError};

/// Shows a live line until the node or the person ends it; what was seen last stays.
pub(super) fn watch(client: &mut CtlClient) -> Result<(), CtlError> {
    let mut end = Ends::listen().map_err(CtlError::Output)?;
    let mut line = WatchedLine::default();
    loop {
        let scene = client.scene();
        let shown = scene.and_then(|scene| print(&line.show(&scene, terminal::screen())));
        if shown.is_err() || end.wait(Duration::from_secs(1)) {
            print(&line.end(&terminal::screen()))?;
            return shown;
        }
    }
}

/// Ctrl-C and its like, so that the terminal is left in order.
struct Ends(UnixStream);

impl Ends {
    fn listen() -> io::Result<Self> {
        let (told, signal) = UnixStream::pair()?;
        for kind in [consts::SIGINT, consts::SIGTERM, consts::SIGHUP] {
            pipe::register(kind, signal.try_clone()?)?;
        }
        Ok(Self(told))
    }

    /// Whether it is over within `time`.
    fn wait(&mut self, time: Duration) -> bool {
        let limited = self.0.set_read_timeout(Some(time));
        limited.is_ok() && self.0.read(&mut [0]).is_ok()
    }
}
