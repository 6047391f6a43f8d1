//! One connection to the node.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::CtlError;
use crate::control::mpd::args::quote;

/// The pairs of a reply, or those of one thing in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct ReplyRecord(pub Vec<(String, String)>);

impl ReplyRecord {
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let (_, value) = pairs.find(|(name, _)| name == key)?;
        Some(value)
    }

    pub fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.parse().ok()
    }

    pub fn is_set(&self, key: &str) -> bool {
        self.get(key) == Some("1")
    }

    /// The parts that begin with one of `keys`.
    pub fn split(self, keys: &[&str]) -> Vec<ReplyRecord> {
        let mut records = Vec::<ReplyRecord>::new();
        for (key, value) in self.0 {
            if keys.contains(&key.as_str()) {
                records.push(ReplyRecord::default());
            }
            if let Some(record) = records.last_mut() {
                record.0.push((key, value));
            }
        }
        records
    }
}

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

    /// Runs one command.
    pub fn run(&mut self, words: &[&str]) -> Result<ReplyRecord, CtlError> {
        let quoted: Vec<_> = words
            .iter()
            .enumerate()
            .map(|(n, word)| match n {
                0 => (*word).to_owned(),
                _ => quote(&word.replace(char::is_control, " ")),
            })
            .collect();
        let line = quoted.join(" ") + "\n";
        let stream = self.stream.get_mut();
        stream.write_all(line.as_bytes()).map_err(CtlError::Lost)?;
        let mut record = ReplyRecord::default();
        loop {
            let line = self.line()?;
            if line == "OK" {
                return Ok(record);
            }
            if let Some(ack) = line.strip_prefix("ACK ") {
                return Err(refusal(ack));
            }
            if let Some((key, value)) = line.split_once(": ") {
                record.0.push((key.to_owned(), value.to_owned()));
            }
        }
    }

    /// Runs a command whose reply is a list of things, each beginning with one
    /// of `keys`.
    pub fn records(&mut self, words: &[&str], keys: &[&str]) -> Result<Vec<ReplyRecord>, CtlError> {
        Ok(self.run(words)?.split(keys))
    }

    /// One value of a command's reply.
    pub fn value(&mut self, words: &[&str], key: &str) -> Result<Option<String>, CtlError> {
        Ok(self.run(words)?.get(key).map(str::to_owned))
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
    CtlError::Refused {
        code: code.unwrap_or(0),
        text: text.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_shown_without_its_clutter() {
        let CtlError::Refused { code, text } = refusal("[50@0] {add} nobody has \"x} y\"") else {
            panic!("no refusal");
        };
        assert_eq!((code, text.as_str()), (50, "nobody has \"x} y\""));
    }

    #[test]
    fn a_reply_is_split_into_its_things() {
        let pairs = [("file", "a"), ("Title", "A"), ("directory", "b")];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let things = ReplyRecord(pairs.into()).split(&["file", "directory"]);
        assert_eq!(things.len(), 2);
        assert_eq!(things[0].get("Title"), Some("A"));
    }
}
