//! What is said of a configuration that cannot be used.

use super::{ConfigKey, KEYS};

/// What is wrong with the text of a configuration. `Display` shows the place,
/// too, over several lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shown}")]
pub struct Mistake {
    /// From 1 on.
    pub line: usize,
    /// That line, which has the key in it.
    pub excerpt: String,
    pub why: String,
    shown: String,
}

impl Mistake {
    pub fn new(error: &toml::de::Error, text: &str) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count();
        let excerpt = text.lines().nth(line).unwrap_or_default().trim();
        let hint = TableHint::of(error.message());
        Self {
            line: line + 1,
            excerpt: excerpt.chars().take(MAX_EXCERPT).collect(),
            shown: format!("{}{}", error.to_string().trim_end(), hint.line()),
            why: error.message().replace('\n', " ") + &hint.words(),
        }
    }
}

/// The tables that an unknown key is known in.
struct TableHint(Vec<&'static str>);

impl TableHint {
    fn of(message: &str) -> Self {
        let key = message.strip_prefix("unknown field `");
        let key = key.and_then(|rest| rest.split('`').next());
        let places = KEYS.iter().map(ConfigKey::place);
        let with_it = places.filter(|(_, known)| key == Some(known));
        Self(with_it.map(|(table, _)| table).collect())
    }

    fn words(&self) -> String {
        match self.0.as_slice() {
            [] => String::new(),
            ["top"] => "; it stands above all tables".into(),
            tables => format!("; it stands under [{}]", tables.join("] or [")),
        }
    }

    fn line(&self) -> String {
        let words = self.words();
        match words.strip_prefix("; ") {
            Some(words) => format!("\n{words}"),
            None => words,
        }
    }
}

/// Of a line that is shown: enough for its key.
const MAX_EXCERPT: usize = 80;
