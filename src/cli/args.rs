//! The command line: what a person can ask of the binary, and with which options.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use super::ctl::args::CtlArgs;
use crate::{config::DEFAULT_PATH, pairing::CODE_LIFE};

/// Turns a handful of speakers into one peer-to-peer music swarm.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) command: CliCommand,
}

#[derive(Subcommand)]
pub(super) enum CliCommand {
    /// Set this speaker up: its name, its music, its swarm, and the service
    ///
    /// Asks what it is not told. Run once more, it changes what is answered otherwise;
    /// whatever else a person wrote into the configuration stays.
    Setup(SetupArgs),
    /// Run the node: a tracker, a peer, or both, as the configuration says
    Run(ConfigArgs),
    /// Drive the node that runs on this machine
    Ctl(CtlArgs),
    /// Check a configuration file
    Check(ConfigArgs),
    /// Look for what is wrong with this machine, its network and its settings, and say what
    /// to do
    ///
    /// Works while the node runs and while it does not; as root it sees more. It ends within
    /// some seconds, shows no key and no password, and exits with 1 when something is wrong.
    /// Put what it prints into a report of a problem.
    Doctor(DoctorArgs),
    /// Make a swarm key and print it
    Keygen,
    /// Show a code by which a new speaker gets the swarm's key
    ///
    /// The code holds for five minutes, for one speaker, and for three tries. Run it with
    /// sudo on a speaker that is in the swarm, and `p2pmusic join` on the new one. It
    /// works while the node runs.
    Pair(PairArgs),
    /// Get the swarm's key from a speaker that shows a code
    ///
    /// Asks for the code that `p2pmusic pair` shows on a speaker in the swarm, finds that by
    /// mDNS, writes the key it gives, and starts the service anew. The code can be piped in,
    /// too.
    Join(JoinArgs),
    /// Make this node another one: what a copied card needs
    Identity {
        #[command(subcommand)]
        command: IdentityCommand,
    },
    /// Show a whole swarm on this machine, without a sound card or a network
    Demo(DemoArgs),
    /// Write the manual pages
    #[command(hide = true)]
    Manual {
        /// The directory for them
        dir: PathBuf,
    },
    /// Print completions for a shell
    #[command(hide = true)]
    Completions { shell: clap_complete::Shell },
}

#[derive(Subcommand)]
pub(super) enum IdentityCommand {
    /// Give this node a new identity, while p2pmusic is stopped. Its music and
    /// its settings stay
    New(ConfigArgs),
}

#[derive(Args)]
pub(super) struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
}

/// What a person has decided already.
#[derive(Args)]
pub struct SetupArgs {
    /// The speaker's name, under which its music is listed [default: the host's]
    #[arg(long)]
    pub name: Option<String>,
    /// A directory with music to share; may be given several times
    #[arg(long, value_name = "DIR")]
    pub music: Vec<PathBuf>,
    /// The first speaker of a house: makes the swarm's key, and is its tracker
    #[arg(long)]
    pub first: bool,
    /// Get the swarm's key from a speaker that has it, by the code that
    /// `sudo p2pmusic pair` shows there
    #[arg(long, conflicts_with = "first")]
    pub join: bool,
    /// Where the code is shown, unless mDNS finds it: a host's name or address
    #[arg(long, value_name = "HOST[:PORT]", requires = "join")]
    pub at: Option<String>,
    /// Ask nothing but a code: what is not given is as it was, or what would be proposed
    #[arg(long, short)]
    pub yes: bool,
    /// Play a sound at the end
    #[arg(long)]
    pub sound: bool,
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
}

/// Look for what is wrong here.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Show a code by which a new speaker gets the swarm's key.
#[derive(Debug, Args)]
pub struct PairArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
    /// Where to listen (TCP) while the code holds
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_LISTEN)]
    pub listen: SocketAddr,
    /// How long the code holds
    #[arg(long, value_name = "N", hide = true, default_value_t = CODE_LIFE.as_secs())]
    pub seconds: u64,
}

/// Get the swarm's key from a speaker that shows a code.
#[derive(Clone, Debug, Args)]
pub struct JoinArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
    /// Where the code is shown, unless mDNS finds it: a host's name or address
    #[arg(long, value_name = "HOST[:PORT]")]
    pub at: Option<String>,
    /// Which of several speakers that show one
    #[arg(long, value_name = "NAME", conflicts_with = "at")]
    pub member: Option<String>,
    /// Where the key goes, unless the configuration names a file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_KEY_FILE)]
    pub key_file: PathBuf,
    /// Leave the swarm whose key is here
    #[arg(long)]
    pub replace: bool,
    /// Leave the service as it is
    #[arg(long)]
    pub no_restart: bool,
}

/// What can be said about the demo.
#[derive(Args)]
pub struct DemoArgs {
    /// The output, as `audio.device` of the configuration [default: the sound
    /// card, or a recording where there is none]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
}

/// Whether `word` is a command of `ctl`.
pub fn is_of_ctl(word: &str) -> bool {
    let cli = Cli::command();
    let ctl = cli.find_subcommand("ctl");
    let command = ctl.and_then(|ctl| ctl.find_subcommand(word));
    command.is_some_and(|command| !command.is_hide_set())
}

/// Where the key is unless told otherwise.
pub const DEFAULT_KEY_FILE: &str = "/etc/p2pmusic.key";
/// Beside the tracker's port, so that `--at HOST` needs none.
pub const PAIRING_PORT: u16 = 4671;
const DEFAULT_LISTEN: &str = "[::]:4671";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_the_node_is_known_as_such() {
        for word in ["status", "play", "prev", "previous", "volume"] {
            assert!(is_of_ctl(word), "{word}");
        }
        for word in ["run", "complete", "polka", "", "--json"] {
            assert!(!is_of_ctl(word), "{word}");
        }
    }

    #[test]
    fn the_port_is_the_one_that_a_newcomer_looks_at() {
        let at: SocketAddr = DEFAULT_LISTEN.parse().unwrap();
        assert_eq!(at.port(), PAIRING_PORT);
    }
}
