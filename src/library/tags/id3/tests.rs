use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::catalog::Tag;

/// A frame of 2.3 or 2.4, whose size is below 128.
fn frame(id: &str, content: &[u8]) -> Vec<u8> {
    flagged(id, [0, 0], content)
}

fn flagged(id: &str, flags: [u8; 2], content: &[u8]) -> Vec<u8> {
    let size = (content.len() as u32).to_be_bytes();
    [id.as_bytes(), &size, &flags, content].concat()
}

/// A tag of this version with these flags.
fn tag(version: u8, flags: u8, frames: &[u8]) -> Vec<u8> {
    let size = [21, 14, 7, 0].map(|shift| (frames.len() >> shift & 0x7f) as u8);
    [b"ID3", &[version, 0, flags][..], &size, frames].concat()
}

fn read(file: &[u8]) -> Id3Tags {
    let mut found = Id3Tags::default();
    found.read(&mut Cursor::new(file), 0).unwrap();
    found
}

/// The values of a tag of good frames around this one, without those, and what is left out.
fn between(version: u8, frame_between: &[u8]) -> (Vec<(Tag, String)>, Vec<String>) {
    let title = frame("TIT2", b"\0Good title");
    let artist = frame("TPE1", b"\0Good artist");
    let frames = [&title[..], frame_between, &artist].concat();
    let found = read(&tag(version, 0, &frames));
    let tags = found.tags.into_tags();
    let mut all: Vec<_> = tags
        .iter()
        .map(|(tag, text)| (tag, text.to_owned()))
        .collect();
    for good in [(Tag::Title, "Good title"), (Tag::Artist, "Good artist")] {
        let at = all
            .iter()
            .position(|(tag, text)| (*tag, &**text) == good)
            .unwrap_or_else(|| panic!("no {good:?} beside {frame_between:?}"));
        all.remove(at);
    }
    (all, found.losses)
}

#[test]
fn a_broken_frame_costs_itself_and_no_other() {
    let album: Vec<u8> = "Album".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let odd = [b"\x01\xff\xfe", &album[..], &[0]].concat();
    let unmarked = [&[1], &album[..]].concat();
    for (version, frame, value, loss) in [
        (3, frame("TALB", &odd), Some("Album"), ""),
        (3, frame("TALB", &unmarked), Some("Album"), ""),
        (4, frame("TALB", b"\x03Al\xe9b"), Some("Aléb"), ""),
        (3, frame("TALB", b"\x09Alb"), None, "TALB is not a text"),
        (
            3,
            frame("TALB", b"\x01\xff\xfe\0\xd8"),
            None,
            "TALB is not a text",
        ),
        (3, frame("TALB", b""), None, ""),
        (3, frame("TALB", b"\0"), None, ""),
        (3, frame("COMM", b"\0"), None, "COMM is not a text"),
        (3, frame("COMM", b"\0en"), None, "COMM is not a text"),
        (3, frame("TXXX", b"\x07abc"), None, "TXXX is not a text"),
        (3, frame("UFID", b""), None, ""),
        (
            3,
            flagged("TALB", [0, 0x40], b"\x01Alb!"),
            None,
            "TALB is encrypted",
        ),
        (
            4,
            flagged("TALB", [0, 4], b"\x01Alb!"),
            None,
            "TALB is encrypted",
        ),
        (
            3,
            flagged("TALB", [0, 0x80], b"\0\0\0\x04x"),
            None,
            "TALB is compressed",
        ),
        (
            3,
            flagged("TALB", [0, 0x20], b"\x01\0Album"),
            Some("Album"),
            "",
        ),
        (
            4,
            flagged("TALB", [0, 0x41], b"\x01\0\0\0\x06\0Album"),
            Some("Album"),
            "",
        ),
        (4, flagged("TALB", [0, 0x40], b""), None, ""),
        (
            4,
            flagged("TALB", [0, 2], b"\x01\xff\0\xfeA\0"),
            Some("A"),
            "",
        ),
        // Frames that nobody knows, or that are not read.
        (4, frame("T+LB", b"\x03x"), None, ""),
        (4, frame("GEOB", &[0xff; 99]), None, ""),
    ] {
        let (values, losses) = between(version, &frame);
        let expected = value.map(|text| (Tag::Album, text.to_owned()));
        assert_eq!(values, Vec::from_iter(expected), "{frame:?}");
        assert_eq!(losses.join(", "), loss, "{frame:?}");
    }
}

#[test]
fn frames_end_where_they_are_cut_off_or_no_frames() {
    let title = frame("TIT2", b"\0Title");
    for (behind, loss) in [
        (&b"TALB\0\0\0\x7f\0\0\0Album"[..], "TALB is cut off"),
        (
            b"\xff\xfe\0\0\0\0\0\0\0\0\0\0\0",
            "what follows is not a frame",
        ),
        (&[0; 100], ""),
        (b"TALB", ""),
    ] {
        let found = read(&tag(4, 0, &[&title, behind].concat()));
        assert_eq!(found.tags.first(Tag::Title), Some("Title"));
        assert_eq!(found.losses.join(", "), loss);
    }
    // The file itself.
    let whole = tag(4, 0, &[title, frame("TALB", b"\0Album")].concat());
    let found = read(&whole[..whole.len() - 2]);
    assert_eq!(found.tags.first(Tag::Title), Some("Title"));
    assert_eq!(found.losses, ["TALB is cut off"]);
}

#[test]
fn sizes_of_2_4_are_synchsafe_or_what_itunes_wrote() {
    let long = |size: [u8; 4]| {
        let text = "L".repeat(335);
        [b"TIT2", &size[..], &[0; 2], &[3], text.as_bytes()].concat()
    };
    let artist = frame("TPE1", b"\x03Artist");
    // 336, as seven bits a byte, and as eight, which is 208 of the others.
    for (size, padding) in [
        ([0, 0, 2, 0x50], 0),
        ([0, 0, 1, 0x50], 0),
        ([0, 0, 1, 0x50], 50),
    ] {
        let frames = [&long(size)[..], &artist, &vec![0; padding]].concat();
        let found = read(&tag(4, 0, &frames));
        assert_eq!(found.tags.first(Tag::Artist), Some("Artist"), "{size:?}");
        assert_eq!(found.losses.len(), 0);
    }
    // It is not both in one tag: 208 lead to a frame here, and are not asked again.
    let first = long([0, 0, 1, 0x50]);
    let second = [b"TALB", &[0, 0, 0, 0xd0][..], &[0; 2], &[3; 208]].concat();
    let found = read(&tag(4, 0, &[first, second, artist].concat()));
    assert_eq!(found.tags.first(Tag::Artist), Some("Artist"));
}

#[test]
fn extended_headers_are_passed_over() {
    let title = frame("TIT2", b"\0Title");
    for (version, extended) in [
        (3, &b"\0\0\0\x06\0\0\0\0\0\0"[..]),
        (3, b"\0\0\0\x0a\x80\0\0\0\0\0\x01\x02\x03\x04"),
        (4, b"\0\0\0\x06\x01\0"),
        (4, b"\0\0\0\x0c\x01\x20\x05\0\0\0\0\0"),
        // None, though the tag says that there is one.
        (3, b""),
        (4, b""),
    ] {
        let found = read(&tag(version, 0x40, &[extended, &title].concat()));
        assert_eq!(found.tags.first(Tag::Title), Some("Title"), "{extended:?}");
    }
}

#[test]
fn older_versions_and_unsynchronised_tags_are_read() {
    let short = |id: &str, content: &[u8]| {
        let size = content.len() as u8;
        [id.as_bytes(), &[0, 0, size], content].concat()
    };
    let frames = [
        short("TT2", b"\0Title"),
        short("TP1", b"\x01\xff\0\xfeA\0"),
        short("TYE", b"\x001999"),
        short("TDA", b"\x000105"),
        short("PIC", &[1; 99]),
        short("TRK", b"\x007/12"),
    ];
    // The zero behind 0xff is not counted where the tag is unsynchronised as a whole.
    let mut unsynchronised = frames.clone();
    unsynchronised[1][5] -= 1;
    let found = read(&tag(2, 0x80, &unsynchronised.concat()));
    let expected = [
        (Tag::Artist, "A"),
        (Tag::Title, "Title"),
        (Tag::Track, "7"),
        (Tag::Date, "1999-05-01"),
    ];
    let tags = found.tags.into_tags();
    assert_eq!(tags.iter().collect::<Vec<_>>(), expected);
    // Frames of 2.2 in a tag of 2.3.
    let found = read(&tag(3, 0, &frame("TT2\0", b"\0Title")));
    assert_eq!(found.tags.first(Tag::Title), Some("Title"));
}

#[test]
fn values_have_zeros_between_them_and_slashes_where_id3_says_so() {
    for (version, id, text, expected) in [
        (4, "TPE1", "One\0Two\0Three", &["One", "Two", "Three"][..]),
        (4, "TPE1", "One/Two", &["One/Two"]),
        (3, "TPE1", "One/Two", &["One", "Two"]),
        (3, "TPE1", "One\0Two/Three", &["One", "Two/Three"]),
        (3, "TPE1", "AC/DC", &["AC/DC"]),
        (3, "TIT2", "One/Two", &["One/Two"]),
        (3, "TCOM", "One / Two", &["One", "Two"]),
        (
            3,
            "TCON",
            "(17)(4)Eurodisco",
            &["Rock", "Disco", "Eurodisco"],
        ),
        (4, "TCON", "17\0Live", &["Rock", "Live"]),
    ] {
        let content = [&[0], text.as_bytes()].concat();
        let found = read(&tag(version, 0, &frame(id, &content)));
        let tags = found.tags.into_tags();
        let values: Vec<_> = tags.iter().map(|(_, text)| text).collect();
        assert_eq!(values, expected, "{id} {text}");
    }
}

#[test]
fn dates_are_read_wherever_they_are_written() {
    let frames = |frames: &[(&str, &str)]| {
        let content = |text: &str| [&[0], text.as_bytes()].concat();
        let frames = frames.iter().map(|(id, text)| frame(id, &content(text)));
        frames.collect::<Vec<_>>().concat()
    };
    for (version, written, expected) in [
        (3, &[("TDRC", "1999-05-01")][..], "1999-05-01"),
        (4, &[("TDRC", "2005/06/07")], "2005-06-07"),
        (3, &[("TYER", "1999-05-01")], "1999-05-01"),
        (3, &[("TDAT", "0105"), ("TYER", "1999")], "1999-05-01"),
        (3, &[("TDAT", "May"), ("TYER", "1999")], "1999"),
        (3, &[("TDAT", "é1x"), ("TYER", "1999")], "1999"),
        (4, &[("TYER", "1999"), ("TDAT", "0105")], "1999"),
        (3, &[("TYER", "1999"), ("TDRC", "2000-01-02")], "2000-01-02"),
        (4, &[("TDRL", "2001"), ("TDRC", "2000")], "2000"),
    ] {
        let found = read(&tag(version, 0, &frames(written)));
        assert_eq!(found.tags.first(Tag::Date), Some(expected), "{written:?}");
    }
    let found = read(&tag(3, 0, &frames(&[("TORY", "1969")])));
    assert_eq!(found.tags.first(Tag::OriginalDate), Some("1969"));
}

#[test]
fn frames_of_words_players_and_identifiers_are_read() {
    let frames = [
        frame("TXXX", b"\0MusicBrainz Album Id\0id"),
        frame("TXXX", b"\x03LABEL\0words"),
        frame("TXXX", b"\x03Ensemble\0E\0F"),
        frame("TPUB", b"\0frame"),
        frame("TMCL", b"\0piano\0P\0violin\0V\0"),
        frame("UFID", b"http://musicbrainz.org\0track"),
        frame("UFID", b"http://other.example\0other"),
        frame("COMM", b"\0engiTunNORM\0 0000"),
        frame("COMM", b"\0engabout\0described"),
        frame("COMM", b"\0eng\0plain"),
    ];
    let tags = read(&tag(4, 0, &frames.concat())).tags.into_tags();
    let expected = [
        (Tag::Performer, "P (piano)"),
        (Tag::Performer, "V (violin)"),
        (Tag::Ensemble, "E"),
        (Tag::Ensemble, "F"),
        (Tag::Comment, "plain"),
        (Tag::Label, "frame"),
        (Tag::MusicBrainzAlbumId, "id"),
        (Tag::MusicBrainzTrackId, "track"),
    ];
    assert_eq!(tags.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn tags_are_found_behind_junk_and_one_behind_the_other() {
    let one = tag(
        4,
        0x10,
        &[frame("TIT2", b"\0Title"), b"3DI\x04\0\0\0\0\0\0".to_vec()].concat(),
    );
    let mut one = one;
    // The footer is not in the size.
    one[9] -= 10;
    let two = tag(3, 0, &frame("TALB", b"\0Album"));
    let file = [&[0; 20][..], &one, &two, b"sound"].concat();
    let mut cursor = Cursor::new(&file);
    let place = place(&mut cursor, MAX_JUNK).unwrap();
    assert_eq!(place, 20..file.len() as u64 - 5);
    let mut found = Id3Tags::default();
    found.read(&mut cursor, place.start).unwrap();
    assert_eq!(found.tags.first(Tag::Album), Some("Album"));
    assert_eq!(found.tags.first(Tag::Title), Some("Title"));
    for none in [
        &b""[..],
        b"ID3",
        b"xID3\x04\0\0\xff\0\0\0",
        b"ID3\x09\0\0\0\0\0\0",
    ] {
        assert_eq!(
            super::place(&mut Cursor::new(none), MAX_JUNK).unwrap(),
            0..0
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_tag_and_take_no_more_than_they_are(
        version in 2u8..=4,
        flags in any::<u8>(),
        frames in prop::collection::vec(
            ("(TIT2|TPE1|COMM|TXXX|TMCL|UFID|TCON|TDAT|[A-Z0-9 ]{3,4})",
             prop::collection::vec(any::<u8>(), 0..40), any::<[u8; 2]>()),
            0..6,
        ),
        cut in 0usize..40,
    ) {
        let frames = frames.iter().flat_map(|(id, content, flags)| flagged(id, *flags, content));
        let mut file = tag(version, flags, &frames.collect::<Vec<_>>());
        file.truncate(file.len().saturating_sub(cut));
        let found = read(&file);
        prop_assert!(found.losses.len() <= MAX_LOSSES);
        found.tags.into_tags();
    }
}
