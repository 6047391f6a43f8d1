//! When a place is written to the disk, and which of two counts.

use std::time::{Duration, Instant};

use crate::{daemon::slots::content::SlotContent, node::Bookmark};

/// Whether `bookmark` is no more than what the disk has, some time later.
pub(super) fn waits(
    (before, since): &(Bookmark, Instant),
    bookmark: &Bookmark,
    now: Instant,
) -> bool {
    let passed = now.saturating_duration_since(*since);
    let moved = bookmark.at.checked_sub(before.at);
    let is_progress = moved.is_some_and(|moved| moved <= passed + SLACK);
    let then = Bookmark {
        at: before.at,
        ..bookmark.clone()
    };
    is_progress && then == *before && passed < EVERY_ON_DISK
}

/// The later of what the disk and the memory have. What is in memory is of this boot; what is on
/// the disk may be, too.
pub(super) fn later(disk: Option<SlotContent>, brief: Option<SlotContent>) -> Option<SlotContent> {
    let (Some(disk), Some(brief)) = (&disk, &brief) else {
        return brief.or(disk);
    };
    let is_of_boot = disk.stamp.boot == brief.stamp.boot;
    let newest = match is_of_boot && disk.stamp.since_boot > brief.stamp.since_boot {
        true => disk,
        false => brief,
    };
    Some(newest.clone())
}

/// With what a minute costs a disk with a journal (12 KB), it writes less than 1 MB an hour.
const EVERY_ON_DISK: Duration = Duration::from_secs(60);
/// How much further the sound may be than the time that has passed: what is heard is asked for a
/// little later, and of a device that was late.
const SLACK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        daemon::stamp::ClockStamp,
        playback::{queue::Options, transport::PlayState},
    };

    fn bookmark(seconds: u64) -> Bookmark {
        Bookmark {
            song: None,
            state: PlayState::Play,
            at: Duration::from_secs(seconds),
            volume: 30,
            options: Options::default(),
        }
    }

    fn entry(seconds: u64, boot: u8, since_boot: u64) -> SlotContent {
        let stamp = ClockStamp {
            boot: Some([boot; 16]),
            since_boot: Duration::from_secs(since_boot),
            wall: Duration::ZERO,
        };
        let bookmark = bookmark(seconds);
        SlotContent { bookmark, stamp }
    }

    fn seconds(entry: Option<SlotContent>) -> Option<u64> {
        Some(entry?.bookmark.at.as_secs())
    }

    #[test]
    fn the_later_counts_and_what_is_in_memory_is_of_this_boot() {
        for (disk, brief, counts) in [
            (None, None, None),
            (Some(entry(1, 1, 9)), None, Some(1)),
            (None, Some(entry(2, 1, 9)), Some(2)),
            (Some(entry(1, 1, 9)), Some(entry(2, 1, 10)), Some(2)),
            // The process ended in order.
            (Some(entry(1, 1, 11)), Some(entry(2, 1, 10)), Some(1)),
            (Some(entry(1, 1, 99)), Some(entry(2, 2, 10)), Some(2)),
        ] {
            assert_eq!(seconds(later(disk, brief)), counts);
        }
    }

    #[test]
    fn only_progress_waits_and_for_a_minute_at_most() {
        let begin = Instant::now();
        let written = (bookmark(100), begin);
        let after = |seconds| begin + Duration::from_secs(seconds);
        let louder = Bookmark {
            volume: 31,
            ..bookmark(110)
        };
        for (bookmark, passed, expected) in [
            (bookmark(100), 0, true),
            (bookmark(110), 10, true),
            (bookmark(111), 10, true),
            (bookmark(112), 10, false),
            (bookmark(99), 10, false),
            (bookmark(159), 59, true),
            (bookmark(160), 60, false),
            (louder, 10, false),
        ] {
            assert_eq!(
                waits(&written, &bookmark, after(passed)),
                expected,
                "{bookmark:?}"
            );
        }
    }
}
