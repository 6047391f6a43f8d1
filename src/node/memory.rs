//! What a node remembers over a restart: how it was used, and the peers that it knew.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    bookmark::{Absence, Bookmark, Left, ResumeAs},
    roster::Acquaintance,
};
use crate::{
    config::Resume,
    playback::{
        queue::{self, Options, Queue, QueueItem},
        transport::PlayState,
    },
    tenure::TenureRecord,
};

/// The volume, and the queue with its options and its current track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// In per cent.
    pub volume: u8,
    pub options: Options,
    pub queue: Vec<Arc<QueueItem>>,
    /// The position of the current track.
    pub current: Option<usize>,
    /// Its default name, and what the swarm called it because that was taken.
    pub known_as: Option<(String, String)>,
    /// The peers that were here lately: where to begin without a tracker and without mDNS.
    pub peers: Vec<Acquaintance>,
    /// Which node has which name.
    pub names: Vec<TenureRecord>,
    /// What it goes on with, by the bookmark.
    #[serde(skip)]
    pub left: Option<Left>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            volume: FIRST_VOLUME,
            options: Options::default(),
            queue: Vec::new(),
            current: None,
            known_as: None,
            peers: Vec::new(),
            names: Vec::new(),
            left: None,
        }
    }
}

impl Memory {
    /// What a node that was away for `absence` begins with, by what was written last.
    pub fn go_on(mut self, bookmark: &Bookmark, resume: Resume, absence: Absence) -> Self {
        self.volume = bookmark.volume;
        self.options = bookmark.options;
        let items = self.queue.iter().map(|item| &**item);
        let found = bookmark.song.and_then(|song| song.find_in(items));
        if bookmark.song.is_none() || found.is_some() {
            self.current = found;
        }
        let then = match (resume, bookmark.state) {
            (Resume::Never, _) | (_, PlayState::Stop) => None,
            (Resume::Paused, _) | (_, PlayState::Pause) => Some(ResumeAs::Pause),
            (Resume::Always, PlayState::Play) => Some(ResumeAs::after(absence)),
        };
        let at = bookmark.at;
        self.left = then
            .filter(|_| found.is_some())
            .map(|then| Left { at, then });
        self
    }

    pub fn of(queue: &Queue, volume: u8) -> Self {
        Self {
            volume,
            options: queue.options(),
            queue: queue.slots().iter().map(|slot| slot.item.clone()).collect(),
            current: queue.cursor().and_then(|id| queue.position(id)),
            known_as: None,
            peers: Vec::new(),
            names: Vec::new(),
            left: None,
        }
    }

    /// The queue as it was. What no longer fits is left out.
    pub fn recall(&self, seed: u64) -> Queue {
        let mut queue = Queue::new(seed);
        let mut items = queue::enough(self.queue.iter().cloned());
        if queue::check(&items).is_err() {
            items.pop();
        }
        if queue.insert(items, None).is_ok() {
            queue.set_options(self.options);
            if let Some(Ok(current)) = self.current.map(|position| queue.id_at(position)) {
                // It has just been found there.
                let _ = queue.choose(current);
            }
        }
        queue
    }
}

/// Says when the peers that are here are worth writing down: seldom, since an SD card wears
/// by being written, and peers may come and go all day.
#[derive(Debug)]
pub struct Reminder {
    written: Vec<Acquaintance>,
    last: Option<Instant>,
    due: Option<Instant>,
    /// A name is another's than what was written.
    has_names: bool,
}

impl Reminder {
    /// Begins with what was written before.
    pub fn new(written: Vec<Acquaintance>) -> Self {
        Self {
            written,
            last: None,
            due: None,
            has_names: false,
        }
    }

    /// Somebody has come, or moved.
    pub fn handle_news(&mut self, now: Instant) {
        let settled = now + SETTLED;
        let paced = self.last.map_or(settled, |last| last + WRITE_EVERY);
        self.due.get_or_insert(settled.max(paced));
    }

    /// A name has come or gone.
    pub fn handle_names(&mut self, now: Instant) {
        self.has_names = true;
        self.handle_news(now);
    }

    /// When [`Self::is_due`] is to be asked.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it is time to write, if that is worth it.
    pub fn is_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }

    /// Whether `peers`, of which `here` are here, have to be written.
    pub fn is_worth_it(&mut self, here: &[Acquaintance], now: Instant) -> bool {
        let is_written = |known: &Acquaintance| {
            self.written.iter().any(|written| {
                let first = known.addresses.first();
                written.peer == known.peer
                    && written.name == known.name
                    && first.is_none_or(|first| written.addresses.contains(first))
            })
        };
        let has_names = std::mem::take(&mut self.has_names);
        if here.iter().all(is_written) && !has_names {
            return false;
        }
        self.written = here.to_vec();
        self.last = Some(now);
        true
    }
}

/// A swarm that starts is written down once.
const SETTLED: Duration = Duration::from_secs(5);
/// A peer that comes in between is written down with the next.
const WRITE_EVERY: Duration = Duration::from_secs(300);
/// Loud enough to be heard, not loud enough to frighten: nobody knows yet what
/// amplifier is behind the DAC.
const FIRST_VOLUME: u8 = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture;

    #[test]
    fn a_queue_survives_a_restart() {
        let mut queue = Queue::new(1);
        let database = fixture::database();
        let items = database.tracks().map(|found| Arc::new(found.into()));
        queue.insert(items, None).unwrap();
        queue.choose(queue.id_at(1).unwrap()).unwrap();
        queue.set_options(Options {
            repeat: true,
            ..Options::default()
        });
        let memory = Memory::of(&queue, 42);
        let text = serde_json::to_string(&memory).unwrap();
        let recalled: Memory = serde_json::from_str(&text).unwrap();
        assert_eq!(recalled, memory);
        assert!(memory.queue.len() > 1);
        assert_eq!(Memory::of(&recalled.recall(2), 42), memory);
    }

    proptest::proptest! {
        /// A power cut, a bad card, or a person may have been at the file.
        #[test]
        fn any_change_to_the_file_is_survived(at: usize, byte: u8, cut: bool) {
            let database = fixture::database();
            let queue = database.tracks().map(|found| Arc::new(found.into())).collect();
            let memory = Memory { queue, current: Some(1), ..Memory::default() };
            let mut text = serde_json::to_vec(&memory).unwrap();
            let at = at % text.len();
            match cut {
                true => text.truncate(at),
                false => text[at] = byte,
            }
            if let Ok(memory) = serde_json::from_slice::<Memory>(&text) {
                let _ = Memory::of(&memory.recall(1), memory.volume);
            }
        }
    }

    #[test]
    fn what_is_damaged_is_forgotten() {
        let memory: Memory = serde_json::from_str("{\"current\": 7}").unwrap();
        assert_eq!(Memory::of(&memory.recall(1), 30), Memory::default());
    }

    #[test]
    fn peers_that_come_and_go_all_day_are_written_down_seldom() {
        let begin = Instant::now();
        let mut reminder = Reminder::new(Vec::new());
        let mut written = 0;
        for second in 0..86_400 {
            let now = begin + Duration::from_secs(second);
            let here = Acquaintance {
                peer: crate::id::PeerId([1; 32]),
                name: format!("peer-{second}"),
                addresses: Vec::new(),
            };
            reminder.handle_news(now);
            written += u32::from(reminder.is_due(now) && reminder.is_worth_it(&[here], now));
        }
        assert_eq!(written, 86_400 / 300);
        let same = reminder.written.clone();
        assert!(!reminder.is_worth_it(&same, begin));
        assert!(!reminder.is_worth_it(&[], begin), "who is gone stays there");
    }
}
