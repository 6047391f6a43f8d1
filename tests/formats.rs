//! Every format, streamed from another peer and recorded.
//!
//! What is lossless must come out as it was put in, sample for sample; what is
//! lossy must be as long as the source and sound like it. Each is tried with
//! and without a cover of 2 MB, which lies before the sound in most files.

mod common;

use std::{fs, path::Path, process::Command};

use common::{
    audio::{self, Music},
    Node, Setup,
};

/// An owner of `music` and the tracker that a listener needs.
struct Shop {
    tracker: Node,
    _owner: Node,
    tracks: u64,
}

impl Shop {
    fn open(music: &Music, tracks: u64) -> Self {
        let tracker = Setup::tracker().start();
        let owner = Setup::peer("owner", &tracker).music(music.path()).start();
        owner.wait_for_tracks("owner", tracks);
        Self {
            tracker,
            _owner: owner,
            tracks,
        }
    }

    /// Plays `file` on a peer of its own, whose directory has the recording.
    fn play(&self, file: &str) -> Node {
        let mut player = Setup::peer("player", &self.tracker).recorded().start();
        player.wait_for_tracks("owner", self.tracks);
        player.ctl_ok(&["volume", "100"]);
        player.ctl_ok(&["play", &format!("owner/{file}")]);
        player.wait_for_sound();
        player.wait_for_end();
        let status = player.json(&["status"]);
        assert!(status["status"]["error"].is_null(), "{file}: {status:#}");
        assert_eq!(player.json(&["stats"])["underruns"], 0, "{file}");
        // Its end completes the recording's header.
        player.signal("TERM");
        player.wait_for_exit();
        player
    }
}

/// A picture of 2 MB, of noise, since a plain one would be small.
fn make_cover(music: &Music) -> String {
    let cover = music.path().join("cover.png");
    ffmpeg(
        &[
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-s",
            "840x800",
            "-i",
            "/dev/urandom",
        ],
        &cover,
    );
    let size = fs::metadata(&cover).unwrap().len();
    assert!((2_000_000..2_300_000).contains(&size), "{size} bytes");
    cover.to_str().unwrap().to_owned()
}

fn ffmpeg(input: &[&str], to: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(input)
        .args(["-frames:v", "1"])
        .arg(to)
        .output()
        .expect("ffmpeg is installed by `make deps-test`");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

const WITH_COVER: [&str; 6] = [
    "-map",
    "0:a",
    "-map",
    "1:v",
    "-disposition:v",
    "attached_pic",
];

/// Encodes `source.wav` with a cover.
fn encode_with_cover(music: &Music, cover: &str, source: &str, to: &str, args: &[&str]) {
    let args = [&["-i", cover][..], &WITH_COVER, &["-c:v", "copy"], args].concat();
    music.encode(source, to, &args);
}

#[test]
fn lossless_sound_of_16_bits_is_bit_exact() {
    let music = Music::new();
    let cover = make_cover(&music);
    let mut expected = Vec::new();
    for rate in [44_100, 48_000] {
        let source = format!("{rate}.wav");
        let sound = music.wav(&source, rate, 1.5);
        let flac = format!("{rate}.flac");
        let covered = format!("{rate}-cover.flac");
        music.encode(&source, &flac, &[]);
        encode_with_cover(&music, &cover, &source, &covered, &["-c:a", "flac"]);
        assert!(fs::metadata(music.path().join(&covered)).unwrap().len() > 2_000_000);
        expected.extend([source, flac, covered].map(|file| (file, rate, sound.clone())));
    }
    let shop = Shop::open(&music, expected.len() as u64);
    for (file, rate, sound) in expected {
        let player = shop.play(&file);
        let (heard_at, heard) = audio::read_wav(&player.recording());
        assert_eq!(heard_at, rate, "{file}");
        audio::assert_same(&heard, &sound);
    }
}

#[test]
fn lossless_sound_of_24_bits_is_bit_exact() {
    let music = Music::new();
    let cover = make_cover(&music);
    let mut expected = Vec::new();
    for rate in [44_100, 48_000] {
        // 24 bits that are not 16 bits with zeros: noise, filtered by ffmpeg.
        music.wav("seed.wav", rate, 1.5);
        let source = format!("{rate}.wav");
        let fades = ["-af", "aformat=s32,volume=0.7391", "-c:a", "pcm_s24le"];
        music.encode("seed.wav", &source, &fades);
        let flac = format!("{rate}.flac");
        let covered = format!("{rate}-cover.flac");
        music.encode(&source, &flac, &[]);
        encode_with_cover(&music, &cover, &source, &covered, &["-c:a", "flac"]);
        let sound = raw(&music.path().join(&source), "s24le");
        assert!(
            sound.chunks_exact(3).any(|sample| sample[0] != 0),
            "24 bits indeed"
        );
        expected.extend([source, flac, covered].map(|file| (file, sound.clone())));
    }
    fs::remove_file(music.path().join("seed.wav")).unwrap();
    let shop = Shop::open(&music, expected.len() as u64);
    for (file, sound) in expected {
        let player = shop.play(&file);
        let heard = raw(&player.recording(), "s24le");
        let differs = heard.iter().zip(&sound).position(|(a, b)| a != b);
        assert_eq!((differs, heard.len()), (None, sound.len()), "{file}");
    }
}

#[test]
fn mp3_and_vorbis_sound_like_their_source() {
    let mp3: &[&str] = &["-c:a", "libmp3lame", "-b:a", "320k"];
    let vorbis: &[&str] = &["-c:a", "libvorbis", "-q:a", "8"];
    lossy(&[("a.mp3", mp3, true), ("b.mp3", mp3, false)], |_, _| {});
    lossy(
        &[("a.ogg", vorbis, false), ("b.ogg", vorbis, false)],
        |music, cover| {
            add_picture_to_ogg(&music.path().join("b.ogg"), &fs::read(cover).unwrap());
        },
    );
}

#[test]
fn aac_sounds_like_its_source_wherever_its_index_lies() {
    let plain: &[&str] = &["-c:a", "aac", "-b:a", "320k"];
    let fast: &[&str] = &["-c:a", "aac", "-b:a", "320k", "-movflags", "+faststart"];
    let files = [
        ("a.m4a", plain, false),
        ("b.m4a", plain, true),
        ("c.m4a", fast, false),
        ("d.m4a", fast, true),
    ];
    lossy(&files, |music, _| {
        let place_of = |file: &str, what: &[u8]| {
            let bytes = fs::read(music.path().join(file)).unwrap();
            bytes.windows(4).position(|window| window == what).unwrap()
        };
        assert!(
            place_of("a.m4a", b"moov") > place_of("a.m4a", b"mdat"),
            "index at the end"
        );
        assert!(
            place_of("c.m4a", b"moov") < place_of("c.m4a", b"mdat"),
            "index in front"
        );
    });
}

/// Encodes each file as its arguments say, the last of them with a cover or
/// not, plays it, and compares it with the source.
fn lossy(files: &[(&str, &[&str], bool)], prepare: impl Fn(&Music, &str)) {
    let music = Music::new();
    let cover = make_cover(&music);
    let sound = music.wav("source.wav", 44_100, 2.0);
    for (file, args, with_cover) in files {
        match with_cover {
            true => encode_with_cover(&music, &cover, "source.wav", file, args),
            false => _ = music.encode("source.wav", file, args),
        }
    }
    prepare(&music, &cover);
    fs::remove_file(music.path().join("source.wav")).unwrap();
    let shop = Shop::open(&music, files.len() as u64);
    for (file, ..) in files {
        let player = shop.play(file);
        let (rate, heard) = audio::read_wav(&player.recording());
        assert_eq!(rate, 44_100, "{file}");
        let longer = heard.len() as i64 - sound.len() as i64;
        assert!(
            (-100..=PADDING).contains(&longer),
            "{file}: {longer} frames longer"
        );
        let (shift, likeness) = align(&heard, &sound);
        assert!(
            likeness > 0.97,
            "{file}: {likeness} alike, {shift} frames late"
        );
    }
}

/// What encoders put around the sound, in whole blocks.
const PADDING: i64 = 4 * 1152;

/// How many frames `heard` lags behind `sound`, and how alike they are there:
/// the normalised correlation of a tenth of a second.
fn align(heard: &[[i16; 2]], sound: &[[i16; 2]]) -> (usize, f64) {
    let at = 11_025;
    let piece = |frames: &[[i16; 2]], at: usize| -> Vec<f64> {
        frames[at..at + 4_096]
            .iter()
            .map(|frame| f64::from(frame[0]))
            .collect()
    };
    let reference = piece(sound, at);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norm = dot(&reference, &reference);
    let likeness = |shift: usize| {
        let there = piece(heard, at + shift);
        dot(&reference, &there) / (norm * dot(&there, &there)).sqrt()
    };
    let shifts = (0..PADDING as usize).map(|shift| (shift, likeness(shift)));
    shifts.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

/// The samples of a file, as ffmpeg reads them.
fn raw(path: &Path, format: &str) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-f", format, "-"])
        .output()
        .expect("ffmpeg is installed by `make deps-test`");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Puts a picture into the comments of an Ogg Vorbis file, which ffmpeg does
/// not do: in METADATA_BLOCK_PICTURE, as FLAC's block in base64.
fn add_picture_to_ogg(path: &Path, picture: &[u8]) {
    let mut block = Vec::new();
    for bytes in [
        &3u32.to_be_bytes()[..],
        &9u32.to_be_bytes(),
        b"image/png",
        &[0; 20],
    ] {
        block.extend_from_slice(bytes);
    }
    block.extend_from_slice(&(picture.len() as u32).to_be_bytes());
    block.extend_from_slice(picture);
    let metadata = path.with_extension("txt");
    fs::write(
        &metadata,
        format!(";FFMETADATA1\nMETADATA_BLOCK_PICTURE={}\n", base64(&block)),
    )
    .unwrap();
    let covered = path.with_extension("covered.ogg");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(path)
        .args(["-f", "ffmetadata", "-i"])
        .arg(&metadata)
        .args([
            "-map",
            "0:a",
            "-map_metadata",
            "1",
            "-map_metadata:s:a",
            "1:g",
            "-c",
            "copy",
        ])
        .arg(&covered)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&covered, path).unwrap();
    fs::remove_file(metadata).unwrap();
    assert!(
        fs::metadata(path).unwrap().len() > 2_000_000,
        "the picture is in it"
    );
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| -> String {
        let bits = chunk
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        let digit = |n: usize| match n <= chunk.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * n)) as usize & 63]),
            false => '=',
        };
        (0..4).map(digit).collect()
    };
    bytes.chunks(3).map(group).collect()
}
