//! The body of a reply: lines of `key: value`.

use std::{
    fmt::{Display, Write as _},
    time::Duration,
};

use super::song::Song;
use crate::{catalog::Database, player::queue::Slot};

/// The lines of a reply, without the `OK` that ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply(String);

impl Reply {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line. A value never breaks out of its line: control characters
    /// become blanks.
    pub fn pair(&mut self, key: &str, value: impl Display) -> &mut Self {
        let start = self.0.len();
        _ = write!(self.0, "{key}: {value}");
        if self.0[start..].contains(char::is_control) {
            let line = self.0.split_off(start);
            self.0.push_str(&line.replace(char::is_control, " "));
        }
        self.0.push('\n');
        self
    }

    pub fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.pair(key, u8::from(value))
    }

    /// Seconds to the millisecond.
    pub fn seconds(&mut self, key: &str, value: Duration) -> &mut Self {
        self.pair(key, format_args!("{:.3}", value.as_secs_f64()))
    }

    /// A queued song with its place.
    pub fn queued(&mut self, position: usize, slot: &Slot, database: &Database) -> &mut Self {
        Song::queued(&slot.item, database).write(self);
        self.pair("Pos", position).pair("Id", slot.id.0)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_never_makes_a_line_of_its_own() {
        let mut reply = Reply::new();
        reply
            .pair("Title", "a\nOK\n")
            .seconds("duration", Duration::from_millis(61_250));
        assert_eq!(reply.as_str(), "Title: a OK \nduration: 61.250\n");
    }
}
