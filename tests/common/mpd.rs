//! A raw client of MPD's protocol.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
};

use super::PATIENCE;

/// A connection that says lines and hears lines.
pub struct Mpd {
    from: BufReader<Box<dyn Read + Send>>,
    into: Box<dyn Write + Send>,
    /// What it was greeted with.
    pub greeting: String,
}

impl Mpd {
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(Box::new(stream.try_clone().unwrap()), Box::new(stream))
    }

    pub fn connect_tcp(at: &str) -> Self {
        Self::over_tcp(TcpStream::connect(at).unwrap())
    }

    pub fn over_tcp(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(Box::new(stream.try_clone().unwrap()), Box::new(stream))
    }

    fn over(from: Box<dyn Read + Send>, into: Box<dyn Write + Send>) -> Self {
        let mut client = Self {
            from: BufReader::new(from),
            into,
            greeting: String::new(),
        };
        client.greeting = client.line();
        client
    }

    /// Sends `text` as it is, and a newline.
    pub fn say(&mut self, text: &str) {
        self.into.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    /// The next line, without its newline.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.from.read_line(&mut line).expect("a line in time");
        assert_ne!(read, 0, "the node hung up");
        line.trim_end_matches('\n').to_owned()
    }

    /// The lines up to and with the one that ends a reply.
    pub fn reply(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            let is_end = line == "OK" || line.starts_with("ACK ");
            lines.push(line);
            if is_end {
                return lines;
            }
        }
    }

    /// Says something and gives the whole reply.
    pub fn ask(&mut self, text: &str) -> Vec<String> {
        self.say(text);
        self.reply()
    }

    /// The same, which must be OK; gives the pairs.
    pub fn pairs(&mut self, text: &str) -> Vec<(String, String)> {
        let mut lines = self.ask(text);
        assert_eq!(lines.pop().as_deref(), Some("OK"), "{text:?}");
        let pair = |line: String| {
            let (key, value) = line.split_once(": ").expect("a pair");
            (key.to_owned(), value.to_owned())
        };
        lines.into_iter().map(pair).collect()
    }

    /// The first value of `key` in the reply to `text`.
    pub fn value(&mut self, text: &str, key: &str) -> Option<String> {
        self.pairs(text)
            .into_iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value)
    }

    /// The same as a number.
    pub fn number(&mut self, text: &str, key: &str) -> Option<f64> {
        self.value(text, key)?.parse().ok()
    }
}
