//! Where in a track its reader and its listener are, and how urgent that makes the rest.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use super::Class;
use crate::{
    content::ranges::GroupSet,
    id::{group_count, Group, GROUP_BYTES},
    util::rate::time_of,
};

/// The reader of a track, as far as it has told where it is.
#[derive(Debug)]
pub(super) struct PlayHead {
    /// Of the track, in bytes.
    size: u64,
    /// What the track is to the listener: playing or next.
    role: Class,
    opening: GroupSet,
    /// Where the reader last said that it stands, in groups, in bytes, and when.
    group: Group,
    reported: (u64, Instant),
    /// Bytes that a second of this track takes, when it is known.
    bitrate: Option<u64>,
    /// Where in the file the sound begins, in bytes.
    audio_start: u64,
    /// The sound is held back, so the reader goes no further.
    is_held: bool,
    /// The reader has gone on from what a decoder reads to open the track.
    past_opening: bool,
}

impl PlayHead {
    pub fn new(size: u64, opening: &[Range<u64>], now: Instant) -> Self {
        let opening = opening.iter().fold(GroupSet::new(), |set, range| {
            set.union(&GroupSet::of_bytes(range.start..range.end.min(size)))
        });
        Self {
            size,
            role: Class::Now,
            opening,
            group: Group(0),
            reported: (0, now),
            bitrate: None,
            audio_start: 0,
            is_held: false,
            past_opening: false,
        }
    }

    pub fn handle_role(&mut self, role: Class) {
        self.role = role;
    }

    pub fn handle_bitrate(&mut self, bytes_per_second: u64) {
        self.bitrate = Some(bytes_per_second.max(1));
    }

    pub fn handle_audio_start(&mut self, offset: u64) {
        self.audio_start = offset.min(self.size);
    }

    /// The reader stands at byte `offset`.
    pub fn handle_demand(&mut self, offset: u64, now: Instant) {
        self.group = Group::of(offset).min(Group(group_count(self.size)));
        self.reported = (offset.min(self.size), now);
        self.past_opening |= !self.is_opening();
    }

    /// The sound is held back, or goes on, while these groups are here. Says whether that is
    /// news.
    pub fn handle_held(&mut self, is_held: bool, have: &GroupSet, now: Instant) -> bool {
        let is_news = self.is_held != is_held;
        if is_news {
            self.reported = (self.position(have, now), now);
            self.is_held = is_held;
        }
        is_news
    }

    /// Where the reader stands.
    pub fn group(&self) -> Group {
        self.group
    }

    /// What a decoder reads before the first sound.
    pub fn opening(&self) -> &GroupSet {
        &self.opening
    }

    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// Bytes that a second of the track takes, as far as that is known.
    pub fn bitrate(&self) -> u64 {
        self.bitrate.unwrap_or(GUESSED_BITRATE)
    }

    /// Bytes of the track that `time` of it takes.
    pub fn bytes_in(&self, time: Duration) -> u64 {
        let bytes = u128::from(self.bitrate()) * time.as_micros() / 1_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How long `bytes` of the track sound.
    pub fn time_of(&self, bytes: u64) -> Duration {
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.bitrate());
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Whether the reader is still in the opening, before the first sound.
    pub fn is_opening(&self) -> bool {
        self.opening.contains(self.group)
    }

    /// Where the reader goes on: before the first sound it is anywhere in the opening, also
    /// at the tail.
    pub fn reads_on_from(&self) -> Group {
        match self.is_opening() {
            true => self.group.min(Group::of(self.audio_start)),
            false => self.group,
        }
    }

    /// Where the listener is, in bytes. Before the first sound the reader goes to and fro in
    /// the opening.
    pub fn listener(&self) -> u64 {
        match self.past_opening {
            true => self.reported.0,
            false => self.audio_start,
        }
    }

    /// Where the reader is about now, in bytes, while these groups are here. It tells that in
    /// strides, goes on at the track's rate between them, and stands still where a group is
    /// missing.
    pub fn position(&self, have: &GroupSet, now: Instant) -> u64 {
        let (reported, at) = self.reported;
        if self.is_held {
            return reported;
        }
        let since = now.saturating_duration_since(at).min(STRIDE_TIME);
        let moved = self.bytes_in(since).min(READER_STRIDE);
        let missing = have.first_missing(Group::of(reported)).start();
        reported.saturating_add(moved).min(missing.max(reported))
    }

    /// How long until the reader comes to `group`. For what lies behind it that is never.
    pub fn slack(&self, group: Group, have: &GroupSet, now: Instant) -> Duration {
        if self.opening.contains(group) && self.is_opening() {
            return Duration::ZERO;
        }
        if group < self.group {
            return Duration::MAX;
        }
        let bytes = group.start().saturating_sub(self.position(have, now));
        time_of(bytes, self.bytes_in(SECOND))
    }

    /// Of `groups`, those that the reader does not come to within `eta`; those behind it
    /// have all the time in the world.
    pub fn in_time(
        &self,
        groups: &GroupSet,
        eta: Duration,
        have: &GroupSet,
        now: Instant,
    ) -> GroupSet {
        let played = self.bytes_in(eta).saturating_add(self.position(have, now));
        let from = Group::of(played.saturating_add(GROUP_BYTES));
        let later = match self.is_opening() {
            true => groups.difference(&self.opening).at_or_after(from),
            false => groups.at_or_after(from),
        };
        match later.is_empty() {
            true => groups.difference(&groups.at_or_after(self.group)),
            false => later,
        }
    }

    /// How urgent a request is: as its first group.
    pub fn class_of(&self, groups: &GroupSet) -> Class {
        let first = groups.first();
        first.map_or(Class::Rest, |first| self.class(first))
    }

    /// How urgent a group is.
    fn class(&self, group: Group) -> Class {
        let from = self.reads_on_from();
        let soon = Group::of(from.start().saturating_add(self.bytes_in(SOON)));
        if self.opening.contains(group) || (from <= group && group <= soon) {
            self.role
        } else {
            Class::Rest
        }
    }
}

/// What lies so far ahead of the play head is played soon. More than the last stretch of a
/// track in which the next one is begun: what is asked for as less urgent than that one
/// comes after it.
const SOON: Duration = Duration::from_secs(60);

/// The rate while it is unknown: CD quality FLAC.
const GUESSED_BITRATE: u64 = 140_000;

/// The reader tells where it stands at least this often, in bytes, as much as is asked for at
/// once; a reader that does not move (paused) is taken to stand there.
pub const READER_STRIDE: u64 = 256 * 1024;
const STRIDE_TIME: Duration = Duration::from_secs(60);

const SECOND: Duration = Duration::from_secs(1);
