//! The body of a reply: lines of `key: value`.

use std::{
    fmt::{Display, Write as _},
    time::Duration,
};

use serde::Serialize;

use super::tag::TagMask;
use crate::unseen::{has_unseen, one_line};

/// The lines of a reply, without the `OK` that ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    text: String,
    tags: TagMask,
}

impl Reply {
    pub fn new() -> Self {
        Self::default()
    }

    /// A reply whose songs are shown with `tags`.
    pub fn with_tags(tags: TagMask) -> Self {
        let text = String::new();
        Self { text, tags }
    }

    /// Which tags songs are shown with.
    pub fn tags(&self) -> TagMask {
        self.tags
    }

    /// Adds a line. A value never breaks out of its line, nor looks like another: what
    /// nobody sees becomes blanks. The owner of a path has escaped that already.
    pub fn pair(&mut self, key: &str, value: impl Display) -> &mut Self {
        self.line(key, |text| _ = write!(text, "{value}"))
    }

    /// The same with a text, for which there is nothing to format.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.line(key, |text| text.push_str(value))
    }

    /// The same with what `write` adds.
    pub fn line(&mut self, key: &str, write: impl FnOnce(&mut String)) -> &mut Self {
        let start = self.text.len();
        self.text.push_str(key);
        self.text.push_str(": ");
        write(&mut self.text);
        if has_unseen(&self.text[start..]) {
            let line = self.text.split_off(start);
            self.text.push_str(&one_line(&line));
        }
        self.text.push('\n');
        self
    }

    pub fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.pair(key, u8::from(value))
    }

    /// Seconds to the millisecond.
    pub fn seconds(&mut self, key: &str, value: Duration) -> &mut Self {
        let millis = value.saturating_add(Duration::from_micros(500)).as_millis();
        self.pair(key, format_args!("{}.{:03}", millis / 1000, millis % 1000))
    }

    /// Adds a line of JSON. What nobody sees becomes blanks, as in [`Self::pair`].
    pub fn json(&mut self, value: &impl Serialize) -> &mut Self {
        // What is shown has no keys but texts, and no number that JSON lacks.
        let line = serde_json::to_string(value).unwrap_or_default();
        match has_unseen(&line) {
            true => self.text.push_str(&one_line(&line)),
            false => self.text.push_str(&line),
        }
        self.text.push('\n');
        self
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    #[cfg(test)]
    pub fn into_string(self) -> String {
        self.text
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
