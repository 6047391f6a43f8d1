//! What is said of the tracker, which may be anybody's, and may come and go for ever.

use std::time::{Duration, Instant};

use crate::{node::listed, tracker::link::TrackerEvent};

/// Keeps the log quiet: says nothing twice in a row, and where lines come too fast,
/// says them at the level debug only.
#[derive(Debug)]
pub struct Chatter {
    last: String,
    /// When the last line was due, one after the other.
    due: Option<Instant>,
    /// Whether the last that was said was that there is no tracker.
    is_lost: bool,
}

impl Chatter {
    pub fn new() -> Self {
        Self {
            last: String::new(),
            due: None,
            is_lost: false,
        }
    }

    /// Logs how this node stands with its tracker, when that changes.
    pub fn say(&mut self, event: &TrackerEvent, now: Instant) {
        let (level, line) = match event {
            TrackerEvent::Registered {
                registered,
                reached_at,
            } => {
                let name = &registered.name;
                (
                    log::Level::Info,
                    format!("registered with {reached_at} as {name:?}"),
                )
            }
            TrackerEvent::AlreadyRegistered(registered) => (
                log::Level::Info,
                format!("this node is already registered as {:?}", registered.name),
            ),
            TrackerEvent::Refused(refusal) => (
                log::Level::Warn,
                format!("the tracker refuses this node: {refusal}"),
            ),
            TrackerEvent::Lost { to, why } => {
                let line = format!("no tracker at {to}: {why}");
                // Once, not with each attempt, whatever each fails of.
                let is_news = !std::mem::replace(&mut self.is_lost, true);
                let level = if is_news {
                    log::Level::Warn
                } else {
                    log::Level::Debug
                };
                (level, line)
            }
            TrackerEvent::Left { confirmed: true } => (log::Level::Info, "left the swarm".into()),
            TrackerEvent::Left { confirmed: false } => (
                log::Level::Info,
                "left the swarm; the tracker did not answer".into(),
            ),
            TrackerEvent::Several { at, troubles, .. } => {
                let level = match troubles.is_empty() {
                    true => log::Level::Info,
                    false => log::Level::Warn,
                };
                let mut line = format!("registered with {}", listed(at));
                troubles.iter().for_each(|why| line += &format!("; {why}"));
                (level, line)
            }
            TrackerEvent::Connecting { .. }
            | TrackerEvent::Message(_)
            | TrackerEvent::Unvouched(_)
            | TrackerEvent::Unwanted => return,
        };
        self.is_lost &= matches!(event, TrackerEvent::Lost { .. });
        if let Some(level) = self.level(&line, level, now) {
            log::log!(level, "{line}");
        }
    }

    /// How loud to say `line`, which is worth `level`; `None` when it has just been
    /// said.
    fn level(&mut self, line: &str, level: log::Level, now: Instant) -> Option<log::Level> {
        if self.last == line {
            return None;
        }
        self.last = line.to_owned();
        let due = self.due.map_or(now, |due| due.max(now));
        if due > now + INTERVAL * AT_ONCE {
            return Some(log::Level::Debug);
        }
        self.due = Some(due + INTERVAL);
        Some(level)
    }
}

/// Over a long time, lines are at least this far apart.
const INTERVAL: Duration = Duration::from_secs(600);
/// An evening on which somebody looks for what is wrong with the network.
const AT_ONCE: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_that_comes_and_goes_fills_no_log() {
        let mut chatter = Chatter::new();
        let mut now = Instant::now();
        let mut loud = 0;
        for n in 0..20_000 {
            let line = ["registered", "lost"][n % 2];
            let level = chatter.level(line, log::Level::Info, now);
            loud += usize::from(level == Some(log::Level::Info));
            assert_eq!(chatter.level(line, log::Level::Info, now), None);
            now += Duration::from_secs(1);
        }
        assert_eq!(loud, 1 + AT_ONCE as usize + 20_000 / 600);
    }
}
