//! Where in its music a node is: what changes too often to be written with the queue,
//! when it is written, and how a node that comes back goes on from it.
//!
//! What must hold:
//! - Of what is written the position is at most [`EVERY`] old, all else [`SOON`].
//! - Nobody is woken: what fell silent longer than [`TOO_LONG`] ago comes back paused, and
//!   so does what fell silent nobody can say when.

use std::time::{Duration, Instant};

use minicbor::{Decode, Encode};

use crate::audio::PlayId;
use crate::playback::{
    queue::{Options, Queue, QueueItem},
    transport::{PlayState, Transport},
};

/// Where a node is in its music.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Bookmark {
    /// The current track, if there is one.
    #[n(0)]
    pub song: Option<BookmarkedItem>,
    #[n(1)]
    pub state: PlayState,
    /// How far the current track has been heard.
    #[n(2)]
    pub at: Duration,
    /// In per cent.
    #[n(3)]
    pub volume: u8,
    #[n(4)]
    pub options: Options,
}

/// An item of the queue, as it is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BookmarkedItem {
    /// Its place in the queue.
    #[n(0)]
    place: u32,
    /// Names its owner and path: the queue may be an older or a newer one.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    name: [u8; NAME_BYTES],
}

impl BookmarkedItem {
    /// The queue's current item.
    pub fn current(queue: &Queue) -> Option<Self> {
        let id = queue.cursor()?;
        let place = queue.position(id)?;
        Some(Self {
            place: u32::try_from(place).ok()?,
            name: name_of(queue.get(id)?),
        })
    }

    /// Where it is in `items`: where it was, or else where it is first.
    pub(super) fn find_in<'a>(
        &self,
        items: impl Iterator<Item = &'a QueueItem> + Clone,
    ) -> Option<usize> {
        let is_it = |item: &QueueItem| name_of(item) == self.name;
        let place = self.place as usize;
        match items.clone().nth(place).is_some_and(is_it) {
            true => Some(place),
            false => items.clone().position(is_it),
        }
    }
}

fn name_of(item: &QueueItem) -> [u8; NAME_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&item.peer.0).update(item.path.as_bytes());
    let mut name = [0; NAME_BYTES];
    name.copy_from_slice(&hasher.finalize().as_bytes()[..NAME_BYTES]);
    name
}

/// How long a node was away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    For(Duration),
    /// Nobody can say (yet): the machine has another boot behind it, and no clock.
    Unknown,
}

/// A current track that is gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// How far it had been heard.
    pub at: Duration,
    pub then: ResumeAs,
}

/// Whether it sounds by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeAs {
    /// Somebody has to say so.
    Pause,
    /// At once, or when its source is there, if that is within so long.
    Play(Duration),
    /// Once it is known how long the node was away.
    Ask,
}

impl ResumeAs {
    /// What follows for music that was playing `absence` ago.
    pub fn after(absence: Absence) -> Self {
        match absence {
            Absence::For(absence) => match TOO_LONG.checked_sub(absence) {
                Some(left) if !left.is_zero() => Self::Play(left),
                _ => Self::Pause,
            },
            Absence::Unknown => Self::Ask,
        }
    }
}

/// Says what is in a bookmark and when it is to be written, and goes on from one of before.
#[derive(Debug, Default)]
pub struct Scribe {
    due: Option<Instant>,
    plays: bool,
    /// Whether what played in an earlier life waits to hear how long ago that was.
    wonders: bool,
}

impl Scribe {
    /// Where in its music the node is, given where the player says that it is. Nothing while it
    /// is not known how long ago it played: what was written then counts, and when that was, or
    /// a process that starts again would take it for a moment.
    pub fn bookmark(
        &self,
        queue: &Queue,
        transport: &Transport,
        position: Option<(PlayId, Duration)>,
    ) -> Option<Bookmark> {
        if self.wonders {
            return None;
        }
        let playing = transport.play_id();
        let position = position.filter(|(play, _)| Some(*play) == playing);
        let at = transport.elapsed(position.map(|(_, at)| at));
        Some(Bookmark {
            song: BookmarkedItem::current(queue),
            state: transport.state(),
            at: at.unwrap_or_default(),
            volume: transport.volume(),
            options: queue.options(),
        })
    }

    /// Goes on with what played in an earlier life. Says within which time it has to begin, if
    /// it is to sound by itself.
    pub fn go_on(
        &mut self,
        left: Left,
        queue: &Queue,
        transport: &mut Transport,
    ) -> Option<Duration> {
        let item = queue.cursor()?;
        let within = match left.then {
            ResumeAs::Play(within) => Some(within),
            ResumeAs::Pause | ResumeAs::Ask => None,
        };
        transport.resume(item, left.at, within.is_none());
        if let Some(item) = queue.get(item) {
            let (owner, path) = (&item.info.owner, &item.path);
            log::info!(
                "goes on with {owner}/{path} at {:.3} s",
                left.at.as_secs_f64()
            );
        }
        self.wonders = left.then == ResumeAs::Ask;
        within
    }

    /// Somebody has said what to do, or it is known how long this node was away. Says whether
    /// it wondered.
    pub fn stop_wondering(&mut self, transport: &Transport, now: Instant) -> bool {
        let wondered = std::mem::take(&mut self.wonders);
        if wondered {
            self.handle_change(transport.state() == PlayState::Play, now);
        }
        wondered
    }

    /// It is known how long this node was away, or that nobody knows. Says within which time
    /// what plays on has to begin.
    pub fn handle_absence(
        &mut self,
        absence: Absence,
        transport: &mut Transport,
        now: Instant,
    ) -> Option<Duration> {
        if !self.stop_wondering(transport, now) {
            return None;
        }
        match ResumeAs::after(absence) {
            ResumeAs::Play(within) => {
                transport.pause(Some(false));
                return Some(within);
            }
            ResumeAs::Pause => log::info!(
                "what played stays paused: this speaker was away for more than {} minutes",
                TOO_LONG.as_secs() / 60
            ),
            ResumeAs::Ask => log::info!(
                "what played stays paused: this machine has no clock that says how long it was away"
            ),
        }
        None
    }

    /// Something else than the position has changed, and now it plays or does not.
    pub fn handle_change(&mut self, plays: bool, now: Instant) {
        self.plays = plays;
        let soon = now + SOON;
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    /// When [`Self::is_due`] is to be asked.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it is time to write.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.due.take_if(|due| *due <= now).is_some();
        if is_due && self.plays {
            self.due = Some(now + EVERY);
        }
        is_due
    }
}

/// Enough to tell the tracks of a queue apart.
const NAME_BYTES: usize = 16;
/// A person that turns a knob causes two writes a second, and finds what was set.
const SOON: Duration = Duration::from_millis(500);
/// With what a slow card takes for a write nobody hears more than 5 s again.
const EVERY: Duration = Duration::from_secs(4);
/// A listener that comes back later finds a quiet room: nobody is woken by a power cut at three.
pub const TOO_LONG: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{config::Resume, control::fixture, node::Memory};

    fn memory() -> Memory {
        let database = fixture::database();
        let queue = database.tracks().map(|found| Arc::new(found.into()));
        Memory {
            queue: queue.collect(),
            ..Memory::default()
        }
    }

    fn bookmark(memory: &Memory, place: usize, state: PlayState) -> Bookmark {
        let song = BookmarkedItem {
            place: place as u32,
            name: name_of(&memory.queue[place]),
        };
        Bookmark {
            song: Some(song),
            state,
            at: Duration::from_secs(71),
            volume: 44,
            options: Options {
                random: true,
                ..Options::default()
            },
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_played_plays_on_unless_it_was_long_ago_or_nobody_knows() {
        use {PlayState::*, Resume::*};
        let short = Absence::For(MINUTE);
        let (plays, asks) = (Some(ResumeAs::Play(14 * MINUTE)), Some(ResumeAs::Ask));
        let paused = Some(ResumeAs::Pause);
        for (resume, state, absence, then) in [
            (Always, Play, short, plays),
            (Always, Play, Absence::For(TOO_LONG), paused),
            (Always, Play, Absence::For(Duration::MAX), paused),
            (Always, Play, Absence::Unknown, asks),
            (Always, Pause, short, paused),
            (Always, Stop, short, None),
            (Paused, Play, short, paused),
            (Paused, Play, Absence::Unknown, paused),
            (Paused, Stop, short, None),
            (Never, Play, short, None),
            (Never, Pause, short, None),
        ] {
            let memory = memory();
            let bookmark = bookmark(&memory, 1, state);
            let memory = memory.go_on(&bookmark, resume, absence);
            assert_eq!(
                memory.left.map(|left| left.then),
                then,
                "{resume:?} {state:?}"
            );
            assert_eq!((memory.volume, memory.options.random), (44, true));
            assert_eq!(memory.current, Some(1));
        }
    }

    #[test]
    fn the_song_is_found_where_it_is_now_or_is_not_gone_on_with() {
        let mut before = memory();
        before.current = Some(0);
        let bookmark = bookmark(&before, 2, PlayState::Play);
        let away = Absence::For(MINUTE);
        let mut shorter = before.clone();
        shorter.queue.remove(0);
        let memory = shorter.go_on(&bookmark, Resume::Always, away);
        assert_eq!(memory.current, Some(1));
        assert!(memory.left.is_some());
        let mut other = before.clone();
        other.queue.truncate(1);
        let memory = other.go_on(&bookmark, Resume::Always, away);
        assert_eq!((memory.current, memory.left), (Some(0), None));
    }

    #[test]
    fn a_knob_is_written_within_a_second_and_a_position_within_five() {
        let begin = Instant::now();
        let mut scribe = Scribe::default();
        let at = |millis| begin + Duration::from_millis(millis);
        let (mut written, mut changed) = (Vec::new(), 0);
        for millis in (0..3_600_000).step_by(100) {
            // Somebody turns it up for 2 s, and then it plays for an hour.
            if millis < 2_000 {
                scribe.handle_change(true, at(millis));
                changed = millis;
            }
            if scribe.is_due(at(millis)) {
                written.push(millis);
            }
        }
        let after = written.iter().find(|millis| **millis >= changed);
        assert!(after.is_some_and(|after| after - changed <= 1_000));
        let gaps = written.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.max() <= Some(5_000 - 500), "{written:?}");
        assert!(written.len() <= 910, "{} writes an hour", written.len());
        scribe.handle_change(false, at(3_600_000));
        assert!(scribe.is_due(at(3_600_500)));
        assert_eq!(scribe.poll_timeout(), None, "a pause costs nothing");
    }
}
