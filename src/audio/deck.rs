//! Which play is current and which is next, when a track may fill the ring, when it sounds, is
//! held back, passes on to its successor, and what becomes of it when the device is lost: all
//! decisions of the player, without its threads, its samples and its clocks.
//!
//! At most two tracks are under way: the one that is heard and its successor, which is decoded
//! into the same ring as soon as the first one is decoded to its end. Cancelling a job and
//! dropping the ring's frames at once is the one way in which load, seek, a lost device and a long
//! pause begin anew.
//!
//! The driver tells what happens by `handle_…`, and does all that [`Deck::poll`] says before it
//! tells anything else. Before it tells orders or reports it shows the ring
//! ([`Deck::handle_ring`]): what was heard until then counts. Orders come before reports, so that
//! what is to follow a track is known when that comes to its end. The driver looks at the ring as
//! often as [`Deck::look_within`] says, and calls [`Deck::handle_timeout`] at
//! [`Deck::poll_timeout`].

mod action;
mod device;
mod places;
mod play;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::device::DeviceState;
use self::play::{DeckPlay, Wanted};
use super::events::{PlayId, PlayerEvent};
use super::report::{JobId, Report};
use super::spec::{OutputError, SampleShape};
use super::underruns::Underruns;
use crate::media::end::DecodeEnd;

pub use self::action::{DeckAction, DeckTrack, LineFacts, RingLook, RingOrder};
pub use self::places::Places;

/// See the module's description.
#[derive(Debug)]
pub struct Deck<T> {
    /// What is heard, and behind it the successor once it is decoded.
    tracks: VecDeque<DeckPlay<T>>,
    /// The successor before that.
    next: Option<DeckTrack<T>>,
    jobs: u64,
    paused: bool,
    /// Where a play begins that is not loaded yet.
    sought: Option<(PlayId, Duration)>,
    device: DeviceState,
    /// Whether rate and channels are all that the device depends on, so that it can be opened
    /// before the decoder is.
    opens_early: bool,
    underruns: Underruns,
    /// Since when nothing has sounded.
    quiet_since: Instant,
    now: Instant,
    actions: VecDeque<DeckAction<T>>,
}

impl<T: Clone> Deck<T> {
    /// With nothing to play, and a device that is looked for first.
    pub fn new(opens_early: bool, now: Instant) -> Self {
        Self {
            tracks: VecDeque::new(),
            next: None,
            jobs: 0,
            paused: false,
            sought: None,
            device: DeviceState::default(),
            opens_early,
            underruns: Underruns::default(),
            quiet_since: now,
            now,
            actions: VecDeque::from([DeckAction::Find]),
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<DeckAction<T>> {
        self.actions.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let is_idle = self.device.line().is_some() && self.is_quiet();
        let close = is_idle.then(|| self.quiet_since + IDLE_CLOSE);
        close.into_iter().chain(self.retry_at()).min()
    }

    /// How soon the ring is to be looked at again.
    pub fn look_within(&self) -> Option<Duration> {
        let line = self.device.line()?;
        let Some(track) = self.tracks.front().filter(|_| !self.is_quiet()) else {
            return Some(WATCH);
        };
        let mut within = WATCH;
        if track.first.is_some() && !track.announced && !track.track.held {
            within = STARTING;
        }
        if let Some((_, last)) = track.end {
            let left = last.saturating_sub(line.ring.read);
            let left = Duration::from_secs_f64(left as f64 / f64::from(line.facts.shape.rate));
            within = within.min(left.max(STARTING));
        }
        Some(within)
    }

    /// What is under way, and where it lies in the ring.
    pub fn places(&self) -> Places {
        let rate = self.device.line().map(|line| line.facts.shape.rate);
        Places {
            marks: self.tracks.iter().map(|track| track.mark(rate)).collect(),
            sought: self.sought,
        }
    }

    /// What is heard and where, or where it will be.
    pub fn position(&self) -> Option<(PlayId, Duration)> {
        self.places().position(self.device.read())
    }

    /// Plays a track in place of all that there is.
    pub fn handle_load(&mut self, track: DeckTrack<T>, now: Instant) {
        self.now = now;
        self.forget_tracks();
        self.device.hurry(now);
        let sought = self.sought.take_if(|(play, _)| *play == track.play);
        let from = sought.map_or(track.from, |(_, to)| to);
        self.begin(track, from, true);
        if let Some(wanted) = self.wanted().filter(|_| !self.paused && self.opens_early) {
            // The decoder is being opened meanwhile.
            self.push(DeckAction::Plan(wanted.shape));
        }
    }

    /// Plays a track after the current one, or none.
    pub fn handle_next(&mut self, next: Option<DeckTrack<T>>, now: Instant) {
        self.now = now;
        if let Some(successor) = self.tracks.get(1) {
            // The ring may hold frames of the old successor: begin anew.
            let play = successor.track.play;
            if next.as_ref().is_some_and(|next| next.play == play) {
                return;
            }
            if let Some((_, position)) = self.position() {
                self.restart(position);
            }
        }
        self.next = next;
        self.begin_next();
    }

    /// Forgets all that there is.
    pub fn handle_stop(&mut self, now: Instant) {
        self.now = now;
        self.forget_tracks();
    }

    /// Pauses or goes on.
    pub fn handle_pause(&mut self, paused: bool, now: Instant) {
        self.now = now;
        self.paused = paused;
        self.quiet_since = now;
        self.order(RingOrder::Pause(paused));
        if !paused {
            if self.device.line().is_none() {
                // It was closed during a long pause.
                self.device.hurry(now);
            }
            self.admit();
        }
        if self.tracks.front().is_some_and(DeckPlay::is_ready) {
            self.start();
        }
    }

    /// Holds the sound of `play` back, if it has run dry, or lets it go on.
    pub fn handle_hold(&mut self, play: PlayId, held: bool, now: Instant) {
        self.now = now;
        let front = self.tracks.front_mut();
        let Some(track) = front.filter(|track| track.track.play == play) else {
            return;
        };
        // It went on by itself meanwhile.
        let line = self.device.line();
        if held && line.is_some_and(|line| !line.ring.is_starved) {
            return;
        }
        track.track.held = held;
        let is_placed = track.first.is_some();
        if held {
            self.order(RingOrder::Hold);
        }
        if is_placed {
            self.sound();
        }
    }

    /// Goes on at `position` of `play`, or begins there once that is loaded.
    pub fn handle_seek(&mut self, play: PlayId, position: Duration, now: Instant) {
        self.now = now;
        let front = self.tracks.front();
        if front.is_some_and(|track| track.track.play == play) {
            self.sought = None;
            self.restart(position);
        } else {
            self.sought = Some((play, position));
        }
    }

    /// The decoder tells of a job.
    pub fn handle_report(&mut self, report: Report, now: Instant) {
        self.now = now;
        let (Report::Opened(id, _) | Report::Primed(id, _) | Report::Finished(id, ..)) = report;
        let Some(index) = self.tracks.iter().position(|track| track.job == id) else {
            return;
        };
        let track = &mut self.tracks[index];
        match report {
            Report::Opened(_, shape) => {
                track.shape = Some(shape);
                self.admit();
            }
            Report::Primed(_, first) => {
                track.first = Some(first);
                if index == 0 {
                    self.sound();
                }
            }
            Report::Finished(_, end, last) => {
                track.end = Some((end, last));
                self.begin_next();
                self.cross();
            }
        }
    }

    /// The shape that the device plans for what was asked, or why it cannot be used.
    pub fn handle_plan(&mut self, plan: Result<SampleShape, OutputError>, now: Instant) {
        self.now = now;
        match plan {
            Err(error) => self.handle_failed_try(&error),
            Ok(plan) if self.device.is_open_for(plan) => self.permit(),
            // When the one before has been heard: until then it is not tried again.
            Ok(_) if self.tracks.len() > 1 => drop(self.device.handle_found()),
            Ok(shape) => {
                self.close(false);
                let paused = self.paused;
                self.push(DeckAction::Open { shape, paused });
            }
        }
    }

    /// The device that was to be opened is open, or why it is not.
    pub fn handle_open(&mut self, opened: Result<LineFacts, OutputError>, now: Instant) {
        self.now = now;
        match opened {
            Err(error) => self.handle_failed_try(&error),
            Ok(facts) => {
                let rate = facts.shape.rate;
                let event = PlayerEvent::DeviceOpen {
                    what: facts.name.clone(),
                    rate,
                    channels: facts.shape.channels,
                    format: facts.format,
                    resampled: self.wanted().is_some_and(|it| it.shape.rate != rate),
                };
                if let Some(event) = self.device.handle_open(facts, event) {
                    self.tell(event);
                }
                self.permit();
            }
        }
    }

    /// The device that was looked for is there, or why it is not.
    pub fn handle_found(&mut self, found: Result<(), OutputError>, now: Instant) {
        self.now = now;
        match found {
            Ok(()) if self.device.handle_found() => self.tell(PlayerEvent::DeviceBack),
            Ok(()) => {}
            Err(error) => self.device_failed(&error),
        }
    }

    /// What the ring of the open device shows, just now.
    pub fn handle_ring(&mut self, ring: RingLook, now: Instant) {
        self.now = now;
        let stalled = self.device.handle_ring(ring, now);
        self.announce_start();
        self.cross();
        self.announce_underruns();
        if let Some(error) = stalled {
            self.handle_lost(&error, now);
        }
        if let Some(event) = self.device.handle_proof(now) {
            self.tell(event);
        }
    }

    /// The open device is lost.
    pub fn handle_lost(&mut self, error: &OutputError, now: Instant) {
        self.now = now;
        if self.device.line().is_some() {
            self.suspend(true);
            self.device_failed(error);
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        let is_open = self.device.line().is_some();
        if is_open && self.is_quiet() && now >= self.quiet_since + IDLE_CLOSE {
            self.suspend(false);
        }
        if self.retry_at().is_some_and(|at| now >= at) {
            if self.is_quiet() {
                self.push(DeckAction::Find);
            } else {
                self.admit();
            }
        }
    }

    fn push(&mut self, action: DeckAction<T>) {
        self.actions.push_back(action);
    }

    fn tell(&mut self, event: PlayerEvent) {
        self.push(DeckAction::Tell(event));
    }

    /// Tells the ring of the open device, and knows at once what comes of it.
    fn order(&mut self, order: RingOrder) {
        let Some(ring) = self.device.ring_mut() else {
            return;
        };
        match order {
            RingOrder::Drop => ring.is_starved = false,
            RingOrder::Release => ring.first_frame_at = None,
            _ => {}
        }
        self.push(DeckAction::Ring(order));
    }

    /// Begins the current track anew at `position`; a successor that was being
    /// decoded goes back to waiting.
    fn restart(&mut self, position: Duration) {
        let mut tracks = self.silence();
        let Some(front) = tracks.pop_front() else {
            return;
        };
        if let Some(successor) = tracks.pop_front() {
            self.next = Some(successor.track);
        }
        self.begin(front.track, position, true);
    }

    /// Drops what is in the ring and cancels all jobs.
    fn silence(&mut self) -> VecDeque<DeckPlay<T>> {
        self.order(RingOrder::Drop);
        let tracks = std::mem::take(&mut self.tracks);
        for track in &tracks {
            self.push(DeckAction::Cancel(track.job));
        }
        self.underruns.handle_silence();
        self.quiet_since = self.now;
        tracks
    }

    fn forget_tracks(&mut self) {
        self.silence();
        self.next = None;
        self.order(RingOrder::End);
    }

    fn begin(&mut self, track: DeckTrack<T>, from: Duration, replaces: bool) {
        self.jobs += 1;
        let job = JobId(self.jobs);
        let source = track.source.clone();
        self.push(DeckAction::Decode {
            job,
            source,
            from,
            replaces,
        });
        self.tracks.push_back(DeckPlay::new(track, job, from));
    }

    /// The last track is decoded: begin the successor, or let the ring run out.
    fn begin_next(&mut self) {
        if self.tracks.back().is_none_or(|track| track.end.is_none()) {
            return;
        }
        // A third track waits until the first has been heard.
        if self.tracks.len() == 1 {
            if let Some(next) = self.next.take() {
                let from = next.from;
                return self.begin(next, from, false);
            }
        }
        self.order(RingOrder::End);
    }

    /// What is to fill the ring next.
    fn wanted(&self) -> Option<Wanted> {
        self.tracks.back()?.wanted()
    }

    /// What waits for the ring with a decoder that stands.
    fn waiting(&self) -> Option<Wanted> {
        self.wanted().filter(|wanted| wanted.decoder_stands)
    }

    /// Lets the track that was opened last fill the ring, if the device fits or
    /// can be opened anew now.
    fn admit(&mut self) {
        let Some(wanted) = self.waiting() else {
            return;
        };
        if self.paused && self.device.line().is_none() {
            return; // a device is opened for sound, not for a pause
        }
        if self.device.may_try(self.now) {
            self.push(DeckAction::Plan(wanted.shape));
        }
    }

    /// Lets the decoder that stands fill the ring of the open device, which fits.
    fn permit(&mut self) {
        let (Some(_), Some(line)) = (self.waiting(), self.device.line()) else {
            return;
        };
        let prime = line.facts.prime;
        if let Some(track) = self.tracks.back_mut() {
            track.admitted = true;
            let job = track.job;
            self.push(DeckAction::Permit { job, prime });
        }
    }

    /// An error that the device gives before the decoder stands shows up again, and is told,
    /// when it does.
    fn handle_failed_try(&mut self, error: &OutputError) {
        if self.waiting().is_some() {
            self.device_failed(error);
        }
    }

    fn device_failed(&mut self, error: &OutputError) {
        let why = error.to_string();
        if self.device.handle_failure(&why, self.now) {
            self.tell(PlayerEvent::DeviceLost { why });
        }
    }

    /// Lets the current track be heard, unless it is held back.
    fn sound(&mut self) {
        let Some(track) = self.tracks.front().filter(|track| !track.track.held) else {
            return;
        };
        if track.track.gentle && !track.announced {
            self.order(RingOrder::BeginGently);
        }
        self.order(RingOrder::Release);
        self.start();
    }

    fn start(&mut self) {
        if !self.paused && self.device.handle_start(self.now) {
            self.push(DeckAction::Start);
        }
    }

    /// When to try a lost device again; not while the decoder waits for bytes,
    /// which will ask for it.
    fn retry_at(&self) -> Option<Instant> {
        let is_wanted = self.is_quiet() || self.waiting().is_some();
        self.device.retry_at().filter(|_| is_wanted)
    }

    /// Nothing sounds, nor is anything on its way.
    fn is_quiet(&self) -> bool {
        self.tracks.is_empty() || self.paused
    }

    /// Closes the device and gets ready to go on from here.
    fn suspend(&mut self, is_lost: bool) {
        if !self.tracks.is_empty() {
            if let Some((_, position)) = self.position() {
                self.restart(position);
            }
        }
        self.close(is_lost);
    }

    fn close(&mut self, is_lost: bool) {
        if self.device.handle_close() {
            self.push(DeckAction::Close { is_lost });
        }
    }

    fn announce_start(&mut self) {
        let (Some(line), Some(track)) = (self.device.line(), self.tracks.front_mut()) else {
            return;
        };
        let at = line.ring.first_frame_at;
        if let Some(at) = at.filter(|_| track.first.is_some() && !track.announced) {
            track.announced = true;
            let play = track.track.play;
            self.tell(PlayerEvent::Started { play, at });
        }
    }

    fn announce_underruns(&mut self) {
        let (Some(line), Some(track)) = (self.device.line(), self.tracks.front()) else {
            return;
        };
        let (play, ring) = (track.track.play, line.ring);
        if !track.announced {
            // Before its first sound it is late, and nothing has run dry.
            return self.underruns.handle_late(ring.underruns);
        }
        let news = self.underruns.handle_look(ring.underruns, ring.is_starved);
        if let Some(lasts) = news.lasts {
            self.tell(match lasts {
                true => PlayerEvent::Underrun { play },
                false => PlayerEvent::Resumed { play },
            });
        }
        for _ in 0..news.gaps {
            self.tell(PlayerEvent::Gap { play });
        }
    }

    /// Turns to the successor once the current track has been heard.
    fn cross(&mut self) {
        while self.is_heard() {
            let Some(track) = self.tracks.pop_front() else {
                return;
            };
            let from = track.track.play;
            let failed = match track.end {
                Some((DecodeEnd::Failed(why), _)) => Some(why),
                _ => None,
            };
            let ended = failed.is_none();
            if self.underruns.handle_end() {
                self.tell(PlayerEvent::Resumed { play: from });
            }
            if let Some(why) = failed {
                self.tell(PlayerEvent::Failed { play: from, why });
            }
            match self.tracks.front_mut() {
                Some(successor) => {
                    let to = successor.track.play;
                    successor.announced = successor.first.is_some();
                    self.tell(PlayerEvent::Crossed { from, to });
                    self.admit();
                    self.begin_next();
                }
                None => {
                    self.quiet_since = self.now;
                    if ended {
                        self.tell(PlayerEvent::Ended { play: from });
                    }
                }
            }
        }
    }

    /// Whether nothing of the current track is still to be heard.
    fn is_heard(&self) -> bool {
        let read = self.device.line().map(|line| line.ring.read);
        let front = self.tracks.front();
        front.is_some_and(|track| track.is_heard(read))
    }
}

/// How often the ring is looked at while all goes well: an underrun or a lost
/// device is told this late, which nobody can act on faster.
const WATCH: Duration = Duration::from_millis(50);

/// How often it is looked at while the first frame is on its way.
const STARTING: Duration = Duration::from_millis(2);

/// After so long without sound the device is closed. Open and silent it costs a
/// hundred wake-ups a second, and opening it anew takes no longer than waiting
/// for the silence in its buffer to pass; so this only spans the moment between
/// two orders.
const IDLE_CLOSE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
