//! Sound to play, made for the test, and what came out of it.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A sound that never repeats itself: a sweep and seeded noise, loud from the
/// first sample on, so that a lost, doubled or moved frame is seen.
pub fn frames(rate: u32, seconds: f64, seed: u64) -> Vec<[i16; 2]> {
    let mut state = seed | 1;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 48) as i16 / 16
    };
    let count = (f64::from(rate) * seconds) as u32;
    let sweep = |n: u32| {
        let t = f64::from(n) / f64::from(rate);
        ((t * (220.0 + 40.0 * t) * std::f64::consts::TAU).sin() * 12_000.0) as i16
    };
    (0..count)
        .map(|n| [sweep(n) + noise() + 2500, sweep(n) - noise() - 2500])
        .collect()
}

/// Writes 16-bit stereo PCM with a plain header.
pub fn write_wav(path: &Path, rate: u32, frames: &[[i16; 2]]) {
    let data = frames.len() as u32 * 4;
    let mut bytes = Vec::with_capacity(44 + data as usize);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + data).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    bytes.extend_from_slice(&rate.to_le_bytes());
    bytes.extend_from_slice(&(rate * 4).to_le_bytes());
    bytes.extend_from_slice(b"\x04\0\x10\0data");
    bytes.extend_from_slice(&data.to_le_bytes());
    for [left, right] in frames {
        bytes.extend_from_slice(&left.to_le_bytes());
        bytes.extend_from_slice(&right.to_le_bytes());
    }
    fs::write(path, bytes).unwrap();
}

/// Writes a WAV file of so many seconds that is silent but for `loud` sounds
/// of [`frames`], each at its second. The silence costs no room on the disk,
/// so the file can be far larger than what can be sent at once.
pub fn write_sparse_wav(path: &Path, rate: u32, seconds: u32, loud: &[(u32, &[[i16; 2]])]) {
    write_wav(path, rate, &[]);
    let data = rate * seconds * 4;
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(44 + u64::from(data)).unwrap();
    file.write_all_at(&(36 + data).to_le_bytes(), 4).unwrap();
    file.write_all_at(&data.to_le_bytes(), 40).unwrap();
    for (second, frames) in loud {
        let bytes: Vec<u8> = frames
            .iter()
            .flatten()
            .flat_map(|s| s.to_le_bytes())
            .collect();
        file.write_all_at(&bytes, 44 + u64::from(second * rate) * 4)
            .unwrap();
    }
}

/// Where `part` begins in `whole`.
pub fn find(whole: &[[i16; 2]], part: &[[i16; 2]]) -> Option<usize> {
    whole.windows(part.len()).position(|window| window == part)
}

/// Panics where two sounds differ, and says where.
pub fn assert_same(heard: &[[i16; 2]], expected: &[[i16; 2]]) {
    let differs = heard.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!(
        differs,
        None,
        "the first frame that differs, of {}",
        expected.len()
    );
    assert_eq!(heard.len(), expected.len(), "frames");
}

/// Reads 16-bit stereo PCM: the rate, and the frames as far as they are
/// written.
pub fn read_wav(path: &Path) -> (u32, Vec<[i16; 2]>) {
    let bytes = fs::read(path).unwrap();
    let data = bytes
        .windows(4)
        .position(|w| w == b"data")
        .expect("a data chunk")
        + 8;
    let rate = u32::from_le_bytes(bytes[24..28].try_into().unwrap());
    assert_eq!(&bytes[34..36], b"\x10\0", "16 bits");
    let sample = |b: &[u8]| i16::from_le_bytes([b[0], b[1]]);
    (
        rate,
        bytes[data..]
            .chunks_exact(4)
            .map(|f| [sample(f), sample(&f[2..])])
            .collect(),
    )
}

/// A temporary directory of music, filled by a test.
pub struct Music {
    pub dir: tempfile::TempDir,
}

impl Music {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Adds a WAV file and gives its frames.
    pub fn wav(&self, name: &str, rate: u32, seconds: f64) -> Vec<[i16; 2]> {
        let seed = name
            .bytes()
            .fold(7u64, |seed, b| seed.wrapping_mul(31) + u64::from(b));
        let frames = frames(rate, seconds, seed);
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_wav(&path, rate, &frames);
        frames
    }

    /// Encodes `from` as `to` with ffmpeg, which chooses the codec by the
    /// name; `args` stand before the output.
    pub fn encode(&self, from: &str, to: &str, args: &[&str]) -> PathBuf {
        let to = self.dir.path().join(to);
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-i"])
            .arg(self.dir.path().join(from))
            .args(args)
            .arg(&to)
            .output()
            .expect("ffmpeg is installed by `make deps-test`");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        to
    }
}

/// Plays `file` at full volume, and compares what came out with `frames`.
pub fn assert_plays(node: &super::Node, file: &str, output: &Path, frames: &[[i16; 2]]) {
    node.ctl_ok(&["volume", "100"]);
    node.ctl_ok(&["play", file]);
    node.wait_for_end();
    let (_, found) = read_wav(output);
    let starts = found.windows(frames.len()).any(|heard| heard == frames);
    assert!(starts, "no sound of {file} in {} frames", found.len());
}
