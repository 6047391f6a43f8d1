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
    media::Format,
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
        None => match probe.guess_file_type() {
            Ok(probe) => probe,
            Err(_) => return FileTags::default(),
        },
    };
    let file = match probe.read() {
        Ok(file) => file,
        Err(error) => {
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
