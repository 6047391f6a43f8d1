//! What is said of the tracker, which may be anybody's, and may come and go for ever.

use std::time::{Duration, Instant};

/// Keeps the log quiet: says nothing twice in a row, and where lines come too fast,
/// says them to who debugs only.
#[derive(Debug)]
pub struct Chatter {
    last: String,
    /// When the last line was due, one after the other.
    due: Option<Instant>,
}

impl Chatter {
    pub fn new() -> Self {
        Self {
            last: String::new(),
            due: None,
        }
    }

    /// How loud to say `line`, which is worth `level`; `None` when it has just been
    /// said.
    pub fn level(&mut self, line: &str, level: log::Level, now: Instant) -> Option<log::Level> {
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
