//! `p2pmusic demo`: the main job on one machine, shown by itself.
//!
//! A tracker and three peers run as real processes of this very binary, on
//! loopback, in a directory that is gone afterwards. One peer plays what the
//! others have. Whatever does not happen ends the demo with a non-zero code.

mod chime;
mod music;
mod node;
mod score;
mod tunes;

use std::{
    fs, io,
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

pub use self::chime::chime;
use self::{
    music::DemoTrack,
    node::{DemoNode, NodeError},
};
use super::args::DemoArgs;
use super::ctl::{client::CtlClient, CtlError};
use crate::command::{view::TrackerStanding, Answer, Command, NodeCommand, Placing, Playback};

/// Why the demo did not show what it should.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Ctl(#[from] CtlError),
    #[error("{0}")]
    NotShown(String),
}

/// Shows the main job and says how it went.
pub fn run(args: &DemoArgs) -> ExitCode {
    let begun = Instant::now();
    let dir = std::env::temp_dir().join(format!("p2pmusic-demo-{}", std::process::id()));
    let shown = fs::create_dir_all(&dir)
        .map_err(|source| DemoError::Io {
            what: dir.display().to_string(),
            source,
        })
        .and_then(|()| DemoStage::set(&dir, args)?.show());
    if let Err(e) = fs::remove_dir_all(&dir) {
        complain!("{}: cannot be removed: {e}", dir.display());
    }
    match shown {
        Ok(()) => {
            say!(
                "\nAll of this happened, in {:.0} s.",
                begun.elapsed().as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        Err(e) => {
            complain!("\np2pmusic demo: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that the demo has on stage. Dropping it ends the processes.
struct DemoStage {
    /// What `parlour` plays on.
    output: DemoOutput,
    tracks: Vec<DemoTrack>,
    parlour: DemoNode,
    kitchen: DemoNode,
    attic: DemoNode,
    _tracker: DemoNode,
}

enum DemoOutput {
    Card(String),
    Recording(PathBuf),
}

impl DemoStage {
    fn set(dir: &std::path::Path, args: &DemoArgs) -> Result<Self, DemoError> {
        say!(
            "A tracker and three peers on this machine, in {}.\n",
            dir.display()
        );
        let output = match &args.device {
            Some(device) => DemoOutput::Card(device.clone()),
            None if has_sound_card() => DemoOutput::Card("auto".into()),
            None => DemoOutput::Recording(dir.join("parlour.wav")),
        };
        match &output {
            DemoOutput::Card(device) => say("output", &format!("ALSA, device {device:?}")),
            DemoOutput::Recording(_) => {
                say(
                    "output",
                    "no sound card here: what plays is recorded to a file, in real time",
                );
            }
        }
        let io = |source| DemoError::Io {
            what: "the demo's music".into(),
            source,
        };
        let tracks = music::make(dir).map_err(io)?;
        for track in &tracks {
            say(
                "composed",
                &format!(
                    "{} ({}), for the {}",
                    track.title, track.format, track.owner
                ),
            );
        }
        let tracker = DemoNode::tracker(dir)?;
        say("tracker", &format!("listens on {}", tracker.address()));
        let device = match &output {
            DemoOutput::Card(device) => device.clone(),
            DemoOutput::Recording(path) => format!("wav:{}", path.display()),
        };
        let peer = |name, device: &str| -> Result<DemoNode, DemoError> {
            let node = DemoNode::peer(dir, name, tracker.address(), device)?;
            node.wait_until("registered", |client| {
                let standing = client.state()?.node.standing;
                Ok((standing == TrackerStanding::Registered).then_some(()))
            })?;
            say(name, "registered");
            Ok(node)
        };
        let kitchen = peer("kitchen", "null")?;
        let attic = peer("attic", "null")?;
        let parlour = peer("parlour", &device)?;
        Ok(Self {
            output,
            tracks,
            parlour,
            kitchen,
            attic,
            _tracker: tracker,
        })
    }

    fn show(mut self) -> Result<(), DemoError> {
        for track in &self.tracks {
            let uri = self
                .parlour
                .wait_until("found every track", |client| Ok(client.find(&track.file)?))?;
            say("parlour", &format!("found {uri}"));
        }
        self.parlour.client()?.play(Playback::SetVolume(80))?;
        for track in &self.tracks {
            self.play(track)?;
        }
        self.parlour.client()?.play(Playback::Stop)?;
        self.miss()?;
        self.leave()?;
        self.check_recording()
    }

    /// Plays a track that another peer has, and follows it for a while.
    fn play(&self, track: &DemoTrack) -> Result<(), DemoError> {
        say!(
            "\n▶ parlour plays {:?}, which lives in the {}",
            track.title,
            track.owner
        );
        let mut client = self.parlour.client()?;
        client.play_best(&track.file, Placing::Instead)?;
        let first = self.parlour.wait_until("made a sound", |client| {
            let state = client.state()?;
            if let Some(error) = state.error() {
                return Err(DemoError::NotShown(error.to_owned()));
            }
            let sounds = state.player.elapsed.is_some_and(|at| !at.is_zero());
            Ok(state.node.first_sound.filter(|_| sounds))
        })?;
        say("first sound", &format!("after {} ms", first.as_millis()));
        let until = Instant::now() + LISTEN;
        let mut line = LiveLine::new();
        let mut arrived = 0.0;
        while Instant::now() < until {
            let state = client.state()?;
            let elapsed = state.player.elapsed.unwrap_or_default().as_secs_f64();
            arrived = f64::from(state.node.arrived.unwrap_or_default()) * 100.0;
            line.show(&format!("{elapsed:4.1} s played, {arrived:3.0} % arrived"));
            thread::sleep(BETWEEN_LOOKS);
        }
        line.end();
        match arrived {
            100.0.. => Ok(()),
            _ => Err(DemoError::NotShown(format!(
                "{:?} did not arrive",
                track.title
            ))),
        }
    }

    /// Asks for a track that nobody has.
    fn miss(&self) -> Result<(), DemoError> {
        say!("\n▶ parlour plays \"The Lost Chord\", which nobody has");
        let mut client = self.parlour.client()?;
        match client.play_best("The Lost Chord", Placing::Instead) {
            Err(CtlError::Refused { text, .. }) => {
                say("error", &text);
                Ok(())
            }
            Err(other) => Err(other.into()),
            Ok(_) => Err(DemoError::NotShown(
                "a track that nobody has was played".into(),
            )),
        }
    }

    /// Lets a peer go, and waits until it is gone from the list.
    fn leave(&mut self) -> Result<(), DemoError> {
        say!("\n▶ attic leaves");
        self.attic.end()?;
        let left = self.parlour.wait_until("seen attic go", |client| {
            let Answer::Peers(peers) = client.ask(Command::Node(NodeCommand::Peers))? else {
                return Ok(None);
            };
            let names: Vec<String> = peers.iter().map(|peer| peer.name.to_string()).collect();
            let lists = |name| names.iter().any(|listed| listed == name);
            Ok((lists("kitchen") && !lists("attic")).then_some(names))
        })?;
        say("still here", &left.join(", "));
        self.kitchen.end()?;
        Ok(())
    }

    /// A recording that is silent would mean that nothing was shown.
    fn check_recording(self) -> Result<(), DemoError> {
        let DemoOutput::Recording(path) = self.output else {
            return Ok(());
        };
        let mut parlour = self.parlour;
        parlour.end()?;
        let what = path.display().to_string();
        let bytes = fs::read(&path).map_err(|source| DemoError::Io { what, source })?;
        let sounding = bytes
            .iter()
            .skip(WAV_HEADER)
            .filter(|byte| **byte != 0)
            .count();
        say(
            "recorded",
            &format!(
                "{} kB, of which {} kB are not silence",
                bytes.len() / 1000,
                sounding / 1000
            ),
        );
        match sounding * 2 > bytes.len() {
            true => Ok(()),
            false => Err(DemoError::NotShown("the recording is silent".into())),
        }
    }
}

/// A line that is drawn over on a terminal; elsewhere its first and last
/// states are lines of their own.
struct LiveLine {
    last: String,
    on_terminal: bool,
    begun: bool,
}

impl LiveLine {
    fn new() -> Self {
        Self {
            last: String::new(),
            on_terminal: io::stdout().is_terminal(),
            begun: false,
        }
    }

    fn show(&mut self, what: &str) {
        self.last = what.to_owned();
        if self.on_terminal {
            crate::cli::say::out(format_args!("\r  {:<12}{what}", "playing"));
            let _ = io::stdout().flush();
        } else if !self.begun {
            say("playing", what);
        }
        self.begun = true;
    }

    fn end(self) {
        match self.on_terminal {
            true => say!(),
            false => say("playing", &self.last),
        }
    }
}

fn say(who: &str, what: &str) {
    say!("  {who:<12}{what}");
}

/// Whether the kernel knows a sound card.
fn has_sound_card() -> bool {
    fs::read_to_string("/proc/asound/cards").is_ok_and(|cards| cards.contains("]:"))
}

/// How long each track is listened to.
const LISTEN: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
const WAV_HEADER: usize = 44;
