//! `p2pmusic ctl`: a blocking client of the control socket.
//!
//! It speaks MPD's protocol like any other client, and says what came of it in
//! words for people, or in JSON for scripts.

mod act;
pub(super) mod client;
mod complete;
mod screen;
mod show;
mod stats;
mod watch;
mod words;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use self::{
    client::{CtlClient, ReplyRecord},
    screen::Screen,
    show::Scene,
    stats::StatsReply,
    words::{Positions, SeekTarget, VolumeTarget},
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
        #[arg(value_hint = PATHS)]
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
        #[arg(required = true, value_hint = PATHS)]
        words: Vec<String>,
    },
    /// Show the queue
    Queue(Listing),
    /// Empty the queue
    Clear,
    /// Take tracks out of the queue
    Remove {
        /// Their place, as `queue` shows it: 3, or 3-5
        #[arg(value_name = "PLACE")]
        places: Positions,
    },
    /// Move a track within the queue
    Move {
        /// Its place, as `queue` shows it
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        from: u32,
        /// The place that it is to have
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        to: u32,
    },
    /// Mix up the queue; what plays comes first
    Shuffle,
    /// Play the queue in random order
    Random {
        /// Without it, the other of the two
        to: Option<OnOff>,
    },
    /// Begin the queue again when it has ended
    Repeat {
        /// Without it, the other of the two
        to: Option<OnOff>,
    },
    /// Stop after the current track, or with `repeat` play it again
    Single {
        /// Without it, the other of on and off; oneshot is on for one track
        to: Option<Switch>,
    },
    /// Take tracks out of the queue when they have been played
    Consume {
        /// Without it, the other of the two
        to: Option<OnOff>,
    },
    /// Show the current track
    Current(Listing),
    /// Show all tracks of the swarm that have the words
    Search {
        #[arg(required = true)]
        words: Vec<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a directory; the top has one for each peer
    Ls {
        #[arg(value_hint = PATHS)]
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
        #[arg(value_hint = PATHS)]
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
    /// liars: the last 16 peers that sent wrong bytes, with the file that was to be played, its
    /// track, how often (lies), and ago_seconds
    Stats(Listing),
    /// Show what plays and how the node is
    Status {
        /// Keep showing a line of it, until Ctrl-C
        #[arg(long, conflicts_with = "json")]
        watch: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// Print the paths that begin with a word, for completions
    #[command(hide = true)]
    Complete {
        #[arg(allow_hyphen_values = true)]
        word: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnOff {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Switch {
    On,
    Off,
    Oneshot,
}

impl From<OnOff> for Switch {
    fn from(to: OnOff) -> Self {
        match to {
            OnOff::On => Self::On,
            OnOff::Off => Self::Off,
        }
    }
}

#[derive(Debug, Args)]
struct Listing {
    /// Print JSON
    #[arg(long)]
    json: bool,
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
    #[error("that is beyond the end of the track: it is {duration} long, and at {elapsed} now")]
    Beyond { elapsed: String, duration: String },
    #[error("there is no place {place} in the queue: it has {length}")]
    NoPlace { place: u32, length: String },
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
            complain!("p2pmusic: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cold]
fn execute(args: &CtlArgs) -> Result<(), CtlError> {
    let socket = args.socket.clone();
    let socket = socket.or_else(|| std::env::var_os(SOCKET_VARIABLE).map(PathBuf::from));
    let socket = socket.unwrap_or_else(|| DEFAULT_SOCKET.into());
    let mut client = match args.command {
        Ctl::Complete { .. } => CtlClient::connect_for(&socket, COMPLETION_TIME)?,
        _ => CtlClient::connect(&socket)?,
    };
    if let Ctl::Status { watch: true, .. } = args.command {
        return watch::watch(&mut client);
    }
    let text = answer(&mut client, &args.command, &Screen::of_stdout())?;
    print(&text)
}

/// Carries out a command, and gives what to print.
fn answer(client: &mut CtlClient, command: &Ctl, screen: &Screen) -> Result<String, CtlError> {
    match command {
        Ctl::Play { words, next, add } => {
            let command = match (next, add) {
                (true, _) => "p2p_play_next",
                (_, true) => "p2p_play_last",
                _ => "p2p_play",
            };
            act::play(client, command, words)
        }
        Ctl::Pause => act::then_state(client, &["pause", "1"]),
        Ctl::Resume => act::then_state(client, &["play"]),
        Ctl::Stop => act::then_state(client, &["stop"]),
        Ctl::Next | Ctl::Prev => {
            let is_next = matches!(command, Ctl::Next);
            client.run(&[if is_next { "next" } else { "previous" }])?;
            Ok(Scene::ask(client)?.line(screen))
        }
        Ctl::Seek { to } => act::seek(client, to),
        Ctl::Volume { volume } => act::set_volume(client, *volume),
        Ctl::Add { words } => act::add(client, words),
        Ctl::Clear => act::clear(client),
        Ctl::Remove { places } => act::remove(client, places),
        Ctl::Move { from, to } => act::shift(client, *from, *to),
        Ctl::Shuffle => act::shuffle(client),
        Ctl::Random { to } => act::switch(client, "random", to.map(Switch::from)),
        Ctl::Repeat { to } => act::switch(client, "repeat", to.map(Switch::from)),
        Ctl::Single { to } => act::switch(client, "single", *to),
        Ctl::Consume { to } => act::switch(client, "consume", to.map(Switch::from)),
        Ctl::Leave => {
            client.run(&["p2p_leave"])?;
            Ok("left the swarm; `p2pmusic ctl join` brings this node back\n".into())
        }
        Ctl::Join => act::join(client),
        Ctl::Update { path, all } => {
            let command = if *all { "rescan" } else { "update" };
            let line = [Some(command), path.as_deref()];
            let line: Vec<&str> = line.into_iter().flatten().collect();
            client.run(&line)?;
            Ok("looking for new and changed files\n".into())
        }
        Ctl::Complete { word } => complete::complete(client, word),
        listing => list(client, listing, screen),
    }
}

/// What only shows something.
#[cold]
fn list(client: &mut CtlClient, command: &Ctl, screen: &Screen) -> Result<String, CtlError> {
    match command {
        Ctl::Queue(listing) => {
            let songs = client.records(&["playlistinfo"], &["file"])?;
            let current = client.value(&["status"], "songid")?;
            let current = current.as_deref();
            Ok(listing.show(&songs, |songs| show::queue(screen, songs, current)))
        }
        Ctl::Search { words, listing } => {
            let mut line = vec!["search"];
            words.iter().for_each(|word| line.extend(["any", word]));
            let songs = client.records(&line, &["file"])?;
            match songs.is_empty() && !listing.json {
                true => Ok(act::missed(client, words)? + "\n"),
                false => Ok(listing.show(&songs, |songs| show::songs(screen, songs))),
            }
        }
        Ctl::Ls { path, listing } => {
            let path = path.as_deref().unwrap_or_default();
            let entries = client.records(&["lsinfo", path], &["directory", "file"])?;
            Ok(listing.show(&entries, |entries| show::directory(screen, entries)))
        }
        Ctl::Peers(listing) => {
            let peers = client.records(&["p2p_peers"], &["peer"])?;
            Ok(listing.show(&peers, |peers| show::peers(screen, peers)))
        }
        Ctl::Library { left_out, listing } => {
            let files = client.records(&["p2p_library"], &["left_out"])?;
            match *left_out || listing.json {
                true => Ok(listing.show(&files, |files| show::left_out(screen, files))),
                false => Ok(show::library(&client.run(&["p2p_status"])?, &files)),
            }
        }
        Ctl::Devices(listing) => {
            let devices = client.records(&["p2p_devices"], &["device"])?;
            Ok(listing.show(&devices, |devices| show::devices(screen, devices)))
        }
        Ctl::Stats(listing) => {
            let stats = StatsReply::new(client.run(&["p2p_stats"])?);
            Ok(match listing.json {
                true => stats.json(),
                false => stats.show(screen),
            })
        }
        Ctl::Current(listing) => {
            let scene = Scene::ask(client)?;
            Ok(match listing.json {
                true => scene.song_json(),
                false => scene.show_song(screen),
            })
        }
        Ctl::Status { listing, .. } => {
            let scene = Scene::ask(client)?;
            Ok(match listing.json {
                true => scene.json(),
                false => scene.show(screen),
            })
        }
        _ => Ok(String::new()),
    }
}

impl Listing {
    fn show(&self, records: &[ReplyRecord], people: impl Fn(&[ReplyRecord]) -> String) -> String {
        match self.json {
            true => show::json(records),
            false => people(records),
        }
    }
}

fn print(text: &str) -> Result<(), CtlError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(CtlError::Output)
}

/// Completions are a hint: a shell does not wait for them.
const COMPLETION_TIME: Duration = Duration::from_secs(2);

/// An argument that the completions complete to paths in the swarm.
const PATHS: ValueHint = ValueHint::Url;

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
    struct CommandLine {
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
            let line = CommandLine::try_parse_from(words).unwrap();
            let mut client = CtlClient::connect(&socket).unwrap();
            answer(&mut client, &line.args.command, &Screen::default())
                .unwrap_or_else(|error| error.to_string())
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
            "   #  title                             time  file\n   \
             1  Miles Davis – Freddie Freeloader  2:00  kitchen/miles/kind of blue/2.flac\n\
             >  2  Miles Davis – So What             1:00  kitchen/miles/kind of blue/1.flac\n   \
             3  The Band – Whatever               6:00  studio/what.mp3\n",
            "at 0:30 / 1:00\n",
            "volume 80 %\n",
            "nobody who is here has anything like \"polka\"",
            "7:00  John Coltrane – Blue Train  studio/blue/train.flac\n",
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
            CtlClient::connect(&socket)
                .err()
                .map(|error| error.to_string())
        };
        assert!(explain().is_some_and(|text| text.contains("does not exist")));
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        assert!(explain().is_some_and(|text| text.contains("nobody answers")));
    }
}
