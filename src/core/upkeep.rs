//! What is done later, and once for many causes: writing down what is remembered, syncing what
//! was played, and trying a cache again that cannot be written.

use std::time::{Duration, Instant};

/// See the module's description.
#[derive(Debug, Default)]
pub struct Upkeep {
    remember_at: Option<Instant>,
    rest_at: Option<Instant>,
    cache: CacheHealth,
}

/// Whether the cache can be written, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CacheHealth {
    #[default]
    Well,
    /// It cannot, and is tried again then.
    Broken { check_at: Instant },
    /// It could not, and is being tried.
    Checked,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpkeepTask {
    Remember,
    Rest,
    CheckCache,
}

impl Upkeep {
    /// Something that is remembered has changed: what comes track by track is written once.
    pub fn remember_soon(&mut self, now: Instant) {
        self.remember_at.get_or_insert(now + REMEMBER_AFTER);
    }

    /// A track was left: what is here of it is synced, unless another is left meanwhile.
    pub fn rest_soon(&mut self, now: Instant) {
        self.rest_at = Some(now + REST_AFTER);
    }

    /// The cache cannot be written. Says whether that is news.
    pub fn handle_cache_broken(&mut self, now: Instant) -> bool {
        let is_news = self.cache == CacheHealth::Well;
        if is_news {
            let check_at = now + CHECK_AGAIN;
            self.cache = CacheHealth::Broken { check_at };
        }
        is_news
    }

    /// It was tried, and could be written or not. Says whether it could not be written before.
    pub fn handle_cache_checked(&mut self, is_well: bool, now: Instant) -> bool {
        let was_broken = self.cache != CacheHealth::Well;
        if is_well {
            self.cache = CacheHealth::Well;
        } else if was_broken {
            let check_at = now + CHECK_AGAIN;
            self.cache = CacheHealth::Broken { check_at };
        }
        was_broken
    }

    /// The next task that is due.
    pub fn poll(&mut self, now: Instant) -> Option<UpkeepTask> {
        let is_due = |at: &mut Instant| *at <= now;
        if self.remember_at.take_if(is_due).is_some() {
            return Some(UpkeepTask::Remember);
        }
        if self.rest_at.take_if(is_due).is_some() {
            return Some(UpkeepTask::Rest);
        }
        match self.cache {
            CacheHealth::Broken { check_at } if check_at <= now => {
                self.cache = CacheHealth::Checked;
                Some(UpkeepTask::CheckCache)
            }
            _ => None,
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let check = match self.cache {
            CacheHealth::Broken { check_at } => Some(check_at),
            CacheHealth::Well | CacheHealth::Checked => None,
        };
        let due = [self.remember_at, self.rest_at, check];
        due.into_iter().flatten().min()
    }
}

/// An album that is queued track by track arrives within this; the disk waits for longer.
const REMEMBER_AFTER: Duration = Duration::from_millis(100);
/// The player lets go of a track within milliseconds; a person skips through a list
/// faster than this. So each track that was left before its end costs a card one block of
/// bitfield and the metadata of four names, at most once in this long; the sync of its
/// bytes is what would have been written anyway.
const REST_AFTER: Duration = Duration::from_secs(5);
/// Once there is room again, `status` says so at most this much later. One look writes 1 MiB.
const CHECK_AGAIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_cannot_be_written_is_told_of_once_and_tried_until_it_can() {
        let mut upkeep = Upkeep::default();
        let mut now = Instant::now();
        assert!(!upkeep.handle_cache_checked(true, now));
        assert!(upkeep.handle_cache_broken(now));
        assert!(!upkeep.handle_cache_broken(now));
        for _ in 0..3 {
            assert_eq!(upkeep.poll(now), None);
            now = upkeep.poll_timeout().expect("it is tried again");
            assert_eq!(upkeep.poll(now), Some(UpkeepTask::CheckCache));
            assert_eq!(upkeep.poll_timeout(), None, "one try at a time");
            assert!(!upkeep.handle_cache_broken(now), "while it is tried");
            assert!(upkeep.handle_cache_checked(false, now));
        }
        now = upkeep.poll_timeout().expect("it is tried again");
        upkeep.poll(now);
        assert!(upkeep.handle_cache_checked(true, now));
        assert_eq!(upkeep.poll_timeout(), None);
    }

    #[test]
    fn many_changes_are_written_once_and_skipping_puts_a_sync_off() {
        let mut upkeep = Upkeep::default();
        let start = Instant::now();
        for n in 0..50 {
            let now = start + Duration::from_millis(n);
            upkeep.remember_soon(now);
            upkeep.rest_soon(now);
        }
        assert_eq!(upkeep.poll_timeout(), Some(start + REMEMBER_AFTER));
        assert_eq!(
            upkeep.poll(start + REMEMBER_AFTER),
            Some(UpkeepTask::Remember)
        );
        let last = start + Duration::from_millis(49);
        assert_eq!(upkeep.poll_timeout(), Some(last + REST_AFTER));
        assert_eq!(upkeep.poll(last + REST_AFTER), Some(UpkeepTask::Rest));
        assert_eq!(upkeep.poll_timeout(), None);
    }
}
