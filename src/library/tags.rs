//! Reading a file's tags.
//!
//! Everything here was written by strangers: each value is trimmed, freed of
//! control characters and cut to [`MAX_TAG_BYTES`]; pictures are skipped, and
//! lofty may never allocate more than [`MAX_TAG_ALLOCATION`] at once. A file
//! with broken tags is a file without tags.

use std::{fs::File, io::BufReader, path::Path, sync::Arc, time::Duration};

use lofty::{
    config::{apply_global_options, GlobalOptions, ParseOptions, ParsingMode},
    file::{AudioFile, FileType, TaggedFileExt},
    probe::Probe,
    tag::{ItemKey, Tag},
};

use crate::{
    catalog::{SharedTags, Tags},
    media::{guard::guarded, Format},
};

/// What lofty knows of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTags {
    pub tags: Tags,
    /// For formats whose duration the decoder cannot tell without reading
    /// everything.
    pub duration: Option<Duration>,
}

/// Reads the tags of the file at `path`; none when it has none, or they make
/// no sense.
pub fn read(path: &Path, format: Format) -> FileTags {
    // lofty keeps its options by thread, so they are set where it runs.
    apply_global_options(GlobalOptions::new().allocation_limit(MAX_TAG_ALLOCATION));
    let options = ParseOptions::new()
        .read_cover_art(false)
        .parsing_mode(ParsingMode::Relaxed);
    let Ok(file) = File::open(path) else {
        return FileTags::default();
    };
    let probe = Probe::new(BufReader::new(file)).options(options);
    // An Ogg file may be Vorbis or Opus; the others are what they are called.
    let probe = match file_type(format) {
        Some(file_type) => probe.set_file_type(file_type),
        None => match guarded(|| probe.guess_file_type()) {
            Ok(Ok(probe)) => probe,
            _ => return FileTags::default(),
        },
    };
    let file = match guarded(|| probe.read()) {
        Ok(Ok(file)) => file,
        Err(panicked) => {
            log::debug!("{}: its tags are not readable: {panicked}", path.display());
            return FileTags::default();
        }
        Ok(Err(error)) => {
            log::debug!("{}: its tags are not readable: {error}", path.display());
            return FileTags::default();
        }
    };
    let duration = Some(file.properties().duration()).filter(|duration| !duration.is_zero());
    let tags = file
        .primary_tag()
        .or_else(|| file.first_tag())
        .map(tags)
        .unwrap_or_default();
    FileTags { tags, duration }
}

fn file_type(format: Format) -> Option<FileType> {
    match format {
        Format::Wav => Some(FileType::Wav),
        Format::Flac => Some(FileType::Flac),
        Format::Mp3 => Some(FileType::Mpeg),
        Format::M4a => Some(FileType::Mp4),
        Format::Ogg => None,
    }
}

fn tags(tag: &Tag) -> Tags {
    let text = |key| clean(tag.get_string(key)?);
    let shared = |key| text(key).map(Arc::from);
    Tags {
        title: text(ItemKey::TrackTitle).map(Into::into),
        track: tag.get_string(ItemKey::TrackNumber).and_then(number),
        disc: tag.get_string(ItemKey::DiscNumber).and_then(number),
        shared: Arc::new(SharedTags {
            artist: shared(ItemKey::TrackArtist),
            album: shared(ItemKey::AlbumTitle),
            album_artist: shared(ItemKey::AlbumArtist),
            genre: shared(ItemKey::Genre),
            date: shared(ItemKey::RecordingDate).or_else(|| shared(ItemKey::Year)),
            composer: shared(ItemKey::Composer),
        }),
    }
}

/// One line of at most [`MAX_TAG_BYTES`], or nothing.
fn clean(value: &str) -> Option<String> {
    let mut text: String = value
        .chars()
        .take(MAX_TAG_BYTES)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut end = text.len().min(MAX_TAG_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// The number in `7`, `07` or `7/12`.
fn number(value: &str) -> Option<u32> {
    value.split('/').next()?.trim().parse().ok()
}

/// A longer value is a mistake or an attack, and no display shows it.
pub const MAX_TAG_BYTES: usize = 240;

/// For one item of a tag. An MP4 file's tags are one item, covers included,
/// although those are not kept; files are read one at a time.
const MAX_TAG_ALLOCATION: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A WAV file of a second with these RIFF INFO items.
    fn wav(items: &[(&[u8; 4], &str)]) -> Vec<u8> {
        let chunk = |id: &[u8; 4], body: &[u8]| {
            let mut chunk = [id.as_slice(), &(body.len() as u32).to_le_bytes(), body].concat();
            chunk.resize(chunk.len().next_multiple_of(2), 0);
            chunk
        };
        let items = items
            .iter()
            .map(|(id, text)| chunk(id, &[text.as_bytes(), b"\0"].concat()));
        let info = [b"INFO".to_vec(), items.collect::<Vec<_>>().concat()].concat();
        let format = b"\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0";
        let body = [
            b"WAVE".to_vec(),
            chunk(b"fmt ", format),
            chunk(b"LIST", &info),
            chunk(b"data", &[128; 8000]),
        ];
        chunk(b"RIFF", &body.concat())
    }

    fn read_bytes(bytes: &[u8], format: Format) -> FileTags {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path(), format)
    }

    #[test]
    fn tags_are_read_and_tidied() {
        let long = "é".repeat(MAX_TAG_BYTES);
        let bytes = wav(&[
            (b"INAM", "  two\nlines\t"),
            (b"IART", &long),
            (b"IPRD", " \n "),
            (b"ICRD", "1997"),
            (b"IPRT", "07/12"),
        ]);
        let read = read_bytes(&bytes, Format::Wav);
        assert_eq!(read.duration, Some(Duration::from_secs(1)));
        let tags = read.tags;
        assert_eq!(tags.title.as_deref(), Some("two lines"));
        assert_eq!(tags.artist.as_deref(), Some(&long[..MAX_TAG_BYTES]));
        assert_eq!(tags.album, None);
        assert_eq!(tags.date.as_deref(), Some("1997"));
        assert_eq!(tags.track, Some(7));
    }

    #[test]
    fn a_file_without_tags_has_none() {
        assert_eq!(read_bytes(&wav(&[]), Format::Wav).tags, Tags::default());
        assert_eq!(read_bytes(b"", Format::Mp3), FileTags::default());
        assert_eq!(
            read(Path::new("/nowhere/at/all.ogg"), Format::Ogg),
            FileTags::default()
        );
    }

    const FORMATS: [Format; 5] = [
        Format::Wav,
        Format::Flac,
        Format::Mp3,
        Format::Ogg,
        Format::M4a,
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn nonsense_is_a_file_without_tags(
            start in prop::sample::select(vec![
                &b"ID3\x04\0\0\x7f\x7f\x7f\x7f"[..],
                b"fLaC\x04\xff\xff\xff\xff\xff\xff\xff",
                b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1e\x01vorbis",
                b"RIFF\xff\xff\xff\xffWAVELIST\xff\xff\xff\xffINFOINAM\xff\xff\xff\xff",
                b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42\xff\xff\xff\xffmoov\xff\xff\xff\xfeudta",
                b"",
            ]),
            rest in prop::collection::vec(any::<u8>(), 0..200),
            format in prop::sample::select(FORMATS.to_vec()),
        ) {
            let tags = read_bytes(&[start, &rest].concat(), format).tags;
            prop_assert!(tags.iter().all(|(_, text)| text.len() <= MAX_TAG_BYTES));
        }
    }
}
