//! The tags of one track: its own, in a page, or in a queue.

use std::{collections::BTreeMap, iter::Peekable, ops::RangeInclusive, slice, sync::Arc};

use serde::{de::IgnoredAny, Deserialize, Deserializer, Serialize, Serializer};

use super::{
    packed_tags::{PackedTagIter, PackedTags},
    tag::Tag,
};

/// A track's tags, each with one or more values: its own, and those that it has in common with
/// others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    own: TagValues,
    /// One copy in memory for all tracks of an album that are queued.
    pub(super) shared: Arc<TagValues>,
}

/// Values in the order of their tags, and those of one tag as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagValues(Box<[(Tag, Box<str>)]>);

impl Tags {
    /// The values in the order of their tags.
    pub fn iter(&self) -> impl Iterator<Item = (Tag, &str)> {
        self.within(Tag::FIRST..=Tag::LAST)
    }

    /// The values of these tags, in their order.
    fn within(&self, wanted: RangeInclusive<Tag>) -> MergedTags<'_> {
        MergedTags {
            own: self.own.within(&wanted).iter().peekable(),
            shared: self.shared.within(&wanted).iter().peekable(),
        }
    }
}

impl<T: Into<Box<str>>> FromIterator<(Tag, T)> for Tags {
    fn from_iter<I: IntoIterator<Item = (Tag, T)>>(values: I) -> Self {
        let values = values.into_iter().map(|(tag, value)| (tag, value.into()));
        let (shared, own): (Vec<_>, Vec<_>) = values.partition(|(tag, _)| tag.is_shared());
        Self {
            own: TagValues::new(own),
            shared: Arc::new(TagValues::new(shared)),
        }
    }
}

impl TagValues {
    fn new(mut values: Vec<(Tag, Box<str>)>) -> Self {
        values.sort_by_key(|(tag, _)| *tag);
        Self(values.into())
    }

    fn within(&self, wanted: &RangeInclusive<Tag>) -> &[(Tag, Box<str>)] {
        let start = self.0.partition_point(|(tag, _)| tag < wanted.start());
        let end = self.0.partition_point(|(tag, _)| tag <= wanted.end());
        &self.0[start..end]
    }
}

/// The values of [`Tags`].
struct MergedTags<'a> {
    own: Peekable<slice::Iter<'a, (Tag, Box<str>)>>,
    shared: Peekable<slice::Iter<'a, (Tag, Box<str>)>>,
}

impl<'a> Iterator for MergedTags<'a> {
    type Item = (Tag, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let is_own_first = match (self.own.peek(), self.shared.peek()) {
            (Some((own, _)), Some((shared, _))) => own <= shared,
            (own, _) => own.is_some(),
        };
        let from = if is_own_first {
            &mut self.own
        } else {
            &mut self.shared
        };
        from.next().map(|(tag, value)| (*tag, &**value))
    }
}

/// Borrowed [`Tags`].
#[derive(Clone, Copy, Debug)]
pub enum TagsRef<'a> {
    Packed(PackedTags<'a>),
    Owned(&'a Tags),
}

impl<'a> TagsRef<'a> {
    /// The values in the order of their tags; a tag that this version does not know is left out.
    pub fn iter(self) -> impl Iterator<Item = (Tag, &'a str)> {
        self.within(Tag::FIRST..=Tag::LAST)
    }

    /// The values of one tag.
    pub fn values(self, tag: Tag) -> impl Iterator<Item = &'a str> {
        self.within(tag..=tag).map(|(_, value)| value)
    }

    /// The values of these tags, in their order.
    fn within(self, wanted: RangeInclusive<Tag>) -> TagIter<'a> {
        match self {
            Self::Packed(packed) => TagIter::Packed(packed.within(wanted)),
            Self::Owned(tags) => TagIter::Owned(tags.within(wanted)),
        }
    }

    /// The first value of a tag.
    pub fn first(self, tag: Tag) -> Option<&'a str> {
        self.values(tag).next()
    }

    /// The first value of each of these tags.
    pub fn firsts<const N: usize>(self, tags: [Tag; N]) -> [Option<&'a str>; N] {
        let mut firsts = [None; N];
        for (tag, value) in self.iter() {
            for (wanted, first) in tags.iter().zip(&mut firsts) {
                if *wanted == tag {
                    first.get_or_insert(value);
                }
            }
        }
        firsts
    }

    /// The number that a tag begins with, as in `7` and `7/12`.
    pub fn number(self, tag: Tag) -> Option<u32> {
        self.first(tag)?.split('/').next()?.trim().parse().ok()
    }

    pub fn to_owned(self) -> Tags {
        match self {
            Self::Owned(tags) => tags.clone(),
            Self::Packed(_) => self.iter().collect(),
        }
    }
}

/// The values of [`TagsRef`].
enum TagIter<'a> {
    Packed(PackedTagIter<'a>),
    Owned(MergedTags<'a>),
}

impl<'a> Iterator for TagIter<'a> {
    type Item = (Tag, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Packed(values) => values.next(),
            Self::Owned(values) => values.next(),
        }
    }
}

impl PartialEq for TagsRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for TagsRef<'_> {}

impl<'a> From<&'a Tags> for TagsRef<'a> {
    fn from(tags: &'a Tags) -> Self {
        Self::Owned(tags)
    }
}

/// By MPD's names, each with the list of its values.
impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (tag, value) in self.iter() {
            by_name.entry(tag.name()).or_default().push(value);
        }
        by_name.serialize(to)
    }
}

/// What another version wrote in another way is left out.
impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Values {
            Known(Vec<String>),
            Other(IgnoredAny),
        }
        let by_name = BTreeMap::<String, Values>::deserialize(from)?;
        let known = by_name
            .into_iter()
            .filter_map(|(name, values)| match values {
                Values::Known(values) => Some((Tag::parse(&name)?, values)),
                Values::Other(_) => None,
            });
        let values = known.flat_map(|(tag, values)| values.into_iter().map(move |it| (tag, it)));
        Ok(values.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_the_order_of_tags_and_survive_json() {
        let tags: Tags = [
            (Tag::Title, "a"),
            (Tag::Genre, "y"),
            (Tag::Genre, "x"),
            (Tag::Artist, "b"),
            (Tag::Disc, "2/3"),
        ]
        .into_iter()
        .collect();
        let all: Vec<_> = tags.iter().collect();
        let sorted = [
            (Tag::Artist, "b"),
            (Tag::Title, "a"),
            (Tag::Genre, "y"),
            (Tag::Genre, "x"),
            (Tag::Disc, "2/3"),
        ];
        assert_eq!(all, sorted);
        let view = TagsRef::from(&tags);
        assert_eq!(view.values(Tag::Genre).collect::<Vec<_>>(), ["y", "x"]);
        assert_eq!(view.first(Tag::Album), None);
        assert_eq!(view.number(Tag::Disc), Some(2));
        let json = serde_json::to_string(&tags).unwrap();
        assert_eq!(serde_json::from_str::<Tags>(&json).unwrap(), tags);
        // A tag of tomorrow, and the form of yesterday.
        let other = r#"{"Key":["C"],"title":"a","track":7,"Album":["c"],"shared":{"genre":"x"}}"#;
        let read: Tags = serde_json::from_str(other).unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), [(Tag::Album, "c")]);
    }
}
