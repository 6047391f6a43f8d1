use std::{sync::Arc, time::Instant};

use proptest::prelude::*;

use super::*;
use crate::{
    catalog::Tags,
    id::PeerId,
    media::Container,
    playback::queue::{QueueItem, QueueItemInfo},
};

/// A transport with its queue, and what it has been told to do.
struct Bench {
    queue: Queue,
    transport: Transport,
}

impl Bench {
    fn new(tracks: u32) -> Self {
        let item = |n| {
            Arc::new(QueueItem {
                peer: PeerId([1; 32]),
                path: format!("{n}.flac"),
                track: None,
                info: QueueItemInfo {
                    owner: "kitchen".into(),
                    tags: Tags::default(),
                    duration: Duration::from_secs(60),
                    container: Some(Container::Flac),
                    rate: 44_100,
                    bits: Some(16),
                    channels: 2,
                    modified: 0,
                },
            })
        };
        let mut queue = Queue::new(1);
        queue.insert((1..=tracks).map(item), None).unwrap();
        Self {
            queue,
            transport: Transport::new(30, 80),
        }
    }

    fn play(&mut self) {
        self.transport.play(&mut self.queue, None).unwrap();
    }

    fn tell(&mut self, event: PlayerEvent) {
        self.transport.handle_player(&mut self.queue, event);
    }

    /// Everything but the notices of changes, in short.
    fn done(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        while let Some(action) = self.transport.poll() {
            done.push(match action {
                TransportAction::Changed(_) => continue,
                TransportAction::Start {
                    play,
                    item,
                    from,
                    paused,
                    ..
                } => {
                    let paused = if paused { " paused" } else { "" };
                    format!(
                        "start {} as {} from {}{paused}",
                        item.0,
                        play.0,
                        from.as_secs()
                    )
                }
                TransportAction::Prepare { play, item } => {
                    format!("prepare {} as {}", item.0, play.0)
                }
                TransportAction::Seek { play, to } => {
                    format!("seek {} to {}", play.0, to.as_secs())
                }
                TransportAction::Volume(volume) => format!("volume {volume}"),
                other => format!("{other:?}").to_lowercase(),
            });
        }
        done
    }

    /// Has `item` play for this cause.
    fn begin(&mut self, cause: Cause, item: u32) {
        let id = QueueId(item);
        match cause {
            Cause::Asked => self.transport.play(&mut self.queue, Some(id)).unwrap(),
            Cause::Follows => {
                let before = Some(QueueId(item - 1));
                self.transport.play(&mut self.queue, before).unwrap();
                self.transport.next(&mut self.queue);
            }
            Cause::Resumed => {
                self.queue.choose(id).unwrap();
                self.transport.resume(id, Duration::from_secs(9), false);
            }
        }
    }

    /// What was started since that was asked last, and why.
    fn started(&mut self) -> Vec<(u32, Cause)> {
        let actions = std::iter::from_fn(|| self.transport.poll());
        let started = actions.filter_map(|action| match action {
            TransportAction::Start { item, cause, .. } => Some((item.0, cause)),
            _ => None,
        });
        started.collect()
    }

    fn changes(&mut self) -> Vec<PlayerChange> {
        let actions = std::iter::from_fn(|| self.transport.poll());
        let change = |action| match action {
            TransportAction::Changed(change) => Some(change),
            _ => None,
        };
        actions.filter_map(change).collect()
    }
}

#[test]
fn tracks_follow_each_other_without_a_gap() {
    let mut bench = Bench::new(2);
    bench.play();
    assert_eq!(bench.done(), ["start 1 as 1 from 0"]);
    assert!(bench.transport.is_waiting());
    bench.tell(PlayerEvent::Started {
        play: PlayId(1),
        at: Instant::now(),
    });
    assert_eq!(bench.done(), ["prepare 2 as 2"]);
    bench.tell(PlayerEvent::Crossed {
        from: PlayId(1),
        to: PlayId(2),
    });
    assert_eq!(bench.done(), [] as [&str; 0]);
    assert_eq!(bench.queue.cursor(), Some(QueueId(2)));
    bench.tell(PlayerEvent::Ended { play: PlayId(2) });
    assert_eq!(bench.done(), ["stop"]);
    assert_eq!(bench.queue.cursor(), None);
}

#[test]
fn what_is_prepared_follows_the_queue_and_the_options() {
    let mut bench = Bench::new(3);
    bench.play();
    bench.tell(PlayerEvent::Started {
        play: PlayId(1),
        at: Instant::now(),
    });
    bench.done();
    bench.queue.remove(1..2).unwrap();
    bench.transport.handle_queue_changed(&mut bench.queue);
    assert_eq!(bench.done(), ["prepare 3 as 3"]);
    let single = Options {
        single: Single::On,
        ..Options::default()
    };
    bench.transport.set_options(&mut bench.queue, single);
    assert_eq!(bench.done(), ["clearnext"]);
}

#[test]
fn the_current_tracks_removal_plays_the_next_or_stops() {
    let mut bench = Bench::new(2);
    bench.play();
    bench.done();
    bench.queue.remove(0..1).unwrap();
    bench.transport.handle_queue_changed(&mut bench.queue);
    assert_eq!(bench.done(), ["start 2 as 2 from 0"]);
    bench.queue.clear();
    bench.transport.handle_queue_changed(&mut bench.queue);
    assert_eq!(bench.done(), ["stop"]);
}

#[test]
fn events_about_what_was_replaced_are_ignored() {
    let mut bench = Bench::new(2);
    bench.play();
    bench.transport.next(&mut bench.queue);
    bench.done();
    for event in [
        PlayerEvent::Started {
            play: PlayId(1),
            at: Instant::now(),
        },
        PlayerEvent::Ended { play: PlayId(1) },
        PlayerEvent::Failed {
            play: PlayId(1),
            why: "gone".into(),
        },
        PlayerEvent::Crossed {
            from: PlayId(1),
            to: PlayId(2),
        },
        PlayerEvent::Underrun { play: PlayId(1) },
    ] {
        bench.tell(event.clone());
        assert_eq!(bench.transport.poll(), None, "{event:?}");
    }
    assert_eq!(bench.transport.play_id(), Some(PlayId(2)));
}

#[test]
fn missing_tracks_are_skipped_but_not_for_ever() {
    let mut bench = Bench::new(1000);
    bench.play();
    let mut starts = 0;
    while let Some(play) = bench.transport.play_id() {
        starts += 1;
        bench.tell(PlayerEvent::Failed {
            play,
            why: "nobody has it".into(),
        });
    }
    assert_eq!(starts, MAX_FAILURES);
    assert_eq!(
        bench.transport.error(),
        Some("kitchen/20.flac: nobody has it")
    );
    bench.play();
    assert_eq!(bench.transport.error(), None);
}

#[test]
fn a_track_that_sounds_makes_good_for_those_that_failed() {
    let mut bench = Bench::new(1000);
    bench.play();
    for n in 0..10 * MAX_FAILURES {
        let play = bench.transport.play_id().expect("it goes on");
        match n % 2 {
            0 => bench.tell(PlayerEvent::Failed {
                play,
                why: "bad".into(),
            }),
            _ => {
                bench.tell(PlayerEvent::Started {
                    play,
                    at: Instant::now(),
                });
                bench.transport.next(&mut bench.queue);
            }
        }
    }
    assert_eq!(bench.transport.state(), PlayState::Play);
}

#[test]
fn a_next_track_that_fails_is_tried_again_when_its_turn_comes() {
    let mut bench = Bench::new(2);
    bench.play();
    bench.tell(PlayerEvent::Started {
        play: PlayId(1),
        at: Instant::now(),
    });
    bench.tell(PlayerEvent::Failed {
        play: PlayId(2),
        why: "bad".into(),
    });
    assert_eq!(bench.done(), ["start 1 as 1 from 0", "prepare 2 as 2"]);
    bench.tell(PlayerEvent::Ended { play: PlayId(1) });
    assert_eq!(bench.done(), ["start 2 as 3 from 0"]);
}

#[test]
fn seeking_counts_from_where_the_last_seek_went() {
    let mut bench = Bench::new(2);
    bench.play();
    bench.done();
    let ten = SeekTo::Forward(Duration::from_secs(10));
    let at = Some(Duration::from_secs(5));
    bench
        .transport
        .seek_current(&mut bench.queue, ten, at)
        .unwrap();
    bench
        .transport
        .seek_current(&mut bench.queue, ten, None)
        .unwrap();
    let far = SeekTo::Forward(Duration::MAX);
    bench
        .transport
        .seek_current(&mut bench.queue, far, None)
        .unwrap();
    assert_eq!(
        bench.done(),
        ["seek 1 to 15", "seek 1 to 25", "seek 1 to 60"]
    );
    bench.transport.pause(None);
    let to = Duration::from_secs(7);
    bench
        .transport
        .seek(&mut bench.queue, QueueId(2), to)
        .unwrap();
    assert_eq!(bench.done(), ["pause", "start 2 as 2 from 7 paused"]);
}

#[test]
fn oneshot_ends_with_its_track() {
    let mut bench = Bench::new(2);
    let single = Options {
        single: Single::OneShot,
        ..Options::default()
    };
    bench.transport.set_options(&mut bench.queue, single);
    bench.play();
    bench.tell(PlayerEvent::Started {
        play: PlayId(1),
        at: Instant::now(),
    });
    bench.tell(PlayerEvent::Ended { play: PlayId(1) });
    assert_eq!(bench.done(), ["start 1 as 1 from 0", "stop"]);
    assert_eq!(bench.queue.options().single, Single::Off);
    bench.play();
    assert_eq!(bench.done(), ["start 2 as 2 from 0"]);
}

#[test]
fn the_volume_has_its_limit_and_changes_are_told_once() {
    let mut bench = Bench::new(1);
    bench.transport.set_volume(100);
    bench.transport.set_volume(80);
    assert_eq!(bench.done(), ["volume 80"]);
    bench.play();
    bench.transport.pause(None);
    assert_eq!(bench.changes(), [PlayerChange::Player]);
}

#[derive(Clone, Debug)]
enum Op {
    Play(Option<usize>),
    Pause(Option<bool>),
    Stop,
    Next,
    Previous,
    Seek(usize),
    Remove(usize),
    Options(Options),
    /// An event about one of the last few starts.
    Event(u8, u64),
}

fn op() -> impl Strategy<Value = Op> {
    let options =
        (any::<[bool; 3]>(), 0..3usize).prop_map(|([random, repeat, consume], single)| {
            let single = [Single::Off, Single::On, Single::OneShot][single];
            Op::Options(Options {
                random,
                repeat,
                single,
                consume,
            })
        });
    prop_oneof![
        2 => prop::option::of(0..6usize).prop_map(Op::Play),
        1 => any::<Option<bool>>().prop_map(Op::Pause),
        1 => Just(Op::Stop),
        1 => Just(Op::Next),
        1 => Just(Op::Previous),
        1 => (0..6usize).prop_map(Op::Seek),
        1 => (0..6usize).prop_map(Op::Remove),
        1 => options,
        6 => (0..6u8, 0..3u64).prop_map(|(kind, back)| Op::Event(kind, back)),
    ]
}

fn perform(bench: &mut Bench, op: Op) {
    let Bench { queue, transport } = bench;
    let item = |queue: &Queue, at| queue.id_at(at).ok();
    match op {
        Op::Play(at) => {
            let item = at.and_then(|at| item(queue, at));
            _ = transport.play(queue, item);
        }
        Op::Pause(pause) => transport.pause(pause),
        Op::Stop => transport.stop(),
        Op::Next => transport.next(queue),
        Op::Previous => transport.previous(queue),
        Op::Seek(at) => {
            if let Some(item) = item(queue, at) {
                _ = transport.seek(queue, item, Duration::from_secs(1));
            }
        }
        Op::Remove(at) => {
            if queue.remove(at..at + 1).is_ok() {
                transport.handle_queue_changed(queue);
            }
        }
        Op::Options(options) => transport.set_options(queue, options),
        Op::Event(kind, back) => {
            let play = PlayId(transport.last_play.saturating_sub(back));
            let event = match kind {
                0 => PlayerEvent::Started {
                    play,
                    at: Instant::now(),
                },
                1 => PlayerEvent::Ended { play },
                2 => PlayerEvent::Failed {
                    play,
                    why: "bad".into(),
                },
                3 => PlayerEvent::Underrun { play },
                4 => PlayerEvent::Resumed { play },
                _ => PlayerEvent::Crossed {
                    from: PlayId(play.0.saturating_sub(1)),
                    to: play,
                },
            };
            transport.handle_player(queue, event);
        }
    }
}

proptest! {
    /// The performer of the actions knows what plays, and it is the cursor's.
    #[test]
    fn actions_tell_all_that_is_to_be_known(ops in prop::collection::vec(op(), 0..80)) {
        let mut bench = Bench::new(6);
        let (mut playing, mut prepared) = (None, None);
        for op in ops {
            if let Op::Event(5, _) = op {
                // A crossing is only ever told of what was prepared.
                if let (Some((from, _)), Some(next)) = (playing, prepared) {
                    let (to, _) = next;
                    bench.tell(PlayerEvent::Crossed { from, to });
                    prop_assert_eq!(bench.transport.play_id(), Some(to));
                    (playing, prepared) = (prepared, None);
                }
            } else {
                perform(&mut bench, op.clone());
            }
            while let Some(action) = bench.transport.poll() {
                match action {
                    TransportAction::Start { play, item, .. } => {
                        (playing, prepared) = (Some((play, item)), None);
                    }
                    TransportAction::Prepare { play, item } => {
                        prop_assert!(playing.is_some());
                        prepared = Some((play, item));
                    }
                    TransportAction::ClearNext => prepared = None,
                    TransportAction::Stop => (playing, prepared) = (None, None),
                    _ => {}
                }
            }
            let transport = &bench.transport;
            let now = transport.now.as_ref().map(|now| (now.play, now.item));
            prop_assert_eq!(now, playing, "{:?}", op);
            prop_assert_eq!(now.is_none(), transport.state == PlayState::Stop);
            let next = transport.next.as_ref().map(|next| (next.play, next.item));
            prop_assert_eq!(next, prepared, "{:?}", op);
            if let Some((_, item)) = now {
                prop_assert_eq!(bench.queue.cursor(), Some(item), "{:?}", op);
            }
            if let Some((_, item)) = next {
                prop_assert_eq!(bench.queue.successor(), Some(item), "{:?}", op);
            }
        }
    }
}

/// What is started after what plays, and why: by the cause of what plays, by whether it has
/// sounded, by what happens, and by whether another track is known to be able to play.
#[test]
fn what_follows_hangs_on_why_it_was_started_and_what_became_of_it() {
    use Cause::{Asked, Follows, Resumed};
    #[derive(Clone, Copy, Debug)]
    enum End {
        Fails,
        Ends,
        IsSkipped,
    }
    const NEXT: u32 = 3;
    const DETOUR: u32 = 4;
    let causes = [Asked, Follows, Resumed];
    for cause in causes {
        for has_sounded in [false, true] {
            for detour in [None, Some(DETOUR), Some(99)] {
                for end in [End::Fails, End::Ends, End::IsSkipped] {
                    let mut bench = Bench::new(4);
                    bench.begin(cause, 2);
                    let play = bench.transport.play_id().unwrap();
                    if has_sounded {
                        let at = Instant::now();
                        bench.tell(PlayerEvent::Started { play, at });
                    }
                    if let Some(detour) = detour {
                        bench.transport.set_detour(QueueId(detour));
                    }
                    bench.started();
                    match end {
                        End::Fails => bench.tell(PlayerEvent::Failed {
                            play,
                            why: "away".into(),
                        }),
                        End::Ends => bench.tell(PlayerEvent::Ended { play }),
                        End::IsSkipped => bench.transport.next(&mut bench.queue),
                    }
                    let expected = match (end, cause, has_sounded, detour) {
                        // Nobody has heard what was asked for: the next is as good.
                        (End::Fails, Asked, false, None) => (NEXT, Asked),
                        (End::Fails, _, _, Some(DETOUR)) => (DETOUR, Follows),
                        _ => (NEXT, Follows),
                    };
                    let what = format!("{cause:?}, {has_sounded}, {detour:?}, {end:?}");
                    assert_eq!(bench.started(), [expected], "{what}");
                    // A detour is for the track that it was set for.
                    let play = bench.transport.play_id().unwrap();
                    let why = "away".into();
                    bench.tell(PlayerEvent::Failed { play, why });
                    let expected = match expected {
                        (NEXT, cause) => vec![(4, cause)],
                        _ => vec![],
                    };
                    assert_eq!(bench.started(), expected, "after it, {what}");
                }
            }
        }
    }
}

/// A wait that is over is a pause, whatever it waited for; going on starts nothing anew.
#[test]
fn what_tires_is_paused_and_goes_on_where_it_was() {
    for cause in [Cause::Asked, Cause::Follows, Cause::Resumed] {
        let mut bench = Bench::new(4);
        bench.begin(cause, 2);
        let play = bench.transport.play_id();
        bench.transport.set_detour(QueueId(4));
        bench.started();
        bench.transport.tire("kitchen is away".into());
        assert_eq!(bench.transport.state(), PlayState::Pause, "{cause:?}");
        assert_eq!(bench.transport.error(), Some("kitchen is away"));
        bench.transport.pause(Some(false));
        assert_eq!((bench.started(), bench.transport.play_id()), (vec![], play));
        assert_eq!(bench.transport.state(), PlayState::Play);
    }
}
