//! What `p2pmusic ctl` can be asked for.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::words::{Positions, SeekTarget, VolumeTarget};

/// Control the node on this machine.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The node's control socket [default: $P2PMUSIC_SOCKET, then
    /// /run/p2pmusic/ctl.sock]
    #[arg(long, value_name = "PATH", global = true)]
    pub(super) socket: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Ctl,
}

#[derive(Debug, Subcommand)]
pub(super) enum Ctl {
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
        /// Show each file that is left out, or listed with tags missing
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
pub(super) enum OnOff {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
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
pub(super) struct Listing {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// An argument that the completions complete to paths in the swarm.
const PATHS: ValueHint = ValueHint::Url;
