//! What is to be played, and in which order.
//!
//! The queue behaves as MPD's does: items have a position, which changes, and
//! an id, which does not; each position remembers the version in which it last
//! changed, so that a remote control asks only for what is new. The *cursor*
//! is the item that plays, or would play next.
//!
//! In random order every item comes once in a round. The round after this one
//! is drawn ahead, so that the successor of a round's last item is known while
//! that still plays and can be prepared without a gap.
//!
//! The queue does not know whether anything sounds; that is the transport's.

mod room;

use std::{ops::Range, sync::Arc, time::Duration};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use self::room::Size;
pub use self::room::{check, enough, MAX_QUEUE, MAX_QUEUE_BYTES};
use crate::{
    catalog::{FoundTrackRef, Tags},
    id::{PeerId, TrackId},
    media::Container,
    util::random::Random,
    util::tree,
};

/// Names an item for as long as it is in the queue; never given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueId(pub u32);

/// A track as it was when it was queued: enough to show and find it when its
/// owner is gone or has another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueItem {
    pub peer: PeerId,
    /// Within the owner's library.
    pub path: String,
    pub track: Option<TrackId>,
    pub info: QueueItemInfo,
}

impl QueueItem {
    /// Of its texts. What tracks have in common counts for each, as in the file.
    fn bytes(&self) -> usize {
        let texts: usize = self.info.tags.iter().map(|(_, text)| text.len()).sum();
        self.path.len() + self.info.owner.len() + texts
    }
}

/// What is shown of a queued track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueItemInfo {
    /// The owner's name then.
    pub owner: Arc<str>,
    pub tags: Tags,
    pub duration: Duration,
    /// `None` for one that this version does not play.
    #[serde(rename = "format")]
    pub container: Option<Container>,
    /// Frames per second.
    pub rate: u32,
    pub bits: Option<u8>,
    pub channels: u16,
    /// Seconds since 1970.
    pub modified: i64,
}

impl From<FoundTrackRef<'_>> for QueueItem {
    fn from(found: FoundTrackRef<'_>) -> Self {
        let listed = found.listed;
        Self {
            peer: found.member.peer,
            path: listed.path(),
            track: listed.track,
            info: QueueItemInfo {
                owner: found.member.name.clone(),
                tags: listed.tags.to_owned(),
                duration: listed.duration,
                container: listed.playable().ok(),
                rate: listed.rate,
                bits: listed.bits,
                channels: listed.channels,
                modified: listed.modified,
            },
        }
    }
}

/// An item and its place. Cheap to clone.
#[derive(Clone, Debug)]
pub struct QueueSlot {
    pub id: QueueId,
    pub item: Arc<QueueItem>,
    /// The queue's version in which this position last changed.
    version: u32,
}

/// Whether playing stops, or stays, after one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum Single {
    #[default]
    #[n(0)]
    #[serde(alias = "Off")]
    Off,
    #[n(1)]
    #[serde(alias = "On")]
    On,
    /// Until the current track has ended.
    #[n(2)]
    #[serde(alias = "OneShot")]
    OneShot,
}

/// How the queue goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Options {
    #[n(0)]
    pub random: bool,
    #[n(1)]
    pub repeat: bool,
    #[n(2)]
    pub single: Single,
    /// What has been played leaves the queue.
    #[n(3)]
    pub consume: bool,
}

/// Why the queue refuses a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    #[error(
        "the queue is full: it takes {MAX_QUEUE} tracks; `p2pmusic ctl clear` empties it, \
         `remove` takes some out, and with `consume on` they leave as they are played"
    )]
    Full,
    #[error(
        "the queue is full: it takes {} MB of names and tags, and those of these tracks are \
         uncommonly long; `p2pmusic ctl clear` empties it, `remove` takes some out, and with \
         `consume on` they leave as they are played",
        MAX_QUEUE_BYTES >> 20
    )]
    TooMuchText,
    #[error("Bad song index")]
    NoSuchPosition,
    #[error("No such song")]
    NoSuchId,
}

/// The queue. See the module's description.
#[derive(Debug)]
pub struct Queue {
    slots: Vec<QueueSlot>,
    size: Size,
    version: u32,
    next_id: u32,
    cursor: Option<QueueId>,
    options: Options,
    /// Permutations of all ids, this round and the next; empty unless random.
    rounds: [Vec<QueueId>; 2],
    chance: Random,
}

impl Queue {
    /// An empty queue whose random order follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            size: Size::default(),
            version: 1,
            next_id: 1,
            cursor: None,
            options: Options::default(),
            rounds: Default::default(),
            chance: Random::new(seed),
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Grows with every change of an item or position; never 0.
    pub fn version(&self) -> u32 {
        self.version
    }

    pub fn options(&self) -> Options {
        self.options
    }

    /// The items by position.
    pub fn slots(&self) -> &[QueueSlot] {
        &self.slots
    }

    pub fn position(&self, id: QueueId) -> Option<usize> {
        self.slots.iter().position(|slot| slot.id == id)
    }

    pub fn get(&self, id: QueueId) -> Option<&Arc<QueueItem>> {
        Some(&self.slots[self.position(id)?].item)
    }

    pub fn id_at(&self, position: usize) -> Result<QueueId, QueueError> {
        let slot = self.slots.get(position);
        slot.map(|slot| slot.id).ok_or(QueueError::NoSuchPosition)
    }

    /// The item that plays, or would play next.
    pub fn cursor(&self) -> Option<QueueId> {
        self.cursor
    }

    /// The positions that changed after `version`; all of them if `version`
    /// is not of this queue.
    pub fn changes_since(&self, version: u32) -> impl Iterator<Item = (usize, &QueueSlot)> {
        let all = version > self.version;
        let slots = self.slots.iter().enumerate();
        slots.filter(move |(_, slot)| all || slot.version > version)
    }

    /// Inserts `items` at `position`, or at the end, and gives the first one's
    /// id (where there is one).
    ///
    /// # Errors
    /// When they do not all fit, or the position is beyond the end. The queue
    /// is unchanged then.
    pub fn insert(
        &mut self,
        items: impl IntoIterator<Item = Arc<QueueItem>>,
        position: Option<usize>,
    ) -> Result<Option<QueueId>, QueueError> {
        let at = position.unwrap_or(self.len());
        if at > self.len() {
            return Err(QueueError::NoSuchPosition);
        }
        let mut new = enough(items.into_iter());
        if new.is_empty() {
            return Ok(None);
        }
        let size = self.size.and(Size::of(&new));
        size.check()?;
        self.size = size;
        let first = QueueId(self.next_id);
        let slots = new.drain(..).map(|item| {
            let id = QueueId(self.next_id);
            // MPD's ids are 31 bits; a client may hold them in an `int`.
            self.next_id = (self.next_id % i32::MAX as u32) + 1;
            QueueSlot {
                id,
                item,
                version: 0,
            }
        });
        let slots: Vec<_> = slots.collect();
        self.deal(slots.iter().map(|slot| slot.id));
        self.slots.splice(at..at, slots);
        self.touch(at..self.len());
        Ok(Some(first))
    }

    /// Removes a range of positions. The cursor, if it was in it, goes on to
    /// what would have played next.
    ///
    /// # Errors
    /// When the range is empty or begins behind the end.
    pub fn remove(&mut self, range: Range<usize>) -> Result<(), QueueError> {
        let range = self.clip(range)?;
        let gone = tree::set(self.slots[range.clone()].iter().map(|s| s.id));
        if self.cursor.is_some_and(|cursor| gone.contains(&cursor)) {
            let next = self.walk(self.cursor).find(|id| !gone.contains(id));
            self.cursor = next;
        }
        for round in &mut self.rounds {
            round.retain(|id| !gone.contains(id));
        }
        let start = range.start;
        for gone in self.slots.drain(range) {
            self.size.subtract(&gone.item);
        }
        self.touch(start..self.len());
        Ok(())
    }

    /// Removes as many of the first `may_go` as it takes for `items` to fit.
    ///
    /// # Errors
    /// When that is not enough. The queue is unchanged then.
    pub fn make_room(&mut self, items: &[Arc<QueueItem>], may_go: usize) -> Result<(), QueueError> {
        let mut size = self.size.and(Size::of(items));
        let mut first = self.slots.iter().take(may_go);
        let mut goes = 0;
        while let Err(full) = size.check() {
            let slot = first.next().ok_or(full)?;
            size.subtract(&slot.item);
            goes += 1;
        }
        match goes {
            0 => Ok(()),
            _ => self.remove(0..goes),
        }
    }

    pub fn clear(&mut self) {
        self.slots.clear();
        self.size = Size::default();
        self.rounds = Default::default();
        self.cursor = None;
        self.touch(0..0);
    }

    /// Moves a range so that it begins at `to`.
    ///
    /// # Errors
    /// When the range, before or after, is not within the queue.
    pub fn move_range(&mut self, range: Range<usize>, to: usize) -> Result<(), QueueError> {
        let range = self.clip(range)?;
        let end = to.saturating_add(range.len());
        if end > self.len() {
            return Err(QueueError::NoSuchPosition);
        }
        let changed = range.start.min(to)..range.end.max(end);
        let moved: Vec<_> = self.slots.drain(range).collect();
        self.slots.splice(to..to, moved);
        self.touch(changed);
        Ok(())
    }

    /// # Errors
    /// When one of the positions is beyond the end.
    pub fn swap(&mut self, a: usize, b: usize) -> Result<(), QueueError> {
        if a.max(b) >= self.len() {
            return Err(QueueError::NoSuchPosition);
        }
        self.slots.swap(a, b);
        self.touch(a..a + 1);
        self.touch(b..b + 1);
        Ok(())
    }

    /// Shuffles the positions in `range`, an empty one being no error. The
    /// cursor, if it is in it, comes first.
    pub fn shuffle(&mut self, range: Range<usize>) {
        let Ok(range) = self.clip(range) else { return };
        let cursor = self.cursor;
        let slots = &mut self.slots[range.clone()];
        self.chance.shuffle(slots);
        if let Some(at) = slots.iter().position(|slot| Some(slot.id) == cursor) {
            slots.swap(0, at);
        }
        self.touch(range);
    }

    /// Changes the options; random order begins a round with the cursor.
    pub fn set_options(&mut self, options: Options) {
        let was = std::mem::replace(&mut self.options, options);
        if options.random && !was.random {
            self.deal_anew();
        } else if !options.random {
            self.rounds = Default::default();
        }
    }

    /// Puts the cursor on `id` because somebody chose it. What else is left of
    /// a random round stays in it.
    ///
    /// # Errors
    /// When there is no such item.
    pub fn choose(&mut self, id: QueueId) -> Result<(), QueueError> {
        self.position(id).ok_or(QueueError::NoSuchId)?;
        let [round, _] = &mut self.rounds;
        if self.cursor != Some(id) && !round.is_empty() {
            round.retain(|&other| other != id);
            let after = |cursor| Some(round.iter().position(|&other| other == cursor)? + 1);
            let place = self.cursor.and_then(after).unwrap_or(0);
            round.insert(place, id);
        }
        self.cursor = Some(id);
        Ok(())
    }

    /// Takes the cursor off everything, at the queue's end.
    pub fn rest(&mut self) {
        self.cursor = None;
        if self.options.random {
            self.deal_anew();
        }
    }

    /// Moves the cursor on to `next`, one of [`Self::upcoming`], without having
    /// played what it was on.
    pub fn pass(&mut self, next: Option<QueueId>) {
        let left = std::mem::replace(&mut self.cursor, next);
        if let (true, Some(next), Some(left)) = (self.options.random, next, left) {
            let place = |id| self.rounds[0].iter().position(|&other| other == id);
            if next != left && place(next) <= place(left) {
                self.next_round();
            }
        }
    }

    /// Moves the cursor on to `next`, one of [`Self::upcoming`], its item
    /// having been played: consumes it if so wished. True if an item left.
    pub fn advance(&mut self, next: Option<QueueId>) -> bool {
        let left = self.cursor;
        self.pass(next);
        let consumed = left.filter(|_| self.options.consume && next != left);
        let position = consumed.and_then(|left| self.position(left));
        position.is_some_and(|at| self.remove(at..at + 1).is_ok())
    }

    /// What plays when the current track ends by itself.
    pub fn successor(&self) -> Option<QueueId> {
        match (self.options.single, self.options.repeat) {
            (Single::Off, _) => self.skip(),
            (Single::On, true) if !self.options.consume => self.cursor,
            _ => None,
        }
    }

    /// What plays when somebody asks for the next track; also what a stopped
    /// player would start with when there is no cursor.
    pub fn skip(&self) -> Option<QueueId> {
        self.walk(self.cursor).next()
    }

    /// Moves the cursor to the previous item, staying on the first one unless
    /// the queue repeats.
    pub fn step_back(&mut self) -> Option<QueueId> {
        let cursor = self.cursor?;
        let order: Vec<_> = self.order().collect();
        let at = order.iter().position(|&id| id == cursor)?;
        self.cursor = match at.checked_sub(1) {
            Some(before) => Some(order[before]),
            None if self.options.repeat => order.last().copied(),
            None => Some(cursor),
        };
        self.cursor
    }

    /// The next `n` items after the cursor, as things are: what is worth
    /// fetching ahead.
    pub fn upcoming(&self, n: usize) -> Vec<QueueId> {
        self.walk(self.cursor).take(n).collect()
    }

    /// The play order of this round.
    fn order(&self) -> impl Iterator<Item = QueueId> + '_ {
        let linear = if self.options.random {
            &[]
        } else {
            &self.slots[..]
        };
        let round = self.rounds[0].iter().copied();
        round.chain(linear.iter().map(|slot| slot.id))
    }

    /// What comes after `from` (or from the beginning): the rest of this
    /// round, and if it repeats the next one up to and with `from`.
    fn walk(&self, from: Option<QueueId>) -> impl Iterator<Item = QueueId> + '_ {
        let start = from
            .and_then(|from| self.order().position(|id| id == from))
            .map_or(0, |at| at + 1);
        let again = from.is_some() && self.options.repeat;
        let [_, next] = &self.rounds;
        let next_round: Box<dyn Iterator<Item = QueueId>> = match self.options.random {
            true => Box::new(next.iter().copied()),
            false => Box::new(self.order().take(start)),
        };
        // A consumed item does not come again.
        let consume = self.options.consume;
        self.order()
            .skip(start)
            .chain(next_round.filter(move |&id| again && !(consume && Some(id) == from)))
    }

    /// Gives new items a place among those of each round that are to come.
    fn deal(&mut self, ids: impl Iterator<Item = QueueId>) {
        if !self.options.random {
            return;
        }
        let played = self
            .cursor
            .and_then(|cursor| self.rounds[0].iter().position(|&id| id == cursor))
            .map_or(0, |at| at + 1);
        for id in ids {
            for (round, first) in self.rounds.iter_mut().zip([played, 0]) {
                let places = (round.len() - first + 1) as u64;
                let at = first + self.chance.below(places) as usize;
                round.insert(at, id);
            }
        }
    }

    /// Starts random order: the cursor is its first.
    fn deal_anew(&mut self) {
        self.next_round();
        self.next_round();
        let [round, _] = &mut self.rounds;
        let place = |cursor| round.iter().position(|&id| id == cursor);
        if let Some(at) = self.cursor.and_then(place) {
            round.swap(0, at);
        }
    }

    /// Begins the round that was drawn ahead, and draws another, whose first
    /// is not this one's last: nothing plays twice in a row.
    fn next_round(&mut self) {
        let mut drawn: Vec<_> = self.slots.iter().map(|slot| slot.id).collect();
        self.chance.shuffle(&mut drawn);
        self.rounds.swap(0, 1);
        if drawn.len() > 1 && drawn.first() == self.rounds[0].last() {
            drawn.rotate_left(1);
        }
        self.rounds[1] = drawn;
    }

    fn clip(&self, range: Range<usize>) -> Result<Range<usize>, QueueError> {
        let clipped = range.start..range.end.min(self.len());
        if clipped.is_empty() {
            return Err(QueueError::NoSuchPosition);
        }
        Ok(clipped)
    }

    /// Makes a new version in which `positions` changed.
    fn touch(&mut self, positions: Range<usize>) {
        if self.version == MAX_VERSION {
            self.version = 0;
            self.slots.iter_mut().for_each(|slot| slot.version = 1);
        }
        self.version += 1;
        for slot in &mut self.slots[positions] {
            slot.version = self.version;
        }
    }
}

/// A version has 31 bits, as MPD's: clients may hold it in an `int`.
const MAX_VERSION: u32 = i32::MAX as u32;

#[cfg(test)]
mod tests;
