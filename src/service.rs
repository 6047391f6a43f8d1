//! What the daemon tells systemd, as sd_notify(3) defines it.

use std::{
    env,
    ffi::OsStr,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use nix::time::{clock_gettime, ClockId};

/// The way to the service manager; silent where there is none.
#[derive(Debug, Default)]
pub struct Notifier(Option<UnixDatagram>);

impl Notifier {
    /// Takes the socket that `NOTIFY_SOCKET` names.
    pub fn from_env() -> Self {
        Self(env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&name)))
    }

    /// One that tells `to`.
    #[cfg(test)]
    pub fn to(to: UnixDatagram) -> Self {
        Self(Some(to))
    }

    /// Every listener is bound.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The configuration is being read again; [`Self::ready`] ends that.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// What the daemon does, for `systemctl status`.
    pub fn status(&self, text: &str) {
        // A line of its own would be another message: names and paths come
        // from strangers.
        let line = text.replace(char::is_control, " ");
        self.send(&format!("STATUS={line}"));
    }

    /// The node's loop turns.
    pub fn watchdog(&self) {
        self.send("WATCHDOG=1");
    }

    /// The daemon leaves.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, text: &str) {
        if let Some(socket) = &self.0 {
            // A manager that does not listen is no reason to stop playing.
            let _ = socket.send(text.as_bytes());
        }
    }
}

/// How often [`Notifier::watchdog`] is due: half of what systemd allows.
pub fn watchdog_interval() -> Option<Duration> {
    let ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (ours && micros > 0).then(|| Duration::from_micros(micros / 2))
}

fn connect(name: &OsStr) -> Option<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(name),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect_addr(&address.ok()?).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A track's name from afar must not pass for a message of ours.
    #[test]
    fn a_status_is_one_line() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        Notifier::to(ours).status("playing a\nREADY=1\r\nMAINPID=1");
        let mut bytes = [0; 99];
        let length = theirs.recv(&mut bytes).unwrap();
        let heard = std::str::from_utf8(&bytes[..length]).unwrap();
        assert_eq!(heard, "STATUS=playing a READY=1  MAINPID=1");
    }
}
