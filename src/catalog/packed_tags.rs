//! The tags of an entry as they lie in a page.

use minicbor::Decoder;

use super::{fields::RecordError, tag::Tag, texts::SharedTexts};

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
                let value = PackedValue::read(&mut from, tag)?;
                let text = value.text(self.texts).ok_or(RecordError::Malformed)?;
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

    pub(super) fn iter(self) -> impl Iterator<Item = (Tag, &'a str)> {
        let packed = self.packed();
        packed.filter_map(move |(tag, value)| Some((tag, value.text(self.texts)?)))
    }

    /// The values of one tag.
    pub(super) fn values(self, wanted: Tag) -> impl Iterator<Item = &'a str> {
        let values = self.packed().skip_while(move |(tag, _)| *tag < wanted);
        let values = values.take_while(move |(tag, _)| *tag == wanted);
        values.filter_map(move |(_, value)| value.text(self.texts))
    }

    fn packed(self) -> PackedTagIter<'a> {
        let mut from = Decoder::new(self.map);
        let tags = from.map().ok().flatten().unwrap_or(0);
        PackedTagIter {
            from,
            tags,
            tag: None,
            values: 0,
        }
    }
}

/// The values of [`PackedTags`], in the order of their tags.
struct PackedTagIter<'a> {
    from: Decoder<'a>,
    /// How many tags are left, and of which how many values.
    tags: u64,
    tag: Option<Tag>,
    values: u64,
}

impl<'a> Iterator for PackedTagIter<'a> {
    type Item = (Tag, PackedValue<'a>);

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
        Some((tag, PackedValue::read(&mut self.from, tag).ok()?))
    }
}

/// One value as it lies there.
enum PackedValue<'a> {
    /// The number of one of the page's texts.
    Shared(u64),
    Own(&'a str),
}

impl<'a> PackedValue<'a> {
    fn read(from: &mut Decoder<'a>, tag: Tag) -> Result<Self, RecordError> {
        Ok(match tag.is_shared() {
            true => Self::Shared(from.u64()?),
            false => Self::Own(from.str()?),
        })
    }

    fn text(&self, texts: SharedTexts<'a>) -> Option<&'a str> {
        match self {
            Self::Shared(number) => texts.get(*number),
            Self::Own(text) => Some(text),
        }
    }
}

/// How many values follow.
fn count(from: &mut Decoder<'_>) -> Result<u64, RecordError> {
    match from.datatype()? {
        minicbor::data::Type::Array => from.array()?.ok_or(RecordError::Malformed),
        _ => Ok(1),
    }
}
