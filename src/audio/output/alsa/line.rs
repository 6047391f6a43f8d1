//! An open card: a thread that keeps its buffer filled.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use alsa::pcm::{State, Status, IO, PCM};
use alsa::poll::{self, pollfd, Descriptors as _, Flags};
use alsa::Error;
use nix::libc;
use nix::sys::eventfd::EventFd;
use std::os::fd::AsRawFd as _;

use super::fault::{fault, in_words, CardFault};
use super::setup::{CardFormat, CardSetup};
use crate::audio::alsa_silence::silence_alsa_on_this_thread;
use crate::audio::output::CardLine;
use crate::audio::raw_clock::raw_now;
use crate::audio::raw_time::RawTime;
use crate::audio::ring::{Pcm, Renderer};
use crate::audio::spec::SampleShape;

/// An open card.
pub struct AlsaLine {
    filled: usize,
    post: Arc<LinePost>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread of an open card is told, and what it tells.
struct LinePost {
    runs: AtomicBool,
    ends: AtomicBool,
    /// Wakes it, so that it ends.
    bell: EventFd,
    /// Why the card is lost, once it is.
    lost: OnceLock<String>,
}

impl AlsaLine {
    /// Starts the thread of a card that is set up.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(
        pcm: PCM,
        setup: CardSetup,
        shape: SampleShape,
        renderer: Renderer,
    ) -> std::io::Result<Self> {
        let post = Arc::new(LinePost {
            runs: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            bell: EventFd::new()?,
            lost: OnceLock::new(),
        });
        let filled = setup.filled;
        let told = post.clone();
        let thread = thread::Builder::new()
            .name("card".into())
            .spawn(move || keep_filled(pcm, setup, shape, renderer, &told))?;
        Ok(Self {
            filled,
            post,
            thread: Some(thread),
        })
    }
}

impl CardLine for AlsaLine {
    fn start(&mut self) {
        self.post.runs.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    fn buffer_frames(&self) -> usize {
        self.filled
    }

    fn lost(&self) -> Option<String> {
        self.post.lost.get().cloned()
    }
}

impl Drop for AlsaLine {
    /// Waits for the closing of the card, which may take for ever.
    fn drop(&mut self) {
        self.post.ends.store(true, Ordering::Release);
        // It is full at most, and rings then.
        let _ = self.post.bell.write(1);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the thread has been reported by its hook already.
            let _ = thread.join();
        }
    }
}

impl LinePost {
    fn ends(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }

    fn lose(&self, why: String) {
        // What comes after the first is not news.
        let _ = self.lost.set(why);
    }
}

/// How samples become what a card takes.
struct Coding<T, U: Copy> {
    /// The card's end for them.
    io: for<'a> fn(&'a PCM) -> alsa::Result<IO<'a, U>>,
    /// Brings samples to their place in what the card takes, once.
    place: fn(&mut [T]),
    units: fn(&[T]) -> &[U],
}

/// The thread of an open card.
fn keep_filled(
    pcm: PCM,
    setup: CardSetup,
    shape: SampleShape,
    renderer: Renderer,
    post: &LinePost,
) {
    silence_alsa_on_this_thread();
    while !post.runs.load(Ordering::Acquire) {
        if post.ends() {
            return;
        }
        thread::park();
    }
    let done = match setup.format {
        CardFormat::S32 => {
            let coding = Coding::<i32, i32> {
                io: PCM::io_i32,
                place: |_| {},
                units: |samples| samples,
            };
            Filler::run(&pcm, setup, shape, renderer, post, &coding)
        }
        CardFormat::S24 => {
            let coding = Coding::<i32, i32> {
                io: PCM::io_i32_s24,
                place: |samples| samples.iter_mut().for_each(|sample| *sample >>= 8),
                units: |samples| samples,
            };
            Filler::run(&pcm, setup, shape, renderer, post, &coding)
        }
        CardFormat::S24Packed => {
            let coding = Coding::<[u8; 3], u8> {
                io: |pcm| Ok(pcm.io_bytes()),
                place: |_| {},
                units: <[[u8; 3]]>::as_flattened,
            };
            Filler::run(&pcm, setup, shape, renderer, post, &coding)
        }
        CardFormat::S16 => {
            let coding = Coding::<i16, i16> {
                io: PCM::io_i16,
                place: |_| {},
                units: |samples| samples,
            };
            Filler::run(&pcm, setup, shape, renderer, post, &coding)
        }
        CardFormat::Float => {
            let coding = Coding::<f32, f32> {
                io: PCM::io_f32,
                place: |_| {},
                units: |samples| samples,
            };
            Filler::run(&pcm, setup, shape, renderer, post, &coding)
        }
    };
    if let Err(error) = done {
        post.lose(in_words(error));
    }
}

/// What the thread keeps between two looks at its card. It allocates nothing while it runs.
struct Filler<T> {
    setup: CardSetup,
    renderer: Renderer,
    /// The bell, then what the card wakes by.
    descriptors: Vec<pollfd>,
    /// A period.
    samples: Vec<T>,
    /// Its frames that the card has not got yet.
    unwritten: Range<usize>,
    /// Frames that the card has got, and that it has presented.
    written: u64,
    presented: u64,
    /// Errors since it got some last.
    errors: u32,
    /// It has got some since its buffer ran empty last.
    fed: bool,
}

impl<T: Pcm> Filler<T> {
    /// Keeps the card filled until the line ends.
    ///
    /// # Errors
    /// The card is lost.
    fn run<U: Copy>(
        pcm: &PCM,
        setup: CardSetup,
        shape: SampleShape,
        renderer: Renderer,
        post: &LinePost,
        coding: &Coding<T, U>,
    ) -> Result<(), Error> {
        let mut descriptors = vec![pollfd {
            fd: post.bell.as_raw_fd(),
            events: Flags::IN.bits(),
            revents: 0,
        }];
        descriptors.extend(pcm.get()?);
        if descriptors.len() < 2 {
            return Err(Error::new("snd_pcm_poll_descriptors", libc::ENODEV));
        }
        let mut filler = Self {
            setup,
            renderer,
            descriptors,
            samples: vec![T::SILENCE; setup.period * usize::from(shape.channels)],
            unwritten: 0..0,
            written: 0,
            presented: 0,
            errors: 0,
            fed: true,
        };
        let io = (coding.io)(pcm)?;
        while !post.ends() {
            if let Err(error) = filler.turn(pcm, &io, coding) {
                filler.recover(pcm, error)?;
            }
        }
        Ok(())
    }

    /// Waits until the card has room, fills it, and stamps what it presents.
    fn turn<U: Copy>(
        &mut self,
        pcm: &PCM,
        io: &IO<'_, U>,
        coding: &Coding<T, U>,
    ) -> Result<(), Error> {
        poll::poll(&mut self.descriptors, FOR_EVER)?;
        let (bell, card) = self.descriptors.split_at(1);
        if bell[0].revents != 0 {
            return Ok(());
        }
        let events = pcm.revents(card)?;
        if events.intersects(Flags::HUP | Flags::NVAL) {
            return Err(Error::new("poll", libc::ENODEV));
        }
        if events.is_empty() {
            return Ok(());
        }
        // An xrun or a suspend shows here.
        let free = usize::try_from(pcm.avail_update()?).unwrap_or(0);
        let waits = self.setup.buffer.saturating_sub(free);
        self.fill(io, coding, self.setup.filled.saturating_sub(waits))?;
        self.stamp(pcm)
    }

    /// Writes what fits, whole periods of it.
    fn fill<U: Copy>(
        &mut self,
        io: &IO<'_, U>,
        coding: &Coding<T, U>,
        mut room: usize,
    ) -> Result<(), Error> {
        loop {
            if self.unwritten.is_empty() {
                if room < self.setup.period {
                    return Ok(());
                }
                room -= self.setup.period;
                self.renderer.render(&mut self.samples);
                (coding.place)(&mut self.samples);
                self.unwritten = 0..self.setup.period;
            }
            let units = (coding.units)(&self.samples);
            let of_frame = units.len() / self.setup.period;
            match io.writei(&units[self.unwritten.start * of_frame..]) {
                Ok(0) => return Ok(()),
                Ok(frames) => {
                    self.unwritten.start += frames;
                    self.written += frames as u64;
                    (self.errors, self.fed) = (0, true);
                }
                Err(error) if fault(error) == CardFault::Again => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells which frame is presented when.
    fn stamp(&mut self, pcm: &PCM) -> Result<(), Error> {
        let status = pcm.status()?;
        let now = raw_now();
        let queued = u64::try_from(status.get_delay()).unwrap_or(0);
        // What waits for the start is not presented yet. The plugin `null` never starts, and has
        // nothing that waits.
        if queued > 0 && pcm.state_raw() == State::Prepared as i32 {
            return Ok(());
        }
        // A plugin may guess, and what was presented stays so.
        let presented = self.written.saturating_sub(queued);
        self.presented = self.presented.max(presented);
        let at = stamp_of(&status, now, self.setup.stamps);
        self.renderer.stamp(self.presented, at);
        Ok(())
    }

    /// Goes on after an error, if that can be.
    ///
    /// # Errors
    /// The card is lost.
    fn recover(&mut self, pcm: &PCM, error: Error) -> Result<(), Error> {
        let again = match fault(error) {
            CardFault::Again => return Ok(()),
            CardFault::Gone => return Err(error),
            // A buffer that runs empty twice without a frame between is more than late.
            CardFault::Xrun => pcm.prepare().map(|()| std::mem::take(&mut self.fed)),
            CardFault::Suspended => match pcm.resume() {
                Err(error) if fault(error) == CardFault::Again => {
                    // It is still waking up.
                    thread::sleep(ERROR_PAUSE);
                    return Ok(());
                }
                Ok(()) => Ok(true),
                Err(_) => pcm.prepare().map(|()| true),
            },
            CardFault::Other => Ok(false),
        };
        match again {
            Ok(true) => return Ok(()),
            Err(error) if fault(error) == CardFault::Gone => return Err(error),
            Ok(false) | Err(_) => {}
        }
        self.errors += 1;
        if self.errors >= MAX_ERRORS {
            return Err(error);
        }
        // Nothing but the drop of the line, or the passing of time, ends this.
        thread::sleep(ERROR_PAUSE);
        Ok(())
    }
}

/// When the card looked at what it says. Plugins that leave the stamp zero, or stamp by a clock
/// of their own, looked just now; so do all on 32 bits, where the crate alsa before 0.12 knows
/// only the shorter one of the two stamps that alsa-lib may have.
#[cfg(target_pointer_width = "64")]
fn stamp_of(status: &Status, now: RawTime, stamps: bool) -> RawTime {
    let stamp = status.get_htstamp();
    let second = u64::try_from(stamp.tv_sec).unwrap_or(0);
    let rest = u64::try_from(stamp.tv_nsec).unwrap_or(0);
    let at = RawTime(second.saturating_mul(1_000_000_000).saturating_add(rest));
    match stamps && at <= now && now.since(at) <= MAX_AGE {
        true => at,
        false => now,
    }
}

#[cfg(not(target_pointer_width = "64"))]
fn stamp_of(_: &Status, now: RawTime, _: bool) -> RawTime {
    now
}

/// Errors in a row that a card may have and be well, which with the pauses is
/// 150 ms: a dead one would have a million. PulseAudio's plugin fails once in a while and goes on.
const MAX_ERRORS: u32 = 30;

/// Between an error of a card and the next; also its drop waits for this.
const ERROR_PAUSE: Duration = Duration::from_millis(5);

/// A stamp is made while its card is looked at, or by the last interrupt, a period ago; an older
/// one is another clock's.
#[cfg(target_pointer_width = "64")]
const MAX_AGE: Duration = Duration::from_millis(200);

/// As poll has it. A card that is silent for long is noticed elsewhere (`audio/health.rs`).
const FOR_EVER: i32 = -1;

#[cfg(test)]
mod tests {
    use super::super::setup;
    use super::*;
    use crate::audio::output::choice::CD;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_card_stamps_by_the_clock_that_sound_goes_by() {
        let pcm = setup::open("null").unwrap();
        let (formats, abilities) = setup::abilities(&pcm).unwrap();
        assert!(!formats.is_empty() && !abilities.is_empty());
        let begun = raw_now();
        let setup = setup::set_up(&pcm, CD, &[CardFormat::S16]).unwrap();
        assert!(setup.stamps);
        assert_eq!((setup.period, setup.filled), (661, 1322));
        let status = pcm.status().unwrap();
        let now = raw_now();
        let stamp = stamp_of(&status, now, true);
        assert!(begun < stamp && stamp < now, "{begun:?} {stamp:?} {now:?}");
        assert_eq!(stamp_of(&status, now, false), now);
        let later = now.after(MAX_AGE * 2);
        assert_eq!(stamp_of(&status, later, true), later, "of another clock");
        let before = begun.before(MAX_AGE);
        assert_eq!(stamp_of(&status, before, true), before, "of another clock");
    }
}
