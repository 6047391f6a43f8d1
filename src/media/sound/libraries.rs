//! Symphonia's demuxer of a container, and its decoder of a codec.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadBytes as _};
use symphonia::default::formats::{FlacReader, IsoMp4Reader, MpaReader, OggReader, WavReader};

use crate::media::Container;

/// A reader that a demuxer may perhaps not seek in.
struct Seekable<R> {
    reader: R,
    is_seekable: bool,
}

impl<R: MediaSource> Read for Seekable<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf)
    }
}

impl<R: MediaSource> Seek for Seekable<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}

impl<R: MediaSource> MediaSource for Seekable<R> {
    fn is_seekable(&self) -> bool {
        self.is_seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.reader.byte_len()
    }
}

/// The demuxer of a container, at its first packet.
pub fn demuxer(
    container: Container,
    reader: impl MediaSource + 'static,
    is_seekable: bool,
) -> Result<Box<dyn FormatReader>, Error> {
    let reader = Seekable {
        reader,
        is_seekable,
    };
    let mut bytes = MediaSourceStream::new(Box::new(reader), Default::default());
    let options = FormatOptions::default();
    Ok(match container {
        Container::Wav => Box::new(WavReader::try_new(bytes, options)?),
        Container::Flac => Box::new(FlacReader::try_new(bytes, options)?),
        Container::Mp3 => Box::new(MpaReader::try_new(bytes, options)?),
        Container::Ogg => Box::new(OggReader::try_new(bytes, options)?),
        Container::M4a => {
            // It goes back to the beginning of the atom whose name a probe has found.
            bytes.read_quad_bytes()?;
            Box::new(IsoMp4Reader::try_new(bytes, options)?)
        }
    })
}

/// The decoder of a track's codec.
pub fn codec(
    container: Container,
    params: &AudioCodecParameters,
) -> Result<Box<dyn AudioDecoder>, Error> {
    // Only Ogg's packets say what is to be trimmed by what is stated in the file.
    let options = AudioDecoderOptions::default().gapless(container == Container::Ogg);
    symphonia::default::get_codecs().make_audio_decoder(params, &options)
}
