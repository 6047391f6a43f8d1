//! Reading a file's tags.
//!
//! Everything here was written by strangers: each value is trimmed, freed of
//! characters that nobody sees and cut to [`MAX_TAG_BYTES`](values::MAX_TAG_BYTES); pictures are
//! skipped, lofty may never allocate more than [`MAX_TAG_ALLOCATION`] at once, and what is read
//! has a [`budget`]. A broken item is left out, and the others are read; of endless ID3v2 tags,
//! what comes before the limit counts. Both are said.

mod account;
mod budget;
mod chunks;
mod formats;
mod frames;
mod gathered;
mod genres;
mod id3;
mod names;
pub mod values;
mod window;

use std::{error::Error, fs::File, io, ops::Range};

use lofty::config::{apply_global_options, GlobalOptions, ParseOptions, ParsingMode};

use self::{
    budget::Budgeted, chunks::ChunkTags, formats::ParsedFile, gathered::GatheredTags, id3::Id3Tags,
    values::FileTags, window::Tail,
};
use crate::media::{guard::guarded, Container};

/// Reads the tags of `file`; none when it has none, or they make no sense.
pub fn read(file: &File, container: Container) -> FileTags {
    let mut reading = TagReading::new(file);
    let junk = if container == Container::Mp3 {
        id3::MAX_JUNK
    } else {
        0
    };
    let id3 = reading.run(|mut reader| id3::place(&mut reader, junk).map_err(io_text));
    let id3 = id3.unwrap_or_default();
    let own = reading.read_id3(&id3);
    let mut chunks = ChunkTags::default();
    if container == Container::Wav {
        reading.run(|mut reader| chunks.read(&mut reader, id3.end).map_err(io_text));
        reading.losses.append(&mut chunks.id3.losses);
    }
    let mut parsed = reading.parse(container, id3.end);
    // What belongs to the format comes first. MP3 has but ID3, and WAV only poor tags of its own.
    let mut all = match container {
        Container::Mp3 | Container::Wav => GatheredTags::default(),
        _ => std::mem::take(&mut parsed.tags),
    };
    for tags in [own, chunks.id3.tags, chunks.info, parsed.tags] {
        all.fill_up(tags);
    }
    FileTags {
        tags: all.into_tags(),
        duration: Some(parsed.duration).filter(|duration| !duration.is_zero()),
        trouble: reading.into_trouble(),
    }
}

/// Reading the tags of one file, part by part.
struct TagReading<'a> {
    file: &'a File,
    /// Why a part of them could not be read as a whole.
    trouble: Option<String>,
    /// What is left out of the parts that could be read.
    losses: Vec<String>,
}

impl<'a> TagReading<'a> {
    fn new(file: &'a File) -> Self {
        Self {
            file,
            trouble: None,
            losses: Vec::new(),
        }
    }

    /// Reads a part, within a budget of its own; the first that cannot be read is remembered.
    fn run<T>(&mut self, read: impl FnOnce(TagReader<'a>) -> Result<T, String>) -> Option<T> {
        let outcome = within_budget(self.file, 0, read);
        outcome.map_err(|why| self.trouble.get_or_insert(why)).ok()
    }

    fn read_id3(&mut self, place: &Range<u64>) -> GatheredTags {
        let mut id3 = Id3Tags::default();
        if !place.is_empty() {
            self.run(|mut reader| id3.read(&mut reader, place.start).map_err(io_text));
        }
        self.losses.append(&mut id3.losses);
        id3.tags
    }

    /// What lofty finds behind the ID3v2 tag that a file begins with. Where the sound is broken,
    /// that is the tags alone, where the tags are, the length alone.
    fn parse(&mut self, container: Container, begin: u64) -> ParsedFile {
        let parse = |with_tags, with_properties| {
            let options = ParseOptions::new()
                .read_cover_art(false)
                .read_tags(with_tags)
                .read_properties(with_properties)
                .parsing_mode(ParsingMode::Relaxed);
            within_budget(self.file, begin, |reader| {
                let parsed = ParsedFile::read(reader, container, options);
                parsed.map_err(|error| format!("its tags are damaged: {}", last_cause(&error)))
            })
        };
        parse(true, true).unwrap_or_else(|_| {
            let tags = parse(true, false);
            let bare = parse(false, true).unwrap_or_default();
            ParsedFile {
                tags: match tags {
                    Ok(parsed) => parsed.tags,
                    Err(why) => {
                        // It reads no tags of WAV.
                        if container != Container::Wav {
                            self.trouble.get_or_insert(why);
                        }
                        GatheredTags::default()
                    }
                },
                duration: bare.duration,
            }
        })
    }

    /// What is to be said of the tags.
    fn into_trouble(self) -> Option<String> {
        let losses = || {
            let losses = self.losses.join(", ");
            (!losses.is_empty()).then(|| format!("some of its tags are left out: {losses}"))
        };
        self.trouble.or_else(losses)
    }
}

/// A file as its tags are read.
type TagReader<'a> = Budgeted<Tail<&'a File>>;

/// Runs a parser on the file from this byte on, which may read so much and no more, and panic.
fn within_budget<'a, T>(
    file: &'a File,
    begin: u64,
    read: impl FnOnce(TagReader<'a>) -> Result<T, String>,
) -> Result<T, String> {
    // lofty keeps its options by thread, so they are set where it runs.
    apply_global_options(GlobalOptions::new().allocation_limit(MAX_TAG_ALLOCATION));
    let reader = Budgeted::new(Tail::new(file, begin).map_err(io_text)?);
    let spent = reader.spent();
    let read = guarded(move || read(reader));
    if let Some(why) = spent.over() {
        return Err(why);
    }
    read.map_err(|panicked| panicked.to_string())?
}

fn io_text(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => format!("its tags are damaged: {error}"),
        _ => format!("its tags cannot be read: {error}"),
    }
}

/// What is behind all that an error names.
fn last_cause(error: &dyn Error) -> &dyn Error {
    error.source().map_or(error, last_cause)
}

/// For one item of a tag. An MP4 file's tags are one item, covers included,
/// although those are not kept; files are read one at a time.
const MAX_TAG_ALLOCATION: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests;
