//! The deck by itself: tables of what it does, and what holds whatever happens to it.

mod harness;
mod properties;

use self::harness::{track, DeckHarness, MOMENT, RATE};
use super::*;

/// What happens to a deck, and what it does of that.
type Row = (&'static str, fn(&mut DeckHarness), &'static [&'static str]);

const ROWS: &[Row] = &[
    (
        "the device is opened while the decoder is, and sound begins when enough of it waits",
        |deck| {
            deck.load(track(1));
            deck.opened(1, RATE);
            deck.primed(1, 0);
            deck.play_to(10);
        },
        &[
            "decode 1 from 0",
            "plan 44100",
            "open 44100",
            "tell open",
            "plan 44100",
            "permit",
            "Release",
            "start",
            "tell started 1",
        ],
    ),
    (
        "a device is opened for sound, not for a pause",
        |deck| {
            deck.tell(|deck, now| deck.handle_pause(true, now));
            deck.load(track(1));
            deck.opened(1, RATE);
            deck.tell(|deck, now| deck.handle_pause(false, now));
        },
        &[
            "decode 1 from 0",
            "plan 44100",
            "open 44100",
            "tell open",
            "permit",
        ],
    ),
    (
        "a rate that the device lacks is said to be interpolated",
        |deck| {
            deck.only_rate = Some(48_000);
            deck.load(track(1));
            deck.opened(1, RATE);
        },
        &[
            "decode 1 from 0",
            "plan 44100",
            "open 48000",
            "tell open, resampled",
            "plan 44100",
            "permit",
        ],
    ),
    (
        "where the catalogue was wrong, the device is opened anew",
        |deck| {
            deck.load(track(1));
            deck.opened(1, 96_000);
        },
        &[
            "decode 1 from 0",
            "plan 44100",
            "open 44100",
            "tell open",
            "plan 96000",
            "close",
            "open 96000",
            "tell open",
            "permit",
        ],
    ),
    (
        "a successor of the same shape goes on in the ring",
        |deck| {
            deck.sounds(1);
            deck.next(track(2));
            deck.finished(1, 1000);
            deck.opened(2, RATE);
            deck.primed(2, 1000);
            deck.finished(2, 2000);
            deck.play_to(1500);
        },
        &[
            "decode 2 from 0 behind",
            "plan 44100",
            "permit",
            "End",
            "tell crossed 1 2",
            "End",
        ],
    ),
    (
        "one of another shape waits until the one before was heard",
        |deck| {
            deck.sounds(1);
            deck.next(track(2));
            deck.finished(1, 1000);
            deck.opened(2, 96_000);
            deck.play_to(999);
            deck.play_to(1000);
        },
        &[
            "decode 2 from 0 behind",
            "plan 96000",
            "tell crossed 1 2",
            "plan 96000",
            "close",
            "open 96000",
            "tell open",
            "permit",
        ],
    ),
    (
        "a third one waits until the first was heard",
        |deck| {
            deck.sounds(1);
            deck.next(track(2));
            deck.finished(1, 1000);
            deck.opened(2, RATE);
            deck.primed(2, 1000);
            deck.finished(2, 2000);
            deck.next(track(3));
            deck.done.clear();
            deck.next(track(4));
            deck.play_to(1000);
        },
        &[],
    ),
    (
        "a seek begins anew, and a successor that was decoded is so again",
        |deck| {
            deck.sounds(1);
            deck.next(track(2));
            deck.finished(1, 1000);
            deck.done.clear();
            deck.tell(|deck, now| deck.handle_seek(PlayId(1), MOMENT, now));
            let at = deck.deck.position();
            assert_eq!(at, Some((PlayId(1), MOMENT)));
            deck.opened(1, RATE);
            deck.finished(1, 1200);
        },
        &[
            "Drop",
            "cancel",
            "cancel",
            "decode 1 from 100",
            "plan 44100",
            "permit",
            "decode 2 from 0 behind",
        ],
    ),
    (
        "what was crossed before an order is known to it",
        |deck| {
            deck.sounds(1);
            deck.next(track(2));
            deck.finished(1, 1000);
            deck.opened(2, RATE);
            deck.primed(2, 1000);
            deck.finished(2, 99_999);
            deck.done.clear();
            deck.ring.read = 1000 + u64::from(RATE);
            deck.tell(|deck, now| deck.handle_next(Some(track(3)), now));
            let at = deck.deck.position();
            assert_eq!(at, Some((PlayId(2), Duration::from_secs(1))));
        },
        &["tell crossed 1 2", "End", "decode 3 from 0 behind"],
    ),
    (
        "only what has run dry can be held, and goes on when it may",
        |deck| {
            deck.sounds(1);
            deck.tell(|deck, now| deck.handle_hold(PlayId(1), true, now));
            deck.starve(true);
            deck.tell(|deck, now| deck.handle_hold(PlayId(1), true, now));
            deck.tell(|deck, now| deck.handle_hold(PlayId(7), false, now));
            deck.tell(|deck, now| deck.handle_hold(PlayId(1), false, now));
            deck.starve(false);
        },
        &["tell underrun 1", "Hold", "Release", "tell resumed 1"],
    ),
    (
        "underruns that are over before the look are gaps",
        |deck| {
            deck.sounds(1);
            deck.ring.underruns = 2;
            deck.look();
            deck.look();
        },
        &["tell gap 1", "tell gap 1"],
    ),
    (
        "a successor that is late has not run dry",
        |deck| {
            deck.sounds(1);
            deck.next(track(2));
            deck.finished(1, 1000);
            deck.done.clear();
            deck.ring.read = 1000;
            deck.starve(true);
            deck.opened(2, RATE);
            deck.primed(2, 1000);
            deck.starve(false);
            deck.play_to(1100);
            deck.starve(true);
        },
        &[
            "tell crossed 1 2",
            "plan 44100",
            "permit",
            "Release",
            "tell started 2",
            "tell underrun 2",
        ],
    ),
    (
        "an underrun ends where the track does",
        |deck| {
            deck.sounds(1);
            deck.ring.read = 500;
            deck.starve(true);
            let lost = DecodeEnd::Failed("lost".into());
            deck.report(Report::Finished(deck.job(1), lost, 500));
        },
        &["tell underrun 1", "End", "tell resumed 1", "tell failed 1"],
    ),
    (
        "a device that nobody needs is closed, and the place is kept",
        |deck| {
            deck.sounds(1);
            deck.play_to(4410);
            deck.tell(|deck, now| deck.handle_pause(true, now));
            deck.pass(IDLE_CLOSE);
            assert_eq!(deck.deck.position(), Some((PlayId(1), MOMENT)));
            deck.opened(1, RATE);
            deck.tell(|deck, now| deck.handle_pause(false, now));
        },
        &[
            "Pause(true)",
            "Drop",
            "cancel",
            "decode 1 from 100",
            "close",
            "plan 44100",
            "open 44100",
            "tell open",
            "permit",
        ],
    ),
    (
        "a device that is lost is tried until it is back, and sound goes on from there",
        |deck| {
            deck.sounds(1);
            deck.play_to(4410);
            deck.fault = Some("unplugged");
            let gone = deck.error().unwrap();
            deck.tell(|deck, now| deck.handle_lost(&gone, now));
            deck.opened(1, RATE);
            deck.pass(Duration::from_millis(800));
            deck.fault = None;
            deck.pass(Duration::from_secs(1));
            deck.primed(1, 0);
            deck.play_to(10);
        },
        &[
            "Drop",
            "cancel",
            "decode 1 from 100",
            "close, lost",
            "tell lost",
            "plan 44100",
            "plan 44100",
            "plan 44100",
            "open 44100",
            "tell open",
            "permit",
            "Release",
            "start",
            "tell started 1",
        ],
    ),
    (
        "one that opens and fails at once is tried ever later, and that is told once",
        |deck| {
            deck.sounds(1);
            let opened = |deck: &DeckHarness| deck.done.iter().filter(is_open).count();
            let full = OutputError::Full {
                name: "file".into(),
            };
            for opens in 1..=4 {
                deck.tell(|deck, now| deck.handle_lost(&full, now));
                deck.opened(1, RATE);
                deck.pass(Duration::from_secs(4));
                assert_eq!(opened(deck), opens);
                deck.primed(1, 0);
            }
            deck.done.retain(is_told);
            deck.now += Duration::from_secs(3);
            deck.play_to(10);
        },
        &[
            "tell lost",
            "tell open",
            "tell lost",
            "tell started 1",
            "tell open",
        ],
    ),
    (
        "one that is lost while nothing plays is looked for, too",
        |deck| {
            deck.sounds(1);
            deck.tell(Deck::handle_stop);
            deck.fault = Some("unplugged");
            let gone = deck.error().unwrap();
            deck.tell(|deck, now| deck.handle_lost(&gone, now));
            deck.pass(Duration::from_millis(300));
            deck.fault = None;
            deck.pass(Duration::from_secs(1));
        },
        &[
            "Drop",
            "cancel",
            "End",
            "close, lost",
            "tell lost",
            "find",
            "find",
            "tell back",
        ],
    ),
    (
        "one that fails while the track before it sounds is not tried before that was heard",
        |deck| {
            deck.sounds(1);
            deck.next(track(2));
            deck.finished(1, 1000);
            deck.done.clear();
            deck.fault = Some("busy");
            deck.opened(2, 96_000);
            deck.fault = None;
            deck.pass(Duration::from_secs(1));
            deck.pass(Duration::from_secs(1));
        },
        &["plan 96000", "tell lost", "plan 96000"],
    ),
    (
        "one that is open, and was lost and found in a pause, is filled after it",
        |deck| {
            deck.load(track(1));
            deck.tell(|deck, now| deck.handle_pause(true, now));
            deck.done.clear();
            deck.fault = Some("busy");
            deck.opened(1, RATE);
            deck.fault = None;
            deck.pass(Duration::from_secs(1));
            deck.tell(|deck, now| deck.handle_pause(false, now));
        },
        &[
            "plan 44100",
            "tell lost",
            "find",
            "tell back",
            "Pause(false)",
            "plan 44100",
            "permit",
        ],
    ),
    (
        "one that takes no more sound is lost",
        |deck| {
            deck.sounds(1);
            for _ in 0..50 {
                deck.now += WATCH;
                deck.look();
            }
        },
        &[
            "Drop",
            "cancel",
            "decode 1 from 0",
            "close, lost",
            "tell lost",
        ],
    ),
];

fn is_open(action: &&DeckAction<u64>) -> bool {
    matches!(action, DeckAction::Open { .. })
}

fn is_told(action: &DeckAction<u64>) -> bool {
    matches!(action, DeckAction::Tell(_))
}

#[test]
fn each_thing_that_happens_has_its_consequences() {
    let mut broken = Vec::new();
    for (name, happens, expected) in ROWS {
        let mut deck = DeckHarness::new();
        happens(&mut deck);
        let did = deck.did();
        if did != *expected {
            broken.push(format!("{name}: {did:?}"));
        }
    }
    assert_eq!(broken, [] as [String; 0]);
}
