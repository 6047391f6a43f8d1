//! The values that the tags of one file have, and which of them count.

use std::collections::{btree_map::Entry, BTreeMap};

use super::{
    names::{tags_named, TagFamily},
    values::{clean, date, number},
};
use crate::catalog::{Tag, Tags};

/// What one tag of a file says, or several that have been merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatheredTags {
    /// For each tag, the best rank that its values' names have had, and those of that rank.
    values: BTreeMap<Tag, (u8, Vec<String>)>,
}

impl GatheredTags {
    /// Takes a value under the name that it has there.
    pub fn put_named(&mut self, family: TagFamily, name: &str, text: &str) {
        for (tag, rank) in tags_named(family, name) {
            self.put(tag, rank, text);
        }
    }

    /// Takes a value of `tag`: beside those of the same rank, and instead of those of a
    /// higher one.
    pub fn put(&mut self, tag: Tag, rank: u8, text: &str) {
        let Some(text) = of_tag(tag, text) else {
            return;
        };
        let (best, values) = self.values.entry(tag).or_insert((rank, Vec::new()));
        if rank > *best {
            return;
        }
        if rank < *best {
            values.clear();
            *best = rank;
        }
        if values.len() < most_values(tag) && !values.contains(&text) {
            values.push(text);
        }
    }

    /// Takes all values of those tags that have none.
    pub fn fill_up(&mut self, others: Self) {
        for (tag, values) in others.values {
            if let Entry::Vacant(vacant) = self.values.entry(tag) {
                vacant.insert(values);
            }
        }
    }

    /// The first value of a tag.
    pub fn first(&self, tag: Tag) -> Option<&str> {
        let (_, values) = self.values.get(&tag)?;
        values.first().map(String::as_str)
    }

    /// Puts this in the place of a tag's first value.
    pub fn replace_first(&mut self, tag: Tag, text: String) {
        let values = self.values.get_mut(&tag);
        if let Some(first) = values.and_then(|(_, values)| values.first_mut()) {
            *first = text;
        }
    }

    /// The values, in the order of their tags, as many as [`MAX_TAGS_BYTES`] hold.
    pub fn into_tags(self) -> Tags {
        let mut room = MAX_TAGS_BYTES;
        let all = self.values.into_iter();
        let all = all.flat_map(|(tag, (_, values))| values.into_iter().map(move |it| (tag, it)));
        let fitting = all.filter(
            |(_, text)| match room.checked_sub(text.len() + VALUE_BYTES) {
                Some(left) => {
                    room = left;
                    true
                }
                None => false,
            },
        );
        fitting.collect()
    }
}

/// A value as it is listed; none where it makes no sense.
fn of_tag(tag: Tag, text: &str) -> Option<String> {
    match tag {
        Tag::Track | Tag::Disc | Tag::MovementNumber => Some(number(text)?.to_string()),
        Tag::Date | Tag::OriginalDate => Some(date(&clean(text)?)),
        // A number is that of the movement, which some call so.
        Tag::Movement => clean(text).filter(|text| number(text).is_none()),
        _ => clean(text),
    }
}

/// Values of one tag.
fn most_values(tag: Tag) -> usize {
    match tag {
        Tag::Track | Tag::Disc | Tag::MovementNumber | Tag::Date | Tag::OriginalDate => 1,
        _ => MAX_TAG_VALUES,
    }
}

/// An orchestra's players.
const MAX_TAG_VALUES: usize = 32;

/// The values of one entry, so that they and the longest path fit into its share of a page: tags
/// as the best taggers write them have 700.
pub const MAX_TAGS_BYTES: usize = 1536;

/// What a value takes beside its text.
const VALUE_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TagsRef;

    #[test]
    fn the_best_name_counts_and_all_its_values() {
        let mut tags = GatheredTags::default();
        for (name, text) in [
            ("publisher", "C"),
            ("LABEL", "A"),
            ("label", "B"),
            ("Label", "A"),
            ("ORGANIZATION", "D"),
            ("DATE", "2001"),
            ("DATE", "2002"),
            ("MOVEMENT", "3/4"),
            ("KEY", "x"),
        ] {
            tags.put_named(TagFamily::Words, name, text);
        }
        let tags = tags.into_tags();
        let all: Vec<_> = tags.iter().collect();
        let expected = [
            (Tag::Date, "2001"),
            (Tag::MovementNumber, "3"),
            (Tag::Label, "A"),
            (Tag::Label, "B"),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn only_tags_without_a_value_are_filled_up() {
        let of = |values: &[(Tag, &str)]| {
            let mut tags = GatheredTags::default();
            values
                .iter()
                .for_each(|(tag, text)| tags.put(*tag, 0, text));
            tags
        };
        let mut tags = of(&[(Tag::Title, "A"), (Tag::Artist, "B")]);
        tags.fill_up(of(&[
            (Tag::Artist, "C"),
            (Tag::Album, "D"),
            (Tag::Album, "E"),
        ]));
        assert_eq!(tags.first(Tag::Artist), Some("B"));
        let tags = tags.into_tags();
        let albums: Vec<_> = TagsRef::from(&tags).values(Tag::Album).collect();
        assert_eq!(albums, ["D", "E"]);
    }

    #[test]
    fn no_more_than_has_room_is_listed_and_the_title_is() {
        let mut tags = GatheredTags::default();
        for n in 0..100 {
            tags.put(Tag::Comment, 0, &format!("{n} {}", "x".repeat(300)));
            tags.put(Tag::Genre, 0, &format!("Genre {n}"));
        }
        tags.put(Tag::Title, 0, "Title");
        let tags = tags.into_tags();
        let bytes: usize = tags.iter().map(|(_, text)| text.len() + VALUE_BYTES).sum();
        assert!((MAX_TAGS_BYTES / 2..=MAX_TAGS_BYTES).contains(&bytes));
        let view = TagsRef::from(&tags);
        assert_eq!(view.first(Tag::Title), Some("Title"));
        assert_eq!(view.values(Tag::Genre).count(), MAX_TAG_VALUES);
    }
}
