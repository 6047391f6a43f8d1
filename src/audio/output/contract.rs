//! What every output keeps: one table, run against ALSA's and rodio's with cards that are none,
//! against the paced ones, and against the simulation's model of a card.

mod bench;
mod cards;

use std::env;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use self::bench::{ModelLine, OutputBench, RealLine};
use self::cards::{Cards, DIRECTORY};
use super::{
    alsa::{self, AlsaCard},
    rodio::{self, CpalCard},
    Output,
};
use crate::audio::deck::RingOrder::{Drop, End, Pause, Release};
use crate::audio::spec::OutputSpec;

impl dyn OutputBench + '_ {
    /// Content of `FRAMES` frames, of which no two are alike, and the end behind it.
    fn fill(&mut self) -> Vec<i16> {
        self.begin();
        let frames: Vec<i16> = (1..=FRAMES).map(|n| n * 4).collect();
        self.push(&frames);
        self.order(End);
        frames
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&mut Self) -> bool) {
        for _ in 0..PATIENCE {
            if is_so(self) {
                return;
            }
            self.wait();
        }
        panic!("it never came to this: {what}; {:?}", self.look());
    }

    /// Lets the device ask for sound some times more.
    fn pass(&mut self) {
        let calls = self.look().calls + 4;
        self.until("it asks for sound", |line| line.look().calls >= calls);
    }

    fn until_all_is_read(&mut self) {
        let all = self.written();
        self.until("all is read", |line| line.look().read == all);
    }

    /// All that was heard of sound, once it is so much; silence counts between the first frame
    /// and the last.
    fn heard_of(&mut self, count: usize) -> Option<Vec<i16>> {
        let sound = |line: &mut Self| {
            let heard = line.heard()?;
            let first = heard.iter().position(|frame| *frame != 0)?;
            let last = heard.iter().rposition(|frame| *frame != 0)?;
            Some(heard[first..=last].to_vec())
        };
        self.heard()?;
        self.until("all is heard", |line| {
            sound(line).is_some_and(|sound| sound.len() >= count)
        });
        sound(self)
    }

    fn assert_heard(&mut self, frames: &[i16]) {
        let Some(heard) = self.heard_of(frames.len()) else {
            return; // it keeps nothing
        };
        let differs = heard.iter().zip(frames).position(|(a, b)| a != b);
        assert_eq!((heard.len(), differs), (frames.len(), None));
    }
}

type Contract = (&'static str, fn(&mut dyn OutputBench));

const CONTRACTS: &[Contract] = &[
    ("frames are heard exactly, in order", |line| {
        let frames = line.fill();
        line.order(Release);
        line.start();
        line.until_all_is_read();
        line.assert_heard(&frames);
        assert_eq!(line.look().underruns, 0, "an end is no underrun");
        assert_eq!(line.lost(), None);
    }),
    ("what is held makes no sound", |line| {
        let frames = line.fill();
        line.start();
        line.pass();
        assert_eq!(line.look().read, 0);
        line.order(Release);
        line.until_all_is_read();
        line.assert_heard(&frames);
    }),
    ("nor does what pauses, and nothing of it is lost", |line| {
        let frames = line.fill();
        line.order(Pause(true));
        line.order(Release);
        line.start();
        line.pass();
        assert_eq!(line.look().read, 0);
        line.order(Pause(false));
        line.until_all_is_read();
        line.assert_heard(&frames);
    }),
    ("a pause in the midst keeps the place", |line| {
        line.fill();
        line.order(Release);
        line.start();
        line.until("it sounds", |line| line.look().read > 0);
        line.order(Pause(true));
        line.pass();
        let read = line.look().read;
        line.pass();
        assert_eq!(line.look().read, read);
        line.order(Pause(false));
        line.until_all_is_read();
    }),
    ("what is to be quieter is so, to the bit", |line| {
        let frames = line.fill();
        line.set_gain(0.5);
        line.order(Release);
        line.start();
        line.until_all_is_read();
        let halves: Vec<i16> = frames.iter().map(|frame| frame / 2).collect();
        line.assert_heard(&halves);
    }),
    ("an empty ring that expects more is an underrun", |line| {
        line.begin();
        line.push(&[4; 100]);
        line.order(Release);
        line.start();
        line.until("it starves", |line| line.look().is_starved);
        assert_eq!(line.look().underruns, 1);
        line.push(&[4; FRAMES as usize]);
        line.order(End);
        line.until_all_is_read();
        assert!(!line.look().is_starved);
    }),
    ("what is dropped is not heard", |line| {
        line.fill();
        line.start();
        line.pass();
        line.order(Drop);
        line.until_all_is_read();
        let frames = line.fill();
        line.order(Release);
        line.until_all_is_read();
        line.assert_heard(&frames);
    }),
    (
        "what is presented never goes back, nor before what was written",
        |line| {
            line.fill();
            assert_eq!(line.look().first_frame_at, None);
            line.order(Release);
            line.start();
            let mut last = 0;
            while last < line.written() {
                let presented = line.presented();
                assert!(presented >= last, "{presented} after {last}");
                assert!(presented <= line.written(), "{presented}");
                last = presented;
                line.wait();
            }
            assert!(line.look().first_frame_at.is_some());
        },
    ),
    (
        "a buffer that runs empty is filled again, and no frame is lost",
        |line| {
            let frames = line.fill();
            if !line.delay() {
                return;
            }
            line.order(Release);
            line.start();
            line.until("it was late", |line| line.was_late());
            line.until_all_is_read();
            line.assert_heard(&frames);
            assert_eq!(line.lost(), None);
        },
    ),
    ("a device that is lost says so", |line| {
        line.fill();
        line.order(Release);
        line.start();
        line.pass();
        if line.unplug() {
            line.until("it is lost", |line| line.lost().is_some());
        }
    }),
];

#[test]
fn every_output_keeps_the_contract() {
    let Some(dir) = env::var_os(DIRECTORY) else {
        return once_more_with_cards();
    };
    let cards = &Cards::of(dir.as_ref());
    assert_eq!(alsa::devices(), rodio::devices());
    type Make<'a> = Box<dyn Fn(usize) -> Box<dyn OutputBench> + Send + 'a>;
    let mut outputs: Vec<(String, Make)> = vec![
        (
            "the simulation's".into(),
            Box::new(|_| Box::new(ModelLine::new())),
        ),
        (
            "nowhere".into(),
            Box::new(|_| RealLine::open(Output::new(OutputSpec::Null), None)),
        ),
        (
            "a file".into(),
            Box::new(|n| {
                let path = cards.file(n);
                let output = Output::new(OutputSpec::Wav(path.clone()));
                RealLine::open(output, Some(cards.wav(path)))
            }),
        ),
    ];
    for kind in cards.kinds() {
        outputs.push((
            format!("ALSA's {kind}"),
            Box::new(move |n| {
                let (name, far_end) = cards.plug_in(kind, &format!("a{n}"));
                RealLine::open(Output::Card(Box::new(AlsaCard::new(Some(name)))), far_end)
            }),
        ));
        outputs.push((
            format!("rodio's {kind}"),
            Box::new(move |n| {
                let (name, far_end) = cards.plug_in(kind, &format!("r{n}"));
                RealLine::open(Output::Card(Box::new(CpalCard::new(Some(name)))), far_end)
            }),
        ));
    }
    let broken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (which, make) in outputs {
            let broken = &broken;
            scope.spawn(move || {
                for (n, (name, contract)) in CONTRACTS.iter().enumerate() {
                    let mut line = make(n);
                    let held = catch_unwind(AssertUnwindSafe(|| contract(&mut *line)));
                    if held.is_err() || !line.close(PATIENCE_TO_CLOSE) {
                        broken.lock().unwrap().push(format!("{which}: {name}"));
                    }
                }
            });
        }
    });
    assert_eq!(broken.into_inner().unwrap(), [] as [String; 0]);
}

/// Runs this test in a process of its own, whose ALSA has the cards.
fn once_more_with_cards() {
    let cards = Cards::make();
    let test = thread::current().name().unwrap().to_owned();
    let output = Command::new(env::current_exe().unwrap())
        .args([&test, "--exact", "--nocapture"])
        .envs(cards.env())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let cried = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{cried}");
}

/// Less than the ring takes at once.
const FRAMES: i16 = 6000;

/// How often is looked, and many times as long as the frames.
const STEP: Duration = Duration::from_millis(1);
const PATIENCE: usize = 20_000;
const PATIENCE_TO_CLOSE: Duration = Duration::from_secs(20);
