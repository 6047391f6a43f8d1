//! The tags of an entry as they lie in a page.

use minicbor::Decoder;

use super::{
    fields::{read_text, RecordError},
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
    /// Of an entry without tags.
    pub(super) fn none(texts: SharedTexts<'a>) -> Self {
        Self {
            texts,
            map: &[0xa0],
        }
    }

    /// Reads the map that `from` stands before, and checks it.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(super) fn read(
        texts: SharedTexts<'a>,
        from: &mut Decoder<'a>,
        weight: &mut usize,
    ) -> Result<Self, RecordError> {
        let start = from.position();
        let tags = from.map()?.ok_or(RecordError::Malformed)?;
        let mut before = None;
        for _ in 0..tags {
            let number = from.u64()?;
            if before.replace(number) >= Some(number) {
                return Err(RecordError::Malformed);
            }
            let Some(tag) = Tag::of_number(number) else {
                from.skip()?;
                continue;
            };
            for _ in 0..count(from)? {
                let value = value(texts, from, tag)?;
                if value.contains(char::is_control) {
                    return Err(RecordError::Rules);
                }
                *weight += value.len();
            }
        }
        let map = &from.input()[start..from.position()];
        Ok(Self { texts, map })
    }

    pub(super) fn iter(self) -> PackedTagIter<'a> {
        let mut from = Decoder::new(self.map);
        let tags = from.map().ok().flatten().unwrap_or(0);
        PackedTagIter {
            texts: self.texts,
            from,
            tags,
            tag: None,
            values: 0,
        }
    }
}

/// The values of [`PackedTags`], in the order of their tags.
#[derive(Clone, Debug)]
pub struct PackedTagIter<'a> {
    texts: SharedTexts<'a>,
    from: Decoder<'a>,
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
            self.tag = Tag::of_number(self.from.u64().ok()?);
            match self.tag {
                Some(_) => self.values = count(&mut self.from).ok()?,
                None => self.from.skip().ok()?,
            }
        }
        self.values -= 1;
        let tag = self.tag?;
        Some((tag, value(self.texts, &mut self.from, tag).ok()?))
    }
}

/// How many values follow.
fn count(from: &mut Decoder<'_>) -> Result<u64, RecordError> {
    match from.datatype()? {
        minicbor::data::Type::Array => from.array()?.ok_or(RecordError::Malformed),
        _ => Ok(1),
    }
}

fn value<'a>(
    texts: SharedTexts<'a>,
    from: &mut Decoder<'a>,
    tag: Tag,
) -> Result<&'a str, RecordError> {
    match tag.is_shared() {
        true => read_text(texts, from),
        false => Ok(from.str()?),
    }
}
