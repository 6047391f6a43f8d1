//! What a file says of its beginning and end is what is heard, to the frame.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::media::probe::probe;
use crate::media::probed::Probed;

/// A directory with `source.wav`: a sweep in stereo of [`FRAMES`] frames.
struct Shelf(tempfile::TempDir);

const RATE: usize = 44_100;
/// Not a whole number of any codec's blocks.
const FRAMES: usize = RATE * 3 + 1234;

impl Shelf {
    fn new() -> Self {
        let shelf = Self(tempfile::tempdir().unwrap());
        let samples: Vec<f32> = sweep().iter().flat_map(|&s| [s, s * 0.5]).collect();
        let path = shelf.path("source.wav");
        let mut file = crate::audio::output::wav::WavFile::create_16_bit(&path, 44_100, 2).unwrap();
        file.append(&samples).unwrap();
        shelf
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Has ffmpeg make a file of the source.
    fn make(&self, name: &str, args: &[&str]) -> PathBuf {
        let path = self.path(name);
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-i"])
            .arg(self.path("source.wav"))
            .args(args)
            .arg(&path)
            .output()
            .expect("ffmpeg is installed by `make deps-test`");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        path
    }

    /// A file of these bytes.
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
}

fn sweep() -> Vec<f32> {
    let tone = |n: usize| {
        let t = n as f64 / RATE as f64;
        (0.5 * (std::f64::consts::TAU * (300.0 * t + 300.0 * t * t)).sin()) as f32
    };
    (0..FRAMES).map(tone).collect()
}

fn opened(path: &Path) -> Opened {
    let extension = path.extension().unwrap().to_str().unwrap();
    let container = Container::from_extension(extension).unwrap();
    let bytes = Arc::new(FileBytes::open(path).unwrap());
    let (cancel, progress) = (Cancel::default(), ReadProgress::default());
    open(bytes, container, None, &cancel, &progress).unwrap()
}

fn probed(path: &Path) -> Probed {
    probe(path, std::fs::File::open(path).unwrap()).unwrap()
}

/// The left channel of all that is heard.
fn heard(path: &Path) -> Vec<f32> {
    let mut opened = opened(path);
    let mut samples = Vec::new();
    let frames = opened.decode(60 * RATE, &mut samples).unwrap();
    assert_eq!(opened.end(), DecodeEnd::Ended, "{path:?}");
    let channels = usize::from(opened.media.channels);
    assert_eq!(samples.len(), frames * channels);
    samples.iter().step_by(channels).copied().collect()
}

/// The root of the mean squared difference to the source.
fn off(samples: &[f32], source: &[f32]) -> f64 {
    let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
    let sum: f64 = samples.iter().zip(source).map(square).sum();
    (sum / samples.len().min(source.len()) as f64).sqrt()
}

#[test]
fn each_format_is_heard_from_its_first_frame_to_its_last_and_says_how_many() {
    let shelf = Shelf::new();
    let source = sweep();
    for (name, args) in [
        ("a.wav", &["-c:a", "pcm_s24le"][..]),
        ("a.flac", &[]),
        ("a.mp3", &["-b:a", "320k"]),
        ("vbr.mp3", &["-q:a", "1"]),
        ("a.ogg", &["-c:a", "libvorbis", "-q:a", "8"]),
        ("a.m4a", &["-c:a", "aac", "-b:a", "320k"]),
        (
            "front.m4a",
            &["-c:a", "aac", "-b:a", "320k", "-movflags", "+faststart"],
        ),
    ] {
        let path = shelf.make(name, args);
        let samples = heard(&path);
        assert_eq!(samples.len(), FRAMES, "{name}");
        let off = off(&samples, &source);
        assert!(off < 0.01, "{name} is {off} off");
        let probed = probed(&path);
        assert_eq!(probed.frames, Some(FRAMES as u64), "{name}");
        let seconds = probed.media.duration.as_secs_f64();
        assert!(
            (seconds - FRAMES as f64 / RATE as f64).abs() < 1e-6,
            "{name}"
        );
    }
}

/// By its bit rate at the beginning, the length would be estimated as a third of this.
#[test]
fn an_mp3_without_a_header_is_heard_whole() {
    let shelf = Shelf::new();
    let quiet = "volume='if(lt(t,0.5),1,0.0001)':eval=frame";
    for (name, args) in [
        (
            "vbr.mp3",
            &["-af", quiet, "-q:a", "2", "-write_xing", "0"][..],
        ),
        ("cbr.mp3", &["-b:a", "128k", "-write_xing", "0"]),
    ] {
        let path = shelf.make(name, args);
        let frames = heard(&path).len();
        assert_eq!(frames % 1152, 0, "{name}");
        assert!(
            (FRAMES..FRAMES + 3 * 1152).contains(&frames),
            "{name}: {frames}"
        );
        assert_eq!(probed(&path).frames, Some(frames as u64), "{name}");
    }
}

/// What comes in pieces does not state its encoder's delay: that is heard, as by ffmpeg.
#[test]
fn an_m4a_is_heard_whole_whatever_else_it_holds() {
    let shelf = Shelf::new();
    let source = sweep();
    let aac = ["-c:a", "aac", "-b:a", "320k"];
    let video = ["-f", "lavfi", "-t", "3", "-i", "testsrc=s=64x48:r=5"];
    let with = ["-map", "1:v", "-map", "0:a", "-c:v"];
    let pieces = ["-frag_duration", "500000", "-movflags"];
    for (name, delay, args) in [
        (
            "pieces.m4a",
            1024,
            [&aac[..], &pieces, &["+empty_moov"]].concat(),
        ),
        ("dash.m4a", 1024, [&aac[..], &pieces, &["+dash"]].concat()),
        (
            "film.mp4",
            0,
            [&video[..], &with, &["mpeg4"], &aac].concat(),
        ),
        (
            "pictures.mp4",
            0,
            [&video[..], &with, &["mjpeg"], &aac].concat(),
        ),
    ] {
        let path = shelf.make(name, &args);
        let samples = heard(&path);
        let frames = samples.len() - delay;
        assert!(
            (FRAMES..FRAMES + 1024).contains(&frames),
            "{name}: {frames}"
        );
        let off = off(&samples[delay..], &source);
        assert!(off < 0.01, "{name} is {off} off");
        assert_eq!(probed(&path).frames, Some(samples.len() as u64), "{name}");
    }
}

#[test]
fn what_lies_behind_an_m4a_does_not_matter() {
    let shelf = Shelf::new();
    let whole = std::fs::read(shelf.make("a.m4a", &["-c:a", "aac"])).unwrap();
    let tag = [&b"TAG"[..], &[0; 125]].concat();
    for (name, behind) in [("bytes.m4a", &b"\0\x01\x02"[..]), ("tag.m4a", &tag)] {
        let path = shelf.write(name, &[&whole, behind].concat());
        assert_eq!(heard(&path).len(), FRAMES, "{name}");
        assert_eq!(probed(&path).frames, Some(FRAMES as u64), "{name}");
    }
}

#[test]
fn of_an_m4a_that_is_cut_off_all_that_is_there_is_heard() {
    let shelf = Shelf::new();
    let args = ["-c:a", "aac", "-b:a", "320k", "-movflags", "+faststart"];
    let whole = std::fs::read(shelf.make("a.m4a", &args)).unwrap();
    let path = shelf.write("part.m4a", &whole[..whole.len() * 2 / 3]);
    let samples = heard(&path);
    let is_part = FRAMES / 2..FRAMES * 3 / 4;
    assert!(is_part.contains(&samples.len()), "{}", samples.len());
    let off = off(&samples[..samples.len() - 2048], &sweep());
    assert!(off < 0.01, "{off}");
    assert_eq!(probed(&path).frames, Some(samples.len() as u64));
}

#[test]
fn an_mp3_that_becomes_mono_goes_on() {
    let shelf = Shelf::new();
    let part = |name: &str, channels: &str| {
        let args = [
            "-ac",
            channels,
            "-b:a",
            "128k",
            "-write_xing",
            "0",
            "-id3v2_version",
            "0",
        ];
        std::fs::read(shelf.make(name, &args)).unwrap()
    };
    let (stereo, mono) = (part("stereo.mp3", "2"), part("mono.mp3", "1"));
    for (name, bytes) in [
        ("a.mp3", [&*stereo, &*mono].concat()),
        ("b.mp3", [&*mono, &*stereo].concat()),
    ] {
        let frames = heard(&shelf.write(name, &bytes)).len();
        assert!(
            (2 * FRAMES..2 * FRAMES + 6 * 1152).contains(&frames),
            "{name}: {frames}"
        );
    }
}

#[test]
fn a_seek_is_exact_in_all_but_mp3() {
    let shelf = Shelf::new();
    for (name, args) in [
        ("a.wav", &["-c:a", "pcm_s16le"][..]),
        ("a.flac", &[]),
        ("a.ogg", &["-c:a", "libvorbis"]),
        ("a.m4a", &["-c:a", "aac"]),
    ] {
        let path = shelf.make(name, args);
        let whole = heard(&path);
        for frame in [1, 4_321, 70_000, FRAMES - 5_000] {
            let mut opened = opened(&path);
            let nanos = frame as u64 * 1_000_000_000 / RATE as u64;
            opened.seek(Duration::from_nanos(nanos)).unwrap();
            let mut samples = Vec::new();
            let rest = opened.decode(FRAMES, &mut samples).unwrap();
            assert_eq!(rest, FRAMES - frame, "{name} from {frame}");
            let left: Vec<f32> = samples.iter().step_by(2).copied().collect();
            // Noise that a codec makes up differs each time.
            let off = off(&left, &whole[frame..]);
            assert!(off < 1e-3, "{name} from {frame}: {off}");
        }
        let mut opened = opened(&path);
        let behind = Duration::from_secs(4);
        assert_eq!(opened.seek(behind), Err(DecodeEnd::Ended), "{name}");
    }
}

#[test]
fn damage_is_silence_and_the_rest_stays_at_its_place() {
    let shelf = Shelf::new();
    let source = sweep();
    for (name, args) in [
        ("a.m4a", &["-c:a", "aac", "-b:a", "320k"][..]),
        ("a.mp3", &["-b:a", "320k"]),
        (
            "a.ogg",
            &["-c:a", "libvorbis", "-q:a", "8", "-page_duration", "100000"],
        ),
        ("a.flac", &[]),
    ] {
        let whole = std::fs::read(shelf.make(name, args)).unwrap();
        for at in [whole.len() / 2, whole.len() * 2 / 3] {
            let mut bytes = whole.clone();
            // An MP3 without one of its headers is shorter.
            let header = whole[at..].windows(2).position(|pair| pair == [0xff, 0xfb]);
            let at = at
                + header
                    .filter(|_| name == "a.mp3")
                    .map_or(0, |header| header + 100);
            bytes[at..at + 40].fill(0);
            let samples = heard(&shelf.write(name, &bytes));
            assert_eq!(samples.len(), FRAMES, "{name} at {at}");
            let rest = FRAMES - RATE / 2;
            let off = off(&samples[rest..], &source[rest..]);
            assert!(off < 0.01, "{name} at {at}: {off}");
        }
    }
}

#[test]
fn the_sound_begins_without_a_look_at_the_end_of_the_file() {
    let shelf = Shelf::new();
    let noise = ["-af", "aeval=random(0)-0.5|random(1)-0.5"];
    for (name, args) in [
        ("a.flac", &[][..]),
        ("a.ogg", &["-c:a", "libvorbis", "-q:a", "9"]),
    ] {
        let path = shelf.make(name, &[&noise[..], args].concat());
        let size = std::fs::metadata(&path).unwrap().len();
        let opening = probed(&path).opening;
        assert!(
            opening.len() == 1 && opening[0].start == 0,
            "{name}: {opening:?}"
        );
        assert!(
            opening[0].end < size * 2 / 3,
            "{name}: {opening:?} of {size}"
        );
    }
}

#[test]
fn a_file_that_is_written_to_is_read_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    std::fs::write(&path, [1; 1000]).unwrap();
    let bytes = FileBytes::open(&path).unwrap();
    let read = || bytes.read_at(0, &mut [0; 10], &Cancel::default());
    assert_eq!(read(), Ok(10));
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[2], 500).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(read(), Err(ReadStop::Failed(CHANGED.to_owned())));
}
