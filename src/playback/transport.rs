//! Play, pause, seek, next: the player as a state machine.
//!
//! Commands and the player's events go in, [`TransportAction`]s come out. The
//! queue's cursor is the current item; this adds whether it sounds, what has
//! been prepared to follow it without a gap, the volume and the last error.
//! Each start of a track has its own [`PlayId`], so that an event about
//! something that has been replaced meanwhile is known as such and ignored.
//!
//! How far a track has played is the player's knowledge and not kept here: it
//! is an argument where it matters, and `None` while a start or seek is under
//! way.

use std::{collections::VecDeque, time::Duration};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::queue::{Options, Queue, QueueError, QueueId, Single};
use crate::{
    audio::{PlayId, PlayerEvent},
    util::seconds,
};

/// Whether there is sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum PlayState {
    #[default]
    #[n(0)]
    Stop,
    #[n(1)]
    Play,
    #[n(2)]
    Pause,
}

/// What the player is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportAction {
    /// Replaces whatever plays or is prepared.
    Start {
        play: PlayId,
        item: QueueId,
        from: Duration,
        paused: bool,
        cause: Cause,
    },
    /// Make ready what follows the current track without a gap, replacing
    /// what was made ready before.
    Prepare {
        play: PlayId,
        item: QueueId,
    },
    /// Nothing follows any more.
    ClearNext,
    Pause,
    Resume,
    Stop,
    Seek {
        play: PlayId,
        to: Duration,
    },
    /// In per cent.
    Volume(u8),
    /// Tell the clients.
    Changed(PlayerChange),
}

/// Why a track is started, and so what it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody wants this very track, and hears at once when nobody has it.
    Asked,
    /// The queue goes on to it. When nobody has it, it waits, unless another can play.
    Follows,
    /// It played in an earlier life: it waits for the peers that have it, and begins softly.
    Resumed,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlayerChange {
    Queue,
    Player,
    Volume,
    Options,
}

/// Where to seek within the current track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeekTo {
    At(#[serde(with = "seconds")] Duration),
    Forward(#[serde(with = "seconds")] Duration),
    Back(#[serde(with = "seconds")] Duration),
}

/// The player's state machine. See the module's description.
#[derive(Debug)]
pub struct Transport {
    state: PlayState,
    now: Option<Now>,
    next: Option<Next>,
    last_play: u64,
    volume: u8,
    max_volume: u8,
    error: Option<String>,
    /// Where to go on, if not with the next, when what plays fails.
    detour: Option<QueueId>,
    /// Tracks that failed since the last one that sounded.
    failures: usize,
    changed: [bool; CHANGES.len()],
    actions: VecDeque<TransportAction>,
}

/// What plays.
#[derive(Debug)]
struct Now {
    play: PlayId,
    item: QueueId,
    /// Where it was started or last sought to.
    base: Duration,
    started: bool,
    starved: bool,
    cause: Cause,
}

/// What plays next.
#[derive(Debug)]
struct Next {
    play: PlayId,
    item: QueueId,
    /// It is not asked for again until its turn comes.
    failed: bool,
}

impl Transport {
    /// A stopped player. Volumes are per cent and at most 100.
    pub fn new(volume: u8, max_volume: u8) -> Self {
        let max_volume = max_volume.min(100);
        Self {
            state: PlayState::Stop,
            now: None,
            next: None,
            last_play: 0,
            volume: volume.min(max_volume),
            max_volume,
            error: None,
            detour: None,
            failures: 0,
            changed: [false; CHANGES.len()],
            actions: VecDeque::new(),
        }
    }

    pub fn state(&self) -> PlayState {
        self.state
    }

    /// In per cent.
    pub fn volume(&self) -> u8 {
        self.volume
    }

    /// What went wrong last, until it is cleared or something plays.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The start that is current, as the player's events name it.
    pub fn play_id(&self) -> Option<PlayId> {
        self.now.as_ref().map(|now| now.play)
    }

    /// Whether sound is wanted but the bytes are not here (yet).
    pub fn is_waiting(&self) -> bool {
        let waits = |now: &Now| !now.started || now.starved;
        self.state == PlayState::Play && self.now.as_ref().is_some_and(waits)
    }

    /// How far the current track is, given where the player says it is.
    pub fn elapsed(&self, position: Option<Duration>) -> Option<Duration> {
        let now = self.now.as_ref()?;
        Some(position.unwrap_or(now.base))
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<TransportAction> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        let which = self.changed.iter().position(|&changed| changed)?;
        self.changed[which] = false;
        Some(TransportAction::Changed(CHANGES[which]))
    }

    /// Plays `item`; without one, resumes or begins with the cursor.
    ///
    /// # Errors
    /// When there is no such item.
    pub fn play(&mut self, queue: &mut Queue, item: Option<QueueId>) -> Result<(), QueueError> {
        let Some(item) = item else {
            match self.state {
                PlayState::Play => {}
                PlayState::Pause => self.pause(Some(false)),
                PlayState::Stop => {
                    if let Some(item) = queue.cursor().or_else(|| queue.skip()) {
                        self.play(queue, Some(item))?;
                    }
                }
            }
            return Ok(());
        };
        queue.choose(item)?;
        self.failures = 0;
        self.error = None;
        self.start(item, Duration::ZERO, false, Cause::Asked);
        Ok(())
    }

    /// Goes on with `item`, which played in an earlier life as far as `from`.
    pub fn resume(&mut self, item: QueueId, from: Duration, paused: bool) {
        self.start(item, from, paused, Cause::Resumed);
    }

    /// Pauses or goes on; `None` toggles. A stopped player stays so.
    pub fn pause(&mut self, pause: Option<bool>) {
        let (state, action) = match (self.state, pause) {
            (PlayState::Play, Some(true) | None) => (PlayState::Pause, TransportAction::Pause),
            (PlayState::Pause, Some(false) | None) => (PlayState::Play, TransportAction::Resume),
            _ => return,
        };
        self.state = state;
        self.act(action);
        self.note(PlayerChange::Player);
    }

    /// Stops; the cursor stays.
    pub fn stop(&mut self) {
        if self.state != PlayState::Stop {
            self.state = PlayState::Stop;
            self.now = None;
            self.next = None;
            self.act(TransportAction::Stop);
            self.note(PlayerChange::Player);
        }
    }

    /// Goes to the next track, or stops behind the last. Does nothing when
    /// stopped, as MPD.
    pub fn next(&mut self, queue: &mut Queue) {
        if self.state != PlayState::Stop {
            self.failures = 0;
            let next = queue.skip();
            self.go_on(queue, next);
        }
    }

    /// Goes to the previous track. Does nothing when stopped, as MPD.
    pub fn previous(&mut self, queue: &mut Queue) {
        if self.state == PlayState::Stop {
            return;
        }
        self.failures = 0;
        if let Some(item) = queue.step_back() {
            self.start(item, Duration::ZERO, false, Cause::Follows);
        }
    }

    /// Plays `item` from `to` on; stays paused if it was.
    ///
    /// # Errors
    /// When there is no such item.
    pub fn seek(
        &mut self,
        queue: &mut Queue,
        item: QueueId,
        to: Duration,
    ) -> Result<(), QueueError> {
        let duration = queue.get(item).ok_or(QueueError::NoSuchId)?.info.duration;
        let to = to.min(duration);
        match &mut self.now {
            Some(now) if now.item == item => {
                now.base = to;
                now.starved = true; // until it sounds there
                let play = now.play;
                self.act(TransportAction::Seek { play, to });
                self.note(PlayerChange::Player);
            }
            _ => {
                queue.choose(item)?;
                self.start(item, to, self.state == PlayState::Pause, Cause::Asked);
            }
        }
        Ok(())
    }

    /// Seeks within the current track, which is at `position`.
    ///
    /// # Errors
    /// When nothing plays.
    pub fn seek_current(
        &mut self,
        queue: &mut Queue,
        to: SeekTo,
        position: Option<Duration>,
    ) -> Result<(), QueueError> {
        let item = self.now.as_ref().ok_or(QueueError::NoSuchId)?.item;
        let elapsed = self.elapsed(position).unwrap_or_default();
        let to = match to {
            SeekTo::At(to) => to,
            SeekTo::Forward(by) => elapsed.saturating_add(by),
            SeekTo::Back(by) => elapsed.saturating_sub(by),
        };
        self.seek(queue, item, to)
    }

    /// Sets the volume, at most to the allowed maximum.
    pub fn set_volume(&mut self, volume: u8) {
        let volume = volume.min(self.max_volume);
        if volume != self.volume {
            self.volume = volume;
            self.act(TransportAction::Volume(volume));
            self.note(PlayerChange::Volume);
        }
    }

    /// Sets the loudest that is allowed, in per cent; what is louder is turned
    /// down.
    pub fn set_max_volume(&mut self, max_volume: u8) {
        self.max_volume = max_volume.min(100);
        self.set_volume(self.volume);
    }

    /// What plays will fail: `item`, which can play, is to follow.
    pub fn set_detour(&mut self, item: QueueId) {
        self.detour = Some(item);
    }

    /// Nobody has brought what plays for long: it pauses where it is, and says `why`.
    pub fn tire(&mut self, why: String) {
        self.error = Some(why);
        self.pause(Some(true));
    }

    pub fn clear_error(&mut self) {
        if self.error.take().is_some() {
            self.note(PlayerChange::Player);
        }
    }

    pub fn set_options(&mut self, queue: &mut Queue, options: Options) {
        if queue.options() != options {
            queue.set_options(options);
            self.note(PlayerChange::Options);
            self.choose_next(queue);
        }
    }

    /// The queue's items or their order have changed: the current one may be
    /// gone, the next one another.
    pub fn handle_queue_changed(&mut self, queue: &mut Queue) {
        self.note(PlayerChange::Queue);
        let Some(now) = &self.now else { return };
        if queue.cursor() == Some(now.item) {
            return self.choose_next(queue);
        }
        match queue.cursor() {
            Some(item) if self.state == PlayState::Play => {
                self.start(item, Duration::ZERO, false, Cause::Follows);
            }
            _ => self.stop(),
        }
    }

    /// Takes an event of the player's; one about something that is no longer
    /// wanted is ignored.
    pub fn handle_player(&mut self, queue: &mut Queue, event: PlayerEvent) {
        match event {
            PlayerEvent::Started { play, .. } => {
                if let Some(now) = self.current(play) {
                    (now.started, now.starved) = (true, false);
                    self.failures = 0;
                    self.note(PlayerChange::Player);
                    self.choose_next(queue);
                }
            }
            PlayerEvent::Crossed { from, to } => self.cross(queue, from, to),
            PlayerEvent::Ended { play } => {
                if self.current(play).is_some() {
                    let next = queue.successor();
                    self.end_track(queue, next);
                }
            }
            PlayerEvent::Failed { play, why } => self.fail(queue, play, &why),
            PlayerEvent::Underrun { play } => self.starve(play, true),
            PlayerEvent::Resumed { play } => self.starve(play, false),
            PlayerEvent::Gap { .. }
            | PlayerEvent::DeviceOpen { .. }
            | PlayerEvent::DeviceLost { .. }
            | PlayerEvent::DeviceBack => {}
        }
    }

    fn current(&mut self, play: PlayId) -> Option<&mut Now> {
        self.now.as_mut().filter(|now| now.play == play)
    }

    fn starve(&mut self, play: PlayId, starved: bool) {
        if let Some(now) = self.current(play) {
            now.starved = starved;
            self.note(PlayerChange::Player);
        }
    }

    fn cross(&mut self, queue: &mut Queue, from: PlayId, to: PlayId) {
        if self.current(from).is_none() || self.next.as_ref().is_none_or(|next| next.play != to) {
            return;
        }
        let Some(next) = self.next.take() else { return };
        self.now = Some(Now {
            play: to,
            item: next.item,
            base: Duration::ZERO,
            started: true,
            starved: false,
            cause: Cause::Follows,
        });
        self.failures = 0;
        self.note(PlayerChange::Player);
        if queue.advance(Some(next.item)) {
            self.note(PlayerChange::Queue);
        }
        self.choose_next(queue);
    }

    /// The current track is over and nothing follows it seamlessly.
    fn end_track(&mut self, queue: &mut Queue, next: Option<QueueId>) {
        if next.is_some() || queue.options().single == Single::Off {
            return self.go_on(queue, next);
        }
        // Single: stops here, and the next `play` plays the next one.
        let next = queue.skip();
        if queue.options().single == Single::OneShot {
            let single = Single::Off;
            queue.set_options(Options {
                single,
                ..queue.options()
            });
            self.note(PlayerChange::Options);
        }
        self.advance(queue, next);
        self.stop();
    }

    /// Leaves the current track for `next`, or stops at the end.
    fn go_on(&mut self, queue: &mut Queue, next: Option<QueueId>) {
        self.advance(queue, next);
        match next {
            Some(item) => self.start(item, Duration::ZERO, false, Cause::Follows),
            None => {
                queue.rest();
                self.stop();
            }
        }
    }

    fn advance(&mut self, queue: &mut Queue, next: Option<QueueId>) {
        if queue.advance(next) {
            self.note(PlayerChange::Queue);
        }
    }

    fn fail(&mut self, queue: &mut Queue, play: PlayId, why: &str) {
        let next = self.next.as_mut().filter(|next| next.play == play);
        let (item, is_current) = match (&self.now, next) {
            (_, Some(next)) => {
                next.failed = true;
                (next.item, false)
            }
            (Some(now), None) if now.play == play => (now.item, true),
            _ => return,
        };
        let name = queue.get(item).map_or_else(
            || "a track".to_owned(),
            |item| format!("{}/{}", item.info.owner, item.path),
        );
        self.error = Some(format!("{name}: {why}"));
        self.note(PlayerChange::Player);
        if !is_current {
            return;
        }
        self.failures += 1;
        if self.failures >= MAX_FAILURES {
            return self.stop();
        }
        let detour = self.detour.take();
        let cause = match &self.now {
            Some(now) if now.cause == Cause::Asked && !now.started && detour.is_none() => {
                Cause::Asked
            }
            _ => Cause::Follows,
        };
        let next = detour.filter(|id| queue.get(*id).is_some());
        // Not consumed, since nobody has heard it.
        match next.or_else(|| queue.skip()).filter(|&next| next != item) {
            Some(next) => {
                queue.pass(Some(next));
                self.start(next, Duration::ZERO, false, cause);
            }
            None => self.stop(),
        }
    }

    fn start(&mut self, item: QueueId, from: Duration, paused: bool, cause: Cause) {
        let play = self.new_play();
        self.now = Some(Now {
            play,
            item,
            base: from,
            started: false,
            starved: false,
            cause,
        });
        self.next = None;
        self.detour = None;
        self.state = match paused {
            true => PlayState::Pause,
            false => PlayState::Play,
        };
        self.act(TransportAction::Start {
            play,
            item,
            from,
            paused,
            cause,
        });
        self.note(PlayerChange::Player);
    }

    /// Sees to it that what is prepared is what follows. Nothing is prepared
    /// before the current track sounds, which needs the network most.
    fn choose_next(&mut self, queue: &Queue) {
        if self.now.as_ref().is_none_or(|now| !now.started) {
            return;
        }
        let wanted = queue.successor();
        if self.next.as_ref().map(|next| next.item) == wanted {
            return;
        }
        self.next = wanted.map(|item| Next {
            play: self.new_play(),
            item,
            failed: false,
        });
        self.act(match &self.next {
            Some(next) => TransportAction::Prepare {
                play: next.play,
                item: next.item,
            },
            None => TransportAction::ClearNext,
        });
    }

    fn new_play(&mut self) -> PlayId {
        self.last_play += 1;
        PlayId(self.last_play)
    }

    fn act(&mut self, action: TransportAction) {
        self.actions.push_back(action);
    }

    fn note(&mut self, change: PlayerChange) {
        self.changed[change as usize] = true;
    }
}

/// In the order of their discriminants.
const CHANGES: [PlayerChange; 4] = [
    PlayerChange::Queue,
    PlayerChange::Player,
    PlayerChange::Volume,
    PlayerChange::Options,
];

/// Tracks that may fail in a row before the player stops: an album whose
/// owner has gone is skipped, a queue of 10,000 missing tracks is not spun
/// through, each costing the network a search.
const MAX_FAILURES: usize = 20;

#[cfg(test)]
mod tests;
