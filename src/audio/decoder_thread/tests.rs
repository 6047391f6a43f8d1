//! Jobs that are ended in each stage.

use super::*;
use crate::audio::ring::ring;
use crate::media::{decode::ReadStop, Container};

/// A WAV of silence, of which nothing comes before it is let come.
struct Withheld {
    bytes: Vec<u8>,
    is_here: Mutex<bool>,
    bell: Condvar,
}

impl Withheld {
    fn new(is_here: bool) -> Arc<Self> {
        let sound = [0; 400];
        let mut bytes = b"RIFF\xb4\x01\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
        bytes.extend(44_100_u32.to_le_bytes());
        bytes.extend(176_400_u32.to_le_bytes());
        bytes.extend(b"\x04\0\x10\0data\x90\x01\0\0");
        bytes.extend(sound);
        Arc::new(Self {
            bytes,
            is_here: Mutex::new(is_here),
            bell: Condvar::new(),
        })
    }
}

impl TrackBytes for Withheld {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8], cancel: &Cancel) -> Result<usize, ReadStop> {
        let mut is_here = self.is_here.lock().unwrap();
        while !*is_here {
            if cancel.is_set() {
                return Err(ReadStop::Cancelled);
            }
            is_here = self.bell.wait(is_here).unwrap();
        }
        let rest = self.bytes.get(offset as usize..).unwrap_or_default();
        let count = buf.len().min(rest.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn wake(&self) {
        drop(self.is_here.lock().unwrap());
        self.bell.notify_all();
    }
}

fn job(id: u64, bytes: Arc<Withheld>) -> DecodeJob {
    DecodeJob {
        id: JobId(id),
        bytes,
        media: MediaInfo::cd(Container::Wav),
        from: Duration::ZERO,
        replaces: true,
        cancel: Cancel::default(),
        progress: ReadProgress::default(),
    }
}

/// The ring of an open device comes once. A play that is ended before the decoder has it, by the
/// next one say, must not take it along.
#[test]
fn a_ring_outlives_the_job_that_it_was_given_to() {
    let inbox = Arc::<Inbox>::default();
    let thread = DecoderThread::spawn(inbox.clone()).unwrap();
    let (feed, _renderer) = ring(44_100, 2, 1.0);
    let ended = job(1, Withheld::new(false));
    thread.submit(ended.clone());
    let permit = |job| PushPermit {
        job: JobId(job),
        prime: 1,
    };
    thread.go(permit(1), Some(feed));
    thread.cancel(&ended);
    thread.submit(job(2, Withheld::new(true)));
    thread.go(permit(2), None);
    let (end, _) = finished(&inbox, JobId(2));
    assert_eq!(end, DecodeEnd::Ended);
}

/// How `job` has ended, and how many frames have gone into the ring.
fn finished(inbox: &Inbox, job: JobId) -> (DecodeEnd, u64) {
    loop {
        let reports = inbox.take(None).reports;
        let end = reports.into_iter().find_map(|report| match report {
            Report::Finished(id, end, written) if id == job => Some((end, written)),
            _ => None,
        });
        if let Some(end) = end {
            return end;
        }
    }
}

/// How a track of 100 frames at 44.1 kHz ends on a device of this rate, and its frames there.
fn played_at(rate: u32) -> (DecodeEnd, u64) {
    let inbox = Arc::<Inbox>::default();
    let thread = DecoderThread::spawn(inbox.clone()).unwrap();
    let (feed, _renderer) = ring(rate, 2, 1.0);
    thread.submit(job(1, Withheld::new(true)));
    let permit = PushPermit {
        job: JobId(1),
        prime: 1,
    };
    thread.go(permit, Some(feed));
    finished(&inbox, JobId(1))
}

#[test]
fn a_track_is_as_long_at_every_rate() {
    for (rate, expected) in [(44_100, 100), (48_000, 109), (192_000, 435), (22_050, 50)] {
        assert_eq!(played_at(rate), (DecodeEnd::Ended, expected));
    }
}

/// It would be at the wrong pitch.
#[test]
fn a_rate_that_is_too_far_away_is_said() {
    let why = DecodeEnd::Failed("44100 Hz cannot be played at 100 Hz".to_owned());
    assert_eq!(played_at(100), (why, 0));
}
