use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

fn build(container: Container, bytes: &[u8]) -> Result<View, ViewError<Infallible>> {
    View::build(container, bytes.len() as u64, None, &mut |at, buf| {
        Ok(read_slice(bytes, at, buf))
    })
}

fn read_slice(bytes: &[u8], at: u64, buf: &mut [u8]) -> usize {
    let rest = bytes.get(at as usize..).unwrap_or_default();
    let count = rest.len().min(buf.len());
    buf[..count].copy_from_slice(&rest[..count]);
    count
}

/// All that the view shows, and how many bytes of the file that took.
fn show(view: &View, bytes: &[u8]) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let mut from_file = 0;
    let mut buf = [0; 1000];
    loop {
        let read = view.read(out.len() as u64, &mut buf, &mut |at, buf| {
            let read = read_slice(bytes, at, buf);
            from_file += read;
            Ok::<_, Infallible>(read)
        });
        match read {
            Ok(0) => break,
            Ok(read) => out.extend_from_slice(&buf[..read]),
            Err(e) => match e {},
        }
    }
    assert_eq!(out.len() as u64, view.len());
    (out, from_file)
}

fn flac(blocks: &[(u8, Vec<u8>)], audio: &[u8]) -> Vec<u8> {
    let mut out = b"fLaC".to_vec();
    for (i, (kind, body)) in blocks.iter().enumerate() {
        out.push(kind | if i + 1 == blocks.len() { 0x80 } else { 0 });
        out.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
        out.extend_from_slice(body);
    }
    out.extend_from_slice(audio);
    out
}

/// STREAMINFO of 44.1 kHz, stereo, 24 bits.
fn stream_info() -> Vec<u8> {
    let mut info = vec![0; 34];
    info[10..14].copy_from_slice(&(44_100u32 << 12 | 1 << 9 | 23 << 4).to_be_bytes());
    info
}

#[test]
fn a_flac_picture_is_never_read() {
    let audio = vec![7; 5_000];
    let picture = vec![0xff; 300_000];
    let file = flac(
        &[(0, stream_info()), (6, picture), (1, vec![0; 8_000])],
        &audio,
    );
    let view = build(Container::Flac, &file).unwrap();
    let (shown, from_file) = show(&view, &file);
    assert_eq!(shown, flac(&[(0, stream_info())], &audio));
    assert_eq!(from_file, audio.len());
    assert_eq!(view.bits(), Some(24));
    assert_eq!(view.audio_start() as usize, file.len() - audio.len());
}

#[test]
fn a_seek_table_that_would_trap_the_search_is_left_out() {
    let point = |sample: u64, offset: u64| {
        [&sample.to_be_bytes()[..], &offset.to_be_bytes(), &[16, 0]].concat()
    };
    let audio = vec![7; 5_000];
    let shows = |table: Vec<u8>| {
        let file = flac(&[(0, stream_info()), (3, table)], &audio);
        show(&build(Container::Flac, &file).unwrap(), &file).0
    };
    let good = [point(0, 0), point(4096, 900)].concat();
    let padded = [good.clone(), point(u64::MAX, 0)].concat();
    let kept = flac(&[(0, stream_info()), (3, good)], &audio);
    assert_eq!(shows(padded), kept);
    let bare = flac(&[(0, stream_info())], &audio);
    assert_eq!(shows([point(4096, 900), point(0, 0)].concat()), bare);
    assert_eq!(shows(point(0, 5_000)), bare);
}

fn chunk(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = [&id[..], &(body.len() as u32).to_le_bytes(), body].concat();
    out.resize(out.len() + body.len() % 2, 0);
    out
}

fn wav(rate: u32, chunks: &[Vec<u8>], data: &[u8]) -> Vec<u8> {
    let mut format = vec![1, 0, 2, 0];
    format.extend_from_slice(&rate.to_le_bytes());
    format.extend_from_slice(&(rate * 4).to_le_bytes());
    format.extend_from_slice(&[4, 0, 16, 0]);
    let body = [
        &b"WAVE"[..],
        &chunk(b"fmt ", &format),
        &chunks.concat(),
        &chunk(b"data", data),
    ]
    .concat();
    chunk(b"RIFF", &body)
}

#[test]
fn only_the_sound_of_a_wav_is_shown() {
    let data: Vec<u8> = (0..200).collect();
    let list = chunk(b"LIST", &[9; 70_001]);
    let mut file = wav(48_000, &[list], &data);
    file.extend(chunk(b"id3 ", &[9; 999]));
    let view = build(Container::Wav, &file).unwrap();
    let (shown, from_file) = show(&view, &file);
    assert_eq!(shown, wav(48_000, &[], &data));
    assert_eq!(from_file, data.len());
    let broken = wav(0, &[], &data);
    assert!(matches!(
        build(Container::Wav, &broken),
        Err(ViewError::Malformed(_))
    ));
}

/// Of 128 kbit/s at 44.1 kHz.
fn mp3_frames(count: usize) -> Vec<u8> {
    let mut frame = vec![0x55; 417];
    frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0]);
    frame.repeat(count)
}

#[test]
fn the_tags_around_mp3_frames_are_left_out() {
    let frames = mp3_frames(10);
    let id3 = [&b"ID3\x04\0\0\0\0\x10\0"[..], &[0xff; 2_048]].concat();
    let mut ape = vec![0xff; 500];
    ape.extend_from_slice(b"APETAGEX");
    ape.extend_from_slice(&[0xd0, 7, 0, 0, 0x14, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    ape.extend_from_slice(&[0; 8]);
    let mut id3v1 = b"TAG".to_vec();
    id3v1.resize(128, b' ');
    for file in [
        [&id3[..], &frames, &ape, &id3v1].concat(),
        [&id3[..], &id3, &frames, &ape].concat(),
        [&frames[..], &id3v1].concat(),
        // A tag that is longer than it says.
        [&id3[..2_000], &id3[10..], &[0xff; 9_000], &frames].concat(),
        frames.clone(),
    ] {
        let view = build(Container::Mp3, &file).unwrap();
        assert_eq!(show(&view, &file).0, frames);
    }
}

/// Found by the fuzz target `decode`: the demuxer is chosen by what comes first.
#[test]
fn what_stands_before_the_first_frame_is_not_shown() {
    let movie = [atom(b"ftyp", b"M4A \0\0\0\0"), atom(b"moov", &[0xff; 90])].concat();
    for other in [&movie[..], b"OggS\0\x02", b"RIFF", b"fLaC", b"\xff\xf1"] {
        let bare = [other, &[0; 4_000]].concat();
        let refused = build(Container::Mp3, &bare);
        assert!(matches!(refused, Err(ViewError::Malformed(_))), "{other:?}");
        let file = [&bare[..], &mp3_frames(3)].concat();
        let view = build(Container::Mp3, &file).unwrap();
        assert_eq!(show(&view, &file).0, mp3_frames(3));
        assert_eq!(view.audio_start() as usize, bare.len());
    }
    let long = [atom(b"ftyp", &[0xff; 0xfffb00]), movie].concat();
    let refused = build(Container::M4a, &long);
    assert!(matches!(refused, Err(ViewError::Malformed(_))));
}

#[test]
fn headers_in_the_sound_of_an_ogg_are_spoilt() {
    let sound = b"OggS.\x03vorbis\xff\xff\xff\x7fOpusTags...\x05vorbis..\x7fFLAC vorbis".repeat(3);
    let spoilt = {
        let mut spoilt = sound.clone();
        for at in (0..spoilt.len()).step_by(sound.len() / 3) {
            for end in [11, 23, 33, 40] {
                spoilt[at + end] = !spoilt[at + end];
            }
        }
        spoilt
    };
    // Whatever a header is cut into.
    for step in [1, 3, 7, 8, 999] {
        let mut shown = Vec::new();
        while shown.len() < sound.len() {
            let mut buf = vec![0; step];
            let read = ogg::read_sound(5, shown.len() as u64, &mut buf, &mut |at, buf| {
                Ok::<_, Infallible>(read_slice(&sound, at - 5, buf))
            });
            shown.extend_from_slice(&buf[..read.unwrap()]);
        }
        assert_eq!(shown, spoilt, "in steps of {step}");
    }
}

fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

#[test]
fn an_m4a_keeps_its_offsets_and_loses_its_cover() {
    let cover = atom(b"udta", &[0xff; 50_000]);
    let movie = atom(b"moov", &[atom(b"mvhd", &[1; 20]), cover].concat());
    let sound = atom(b"mdat", &[5; 3_000]);
    let file = [atom(b"ftyp", b"M4A "), movie, sound].concat();
    let (shown, from_file) = show(&build(Container::M4a, &file).unwrap(), &file);
    assert!(from_file < 4_000, "{from_file}");
    let at = file.len() - 3_000;
    assert_eq!(shown[at..file.len()], file[at..]);
    assert_eq!(shown.iter().filter(|&&b| b == 0xff).count(), 0);
    let boast = atom(b"stco", &[0, 0, 0, 0, 0xff, 0, 0, 0]);
    let nest = |inner: Vec<u8>, kind: &[u8; 4]| atom(kind, &inner);
    let track = [b"stbl", b"minf", b"mdia", b"trak", b"moov"]
        .into_iter()
        .fold(boast, nest);
    let file = [atom(b"ftyp", b"M4A "), track].concat();
    assert!(matches!(
        build(Container::M4a, &file),
        Err(ViewError::Malformed(_))
    ));
}

/// Found by the fuzz target `decode`: the demuxer allocates before it reads.
#[test]
fn an_m4a_with_an_absurd_sample_is_refused() {
    let nest =
        |inner: Vec<u8>, kinds: &[&[u8; 4]]| kinds.iter().fold(inner, |i, kind| atom(kind, &i));
    let words = |words: &[u32]| {
        words
            .iter()
            .flat_map(|w| w.to_be_bytes())
            .collect::<Vec<_>>()
    };
    let in_track = |table| nest(table, &[b"stbl", b"minf", b"mdia", b"trak", b"moov"]);
    let empty = || atom(b"moov", &[]);
    let whole = |size| in_track(atom(b"stsz", &words(&[0, size, 1])));
    let listed = |size| in_track(atom(b"stsz", &words(&[0, 0, 2, 9, size])));
    let extended = |size| nest(words(&[0, 1, 1, 0, size, 0]), &[b"trex", b"mvex", b"moov"]);
    let header = |size| {
        [
            empty(),
            nest(
                words(&[0x10 | 0x8, 1, 0, size]),
                &[b"tfhd", b"traf", b"moof"],
            ),
        ]
        .concat()
    };
    let run = |size| {
        let rows = words(&[0x100 | 0x200 | 0x1, 2, 0, 7, 9, 7, size]);
        [empty(), nest(rows, &[b"trun", b"traf", b"moof"])].concat()
    };
    let files: [&dyn Fn(u32) -> Vec<u8>; 5] = [&whole, &listed, &extended, &header, &run];
    for (n, file) in files.iter().enumerate() {
        let build = |size| {
            build(
                Container::M4a,
                &[atom(b"ftyp", b"M4A "), file(size)].concat(),
            )
        };
        assert!(build(768).is_ok(), "{n}");
        assert!(
            matches!(build(771_752_128), Err(ViewError::Malformed(_))),
            "{n}"
        );
    }
}

#[test]
fn no_table_of_an_m4a_is_beyond_the_check() {
    let kind = || atom(b"ftyp", b"M4A \0\0\0\0");
    let boast = |kind| atom(kind, &[0, 0, 0, 0, 0xff, 0, 0, 0]);
    let nest =
        |inner: Vec<u8>, kinds: &[&[u8; 4]]| kinds.iter().fold(inner, |i, kind| atom(kind, &i));
    let stbl: &[&[u8; 4]] = &[b"stbl", b"minf", b"mdia", b"trak", b"moov"];
    let refused = |atoms: Vec<u8>| {
        let built = build(Container::M4a, &[kind(), atoms].concat());
        matches!(built, Err(ViewError::Malformed(_)))
    };
    let bare = || atom(b"moov", &[]);
    assert!(!refused(bare()));
    for table in [b"stts", b"ctts", b"co64", b"stsc", b"stco"] {
        assert!(refused(nest(boast(table), stbl)), "{table:?}");
        // In a movie behind the first.
        assert!(refused([bare(), nest(boast(table), stbl)].concat()));
    }
    assert!(refused(nest(boast(b"elst"), &[b"edts", b"trak", b"moov"])));
    for flags in [[0, 0, 0, 0], [0, 0, 1, 0]] {
        let run = atom(b"trun", &[&flags[..], &[0xff, 0, 0, 0]].concat());
        let fragment = nest(run, &[b"traf", b"moof"]);
        assert!(refused([bare(), fragment].concat()), "{flags:?}");
    }
    // The demuxer finds a table that begins in the byte left over of the first atom.
    let tail = [&[0][..], &[0, 0, 0, b's'], b"tts\0", &[0xff; 107]].concat();
    let track = nest(
        [atom(b"stbl", &[0]), tail[1..].to_vec()].concat(),
        &stbl[1..],
    );
    assert!(refused(track));
}

const FORMATS: [Container; 5] = [
    Container::Wav,
    Container::Flac,
    Container::Mp3,
    Container::Ogg,
    Container::M4a,
];

proptest! {
    #[test]
    fn no_bytes_make_building_or_reading_a_view_panic(
        which in 0..FORMATS.len(),
        noise in proptest::collection::vec(any::<u8>(), 0..600),
        at in 0..400usize,
        byte in any::<u8>(),
    ) {
        let table = flac(&[(0, stream_info()), (3, vec![1; 36]), (6, vec![2; 90])], &noise);
        let movie = atom(b"moov", &atom(b"trak", &atom(b"mdia", &noise)));
        let mut bytes = match FORMATS[which] {
            Container::Wav => wav(44_100, &[chunk(b"LIST", &noise)], &noise),
            Container::Flac => table,
            Container::Mp3 => [&b"ID3\x04\0\0\0\0\x01\0"[..], &noise].concat(),
            Container::Ogg => [&b"OggS\0\x02"[..], &noise].concat(),
            Container::M4a => [atom(b"ftyp", b""), movie, atom(b"mdat", &noise)].concat(),
        };
        if let Some(b) = bytes.get_mut(at) {
            *b = byte;
        }
        if let Ok(view) = build(FORMATS[which], &bytes) {
            show(&view, &bytes);
        }
    }
}
