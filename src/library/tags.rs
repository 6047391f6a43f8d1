//! Reading a file's tags.
//!
//! Everything here was written by strangers: each value is trimmed, freed of
//! characters that nobody sees and cut to [`MAX_TAG_BYTES`]; pictures are skipped, lofty
//! may never allocate more than [`MAX_TAG_ALLOCATION`] at once, and what it
//! reads has a [`budget`]. A file with broken or endless tags is a file without
//! tags, and says why.

mod account;
mod budget;
pub mod values;

use std::{
    error::Error,
    fs::File,
    io::{BufReader, Read, Seek},
};

use lofty::{
    config::{apply_global_options, GlobalOptions, ParseOptions, ParsingMode},
    error::{FileParseError, UnknownFormatError},
    file::{AudioFile, FileType, TaggedFile, TaggedFileExt},
    flac::FlacFile,
    iff::wav::WavFile,
    mp4::Mp4File,
    mpeg::MpegFile,
    ogg::{OpusFile, SpeexFile, VorbisFile},
    probe::Probe,
    tag::{ItemKey, Tag as LoftyTag},
};

use self::{
    budget::Budgeted,
    values::{clean, number, FileTags},
};
use crate::{
    catalog::{Tag, Tags},
    media::{guard::guarded, Container},
};

/// Reads the tags of `file`; none when it has none, or they make no sense.
pub fn read(file: &File, container: Container) -> FileTags {
    match parse(file, container, true) {
        Ok(found) => found,
        Err(why) => {
            // Its length is no tag.
            let bare = parse(file, container, false).unwrap_or_default();
            FileTags {
                duration: bare.duration,
                trouble: Some(why),
                ..FileTags::default()
            }
        }
    }
}

/// What lofty finds in a file, within a budget of its own.
fn parse(mut file: &File, container: Container, with_tags: bool) -> Result<FileTags, String> {
    // lofty keeps its options by thread, so they are set where it runs.
    apply_global_options(GlobalOptions::new().allocation_limit(MAX_TAG_ALLOCATION));
    let options = ParseOptions::new()
        .read_cover_art(false)
        .read_tags(with_tags)
        .parsing_mode(ParsingMode::Relaxed);
    file.rewind().map_err(|error| error.to_string())?;
    let reader = Budgeted::new(BufReader::new(file));
    let spent = reader.spent();
    let parsed = guarded(move || read_as(reader, container, options));
    if let Some(why) = spent.over() {
        return Err(why);
    }
    let parsed = parsed.map_err(|panicked| panicked.to_string())?;
    let parsed = parsed.map_err(|error| format!("its tags are damaged: {}", last_cause(&error)))?;
    let duration = Some(parsed.properties().duration()).filter(|duration| !duration.is_zero());
    let tags = parsed.primary_tag().or_else(|| parsed.first_tag());
    Ok(FileTags {
        tags: tags.map(tags_of).unwrap_or_default(),
        duration,
        trouble: None,
    })
}

/// What is behind all that an error names.
fn last_cause(error: &dyn Error) -> &dyn Error {
    error.source().map_or(error, last_cause)
}

/// Reads the tags of a file that says it is a `container`. The probe of lofty would bring the
/// readers of all formats that it knows.
fn read_as(
    reader: impl Read + Seek,
    container: Container,
    options: ParseOptions,
) -> Result<TaggedFile, FileParseError> {
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
        Some(FileType::Wav) => WavFile::read_from(reader, options)?.into(),
        Some(FileType::Flac) => FlacFile::read_from(reader, options)?.into(),
        Some(FileType::Mpeg) => MpegFile::read_from(reader, options)?.into(),
        Some(FileType::Mp4) => Mp4File::read_from(reader, options)?.into(),
        Some(FileType::Vorbis) => VorbisFile::read_from(reader, options)?.into(),
        Some(FileType::Opus) => OpusFile::read_from(reader, options)?.into(),
        Some(FileType::Speex) => SpeexFile::read_from(reader, options)?.into(),
        _ => return Err(UnknownFormatError.into()),
    })
}

fn tags_of(found: &LoftyTag) -> Tags {
    let text = |key| clean(found.get_string(key)?);
    let date = || text(ItemKey::RecordingDate).or_else(|| text(ItemKey::Year));
    let values = TEXTS.iter().map(|(tag, key)| Some((*tag, text(*key)?)));
    let numbers = NUMBERS.iter().map(|(tag, key)| {
        let number = found.get_string(*key).and_then(number)?;
        Some((*tag, number.to_string()))
    });
    let date = date().map(|date| (Tag::Date, date));
    let all = values.chain(numbers).chain([date]);
    all.flatten().collect()
}

/// Where lofty finds the tags that are texts, but for dates, which are found at two places.
const TEXTS: &[(Tag, ItemKey)] = &[
    (Tag::Artist, ItemKey::TrackArtist),
    (Tag::AlbumArtist, ItemKey::AlbumArtist),
    (Tag::Title, ItemKey::TrackTitle),
    (Tag::Album, ItemKey::AlbumTitle),
    (Tag::Genre, ItemKey::Genre),
    (Tag::Composer, ItemKey::Composer),
];

/// The same of those that are numbers.
const NUMBERS: &[(Tag, ItemKey)] = &[
    (Tag::Track, ItemKey::TrackNumber),
    (Tag::Disc, ItemKey::DiscNumber),
];

/// For one item of a tag. An MP4 file's tags are one item, covers included,
/// although those are not kept; files are read one at a time.
const MAX_TAG_ALLOCATION: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{values::MAX_TAG_BYTES, *};
    use crate::catalog::TagsRef;

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

    fn read_bytes(bytes: &[u8], container: Container) -> FileTags {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.as_file(), container)
    }

    #[test]
    fn tags_are_read_and_tidied() {
        let long = "é".repeat(MAX_TAG_BYTES);
        let bytes = wav(&[
            (b"INAM", "\u{feff}  two\nlines\t\u{202e}"),
            (b"IART", &long),
            (b"IPRD", " \n "),
            (b"ICRD", "1997"),
            (b"IPRT", "07/12"),
        ]);
        let read = read_bytes(&bytes, Container::Wav);
        assert_eq!(read.duration, Some(Duration::from_secs(1)));
        let tags = read.tags;
        let first = |tag| TagsRef::from(&tags).first(tag);
        assert_eq!(first(Tag::Title), Some("two lines"));
        assert_eq!(first(Tag::Artist), Some(&long[..MAX_TAG_BYTES]));
        assert_eq!(first(Tag::Album), None);
        assert_eq!(first(Tag::Date), Some("1997"));
        assert_eq!(first(Tag::Track), Some("7"));
    }

    #[test]
    fn a_file_without_tags_has_none() {
        assert_eq!(read_bytes(&wav(&[]), Container::Wav).tags, Tags::default());
        assert_eq!(read_bytes(b"", Container::Mp3).tags, Tags::default());
    }

    /// An item of each kind of tag, in files of each format, far too often.
    #[test]
    fn endless_tags_are_not_read_and_the_length_is() {
        let many = |item: &dyn Fn(u32) -> Vec<u8>| (0..100_000).flat_map(item).collect::<Vec<u8>>();
        let id3 = many(&|n| [b"TXXX\0\0\0\x08\0\0\0", &*format!("{n:06}\0").into_bytes()].concat());
        let synchsafe = |n: usize| [n >> 21, n >> 14, n >> 7, n].map(|n| (n & 0x7f) as u8);
        let mut frame = vec![0; 417];
        frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0]);
        let sound = frame.repeat(100);
        let tagged = [&b"ID3\x03\0\0"[..], &synchsafe(id3.len()), &id3, &sound].concat();
        let ape = many(&|n| {
            [
                &[1, 0, 0, 0, 0, 0, 0, 0],
                &*format!("K{n:06}\0x").into_bytes(),
            ]
            .concat()
        });
        let footer = [
            b"APETAGEX\xd0\x07\0\0",
            &(ape.len() as u32 + 32).to_le_bytes()[..],
            &100_000u32.to_le_bytes(),
            &[0; 12],
        ];
        let info: Vec<(&[u8; 4], &str)> = vec![(b"INAM", "x"); 100_000];
        let comments = many(&|n| [&[8, 0, 0, 0], &*format!("K{n:05}=x").into_bytes()].concat());
        let comments = [&[0; 4], &100_000u32.to_le_bytes()[..], &comments].concat();
        let head = [
            b"fLaC\0\0\0\x22\x10\0\x10\0\0\0\0\0\0\0\x0a\xc4\x42\xf0\0\0\xac\x44",
            &[0; 16][..],
        ];
        let len = (comments.len() as u32).to_be_bytes();
        let flac = [
            &head.concat()[..],
            &[0x84, len[1], len[2], len[3]],
            &comments,
        ]
        .concat();
        for (file, container, has_length) in [
            (tagged, Container::Mp3, true),
            (
                [sound, ape, footer.concat()].concat(),
                Container::Mp3,
                false,
            ),
            (wav(&info), Container::Wav, true),
            (flac, Container::Flac, false),
            (
                m4a(&many(&|n| {
                    atom(&n.to_be_bytes(), &atom(b"data", b"\0\0\0\x01\0\0\0\0x"))
                })),
                Container::M4a,
                false,
            ),
        ] {
            let read = read_bytes(&file, container);
            assert_eq!(read.tags, Tags::default());
            let why = read.trouble.unwrap_or_default();
            assert!(why.contains("more than"), "{container:?}: {why}");
            assert!(!has_length || read.duration.is_some(), "{container:?}");
        }
    }

    /// An MP3 file with these frames of ID3v2.4, each with flags.
    fn mp3(frames: &[(&[u8; 4], [u8; 2], &[u8])]) -> Vec<u8> {
        let synchsafe = |n: usize| [n >> 21, n >> 14, n >> 7, n].map(|n| (n & 0x7f) as u8);
        let frame = |&(id, flags, body): &(&[u8; 4], [u8; 2], &[u8])| {
            [&id[..], &synchsafe(body.len()), &flags, body].concat()
        };
        let frames = frames.iter().map(frame).collect::<Vec<_>>().concat();
        let mut sound = vec![0; 417];
        sound[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0]);
        let size = synchsafe(frames.len());
        [b"ID3\x04\0\0", &size[..], &frames, &sound.repeat(100)].concat()
    }

    /// Six megabytes are a gigabyte when they are unpacked.
    #[test]
    fn what_is_compressed_is_not_unpacked() {
        let hello = b"\0\0\0\x06\x78\x01\x01\x06\0\xf9\xff\x03hello\x06\x3f\x02\x18";
        let read = read_bytes(&mp3(&[(b"TIT2", [0, 9], hello)]), Container::Mp3);
        assert_eq!(read.tags, Tags::default());
        assert!(read.duration.is_some());
        let why = read.trouble.unwrap_or_default();
        assert!(why.contains("compressed"), "{why}");
    }

    /// Chapters in chapters: few bytes and items, and the parser calls itself for each.
    #[test]
    fn what_is_nested_does_not_take_the_stack() {
        // So that no length begins with two zeros and counts as an item.
        const PADDING: usize = 1 << 16;
        let begin = [&b"c\0"[..], &[1; 16]].concat();
        let chapter = |n: usize| {
            let size = (n - 1) * (10 + begin.len()) + begin.len() + PADDING;
            let size = [size >> 21, size >> 14, size >> 7, size].map(|n| (n & 0x7f) as u8);
            [b"CHAP", &size[..], &[0x40, 0], &begin].concat()
        };
        let mut chapters: Vec<u8> = (1..=20_000).rev().flat_map(chapter).collect();
        chapters.resize(chapters.len() + PADDING, 0);
        let chapters = [begin.clone(), chapters].concat();
        let read = read_bytes(&mp3(&[(b"CHAP", [0; 2], &chapters)]), Container::Mp3);
        assert!(read.duration.is_some());
        let why = read.trouble.unwrap_or_default();
        assert!(why.contains("nested"), "{why}");
    }

    fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
    }

    /// A movie without sound, with these items.
    fn m4a(items: &[u8]) -> Vec<u8> {
        let handler = atom(b"hdlr", b"\0\0\0\0\0\0\0\0mdirappl\0\0\0\0\0\0\0\0\0");
        let meta = [&[0; 4], &*handler, &atom(b"ilst", items)].concat();
        let movie = atom(b"moov", &atom(b"udta", &atom(b"meta", &meta)));
        [atom(b"ftyp", b"M4A \0\0\0\0M4A mp42"), movie].concat()
    }

    const CONTAINERS: [Container; 5] = [
        Container::Wav,
        Container::Flac,
        Container::Mp3,
        Container::Ogg,
        Container::M4a,
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
            container in prop::sample::select(CONTAINERS.to_vec()),
        ) {
            let tags = read_bytes(&[start, &rest].concat(), container).tags;
            prop_assert!(tags.iter().all(|(_, text)| text.len() <= MAX_TAG_BYTES));
        }
    }
}
