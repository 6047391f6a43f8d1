use std::time::Duration;

use proptest::prelude::*;

use super::{values::MAX_TAG_BYTES, *};
use crate::catalog::{Tag, Tags, TagsRef};

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

/// All values that were read, in their order.
fn all(read: &FileTags) -> Vec<(Tag, &str)> {
    read.tags.iter().collect()
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
    let title = b"TIT2\0\0\0\x06\0\0\0Title";
    let id3 = [&title[..], &id3].concat();
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
    for (file, container, has_length, title) in [
        (tagged, Container::Mp3, true, Some("Title")),
        (
            [sound, ape, footer.concat()].concat(),
            Container::Mp3,
            false,
            None,
        ),
        (wav(&info), Container::Wav, true, Some("x")),
        (flac, Container::Flac, false, None),
        (
            m4a(&many(&|n| {
                atom(&n.to_be_bytes(), &atom(b"data", b"\0\0\0\x01\0\0\0\0x"))
            })),
            Container::M4a,
            false,
            None,
        ),
    ] {
        let read = read_bytes(&file, container);
        // What comes before there are too many.
        let expected = title.map(|title| (Tag::Title, title));
        assert_eq!(all(&read), Vec::from_iter(expected), "{container:?}");
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
    let frames = mp3(&[(b"TIT2", [0, 9], hello), (b"TPE1", [0; 2], b"\x03Artist")]);
    let read = read_bytes(&frames, Container::Mp3);
    assert_eq!(all(&read), [(Tag::Artist, "Artist")]);
    assert!(read.duration.is_some());
    let why = read.trouble.unwrap_or_default();
    assert!(why.contains("TIT2 is compressed"), "{why}");
}

/// Chapters in chapters: few bytes and items, and lofty's parser calls itself for each.
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
    let title: (&[u8; 4], _, &[u8]) = (b"TIT2", [0; 2], b"\x03Title");
    let read = read_bytes(&mp3(&[(b"CHAP", [0; 2], &chapters), title]), Container::Mp3);
    assert!(read.duration.is_some());
    assert_eq!(all(&read), [(Tag::Title, "Title")]);
    assert_eq!(read.trouble, None);
}

#[test]
fn an_id3_tag_before_any_format_is_read_and_passed_over() {
    let id3 = |frames: &[(&[u8; 4], [u8; 2], &[u8])]| {
        let mut file = mp3(frames);
        file.truncate(file.len() - 41_700);
        file
    };
    let tag = id3(&[
        (b"TIT2", [0; 2], b"\x03Title"),
        (b"TPE1", [0; 2], b"\x03Artist"),
    ]);
    let info = wav(&[(b"INAM", "Info Title"), (b"IPRD", "Info Album")]);
    let read = read_bytes(&[&tag[..], &info].concat(), Container::Wav);
    assert_eq!(read.duration, Some(Duration::from_secs(1)));
    let expected = [
        (Tag::Artist, "Artist"),
        (Tag::Title, "Title"),
        (Tag::Album, "Info Album"),
    ];
    assert_eq!(all(&read), expected);
    // Junk before it, and two of them.
    let more = id3(&[
        (b"TPE1", [0; 2], b"\x03Other"),
        (b"TALB", [0; 2], b"\x03Album"),
    ]);
    let sound = mp3(&[]);
    let file = [&[0; 100][..], &tag, &more, &sound].concat();
    let read = read_bytes(&file, Container::Mp3);
    let expected = [
        (Tag::Artist, "Artist"),
        (Tag::Title, "Title"),
        (Tag::Album, "Album"),
    ];
    assert_eq!(all(&read), expected);
    assert!(read.duration.is_some());
}

/// A WAV file with a chunk of this name behind its sound, which is of an odd length.
fn wav_with(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut file = wav(&[(b"IART", "Info Artist"), (b"IGNR", "caf\u{e9}")]);
    file.extend([id, &(body.len() as u32).to_le_bytes()[..], body].concat());
    let size = (file.len() as u32 - 8).to_le_bytes();
    file[4..8].copy_from_slice(&size);
    file
}

#[test]
fn info_and_id3_of_one_wav_file_are_merged() {
    let mut id3 = mp3(&[
        (b"TPE1", [0; 2], b"\x03Artist\0Second"),
        (b"TALB", [0; 2], b"\x03Album"),
    ]);
    id3.truncate(id3.len() - 41_700);
    for id in [b"id3 ", b"ID3 "] {
        let mut file = wav_with(id, &id3);
        let expected = [
            (Tag::Artist, "Artist"),
            (Tag::Artist, "Second"),
            (Tag::Album, "Album"),
            (Tag::Genre, "caf\u{e9}"),
        ];
        assert_eq!(all(&read_bytes(&file, Container::Wav)), expected);
        // As Windows writes it.
        let at = file.windows(5).position(|it| it == "caf\u{e9}".as_bytes());
        file[at.unwrap() + 3..][..2].copy_from_slice(b"\xe9\0");
        assert_eq!(all(&read_bytes(&file, Container::Wav)), expected);
    }
}

/// Their sizes of 32 bits say nothing, and a chunk of 64 does.
#[test]
fn tags_behind_more_than_four_gigabytes_are_found() {
    let sound = 5_000_000_001u64;
    let sizes = [&[0; 8][..], &sound.to_le_bytes(), &[0; 12]].concat();
    let head = [
        b"RF64\xff\xff\xff\xffWAVEds64",
        &28u32.to_le_bytes()[..],
        &sizes,
        b"data\xff\xff\xff\xff",
    ];
    let head = head.concat();
    let list = b"LIST\x12\0\0\0INFOINAM\x06\0\0\0Title\0";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &head).unwrap();
    let behind = head.len() as u64 + sound + 1;
    file.as_file().set_len(behind).unwrap();
    std::os::unix::fs::FileExt::write_all_at(file.as_file(), list, behind).unwrap();
    let found = read(file.as_file(), Container::Wav);
    assert_eq!(all(&found), [(Tag::Title, "Title")]);
    assert_eq!(found.trouble, None);
    // A size that leads nowhere.
    std::os::unix::fs::FileExt::write_all_at(file.as_file(), &[0xff; 8], 28).unwrap();
    assert_eq!(all(&read(file.as_file(), Container::Wav)), []);
}

/// 128 bytes behind the sound.
fn id3v1(title: &str, artist: &str, year: &str, track: u8, genre: u8) -> Vec<u8> {
    let field = |text: &str, size| {
        let mut field = text.as_bytes().to_vec();
        field.resize(size, 0);
        field
    };
    let fields = [
        field(title, 30),
        field(artist, 30),
        field("V1 Album", 30),
        field(year, 4),
        field("V1 comment", 28),
    ];
    [b"TAG", &fields.concat()[..], &[0, track, genre]].concat()
}

#[test]
fn what_a_poor_id3v2_tag_lacks_is_filled_up_from_ape_and_id3v1() {
    let v2 = mp3(&[(b"TIT2", [0; 2], b"\x03Title")]);
    let v1 = id3v1("V1 Title", "V1 Artist", "1999", 5, 17);
    let read = read_bytes(&[&v2[..], &v1].concat(), Container::Mp3);
    let expected = [
        (Tag::Artist, "V1 Artist"),
        (Tag::Title, "Title"),
        (Tag::Album, "V1 Album"),
        (Tag::Track, "5"),
        (Tag::Date, "1999"),
        (Tag::Genre, "Rock"),
        (Tag::Comment, "V1 comment"),
    ];
    assert_eq!(all(&read), expected);
    let item = |key: &str, text: &str| {
        let size = (text.len() as u32).to_le_bytes();
        [&size[..], &[0; 4], key.as_bytes(), &[0], text.as_bytes()].concat()
    };
    let items = [
        item("Artist", "One\0Two"),
        item("TITLE", "APE Title"),
        item("Year", "2001-02-03"),
        item("Track", "3/9"),
        item("Album Artist", "Band"),
    ];
    let body = items.concat();
    let footer = [
        b"APETAGEX\xd0\x07\0\0",
        &(body.len() as u32 + 32).to_le_bytes()[..],
        &(items.len() as u32).to_le_bytes(),
        &[0; 12],
    ];
    let file = [&v2[..], &body, &footer.concat()].concat();
    let expected = [
        (Tag::Artist, "One"),
        (Tag::Artist, "Two"),
        (Tag::AlbumArtist, "Band"),
        (Tag::Title, "Title"),
        (Tag::Track, "3"),
        (Tag::Date, "2001-02-03"),
    ];
    assert_eq!(all(&read_bytes(&file, Container::Mp3)), expected);
}

/// Its tags are read though no frame of sound is found.
#[test]
fn tags_do_not_depend_on_the_sound() {
    let v2 = [&mp3(&[(b"TIT2", [0; 2], b"\x03Title")])[..26], &[7; 500]].concat();
    let v1 = id3v1("V1 Title", "V1 Artist", "1999", 5, 17);
    let read = read_bytes(&[v2, v1].concat(), Container::Mp3);
    let first = |tag| TagsRef::from(&read.tags).first(tag);
    assert_eq!(first(Tag::Title), Some("Title"));
    assert_eq!(first(Tag::Artist), Some("V1 Artist"));
    assert_eq!(read.trouble, None);
}

/// A FLAC file without sound that has these comments.
fn flac(comments: &[&[u8]]) -> Vec<u8> {
    let items = comments
        .iter()
        .flat_map(|text| [&(text.len() as u32).to_le_bytes(), *text].concat());
    let block = [&[0; 4][..], &(comments.len() as u32).to_le_bytes()].concat();
    let block: Vec<u8> = block.into_iter().chain(items).collect();
    let head = b"fLaC\0\0\0\x22\x10\0\x10\0\0\0\0\0\0\0\x0a\xc4\x42\xf0\0\0\xac\x44";
    let len = (block.len() as u32).to_be_bytes();
    [&head[..], &[0; 16], &[0x84, len[1], len[2], len[3]], &block].concat()
}

#[test]
fn all_values_of_a_comment_are_read_and_broken_ones_left_out() {
    let read = read_bytes(
        &flac(&[
            b"ARTIST=First",
            b"artist=Second \xc3\xa9",
            b"GENRE=One",
            b"GENRE=Two",
            b"TRACKNUMBER=7 of 12",
            b"DISCNUMBER=2/3",
            b"ALBUM=not UTF-8 \xff",
            b"no value",
            b"CONDUCTOR=C",
            b"PERFORMER=P (violin)",
            b"ORGANIZATION=L",
            b"MOVEMENTNAME=M",
            b"MOVEMENT=3",
            b"LOCATION=Hall",
            b"MUSICBRAINZ_TRACKID=6cb4f60b-0e1d-4c2a-9f38-7f7b0b2b8f9e",
        ]),
        Container::Flac,
    );
    let expected = [
        (Tag::Artist, "First"),
        (Tag::Artist, "Second é"),
        (Tag::Track, "7"),
        (Tag::Genre, "One"),
        (Tag::Genre, "Two"),
        (Tag::Disc, "2"),
        (Tag::Performer, "P (violin)"),
        (Tag::Conductor, "C"),
        (Tag::Movement, "M"),
        (Tag::MovementNumber, "3"),
        (Tag::Location, "Hall"),
        (Tag::Label, "L"),
        (
            Tag::MusicBrainzTrackId,
            "6cb4f60b-0e1d-4c2a-9f38-7f7b0b2b8f9e",
        ),
    ];
    assert_eq!(all(&read), expected);
}

#[test]
fn all_values_of_an_mp4_item_are_read() {
    let data =
        |kind: u8, bytes: &[u8]| atom(b"data", &[&[0, 0, 0, kind, 0, 0, 0, 0], bytes].concat());
    let text = |text: &str| data(1, text.as_bytes());
    let word = |name: &str, values: &[u8]| {
        let mean = atom(b"mean", b"\0\0\0\0com.apple.iTunes");
        let name = atom(b"name", &[&[0; 4], name.as_bytes()].concat());
        atom(b"----", &[&mean, &name, values].concat())
    };
    let items = [
        atom(b"\xa9ART", &[text("One"), text("Two")].concat()),
        atom(b"\xa9nam", &text("Title")),
        atom(b"trkn", &data(0, &[0, 0, 0, 7, 0, 12, 0, 0])),
        atom(b"disk", &data(0, &[0, 0, 0, 2, 0, 3])),
        atom(b"\xa9mvi", &data(21, &[3])),
        atom(b"shwm", &data(21, &[1])),
        atom(b"soar", &text("One, The")),
        word("LABEL", &[text("A"), text("B")].concat()),
        word("MusicBrainz Album Id", &text("id")),
    ];
    let read = read_bytes(&m4a(&items.concat()), Container::M4a);
    let expected = [
        (Tag::Artist, "One"),
        (Tag::Artist, "Two"),
        (Tag::Title, "Title"),
        (Tag::Track, "7"),
        (Tag::Disc, "2"),
        (Tag::ArtistSort, "One, The"),
        (Tag::MovementNumber, "3"),
        (Tag::ShowMovement, "1"),
        (Tag::Label, "A"),
        (Tag::Label, "B"),
        (Tag::MusicBrainzAlbumId, "id"),
    ];
    assert_eq!(all(&read), expected);
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
