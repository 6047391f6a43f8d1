//! What the daemon tells systemd, as sd_notify(3) defines it.
//!
//! The service manager hears that the daemon lives only while every loop that it is made
//! of turns: a tracker that hangs is not covered up by a peer that plays. What it shows
//! of the daemon is said when it changes, but not at every turn of somebody's dial.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsStr,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use nix::time::{clock_gettime, ClockId};

use crate::unseen::one_line;

/// The way to the service manager; silent where there is none.
#[derive(Debug, Default)]
pub struct ServiceNotifier(Option<UnixDatagram>);

impl ServiceNotifier {
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

    fn status(&self, text: &str) {
        // A line of its own would be another message: names and paths come
        // from strangers.
        let line: String = text.chars().take(MAX_STATUS_CHARS).collect();
        let line = one_line(&line);
        self.send(&format!("STATUS={line}"));
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

/// Tells the service manager that the daemon lives, while all its loops turn.
#[derive(Clone, Debug)]
pub struct Watchdog {
    notifier: Arc<ServiceNotifier>,
    interval: Option<Duration>,
    loops: Arc<Mutex<Loops>>,
}

#[derive(Debug, Default)]
struct Loops {
    count: usize,
    /// Those that have turned since the service manager was told last.
    turned: BTreeSet<usize>,
}

impl Watchdog {
    /// One as often as the service manager wants to hear it; `None` is never.
    pub fn new(notifier: Arc<ServiceNotifier>, interval: Option<Duration>) -> Self {
        Self {
            notifier,
            interval,
            loops: Arc::default(),
        }
    }

    /// Half of the time that systemd allows, where it watches this process.
    pub fn interval_from_env() -> Option<Duration> {
        let pid = env::var("WATCHDOG_PID");
        let ours = pid.map_or(true, |pid| pid == std::process::id().to_string());
        let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
        (ours && micros > 0).then(|| Duration::from_micros(micros / 2))
    }

    /// For one more loop, without whose beats there are none.
    pub fn pulse(&self) -> LoopPulse {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.count += 1;
        LoopPulse {
            number: loops.count,
            watchdog: self.clone(),
        }
    }
}

/// A loop's part in what the service manager hears.
#[derive(Debug)]
pub struct LoopPulse {
    number: usize,
    watchdog: Watchdog,
}

impl LoopPulse {
    /// How often [`Self::beat`] is due; `None` where nobody listens.
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.interval
    }

    /// This loop turns.
    pub fn beat(&self) {
        let Watchdog {
            notifier, loops, ..
        } = &self.watchdog;
        let mut loops = loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.turned.insert(self.number);
        if loops.turned.len() == loops.count {
            loops.turned.clear();
            notifier.send("WATCHDOG=1");
        }
    }
}

/// The line about the daemon that `systemctl status` shows.
#[derive(Debug)]
pub struct StatusLine {
    notifier: Arc<ServiceNotifier>,
    said: String,
    /// When the next one may be said.
    rested: Instant,
    /// Whether it may be another one by now.
    is_stale: bool,
}

impl StatusLine {
    pub fn new(notifier: Arc<ServiceNotifier>, now: Instant) -> Self {
        Self {
            notifier,
            said: String::new(),
            rested: now,
            is_stale: false,
        }
    }

    /// What it tells of has changed, perhaps.
    pub fn handle_change(&mut self) {
        self.is_stale = self.notifier.0.is_some();
    }

    /// When [`Self::say`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.is_stale.then_some(self.rested)
    }

    /// Says `text`, where it is another than before.
    pub fn say(&mut self, text: String, now: Instant) {
        self.is_stale = false;
        if text != self.said {
            self.notifier.status(&text);
            self.said = text;
            self.rested = now + STATUS_REST;
        }
    }
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

/// Between two lines: one that is read by a person, and kept by nobody.
const STATUS_REST: Duration = Duration::from_secs(2);
/// systemd ignores messages of more than 4096 bytes, which a path from afar may have; a
/// character has four at most.
const MAX_STATUS_CHARS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that has been said.
    fn heard(by: &UnixDatagram) -> Vec<String> {
        by.set_nonblocking(true).unwrap();
        let mut bytes = [0; 8192];
        std::iter::from_fn(|| {
            let length = by.recv(&mut bytes).ok()?;
            Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
        })
        .collect()
    }

    /// A track's name from afar must not pass for a message of ours.
    #[test]
    fn a_status_is_one_line() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ServiceNotifier::to(ours).status("playing a\nREADY=1\r\nMAINPID=1");
        assert_eq!(heard(&theirs), ["STATUS=playing a READY=1  MAINPID=1"]);
    }

    #[test]
    fn a_status_is_never_longer_than_systemd_reads() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ServiceNotifier::to(ours).status(&"🎵".repeat(4096));
        assert!(heard(&theirs)[0].len() < 4096);
    }

    #[test]
    fn every_loop_has_to_turn_for_the_watchdog() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let watchdog = Watchdog::new(Arc::new(ServiceNotifier::to(ours)), None);
        let [peer, tracker] = [(); 2].map(|()| watchdog.pulse());
        for _ in 0..3 {
            peer.beat();
        }
        assert!(heard(&theirs).is_empty(), "the tracker hangs");
        tracker.beat();
        assert_eq!(heard(&theirs), ["WATCHDOG=1"]);
        tracker.beat();
        tracker.beat();
        assert!(heard(&theirs).is_empty(), "the peer hangs");
        peer.beat();
        assert_eq!(heard(&theirs), ["WATCHDOG=1"]);
    }

    #[test]
    fn a_status_is_said_when_it_has_changed_and_not_too_often() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let now = Instant::now();
        let mut line = StatusLine::new(Arc::new(ServiceNotifier::to(ours)), now);
        assert_eq!(line.poll_timeout(), None);
        line.handle_change();
        assert_eq!(line.poll_timeout(), Some(now), "the first one at once");
        line.say("stopped".into(), now);
        assert_eq!(line.poll_timeout(), None);
        line.handle_change();
        let due = line.poll_timeout().unwrap();
        assert_eq!(due, now + STATUS_REST);
        line.say("stopped".into(), due);
        line.handle_change();
        assert_eq!(line.poll_timeout(), Some(due), "nothing was said");
        line.say("playing".into(), due);
        assert_eq!(heard(&theirs), ["STATUS=stopped", "STATUS=playing"]);
    }

    #[test]
    fn where_nobody_listens_no_status_is_due() {
        let mut line = StatusLine::new(Arc::default(), Instant::now());
        line.handle_change();
        assert_eq!(line.poll_timeout(), None);
    }
}
