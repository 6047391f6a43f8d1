//! How soon a track of another box sounds. Run by `make bench`, or
//! `cargo bench --bench first_sound`.
//!
//! Tracker, owner and listener are three processes on this machine. Before
//! each play the listener is started anew, so that there is no connection to
//! the owner, nothing in its cache, and no device open: what is measured is
//! the command, the handshake, the first groups, the decoder and the device.
//! The network's round trips are those of the loopback.
//!
//! The device is `null`, which takes no time to open;
//! `P2PMUSIC_BENCH_DEVICE=hw:…` measures with a real one. Files are made by
//! ffmpeg, once.

mod support;

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use support::{ffmpeg, noise, percentile, Node, Remote, Running};

fn main() {
    let here = Path::new(env!("CARGO_TARGET_TMPDIR")).join("first_sound");
    let music = here.join("music");
    make_music(&music);
    let bench = Bench {
        here,
        music,
        device: env::var(DEVICE).unwrap_or("null".into()),
    };
    let _ = fs::remove_dir_all(bench.here.join("nodes"));
    let tracker = bench.node("tracker", "tracker", "info").start();
    let owner = bench.node("peer", "owner", "info").start();
    owner.connect().wait_for_tracks(ROWS.len() * PLAYS);
    owner.settle();

    println!("\nFirst sound of a track of another box, from a closed connection and device");
    println!(
        "({PLAYS} plays a row, device {}, in milliseconds)\n",
        bench.device
    );
    println!("             since play arrived   since it was sent");
    println!("                  p50       p90       p50       p90");
    let phases: Vec<_> = ROWS
        .iter()
        .map(|row| (row.label, bench.cold_row(row)))
        .collect();
    print_phases(&phases);
    bench.warm_rows();
    drop((owner, tracker));
}

struct Bench {
    here: PathBuf,
    music: PathBuf,
    device: String,
}

/// A kind of file.
struct Row {
    label: &'static str,
    prefix: &'static str,
    extension: &'static str,
}

/// When each of [`PHASES`] was seen in one play, in milliseconds after the
/// command was sent.
type Phases = Vec<Option<f64>>;

/// What a listener has done, and the log line that says so.
const PHASES: [(&str, &str); 10] = [
    ("asked", "a control client asks"),
    ("chosen", "play: Open"),
    ("dials", "dialling"),
    ("device", "the device is open"),
    ("connected", "connected to"),
    ("1st byte", "a slice begins"),
    ("1st group", "are here"),
    ("decoder", "reports Opened"),
    ("primed", "reports Primed"),
    ("sounds", FIRST_FRAME),
];

impl Bench {
    fn node<'a>(&'a self, role: &'a str, name: &'a str, log: &'a str) -> OwnedNode<'a> {
        OwnedNode {
            bench: self,
            dir: self.here.join("nodes").join(name),
            role,
            name,
            log,
        }
    }

    /// A listener that has nothing but the catalogue.
    fn listener(&self, log: &str) -> (Running, Remote) {
        let listener = self.node("peer", "listener", log).start();
        let mut remote = listener.connect();
        remote.wait_for_tracks(ROWS.len() * PLAYS);
        remote.run("setvol 1");
        // The start's own work is not to be measured.
        thread::sleep(Duration::from_millis(150));
        (listener, remote)
    }

    /// Plays all files of a row, and some with the log on, whose phases are
    /// returned.
    fn cold_row(&self, row: &Row) -> Vec<Phases> {
        let _ = fs::remove_dir_all(self.here.join("nodes/listener/cache"));
        let (mut own, mut client) = (Vec::new(), Vec::new());
        for n in 0..PLAYS {
            let (listener, mut remote) = self.listener("debug");
            let (sent, heard) = play(&listener, &mut remote, row, n);
            client.push(millis(heard.duration_since(sent)));
            let told = remote.value("p2p_status", "first_sound");
            own.extend(
                told.and_then(|told| told.parse::<f64>().ok())
                    .map(|s| s * 1e3),
            );
        }
        println!(
            "{:<12}{:>9.1}{:>10.1}{:>10.1}{:>10.1}",
            row.label,
            percentile(&mut own, 0.5),
            percentile(&mut own, 0.9),
            percentile(&mut client, 0.5),
            percentile(&mut client, 0.9),
        );
        let _ = fs::remove_dir_all(self.here.join("nodes/listener/cache"));
        let traced = (0..TRACED_PLAYS).map(|n| {
            let (listener, mut remote) = self.listener("trace");
            let (sent, heard) = play(&listener, &mut remote, row, n);
            let since = |at: Instant| millis(at.duration_since(sent));
            let phase = |(_, line): &(_, &str)| match *line {
                FIRST_FRAME => Some(since(heard)),
                line => listener.seen(sent, line).map(since),
            };
            PHASES.iter().map(phase).collect()
        });
        traced.collect()
    }

    /// Next and seek in a listener that plays.
    fn warm_rows(&self) {
        println!("\nWhile playing FLAC, since the command was sent\n");
        println!("                  p50       p90");
        let _ = fs::remove_dir_all(self.here.join("nodes/listener/cache"));
        let (listener, mut remote) = self.listener("debug");
        for n in 0..PLAYS {
            let file = ROWS[0].file(n);
            remote.run(&format!("add {file:?}"));
        }
        let (sent, _) = remote.run("play 0");
        first_frame(&listener, sent);
        let mut measure = |label: &str, commands: &mut dyn FnMut(usize) -> String| {
            let mut times: Vec<f64> = (0..WARM_COMMANDS)
                .map(|n| {
                    thread::sleep(Duration::from_millis(300));
                    let (sent, _) = remote.run(&commands(n));
                    millis(first_frame(&listener, sent).duration_since(sent))
                })
                .collect();
            let (p50, p90) = (percentile(&mut times, 0.5), percentile(&mut times, 0.9));
            println!("{label:<12}{p50:>9.1}{p90:>10.1}");
        };
        measure("next", &mut |_| "next".into());
        measure("seek", &mut |n| format!("seekcur {}", [12, 3][n % 2]));
    }
}

/// A [`Node`] with a directory of its own.
struct OwnedNode<'a> {
    bench: &'a Bench,
    dir: PathBuf,
    role: &'a str,
    name: &'a str,
    log: &'a str,
}

impl OwnedNode<'_> {
    fn start(&self) -> Running {
        let Self {
            dir,
            role,
            name,
            log,
            ..
        } = self;
        let is = |name| self.name == name;
        Node {
            dir,
            role,
            name,
            log,
            tracker: TRACKER,
            music: is("owner").then_some(&*self.bench.music),
            device: if is("listener") {
                &self.bench.device
            } else {
                "null"
            },
        }
        .start()
    }
}

impl Row {
    /// The `n`th file, as clients name it.
    fn file(&self, n: usize) -> String {
        format!("owner/{}{n:02}.{}", self.prefix, self.extension)
    }
}

/// Plays the `n`th file of `row`; gives when that was asked, and when the
/// first frame went to the device.
fn play(listener: &Running, remote: &mut Remote, row: &Row, n: usize) -> (Instant, Instant) {
    let (sent, _) = remote.run(&format!("p2p_play {:?}", row.file(n)));
    (sent, first_frame(listener, sent))
}

fn first_frame(listener: &Running, since: Instant) -> Instant {
    let (told, line) = listener.line_after(Some(since), FIRST_FRAME);
    told - ago(&line).unwrap_or_else(|| panic!("no time in {line:?}"))
}

/// `… 2.05ms ago`, as the standard library writes a duration.
fn ago(line: &str) -> Option<Duration> {
    let word = line.split_whitespace().rev().nth(1)?;
    let unit = word.find(|c: char| c.is_alphabetic() || c == 'µ')?;
    let (number, unit) = word.split_at(unit);
    let seconds = match unit {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    };
    Some(Duration::from_secs_f64(
        number.parse::<f64>().ok()? * seconds,
    ))
}

fn print_phases(rows: &[(&str, Vec<Phases>)]) {
    println!("\nWhere the time goes (median of {TRACED_PLAYS} plays with the log on, when it was there)\n");
    print!("{:<12}", "");
    PHASES.iter().for_each(|(name, _)| print!("{name:>10}"));
    println!();
    for (label, plays) in rows {
        print!("{label:<12}");
        for phase in 0..PHASES.len() {
            let mut times: Vec<f64> = plays.iter().filter_map(|play| play[phase]).collect();
            print!("{:>10.1}", percentile(&mut times, 0.5));
        }
        println!();
    }
}

/// Makes the files, unless they are there.
fn make_music(dir: &Path) {
    if dir.join("complete").exists() {
        return;
    }
    println!("making {} files in {}", ROWS.len() * PLAYS, dir.display());
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).unwrap();
    let made = dir.with_file_name("material");
    fs::create_dir_all(&made).unwrap();
    let path = |name: &str| made.join(name).display().to_string();
    let (cover, comment) = (path("cover.png"), path("comment.txt"));
    let mut random = noise(1);
    let pixels: Vec<u8> = (0..COVER_SIDE * COVER_SIDE * 3)
        .map(|_| random() as u8)
        .collect();
    let size = format!("{COVER_SIDE}x{COVER_SIDE}");
    ffmpeg(
        &[
            "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", &size, "-i", "-", &cover,
        ],
        &pixels,
    );
    // Vorbis has its pictures in a comment of the FLAC picture block's form.
    let picture = base64(&picture_block(&fs::read(&cover).unwrap())).replace('=', "\\=");
    fs::write(
        &comment,
        format!(";FFMETADATA1\nMETADATA_BLOCK_PICTURE={picture}\n"),
    )
    .unwrap();
    for n in 0..PLAYS {
        let mut args = vec!["-f", "s16le", "-ar", "44100", "-ac", "2", "-i", "-"];
        args.extend(["-i", &cover, "-f", "ffmetadata", "-i", &comment]);
        let titles: Vec<String> = ROWS
            .iter()
            .map(|r| format!("title={} {n}", r.label))
            .collect();
        let files: Vec<String> = ROWS
            .iter()
            .map(|r| {
                dir.join(format!("{}{n:02}.{}", r.prefix, r.extension))
                    .display()
                    .to_string()
            })
            .collect();
        for ((row, title), file) in ROWS.iter().zip(&titles).zip(&files) {
            args.extend(["-map", "0:a"]);
            match (row.prefix.ends_with("-cover"), row.extension) {
                (true, "ogg") => args.extend(["-map_metadata", "2"]),
                (true, _) => {
                    args.extend([
                        "-map",
                        "1:v",
                        "-c:v",
                        "copy",
                        "-disposition:v",
                        "attached_pic",
                    ]);
                }
                _ => {}
            }
            args.extend(["-metadata", title, file]);
        }
        ffmpeg(&args, &sound(n as u64));
    }
    fs::write(dir.join("complete"), "").unwrap();
}

/// 16-bit stereo that sounds from its first sample on and is no other's.
fn sound(seed: u64) -> Vec<u8> {
    let mut random = noise(seed + 2);
    let frames = (0..SECONDS * 44_100).flat_map(|n| {
        let t = f64::from(n) / 44_100.0;
        let tone = ((200.0 + seed as f64 * 7.0 + 30.0 * t) * t * std::f64::consts::TAU).sin();
        let sample = (tone * 10_000.0) as i16 + (random() >> 6) as i16 + 4_000;
        [sample, sample / 2 + 1]
    });
    frames.flat_map(i16::to_le_bytes).collect()
}

/// RFC 9639, section 8.8.
fn picture_block(png: &[u8]) -> Vec<u8> {
    let mime = b"image/png";
    let mut block = Vec::new();
    let number = |block: &mut Vec<u8>, n: usize| block.extend((n as u32).to_be_bytes());
    number(&mut block, 3);
    number(&mut block, mime.len());
    block.extend(mime);
    for n in [0, COVER_SIDE, COVER_SIDE, 24, 0, png.len()] {
        number(&mut block, n);
    }
    block.extend(png);
    block
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let four = |chunk: &[u8]| {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let all = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |i: usize| match i <= chunk.len() {
            true => char::from(DIGITS[(all >> (18 - 6 * i)) as usize & 63]),
            false => '=',
        };
        [digit(0), digit(1), digit(2), digit(3)]
    };
    bytes.chunks(3).flat_map(four).collect()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

const ROWS: [Row; 8] = [
    Row {
        label: "FLAC",
        prefix: "flac",
        extension: "flac",
    },
    Row {
        label: "FLAC, cover",
        prefix: "flac-cover",
        extension: "flac",
    },
    Row {
        label: "MP3",
        prefix: "mp3",
        extension: "mp3",
    },
    Row {
        label: "MP3, cover",
        prefix: "mp3-cover",
        extension: "mp3",
    },
    Row {
        label: "Ogg",
        prefix: "ogg",
        extension: "ogg",
    },
    Row {
        label: "Ogg, cover",
        prefix: "ogg-cover",
        extension: "ogg",
    },
    Row {
        label: "M4A",
        prefix: "m4a",
        extension: "m4a",
    },
    Row {
        label: "M4A, cover",
        prefix: "m4a-cover",
        extension: "m4a",
    },
];

/// Names the sound device of the listener.
const DEVICE: &str = "P2PMUSIC_BENCH_DEVICE";
/// What the player says when it begins to sound.
const FIRST_FRAME: &str = "the first frame went to the device";
/// Distinct files a row, each played once.
const PLAYS: usize = 50;
const TRACED_PLAYS: usize = 10;
const WARM_COMMANDS: usize = 30;
const SECONDS: u32 = 20;
/// Noise does not compress: a PNG of 2 MB.
const COVER_SIDE: usize = 832;
/// Not the usual port, where a node may run.
const TRACKER: &str = "127.0.0.1:46970";
