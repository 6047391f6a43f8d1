//! A decoder that reads what a real one does, and makes frames of it by their number.

use std::time::Duration;

use super::{card::CardModel, Byte, Bytes, Told};
use crate::{
    audio::{
        report::{JobId, Report},
        spec::SampleShape,
        PlayId,
    },
    id::{TrackId, GROUP_BYTES},
    media::end::DecodeEnd,
    node::{PlaySource, PlayerTrack},
    sim::music::Song,
    swarm::scheduler::READER_STRIDE,
};

/// What is decoded.
#[derive(Clone, Debug)]
pub struct ModelTrack {
    play: PlayId,
    source: PlaySource,
    shape: SampleShape,
    song: Song,
}

impl ModelTrack {
    pub fn new(load: PlayerTrack, song: Song) -> Self {
        Self {
            play: load.play,
            source: load.source,
            shape: SampleShape {
                rate: load.media.rate,
                channels: load.media.channels,
                bits: Some(16),
            },
            song,
        }
    }

    /// Where in the file the sound of this time lies.
    fn offset(&self, time: Duration) -> u64 {
        let offset = self.song.audio_start + self.song.rate() * time.as_millis() as u64 / 1000;
        offset.min(self.song.size)
    }
}

/// Runs one job after the other; of those that wait the latest wins.
#[derive(Debug, Default)]
pub struct DecoderModel {
    current: Option<ModelJob>,
    waiting: Option<ModelJob>,
    /// What has come to its end, up to which byte.
    ended: Option<(PlayId, (TrackId, u64))>,
}

#[derive(Debug)]
struct ModelJob {
    id: JobId,
    track: ModelTrack,
    from: Duration,
    replaces: bool,
    /// How many of the opening's ranges have been read.
    opened: usize,
    is_open: bool,
    /// Frames that must wait before it counts as primed, once it may fill the ring.
    prime: Option<u64>,
    /// The number of its first frame in the ring.
    first: Option<u64>,
    is_primed: bool,
    /// Where it reads.
    read: u64,
    /// Where the reader was told to be last.
    stretch: Option<u64>,
    waits: bool,
}

impl DecoderModel {
    pub fn submit(&mut self, id: JobId, track: ModelTrack, from: Duration, replaces: bool) {
        let read = track.offset(from);
        self.waiting = Some(ModelJob {
            id,
            track,
            from,
            replaces,
            opened: 0,
            is_open: false,
            prime: None,
            first: None,
            is_primed: false,
            read,
            stretch: None,
            waits: false,
        });
    }

    pub fn cancel(&mut self, id: JobId) {
        self.current.take_if(|job| job.id == id);
        self.waiting.take_if(|job| job.id == id);
    }

    pub fn permit(&mut self, id: JobId, prime: usize) {
        let current = self.current.as_mut().filter(|job| job.id == id);
        if let Some(job) = current {
            job.prime = Some(prime as u64);
        }
    }

    /// What has come to its end since this was asked last, and up to which byte.
    pub fn take_ended(&mut self) -> Option<(PlayId, (TrackId, u64))> {
        self.ended.take()
    }

    /// Goes on until there is something to report, or it waits.
    pub fn run(
        &mut self,
        bytes: &impl Bytes,
        mut card: Option<&mut CardModel>,
        told: &mut Vec<Told>,
    ) -> Option<Report> {
        if self.current.is_none() {
            self.current = self.waiting.take();
        }
        let job = self.current.as_mut()?;
        let report = match job.is_open {
            false => job.open(bytes, told),
            true => job.fill(bytes, card.as_deref_mut()?, told),
        };
        match report? {
            Ok(report) => Some(report),
            Err(end) => {
                let job = self.current.take()?;
                self.ended = Some((job.track.play, (job.track.song.track, job.read)));
                let written = card.map_or(0, |card| {
                    card.end_track();
                    card.written()
                });
                Some(Report::Finished(job.id, end, written))
            }
        }
    }
}

/// What a job reports, or how it ends.
type Outcome = Result<Report, DecodeEnd>;

impl ModelJob {
    /// Reads what tells what the file is.
    fn open(&mut self, bytes: &impl Bytes, told: &mut Vec<Told>) -> Option<Outcome> {
        let opening = self.track.song.opening();
        while let Some(range) = opening.get(self.opened) {
            match self.look(range.start, bytes, told) {
                Byte::Here => self.opened += 1,
                Byte::Late => return None,
                Byte::Never(why) => return Some(Err(DecodeEnd::Failed(why))),
            }
        }
        if !self.from.is_zero() && self.from >= self.track.song.duration {
            return Some(Err(DecodeEnd::Ended));
        }
        self.is_open = true;
        Some(Ok(Report::Opened(self.id, self.track.shape)))
    }

    /// Fills the ring as far as there is room in it.
    fn fill(
        &mut self,
        bytes: &impl Bytes,
        card: &mut CardModel,
        told: &mut Vec<Told>,
    ) -> Option<Outcome> {
        let prime = self.prime?;
        let replaces = self.replaces;
        let first = *self.first.get_or_insert_with(|| card.begin(replaces));
        loop {
            let is_full = card.is_full();
            if is_full || card.written() - first >= prime {
                if let Some(primed) = self.primed(first) {
                    return Some(Ok(primed));
                }
            }
            if is_full {
                return None;
            }
            let end = match self.read < self.track.song.size {
                false => DecodeEnd::Ended,
                true => match self.look(self.read, bytes, told) {
                    Byte::Here => {
                        self.decode(first, card);
                        continue;
                    }
                    Byte::Late => return None,
                    Byte::Never(why) => DecodeEnd::Failed(why),
                },
            };
            return Some(self.primed(first).ok_or(end));
        }
    }

    /// The report of it, once.
    fn primed(&mut self, first: u64) -> Option<Report> {
        let is_new = !std::mem::replace(&mut self.is_primed, true);
        is_new.then_some(Report::Primed(self.id, first))
    }

    /// Makes frames of the next few bytes.
    fn decode(&mut self, first: u64, card: &mut CardModel) {
        let read = (self.read / READ + 1) * READ;
        self.read = read.min(self.track.song.size);
        let bytes = self.read - self.track.offset(self.from);
        let frames = bytes * u64::from(self.track.shape.rate) / self.track.song.rate();
        card.push(first + frames - card.written());
    }

    /// Looks for a byte, and tells where the reader stands: in each new stretch, and when it
    /// waits.
    fn look(&mut self, offset: u64, bytes: &impl Bytes, told: &mut Vec<Told>) -> Byte {
        let PlaySource::Store(track) = self.track.source else {
            return Byte::Here;
        };
        let byte = bytes.look(track, offset);
        if matches!(byte, Byte::Never(_)) {
            return byte;
        }
        let (stretch, waits) = (Some(offset / READER_STRIDE), byte == Byte::Late);
        if self.stretch != stretch || (waits && !self.waits) {
            self.stretch = stretch;
            told.push(Told::Demand { track, offset });
        }
        self.waits = waits;
        byte
    }
}

/// Read at once; divides a chunk group.
const READ: u64 = GROUP_BYTES / 4;
