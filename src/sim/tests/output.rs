//! What a node may expect of a player: one table, run against the real one on both outputs that
//! need no card, and against the simulation's.

mod bench;

use std::{
    ops::Range,
    panic::{catch_unwind, AssertUnwindSafe},
    sync::Mutex,
    thread,
    time::Duration,
};

use self::bench::{ModelBench, RealBench};
use crate::audio::OutputSpec;

/// What is told of plays. That a device was opened is the device's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Started(u64),
    Underrun(u64),
    Resumed(u64),
    Crossed(u64, u64),
    Ended(u64),
    Failed(u64),
}

use Heard::{Crossed, Ended, Failed, Resumed, Started, Underrun};

/// A track as it is loaded: noise of a length, of which a part in the midst may be late.
#[derive(Clone)]
struct Piece {
    length: Duration,
    from: Duration,
    held: bool,
    next: bool,
    /// As parts of 100 of its bytes.
    late: Range<u64>,
}

/// A player, and what it has told.
trait PlayerBench {
    fn load(&mut self, play: u64, piece: Piece);
    /// What is late of `play` is here, or never comes.
    fn arrive(&mut self, play: u64, comes: bool);
    fn pause(&mut self, paused: bool);
    fn hold(&mut self, play: u64, held: bool);
    fn seek(&mut self, play: u64, to: Duration);
    fn clear_next(&mut self);
    fn stop(&mut self);
    fn position(&mut self) -> Option<(u64, Duration)>;
    fn has_read(&mut self, play: u64) -> bool;
    fn heard(&self) -> &[Heard];
    /// Waits a little for something new.
    fn wait(&mut self);
}

impl dyn PlayerBench + '_ {
    fn until(&mut self, last: Heard) {
        self.until_so(|bench| bench.heard().last() == Some(&last), last);
    }

    /// Until `play` is what plays, with or without sound.
    fn until_at(&mut self, play: u64, at: Duration) {
        let is_there = |bench: &mut Self| bench.position() == Some((play, at));
        self.until_so(is_there, (play, at));
    }

    fn until_read(&mut self, play: u64) {
        self.until_so(|bench| bench.has_read(play), ("read", play));
    }

    fn until_so(&mut self, is_so: impl Fn(&mut Self) -> bool, what: impl std::fmt::Debug) {
        for _ in 0..PATIENCE {
            if is_so(self) {
                return;
            }
            self.wait();
        }
        panic!("{what:?} never came; heard: {:?}", self.heard());
    }
}

const fn piece(millis: u64) -> Piece {
    Piece {
        length: Duration::from_millis(millis),
        from: Duration::ZERO,
        held: false,
        next: false,
        late: 0..0,
    }
}

/// Short enough that the ring holds it, and the successor is decoded behind it.
const SHORT: Piece = piece(300);
/// Long enough to do something while it sounds.
const LONG: Piece = piece(1500);
const MOMENT: Duration = Duration::from_millis(100);

const fn next(piece: Piece) -> Piece {
    Piece {
        next: true,
        ..piece
    }
}

const fn held(piece: Piece) -> Piece {
    Piece {
        held: true,
        ..piece
    }
}

/// Enough of it is here for sound to begin.
const fn late(piece: Piece) -> Piece {
    Piece {
        late: 50..80,
        ..piece
    }
}

/// All of it is late.
const fn awaited(piece: Piece) -> Piece {
    Piece {
        late: 0..101,
        ..piece
    }
}

type Contract = (&'static str, fn(&mut dyn PlayerBench), &'static [Heard]);

const CONTRACTS: &[Contract] = &[
    (
        "a track is heard to its end",
        |player| {
            player.load(1, SHORT);
            player.until(Ended(1));
            assert_eq!(player.position(), None);
        },
        &[Started(1), Ended(1)],
    ),
    (
        "a successor follows without a gap, and another one it",
        |player| {
            player.load(1, SHORT);
            player.load(2, next(SHORT));
            player.until(Crossed(1, 2));
            player.load(3, next(SHORT));
            player.until(Ended(3));
        },
        &[Started(1), Crossed(1, 2), Crossed(2, 3), Ended(3)],
    ),
    (
        "what is loaded takes the place of what plays, and of its successor",
        |player| {
            player.load(1, LONG);
            player.load(2, next(SHORT));
            player.until(Started(1));
            player.load(3, SHORT);
            player.until(Ended(3));
        },
        &[Started(1), Started(3), Ended(3)],
    ),
    (
        "what is stopped has no end",
        |player| {
            player.load(1, LONG);
            player.load(2, next(SHORT));
            player.until(Started(1));
            player.stop();
            player.until_so(|player| player.position().is_none(), "silence");
            player.load(3, SHORT);
            player.until(Ended(3));
        },
        &[Started(1), Started(3), Ended(3)],
    ),
    (
        "bytes that are late are an underrun, and never the end",
        |player| {
            player.load(1, late(LONG));
            player.until(Underrun(1));
            player.arrive(1, true);
            player.until(Ended(1));
        },
        &[Started(1), Underrun(1), Resumed(1), Ended(1)],
    ),
    (
        "before the first sound nothing is an underrun",
        |player| {
            player.load(1, awaited(SHORT));
            player.until_read(1);
            player.until_at(1, Duration::ZERO);
            player.arrive(1, true);
            player.until(Ended(1));
        },
        &[Started(1), Ended(1)],
    ),
    (
        "bytes that never come are a failure once the rest is heard",
        |player| {
            player.load(1, held(late(LONG)));
            player.arrive(1, false);
            player.hold(1, false);
            player.until(Failed(1));
        },
        &[Started(1), Failed(1)],
    ),
    (
        "and so they are where they were awaited",
        |player| {
            player.load(1, late(LONG));
            player.until(Underrun(1));
            player.arrive(1, false);
            player.until(Failed(1));
        },
        &[Started(1), Underrun(1), Resumed(1), Failed(1)],
    ),
    (
        "what has no sound at all fails, and its successor begins",
        |player| {
            player.load(1, awaited(SHORT));
            player.load(2, next(SHORT));
            player.arrive(1, false);
            player.until(Ended(2));
        },
        &[Failed(1), Crossed(1, 2), Started(2), Ended(2)],
    ),
    (
        "the successor of what fails follows what was heard of it",
        |player| {
            player.load(1, held(late(SHORT)));
            player.load(2, next(SHORT));
            player.arrive(1, false);
            player.until_read(2);
            player.hold(1, false);
            player.until(Ended(2));
        },
        &[Started(1), Failed(1), Crossed(1, 2), Ended(2)],
    ),
    (
        "nothing sounds during a pause, and what is loaded then begins after it",
        |player| {
            player.pause(true);
            player.load(1, SHORT);
            player.until_at(1, Duration::ZERO);
            assert_eq!(player.heard(), []);
            player.pause(false);
            player.until(Ended(1));
        },
        &[Started(1), Ended(1)],
    ),
    (
        "a pause keeps the place",
        |player| {
            player.load(1, LONG);
            player.until(Started(1));
            player.pause(true);
            player.pause(false);
            player.until(Ended(1));
        },
        &[Started(1), Ended(1)],
    ),
    (
        "what is held makes no sound before it may",
        |player| {
            player.load(1, held(SHORT));
            player.load(2, next(held(SHORT)));
            player.until_read(2);
            assert_eq!(player.heard(), []);
            player.hold(1, false);
            player.until(Ended(2));
        },
        &[Started(1), Crossed(1, 2), Ended(2)],
    ),
    (
        "only what has run dry can be held back",
        |player| {
            player.load(1, SHORT);
            player.until(Started(1));
            player.hold(1, true);
            player.until(Ended(1));
        },
        &[Started(1), Ended(1)],
    ),
    (
        "what has run dry can be, and goes on when it may",
        |player| {
            player.load(1, late(LONG));
            player.until(Underrun(1));
            player.hold(1, true);
            player.arrive(1, true);
            player.hold(2, false);
            player.hold(1, false);
            player.until(Ended(1));
        },
        &[Started(1), Underrun(1), Resumed(1), Ended(1)],
    ),
    (
        "after a seek sound begins anew",
        |player| {
            player.load(1, LONG);
            player.until(Started(1));
            player.seek(1, LONG.length - MOMENT);
            player.until(Ended(1));
        },
        &[Started(1), Started(1), Ended(1)],
    ),
    (
        "a seek out of an underrun ends it",
        |player| {
            player.load(1, late(LONG));
            player.until(Underrun(1));
            player.seek(1, LONG.length - MOMENT);
            player.until(Ended(1));
        },
        &[Started(1), Underrun(1), Started(1), Ended(1)],
    ),
    (
        "a seek holds for what is loaded later, and for nothing else",
        |player| {
            player.pause(true);
            player.seek(2, MOMENT);
            player.load(1, SHORT);
            player.until_at(1, Duration::ZERO);
            player.load(2, SHORT);
            player.until_at(2, MOMENT);
            player.pause(false);
            player.until(Ended(2));
        },
        &[Started(2), Ended(2)],
    ),
    (
        "the successor outlives a seek, decoded or not",
        |player| {
            player.load(1, held(SHORT));
            player.load(2, next(SHORT));
            player.until_read(2);
            player.seek(1, MOMENT);
            player.hold(1, false);
            player.until(Ended(2));
        },
        &[Started(1), Crossed(1, 2), Ended(2)],
    ),
    (
        "a track begins where it is to",
        |player| {
            player.pause(true);
            let from = Duration::from_millis(200);
            player.load(1, Piece { from, ..SHORT });
            player.until_at(1, from);
            player.pause(false);
            player.until(Ended(1));
        },
        &[Started(1), Ended(1)],
    ),
    (
        "behind the end there is no sound",
        |player| {
            player.load(1, held(SHORT));
            player.load(2, next(SHORT));
            player.seek(1, SHORT.length * 2);
            player.hold(1, false);
            player.until(Ended(2));
        },
        &[Crossed(1, 2), Started(2), Ended(2)],
    ),
    (
        "a successor that is forgotten does not follow, decoded or not",
        |player| {
            player.load(1, held(SHORT));
            player.load(2, next(SHORT));
            player.until_read(2);
            player.clear_next();
            player.hold(1, false);
            player.until(Ended(1));
            player.load(3, LONG);
            player.load(4, next(SHORT));
            player.clear_next();
            player.until(Ended(3));
        },
        &[Started(1), Ended(1), Started(3), Ended(3)],
    ),
    (
        "of two successors the later one follows, decoded or not",
        |player| {
            player.load(1, held(SHORT));
            player.load(2, next(SHORT));
            player.until_read(2);
            player.load(3, next(SHORT));
            player.hold(1, false);
            player.until(Ended(3));
        },
        &[Started(1), Crossed(1, 3), Ended(3)],
    ),
    (
        "a successor that is late is waited for",
        |player| {
            player.load(1, SHORT);
            player.load(2, next(awaited(SHORT)));
            player.until(Crossed(1, 2));
            player.arrive(2, true);
            player.until(Ended(2));
        },
        &[Started(1), Crossed(1, 2), Started(2), Ended(2)],
    ),
    (
        "and is no underrun where more was expected before",
        |player| {
            player.load(1, LONG);
            player.load(2, next(awaited(SHORT)));
            player.until(Crossed(1, 2));
            player.arrive(2, true);
            player.until(Ended(2));
        },
        &[Started(1), Crossed(1, 2), Started(2), Ended(2)],
    ),
];

#[test]
fn every_player_keeps_the_contract() {
    type Make = fn() -> Box<dyn PlayerBench>;
    let players: [(&str, Make); 3] = [
        ("the simulation's", || Box::new(ModelBench::new())),
        ("the real one, nowhere", || {
            Box::new(RealBench::new(|_| OutputSpec::Null))
        }),
        ("the real one, a file", || {
            Box::new(RealBench::new(|dir| OutputSpec::Wav(dir.join("out.wav"))))
        }),
    ];
    let broken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (name, contract, expected) in CONTRACTS {
            let broken = &broken;
            scope.spawn(move || {
                for (which, make) in players {
                    let mut player = make();
                    let held = catch_unwind(AssertUnwindSafe(|| contract(&mut *player)));
                    let heard = player.heard();
                    if held.is_err() || heard != *expected {
                        let what = format!("{which}: {name}: {heard:?}");
                        broken.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    assert_eq!(broken.into_inner().unwrap(), [] as [String; 0]);
}

/// How often is looked, and how many times: many times as long as the longest piece.
const STEP: Duration = Duration::from_millis(5);
const PATIENCE: usize = 4000;
