//! `p2pmusic ctl`: a blocking client of the control socket.
//!
//! It gives commands and gets answers as JSON, and says what came of them in words for people,
//! or in JSON for scripts.

mod act;
pub(super) mod args;
pub(super) mod client;
mod complete;
mod json;
mod missed;
mod options;
mod screen;
mod show;
mod stats;
mod terminal;
mod watch;
mod watched_line;
mod words;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use self::{
    args::{Ctl, CtlArgs, Switch},
    client::CtlClient,
    missed::with_words,
    options::QueueOption,
    screen::Screen,
    show::Scene,
    stats::StatsReply,
};

use crate::{
    command::{
        Answer, Command, DatabaseCommand, NodeCommand, Placing, Playback, QueueCommand, Row,
    },
    config::DEFAULT_SOCKET,
};

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// What the node says about it.
    #[error("{text}")]
    Refused { code: u32, text: String },
    #[error("{0}")]
    Unreachable(String),
    /// Its answer is not understood, or it does not understand the command.
    #[error(
        "the node that runs is of another version than this program: restart it \
         (`sudo systemctl restart p2pmusic`)"
    )]
    Older,
    #[error("these are more words than a command takes: use fewer")]
    TooLong,
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
    let text = answer(&mut client, &args.command, &terminal::screen())?;
    print(&text)
}

/// Carries out a command, and gives what to print.
#[cold]
fn answer(client: &mut CtlClient, command: &Ctl, screen: &Screen) -> Result<String, CtlError> {
    match command {
        Ctl::Play { words, next, add } => {
            let placing = match (next, add) {
                (true, _) => Placing::Next,
                (_, true) => Placing::Last,
                _ => Placing::Instead,
            };
            act::play(client, words, placing)
        }
        Ctl::Pause => act::then_state(client, Playback::Pause(Some(true))),
        Ctl::Resume => act::then_state(client, Playback::Play(None)),
        Ctl::Stop => act::then_state(client, Playback::Stop),
        Ctl::Next | Ctl::Prev => {
            client.play(match command {
                Ctl::Next => Playback::Next,
                _ => Playback::Previous,
            })?;
            Ok(client.scene()?.line(screen))
        }
        Ctl::Seek { to } => act::seek(client, to),
        Ctl::Volume { volume } => act::set_volume(client, *volume),
        Ctl::Add { words } => act::add(client, words),
        Ctl::Clear => act::clear(client),
        Ctl::Remove { places } => act::remove(client, places),
        Ctl::Move { from, to } => act::shift(client, *from, *to),
        Ctl::Shuffle => act::shuffle(client),
        Ctl::Random { to } => act::switch(client, QueueOption::Random, to.map(Switch::from)),
        Ctl::Repeat { to } => act::switch(client, QueueOption::Repeat, to.map(Switch::from)),
        Ctl::Single { to } => act::switch(client, QueueOption::Single, *to),
        Ctl::Consume { to } => act::switch(client, QueueOption::Consume, to.map(Switch::from)),
        Ctl::Leave => {
            client.ask(Command::Node(NodeCommand::Leave))?;
            Ok("left the swarm; `p2pmusic ctl join` brings this node back\n".into())
        }
        Ctl::Join => act::join(client),
        Ctl::Update { path, all } => {
            let update = NodeCommand::Update {
                uri: path.clone().unwrap_or_default(),
                rescan: *all,
            };
            client.ask(Command::Node(update))?;
            Ok("looking for new and changed files\n".into())
        }
        Ctl::Complete { word } => {
            let rows = client.rows(complete::asked(word))?;
            Ok(complete::fitting(rows, word))
        }
        listing => list(client, listing, screen),
    }
}

/// What only shows something.
#[cold]
fn list(client: &mut CtlClient, command: &Ctl, screen: &Screen) -> Result<String, CtlError> {
    match command {
        Ctl::Queue(listing) => {
            let all = Command::Queue(QueueCommand::List(None));
            let rows = client.run(&all)?.into_iter();
            let queued = |row| match row {
                Row::Queued(queued) => Some(queued),
                _ => None,
            };
            let songs: Vec<_> = rows.filter_map(queued).collect();
            let current = client.state()?.player.current.map(|current| current.id);
            Ok(match listing.json {
                true => json::list(&songs, json::queued),
                false => show::queue(screen, &songs, current),
            })
        }
        Ctl::Search { words, listing } => {
            let songs = client.songs(DatabaseCommand::Find(with_words(words)))?;
            Ok(match listing.json {
                true => json::list(&songs, json::track),
                false if songs.is_empty() => act::missed(client, words)? + "\n",
                false => show::songs(screen, &songs),
            })
        }
        Ctl::Ls { path, listing } => {
            let uri = path.clone().unwrap_or_default();
            let rows = client.rows(DatabaseCommand::List { uri, files: false })?;
            Ok(match listing.json {
                true => json::list(&rows, json::row),
                false => show::directory(screen, &rows),
            })
        }
        command => show_node(client, command, screen),
    }
}

/// What only shows something of the node.
fn show_node(client: &mut CtlClient, command: &Ctl, screen: &Screen) -> Result<String, CtlError> {
    let (asked, is_json) = match command {
        Ctl::Peers(listing) => (NodeCommand::Peers, listing.json),
        Ctl::Library { listing, .. } => (NodeCommand::Library, listing.json),
        Ctl::Devices(listing) => (NodeCommand::Devices, listing.json),
        Ctl::Stats(listing) => (NodeCommand::Stats, listing.json),
        Ctl::Current(listing) | Ctl::Status { listing, .. } => (NodeCommand::State, listing.json),
        _ => return Ok(String::new()),
    };
    Ok(match client.ask(Command::Node(asked))? {
        Answer::Peers(peers) if is_json => json::list(&peers, json::peer),
        Answer::Peers(peers) => show::peers(screen, &peers),
        Answer::Devices(devices) if is_json => json::list(&devices, json::device),
        Answer::Devices(devices) => show::devices(screen, &devices),
        Answer::Library(library) if is_json => json::list(&library.files, json::left_out),
        Answer::Library(library) => match command {
            Ctl::Library { left_out: true, .. } => show::left_out(screen, &library.files),
            _ => show::library(&library),
        },
        Answer::Stats(pairs) if is_json => StatsReply::new(pairs).json(),
        Answer::Stats(pairs) => StatsReply::new(pairs).show(screen),
        Answer::State(state) => match (command, is_json) {
            (Ctl::Current(_), true) => json::pretty(&json::current(&state)),
            (Ctl::Current(_), false) => Scene { state: *state }.show_song(screen),
            (_, true) => json::pretty(&json::state(&state)),
            (_, false) => Scene { state: *state }.show(screen),
        },
        Answer::Done | Answer::Added(_) | Answer::Chosen(_) | Answer::Updating(_) => {
            return Err(CtlError::Older);
        }
    })
}

fn print(text: &str) -> Result<(), CtlError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(CtlError::Output)
}

/// Completions are a hint: a shell does not wait for them.
const COMPLETION_TIME: Duration = Duration::from_secs(2);

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
            "add /kitchen/sigur/",
            "remove 4",
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
            "added 1 track\n",
            "removed 1 track; 3 left in the queue\n",
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
    fn more_words_than_a_line_takes_are_refused_in_words() {
        let many = ["word"; 500].join(" ");
        for command in ["search", "add", "play"] {
            let printed = session(&[&format!("{command} {many}")]);
            let is_said = printed[0].contains("use fewer") || printed[0].contains("nobody");
            assert!(is_said, "{command}: {}", printed[0]);
        }
    }

    #[test]
    fn what_is_left_out_is_counted_and_named() {
        let printed = session(&["library", "library --left-out", "status"]);
        assert_eq!(
            printed[0],
            "1 file left out: p2pmusic ctl library --left-out\n1 file listed with tags missing\n"
        );
        assert_eq!(
            printed[1],
            "/music/a.mp3\n    listed with tags missing: its tags are damaged\n\
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
