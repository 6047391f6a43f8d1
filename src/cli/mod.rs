//! The command line: what a person can ask of the binary.

#[macro_use]
mod say;
mod completions;
pub mod ctl;
mod demo;
mod doctor;
mod edit;
mod join;
mod manual;
mod pair;
mod setup;

use std::{
    env,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{error::ErrorKind, CommandFactory as _, Parser, Subcommand};

use crate::{
    config::{self, Config, DEFAULT_PATH},
    daemon::{self, dirs::StateDir, DaemonError},
    identity::{self, Identity, KeyFileError},
};

/// Turns a handful of speakers into one peer-to-peer music swarm.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Set this speaker up: its name, its music, its swarm, and the service
    ///
    /// Asks what it is not told. Run once more, it changes what is answered otherwise;
    /// whatever else a person wrote into the configuration stays.
    Setup(setup::SetupArgs),
    /// Run the node: a tracker, a peer, or both, as the configuration says
    Run(ConfigArgs),
    /// Drive the node that runs on this machine
    Ctl(ctl::CtlArgs),
    /// Check a configuration file
    Check(ConfigArgs),
    /// Look for what is wrong with this machine, its network and its settings, and say what
    /// to do
    ///
    /// Works while the node runs and while it does not; as root it sees more. It ends within
    /// some seconds, shows no key and no password, and exits with 1 when something is wrong.
    /// Put what it prints into a report of a problem.
    Doctor(doctor::DoctorArgs),
    /// Make a swarm key and print it
    Keygen,
    /// Show a code by which a new speaker gets the swarm's key
    ///
    /// The code holds for five minutes, for one speaker, and for three tries. Run it with
    /// sudo on a speaker that is in the swarm, and `p2pmusic join` on the new one. It
    /// works while the node runs.
    Pair(pair::PairArgs),
    /// Get the swarm's key from a speaker that shows a code
    ///
    /// Asks for the code that `p2pmusic pair` shows on a speaker in the swarm, finds that by
    /// mDNS, writes the key it gives, and starts the service anew. The code can be piped in,
    /// too.
    Join(join::JoinArgs),
    /// Make this node another one: what a copied card needs
    Identity {
        #[command(subcommand)]
        command: IdentityCommand,
    },
    /// Show a whole swarm on this machine, without a sound card or a network
    Demo(demo::DemoArgs),
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
enum IdentityCommand {
    /// Give this node a new identity, while p2pmusic is stopped. Its music and
    /// its settings stay
    New(ConfigArgs),
}

#[derive(clap::Args)]
struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

/// Does what the command line asks for, or says what is wrong with it.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => {
            let word = env::args().nth(1).unwrap_or_default();
            if error.kind() == ErrorKind::InvalidSubcommand && is_of_ctl(&word) {
                complain!("p2pmusic: there is no command `{word}`; it is `p2pmusic ctl {word}`");
                return ExitCode::from(EX_COMMAND_LINE);
            }
            error.exit()
        }
    }
}

/// Whether `word` is a command of `ctl`.
fn is_of_ctl(word: &str) -> bool {
    let cli = Cli::command();
    let ctl = cli.find_subcommand("ctl");
    let command = ctl.and_then(|ctl| ctl.find_subcommand(word));
    command.is_some_and(|command| !command.is_hide_set())
}

impl Cli {
    /// Does what was asked and says how it went.
    fn run(self) -> ExitCode {
        match self.command {
            CliCommand::Setup(args) => apart(|| setup::run(&args)),
            CliCommand::Run(args) => run(&args),
            CliCommand::Ctl(args) => apart(|| ctl::run(&args)),
            CliCommand::Check(args) => apart(|| check(&args)),
            CliCommand::Doctor(args) => apart(|| doctor::run(&args)),
            CliCommand::Keygen => apart(keygen),
            CliCommand::Pair(args) => apart(|| pair::run(&args)),
            CliCommand::Join(args) => apart(|| join::run(&args)),
            CliCommand::Identity {
                command: IdentityCommand::New(args),
            } => apart(|| new_identity(&args)),
            CliCommand::Demo(args) => apart(|| demo::run(&args)),
            CliCommand::Manual { dir } => apart(|| written(manual::write(&dir))),
            CliCommand::Completions { shell } => {
                apart(|| written(print(&completions::script(shell))))
            }
        }
    }
}

/// Runs a command that is not the node, in a frame of its own: in one for all of them the
/// others' variables would lie in memory for as long as a node runs. So would their code, but
/// for what is marked as cold, here and in their rooms.
#[cold]
#[inline(never)]
fn apart(run: impl FnOnce() -> ExitCode) -> ExitCode {
    run()
}

#[inline(never)]
fn run(args: &ConfigArgs) -> ExitCode {
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(e) => return bad_config(&e),
    };
    match daemon::run(&config, &args.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e @ DaemonError::Key(_)) => bad_config(&e),
        Err(e) => {
            complain!("p2pmusic: {e}");
            ExitCode::FAILURE
        }
    }
}

fn check(args: &ConfigArgs) -> ExitCode {
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(e) => return bad_config(&e),
    };
    let mut notes = doubts(&config);
    match config.swarm.key_file.as_deref().map(identity::read_keys) {
        // The service reads it; the user that checks need not.
        Some(Err(KeyFileError::Read { path, source }))
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            notes.push(format!(
                "you may not read {}, so it is not checked",
                path.display()
            ));
        }
        Some(Err(e)) => return bad_config(&e),
        _ => {}
    }
    say!(
        "{}: good, a node of role {}",
        args.config.display(),
        config.role
    );
    for note in notes {
        say!("note: {note}");
    }
    ExitCode::SUCCESS
}

/// What can be meant, and is rather a mistake.
fn doubts(config: &Config) -> Vec<String> {
    let music = config.peer.music.iter().filter(|_| config.role.is_peer());
    let mut doubts: Vec<String> = music
        .filter_map(|dir| {
            let dir_shown = dir.display();
            match std::fs::metadata(dir) {
                Ok(seen) if seen.is_dir() => None,
                Ok(_) => Some(format!("peer.music: {dir_shown} is not a directory")),
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    Some(format!("peer.music: you may not look into {dir_shown}"))
                }
                Err(e) => Some(format!("peer.music: {dir_shown}: {e}")),
            }
        })
        .collect();
    let max = config.cache.max.0;
    if config.role.is_peer() && (1..LEAST_CACHE).contains(&max) {
        doubts.push(format!(
            "cache.max is {max} bytes, which keeps no track: write for example \"2 GiB\""
        ));
    }
    doubts
}

fn keygen() -> ExitCode {
    match identity::new_key() {
        Ok(key) => written(print(&format!("{key}\n"))),
        Err(e) => {
            complain!("p2pmusic: {e}");
            ExitCode::FAILURE
        }
    }
}

fn new_identity(args: &ConfigArgs) -> ExitCode {
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(e) => return bad_config(&e),
    };
    let made = StateDir::open(&config)
        .map_err(DaemonError::from)
        .and_then(|state| Ok(Identity::make_new(state.path())?));
    match made {
        Ok(peer) => {
            say!("this node is {peer} from now on; start p2pmusic again");
            ExitCode::SUCCESS
        }
        Err(e) => {
            complain!("p2pmusic: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what somebody keeps in a file: unlike a remark, it must not get lost in silence.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn written(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // `completions bash | head` is no error.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => {
            complain!("p2pmusic: {e}");
            ExitCode::FAILURE
        }
    }
}

fn bad_config(error: &dyn std::error::Error) -> ExitCode {
    complain!("p2pmusic: {error}");
    ExitCode::from(EX_CONFIG)
}

/// Less than a track or two in good quality.
const LEAST_CACHE: u64 = 64 << 20;

/// The exit code for a wrong command line, as clap has it.
const EX_COMMAND_LINE: u8 = 2;

/// The exit code for a bad configuration, by sysexits.h; systemd's
/// `RestartPreventExitStatus=` knows it.
const EX_CONFIG: u8 = 78;

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
}
