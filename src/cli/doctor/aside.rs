//! Looks that may never come back: at a disk that is gone, a driver that hangs, a name
//! server that is silent.
//!
//! Each runs on a thread of its own, which is left behind when its time is over; the end
//! of the process ends it.

use std::{
    any::Any,
    io::Read as _,
    marker::PhantomData,
    process::{Command, Stdio},
    sync::mpsc::{sync_channel, Receiver},
    thread,
    time::{Duration, Instant},
};

/// What a look is to find.
pub struct Aside<T>(Option<Receiver<Found>>, PhantomData<T>);

/// In a box, so that threads and channels are of one kind: for each kind they are 5 KB of code.
type Found = Box<dyn Any + Send>;

/// Begins to look.
pub fn look<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Aside<T> {
    Aside(begin(Box::new(|| Box::new(look()))), PhantomData)
}

fn begin(look: Box<dyn FnOnce() -> Found + Send>) -> Option<Receiver<Found>> {
    let (tell, told) = sync_channel(1);
    let thread = thread::Builder::new().name("look".into());
    let begun = thread.spawn(move || {
        // Nobody waits any more when this fails.
        let _ = tell.send(look());
    });
    begun.ok().map(|_| told)
}

impl<T: 'static> Aside<T> {
    /// What was found, if that is known by `until`.
    pub fn by(self, until: Instant) -> Option<T> {
        let left = until.saturating_duration_since(Instant::now());
        let found = self.0?.recv_timeout(left).ok()?;
        found.downcast().ok().map(|found| *found)
    }
}

/// What another program prints, if it is there, succeeds, and ends in time.
pub fn said(program: &str, words: &[&str]) -> Option<String> {
    // Some are where a plain user's shell does not look.
    let mut places = ["", "/usr/sbin/", "/sbin/"].iter();
    let mut child = places.find_map(|place| {
        Command::new(format!("{place}{program}"))
            .args(words)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()
    })?;
    let out = child.stdout.take()?;
    let reading = look(move || {
        let mut text = String::new();
        let read = out.take(MAX_SAID).read_to_string(&mut text);
        read.map(|_| text).ok()
    });
    let until = Instant::now() + PROGRAM;
    let text = reading.by(until).flatten();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.success(),
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
            _ => {
                // When it has just ended by itself there is nothing to kill.
                let _ = child.kill();
                let _ = child.wait();
                break false;
            }
        }
    };
    text.filter(|_| ended)
}

/// For the configuration, which everything else depends on. The three steps come one
/// after the other, and take less than 10 s together.
pub const CONFIG: Duration = Duration::from_secs(2);
/// For the node to answer: it does so in milliseconds, or is busy with a slow card.
pub const NODE: Duration = Duration::from_secs(2);
/// For all the rest, side by side.
pub const REST: Duration = Duration::from_millis(5500);
/// For one program that is asked; a little less than the look that asks it has.
const PROGRAM: Duration = Duration::from_secs(4);
/// More than any of them says.
const MAX_SAID: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(10);

    #[test]
    fn what_hangs_is_left_behind() {
        let (_keep, never) = sync_channel::<()>(1);
        let hangs = look(move || never.recv());
        let answers = look(|| 7);
        assert!(hangs
            .by(Instant::now() + Duration::from_millis(20))
            .is_none());
        assert_eq!(answers.by(Instant::now() + LONGEST), Some(7));
    }

    #[test]
    fn the_steps_fit_into_the_whole() {
        assert!(CONFIG + NODE + REST < LONGEST && PROGRAM < REST);
    }

    #[test]
    fn programs_are_asked_if_they_are_there() {
        assert_eq!(said("echo", &["hello"]).as_deref(), Some("hello\n"));
        assert_eq!(said("false", &[]), None);
        assert_eq!(said("no-such-program-here", &[]), None);
    }
}
