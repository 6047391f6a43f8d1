//! Which songs.

use serde::{de::Error, Deserialize, Deserializer, Serialize};

use super::song::SongRef;
use crate::{
    catalog::{FieldSet, Tag},
    util::text::{fold, fold_into},
};

/// A condition that songs meet or do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Filter {
    #[serde(deserialize_with = "of_few_conditions")]
    pub root: FilterNode,
    /// Whether case and accents make no difference.
    pub folded: bool,
}

/// A condition, or how some make one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FilterNode {
    /// All of them; an empty one is true.
    And(Vec<FilterNode>),
    Not(Box<FilterNode>),
    Text {
        field: FilterField,
        how: How,
        negated: bool,
        /// Folded if the filter is.
        value: String,
    },
    Base(String),
    /// Seconds since 1970.
    ModifiedSince(i64),
    /// Rate, bits, channels; `None` for whatever.
    AudioFormat([Option<u32>; 3]),
}

/// What of a song is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterField {
    Tag(Tag),
    Any,
    File,
}

/// How a text is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Equals,
    Contains,
    StartsWith,
}

/// # Errors
/// What is no condition, or more than [`MAX_CONDITIONS`] of them.
fn of_few_conditions<'de, D: Deserializer<'de>>(from: D) -> Result<FilterNode, D::Error> {
    let root = FilterNode::deserialize(from)?;
    match root.count() <= MAX_CONDITIONS {
        true => Ok(root),
        false => Err(D::Error::custom(format!(
            "the filter has more than {MAX_CONDITIONS} conditions"
        ))),
    }
}

impl Filter {
    /// Songs in or under a directory (or the file of that name).
    pub fn base(directory: &str) -> Self {
        let root = FilterNode::Base(directory.to_owned());
        let folded = false;
        Self { root, folded }
    }

    pub fn matches(&self, song: &SongRef<'_>) -> bool {
        self.root.matches(song, self.folded)
    }

    /// What it looks at.
    pub fn fields(&self) -> FieldSet {
        self.root.fields()
    }

    /// Texts of tags that albums have in common, without which no song passes.
    pub fn shared_texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        if !self.folded {
            self.root.shared_texts(&mut texts);
        }
        texts
    }
}

impl FilterNode {
    /// What a search finds: `text` is in it, whatever its case and accents. For a folded filter.
    pub fn has(field: FilterField, text: &str) -> Self {
        Self::Text {
            field,
            how: How::Contains,
            negated: false,
            value: fold(text),
        }
    }

    /// How many conditions it is made of, itself included.
    fn count(&self) -> usize {
        1 + match self {
            Self::And(nodes) => nodes.iter().map(Self::count).sum(),
            Self::Not(node) => node.count(),
            Self::Text { .. } | Self::Base(_) | Self::ModifiedSince(_) | Self::AudioFormat(_) => 0,
        }
    }

    fn matches(&self, song: &SongRef<'_>, folded: bool) -> bool {
        match self {
            Self::And(nodes) => nodes.iter().all(|node| node.matches(song, folded)),
            Self::Not(node) => !node.matches(song, folded),
            Self::Text {
                field,
                how,
                negated,
                value,
            } => field.matches(song, folded, |text| how.matches(text, value)) != *negated,
            Self::Base(directory) => is_under(song, directory),
            Self::ModifiedSince(time) => song.modified >= *time,
            Self::AudioFormat(wanted) => {
                let bits = song.bits.map(u32::from);
                let have = [Some(song.rate), bits, Some(song.channels.into())];
                let fits = |(want, have): (&Option<u32>, _)| want.is_none() || *want == have;
                wanted.iter().zip(have).all(fits)
            }
        }
    }

    fn fields(&self) -> FieldSet {
        match self {
            Self::And(nodes) => {
                let fields = nodes.iter().map(Self::fields);
                fields.fold(FieldSet::LEAST, FieldSet::and)
            }
            Self::Not(node) => node.fields(),
            Self::Text { field, .. } => match field {
                FilterField::Tag(_) => FieldSet::TAGS,
                FilterField::Any => FieldSet::TAGS.and(FieldSet::PATH),
                FilterField::File => FieldSet::PATH,
            },
            Self::Base(_) => FieldSet::PATH,
            Self::ModifiedSince(_) => FieldSet::MODIFIED,
            Self::AudioFormat(_) => FieldSet::FORMAT,
        }
    }

    fn shared_texts(&self, texts: &mut Vec<String>) {
        match self {
            Self::And(nodes) => nodes.iter().for_each(|node| node.shared_texts(texts)),
            Self::Text {
                field: FilterField::Tag(tag),
                how: How::Equals,
                negated: false,
                value,
            } if tag.is_shared() && !value.is_empty() => texts.push(value.clone()),
            _ => {}
        }
    }
}

impl FilterField {
    fn matches(self, song: &SongRef<'_>, folded: bool, test: impl Fn(&str) -> bool) -> bool {
        let mut buffer = String::new();
        let mut test = |text: &str| {
            if folded {
                fold_into(text, &mut buffer);
                test(&buffer)
            } else {
                test(text)
            }
        };
        match self {
            Self::Tag(tag) => song.any_value(tag, test),
            Self::File => test(&song.uri()),
            Self::Any => {
                let mut values = song.tags.iter();
                values.any(|(_, value)| test(value)) || test(&song.uri())
            }
        }
    }
}

impl How {
    fn matches(self, text: &str, value: &str) -> bool {
        match self {
            Self::Equals => text == value,
            Self::Contains => text.contains(value),
            Self::StartsWith => text.starts_with(value),
        }
    }
}

/// Whether the song is `directory`, or in or under it; the empty one is the
/// root.
fn is_under(song: &SongRef<'_>, directory: &str) -> bool {
    let mut rest = directory;
    for part in [song.owner, song.dir, song.name] {
        match rest.strip_prefix(part) {
            _ if part.is_empty() => {}
            Some("") => return true,
            Some(deeper) if deeper.starts_with('/') => rest = &deeper[1..],
            _ => {
                let below = part.strip_prefix(rest);
                return rest.is_empty() || below.is_some_and(|below| below.starts_with('/'));
            }
        }
    }
    false
}

/// Each is tried on every song, a page of songs at a time: about what fits into the longest line
/// of MPD's.
const MAX_CONDITIONS: usize = 1024;
