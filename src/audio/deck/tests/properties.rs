//! What holds in whatever order things happen.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Happening {
    Load {
        held: bool,
    },
    Next,
    ClearNext,
    Stop,
    Pause(bool),
    Hold {
        of_current: bool,
        held: bool,
    },
    Seek {
        of_current: bool,
        millis: u64,
    },
    /// The decoder gets on with its job: opens, fills the ring, comes to the end of its bytes.
    Decode {
        fails: bool,
    },
    /// The card takes so many frames, if they are there.
    Sound(u64),
    Fault(bool),
    Lose,
    Pass(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => any::<bool>().prop_map(|held| Happening::Load { held }),
        3 => Just(Happening::Next),
        1 => Just(Happening::ClearNext),
        1 => Just(Happening::Stop),
        2 => any::<bool>().prop_map(Happening::Pause),
        2 => any::<(bool, bool)>()
            .prop_map(|(of_current, held)| Happening::Hold { of_current, held }),
        2 => (any::<bool>(), 0..5000_u64)
            .prop_map(|(of_current, millis)| Happening::Seek { of_current, millis }),
        12 => prop::bool::weighted(0.1).prop_map(|fails| Happening::Decode { fails }),
        6 => (0..6000_u64).prop_map(Happening::Sound),
        2 => any::<bool>().prop_map(Happening::Fault),
        1 => Just(Happening::Lose),
        3 => (0..6000_u64).prop_map(Happening::Pass),
    ]
}

/// A world in which decoder and card do as theirs do, and a listener that believes what is told.
struct DeckWorld {
    harness: DeckHarness,
    plays: u64,
    opened: BTreeSet<u64>,
    primed: BTreeSet<u64>,
    paused: bool,
    /// What plays, by what was ordered and told.
    current: Option<u64>,
    next: Option<u64>,
    has_begun: bool,
    is_dry: bool,
}

impl DeckWorld {
    fn new() -> Self {
        Self {
            harness: DeckHarness::new(),
            plays: 0,
            opened: BTreeSet::new(),
            primed: BTreeSet::new(),
            paused: false,
            current: None,
            next: None,
            has_begun: false,
            is_dry: false,
        }
    }

    fn happen(&mut self, what: Happening) {
        self.harness.look();
        self.listen();
        let current = PlayId(self.current.unwrap_or_default());
        let other = PlayId(self.plays + 1);
        let some = |of_current| if of_current { current } else { other };
        let tell = &mut self.harness;
        match what {
            Happening::Load { held } => {
                self.plays += 1;
                (self.current, self.next) = (Some(self.plays), None);
                let play = track(self.plays);
                tell.load(DeckTrack { held, ..play });
                self.begin_anew();
            }
            Happening::Next => {
                self.plays += 1;
                // Nothing follows where nothing plays.
                self.next = self.current.map(|_| self.plays);
                tell.next(track(self.plays));
            }
            Happening::ClearNext => {
                self.next = None;
                tell.tell(|deck, now| deck.handle_next(None, now));
            }
            Happening::Stop => {
                (self.current, self.next) = (None, None);
                tell.tell(Deck::handle_stop);
                self.begin_anew();
            }
            Happening::Pause(paused) => {
                self.paused = paused;
                tell.tell(|deck, now| deck.handle_pause(paused, now));
            }
            Happening::Hold { of_current, held } => {
                let play = some(of_current);
                tell.tell(|deck, now| deck.handle_hold(play, held, now));
            }
            Happening::Seek { of_current, millis } => {
                let (play, at) = (some(of_current), Duration::from_millis(millis));
                tell.tell(|deck, now| deck.handle_seek(play, at, now));
                if self.current == Some(play.0) {
                    let position = self.harness.deck.position();
                    assert_eq!(position, Some((play, at)));
                }
            }
            Happening::Decode { fails } => self.decode(fails),
            Happening::Sound(frames) => self.sound(frames),
            Happening::Fault(is_there) => tell.fault = is_there.then_some("unplugged"),
            Happening::Lose => {
                let (name, why) = ("card".into(), "unplugged".into());
                let gone = OutputError::Gone { name, why };
                tell.tell(|deck, now| deck.handle_lost(&gone, now));
            }
            Happening::Pass(millis) => tell.pass(Duration::from_millis(millis)),
        }
        self.listen();
        let position = self.harness.deck.position();
        if let Some(current) = self.current {
            assert_eq!(position.map(|(play, _)| play.0), Some(current));
        }
    }

    fn begin_anew(&mut self) {
        (self.has_begun, self.is_dry) = (false, false);
    }

    /// The job that was begun first gets on.
    fn decode(&mut self, fails: bool) {
        let Some(&(job, play, is_permitted)) = self.harness.jobs.first() else {
            return;
        };
        let end = match fails {
            true => DecodeEnd::Failed("lost".into()),
            false => DecodeEnd::Ended,
        };
        if self.opened.insert(job.0) {
            let rate = if play % 3 == 0 { 48_000 } else { RATE };
            match fails {
                true => self.report(Report::Finished(job, end, self.harness.written)),
                false => self.harness.opened(play, rate),
            }
        } else if is_permitted && self.primed.insert(job.0) {
            let first = self.harness.written;
            self.harness.written += 5000;
            self.report(Report::Primed(job, first));
        } else if is_permitted {
            self.harness.written += 3000;
            self.report(Report::Finished(job, end, self.harness.written));
        }
    }

    fn report(&mut self, report: Report) {
        self.harness.report(report);
    }

    /// As the ring's callback.
    fn sound(&mut self, frames: u64) {
        let harness = &mut self.harness;
        if !harness.is_open || !harness.runs {
            return;
        }
        harness.ring.calls += 1;
        if !harness.is_released || self.paused {
            return harness.look();
        }
        let waiting = harness.written - harness.ring.read;
        let count = frames.min(waiting);
        harness.ring.read += count;
        if count > 0 {
            harness.ring.is_starved = false;
            let now = harness.now;
            harness.ring.first_frame_at.get_or_insert(now);
        }
        if frames > waiting && !harness.is_complete && !harness.ring.is_starved {
            harness.ring.is_starved = true;
            harness.ring.underruns += 1;
        }
        harness.look();
    }

    /// Takes what was told, which has to make sense, and what was ordered.
    fn listen(&mut self) {
        for action in std::mem::take(&mut self.harness.done) {
            match action {
                DeckAction::Ring(RingOrder::Drop) => {
                    (self.has_begun, self.is_dry) = (false, false);
                }
                DeckAction::Tell(event) => self.hear(&event),
                _ => {}
            }
        }
    }

    fn hear(&mut self, event: &PlayerEvent) {
        let is_current = |play: &PlayId| Some(play.0) == self.current;
        match event {
            PlayerEvent::Started { play, .. } => {
                assert!(is_current(play) && !self.has_begun, "{event:?}");
                self.has_begun = true;
            }
            PlayerEvent::Underrun { play } => {
                assert!(is_current(play) && self.has_begun && !self.is_dry);
                self.is_dry = true;
            }
            PlayerEvent::Resumed { play } => {
                assert!(is_current(play) && self.is_dry, "{event:?}");
                self.is_dry = false;
            }
            PlayerEvent::Gap { play } => assert!(is_current(play) && self.has_begun),
            PlayerEvent::Crossed { from, to } => {
                assert!(is_current(from) && !self.is_dry, "{event:?}");
                assert_eq!(Some(to.0), self.next, "{event:?}");
                (self.current, self.next) = (self.next, None);
                // Where there is a gap, `Started` follows.
                let is_placed = |it: &&(JobId, u64, bool)| self.primed.contains(&it.0 .0);
                let jobs = &self.harness.jobs;
                let successor = jobs.iter().find(|it| it.1 == to.0);
                self.has_begun = successor.is_none_or(|job| is_placed(&job));
            }
            PlayerEvent::Ended { play } | PlayerEvent::Failed { play, .. } => {
                assert!(is_current(play) && !self.is_dry, "{event:?}");
                let is_last = self.next.is_none();
                self.current.take_if(|_| is_last);
            }
            _ => {}
        }
    }

    /// Everything goes well from now on.
    fn run_out(&mut self) {
        self.happen(Happening::Fault(false));
        self.happen(Happening::Pause(false));
        for _ in 0..40 {
            let of_current = true;
            self.happen(Happening::Hold {
                of_current,
                held: false,
            });
            self.happen(Happening::Decode { fails: false });
            self.happen(Happening::Pass(300));
            self.happen(Happening::Sound(3000));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What is told makes sense, no order goes astray, and once all goes well all is heard.
    #[test]
    fn whatever_happens_all_is_heard_in_the_end(
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let mut world = DeckWorld::new();
        for what in happenings {
            world.happen(what);
        }
        world.run_out();
        prop_assert_eq!((world.current, world.next), (None, None));
        prop_assert!(world.harness.deck.places().marks.is_empty());
    }
}
