//! How fast a library is browsed, beside mpd: `cargo bench --bench mpd`.
//!
//! 20,000 tracks in 1,667 albums. Each command goes to both over their sockets in turn; what
//! is printed are the medians and their ratio.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use support::{ffmpeg, percentile, Node, Remote};

const TRACKS: usize = 20_000;
const ALBUM: usize = 12;
const ROUNDS: usize = 15;

fn main() {
    let here = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mpd");
    let _ = fs::remove_dir_all(&here);
    let music = here.join("music");
    write_library(&here, &music);
    let node = Node {
        dir: &here.join("own"),
        role: "both",
        name: "own",
        tracker: "127.0.0.1:46972",
        music: Some(&music),
        device: "null",
        log: "info",
    }
    .start();
    let mut own = node.connect();
    own.wait_for_tracks(TRACKS);
    node.settle();
    let Some(theirs) = Mpd::start(&here, &music) else {
        println!("\nNot measured beside mpd: it is not installed.");
        return;
    };
    let mut mpd = theirs.connect();
    println!("\n{TRACKS} tracks, medians of {ROUNDS} in ms: ours, mpd's, ratio");
    for (name, commands) in rows() {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            let both = [(&mut own, "own/"), (&mut mpd, "")];
            for ((remote, root), times) in both.into_iter().zip(&mut times) {
                remote.run("clear");
                let begun = Instant::now();
                for command in &commands {
                    remote.run(&command.replace("ROOT/", root));
                }
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
        let [ours, theirs] = times.map(|mut times| percentile(&mut times, 0.5));
        println!("{name:32} {ours:8.2} {theirs:8.2} {:6.2}", ours / theirs);
    }
}

/// What a person's client asks for: a name, and the commands.
fn rows() -> Vec<(&'static str, Vec<String>)> {
    let one = |line: &str| vec![line.to_owned()];
    let every = TRACKS / 1000;
    let adds = (0..1000).map(|n| format!("add \"ROOT/{}\"", path(n * every)));
    vec![
        ("status", one("status")),
        ("1,000 single adds", adds.collect()),
        ("lsinfo of the root", one("lsinfo \"ROOT/\"")),
        (
            "lsinfo of an album",
            one("lsinfo \"ROOT/Artist 010/Album 0050\""),
        ),
        ("listall", one("listall \"ROOT/\"")),
        (
            "list album group albumartist",
            one("list album group albumartist"),
        ),
        ("list artist", one("list artist")),
        ("find album", one("find album \"Album 0100\"")),
        ("search any", one("search any \"number 777\"")),
        ("count genre", one("count genre Jazz")),
    ]
}

/// The path of track `n`.
fn path(n: usize) -> String {
    let (album, place) = (n / ALBUM, n % ALBUM + 1);
    let artist = album / 5;
    format!("Artist {artist:03}/Album {album:04}/{place:02} Song {n}.flac")
}

/// Half a second of silence, with other tags each time.
fn write_library(here: &Path, music: &Path) {
    fs::create_dir_all(here).unwrap();
    let plain = here.join("plain.flac");
    let input = "anullsrc=r=44100:cl=stereo";
    let output = plain.to_str().unwrap();
    ffmpeg(
        &[
            "-f",
            "lavfi",
            "-i",
            input,
            "-t",
            "0.5",
            "-map_metadata",
            "-1",
            output,
        ],
        &[],
    );
    let plain = fs::read(plain).unwrap();
    // Behind the first block, the stream's description, come others up to the frames.
    let (first, mut rest) = plain.split_at(4 + 4 + 34);
    let mut is_last = false;
    while !is_last {
        is_last = rest[0] & 0x80 != 0;
        let len = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
        rest = &rest[4 + len..];
    }
    for n in 0..TRACKS {
        let album = n / ALBUM;
        let artist = format!("Artist {:03}", album / 5);
        let comments = [
            ("ARTIST", artist.clone()),
            ("ALBUMARTIST", artist),
            ("ALBUM", format!("Album {album:04}")),
            ("TITLE", format!("Song number {n} of many")),
            ("TRACKNUMBER", (n % ALBUM + 1).to_string()),
            ("DATE", (1960 + album % 60).to_string()),
            (
                "GENRE",
                ["Rock", "Jazz", "Classical", "Folk", "Pop"][album % 5].to_owned(),
            ),
        ];
        let file = music.join(path(n));
        if n % ALBUM == 0 {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        fs::write(file, [first, &comment_block(&comments), rest].concat()).unwrap();
    }
}

/// A Vorbis comment as the last metadata block of a FLAC file (RFC 9639, 8.6).
fn comment_block(comments: &[(&str, String)]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let mut body = text("bench");
    body.extend((comments.len() as u32).to_le_bytes());
    for (name, value) in comments {
        body.extend(text(&format!("{name}={value}")));
    }
    let len = (body.len() as u32).to_be_bytes();
    [&[0x84, len[1], len[2], len[3]], &*body].concat()
}

/// An mpd of the benchmark's own.
struct Mpd {
    child: Child,
    socket: PathBuf,
}

impl Mpd {
    /// Starts it and waits until it knows all tracks; `None` where there is none.
    fn start(here: &Path, music: &Path) -> Option<Self> {
        let dir = here.join("theirs");
        fs::create_dir_all(&dir).unwrap();
        let (config, socket) = (dir.join("mpd.conf"), dir.join("socket"));
        let text = format!(
            "music_directory {music:?}\nplaylist_directory {dir:?}\ndb_file {:?}\n\
             bind_to_address {socket:?}\naudio_output {{\ntype \"null\"\nname \"null\"\n}}\n",
            dir.join("db"),
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("mpd");
        command.arg("--no-daemon").arg(&config);
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.spawn().ok()?;
        let this = Self { child, socket };
        let deadline = Instant::now() + Duration::from_secs(120);
        while !this.socket.exists() {
            assert!(Instant::now() < deadline, "mpd never listens");
            thread::sleep(Duration::from_millis(20));
        }
        let mut remote = this.connect();
        remote.run("update");
        while remote.value("stats", "songs") != Some(TRACKS.to_string()) {
            assert!(Instant::now() < deadline, "mpd never has all tracks");
            thread::sleep(Duration::from_millis(100));
        }
        Some(this)
    }

    fn connect(&self) -> Remote {
        Remote::connect(&self.socket)
    }
}

impl Drop for Mpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
