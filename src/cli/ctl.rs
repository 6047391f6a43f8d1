//! `p2pmusic ctl`: a blocking client of the control socket.
//!
//! It speaks MPD's protocol like any other client, and says what came of it in
//! words for people, or in JSON for scripts.

pub(super) mod client;
mod show;
mod stats;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};

use self::{
    client::{Client, Record},
    show::{clock, Scene},
    stats::Stats,
};

use crate::config::DEFAULT_SOCKET;

/// Control the node on this machine.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The node's control socket [default: $P2PMUSIC_SOCKET, then
    /// /run/p2pmusic/ctl.sock]
    #[arg(long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Ctl,
}

#[derive(Debug, Subcommand)]
enum Ctl {
    /// Play what matches best in the whole swarm, or resume
    ///
    /// A path is played as it is: that track, or all of that directory. Words mean the artist,
    /// the album, the directory or the track that has them in its name; an artist comes before
    /// an album, that before a directory, and that before a track. An artist, an album and a
    /// directory are played whole, from their first track, a track by itself. It replaces what
    /// is in the queue.
    Play {
        /// Words of a title, artist, album or path; or PEER/PATH
        words: Vec<String>,
        /// Put it behind the current track instead, and go on with what plays
        #[arg(long, conflicts_with = "add", requires = "words")]
        next: bool,
        /// Put it behind all that is in the queue instead, and go on with what plays
        #[arg(long, requires = "words")]
        add: bool,
    },
    /// Pause
    Pause,
    /// Go on after a pause
    Resume,
    /// Stop
    Stop,
    /// Go to the next track
    Next,
    /// Go to the previous track
    #[command(alias = "previous")]
    Prev,
    /// Seek within the current track
    Seek {
        /// 1:23, +10, -10 (seconds) or 50%
        #[arg(allow_hyphen_values = true)]
        to: SeekTarget,
    },
    /// Show or set the volume
    Volume {
        /// 40, +5 or -5 (per cent)
        #[arg(allow_hyphen_values = true)]
        volume: Option<VolumeTarget>,
    },
    /// Add a track, a directory, or all that has the words, to the queue
    Add {
        /// PEER/PATH, or words
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Show the queue
    Queue(Listing),
    /// Empty the queue
    Clear,
    /// Show all tracks of the swarm that have the words
    Search {
        #[arg(required = true)]
        words: Vec<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a directory; the top has one for each peer
    Ls {
        path: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show the peers of the swarm
    Peers(Listing),
    /// Show the sound devices that could be configured
    Devices(Listing),
    /// Show what of this node's music is not listed, and why
    Library {
        /// Show each file that is left out, or listed without its tags
        #[arg(long)]
        left_out: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// Leave the swarm: nobody is kept waiting for this node. `join` brings it back
    Leave,
    /// Come back into the swarm after `leave`
    Join,
    /// Look for new and changed files in this node's library
    Update {
        /// A file or directory of it, as `ls` shows it, instead of everything
        path: Option<String>,
        /// Read the tags of all files, whether they have changed or not
        #[arg(long)]
        all: bool,
    },
    /// Show how well it plays: times, underruns, and where the bytes came from
    ///
    /// All counts begin with the node. With --json it is one object:
    ///
    /// uptime_seconds; plays (tracks that were heard), plays_failed
    ///
    /// first_sound: from the command to the first sound, of all, and by where the bytes
    /// were (swarm, cache, own_disk): count, p50_seconds, p90_seconds, p99_seconds (at most
    /// an eighth too high), max_seconds
    ///
    /// underruns, underrun_seconds, underrun_longest_seconds: the device had no bytes;
    /// rebuffers, rebuffer_seconds, rebuffer_longest_seconds: the sound waited for bytes and
    /// went on
    ///
    /// own_disk_bytes, cache_bytes: of tracks that were heard, what was on this machine
    ///
    /// received_bytes (verified), duplicate_bytes (those of them that were here already),
    /// wasted_bytes (of wrong or unfinished groups), sent_bytes (of slices, with their
    /// hashes), refusals (requests that were answered with no), connections_lost, lies
    /// (answers with wrong bytes): in all, and in peers for each peer, with its name (peer)
    /// and id. Of more than 64 peers, those that brought and took the least are one,
    /// "others/"
    ///
    /// requests (slices that others asked for), requests_declined (whatever they asked for),
    /// tracker_losses
    ///
    /// liars: the last 16 who sent wrong bytes, with the file that was to be played, its
    /// track, how often (lies), and ago_seconds
    Stats(Listing),
    /// Show what plays and how the node is
    Status {
        /// Keep showing it, until Ctrl-C
        #[arg(long, conflicts_with = "json")]
        watch: bool,
        #[command(flatten)]
        listing: Listing,
    },
}

#[derive(Debug, Args)]
struct Listing {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where to seek to.
#[derive(Clone, Debug, PartialEq)]
enum SeekTarget {
    At(Duration),
    Forward(Duration),
    Back(Duration),
    /// From 0 to 1.
    Part(f64),
}

/// What to make of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VolumeTarget {
    To(u8),
    By(i8),
}

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// What the node says about it.
    #[error("{text}")]
    Refused { code: u32, text: String },
    #[error("{0}")]
    Unreachable(String),
    #[error("{0} does not speak MPD's protocol")]
    Foreign(PathBuf),
    #[error("the node hung up: {0}")]
    Lost(#[source] io::Error),
    #[error("nothing plays")]
    Silent,
    #[error("cannot write: {0}")]
    Output(#[source] io::Error),
}

/// Runs one command. What goes wrong is printed, and is exit code 1.
pub fn run(args: &CtlArgs) -> ExitCode {
    match execute(args) {
        Ok(()) => ExitCode::SUCCESS,
        // `ctl ls | head` is no error.
        Err(CtlError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("p2pmusic: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(args: &CtlArgs) -> Result<(), CtlError> {
    let socket = args.socket.clone();
    let socket = socket.or_else(|| std::env::var_os(SOCKET_VARIABLE).map(PathBuf::from));
    let socket = socket.unwrap_or_else(|| DEFAULT_SOCKET.into());
    let mut client = Client::connect(&socket)?;
    if let Ctl::Status { watch: true, .. } = args.command {
        return watch(&mut client);
    }
    let text = answer(&mut client, &args.command)?;
    print(&text)
}

/// Carries out a command, and gives what to print.
fn answer(client: &mut Client, command: &Ctl) -> Result<String, CtlError> {
    let simple = |client: &mut Client, words: &[&str]| client.run(words).map(|_| String::new());
    match command {
        Ctl::Play { words, next, add } => {
            let mut line = vec![match (next, add) {
                (true, _) => "p2p_play_next",
                (_, true) => "p2p_play_last",
                _ => "p2p_play",
            }];
            line.extend(words.iter().map(String::as_str));
            Ok(show::played(&client.run(&line)?))
        }
        Ctl::Pause => simple(client, &["pause", "1"]),
        Ctl::Resume => simple(client, &["play"]),
        Ctl::Stop => simple(client, &["stop"]),
        Ctl::Next => {
            client.run(&["next"])?;
            Ok(Scene::ask(client)?.line(None))
        }
        Ctl::Prev => {
            client.run(&["previous"])?;
            Ok(Scene::ask(client)?.line(None))
        }
        Ctl::Seek { to } => seek(client, to),
        Ctl::Volume { volume } => set_volume(client, *volume),
        Ctl::Add { words } => add(client, words),
        Ctl::Clear => simple(client, &["clear"]),
        Ctl::Leave => {
            client.run(&["p2p_leave"])?;
            Ok("left the swarm; `p2pmusic ctl join` brings this node back\n".into())
        }
        Ctl::Join => join(client),
        Ctl::Update { path, all } => {
            let command = if *all { "rescan" } else { "update" };
            let line = [Some(command), path.as_deref()];
            let line: Vec<&str> = line.into_iter().flatten().collect();
            simple(client, &line).map(|_| "looking for changes\n".into())
        }
        Ctl::Queue(listing) => {
            let songs = client.records(&["playlistinfo"], &["file"])?;
            let current = client.value(&["status"], "songid")?;
            Ok(listing.show(&songs, |songs| show::queue(songs, current.as_deref())))
        }
        Ctl::Search { words, listing } => {
            let mut line = vec!["search"];
            words.iter().for_each(|word| line.extend(["any", word]));
            let songs = client.records(&line, &["file"])?;
            Ok(listing.show(&songs, show::songs))
        }
        Ctl::Ls { path, listing } => {
            let path = path.as_deref().unwrap_or_default();
            let entries = client.records(&["lsinfo", path], &["directory", "file"])?;
            Ok(listing.show(&entries, show::directory))
        }
        Ctl::Peers(listing) => {
            let peers = client.records(&["p2p_peers"], &["peer"])?;
            Ok(listing.show(&peers, show::peers))
        }
        Ctl::Library { left_out, listing } => {
            let files = client.records(&["p2p_library"], &["left_out"])?;
            match *left_out || listing.json {
                true => Ok(listing.show(&files, show::left_out)),
                false => Ok(show::library(&client.run(&["p2p_status"])?, &files)),
            }
        }
        Ctl::Devices(listing) => {
            let devices = client.records(&["p2p_devices"], &["device"])?;
            Ok(listing.show(&devices, show::devices))
        }
        Ctl::Stats(listing) => {
            let stats = Stats::new(client.run(&["p2p_stats"])?);
            Ok(match listing.json {
                true => stats.json(),
                false => stats.show(),
            })
        }
        Ctl::Status { listing, .. } => {
            let scene = Scene::ask(client)?;
            Ok(match listing.json {
                true => scene.json(),
                false => scene.show(),
            })
        }
    }
}

impl Listing {
    fn show(&self, records: &[Record], people: impl Fn(&[Record]) -> String) -> String {
        match self.json {
            true => show::json(records),
            false => people(records),
        }
    }
}

fn seek(client: &mut Client, to: &SeekTarget) -> Result<String, CtlError> {
    let to = match to {
        SeekTarget::At(to) => format!("{:.3}", to.as_secs_f64()),
        SeekTarget::Forward(by) => format!("+{:.3}", by.as_secs_f64()),
        SeekTarget::Back(by) => format!("-{:.3}", by.as_secs_f64()),
        SeekTarget::Part(part) => {
            let duration = client.value(&["status"], "duration")?;
            let duration = duration.and_then(|text| text.parse::<f64>().ok());
            format!("{:.3}", duration.ok_or(CtlError::Silent)? * part)
        }
    };
    client.run(&["seekcur", &to])?;
    let status = client.run(&["status"])?;
    let time = |key| clock(status.number(key).unwrap_or_default());
    Ok(format!("{} / {}\n", time("elapsed"), time("duration")))
}

/// Comes back, and waits a little to say with whom it has registered.
fn join(client: &mut Client) -> Result<String, CtlError> {
    client.run(&["p2p_join"])?;
    let deadline = Instant::now() + JOIN_TIME;
    loop {
        let tracker = client.value(&["p2p_status"], "tracker")?;
        let tracker = tracker.unwrap_or_default();
        if !tracker.starts_with("looking") && !tracker.starts_with("connecting") {
            return Ok(format!("joined the swarm again; tracker: {tracker}\n"));
        }
        if Instant::now() >= deadline {
            return Ok(format!(
                "joined the swarm again; tracker: still {tracker}\n"
            ));
        }
        thread::sleep(JOIN_TIME / 30);
    }
}

fn set_volume(client: &mut Client, volume: Option<VolumeTarget>) -> Result<String, CtlError> {
    match volume {
        None => {}
        Some(VolumeTarget::To(volume)) => {
            client.run(&["setvol", &volume.to_string()])?;
        }
        Some(VolumeTarget::By(change)) => {
            client.run(&["volume", &change.to_string()])?;
        }
    }
    let volume = client.value(&["getvol"], "volume")?;
    Ok(format!("volume {} %\n", volume.unwrap_or_default()))
}

fn add(client: &mut Client, words: &[String]) -> Result<String, CtlError> {
    let before = queue_length(client)?;
    let uri = words.join(" ");
    match client.run(&["add", &uri]) {
        Err(CtlError::Refused { code: NO_EXIST, .. }) => {
            let mut line = vec!["searchadd"];
            words.iter().for_each(|word| line.extend(["any", word]));
            client.run(&line)?;
        }
        other => _ = other?,
    }
    match queue_length(client)?.saturating_sub(before) {
        0 => Err(CtlError::Refused {
            code: NO_EXIST,
            text: format!("nobody who is here has anything with {uri:?}"),
        }),
        1 => Ok("added 1 track\n".into()),
        n => Ok(format!("added {n} tracks\n")),
    }
}

fn queue_length(client: &mut Client) -> Result<u64, CtlError> {
    let length = client.value(&["status"], "playlistlength")?;
    Ok(length.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Shows a live line until the node or the person ends it.
fn watch(client: &mut Client) -> Result<(), CtlError> {
    let is_terminal = io::stdout().is_terminal();
    let columns = std::env::var("COLUMNS").ok();
    let columns = columns.and_then(|text| text.parse().ok()).unwrap_or(80);
    loop {
        let scene = Scene::ask(client)?;
        if is_terminal {
            let line = scene.line(Some(columns));
            print(&format!("\r\x1b[2K{}", line.trim_end()))?;
        } else {
            print(&scene.line(None))?;
        }
        thread::sleep(Duration::from_secs(1));
    }
}

fn print(text: &str) -> Result<(), CtlError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(CtlError::Output)
}

impl std::str::FromStr for SeekTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a place: 1:23, +10, -10 or 50%");
        if let Some(part) = text.strip_suffix('%') {
            let part = part.parse::<f64>().map_err(|_| wrong())?;
            let in_track = (0.0..=100.0).contains(&part);
            return in_track
                .then_some(Self::Part(part / 100.0))
                .ok_or_else(wrong);
        }
        match text.split_at_checked(1) {
            Some(("+", by)) => parse_clock(by).map(Self::Forward),
            Some(("-", by)) => parse_clock(by).map(Self::Back),
            _ => parse_clock(text).map(Self::At),
        }
        .ok_or_else(wrong)
    }
}

impl std::str::FromStr for VolumeTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let relative = text.starts_with(['+', '-']);
        let number = text.strip_suffix('%').unwrap_or(text).parse::<i8>();
        match number {
            Ok(by @ -100..=100) if relative => Ok(Self::By(by)),
            Ok(to @ 0..=100) if !relative => Ok(Self::To(to.unsigned_abs())),
            _ => Err(format!("{text:?} is not a volume: 0 to 100, +5 or -5")),
        }
    }
}

/// Parses `[[h:]m:]s`.
fn parse_clock(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    for part in text.split(':') {
        let is_number = part.starts_with(|c: char| c.is_ascii_digit());
        let part = part.parse::<f64>().ok().filter(|_| is_number)?;
        seconds = seconds * 60.0 + part;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// A tracker that is there takes less to answer.
const JOIN_TIME: Duration = Duration::from_secs(3);

/// Names another socket for a whole shell.
const SOCKET_VARIABLE: &str = "P2PMUSIC_SOCKET";

/// MPD's number for "there is no such thing".
const NO_EXIST: u32 = 50;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::control::fixture;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: CtlArgs,
    }

    /// What `ctl` prints for each of `lines`, one after the other.
    fn session(lines: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("ctl.sock");
        fixture::serve(&socket);
        let run = |line: &&str| {
            let words = ["ctl"].into_iter().chain(line.split(' '));
            let line = Line::try_parse_from(words).unwrap();
            let mut client = Client::connect(&socket).unwrap();
            answer(&mut client, &line.args.command).unwrap_or_else(|error| error.to_string())
        };
        lines.iter().map(run).collect()
    }

    #[test]
    fn a_node_is_controlled_in_words() {
        let printed = session(&[
            "play freddie",
            "add so what",
            "next",
            "queue",
            "seek 50%",
            "volume +60",
            "play polka",
            "ls studio/blue",
        ]);
        let expected = [
            "playing  Miles Davis – Freddie Freeloader  2:00  \
             kitchen/miles/kind of blue/2.flac\n",
            "added 2 tracks\n",
            "playing  ▒▒▒▒▒▒▒▒▒▒▒▒············ 0:00 / 1:00  50 % here  Miles Davis – So What\n",
            "   1  Miles Davis – Freddie Freeloader  2:00  kitchen/miles/kind of blue/2.flac\n\
             >  2  Miles Davis – So What             1:00  kitchen/miles/kind of blue/1.flac\n   \
             3  The Band – Whatever               6:00  studio/what.mp3\n",
            "0:30 / 1:00\n",
            "volume 80 %\n",
            "nobody who is here has anything like \"polka\"",
            "studio/blue/train.flac  7:00  John Coltrane – Blue Train\n",
        ];
        for (printed, expected) in printed.iter().zip(expected) {
            assert_eq!(printed, expected);
        }
    }

    #[test]
    fn what_is_left_out_is_counted_and_named() {
        let printed = session(&["library", "library --left-out", "status"]);
        assert_eq!(
            printed[0],
            "1 file left out: p2pmusic ctl library --left-out\n1 file listed without tags\n"
        );
        assert_eq!(
            printed[1],
            "/music/a.mp3\n    listed without tags: its tags are damaged\n\
             /music/b.wav\n    left out: it ends too early\n"
        );
        assert!(
            printed[2].contains("library      1 file left out: p2pmusic ctl library --left-out"),
            "{}",
            printed[2]
        );
    }

    #[test]
    fn no_node_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("ctl.sock");
        let explain = || {
            Client::connect(&socket)
                .err()
                .map(|error| error.to_string())
        };
        assert!(explain().is_some_and(|text| text.contains("does not exist")));
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        assert!(explain().is_some_and(|text| text.contains("nobody answers")));
    }

    #[test]
    fn places_and_volumes_are_read_as_people_write_them() {
        let seconds = Duration::from_secs;
        for (text, target) in [
            ("1:23", SeekTarget::At(seconds(83))),
            ("90", SeekTarget::At(seconds(90))),
            ("1:00:01", SeekTarget::At(seconds(3601))),
            ("+10", SeekTarget::Forward(seconds(10))),
            ("-1:00", SeekTarget::Back(seconds(60))),
            ("50%", SeekTarget::Part(0.5)),
        ] {
            assert_eq!(text.parse(), Ok(target), "{text}");
        }
        for bad in ["", "x", "1:", "+-3", "101%", "inf", "é"] {
            assert!(bad.parse::<SeekTarget>().is_err(), "{bad}");
        }
        assert_eq!("40".parse(), Ok(VolumeTarget::To(40)));
        assert_eq!("+5".parse(), Ok(VolumeTarget::By(5)));
        assert_eq!("-5".parse(), Ok(VolumeTarget::By(-5)));
        for bad in ["101", "-101", "loud", ""] {
            assert!(bad.parse::<VolumeTarget>().is_err(), "{bad}");
        }
    }
}
