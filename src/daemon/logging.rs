//! Log lines: with the journal's priorities when stderr is the journal, with
//! a clock for people otherwise.

use std::{
    env,
    io::{self, Write as _},
    os::fd::AsFd,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    time::SystemTime,
};

use log::{Level, LevelFilter};

use crate::unseen::one_line;

/// How much the log tells; may be changed while it does.
pub struct Limit(Arc<AtomicUsize>);

impl Limit {
    /// Makes the log tell what is as grave as `level`, or graver.
    pub fn set(&self, level: LevelFilter) {
        self.0.store(level as usize, Ordering::Relaxed);
        log::set_max_level(level);
    }
}

/// Sets up the process's log on stderr.
///
/// # Errors
/// When there is one already.
pub fn init(level: LevelFilter) -> Result<Limit, log::SetLoggerError> {
    let journal = stderr_is_journal();
    let limit = Limit(Arc::default());
    let own_limit = limit.0.clone();
    fern::Dispatch::new()
        .filter(move |about| {
            let own = own_limit.load(Ordering::Relaxed);
            let is_own = about.target().split("::").next() == Some("p2pmusic");
            let limit = if is_own {
                own
            } else {
                own.min(OTHERS as usize)
            };
            about.level() as usize <= limit
        })
        // They warn of what is in a file, which a stranger may have made, or of a
        // directory that was watched and is removed.
        .filter(|about| {
            let target = about.target();
            let quiet = ["symphonia", "lofty", "notify"];
            !quiet.iter().any(|name| target.starts_with(name))
        })
        .format(move |out, message, record| {
            // What another node said of itself must not look like a line of this one.
            let message = one_line(&message.to_string());
            if journal {
                out.finish(format_args!("<{}>{message}", priority(record.level())));
            } else {
                out.finish(format_args!(
                    "{} {:<5} {message}",
                    time_of_day(),
                    record.level()
                ));
            }
        })
        .chain(fern::Output::call(|record| say(record.args())))
        .apply()?;
    limit.set(level);
    Ok(limit)
}

/// Writes a line as a whole. The reader may have gone, or the disk be full: that is no
/// reason to end the music, and nobody is left to tell.
fn say(line: &std::fmt::Arguments<'_>) {
    let _ = io::stderr()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}

/// Whether stderr leads to the journal, by systemd's own test: `JOURNAL_STREAM`
/// names the device and inode of the stream.
fn stderr_is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    nix::sys::stat::fstat(io::stderr().as_fd())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// syslog's number for a level, as sd-daemon(3) defines the prefix.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Hours, minutes, seconds and milliseconds, UTC.
fn time_of_day() -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = now.as_secs() % 86_400;
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{h:02}:{m:02}:{s:02}.{:03}", now.subsec_millis())
}

/// What the crates that we use may tell at most: their own matters are debug
/// to us.
const OTHERS: LevelFilter = LevelFilter::Warn;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_never_makes_a_line_of_its_own() {
        assert_eq!(
            one_line("refused: \n<3>on\u{202e}fire\x1b[31m"),
            "refused:  <3>on fire [31m"
        );
    }
}
