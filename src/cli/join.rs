//! `p2pmusic join`: fetches the swarm's key from a member that shows a code.

mod members;
pub mod place;

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    net::{SocketAddr, ToSocketAddrs as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use self::{
    members::{named, which, with_port, NoMember, WhichMember},
    place::NewKeyFile,
};
use super::{args::JoinArgs, ctl::client::CtlClient};
use crate::{
    command::{Answer, Command as Asked, NodeCommand},
    config::{self, ConfigError, DEFAULT_PATH},
    daemon::node_name,
    discovery::{self, Mdns, ServiceKind},
    id::check_name,
    identity::{self, KeyFileError},
    pairing::{self, DialFailure, NoCode, PairingCode, PairingError},
    util::tree,
};

/// What came of it.
#[derive(Debug)]
pub struct Joined {
    /// The member that gave the key.
    pub member: String,
    pub key_file: PathBuf,
}

/// Why this speaker has not joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinFailure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0:?} has the key of a swarm already; `p2pmusic join --replace` leaves that one")]
    Member(PathBuf),
    #[error("{0}; `p2pmusic join --replace` puts another in its place")]
    InTheWay(KeyFileError),
    #[error("{path:?} cannot be written: {source}{}", as_root(.source))]
    Unwritable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    NoMember(#[from] NoMember),
    #[error("mDNS cannot be used here: {0}; `--at` the member's name or address")]
    NoMdns(String),
    #[error("{0:?} has no address: {1}")]
    Nameless(String, io::Error),
    #[error(transparent)]
    NoCode(#[from] NoCode),
    #[error("no code was given: {0}")]
    NothingTyped(io::Error),
    #[error("{0}")]
    Refused(String),
    #[error("{0}; has the code run out? `sudo p2pmusic pair` shows a new one")]
    Dial(DialFailure),
}

/// Joins, in words. Exit code 1 when that has failed.
pub fn run(args: &JoinArgs) -> ExitCode {
    match join(args, &mut ask) {
        Ok(joined) => {
            say!(
                "{} has given the key, which is in {}.",
                joined.member,
                joined.key_file.display()
            );
            match args.no_restart || args.config != Path::new(DEFAULT_PATH) {
                true => say!("p2pmusic uses it from its next start on."),
                false => start(&args.config),
            }
            ExitCode::SUCCESS
        }
        Err(JoinFailure::Config(e)) => super::bad_config(&e),
        Err(e) => {
            complain!("p2pmusic: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Fetches the key and puts it into its place; `ask` is given a question, and gives what
/// was typed. The service is left as it is.
///
/// # Errors
/// In words, with what to do.
#[cold]
pub fn join(
    args: &JoinArgs,
    ask: &mut dyn FnMut(&str) -> io::Result<String>,
) -> Result<Joined, JoinFailure> {
    let config = config::load(&args.config)?;
    let configured = config.swarm.key_file.clone();
    let path = configured.clone().unwrap_or_else(|| args.key_file.clone());
    if !args.replace {
        check_free(&path)?;
    }
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| JoinFailure::Unwritable { path, source }
    };
    let file = NewKeyFile::prepare(&path).map_err(unwritable(&path))?;
    let addresses = match &args.at {
        Some(at) => resolve(at)?,
        None => find(args.member.as_deref(), ask)?,
    };
    let typed = ask("The code that `sudo p2pmusic pair` shows: ");
    let code = PairingCode::parse(&typed.map_err(JoinFailure::NothingTyped)?)?;
    let name = node_name(&config);
    let granted = smol::block_on(pairing::dial(&addresses, &code, &name)).map_err(in_words)?;
    file.write(&granted.keys).map_err(unwritable(&path))?;
    if configured.is_none() {
        place::name_key_file(&args.config, &path).map_err(unwritable(&args.config))?;
    }
    let member = granted.from.clone();
    smol::block_on(granted.confirm());
    Ok(Joined {
        member,
        key_file: path,
    })
}

/// Whether there is no key yet: an empty file, as a copy that failed leaves behind, is none.
fn check_free(path: &Path) -> Result<(), JoinFailure> {
    match identity::read_keys(path) {
        Ok(_) => Err(JoinFailure::Member(path.into())),
        Err(KeyFileError::Empty { .. }) => Ok(()),
        Err(KeyFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(())
        }
        Err(KeyFileError::Read { path, source }) => Err(JoinFailure::Unwritable { path, source }),
        Err(error) => Err(JoinFailure::InTheWay(error)),
    }
}

/// What has gone wrong with the code, and what to do.
fn in_words(failure: DialFailure) -> JoinFailure {
    let again = "`sudo p2pmusic pair` there shows a new one";
    let why = match failure {
        DialFailure::Exchange(PairingError::Refused(0)) => {
            format!("that is not the code, or it has ended: too many tries have failed; {again}")
        }
        DialFailure::Exchange(PairingError::Refused(left)) => format!(
            "that is not the code that is shown there; {left} more {} and it ends",
            if left == 1 { "try" } else { "tries" }
        ),
        DialFailure::Exchange(PairingError::WrongCode) => format!(
            "what answers there does not know the code, or is not the speaker that shows it; \
             nothing was given away. Check the name, and begin anew: {again}"
        ),
        other => return JoinFailure::Dial(other),
    };
    JoinFailure::Refused(why)
}

/// The addresses of the member that shows a code, by mDNS.
fn find(
    wanted: Option<&str>,
    ask: &mut dyn FnMut(&str) -> io::Result<String>,
) -> Result<Vec<SocketAddr>, JoinFailure> {
    let mdns = Mdns::default();
    let looking = discovery::look_around(&mdns, ServiceKind::Pairing, LOOK);
    let found = smol::block_on(looking).map_err(|e| JoinFailure::NoMdns(e.to_string()))?;
    let valid = found
        .into_iter()
        .filter(|(name, _)| check_name(name).is_ok());
    let members = tree::map(valid.map(|(name, (_, at))| (name, at)));
    choose(&members, wanted, io::stdin().is_terminal(), ask)
}

/// Which of `members` is meant: the one that is `wanted`, the only one, or what a person at the
/// terminal says.
fn choose(
    members: &BTreeMap<String, Vec<SocketAddr>>,
    wanted: Option<&str>,
    has_person: bool,
    ask: &mut dyn FnMut(&str) -> io::Result<String>,
) -> Result<Vec<SocketAddr>, JoinFailure> {
    let choice = match which(members, wanted, has_person)? {
        WhichMember::Named(name) => name,
        WhichMember::Asked(question) => ask(&question).map_err(JoinFailure::NothingTyped)?,
    };
    Ok(named(members, &choice)?)
}

fn resolve(at: &str) -> Result<Vec<SocketAddr>, JoinFailure> {
    let resolved = with_port(at).to_socket_addrs();
    let resolved = resolved.map_err(|e| JoinFailure::Nameless(at.into(), e))?;
    Ok(resolved.collect())
}

/// Asks the person at the terminal, or reads the next line of what is piped in.
pub fn ask(question: &str) -> io::Result<String> {
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        crate::cli::say::err(format_args!("{question}"));
        io::stderr().flush()?;
    }
    let mut line = String::new();
    match stdin.read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

/// Has the service use the key, and says what it finds. An open swarm is left by a start
/// only.
fn start(config: &Path) {
    let restarted = Command::new("systemctl")
        .args(["try-restart", "p2pmusic.service"])
        .stdin(Stdio::null())
        .status();
    match restarted {
        Ok(status) if status.success() => {}
        _ => return say!("To use it: sudo systemctl restart p2pmusic"),
    }
    let socket = config::load(config).map(|config| config.control.socket);
    match socket.ok().and_then(|socket| others(&socket)) {
        Some(names) => say!("Here are: {names}."),
        None => say!("`p2pmusic ctl peers` shows who is here, once the service runs."),
    }
}

/// The names of those that the node on `socket` finds, as soon as there are some.
fn others(socket: &Path) -> Option<String> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let asked = CtlClient::connect(socket)
            .and_then(|mut node| node.ask(Asked::Node(NodeCommand::Peers)));
        if let Ok(Answer::Peers(peers)) = asked {
            let others = peers.iter().filter(|peer| !peer.own);
            let names: Vec<&str> = others.map(|peer| &*peer.name).collect();
            if !names.is_empty() {
                return Some(names.join(", "));
            }
        }
        thread::sleep(PATIENCE / 60);
    }
    None
}

fn as_root(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; run it with sudo",
        _ => "",
    }
}

/// mdns-sd asks at once, after 1 s and after 3 s, and a busy Wi-Fi loses the first.
const LOOK: Duration = Duration::from_millis(3500);
/// For the service to start and to find the others.
const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_that_show_a_code_a_person_chooses() {
        let member = |name: &str, n| (name.to_owned(), vec![SocketAddr::from(([10, 0, 0, n], 1))]);
        let two = BTreeMap::from([member("cellar 0123", 1), member("kitchen 4567", 2)]);
        let chosen = |members: &_, wanted, typed: Option<&str>| {
            let mut questions = Vec::new();
            let mut ask = |question: &str| {
                questions.push(question.to_owned());
                Ok(format!("{}\n", typed.unwrap_or_default()))
            };
            let chosen = choose(members, wanted, typed.is_some(), &mut ask);
            let chosen = chosen.map_err(|failure| failure.to_string());
            (chosen.map(|at| at[0].ip().to_string()), questions)
        };
        for typed in ["kitchen", " Kitchen ", "kitchen 4567"] {
            let (at, questions) = chosen(&two, None, Some(typed));
            assert_eq!(at.as_deref(), Ok("10.0.0.2"));
            assert_eq!(questions.len(), 1);
            assert!(
                questions[0].contains("cellar 0123, kitchen 4567"),
                "{questions:?}"
            );
        }
        for typed in ["", "attic", "kitchen 0123"] {
            let (failed, _) = chosen(&two, None, Some(typed));
            assert!(
                failed.is_err_and(|why| why.contains("cellar 0123")),
                "{typed}"
            );
        }
        // Nobody is asked where nobody is, or what is known already.
        let (failed, questions) = chosen(&two, None, None);
        assert!(failed.is_err_and(|why| why.contains("--member")) && questions.is_empty());
        let (at, questions) = chosen(&two, Some("cellar"), Some(""));
        assert_eq!((at.as_deref(), questions.len()), (Ok("10.0.0.1"), 0));
        let one = BTreeMap::from([member("cellar 0123", 1)]);
        let (at, questions) = chosen(&one, None, Some(""));
        assert_eq!((at.as_deref(), questions.len()), (Ok("10.0.0.1"), 0));
        // Two of one name are told apart by what stands behind it.
        let twins = BTreeMap::from([member("cellar 0123", 1), member("cellar 4567", 2)]);
        let (failed, _) = chosen(&twins, None, Some("cellar"));
        assert!(failed.is_err_and(|why| why.contains("cellar 0123, cellar 4567")));
        let (at, _) = chosen(&twins, None, Some("cellar 4567"));
        assert_eq!(at.as_deref(), Ok("10.0.0.2"));
    }
}
