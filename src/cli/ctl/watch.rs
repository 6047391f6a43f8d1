//! The live line of `status --watch`.

use std::{
    io::{self, Read as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use signal_hook::{consts, low_level::pipe};

use super::{
    client::CtlClient,
    print,
    screen::{width, Screen},
    show::Scene,
    CtlError,
};

/// Shows a live line until the node or the person ends it; what was seen last stays.
pub(super) fn watch(client: &mut CtlClient) -> Result<(), CtlError> {
    let mut end = Ends::listen().map_err(CtlError::Output)?;
    let mut line = WatchedLine::default();
    loop {
        let shown = Scene::ask(client).and_then(|scene| line.show(&scene));
        if shown.is_err() || end.wait(Duration::from_secs(1)) {
            line.end()?;
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

/// What is shown now.
#[derive(Default)]
struct WatchedLine {
    shown: String,
}

impl WatchedLine {
    fn show(&mut self, scene: &Scene) -> Result<(), CtlError> {
        let mut screen = Screen::of_stdout();
        // The terminal shows a Ctrl-C as two characters, which are not to wrap.
        screen.columns = screen.columns.map(|columns| columns.saturating_sub(2));
        let line = scene.line(&screen);
        match screen.columns {
            None => print(&line),
            Some(columns) => {
                let line = line.trim_end();
                print(&format!("{}{line}", self.erased(columns)))?;
                self.shown = line.to_owned();
                Ok(())
            }
        }
    }

    /// What takes away the line that is shown, of which a window that has become narrower
    /// makes several.
    fn erased(&self, columns: usize) -> String {
        match width(&self.shown).saturating_sub(1) / columns.max(1) {
            0 => "\r\x1b[K".into(),
            above => format!("\x1b[{above}A\r\x1b[J"),
        }
    }

    /// The terminal shows what was typed to end it.
    fn end(&self) -> Result<(), CtlError> {
        match Screen::of_stdout().columns {
            None => Ok(()),
            Some(columns) => print(&format!("{}{}\n", self.erased(columns), self.shown)),
        }
    }
}
