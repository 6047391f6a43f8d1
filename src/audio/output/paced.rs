//! An output without a device: a thread that asks for sound at the pace of the
//! monotonic clock, as a device's interrupts would, and writes it to a file or
//! nowhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::wav::WavFile;
use crate::audio::raw_clock::raw_now;
use crate::audio::ring::{frames_in, Renderer};
use crate::audio::spec::SampleShape;

/// A line that is paced by the clock.
pub struct PacedLine {
    buffer_frames: usize,
    state: PacedState,
    flags: Arc<Flags>,
}

enum PacedState {
    Ready(Box<Pump>),
    Running(JoinHandle<Option<WavFile>>),
    Stopped,
}

#[derive(Default)]
struct Flags {
    stop: AtomicBool,
    lost: AtomicBool,
}

impl PacedLine {
    /// A line that does not run yet.
    pub fn new(renderer: Renderer, shape: SampleShape, file: Option<WavFile>) -> Self {
        let frames = frames_in(PERIOD, shape.rate).max(1);
        let pump = Pump {
            renderer,
            file,
            frames,
            channels: usize::from(shape.channels),
            buffer: vec![0.0; frames * usize::from(shape.channels)],
        };
        Self {
            buffer_frames: frames * 2,
            state: PacedState::Ready(Box::new(pump)),
            flags: Arc::default(),
        }
    }

    /// Begins to ask for sound.
    pub fn start(&mut self) {
        match std::mem::replace(&mut self.state, PacedState::Stopped) {
            PacedState::Ready(pump) => {
                let flags = self.flags.clone();
                let spawned = thread::Builder::new()
                    .name("paced output".into())
                    .spawn(move || pump.run(&flags));
                match spawned {
                    Ok(thread) => self.state = PacedState::Running(thread),
                    Err(_) => self.flags.lost.store(true, Ordering::Release),
                }
            }
            other => self.state = other,
        }
    }

    /// Frames it asks for at once when it starts.
    pub fn buffer_frames(&self) -> usize {
        self.buffer_frames
    }

    /// Whether the file can no longer be written.
    pub fn is_lost(&self) -> bool {
        self.flags.lost.load(Ordering::Acquire)
    }

    /// Stops and gives the file back.
    pub fn stop(mut self) -> Option<WavFile> {
        self.halt()
    }

    fn halt(&mut self) -> Option<WavFile> {
        match std::mem::replace(&mut self.state, PacedState::Stopped) {
            PacedState::Ready(pump) => pump.file,
            PacedState::Running(thread) => {
                self.flags.stop.store(true, Ordering::Release);
                thread.thread().unpark();
                thread.join().ok().flatten()
            }
            PacedState::Stopped => None,
        }
    }
}

impl Drop for PacedLine {
    fn drop(&mut self) {
        self.halt();
    }
}

struct Pump {
    renderer: Renderer,
    file: Option<WavFile>,
    /// Of a period.
    frames: usize,
    channels: usize,
    buffer: Vec<f32>,
}

impl Pump {
    fn run(mut self, flags: &Flags) -> Option<WavFile> {
        // A device asks for its whole buffer before it starts.
        let mut due = Instant::now();
        if !self.period() {
            flags.lost.store(true, Ordering::Release);
        }
        while !flags.stop.load(Ordering::Acquire) {
            if !self.period() {
                flags.lost.store(true, Ordering::Release);
                break;
            }
            // Of the two periods that it has got, the first one begins now.
            let begins = self.renderer.sent().saturating_sub(2 * self.frames as u64);
            self.renderer.stamp(begins, raw_now().before(due.elapsed()));
            due += PERIOD;
            let now = Instant::now();
            if now > due + LATE {
                due = now;
            }
            while Instant::now() < due && !flags.stop.load(Ordering::Acquire) {
                thread::park_timeout(due.saturating_duration_since(Instant::now()));
            }
        }
        self.file
    }

    /// Moves one period; false when the file cannot be written.
    ///
    /// The file gets what is to be heard while something plays, gaps included;
    /// pauses and idle times leave nothing in it.
    fn period(&mut self) -> bool {
        let rendered = self.renderer.render(&mut self.buffer);
        let Some(file) = &mut self.file else {
            return true;
        };
        let samples = if rendered.starved {
            self.buffer.len()
        } else {
            rendered.frames * self.channels
        };
        file.append(&self.buffer[..samples]).is_ok()
    }
}

/// As the period of a real device here.
const PERIOD: Duration = Duration::from_millis(10);

/// After a delay this long (a suspended machine) the lost time is not caught up.
const LATE: Duration = Duration::from_millis(200);
