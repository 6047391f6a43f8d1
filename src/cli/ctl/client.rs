//! One connection to the node: commands go out, and answers come back, as JSON.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::DeserializeOwned;

use super::{show::Scene, CtlError};
use crate::{
    command::{
        filter::{Filter, FilterField, FilterNode},
        song::SongView,
        view::StateView,
        Answer, Command, DatabaseCommand, NodeCommand, Placing, Playback, QueueCommand, QueueEdit,
        Row, Selection,
    },
    control::mpd::args::MAX_LINE,
};

/// A connection that has been greeted.
pub(in crate::cli) struct CtlClient {
    stream: BufReader<UnixStream>,
}

impl CtlClient {
    pub fn connect(path: &Path) -> Result<Self, CtlError> {
        Self::connect_for(path, PATIENCE)
    }

    /// One that waits for no answer for longer than `patience`.
    pub fn connect_for(path: &Path, patience: Duration) -> Result<Self, CtlError> {
        let stream = UnixStream::connect(path)
            .map_err(|error| CtlError::Unreachable(explain(path, &error)))?;
        // A node that hangs must not take its remote control with it.
        let limit = Some(patience);
        let set = stream.set_read_timeout(limit);
        set.and_then(|()| stream.set_write_timeout(limit))
            .map_err(CtlError::Lost)?;
        let mut client = Self {
            stream: BufReader::new(stream),
        };
        match client.line()?.starts_with("OK MPD ") {
            true => Ok(client),
            false => Err(CtlError::Foreign(PathBuf::from(path))),
        }
    }

    /// Has the node do something, and gives its answer.
    pub fn ask(&mut self, command: Command) -> Result<Answer, CtlError> {
        let mut answers = self.run(&command)?;
        Ok(answers.pop().unwrap_or(Answer::Done))
    }

    /// Has the player do something.
    pub fn play(&mut self, command: Playback) -> Result<(), CtlError> {
        self.ask(Command::Playback(command)).map(drop)
    }

    /// Changes the queue.
    pub fn edit(&mut self, edit: QueueEdit) -> Result<(), CtlError> {
        self.ask(Command::Queue(QueueCommand::Edit(edit))).map(drop)
    }

    /// Puts the best match for the words into the queue.
    pub fn play_best(&mut self, words: &str, placing: Placing) -> Result<Answer, CtlError> {
        let words = words.trim().to_owned();
        self.ask(Command::Database(DatabaseCommand::PlayBest(words, placing)))
    }

    /// What there is to see of the node.
    pub fn state(&mut self) -> Result<StateView, CtlError> {
        match self.ask(Command::Node(NodeCommand::State))? {
            Answer::State(state) => Ok(*state),
            _ => Err(CtlError::Older),
        }
    }

    /// That, to be shown.
    pub(super) fn scene(&mut self) -> Result<Scene, CtlError> {
        let state = self.state()?;
        Ok(Scene { state })
    }

    /// What the node's database has.
    pub fn rows(&mut self, command: DatabaseCommand) -> Result<Vec<Row>, CtlError> {
        self.run(&Command::Database(command))
    }

    /// The tracks among that.
    pub fn songs(&mut self, command: DatabaseCommand) -> Result<Vec<SongView>, CtlError> {
        let rows = self.rows(command)?.into_iter();
        let song = |row| match row {
            Row::Song(song) => Some(song),
            _ => None,
        };
        Ok(rows.filter_map(song).collect())
    }

    /// The path of a track that has `text` in it.
    pub fn find(&mut self, text: &str) -> Result<Option<String>, CtlError> {
        let filter = Filter {
            root: FilterNode::has(FilterField::File, text),
            folded: true,
        };
        let (sort, window) = (None, None);
        let found = self.songs(DatabaseCommand::Find(Selection {
            filter,
            sort,
            window,
        }))?;
        Ok(found.into_iter().next().map(|song| song.uri))
    }

    /// Runs one command, of whose answer each line is a value.
    pub fn run<T: DeserializeOwned>(&mut self, command: &Command) -> Result<Vec<T>, CtlError> {
        let command = serde_json::to_string(command).map_err(|_| CtlError::Older)?;
        let line = format!("p2p {command}\n");
        if line.len() > MAX_LINE {
            return Err(CtlError::TooLong);
        }
        let stream = self.stream.get_mut();
        stream.write_all(line.as_bytes()).map_err(CtlError::Lost)?;
        let mut values = Vec::new();
        loop {
            let line = self.line()?;
            if line == "OK" {
                return Ok(values);
            }
            if let Some(ack) = line.strip_prefix("ACK ") {
                return Err(refusal(ack));
            }
            values.push(serde_json::from_slice(line.as_bytes()).map_err(|_| CtlError::Older)?);
        }
    }

    fn line(&mut self) -> Result<String, CtlError> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err(CtlError::Lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(line.trim_end_matches('\n').to_owned()),
            Err(error) => Err(CtlError::Lost(error)),
        }
    }
}

/// `[code@index] {command} text`.
fn refusal(ack: &str) -> CtlError {
    let code = ack
        .strip_prefix('[')
        .and_then(|rest| rest.split_once('@')?.0.parse().ok());
    let text = ack.split_once("} ").map_or(ack, |(_, text)| text);
    match code {
        Some(UNKNOWN) => CtlError::Older,
        code => CtlError::Refused {
            code: code.unwrap_or(0),
            text: text.to_owned(),
        },
    }
}

/// Why there is no connection, and what to do about it.
fn explain(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "{path} does not exist: the service is not running here \
             (`systemctl start p2pmusic`), or has another `control.socket`"
        ),
        io::ErrorKind::ConnectionRefused => format!(
            "nobody answers at {path}: the service has died or is starting \
             (`systemctl status p2pmusic`)"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "you may not use {path}: be root, or a member of the group audio \
             (`sudo usermod -aG audio $USER`, then log in again)"
        ),
        _ => format!("cannot connect to {path}: {error}"),
    }
}

/// Longer than the longest thing that the node lets anybody wait for, which is
/// a tracker's confirmation of a leave.
const PATIENCE: Duration = Duration::from_secs(30);

/// MPD's number for a command that the node does not know.
const UNKNOWN: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_shown_without_its_clutter() {
        let CtlError::Refused { code, text } = refusal("[50@0] {p2p} nobody has \"x} y\"") else {
            panic!("no refusal");
        };
        assert_eq!((code, text.as_str()), (50, "nobody has \"x} y\""));
        let older = refusal("[5@0] {} unknown command \"p2p\"");
        assert!(older.to_string().contains("systemctl restart"), "{older}");
    }
}
