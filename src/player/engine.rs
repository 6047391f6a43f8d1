//! The audio thread: owns the device, and decides what goes to it when.
//!
//! It sleeps until there is mail or something is due, and never reads, decodes
//! or waits for anybody. At most two tracks are under way: the one that is
//! heard and its successor, which is decoded into the same ring as soon as the
//! first one is decoded to its end. Cancelling a job and dropping the ring's
//! frames at once is the one way in which load, seek, a lost device and a long
//! pause begin anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::decoder_thread::{DecodeJob, DecoderThread, PushPermit};
use super::inbox::{Inbox, Mail};
use super::outbox::EventOutbox;
use super::report::{JobId, Report};
use super::spec::OutputSpec;
use super::spec::{OutputError, SampleShape};
use super::supervisor::DeviceSupervisor;
use super::underruns::Underruns;
use super::{Load, PlayId, PlayerEvent, PositionBoard, RingMark};
use crate::media::decode::{Cancel, ReadProgress};
use crate::media::end::DecodeEnd;

/// Starts the thread.
///
/// # Errors
/// If the system has no more threads.
pub fn spawn(
    spec: OutputSpec,
    inbox: Arc<Inbox>,
    board: Arc<PositionBoard>,
    events: async_channel::Sender<PlayerEvent>,
) -> std::io::Result<JoinHandle<()>> {
    let feeder = DecoderThread::spawn(inbox.clone())?;
    let engine = Engine {
        inbox,
        board,
        events: EventOutbox::new(events),
        feeder,
        device: DeviceSupervisor::new(spec),
        tracks: VecDeque::new(),
        next: None,
        jobs: 0,
        paused: false,
        found: None,
        gain: gain_of(FULL_VOLUME),
        underruns: Underruns::default(),
        quiet_since: Instant::now(),
    };
    thread::Builder::new()
        .name("audio".into())
        .spawn(move || engine.run())
}

struct Engine {
    inbox: Arc<Inbox>,
    board: Arc<PositionBoard>,
    events: EventOutbox,
    feeder: DecoderThread,
    device: DeviceSupervisor,
    /// What is heard, and behind it the successor once it is decoded.
    tracks: VecDeque<EngineTrack>,
    /// The successor before that.
    next: Option<Load>,
    jobs: u64,
    paused: bool,
    /// Where a track has been told to be and is, which the board does not show yet.
    found: Option<(PlayId, Duration)>,
    gain: f32,
    underruns: Underruns,
    /// Since when nothing has sounded.
    quiet_since: Instant,
}

struct EngineTrack {
    load: Load,
    job: DecodeJob,
    /// What the decoder found; `None` while it is being opened.
    shape: Option<SampleShape>,
    /// Whether the job fills the ring.
    admitted: bool,
    /// The number of its first frame, once enough of it waits.
    first: Option<u64>,
    /// How decoding ended, and the number of the frame after its last.
    end: Option<(DecodeEnd, u64)>,
    /// Whether its beginning was announced.
    announced: bool,
}

impl Engine {
    fn run(mut self) {
        let found = self.device.look_up(Instant::now());
        self.tell(found);
        loop {
            let wait = self.attend(Instant::now());
            let mail = self.inbox.take(wait);
            if mail.quit {
                break;
            }
            self.handle(mail);
        }
        self.forget_tracks();
        self.device.close();
    }

    fn handle(&mut self, mail: Mail) {
        if let Some(volume) = mail.volume {
            self.gain = gain_of(volume);
            if let Some(line) = self.device.line() {
                line.state.set_gain(self.gain);
            }
        }
        if mail.stop {
            self.stop();
        }
        for report in mail.reports {
            self.handle_report(report);
        }
        if let Some(paused) = mail.paused {
            self.set_paused(paused);
        }
        if let Some(load) = mail.load {
            self.load(*load);
        }
        if let Some((play, held)) = mail.held {
            self.set_held(play, held);
        }
        if mail.seek {
            self.seek();
        }
        if let Some(next) = mail.next {
            self.set_next(next.map(|load| *load));
        }
        self.show();
    }

    fn handle_report(&mut self, report: Report) {
        let (Report::Opened(id, _) | Report::Primed(id, _) | Report::Finished(id, ..)) = report;
        let Some(index) = self.tracks.iter().position(|t| t.job.id == id) else {
            return;
        };
        let track = &mut self.tracks[index];
        log::trace!("the decoder reports {report:?}");
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
            }
        }
    }

    fn load(&mut self, load: Load) {
        self.forget_tracks();
        self.next = None;
        self.device.hurry(Instant::now());
        let expect = load.expect;
        let from = self.sought(load.play).unwrap_or(load.from);
        self.submit(load, from, true);
        if let Some((rate, channels)) = expect.filter(|_| !self.paused && self.device.opens_early())
        {
            // The decoder is being opened meanwhile. An error shows up again,
            // and is reported, when the decoder stands.
            let shape = SampleShape {
                rate,
                channels,
                bits: None,
            };
            if let Ok(opened) = self.device.open(shape, self.gain, self.paused) {
                self.tell(opened);
            }
        }
    }

    fn stop(&mut self) {
        self.forget_tracks();
        self.next = None;
    }

    fn seek(&mut self) {
        let front = self.tracks.front().map(|track| track.load.play);
        if let Some(position) = front.and_then(|play| self.sought(play)) {
            self.restart(position);
        }
    }

    /// Where `play` is to be, if somebody has said so since it was last looked.
    fn sought(&mut self, play: PlayId) -> Option<Duration> {
        let sought = self.board.lock().sought;
        self.found = sought.filter(|sought| sought.0 == play);
        Some(self.found?.1)
    }

    fn set_next(&mut self, next: Option<Load>) {
        if self.tracks.len() > 1 {
            // The ring may hold frames of the old successor: begin anew.
            let same = next
                .as_ref()
                .is_some_and(|n| n.play == self.tracks[1].load.play);
            if same {
                return;
            }
            if let Some((_, position)) = self.board.position() {
                self.restart(position);
            }
        }
        self.next = next;
        self.begin_next();
    }

    fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.quiet_since = Instant::now();
        match self.device.line() {
            Some(line) => line.state.set_paused(paused),
            // The device was closed during a long pause.
            None if !paused => {
                self.device.hurry(Instant::now());
                self.admit();
            }
            None => {}
        }
        let is_ready = |track: &EngineTrack| track.first.is_some() && !track.load.held;
        if !paused && self.tracks.front().is_some_and(is_ready) {
            self.device.start(Instant::now());
        }
    }

    /// Holds the sound of what plays back, if it has run dry, or lets it go on.
    fn set_held(&mut self, play: PlayId, held: bool) {
        let line = self.device.line();
        let Some(track) = self.tracks.front_mut().filter(|t| t.load.play == play) else {
            return;
        };
        match line {
            // It went on by itself meanwhile.
            Some(line) if held && !line.state.is_starved() => return,
            Some(line) if held => line.state.hold(),
            _ => {}
        }
        track.load.held = held;
        if track.first.is_some() {
            self.sound();
        }
    }

    /// Begins the current track anew at `position`; a successor that was being
    /// decoded goes back to waiting.
    fn restart(&mut self, position: Duration) {
        let mut tracks: Vec<_> = self.silence().into_iter().collect();
        let Some(front) = tracks.drain(..1).next() else {
            return;
        };
        if let Some(successor) = tracks.pop() {
            self.next = Some(successor.load);
        }
        self.submit(front.load, position, true);
    }

    /// Drops what is in the ring and cancels all jobs.
    fn silence(&mut self) -> VecDeque<EngineTrack> {
        if let Some(line) = self.device.line() {
            line.state.drop_all();
        }
        for track in &self.tracks {
            self.feeder.cancel(&track.job);
        }
        self.underruns.handle_silence();
        self.quiet_since = Instant::now();
        std::mem::take(&mut self.tracks)
    }

    fn forget_tracks(&mut self) {
        self.silence();
        if let Some(line) = self.device.line() {
            line.state.end_here();
        }
    }

    fn submit(&mut self, load: Load, from: Duration, replaces: bool) {
        self.jobs += 1;
        let job = DecodeJob {
            id: JobId(self.jobs),
            bytes: load.bytes.clone(),
            container: load.container,
            audio_start: load.audio_start,
            from,
            replaces,
            cancel: Cancel::default(),
            progress: ReadProgress::default(),
        };
        self.feeder.submit(job.clone());
        self.tracks.push_back(EngineTrack {
            load,
            job,
            shape: None,
            admitted: false,
            first: None,
            end: None,
            announced: false,
        });
    }

    /// The last track is decoded: begin the successor, or let the ring run out.
    fn begin_next(&mut self) {
        if self.tracks.back().is_none_or(|track| track.end.is_none()) {
            return;
        }
        // A third track waits until the first has been heard.
        if self.tracks.len() == 1 {
            if let Some(load) = self.next.take() {
                let from = load.from;
                return self.submit(load, from, false);
            }
        }
        if let Some(line) = self.device.line() {
            line.state.end_here();
        }
    }

    /// Lets the track that was opened last fill the ring, if the line fits or
    /// can be replaced now.
    fn admit(&mut self) {
        let Some(track) = self.tracks.back() else {
            return;
        };
        let Some(shape) = track.shape.filter(|_| !track.admitted) else {
            return;
        };
        if !self.device.may_try(Instant::now()) {
            return;
        }
        if self.paused && self.device.line().is_none() {
            return; // a device is opened for sound, not for a pause
        }
        let alone = self.tracks.len() == 1;
        let fits = match self.device.fits(shape) {
            Ok(fits) => fits,
            Err(e) => return self.device_failed(&e),
        };
        if !fits && !alone {
            return; // when the one before has been heard
        }
        match self.device.open(shape, self.gain, self.paused) {
            Ok(opened) => self.tell(opened),
            Err(e) => return self.device_failed(&e),
        }
        let feed = self.device.take_feed();
        let (Some(track), Some(line)) = (self.tracks.back_mut(), self.device.line()) else {
            return;
        };
        track.admitted = true;
        let permit = PushPermit {
            job: track.job.id,
            prime: line.prime,
        };
        self.feeder.go(permit, feed);
    }

    fn device_failed(&mut self, error: &OutputError) {
        let lost = self.device.fail(error, Instant::now());
        self.tell(lost);
    }

    fn tell(&mut self, news: Option<PlayerEvent>) {
        if let Some(event) = news {
            self.events.push(event);
        }
    }

    /// Lets the current track be heard, unless it is held back.
    fn sound(&mut self) {
        let Some(track) = self.tracks.front().filter(|track| !track.load.held) else {
            return;
        };
        let begins_gently = track.load.gentle && !track.announced;
        if let Some(line) = self.device.line() {
            if begins_gently {
                line.state.begin_gently();
            }
            line.state.release();
        }
        if !self.paused {
            self.device.start(Instant::now());
        }
    }

    /// Looks at what the device did, and says when to look again.
    fn attend(&mut self, now: Instant) -> Option<Duration> {
        self.attend_line(now);
        self.announce();
        self.cross();
        self.events.flush();
        self.show();
        self.next_look(now)
    }

    fn attend_line(&mut self, now: Instant) {
        if let Some(error) = self.device.check(now) {
            self.suspend();
            self.device_failed(&error);
        }
        let is_open = self.device.line().is_some();
        if is_open && self.is_quiet() && now >= self.quiet_since + IDLE_CLOSE {
            self.suspend();
        }
        if self.retry_at().is_some_and(|at| now >= at) {
            if self.is_quiet() {
                let found = self.device.look_up(now);
                self.tell(found);
            } else {
                self.admit();
            }
        }
    }

    /// When to try a lost device again; not while the decoder waits for bytes,
    /// which will ask for it.
    fn retry_at(&self) -> Option<Instant> {
        let waits = |track: &EngineTrack| track.shape.is_some() && !track.admitted;
        let is_wanted = self.is_quiet() || self.tracks.back().is_some_and(waits);
        self.device.retry_at().filter(|_| is_wanted)
    }

    /// Nothing sounds, nor is anything on its way.
    fn is_quiet(&self) -> bool {
        self.tracks.is_empty() || self.paused
    }

    /// Closes the device and gets ready to go on from here.
    fn suspend(&mut self) {
        let position = self.board.position();
        if let Some((_, position)) = position {
            if !self.tracks.is_empty() {
                self.restart(position);
            }
        }
        self.device.close();
    }

    fn announce(&mut self) {
        let (Some(line), Some(track)) = (self.device.line(), self.tracks.front_mut()) else {
            return;
        };
        let play = track.load.play;
        if !track.announced && track.first.is_some() {
            if let Some(at) = line.state.first_frame_at() {
                track.announced = true;
                log::debug!("the first frame went to the device {:?} ago", at.elapsed());
                self.events.push(PlayerEvent::Started { play, at });
            }
        }
        let count = line.state.underruns();
        let news = self.underruns.handle_look(count, line.state.is_starved());
        if let Some(lasts) = news.lasts {
            self.events.push(match lasts {
                true => PlayerEvent::Underrun { play },
                false => PlayerEvent::Resumed { play },
            });
        }
        for _ in 0..news.gaps {
            self.events.push(PlayerEvent::Gap { play });
        }
    }

    /// Turns to the successor once the current track has been heard.
    fn cross(&mut self) {
        while self.is_heard() {
            let Some(track) = self.tracks.pop_front() else {
                return;
            };
            let from = track.load.play;
            let failed = match track.end {
                Some((DecodeEnd::Failed(why), _)) => Some(why),
                _ => None,
            };
            let ended = failed.is_none();
            if let Some(why) = failed {
                self.events.push(PlayerEvent::Failed { play: from, why });
            }
            match self.tracks.front_mut() {
                Some(successor) => {
                    let to = successor.load.play;
                    successor.announced = successor.first.is_some();
                    self.events.push(PlayerEvent::Crossed { from, to });
                    self.admit();
                    self.begin_next();
                }
                None => {
                    self.quiet_since = Instant::now();
                    if ended {
                        self.events.push(PlayerEvent::Ended { play: from });
                    }
                }
            }
        }
    }

    /// Whether nothing of the current track is still to be heard.
    fn is_heard(&self) -> bool {
        let Some(track) = self.tracks.front() else {
            return false;
        };
        let Some((_, last)) = track.end else {
            return false;
        };
        let line = self.device.line();
        !track.admitted || line.is_none_or(|line| line.state.read() >= last)
    }

    fn show(&mut self) {
        let mut notes = self.board.lock();
        if let Some(found) = self.found.take() {
            // It may be wanted elsewhere by now.
            notes.sought.take_if(|sought| *sought == found);
        }
        notes.marks = self
            .tracks
            .iter()
            .map(|track| RingMark {
                play: track.load.play,
                origin: track.job.from,
                placed: self
                    .device
                    .line()
                    .zip(track.first)
                    .map(|(line, first)| (line.state.clone(), first, line.shape.rate)),
            })
            .collect();
    }

    fn next_look(&self, now: Instant) -> Option<Duration> {
        let mut wait = None::<Duration>;
        let mut at_most = |limit: Duration| wait = Some(wait.map_or(limit, |w| w.min(limit)));
        if let Some(line) = self.device.line() {
            at_most(WATCH);
            if self.is_quiet() {
                at_most((self.quiet_since + IDLE_CLOSE).saturating_duration_since(now));
            } else if let Some(track) = self.tracks.front() {
                if track.first.is_some() && !track.announced && !track.load.held {
                    at_most(STARTING);
                }
                if let Some((_, last)) = track.end {
                    let left = last.saturating_sub(line.state.read());
                    let left = Duration::from_secs_f64(left as f64 / f64::from(line.shape.rate));
                    at_most(left.max(STARTING));
                }
            }
        }
        if let Some(retry) = self.retry_at() {
            at_most(retry.saturating_duration_since(now));
        }
        if !self.events.is_empty() {
            at_most(WATCH);
        }
        wait
    }
}

/// The linear gain of a volume by MPD's curve, so that the numbers mean what
/// they mean to its clients: 50 is -16 dB, 100 is exactly 1.
fn gain_of(volume: u8) -> f32 {
    if volume >= FULL_VOLUME {
        return 1.0;
    }
    let curve = |volume: f32| (volume / 25.0).exp() - 1.0;
    curve(f32::from(volume)) / curve(f32::from(FULL_VOLUME))
}

const FULL_VOLUME: u8 = 100;

/// How often the device is looked at while all goes well: an underrun or a lost
/// device is told this late, which nobody can act on faster.
const WATCH: Duration = Duration::from_millis(50);

/// How often it is looked at while the first frame is on its way.
const STARTING: Duration = Duration::from_millis(2);

/// After so long without sound the device is closed. Open and silent it costs a
/// hundred wake-ups a second, and opening it anew takes no longer than waiting
/// for the silence in its buffer to pass; so this only spans the moment between
/// two orders.
const IDLE_CLOSE: Duration = Duration::from_secs(3);
