//! The track of a container that is decoded, and where its packets lie in it.

use std::num::NonZeroU32;

use symphonia::core::codecs::audio::well_known::CODEC_ID_VORBIS;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::formats::FormatReader;
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;

/// The track of a container that is decoded.
pub struct CodedTrack {
    pub id: u32,
    pub params: AudioCodecParameters,
    pub time_base: TimeBase,
    /// Time of the first packet, in ticks of the time base.
    pub start: i64,
    /// Frames that the demuxer knows to be the codec's.
    pub delay: u32,
    pub frames: Option<u64>,
    /// Frames by which times may be off.
    pub tolerance: i64,
}

impl CodedTrack {
    /// The first track of sound.
    pub fn of(demuxer: &dyn FormatReader) -> Result<Self, &'static str> {
        let sounds = demuxer.tracks().iter().filter_map(|track| {
            let params = track.codec_params.as_ref()?.audio()?;
            Some((track, params))
        });
        let (track, params) = sounds
            .into_iter()
            .next()
            .ok_or("it has no track of sound")?;
        let time_base = track.time_base.ok_or("its times have no unit")?;
        let is_exact =
            Some(time_base.denom.get()) == params.sample_rate && time_base.numer.get() == 1;
        Ok(Self {
            id: track.id,
            params: params.clone(),
            time_base,
            start: track.start_ts.get(),
            delay: track.delay.unwrap_or(0),
            frames: track.num_frames,
            tolerance: if is_exact { 0 } else { ROUNDING },
        })
    }

    /// The first frame that a stream in Ogg says to be heard.
    pub fn first(&self) -> i64 {
        self.start.saturating_add(self.delay.into()).max(0)
    }

    /// The coded frame that a packet begins with.
    pub fn place(&self, packet: &Packet, rate: NonZeroU32) -> i64 {
        let ticks = i128::from(packet.pts.get()) + i128::from(packet.trim_start.get());
        // The MP3 demuxer's trims are of no use, since the decoder does not trim.
        let ticks = match self.trims() {
            true => ticks,
            false => packet.pts.get().into(),
        };
        self.frames_of(ticks, rate)
    }

    /// Whether the codec leaves out what a packet says.
    pub fn trims(&self) -> bool {
        self.params.codec == CODEC_ID_VORBIS
    }

    pub fn frames_of(&self, ticks: i128, rate: NonZeroU32) -> i64 {
        let numer = i128::from(self.time_base.numer.get()) * i128::from(rate.get());
        let denom = i128::from(self.time_base.denom.get());
        let frames = (ticks * numer + denom / 2).div_euclid(denom);
        i64::try_from(frames).unwrap_or(i64::MAX)
    }

    /// The tick that a frame lies in.
    pub fn ticks(&self, frame: i64, rate: NonZeroU32) -> i64 {
        let numer = i128::from(self.time_base.numer.get()) * i128::from(rate.get());
        let denom = i128::from(self.time_base.denom.get());
        let ticks = (i128::from(frame) * denom).div_euclid(numer.max(1));
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }

    /// Frames that a packet has, less what the codec leaves out of it.
    pub fn length(&self, packet: &Packet, rate: NonZeroU32) -> usize {
        let ticks = packet.dur.get();
        let frames = self.frames_of(ticks.into(), rate);
        usize::try_from(frames).unwrap_or(0).min(MAX_PACKET)
    }
}

/// What all frames of MPEG audio have in common that one decoder takes: version, layer,
/// rate, and whether there is one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MpegKind([u8; 3]);

impl MpegKind {
    pub fn of(packet: &Packet) -> Self {
        match packet.data.first_chunk() {
            Some(&[_, kind, sizes, mode]) => {
                Self([kind & 0xfe, sizes & 0x0c, u8::from(mode >> 6 == 3)])
            }
            None => Self::default(),
        }
    }
}

/// Frames by which the times of a container may be off that does not count in frames.
const ROUNDING: i64 = 32;

/// The longest block of FLAC, which no other codec's packet exceeds.
const MAX_PACKET: usize = 65_535;
