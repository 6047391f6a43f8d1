//! Carries out what the command line asks of the binary.

#[macro_use]
mod say;
mod args;
mod completions;
pub mod ctl;
mod demo;
mod doctor;
mod edit;
mod join;
mod manual;
mod pair;
mod replace;
mod setup;

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{error::ErrorKind, Parser as _};

use self::args::{is_of_ctl, Cli, CliCommand, ConfigArgs, IdentityCommand};

use crate::{
    config::{self, Config},
    daemon::{self, dirs::StateDir, DaemonError},
    identity::{self, Identity, KeyFileError},
};

/// Does what the command line asks for, or says what is wrong with it.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => carry_out(cli.command),
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

/// Does what was asked and says how it went.
fn carry_out(command: CliCommand) -> ExitCode {
    match command {
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
        CliCommand::Completions { shell } => apart(|| written(print(&completions::script(shell)))),
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
