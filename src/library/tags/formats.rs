//! What lofty reads of each format, under our names.

use std::{
    io::{Read, Seek},
    time::Duration,
};

use lofty::{
    ape::ApeTag,
    config::ParseOptions,
    error::{FileParseError, UnknownFormatError},
    file::{AudioFile, FileType},
    flac::FlacFile,
    id3::v1::{Id3v1Tag, GENRES},
    iff::wav::WavFile,
    mp4::{AtomData, AtomIdent, Ilst, Mp4File},
    mpeg::MpegFile,
    ogg::{tag::VorbisComments, OpusFile, SpeexFile, VorbisFile},
    probe::Probe,
};

use super::{gathered::GatheredTags, names::TagFamily};
use crate::{catalog::Tag, media::Container};

/// What lofty finds in a file.
#[derive(Debug, Default)]
pub struct ParsedFile {
    pub tags: GatheredTags,
    pub duration: Duration,
}

impl ParsedFile {
    fn new(
        file: &impl AudioFile<Properties: Into<lofty::properties::FileProperties> + Clone>,
        tags: GatheredTags,
    ) -> Self {
        let properties: lofty::properties::FileProperties = file.properties().clone().into();
        Self {
            tags,
            duration: properties.duration(),
        }
    }

    /// Reads a file that says it is a `container`. The probe of lofty would bring the readers of
    /// all formats that it knows. ID3v2 tags are not looked at.
    ///
    /// # Errors
    /// Those of lofty.
    pub fn read(
        reader: impl Read + Seek,
        container: Container,
        mut options: ParseOptions,
    ) -> Result<Self, FileParseError> {
        // An Ogg file may be Vorbis or Opus; the others are what they are called.
        let (file_type, mut reader) = match container {
            Container::Wav => (Some(FileType::Wav), reader),
            Container::Flac => (Some(FileType::Flac), reader),
            Container::Mp3 => (Some(FileType::Mpeg), reader),
            Container::M4a => (Some(FileType::Mp4), reader),
            Container::Ogg => {
                let probe = Probe::new(reader).options(options).guess_file_type()?;
                (probe.file_type(), probe.into_inner())
            }
        };
        let reader = &mut reader;
        Ok(match file_type {
            // Their tags are read by `chunks`.
            Some(FileType::Wav) => {
                let file = WavFile::read_from(reader, options.read_tags(false))?;
                Self::new(&file, GatheredTags::default())
            }
            Some(FileType::Flac) => {
                let file = FlacFile::read_from(reader, options)?;
                Self::new(&file, of_comments(file.vorbis_comments()))
            }
            Some(FileType::Mpeg) => {
                let file = MpegFile::read_from(reader, options)?;
                let mut tags = of_ape(file.ape());
                tags.fill_up(of_id3v1(file.id3v1()));
                Self::new(&file, tags)
            }
            Some(FileType::Mp4) => {
                let file = Mp4File::read_from(reader, options)?;
                Self::new(&file, of_items(file.ilst()))
            }
            Some(FileType::Vorbis) => {
                let file = VorbisFile::read_from(reader, options)?;
                Self::new(&file, of_comments(Some(file.vorbis_comments())))
            }
            Some(FileType::Opus) => {
                let file = OpusFile::read_from(reader, options)?;
                Self::new(&file, of_comments(Some(file.vorbis_comments())))
            }
            Some(FileType::Speex) => {
                let file = SpeexFile::read_from(reader, options)?;
                Self::new(&file, of_comments(Some(file.vorbis_comments())))
            }
            _ => return Err(UnknownFormatError.into()),
        })
    }
}

fn of_comments(comments: Option<&VorbisComments>) -> GatheredTags {
    let mut tags = GatheredTags::default();
    for (name, text) in comments.into_iter().flat_map(VorbisComments::items) {
        tags.put_named(TagFamily::Words, name, text);
    }
    tags
}

/// Several values of an item have a zero between them.
fn of_ape(ape: Option<&ApeTag>) -> GatheredTags {
    let mut tags = GatheredTags::default();
    for item in ape.into_iter().flatten() {
        for text in item
            .value()
            .text()
            .into_iter()
            .flat_map(|it| it.split('\0'))
        {
            tags.put_named(TagFamily::Words, item.key(), text);
        }
    }
    tags
}

fn of_id3v1(id3: Option<&Id3v1Tag>) -> GatheredTags {
    let mut tags = GatheredTags::default();
    let Some(id3) = id3 else {
        return tags;
    };
    let genre = id3.genre.and_then(|genre| GENRES.get(usize::from(genre)));
    let (year, track) = (id3.year, id3.track_number);
    for (tag, text) in [
        (Tag::Title, id3.title.clone()),
        (Tag::Artist, id3.artist.clone()),
        (Tag::Album, id3.album.clone()),
        (
            Tag::Date,
            year.filter(|year| *year > 0).map(|it| it.to_string()),
        ),
        (Tag::Comment, id3.comment.clone()),
        (Tag::Track, track.map(|it| it.to_string())),
        (Tag::Genre, genre.map(|it| (*it).to_owned())),
    ] {
        if let Some(text) = text {
            tags.put(tag, 0, &text);
        }
    }
    tags
}

fn of_items(items: Option<&Ilst>) -> GatheredTags {
    let mut tags = GatheredTags::default();
    for item in items.into_iter().flatten() {
        let (family, name) = match item.ident() {
            AtomIdent::Fourcc(name) => {
                let name = name.iter().map(|byte| char::from(*byte)).collect();
                (TagFamily::Mp4, name)
            }
            AtomIdent::Freeform { name, .. } => (TagFamily::Words, name.to_string()),
        };
        for value in item.data() {
            if let Some(text) = text_of(value) {
                tags.put_named(family, &name, &text);
            }
        }
    }
    tags
}

/// The text of an item's value. Track and disc are two bytes of nothing, two of the number, and
/// two of how many there are.
fn text_of(value: &AtomData) -> Option<String> {
    match value {
        AtomData::UTF8(text) | AtomData::UTF16(text) => Some(text.clone()),
        AtomData::SignedInteger(number) => Some(number.to_string()),
        AtomData::UnsignedInteger(number) => Some(number.to_string()),
        AtomData::Bool(is_set) => Some(u8::from(*is_set).to_string()),
        AtomData::Unknown { data, .. } => match data[..] {
            [_, _, high, low, ..] => {
                let number = u16::from_be_bytes([high, low]);
                (number > 0).then(|| number.to_string())
            }
            _ => None,
        },
        _ => None,
    }
}
