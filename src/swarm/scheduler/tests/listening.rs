//! Somebody listens: a reader goes through the track at its rate, and must never have to
//! wait once it has begun.

use super::*;

/// Bytes a second of the track: half a minute of it.
const BITRATE: u64 = SIZE / 30;

/// How a listener fared.
#[derive(Debug, Default)]
struct Heard {
    /// How often, and at which byte, the reader had to wait.
    waits: Vec<u64>,
    /// When it began for the first time.
    begun: Option<Duration>,
    end: bool,
}

/// Reads the track at its rate, and says where it stands at every step of it.
fn listen(world: &mut World) -> Heard {
    let mut heard = Heard::default();
    let mut at = 0;
    let mut begun = false;
    let mut due = world.now;
    world.scheduler.handle_held(true, world.now);
    for _ in 0..1_000_000 {
        poll(world);
        let ahead = world.scheduler.have().first_missing(Group::of(at)).start();
        if at >= SIZE {
            heard.end = true;
            return heard;
        }
        if !begun {
            begun = ahead > at && world.scheduler.start_buffer(world.now).is_none();
            due = world.now;
            if begun {
                world.scheduler.handle_held(false, world.now);
                heard.begun.get_or_insert(world.now - world.start);
            }
        } else if world.now >= due {
            if ahead <= at {
                heard.waits.push(at);
                world.scheduler.handle_demand(at, world.now);
                begun = world.scheduler.start_buffer(world.now).is_none();
                world.scheduler.handle_held(!begun, world.now);
                if !begun {
                    continue;
                }
            }
            world.scheduler.handle_demand(at, world.now);
            at += STEP;
            due += Duration::from_micros(STEP * 1_000_000 / BITRATE);
            continue;
        }
        step(world, begun.then_some(due));
    }
    heard
}

fn poll(world: &mut World) {
    while let Some(action) = world.poll() {
        match action {
            FetchAction::Fetch {
                req,
                source,
                groups,
                class,
                renew,
            } => world.fetch(req, source, groups, class, renew),
            FetchAction::Cancel { req } => world.cancel(req),
            FetchAction::Complete | FetchAction::Forget { .. } => {}
            FetchAction::Stuck { why } => panic!("stuck: {why:?}"),
        }
    }
}

/// To the next event, or until the reader is due.
fn step(world: &mut World, due: Option<Instant>) {
    let timer = world.scheduler.poll_timeout();
    let event = world.events.first_key_value().map(|((at, _), _)| *at);
    let next = [timer, event, due].into_iter().flatten().min();
    let next = next.expect("it waits for nothing");
    world.now = world.now.max(next);
    if event == Some(next) {
        let (_, event) = world.events.pop_first().unwrap();
        world.deliver(event);
    }
}

/// What the reader takes at once.
const STEP: u64 = GROUP_BYTES / 4;

fn remote(share: u64, ms: u64) -> Remote {
    Remote {
        manner: Manner::Good,
        latency: Duration::from_millis(ms),
        rate: BITRATE * share / 100,
    }
}

fn with_bitrate(remotes: Vec<Remote>, seed: u64) -> World {
    let mut world = World::new(remotes, seed);
    world.scheduler.handle_bitrate(BITRATE);
    world
}

/// The same cases in every run, as `sim` does it: `P2PMUSIC_SEED` gives others.
fn repeatable() -> ProptestConfig {
    let seed = std::env::var("P2PMUSIC_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    ProptestConfig {
        cases: 32,
        rng_seed: proptest::test_runner::RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(repeatable())]

    /// However the rates are spread over the sources.
    #[test]
    fn sources_that_are_a_fifth_faster_together_never_starve_it(
        shares in proptest::collection::vec((15u64..150, 1u64..200), 1..6), seed: u64
    ) {
        let sum: u64 = shares.iter().map(|(share, _)| share).sum();
        let missing = 120u64.saturating_sub(sum);
        let mut remotes: Vec<_> = shares.iter().map(|(share, ms)| remote(*share, *ms)).collect();
        if missing > 0 {
            remotes.push(remote(missing.max(15), 20));
        }
        let heard = listen(&mut with_bitrate(remotes.clone(), seed));
        prop_assert!(heard.end && heard.waits.is_empty(), "{heard:?} of {remotes:?}");
    }

    /// One of them dies without a word, and nobody notices.
    #[test]
    fn a_death_is_not_heard_when_another_has_it(
        share in 150u64..5000, ms in 1u64..100, dies in 0u64..20_000,
        other in 150u64..5000, other_ms in 1u64..100, seed: u64
    ) {
        let dead = Remote { manner: Manner::FallsSilentAt(Duration::from_millis(dies)), ..remote(share, ms) };
        let heard = listen(&mut with_bitrate(vec![dead, remote(other, other_ms)], seed));
        let in_its_first_second = dies < 1_000;
        prop_assert!(heard.end && heard.waits.len() <= usize::from(in_its_first_second), "{heard:?}");
    }
}

/// A first group that is long on its way is no reason to believe in its source; one that is
/// nearly here is none to ask elsewhere; and a second slice that begins is no news of the
/// first.
#[test]
fn those_who_starved_it_once_do_not() {
    let once: [(u64, &[(u64, u64)]); 8] = [
        (240, &[(114, 15), (15, 20)]),
        (1288, &[(120, 159), (84, 153), (15, 69)]),
        (972, &[(48, 56), (20, 177), (52, 20)]),
        (140, &[(18, 68), (54, 156), (48, 20)]),
        (44, &[(140, 40), (21, 48)]),
        (59, &[(109, 6), (15, 20)]),
        (4488, &[(97, 175), (23, 20)]),
        (5043, &[(85, 176), (133, 196), (61, 11), (29, 159)]),
    ];
    for (seed, shares) in once {
        let remotes = shares.iter().map(|(share, ms)| remote(*share, *ms));
        let heard = listen(&mut with_bitrate(remotes.collect(), seed));
        assert!(
            heard.end && heard.waits.is_empty(),
            "{heard:?} of {shares:?}"
        );
    }
}

#[test]
fn without_faults_hardly_anything_comes_twice() {
    for (shares, seed) in [([40, 40, 60], 1), ([20, 30, 90], 2), ([300, 40, 40], 3)] {
        let mut world = with_bitrate(shares.map(|share| remote(share, 20)).into(), seed);
        assert!(listen(&mut world).end);
        let wasted = world.wasted;
        assert!(wasted * 50 <= group_count(SIZE), "{wasted} with {shares:?}");
    }
}
