//! How soon and how smoothly it sounds.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::histogram::Histogram;
use crate::{
    audio::{PlayId, PlayerEvent},
    node::{
        plays::{ByteOrigin, Local},
        PlayerAction,
    },
};

/// How often the sound stood still, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    pub count: u64,
    pub total: Duration,
    pub longest: Duration,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct SoundStats {
    /// The play that was asked for last, and when, until it sounds.
    asked: Option<(PlayId, Instant)>,
    /// What is to sound now.
    current: Option<PlayId>,
    /// What sounded last.
    sounded: Option<PlayId>,
    /// What the player was given and has not been heard.
    loads: VecDeque<(PlayId, Local)>,
    latest: Option<Duration>,
    from_swarm: Histogram,
    from_cache: Histogram,
    from_own_disk: Histogram,
    /// Tracks that were heard, be it for a moment.
    pub plays: u64,
    pub failed: u64,
    underruns: Stalls,
    rebuffers: Stalls,
    /// Since when the device has been waiting for bytes, if it does.
    starved: Option<Instant>,
    /// Of tracks that were heard: bytes of own files, and those that lay in the cache.
    pub own_disk_bytes: u64,
    pub cache_bytes: u64,
}

impl Stalls {
    fn lasted(&mut self, time: Duration) {
        self.total = self.total.saturating_add(time);
        self.longest = self.longest.max(time);
    }
}

impl SoundStats {
    /// A play begins, and is to sound at once unless it is `paused`: then its first
    /// sound comes when somebody wants it, and is no measure of anything.
    pub fn handle_start(&mut self, play: PlayId, paused: bool, now: Instant) {
        self.end_underrun(now);
        self.current = Some(play);
        self.asked = (!paused).then_some((play, now));
    }

    /// The player is handed `play`.
    pub fn handle_load(&mut self, play: PlayId, local: Local) {
        if self.loads.len() == MAX_LOADS {
            self.loads.pop_front();
        }
        self.loads.push_back((play, local));
    }

    /// What else the player is told.
    pub fn handle_order(&mut self, order: &PlayerAction, now: Instant) {
        match order {
            PlayerAction::Pause => self.asked = None,
            PlayerAction::Stop => (self.asked, self.current) = (None, None),
            PlayerAction::Seek { .. } => {}
            PlayerAction::Resume | PlayerAction::ClearNext | PlayerAction::Volume(_) => return,
        }
        self.end_underrun(now);
    }

    /// What the player tells.
    pub fn handle_player(&mut self, event: &PlayerEvent, now: Instant) {
        match event {
            PlayerEvent::Started { play, at } => {
                self.end_underrun(now);
                let origin = self.handle_heard(*play);
                if let Some((_, since)) = self.asked.take_if(|(asked, _)| asked == play) {
                    let time = at.saturating_duration_since(since);
                    self.latest = Some(time);
                    self.histogram(origin).record(time);
                }
            }
            PlayerEvent::Underrun { play } => {
                self.underruns.count += 1;
                // What was replaced meanwhile does not go on.
                self.starved = (self.current == Some(*play)).then_some(now);
            }
            PlayerEvent::Gap { .. } => self.underruns.count += 1,
            PlayerEvent::Resumed { .. } => {
                if let Some(time) = self.end_underrun(now) {
                    self.handle_rebuffer(time);
                }
            }
            PlayerEvent::Crossed { to, .. } => {
                self.end_underrun(now);
                self.current = Some(*to);
                self.handle_heard(*to);
            }
            PlayerEvent::Failed { play, .. } => self.handle_failed(*play, now),
            PlayerEvent::Ended { .. } | PlayerEvent::DeviceLost { .. } => {
                self.end_underrun(now);
            }
            PlayerEvent::DeviceOpen { .. } | PlayerEvent::DeviceBack => {}
        }
    }

    /// A play cannot go on. One that was only made ready is tried again when its turn
    /// comes.
    pub fn handle_failed(&mut self, play: PlayId, now: Instant) {
        if self.current.take_if(|current| *current == play).is_some() {
            self.failed += 1;
            self.asked = None;
            self.end_underrun(now);
        }
    }

    /// The sound was held back for so long in the midst of a track, until enough of it
    /// was here, and went on.
    pub fn handle_rebuffer(&mut self, time: Duration) {
        self.rebuffers.count += 1;
        self.rebuffers.lasted(time);
    }

    /// From the last `play` to its first sound.
    pub fn latest(&self) -> Option<Duration> {
        self.latest
    }

    /// From `play` to the first sound, of what came from `origin`.
    pub fn first_sound(&self, origin: ByteOrigin) -> &Histogram {
        match origin {
            ByteOrigin::Swarm => &self.from_swarm,
            ByteOrigin::Cache => &self.from_cache,
            ByteOrigin::OwnDisk => &self.from_own_disk,
        }
    }

    /// The device had no bytes; how that ended does not matter, and one may be under way.
    pub fn underruns(&self, now: Instant) -> Stalls {
        let mut underruns = self.underruns;
        if let Some(since) = self.starved {
            underruns.lasted(now.saturating_duration_since(since));
        }
        underruns
    }

    /// The sound waited for bytes and went on.
    pub fn rebuffers(&self) -> Stalls {
        self.rebuffers
    }

    fn histogram(&mut self, origin: ByteOrigin) -> &mut Histogram {
        match origin {
            ByteOrigin::Swarm => &mut self.from_swarm,
            ByteOrigin::Cache => &mut self.from_cache,
            ByteOrigin::OwnDisk => &mut self.from_own_disk,
        }
    }

    /// `play` sounds: once when it begins, and again after a seek or where it did not
    /// follow without a gap. Says where it came from.
    fn handle_heard(&mut self, play: PlayId) -> ByteOrigin {
        let load = self.loads.iter().find(|(loaded, _)| *loaded == play);
        let local = load.map_or(NOT_KNOWN, |(_, local)| *local);
        if self.sounded.replace(play) != Some(play) {
            self.plays += 1;
            match local.origin {
                ByteOrigin::OwnDisk => self.own_disk_bytes += local.bytes,
                ByteOrigin::Cache | ByteOrigin::Swarm => self.cache_bytes += local.bytes,
            }
        }
        local.origin
    }

    fn end_underrun(&mut self, now: Instant) -> Option<Duration> {
        let time = now.saturating_duration_since(self.starved.take()?);
        self.underruns.lasted(time);
        Some(time)
    }
}

/// What plays, what follows, and as many that were given up in between.
const MAX_LOADS: usize = 4;
const NOT_KNOWN: Local = Local {
    origin: ByteOrigin::Swarm,
    bytes: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    struct SoundHarness {
        sound: SoundStats,
        begin: Instant,
    }

    impl SoundHarness {
        fn new() -> Self {
            Self {
                sound: SoundStats::default(),
                begin: Instant::now(),
            }
        }

        fn at(&self, ms: u64) -> Instant {
            self.begin + Duration::from_millis(ms)
        }

        fn start(&mut self, play: u64, paused: bool, ms: u64) {
            let now = self.at(ms);
            self.sound.handle_start(PlayId(play), paused, now);
        }

        fn load(&mut self, play: u64, origin: ByteOrigin, bytes: u64) {
            let local = Local { origin, bytes };
            self.sound.handle_load(PlayId(play), local);
        }

        fn tell(&mut self, event: PlayerEvent, ms: u64) {
            let now = self.at(ms);
            self.sound.handle_player(&event, now);
        }

        fn started(&mut self, play: u64, ms: u64) {
            let (play, at) = (PlayId(play), self.at(ms));
            self.tell(PlayerEvent::Started { play, at }, ms + 5);
        }

        fn counts(&self) -> [u64; 3] {
            ByteOrigin::ALL.map(|origin| self.sound.first_sound(origin).count())
        }
    }

    fn stalls(count: u64, total: u64, longest: u64) -> Stalls {
        let (total, longest) = (Duration::from_millis(total), Duration::from_millis(longest));
        Stalls {
            count,
            total,
            longest,
        }
    }

    #[test]
    fn first_sound_is_from_the_command_to_the_device_and_once_a_play() {
        let mut bench = SoundHarness::new();
        bench.start(1, false, 0);
        bench.load(1, ByteOrigin::Swarm, 10);
        bench.started(1, 40);
        // After a seek.
        bench.started(1, 900);
        assert_eq!(bench.counts(), [1, 0, 0]);
        assert_eq!(bench.sound.latest(), Some(Duration::from_millis(40)));
        bench.start(2, false, 1000);
        bench.load(2, ByteOrigin::Cache, 100);
        bench.started(2, 1010);
        bench.start(3, false, 2000);
        bench.load(3, ByteOrigin::OwnDisk, 1000);
        bench.started(3, 2010);
        assert_eq!(bench.counts(), [1, 1, 1]);
        assert_eq!(bench.sound.plays, 3);
        assert_eq!(
            (bench.sound.cache_bytes, bench.sound.own_disk_bytes),
            (110, 1000)
        );
    }

    #[test]
    fn what_a_person_holds_back_is_not_late() {
        let mut bench = SoundHarness::new();
        bench.start(1, true, 0);
        bench.started(1, 60_000);
        bench.start(2, false, 70_000);
        let now = bench.at(70_001);
        bench.sound.handle_order(&PlayerAction::Pause, now);
        bench.started(2, 90_000);
        assert_eq!((bench.counts(), bench.sound.plays), ([0; 3], 2));
    }

    #[test]
    fn a_successor_counts_as_a_play_once_and_has_no_first_sound() {
        let mut bench = SoundHarness::new();
        bench.start(1, false, 0);
        bench.started(1, 10);
        bench.load(2, ByteOrigin::Cache, 7);
        let (from, to) = (PlayId(1), PlayId(2));
        bench.tell(PlayerEvent::Crossed { from, to }, 500);
        // With a gap.
        bench.started(2, 530);
        assert_eq!((bench.counts(), bench.sound.plays), ([1, 0, 0], 2));
        assert_eq!(bench.sound.cache_bytes, 7);
    }

    #[test]
    fn an_underrun_ends_somehow_and_a_rebuffer_by_itself() {
        let mut bench = SoundHarness::new();
        let play = PlayId(1);
        bench.start(1, false, 0);
        bench.started(1, 10);
        bench.tell(PlayerEvent::Underrun { play }, 100);
        assert_eq!(bench.sound.underruns(bench.at(150)), stalls(1, 50, 50));
        bench.tell(PlayerEvent::Resumed { play }, 400);
        bench.tell(PlayerEvent::Gap { play }, 500);
        bench.tell(PlayerEvent::Underrun { play }, 1000);
        let now = bench.at(1500);
        bench.sound.handle_order(&PlayerAction::Stop, now);
        // Told before the player knew of the stop.
        bench.tell(PlayerEvent::Underrun { play }, 1501);
        let late = bench.at(9000);
        assert_eq!(bench.sound.underruns(late), stalls(4, 800, 500));
        assert_eq!(bench.sound.rebuffers(), stalls(1, 300, 300));
    }

    #[test]
    fn what_is_made_ready_and_fails_is_no_failure_yet() {
        let mut bench = SoundHarness::new();
        let failed = |play| PlayerEvent::Failed {
            play: PlayId(play),
            why: "gone".into(),
        };
        bench.start(1, false, 0);
        bench.tell(failed(2), 10);
        assert_eq!(bench.sound.failed, 0);
        bench.tell(failed(1), 20);
        bench.tell(failed(1), 20);
        assert_eq!(bench.sound.failed, 1);
    }
}
