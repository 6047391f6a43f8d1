//! The fifth law: what the device's thread does with every state of the ring.

use proptest::prelude::*;

use super::renderer::Rendered;
use super::*;

/// Frames a second: a ring of 400, ramps of 5, and 100 after an underrun.
const RATE: u32 = 1000;

/// A ring of one channel, at full gain.
fn mono() -> (Feed, Renderer) {
    ring(RATE, 1, 1.0)
}

/// Content of `count` frames of value `value` that sounds, without a fade.
fn sounding(feed: &mut Feed, value: f32, count: usize) -> u64 {
    let first = feed.begin(false);
    feed.state.expect_more();
    feed.push(&vec![value; count]);
    feed.state.release();
    first
}

/// What one call puts out, and what it says of it.
fn render(renderer: &mut Renderer, frames: usize) -> (Vec<f32>, Rendered) {
    let mut out = vec![9.0; frames];
    let rendered = renderer.render(&mut out);
    (out, rendered)
}

fn of(frames: usize, starved: bool) -> Rendered {
    Rendered { frames, starved }
}

#[test]
fn frames_come_out_as_they_went_in_and_are_counted() {
    let (mut feed, mut renderer) = ring(RATE, 2, 1.0);
    assert_eq!(feed.room(), 400);
    let samples: Vec<f32> = (0..20).map(|n| n as f32).collect();
    feed.begin(false);
    feed.push(&samples);
    let (out, rendered) = render(&mut renderer, 8);
    assert_eq!((out, rendered), (vec![0.0; 8], of(0, false)), "held");
    feed.state.release();
    assert_eq!(render(&mut renderer, 8).0, samples[..8]);
    assert_eq!(feed.state.first_frame_at(), None, "it is not known yet");
    assert_eq!((renderer.sent(), feed.state.heard(raw_now())), (8, 0));
    // The device has got 4 frames of silence, and begins them now.
    let now = raw_now();
    renderer.stamp(0, now);
    let heard = |ms: u64| feed.state.heard(RawTime(now.0 + ms * 1_000_000));
    assert_eq!([0, 4, 6, 8, 1000].map(heard), [0, 0, 2, 4, 4]);
    let first = feed.state.first_frame_at().expect("it is known");
    assert!(first > Instant::now() - Duration::from_secs(10));
    renderer.stamp(8, raw_now());
    assert_eq!(feed.state.heard(raw_now()), 4);
    assert_eq!((feed.state.written(), feed.state.read()), (10, 4));
    assert_eq!(feed.state.look().calls, 2);
    feed.push(&vec![1.0; 1000]);
    assert_eq!(feed.state.written(), 404, "what does not fit is lost");
}

#[test]
fn an_empty_ring_is_an_underrun_only_while_more_is_expected() {
    let (mut feed, mut renderer) = mono();
    sounding(&mut feed, 0.5, 4);
    let (out, rendered) = render(&mut renderer, 10);
    assert_eq!(rendered, of(4, true));
    assert_eq!(out, [vec![0.5; 4], vec![0.0; 6]].concat());
    assert!(feed.state.look().is_starved);
    // A little is not enough to go on with, unless it is the rest.
    feed.push(&[0.5; 99]);
    assert_eq!(render(&mut renderer, 10).1, of(0, true));
    feed.push(&[0.5; 1]);
    let (out, rendered) = render(&mut renderer, 10);
    assert_eq!(rendered, of(10, false));
    assert!(out[0] < 0.5 && out[9] == 0.5, "it fades in: {out:?}");

    feed.state.end_here();
    assert_eq!(render(&mut renderer, 200).1, of(90, false), "the end");
    assert!(!feed.state.look().is_starved);
    let (mut feed, mut renderer) = mono();
    sounding(&mut feed, 0.5, 1);
    render(&mut renderer, 10);
    feed.push(&[0.5; 2]);
    feed.state.end_here();
    assert_eq!(
        render(&mut renderer, 10).1,
        of(2, false),
        "the rest after an underrun"
    );
}

#[test]
fn what_lies_before_the_new_generation_is_faded_out_and_dropped() {
    let (mut feed, mut renderer) = mono();
    sounding(&mut feed, 1.0, 300);
    render(&mut renderer, 10);
    feed.state.drop_all();
    let (out, _) = render(&mut renderer, 10);
    let ramp = [0.8, 0.6, 0.4, 0.2, 0.0];
    for (sample, expected) in out.iter().zip(ramp.into_iter().chain([0.0; 5])) {
        assert!((sample - expected).abs() < 1e-5, "{out:?}");
    }
    assert_eq!(feed.state.read(), 300, "the rest is gone");
    assert_eq!(feed.room(), 400);

    let first = sounding(&mut feed, 0.25, 20);
    assert_eq!(first, 300);
    assert_eq!(render(&mut renderer, 5).0, [0.25; 5], "none of the old one");
    // Begun anew while it sounds, without silencing it before.
    feed.push(&[0.9; 20]);
    sounding(&mut feed, -0.5, 20);
    let (out, _) = render(&mut renderer, 20);
    let turn = out
        .iter()
        .position(|sample| *sample < 0.0)
        .expect("the new one");
    assert!(out[turn..].iter().all(|sample| *sample == -0.5), "{out:?}");
    assert!(turn <= 6, "at most a ramp of the old one: {out:?}");
}

#[test]
fn a_generation_that_begins_inside_a_track_fades_in() {
    let (mut feed, mut renderer) = mono();
    feed.begin(true);
    feed.state.expect_more();
    feed.push(&[1.0; 50]);
    feed.state.release();
    let (out, _) = render(&mut renderer, 10);
    assert!(
        (out[0] - 0.2).abs() < 1e-5 && out[5..] == [1.0; 5],
        "{out:?}"
    );
}

#[test]
fn what_follows_an_end_that_was_heard_waits_until_there_is_enough_of_it() {
    let (mut feed, mut renderer) = mono();
    sounding(&mut feed, 0.5, 10);
    feed.state.end_here();
    assert_eq!(feed.follow(), 10);
    feed.push(&[0.25; 10]);
    let (out, _) = render(&mut renderer, 20);
    let both = [[0.5; 10], [0.25; 10]].concat();
    assert_eq!(out, both, "without a gap, where it is in time");
    feed.state.end_here();
    assert_eq!(render(&mut renderer, 10).1, of(0, false), "heard");
    assert_eq!(feed.follow(), 20);
    feed.state.expect_more();
    feed.push(&[0.5; 99]);
    assert_eq!(render(&mut renderer, 10).1, of(0, true), "too little");
    feed.push(&[0.5; 1]);
    assert_eq!(render(&mut renderer, 10).1, of(10, false));
    assert_eq!(feed.state.look().underruns, 0, "nobody has heard one");
}

#[test]
fn a_pause_keeps_what_was_not_heard_and_is_no_underrun() {
    let (mut feed, mut renderer) = mono();
    let first = feed.begin(false);
    feed.state.expect_more();
    feed.push(&(0..40).map(|n| n as f32 + 1.0).collect::<Vec<_>>());
    feed.state.release();
    assert_eq!(first, 0);
    render(&mut renderer, 10);
    feed.state.set_paused(true);
    assert_eq!(render(&mut renderer, 10).1, of(5, false), "a ramp");
    for _ in 0..5 {
        assert_eq!(render(&mut renderer, 10).1, of(0, false));
    }
    assert_eq!(feed.state.read(), 15);
    feed.state.set_paused(false);
    let (out, rendered) = render(&mut renderer, 10);
    assert_eq!(rendered, of(10, false));
    assert_eq!(out[5..], [21.0, 22.0, 23.0, 24.0, 25.0], "at its place");

    // An empty ring that pauses does not starve.
    render(&mut renderer, 15);
    feed.state.set_paused(true);
    assert_eq!(render(&mut renderer, 10).1, of(0, false));
    assert!(!feed.state.look().is_starved);
}

#[test]
fn the_gain_moves_in_a_ramp_and_then_stands() {
    let (mut feed, mut renderer) = mono();
    sounding(&mut feed, 1.0, 60);
    render(&mut renderer, 10);
    feed.state.set_gain(0.5);
    let (out, _) = render(&mut renderer, 10);
    let steps = out.windows(2).map(|pair| pair[0] - pair[1]);
    assert!(
        steps
            .into_iter()
            .all(|step| (-1e-6..=0.2 + 1e-6).contains(&step)),
        "{out:?}"
    );
    assert_eq!(out[3..], [0.5; 7]);
    feed.state.set_gain(1.0);
    assert_eq!(render(&mut renderer, 10).0[3..], [1.0; 7], "to the bit");
}

#[test]
fn samples_of_16_and_24_bits_pass_exactly() {
    let dither = &mut Dither::new();
    for sample in [i16::MIN, -1, 0, 1, 12_345, i16::MAX] {
        let float = f32::from(sample) / 32_768.0;
        assert_eq!(i16::from_sample(float, dither), sample);
        assert_eq!(i32::from_sample(float, dither), i32::from(sample) << 16);
    }
    for sample in [-8_388_608, -1, 1, 8_388_607] {
        let float = sample as f32 / 8_388_608.0;
        assert_eq!(i32::from_sample(float, dither), sample << 8);
    }
    assert_eq!(i16::from_sample(2.0, dither), i16::MAX);
    assert_eq!(i32::from_sample(-2.0, dither), i32::MIN);
}

/// What plays on by itself after a power cut: loud after some seconds, and then exact.
#[test]
fn a_gentle_beginning_takes_its_time_once() {
    let (mut feed, mut renderer) = mono();
    feed.state.begin_gently();
    sounding(&mut feed, 0.5, 400);
    let mut heard = render(&mut renderer, 100).0;
    for _ in 0..40 {
        feed.push(&[0.5; 100]);
        heard.extend(render(&mut renderer, 100).0);
    }
    assert!(heard[0] < 0.001 && heard[1000] < 0.25, "{}", heard[1000]);
    assert!(
        heard.windows(2).all(|pair| pair[1] >= pair[0]),
        "it only grows"
    );
    let exact = heard.iter().position(|sample| *sample == 0.5).unwrap();
    assert!((2400..2600).contains(&exact), "{exact}");
    assert!(heard[exact..].iter().all(|sample| *sample == 0.5));
    // The next pause is as short as ever.
    feed.state.set_paused(true);
    render(&mut renderer, 100);
    feed.state.set_paused(false);
    let again = render(&mut renderer, 20).0;
    assert_eq!(again[10..], [0.5; 10]);
}

/// Nobody is startled by what was asked for.
#[test]
fn what_takes_the_place_of_a_gentle_beginning_is_as_loud_as_ever() {
    let (mut feed, mut renderer) = mono();
    feed.state.begin_gently();
    sounding(&mut feed, 0.5, 300);
    assert!(render(&mut renderer, 100).0[99] < 0.1);
    feed.state.drop_all();
    render(&mut renderer, 100);
    sounding(&mut feed, 0.5, 300);
    assert_eq!(render(&mut renderer, 100).0, [0.5; 100]);
}

/// When the first frame of a device is presented: frame n of it n milliseconds later.
const ORIGIN: u64 = 9_000_000_000;

/// Lets a device of periods of `period` frames render `frames` of them, and stamp each time the
/// one that is `behind` what it has got.
fn run(renderer: &mut Renderer, out: &mut Vec<f32>, period: usize, behind: u64, frames: usize) {
    while out.len() < frames {
        out.extend(render(renderer, period).0);
        let device = renderer.sent().saturating_sub(behind);
        renderer.stamp(device, RawTime(ORIGIN + device * 1_000_000));
    }
}

proptest! {
    /// The frame that a release names is presented at its moment, to the frame, and all others
    /// lie where they belong from it; one that comes too late begins in the midst, at its place.
    #[test]
    fn a_release_is_kept_to_the_frame(
        period in 1_usize..40,
        behind in 0_u64..80,
        before in 0_usize..100,
        frame in 0_usize..100,
        at in 0_u64..200,
        micros in -490_i64..490,
    ) {
        let (mut feed, mut renderer) = mono();
        let frames: Vec<f32> = (0..400).map(|n| (n + 1) as f32).collect();
        feed.begin(false);
        feed.state.expect_more();
        feed.push(&frames);
        let mut out = Vec::new();
        run(&mut renderer, &mut out, period, behind, before);
        let moment = ORIGIN + at * 1_000_000;
        let moment = moment.saturating_add_signed(micros * 1000);
        feed.state.release_at(RawTime(moment), frame as u64);
        let began = out.len() + if out.is_empty() { period } else { 0 };
        run(&mut renderer, &mut out, period, behind, 300);
        for (n, sample) in out.iter().enumerate() {
            let wanted = (n + frame).checked_sub(at as usize).filter(|i| *i >= frame);
            let wanted = wanted.filter(|_| n >= began);
            // The last ones come after the ring is empty.
            let wanted = wanted.map_or(0.0, |i| frames.get(i).copied().unwrap_or(0.0));
            prop_assert_eq!(*sample, wanted, "at {}", n);
        }
    }
}

#[test]
fn a_release_that_waits_is_no_underrun_and_gives_way() {
    let (mut feed, mut renderer) = mono();
    feed.begin(false);
    feed.state.expect_more();
    feed.push(&[0.5; 200]);
    let mut out = Vec::new();
    // Without a stamp nobody knows when.
    feed.state.release_at(RawTime(ORIGIN + 10_000_000), 0);
    assert_eq!(render(&mut renderer, 10).0, [0.0; 10]);
    run(&mut renderer, &mut out, 10, 0, 20);
    feed.state.hold();
    feed.state
        .release_at(RawTime(ORIGIN + 3_600_000_000_000), 150);
    out.clear();
    run(&mut renderer, &mut out, 10, 0, 50);
    assert_eq!(out[10..], [0.0; 40]);
    assert_eq!(feed.state.look().underruns, 0);
    feed.state.release();
    assert_ne!(render(&mut renderer, 10).0, [0.0; 10]);
}

#[test]
fn what_is_presented_never_goes_back_and_never_exceeds_what_was_written() {
    let (mut feed, mut renderer) = mono();
    let mut last = 0;
    render(&mut renderer, 30);
    for round in 0..60 {
        match round % 12 {
            0 => drop(sounding(&mut feed, 0.5, 100)),
            3 => feed.state.set_paused(true),
            5 => feed.state.set_paused(false),
            8 => feed.state.drop_all(),
            _ => feed.push(&[0.5; 20]),
        }
        render(&mut renderer, 15);
        let device = renderer.sent() - 30;
        renderer.stamp(device, RawTime(ORIGIN + device * 1_000_000));
        for ms in 0..15 {
            let heard = feed
                .state
                .heard(RawTime(ORIGIN + (device + ms) * 1_000_000));
            assert!(
                heard >= last && heard <= feed.state.written(),
                "{round} {ms}"
            );
            last = heard;
        }
    }
    assert!(last > 500, "{last}");
}
