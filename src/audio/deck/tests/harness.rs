//! A deck with a decoder and a card that do what they are told at once, and nothing by
//! themselves.

use super::*;
use crate::media::{Container, MediaInfo};

pub fn track(play: u64) -> DeckTrack<u64> {
    DeckTrack {
        play: PlayId(play),
        from: Duration::ZERO,
        media: MediaInfo::cd(Container::Wav),
        held: false,
        gentle: false,
        source: play,
    }
}

/// See the module's description.
pub struct DeckHarness {
    pub deck: Deck<u64>,
    pub now: Instant,
    /// What the card gives when it is opened or looked for.
    pub fault: Option<&'static str>,
    /// The only rate that it takes, if it takes only one.
    pub only_rate: Option<u32>,
    pub ring: RingLook,
    /// Frames that entered the ring, and whether no more come.
    pub written: u64,
    pub is_complete: bool,
    pub is_open: bool,
    pub runs: bool,
    pub is_released: bool,
    /// The jobs that live, by their numbers.
    pub jobs: Vec<(JobId, u64, bool)>,
    pub done: Vec<DeckAction<u64>>,
}

impl DeckHarness {
    pub fn new() -> Self {
        let now = Instant::now();
        let mut harness = Self {
            deck: Deck::new(true, now),
            now,
            fault: None,
            only_rate: None,
            ring: RingLook::default(),
            written: 0,
            is_complete: false,
            is_open: false,
            runs: false,
            is_released: false,
            jobs: Vec::new(),
            done: Vec::new(),
        };
        harness.settle();
        harness.done.clear();
        harness
    }

    pub fn error(&self) -> Option<OutputError> {
        let why = self.fault?.to_owned();
        let name = "card".to_owned();
        Some(OutputError::Unusable { name, why })
    }

    /// Tells the deck something.
    pub fn tell(&mut self, tell: impl FnOnce(&mut Deck<u64>, Instant)) {
        self.look();
        tell(&mut self.deck, self.now);
        self.settle();
    }

    pub fn look(&mut self) {
        if self.is_open {
            self.deck.handle_ring(self.ring, self.now);
            self.settle();
        }
    }

    pub fn settle(&mut self) {
        while let Some(action) = self.deck.poll() {
            self.done.push(action.clone());
            self.perform(action);
        }
    }

    /// What a driver would stumble over fails here.
    pub fn perform(&mut self, action: DeckAction<u64>) {
        let now = self.now;
        match action {
            DeckAction::Decode { job, source, .. } => {
                self.jobs.push((job, source, false));
                assert!(self.jobs.len() <= 2, "two tracks are under way at most");
            }
            DeckAction::Cancel(id) => self.jobs.retain(|(job, ..)| *job != id),
            DeckAction::Permit { job, prime } => {
                assert!(self.is_open, "the ring is that of an open device");
                assert_eq!(prime, PRIME);
                let (.., permitted) = self.jobs.iter_mut().find(|it| it.0 == job).unwrap();
                assert!(!std::mem::replace(permitted, true), "once is enough");
                self.is_complete = false;
            }
            DeckAction::Plan(shape) => {
                let rate = self.only_rate.unwrap_or(shape.rate);
                let bits = None;
                let plan = SampleShape {
                    rate,
                    bits,
                    ..shape
                };
                let plan = self.error().map_or(Ok(plan), Err);
                self.deck.handle_plan(plan, now);
            }
            DeckAction::Open { shape, .. } => {
                assert!(!self.is_open);
                let facts = LineFacts {
                    name: "card".into(),
                    shape,
                    format: "s16",
                    prime: PRIME,
                };
                let opened = self.error().map_or(Ok(facts), Err);
                self.is_open = opened.is_ok();
                (self.ring, self.written) = (RingLook::default(), 0);
                (self.runs, self.is_released) = (false, false);
                self.deck.handle_open(opened, now);
            }
            DeckAction::Start => {
                assert!(self.is_open && !self.runs);
                self.runs = true;
            }
            DeckAction::Close { .. } => {
                assert!(self.is_open);
                self.is_open = false;
            }
            DeckAction::Find => {
                let found = self.error().map_or(Ok(()), Err);
                self.deck.handle_found(found, now);
            }
            DeckAction::Ring(order) => {
                assert!(self.is_open, "{order:?} goes to nobody");
                match order {
                    RingOrder::Drop => {
                        (self.ring.is_starved, self.is_released) = (false, false);
                        self.ring.read = self.ring.read.max(self.written);
                    }
                    RingOrder::Release => {
                        (self.ring.first_frame_at, self.is_released) = (None, true);
                    }
                    RingOrder::Hold => self.is_released = false,
                    RingOrder::End => self.is_complete = true,
                    RingOrder::BeginGently | RingOrder::Pause(_) => {}
                }
            }
            DeckAction::Tell(_) => {}
        }
    }

    pub fn load(&mut self, track: DeckTrack<u64>) {
        self.tell(|deck, now| deck.handle_load(track, now));
    }

    pub fn next(&mut self, track: DeckTrack<u64>) {
        self.tell(|deck, now| deck.handle_next(Some(track), now));
    }

    /// The job of `play`.
    pub fn job(&self, play: u64) -> JobId {
        self.jobs.iter().find(|it| it.1 == play).unwrap().0
    }

    pub fn report(&mut self, report: Report) {
        if let Report::Finished(id, ..) = report {
            self.jobs.retain(|(job, ..)| *job != id);
        }
        self.tell(|deck, now| deck.handle_report(report, now));
    }

    pub fn opened(&mut self, play: u64, rate: u32) {
        let (channels, bits) = (2, Some(16));
        let shape = SampleShape {
            rate,
            channels,
            bits,
        };
        self.report(Report::Opened(self.job(play), shape));
    }

    pub fn primed(&mut self, play: u64, first: u64) {
        self.report(Report::Primed(self.job(play), first));
    }

    pub fn finished(&mut self, play: u64, last: u64) {
        self.report(Report::Finished(self.job(play), DecodeEnd::Ended, last));
    }

    /// The card takes sound up to this frame.
    pub fn play_to(&mut self, read: u64) {
        self.ring.calls += 1;
        self.ring.read = read;
        self.ring.first_frame_at.get_or_insert(self.now);
        self.look();
    }

    /// So much time passes, and the deck does what is due in it.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.deck.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.tell(Deck::handle_timeout);
            let next = self.deck.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "it is done");
        }
        self.now = until;
    }

    /// `play` is loaded and sounds.
    pub fn sounds(&mut self, play: u64) {
        self.load(track(play));
        self.opened(play, RATE);
        self.primed(play, 0);
        self.play_to(0);
        self.done.clear();
    }

    pub fn starve(&mut self, is_starved: bool) {
        self.ring.is_starved = is_starved;
        self.ring.underruns += u32::from(is_starved);
        self.look();
    }

    /// What was done since the last look, in short.
    pub fn did(&mut self) -> Vec<String> {
        let done = std::mem::take(&mut self.done);
        done.iter().map(in_short).collect()
    }
}

fn in_short(action: &DeckAction<u64>) -> String {
    match action {
        DeckAction::Decode {
            source,
            from,
            replaces,
            ..
        } => {
            let way = if *replaces { "" } else { " behind" };
            format!("decode {source} from {}{way}", from.as_millis())
        }
        DeckAction::Cancel(_) => "cancel".into(),
        DeckAction::Permit { .. } => "permit".into(),
        DeckAction::Plan(shape) => format!("plan {}", shape.rate),
        DeckAction::Open { shape, .. } => format!("open {}", shape.rate),
        DeckAction::Start => "start".into(),
        DeckAction::Close { is_lost: false } => "close".into(),
        DeckAction::Close { is_lost: true } => "close, lost".into(),
        DeckAction::Find => "find".into(),
        DeckAction::Ring(order) => format!("{order:?}"),
        DeckAction::Tell(event) => match event {
            PlayerEvent::DeviceOpen { resampled, .. } => match resampled {
                true => "tell open, resampled".into(),
                false => "tell open".into(),
            },
            PlayerEvent::DeviceLost { .. } => "tell lost".into(),
            PlayerEvent::DeviceBack => "tell back".into(),
            PlayerEvent::Started { play, .. } => format!("tell started {}", play.0),
            PlayerEvent::Underrun { play } => format!("tell underrun {}", play.0),
            PlayerEvent::Gap { play } => format!("tell gap {}", play.0),
            PlayerEvent::Resumed { play } => format!("tell resumed {}", play.0),
            PlayerEvent::Crossed { from, to } => format!("tell crossed {} {}", from.0, to.0),
            PlayerEvent::Ended { play } => format!("tell ended {}", play.0),
            PlayerEvent::Failed { play, .. } => format!("tell failed {}", play.0),
        },
    }
}

pub const RATE: u32 = 44_100;
pub const PRIME: usize = 4410;
pub const MOMENT: Duration = Duration::from_millis(100);
