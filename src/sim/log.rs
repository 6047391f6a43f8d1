//! What happened, line by line: the fingerprint of a run.

use std::{fmt::Display, time::Duration};

/// Lines with the virtual time since the start. Nothing in them may differ
/// from one process to the next.
#[derive(Debug, Default)]
pub struct Log(Vec<String>);

impl Log {
    pub fn add(&mut self, at: Duration, who: &str, what: impl Display) {
        self.0
            .push(format!("{:12.6} {who}: {what}", at.as_secs_f64()));
    }

    pub fn lines(&self) -> &[String] {
        &self.0
    }

    /// The hash over all lines.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for line in &self.0 {
            hasher.update(line.as_bytes()).update(b"\n");
        }
        hasher.finalize().to_string()
    }

    /// The last `n` lines, for the reader of a failure.
    pub fn tail(&self, n: usize) -> String {
        self.0[self.0.len().saturating_sub(n)..].join("\n")
    }
}
