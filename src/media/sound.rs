//! The samples of an opened track: a demuxer and a codec of Symphonia behind rodio's
//! [`Source`].
//!
//! The demuxer is chosen by the container, never by a look at the bytes: what the view
//! has checked as one format is read as that one.
//!
//! What is heard begins and ends where the file states it, and nowhere by an estimate:
//! Vorbis by its pages' granule positions, all others by [`TrackEnds`] or by what the
//! demuxer has from a header. What cannot be decoded becomes silence of its duration, so
//! that what follows stays at its place.

use std::sync::Arc;
use std::time::Duration;

use rodio::source::SeekError;
use rodio::{ChannelCount, Sample, SampleRate, Source};
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::errors::{Error, SeekErrorKind};
use symphonia::core::formats::{FormatReader, SeekMode, SeekTo};
use symphonia::core::io::MediaSource;
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;

mod coded_track;
mod libraries;

use self::coded_track::{CodedTrack, MpegKind};
use self::libraries::{codec, demuxer};
use super::view::TrackEnds;
use super::Container;

/// A track that is being decoded: interleaved samples of one rate and one number of
/// channels.
pub struct SoundDecoder<R> {
    container: Container,
    /// What another demuxer can be made from.
    reader: R,
    /// Whether the demuxer may look elsewhere than at what comes next.
    is_seekable: bool,
    demuxer: Box<dyn FormatReader>,
    codec: Box<dyn AudioDecoder>,
    coded: CodedTrack,
    rate: SampleRate,
    channels: ChannelCount,
    /// Of the packets of an MP3: what no decoder can do with another of.
    kind: MpegKind,
    /// The coded frame that is heard first.
    first: i64,
    /// Frames that are heard, where that is known exactly.
    frames: Option<u64>,
    /// The heard frame that comes next.
    wanted: i64,
    /// Nothing was kept since the beginning or the last seek.
    has_jumped: bool,
    is_over: bool,
    failure: Option<&'static str>,
    /// Of one packet.
    decoded: Vec<Sample>,
    /// What is left of it after trimming, and how much of that is given.
    span: Vec<Sample>,
    at: usize,
}

/// Why a track gives no samples, or does not begin where it shall.
#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    /// The demuxer or the codec refuses it.
    #[error("{0}")]
    Refused(#[from] Error),
    /// It has no track of sound, or an impossible one.
    #[error("{0}")]
    Impossible(&'static str),
    /// It ends before the position that is sought.
    #[error("it ends before")]
    Ended,
}

/// What is known of a file's sound before its packets.
#[derive(Clone, Copy, Debug)]
pub struct KnownSound {
    pub container: Container,
    /// Where it begins and ends in what the codec gives.
    pub ends: Option<TrackEnds>,
    /// Whether an MP3 begins with a header that says how many frames it has.
    pub states_frames: bool,
}

impl<R: MediaSource + Clone + 'static> SoundDecoder<R> {
    /// Opens what `reader` shows, and decodes its first packet.
    ///
    /// # Errors
    /// [`SoundError`]; where a read gave up, the reader has kept why.
    pub fn open(known: KnownSound, reader: R) -> Result<Self, SoundError> {
        let container = known.container;
        // The demuxer would look for the last page, which nobody needs before the sound.
        let is_seekable = container != Container::Ogg;
        let demuxer = demuxer(container, reader.clone(), is_seekable)?;
        let coded = CodedTrack::of(demuxer.as_ref()).map_err(SoundError::Impossible)?;
        let mut decoder = Self {
            codec: codec(container, &coded.params)?,
            container,
            reader,
            is_seekable,
            demuxer,
            coded,
            rate: SampleRate::MIN,
            channels: ChannelCount::MIN,
            kind: MpegKind::default(),
            first: 0,
            frames: None,
            wanted: 0,
            has_jumped: true,
            is_over: false,
            failure: None,
            decoded: Vec::new(),
            span: Vec::new(),
            at: 0,
        };
        decoder.begin(&known)?;
        Ok(decoder)
    }

    /// Counts the frames that are heard, reading what is necessary for that: the last page in
    /// Ogg, everything where no header says it.
    pub fn count(mut self) -> Option<u64> {
        if self.frames.is_some() {
            return self.frames;
        }
        if self.container == Container::Ogg {
            let whole = demuxer(self.container, self.reader.clone(), true).ok()?;
            let coded = CodedTrack::of(whole.as_ref()).ok()?;
            if let Some(frames) = coded.frames {
                return frames.checked_sub(u64::try_from(self.first).ok()?);
            }
        }
        while let Some(packet) = self.next_packet() {
            let place = self
                .coded
                .place(&packet, self.rate)
                .saturating_sub(self.first);
            let length = self.coded.length(&packet, self.rate);
            let end = place.saturating_add(i64::try_from(length).unwrap_or(0));
            self.wanted = self.wanted.max(end);
        }
        let frames = u64::try_from(self.wanted).ok();
        frames.filter(|_| self.failure.is_none())
    }

    /// Why the samples ended before the track did.
    pub fn failure(&self) -> Option<&'static str> {
        self.failure
    }

    /// Moves to a frame of what is heard.
    ///
    /// # Errors
    /// [`SoundError`]; the decoder is not to be used after it.
    pub fn seek(&mut self, frame: u64) -> Result<(), SoundError> {
        if self.frames.is_some_and(|frames| frame >= frames) {
            return Err(SoundError::Ended);
        }
        if self.is_over || !self.is_seekable {
            self.is_seekable = true;
            self.demuxer = demuxer(self.container, self.reader.clone(), true)?;
        }
        let target = i64::try_from(frame).map_err(|_| SoundError::Ended)?;
        let before = self.first.saturating_add(target) - lead(self.container);
        match self.jump(before.max(self.coded.start.max(0))) {
            Err(Error::SeekError(SeekErrorKind::OutOfRange)) => {
                // The demuxer's length of an MP3 without a header is an estimate.
                if self.container != Container::Mp3 || self.frames.is_some() {
                    return Err(SoundError::Ended);
                }
                self.jump(0)?;
            }
            other => other?,
        }
        self.codec.reset();
        self.span.clear();
        self.at = 0;
        self.wanted = target;
        self.has_jumped = true;
        self.is_over = false;
        Ok(())
    }

    /// Moves the demuxer to a packet at or before a coded frame.
    fn jump(&mut self, frame: i64) -> Result<(), Error> {
        let mode = match self.container {
            Container::Mp3 if frame > 0 => SeekMode::Coarse,
            _ => SeekMode::Accurate,
        };
        let ticks = self.coded.ticks(frame, self.rate);
        let to = SeekTo::Timestamp {
            ts: Timestamp::new(ticks),
            track_id: self.coded.id,
        };
        self.demuxer.seek(mode, to).map(|_| ())
    }

    /// Decodes until the first packet that can be, which says rate and channels.
    fn begin(&mut self, known: &KnownSound) -> Result<(), SoundError> {
        let mut start = None;
        for _ in 0..MAX_UNDECODABLE {
            let Some(packet) = self.next_packet() else {
                return Err(SoundError::Impossible("it has no sound"));
            };
            let start = *start.get_or_insert(packet.pts.get());
            let decoded = match self.codec.decode(&packet) {
                Ok(decoded) => decoded,
                Err(_) => continue,
            };
            let channels = u16::try_from(decoded.spec().channels().count());
            let channels = channels.ok().and_then(ChannelCount::new);
            let rate = SampleRate::new(decoded.spec().rate());
            let (Some(rate), Some(channels)) = (rate, channels) else {
                return Err(SoundError::Impossible("its rate or channels are 0"));
            };
            let count = take(&decoded, &mut self.decoded);
            (self.rate, self.channels) = (rate, channels);
            self.kind = MpegKind::of(&packet);
            self.find_ends(known, start);
            self.keep(self.coded.place(&packet, rate), count);
            return Ok(());
        }
        Err(SoundError::Impossible(
            "its first packets cannot be decoded",
        ))
    }

    /// Where what is heard begins and ends. `start` is the time of the first packet.
    fn find_ends(&mut self, known: &KnownSound, start: i64) {
        let (coded, rate) = (&self.coded, self.rate);
        let frames = coded.frames.filter(|&frames| frames > 0);
        match (self.container, known.ends) {
            (Container::Ogg, _) => {
                self.first = coded.first();
            }
            // The demuxer counts from the frame that is heard first, and estimates how many
            // there are where no header says it.
            (Container::Mp3, _) => self.frames = frames.filter(|_| known.states_frames),
            (_, Some(ends)) => {
                self.first = i64::try_from(ends.frames(ends.first, rate)).unwrap_or(i64::MAX);
                self.frames = ends.length.map(|length| ends.frames(length, rate));
            }
            (_, None) => {
                self.first = start;
                self.frames = frames.filter(|_| start == 0);
            }
        }
    }

    /// The next packet of the track; none at the end.
    fn next_packet(&mut self) -> Option<Packet> {
        let mut errors = 0;
        while errors < MAX_ERRORS {
            match self.demuxer.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.coded.id => return Some(packet),
                Ok(Some(_)) => {} // another track's
                Ok(None) | Err(Error::IoError(_)) => {
                    self.is_over = true;
                    return None;
                }
                Err(Error::ResetRequired) => {
                    errors += 1;
                    self.begin_anew()?;
                }
                Err(_) => errors += 1,
            }
        }
        self.give_up("the rest of the file is damaged")
    }

    /// Goes on with the stream that follows in a chain (RFC 3533, section 4).
    fn begin_anew(&mut self) -> Option<()> {
        let next = CodedTrack::of(self.demuxer.as_ref()).ok();
        let next = next.and_then(|next| Some((codec(self.container, &next.params).ok()?, next)));
        let Some((codec, next)) = next else {
            return self.give_up("what follows in it is no sound that can be decoded");
        };
        self.first = next.first().saturating_sub(self.wanted);
        (self.codec, self.coded) = (codec, next);
        Some(())
    }

    fn give_up<T>(&mut self, why: &'static str) -> Option<T> {
        self.is_over = true;
        self.failure = Some(why);
        None
    }

    /// Decodes packets until there are samples to give. Whether there are.
    fn refill(&mut self) -> bool {
        self.span.clear();
        self.at = 0;
        while self.span.is_empty() && !self.is_over {
            let Some(packet) = self.next_packet() else {
                break;
            };
            let place = self.coded.place(&packet, self.rate);
            match self.decode(&packet) {
                Some(count) => self.keep(place, count),
                None => {
                    let lost = self.coded.length(&packet, self.rate);
                    self.decoded.clear();
                    let channels = usize::from(self.channels.get());
                    self.decoded.resize(lost * channels, 0.0);
                    self.keep(place, lost);
                }
            }
        }
        !self.span.is_empty()
    }

    /// Decodes a packet into `decoded`, and counts its frames; `None` where it is damaged.
    fn decode(&mut self, packet: &Packet) -> Option<usize> {
        let kind = MpegKind::of(packet);
        if self.container == Container::Mp3 && kind != self.kind {
            let mut other = codec(self.container, &self.coded.params).ok()?;
            if other.decode(packet).is_err() {
                // It only looked like a frame.
                self.decoded.clear();
                return Some(0);
            }
            other.reset();
            (self.codec, self.kind) = (other, kind);
        }
        let decoded = self.codec.decode(packet).ok()?;
        let (rate, channels) = (decoded.spec().rate(), decoded.spec().channels().count());
        if rate != self.rate.get() || channels == 0 {
            self.is_over = true;
            self.failure = Some("the rate changes within the track");
            self.decoded.clear();
            return Some(0);
        }
        let count = take(&decoded, &mut self.decoded);
        if channels != usize::from(self.channels.get()) {
            let frames = std::mem::take(&mut self.decoded);
            for frame in frames.chunks_exact(channels) {
                spread(frame, self.channels, &mut self.decoded);
            }
        }
        Some(count)
    }

    /// Keeps what is heard of `count` decoded frames, the first of which is the coded frame
    /// `place`.
    fn keep(&mut self, place: i64, count: usize) {
        let channels = usize::from(self.channels.get());
        let length = i64::try_from(count).unwrap_or(0);
        let mut heard = place.saturating_sub(self.first);
        let apart = heard.saturating_sub(self.wanted);
        let longest = i64::from(self.rate.get()) * MISSING_SECONDS;
        let longest = longest.min(MAX_MISSING / i64::from(self.channels.get()));
        if self.has_jumped {
            self.wanted = self.wanted.max(heard);
        } else if self.container == Container::Mp3
            || apart.abs() <= self.coded.tolerance
            || apart > longest
            || apart < -length
        {
            // Times that the demuxer counts, that are rounded, or that begin anew.
            self.first = self.first.saturating_add(apart);
            heard = self.wanted;
        }
        // Those that are missing in the file.
        let silence = heard.saturating_sub(self.wanted).max(0);
        let end = heard.saturating_add(length);
        let end = match self.frames.map(i64::try_from) {
            Some(Ok(frames)) if end >= frames => {
                self.is_over = true;
                frames
            }
            _ => end,
        };
        if end <= self.wanted {
            return;
        }
        self.has_jumped = false;
        // At most what may be missing, and a packet's frames.
        let index = |frame: i64| usize::try_from(frame.clamp(0, length)).unwrap_or(0) * channels;
        let silence = usize::try_from(silence).unwrap_or(0) * channels;
        self.span.resize(self.span.len() + silence, 0.0);
        let kept = index(self.wanted - heard)..index(end - heard);
        self.span
            .extend_from_slice(self.decoded.get(kept).unwrap_or_default());
        self.wanted = end;
    }
}

impl<R: MediaSource + Clone + 'static> Iterator for SoundDecoder<R> {
    type Item = Sample;

    #[inline]
    fn next(&mut self) -> Option<Sample> {
        if self.at >= self.span.len() && !self.refill() {
            return None;
        }
        let sample = *self.span.get(self.at)?;
        self.at += 1;
        Some(sample)
    }
}

impl<R: MediaSource + Clone + 'static> Source for SoundDecoder<R> {
    fn current_span_len(&self) -> Option<usize> {
        None
    }

    fn channels(&self) -> ChannelCount {
        self.channels
    }

    fn sample_rate(&self) -> SampleRate {
        self.rate
    }

    fn total_duration(&self) -> Option<Duration> {
        let rate = u128::from(self.rate.get());
        let nanos = u128::from(self.frames?) * 1_000_000_000 / rate;
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    }

    /// To the frame in all lossless formats, Vorbis and AAC. In MP3 only the neighbourhood
    /// (some tens of milliseconds) can be found without reading all that lies before.
    fn try_seek(&mut self, position: Duration) -> Result<(), SeekError> {
        let rate = u128::from(self.rate.get());
        let frame = (position.as_nanos() * rate + 500_000_000) / 1_000_000_000;
        let sought = u64::try_from(frame).map_err(|_| SoundError::Ended);
        let sought = sought.and_then(|frame| self.seek(frame));
        sought.map_err(|error| SeekError::Other(Arc::new(error)))
    }
}

/// Brings a frame to so many channels: of one, all get it; of more, one gets their mean.
fn spread(frame: &[Sample], channels: ChannelCount, out: &mut Vec<Sample>) {
    let channels = usize::from(channels.get());
    match (frame, channels) {
        ([one], _) => out.extend(std::iter::repeat_n(*one, channels)),
        (_, 1) => out.push(frame.iter().sum::<Sample>() / frame.len() as Sample),
        _ => out.extend((0..channels).map(|i| frame.get(i).copied().unwrap_or(0.0))),
    }
}

/// The samples of a packet, interleaved, and how many frames they are.
fn take(decoded: &GenericAudioBufferRef<'_>, out: &mut Vec<Sample>) -> usize {
    decoded.copy_to_vec_interleaved(out);
    decoded.frames()
}

/// Frames to decode before those that are sought, for what a codec takes from one packet
/// into the next.
fn lead(container: Container) -> i64 {
    match container {
        Container::Wav | Container::Flac => 0,
        // The longest block of Vorbis.
        Container::Ogg => 8192,
        Container::Mp3 | Container::M4a => 2 * 1152,
    }
}

/// Packets at the beginning of which none can be decoded: then it is no such codec.
const MAX_UNDECODABLE: usize = 64;

/// Errors of the demuxer in a row.
const MAX_ERRORS: usize = 64;

/// The longest stretch that silence takes the place of: more than one page of Ogg, and so
/// many samples.
const MISSING_SECONDS: i64 = 10;
const MAX_MISSING: i64 = 1 << 22;
