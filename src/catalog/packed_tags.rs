//! The tags of an entry as they lie in a page.

use std::ops::RangeInclusive;

use minicbor::Decoder;

use super::{
    fields::{pass, read_text, RecordError},
    tag::Tag,
    texts::SharedTexts,
};

/// The tags of one entry: a CBOR map from the numbers of tags to one value each, or to an array
/// of values. A value that tracks have in common is the number of one of the page's texts.
#[derive(Clone, Copy, Debug)]
pub struct PackedTags<'a> {
    texts: SharedTexts<'a>,
    map: &'a [u8],
}

impl<'a> PackedTags<'a> {
    /// The map in these bytes, which is looked at when it is asked for.
    pub(super) fn new(texts: SharedTexts<'a>, map: &'a [u8]) -> Self {
        Self { texts, map }
    }

    /// Whether it is such a map, whose texts keep to the rules, and nothing behind it. Gives the
    /// bytes of its texts.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(super) fn check(self) -> Result<usize, RecordError> {
        let mut from = Decoder::new(self.map);
        let tags = from.map()?.ok_or(RecordError::Malformed)?;
        let (mut before, mut bytes) = (None, 0);
        for _ in 0..tags {
            let number = from.u64()?;
            if before.replace(number) >= Some(number) {
                return Err(RecordError::Malformed);
            }
            let Some(tag) = Tag::of_number(number) else {
                from.skip()?;
                continue;
            };
            for _ in 0..count(&mut from)? {
                let text = read_value(&mut from, tag, self.texts)?;
                if text.contains(char::is_control) {
                    return Err(RecordError::Rules);
                }
                bytes += text.len();
            }
        }
        match from.position() == self.map.len() {
            true => Ok(bytes),
            false => Err(RecordError::Malformed),
        }
    }

    /// The values of these tags.
    pub(super) fn within(self, wanted: RangeInclusive<Tag>) -> PackedTagIter<'a> {
        let mut from = Decoder::new(self.map);
        let tags = from.map().ok().flatten().unwrap_or(0);
        PackedTagIter {
            texts: self.texts,
            from,
            wanted: wanted.start().number()..=wanted.end().number(),
            tags,
            tag: None,
            values: 0,
        }
    }
}

/// The values of [`PackedTags`], in the order of their tags.
pub(super) struct PackedTagIter<'a> {
    texts: SharedTexts<'a>,
    from: Decoder<'a>,
    /// The numbers of the tags that are wanted.
    wanted: RangeInclusive<u64>,
    /// How many tags are left, and of which how many values.
    tags: u64,
    tag: Option<Tag>,
    values: u64,
}

impl<'a> Iterator for PackedTagIter<'a> {
    type Item = (Tag, &'a str);

    /// What does not hold together has been refused before.
    fn next(&mut self) -> Option<Self::Item> {
        while self.values == 0 {
            self.tags = self.tags.checked_sub(1)?;
            let number = self.from.u64().ok()?;
            if number > *self.wanted.end() {
                self.tags = 0;
                return None;
            }
            self.tag = Tag::of_number(number).filter(|_| self.wanted.contains(&number));
            match self.tag {
                Some(_) => self.values = count(&mut self.from).ok()?,
                None => pass(&mut self.from).ok()?,
            }
        }
        self.values -= 1;
        let tag = self.tag?;
        Some((tag, read_value(&mut self.from, tag, self.texts).ok()?))
    }
}

/// A value, which is the number of one of the page's texts where tracks have it in common.
fn read_value<'a>(
    from: &mut Decoder<'a>,
    tag: Tag,
    texts: SharedTexts<'a>,
) -> Result<&'a str, RecordError> {
    match tag.is_shared() {
        true => read_text(texts, from),
        false => Ok(from.str()?),
    }
}

/// How many values follow.
fn count(from: &mut Decoder<'_>) -> Result<u64, RecordError> {
    let first = from.input().get(from.position());
    match first.is_some_and(|first| first >> 5 == ARRAY) {
        true => from.array()?.ok_or(RecordError::Malformed),
        false => Ok(1),
    }
}

/// The major type of arrays (RFC 8949, 3.1).
const ARRAY: u8 = 4;
