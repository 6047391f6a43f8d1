//! The audio thread: carries out what the deck decides.
//!
//! It owns the device, shows the deck what its ring does, hands it orders and reports, and sleeps
//! until there is mail or something is due. It never reads, decodes or waits for anybody.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::deck::{Deck, DeckAction, DeckTrack};
use super::decoder_thread::{DecodeJob, DecoderThread, PushPermit};
use super::inbox::{Inbox, Mail};
use super::outbox::EventOutbox;
use super::report::{JobId, Report};
use super::spec::OutputSpec;
use super::supervisor::DeviceSupervisor;
use super::{Load, PlayId, PlayerEvent, PositionBoard};
use crate::media::decode::{Cancel, ReadProgress};

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
    let decoder = DecoderThread::spawn(inbox.clone())?;
    let device = DeviceSupervisor::new(spec);
    let engine = Engine {
        inbox,
        board,
        events: EventOutbox::new(events),
        decoder,
        deck: Deck::new(device.opens_early(), Instant::now()),
        device,
        jobs: Vec::new(),
        gain: gain_of(FULL_VOLUME),
        sought: None,
    };
    thread::Builder::new()
        .name("audio".into())
        .spawn(move || engine.run())
}

struct Engine {
    inbox: Arc<Inbox>,
    board: Arc<PositionBoard>,
    events: EventOutbox,
    decoder: DecoderThread,
    device: DeviceSupervisor,
    deck: Deck<Load>,
    /// Those that have not come to their end: at most two, and those that the deck cancels.
    jobs: Vec<DecodeJob>,
    gain: f32,
    /// What the deck has been told to seek, which the board does not show yet.
    sought: Option<(PlayId, Duration)>,
}

impl Engine {
    fn run(mut self) {
        self.perform();
        loop {
            let wait = self.attend();
            let mail = self.inbox.take(wait);
            if mail.quit {
                break;
            }
            self.handle(mail);
        }
        self.deck.handle_stop(Instant::now());
        self.perform();
        self.device.close();
    }

    /// All of it as one: what one order lets go another one may take back.
    fn handle(&mut self, mail: Mail) {
        self.look();
        if let Some(volume) = mail.volume {
            self.gain = gain_of(volume);
            if let Some(line) = self.device.line() {
                line.state.set_gain(self.gain);
            }
        }
        if mail.stop {
            self.order(Deck::handle_stop);
        }
        if let Some(paused) = mail.paused {
            self.order(|deck, now| deck.handle_pause(paused, now));
        }
        let sought = match mail.seek {
            true => self.board.lock().asked,
            false => None,
        };
        let begins_there = |load: &Load| sought.is_some_and(|(play, _)| play == load.play);
        let is_before = mail.load.as_deref().is_some_and(begins_there);
        if is_before {
            self.seek(sought);
        }
        if let Some(load) = mail.load {
            self.order(|deck, now| deck.handle_load(track(*load), now));
        }
        if let Some((play, held)) = mail.held {
            self.order(|deck, now| deck.handle_hold(play, held, now));
        }
        if !is_before {
            self.seek(sought);
        }
        if let Some(next) = mail.next {
            let next = next.map(|load| track(*load));
            self.order(|deck, now| deck.handle_next(next, now));
        }
        // After the orders: what was to follow a track is known when that comes to its end.
        for report in mail.reports {
            log::trace!("the decoder reports {report:?}");
            if let Report::Finished(id, ..) = report {
                self.jobs.retain(|job| job.id != id);
            }
            self.order(|deck, now| deck.handle_report(report, now));
        }
        self.show();
    }

    fn seek(&mut self, sought: Option<(PlayId, Duration)>) {
        if let Some((play, position)) = sought {
            self.order(|deck, now| deck.handle_seek(play, position, now));
            self.sought = sought;
        }
    }

    /// Tells the deck something, and does what comes of it.
    fn order(&mut self, tell: impl FnOnce(&mut Deck<Load>, Instant)) {
        tell(&mut self.deck, Instant::now());
        self.perform();
    }

    /// Shows the deck what the ring and the device did.
    fn look(&mut self) {
        let Some(line) = self.device.line() else {
            return;
        };
        let (now, lost) = (Instant::now(), line.lost());
        self.deck.handle_ring(line.state.look(), now);
        if let Some(error) = lost {
            self.deck.handle_lost(&error, now);
        }
        self.perform();
    }

    /// Does what is due, and says when to look again.
    fn attend(&mut self) -> Option<Duration> {
        self.look();
        self.order(Deck::handle_timeout);
        self.events.flush();
        self.show();
        let due = self.deck.poll_timeout();
        let due = due.map(|at| at.saturating_duration_since(Instant::now()));
        let flush = (!self.events.is_empty()).then_some(FLUSH);
        let looks = [self.deck.look_within(), due, flush];
        looks.into_iter().flatten().min()
    }

    /// Does all that the deck wants done.
    fn perform(&mut self) {
        while let Some(action) = self.deck.poll() {
            match action {
                DeckAction::Decode {
                    job,
                    source,
                    from,
                    replaces,
                } => self.decode(job, source, from, replaces),
                DeckAction::Cancel(id) => {
                    if let Some(at) = self.jobs.iter().position(|job| job.id == id) {
                        self.decoder.cancel(&self.jobs.swap_remove(at));
                    }
                }
                DeckAction::Permit { job, prime } => {
                    let feed = self.device.take_feed();
                    self.decoder.go(PushPermit { job, prime }, feed);
                }
                DeckAction::Plan(shape) => {
                    let plan = self.device.plan(shape);
                    self.deck.handle_plan(plan, Instant::now());
                }
                DeckAction::Open { shape, paused } => {
                    let opened = self.device.open(shape, self.gain, paused);
                    self.deck.handle_open(opened, Instant::now());
                }
                DeckAction::Start => self.device.start(),
                DeckAction::Close { is_lost } => {
                    if is_lost {
                        self.device.forget();
                    }
                    self.device.close();
                }
                DeckAction::Find => {
                    let found = self.device.find();
                    self.deck.handle_found(found, Instant::now());
                }
                DeckAction::Ring(order) => {
                    if let Some(line) = self.device.line() {
                        line.state.obey(order);
                    }
                }
                DeckAction::Tell(event) => self.tell(event),
            }
        }
    }

    fn decode(&mut self, id: JobId, load: Load, from: Duration, replaces: bool) {
        let job = DecodeJob {
            id,
            bytes: load.bytes,
            media: load.media,
            from,
            replaces,
            cancel: Cancel::default(),
            progress: ReadProgress::default(),
        };
        self.decoder.submit(job.clone());
        self.jobs.push(job);
    }

    fn tell(&mut self, event: PlayerEvent) {
        if let PlayerEvent::Started { at, .. } = event {
            log::debug!("the first frame went to the device {:?} ago", at.elapsed());
        }
        self.events.push(event);
    }

    fn show(&mut self) {
        let mut board = self.board.lock();
        if let Some(sought) = self.sought.take() {
            // It may be wanted elsewhere by now.
            board.asked.take_if(|asked| *asked == sought);
        }
        board.places = self.deck.places();
        board.ring = self.device.line().map(|line| line.state.clone());
    }
}

/// What the deck is told of a load.
fn track(load: Load) -> DeckTrack<Load> {
    DeckTrack {
        play: load.play,
        from: load.from,
        media: load.media,
        held: load.held,
        gentle: load.gentle,
        source: load,
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

/// How often events are offered again that their channel had no room for.
const FLUSH: Duration = Duration::from_millis(50);
