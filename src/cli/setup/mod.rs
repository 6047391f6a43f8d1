//! `p2pmusic setup`: from an installed package to a speaker that plays, in one command.
//!
//! It asks what it is not told, writes that into the configuration, which keeps all that a
//! person wrote there, has the service's user read the music, and starts the service. Run
//! once more it offers what is there already, and changes what is answered otherwise.

mod ask;
mod key;
mod reach;
mod service;

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::ExitCode,
};

use nix::unistd::{gethostname, Uid, User};
use toml::Value;

use self::{ask::Questioner, reach::MusicReach};
use super::{
    args::{JoinArgs, SetupArgs},
    demo,
    join::{self, JoinFailure},
};
use crate::{
    cli::{edit, replace::replace},
    config::{Config, ConfigError, Role, DEFAULT_PATH},
    identity::{KeyFileError, NoRandomness},
};

/// Why a speaker is not set up.
#[derive(Debug, thiserror::Error)]
enum SetupError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{}: {source}{}", path.display(), as_root(source))]
    File { path: PathBuf, source: io::Error },
    #[error(
        "{} is written in a way that only a person can change: set {key} = {value}{} there",
        path.display(), under(table)
    )]
    ByHand {
        path: PathBuf,
        table: &'static str,
        key: &'static str,
        value: Value,
    },
    #[error("{}: there is no such directory", .0.display())]
    NoMusic(PathBuf),
    #[error(transparent)]
    Answer(io::Error),
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Join(#[from] JoinFailure),
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    #[error("{0}")]
    Service(String),
}

fn as_root(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; `sudo p2pmusic setup` may",
        _ => "",
    }
}

fn under(table: &str) -> String {
    match table {
        "" => " before all tables".into(),
        _ => format!(" under [{table}]"),
    }
}

/// Sets this speaker up, and says what was done.
pub fn run(args: &SetupArgs) -> ExitCode {
    match set_up(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("p2pmusic: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cold]
fn set_up(args: &SetupArgs) -> Result<(), SetupError> {
    let asker = Questioner {
        takes_defaults: args.yes,
    };
    let mut file = ConfigFile::open(&args.config)?;
    let name = choose_name(args, asker, &file.config)?;
    let music = choose_music(args, asker, &file.config)?;
    let part = choose_part(args, asker, &file)?;
    if let Some(name) = name {
        file.set("", "name", name.into())?;
    }
    let texts: Vec<String> = music.iter().map(|dir| dir.display().to_string()).collect();
    if file.config.peer.music != music {
        file.set("peer", "music", texts.into())?;
    }
    if part == Part::First {
        begin_swarm(&mut file)?;
    }
    file.write()?;
    for dir in &music {
        let_service_read(asker, dir)?;
    }
    if part == Part::Join {
        join_swarm(args, &file)?;
    }
    start_service(&file, part)?;
    if args.sound
        || asker
            .is_wanted("Play a sound now?", false)
            .map_err(SetupError::Answer)?
    {
        let device = file.config.audio.device.to_string();
        match demo::chime(&device) {
            Ok(()) => say("sound", &format!("played on the device {device:?}")),
            Err(why) => return Err(SetupError::Service(why.to_string())),
        }
    }
    Ok(())
}

/// The name to write, if another than what is there.
fn choose_name(
    args: &SetupArgs,
    asker: Questioner,
    config: &Config,
) -> Result<Option<String>, SetupError> {
    let host = gethostname().ok().and_then(|host| host.into_string().ok());
    let host = host.unwrap_or_default();
    let now = config.name.as_ref().map_or(host, |name| name.0.clone());
    let name = match &args.name {
        Some(name) => name.clone(),
        None => asker
            .text("The name of this speaker", &now)
            .map_err(SetupError::Answer)?,
    };
    Ok(Some(name).filter(|name| *name != now))
}

/// The directories to share, which are there.
fn choose_music(
    args: &SetupArgs,
    asker: Questioner,
    config: &Config,
) -> Result<Vec<PathBuf>, SetupError> {
    let given = match args.music.is_empty() {
        false => args.music.clone(),
        true if asker.takes_defaults && !config.peer.music.is_empty() => {
            return Ok(config.peer.music.clone());
        }
        true => {
            let now = config.peer.music.first().cloned();
            let now = now.or_else(proposed_music);
            let now = now.map_or_else(|| NONE.into(), |dir| dir.display().to_string());
            let answer = asker.text("The directory of its music, or none", &now);
            match answer.map_err(SetupError::Answer)?.as_str() {
                NONE => Vec::new(),
                // Only the first was shown.
                same if same == now && !config.peer.music.is_empty() => {
                    return Ok(config.peer.music.clone());
                }
                other => vec![PathBuf::from(other)],
            }
        }
    };
    given.into_iter().map(existing).collect()
}

/// The whole path of a music directory; the usual one is made.
fn existing(dir: PathBuf) -> Result<PathBuf, SetupError> {
    let failed = |source| SetupError::File {
        path: dir.clone(),
        source,
    };
    if dir == Path::new(USUAL_MUSIC) && !dir.exists() {
        fs::create_dir_all(&dir).map_err(failed)?;
        if let Some(person) = person() {
            // A person that copies music there need not be root.
            let (uid, gid) = (person.uid.as_raw(), person.gid.as_raw());
            chown(&dir, Some(uid), Some(gid)).map_err(failed)?;
        }
        say(
            "music",
            &format!("{} is made: put music there", dir.display()),
        );
    }
    match dir.is_dir() {
        true => std::path::absolute(&dir).map_err(failed),
        false => Err(SetupError::NoMusic(dir)),
    }
}

/// Where music lies already. An empty directory would be taken for a disk that is away.
fn proposed_music() -> Option<PathBuf> {
    let at_home = person().map(|person| person.dir.join("Music"));
    let has_some = |dir: &PathBuf| fs::read_dir(dir).is_ok_and(|mut dir| dir.next().is_some());
    let mut places = at_home.into_iter().chain([USUAL_MUSIC.into()]);
    places.find(has_some)
}

/// The person that has called sudo.
fn person() -> Option<User> {
    let uid = env::var("SUDO_UID").ok()?.parse().ok()?;
    User::from_uid(Uid::from_raw(uid)).ok().flatten()
}

/// What this speaker is to a swarm.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// One begins with it.
    First,
    /// It gets the key of one.
    Join,
    /// It has a key, or wants none.
    AsItIs,
}

fn choose_part(args: &SetupArgs, asker: Questioner, file: &ConfigFile) -> Result<Part, SetupError> {
    let has_key = file.config.swarm.key_file.is_some();
    match (args.first, args.join) {
        (true, _) => return Ok(Part::First),
        (_, true) => return Ok(Part::Join),
        _ if has_key || asker.takes_defaults => return Ok(Part::AsItIs),
        _ => {}
    }
    let question = "Is this the first speaker of the house?";
    let is_first = asker.is_wanted(question, true);
    Ok(match is_first.map_err(SetupError::Answer)? {
        true => Part::First,
        false => Part::Join,
    })
}

/// Makes the key, and has this speaker be a tracker.
fn begin_swarm(file: &mut ConfigFile) -> Result<(), SetupError> {
    let key = file.key_path();
    if !file.config.role.is_tracker() {
        file.set("", "role", Role::Both.to_string().into())?;
    }
    if file.config.swarm.key_file.is_none() {
        file.set("swarm", "key_file", key.display().to_string().into())?;
    }
    let shown = key.display();
    match key::make(&key)? {
        key::Made::New => say("key", &format!("{shown} is new")),
        key::Made::Kept => say("key", &format!("{shown} is kept")),
    }
    Ok(())
}

/// Gets the key by a code, which is asked for even where nothing else is.
fn join_swarm(args: &SetupArgs, file: &ConfigFile) -> Result<(), SetupError> {
    let words = JoinArgs {
        config: file.path.clone(),
        at: args.at.clone(),
        member: None,
        key_file: file.key_path(),
        replace: false,
        no_restart: true,
    };
    say!("On a speaker that is in the swarm: sudo p2pmusic pair");
    let joined = join::join(&words, &mut join::ask)?;
    say("key", &format!("{} has given it", joined.member));
    Ok(())
}

fn let_service_read(asker: Questioner, dir: &Path) -> Result<(), SetupError> {
    if User::from_name(reach::USER).ok().flatten().is_none() {
        return Ok(());
    }
    let barred = match reach::of(reach::USER, dir) {
        MusicReach::Whole => return Ok(()),
        MusicReach::Unknown(why) => {
            say(
                "music",
                &format!(
                    "whether the service may read {} is not known: {why}",
                    dir.display()
                ),
            );
            return Ok(());
        }
        MusicReach::Barred(barred) => barred,
    };
    let shown = barred.display();
    let question = format!("The service may not read {shown}. Let it read that and the music?");
    if asker
        .is_wanted(&question, true)
        .map_err(SetupError::Answer)?
    {
        let done = reach::let_in(reach::USER, dir);
        match (done, reach::of(reach::USER, dir)) {
            (Ok(()), MusicReach::Whole) => {
                say(
                    "music",
                    &format!("the service may read {} now (setfacl)", dir.display()),
                );
                return Ok(());
            }
            (Err(why), _) => say("music", &why),
            (Ok(()), _) => {}
        }
    }
    let dir = dir.display();
    say(
        "music",
        &format!(
            "the service may not read {shown}. For everybody to read it: \
         sudo chmod -R o+rX {dir}, and o+x for each directory above it"
        ),
    );
    Ok(())
}

/// Has the service run with what was written, where the file is the service's.
fn start_service(file: &ConfigFile, part: Part) -> Result<(), SetupError> {
    if file.path != Path::new(DEFAULT_PATH) || !service::is_managed() {
        let path = file.path.display();
        say(
            "service",
            &format!("start it by: p2pmusic run --config {path}"),
        );
        return Ok(());
    }
    service::start().map_err(SetupError::Service)?;
    let socket = &file.config.control.socket;
    for (what, words) in service::words(socket) {
        say(what, &words);
    }
    if part == Part::First {
        say(
            "next",
            "on each other speaker `sudo p2pmusic setup --join`, which asks for a code; here",
        );
        say("", "`sudo p2pmusic pair`, which shows one");
    }
    Ok(())
}

fn say(what: &str, words: &str) {
    say!("  {what:<10}{words}");
    let _ = io::stdout().flush();
}

/// The configuration as text, with what it says.
struct ConfigFile {
    path: PathBuf,
    text: String,
    config: Config,
    is_changed: bool,
}

impl ConfigFile {
    fn open(path: &Path) -> Result<Self, SetupError> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => edit::SAMPLE.to_owned(),
            read => read.map_err(|source| SetupError::File {
                path: path.into(),
                source,
            })?,
        };
        let mut file = Self {
            path: path.into(),
            text: String::new(),
            config: Config::default(),
            is_changed: !path.exists(),
        };
        file.take(text)?;
        Ok(file)
    }

    fn set(
        &mut self,
        table: &'static str,
        key: &'static str,
        value: Value,
    ) -> Result<(), SetupError> {
        let Some(text) = edit::set(&self.text, table, key, value.clone()) else {
            return Err(SetupError::ByHand {
                path: self.path.clone(),
                table,
                key,
                value,
            });
        };
        self.is_changed = true;
        self.take(text)
    }

    fn take(&mut self, text: String) -> Result<(), SetupError> {
        self.config = Config::parse(&text).map_err(|mistake| ConfigError::Wrong {
            path: self.path.clone(),
            mistake,
        })?;
        self.text = text;
        Ok(())
    }

    /// The file of the swarm's key: beside this one unless it says otherwise.
    fn key_path(&self) -> PathBuf {
        let named = self.config.swarm.key_file.clone();
        named.unwrap_or_else(|| self.path.with_extension("key"))
    }

    /// After a power cut at any moment there is the old file or the new one.
    fn write(&self) -> Result<(), SetupError> {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let written = match self.is_changed {
            true => replace(&path, &self.text),
            false => Ok(()),
        };
        written.map_err(|source| SetupError::File {
            path: self.path.clone(),
            source,
        })?;
        let done = if self.is_changed {
            "is written"
        } else {
            "is kept"
        };
        say("config", &format!("{} {done}", self.path.display()));
        Ok(())
    }
}

/// The answer of a speaker that has no music of its own.
const NONE: &str = "none";
/// Where music lies unless it is said.
const USUAL_MUSIC: &str = "/srv/music";
