//! The outputs that the table runs against.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::cards::FarEnd;
use super::STEP;
use crate::audio::deck::{RingLook, RingOrder};
use crate::audio::output::{choice::CD, Output, OutputStream};
use crate::audio::raw_clock::raw_now;
use crate::audio::ring::Feed;
use crate::audio::spec::OutputError;
use crate::sim::player::card::CardModel;

/// An open output, and what is heard of it.
pub trait OutputBench {
    /// Declares that new content comes.
    fn begin(&mut self);
    fn push(&mut self, frames: &[i16]);
    fn order(&mut self, order: RingOrder);
    fn set_gain(&mut self, gain: f32);
    fn start(&mut self);
    fn look(&mut self) -> RingLook;
    fn written(&self) -> u64;
    /// The number of the frame that is presented now.
    fn presented(&mut self) -> u64;
    /// All that the device got until now, silence too, if it keeps that.
    fn heard(&mut self) -> Option<Vec<i16>>;
    fn lost(&self) -> Option<OutputError>;
    /// Takes the device away, if that can be.
    fn unplug(&mut self) -> bool;
    /// Lets the device's buffer run empty once, if that can be.
    fn delay(&mut self) -> bool;
    /// Whether it has since.
    fn was_late(&self) -> bool;
    /// Waits a little.
    fn wait(&mut self);
    /// Whether it is closed within so long.
    fn close(self: Box<Self>, within: Duration) -> bool;
}

/// A real output, in real time.
pub struct RealLine {
    output: Output,
    line: OutputStream,
    feed: Feed,
    far_end: Option<FarEnd>,
}

impl RealLine {
    pub fn open(mut output: Output, far_end: Option<FarEnd>) -> Box<dyn OutputBench> {
        let shape = output.plan(CD).unwrap();
        assert_eq!((shape.rate, shape.channels), (CD.rate, CD.channels));
        let (line, feed) = output.open(shape, 1.0).unwrap();
        Box::new(Self {
            output,
            line,
            feed,
            far_end,
        })
    }
}

impl OutputBench for RealLine {
    fn begin(&mut self) {
        self.feed.begin(false);
        self.feed.state.expect_more();
    }

    fn push(&mut self, frames: &[i16]) {
        let sample = |frame: &i16| f32::from(*frame) / 32_768.0;
        let stereo = frames.iter().flat_map(|frame| [sample(frame); 2]);
        self.feed.push(&stereo.collect::<Vec<_>>());
    }

    fn order(&mut self, order: RingOrder) {
        self.line.state.obey(order);
    }

    fn set_gain(&mut self, gain: f32) {
        self.line.state.set_gain(gain);
    }

    fn start(&mut self) {
        self.line.start();
    }

    fn look(&mut self) -> RingLook {
        self.line.state.look()
    }

    fn written(&self) -> u64 {
        self.line.state.written()
    }

    fn presented(&mut self) -> u64 {
        self.line.state.heard(raw_now())
    }

    fn heard(&mut self) -> Option<Vec<i16>> {
        Some(self.far_end.as_ref()?.heard())
    }

    fn lost(&self) -> Option<OutputError> {
        self.line.lost()
    }

    fn unplug(&mut self) -> bool {
        self.far_end.as_ref().is_some_and(FarEnd::unplug)
    }

    fn delay(&mut self) -> bool {
        self.far_end.as_ref().is_some_and(FarEnd::delay)
    }

    fn was_late(&self) -> bool {
        self.far_end.as_ref().is_some_and(FarEnd::was_late)
    }

    fn wait(&mut self) {
        thread::sleep(STEP);
    }

    fn close(self: Box<Self>, within: Duration) -> bool {
        let Self {
            mut output,
            line,
            far_end,
            ..
        } = *self;
        let (sender, closed) = mpsc::channel();
        thread::spawn(move || {
            drop(output.close(line));
            sender.send(())
        });
        let is_closed = closed.recv_timeout(within).is_ok();
        drop(far_end);
        is_closed
    }
}

/// The simulation's card, in its time.
pub struct ModelLine {
    card: CardModel,
    now: Instant,
}

impl ModelLine {
    pub fn new() -> Self {
        let (card, _) = CardModel::open(CardModel::plan(CD), false);
        Self {
            card,
            now: Instant::now(),
        }
    }
}

impl OutputBench for ModelLine {
    fn begin(&mut self) {
        self.card.begin(true);
    }

    fn push(&mut self, frames: &[i16]) {
        self.card.push(frames.len() as u64);
        self.card.settle(self.now);
    }

    fn order(&mut self, order: RingOrder) {
        self.card.obey(order, self.now);
    }

    fn set_gain(&mut self, _: f32) {}

    fn start(&mut self) {
        self.card.start(self.now);
    }

    fn look(&mut self) -> RingLook {
        self.card.look()
    }

    fn written(&self) -> u64 {
        self.card.written()
    }

    fn presented(&mut self) -> u64 {
        self.card.look().read
    }

    fn heard(&mut self) -> Option<Vec<i16>> {
        None
    }

    fn lost(&self) -> Option<OutputError> {
        None
    }

    fn unplug(&mut self) -> bool {
        false
    }

    fn delay(&mut self) -> bool {
        false
    }

    fn was_late(&self) -> bool {
        false
    }

    fn wait(&mut self) {
        self.now += STEP;
        self.card.pass(self.now);
    }

    fn close(self: Box<Self>, _: Duration) -> bool {
        true
    }
}
