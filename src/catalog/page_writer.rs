//! Entries into a page.

use std::{collections::BTreeMap, convert::Infallible};

use minicbor::{encode::Error, Encoder};

use super::{
    entry::{Entry, HeldEntry, ListedEntry},
    fields::{
        AUDIO_START, BITS, CHANNELS, CODEC, CONTAINER, DELAY, DIRECTORY, DURATION, FRAMES, LAYOUT,
        MODIFIED, NAME, OPENING, PADDING, PICTURE, RATE, REPLAY_GAIN, SIZE, TAGS, TRACK,
    },
    tag::Tag,
    Tags,
};

/// Writes a page, entry by entry.
#[derive(Default)]
pub(super) struct PageWriter<'a> {
    texts: TextsWriter<'a>,
    records: Vec<Option<Vec<u8>>>,
}

/// Texts that are written once, by their numbers.
#[derive(Default)]
struct TextsWriter<'a> {
    all: Vec<&'a str>,
    known: BTreeMap<&'a str, u64>,
}

impl<'a> TextsWriter<'a> {
    /// The number of `text`.
    fn add(&mut self, text: &'a str) -> u64 {
        let next = self.all.len() as u64;
        *self.known.entry(text).or_insert_with(|| {
            self.all.push(text);
            next
        })
    }
}

/// Memory takes whatever is written to it.
type Encoded = Result<(), Error<Infallible>>;

impl<'a> PageWriter<'a> {
    /// A page of one file.
    pub fn of_one(listed: &'a ListedEntry) -> Vec<u8> {
        let mut this = Self::default();
        let record = this.record(|record| record.listed(listed));
        this.records.push(Some(record));
        this.finish()
    }

    pub fn add(&mut self, entry: Option<&'a Entry>) {
        let record = entry.map(|entry| match entry {
            Entry::Held(held) => self.record(|record| record.held(held)),
            Entry::Listed(listed) => self.record(|record| record.listed(listed)),
        });
        self.records.push(record);
    }

    fn record(&mut self, write: impl FnOnce(&mut RecordWriter<'_, 'a>) -> Encoded) -> Vec<u8> {
        let mut record = RecordWriter {
            texts: &mut self.texts,
            to: Encoder::new(Vec::new()),
            fields: 0,
        };
        write(&mut record).expect(INFALLIBLE);
        record.finish().expect(INFALLIBLE)
    }

    pub fn finish(self) -> Vec<u8> {
        let mut to = Encoder::new(Vec::new());
        self.write(&mut to).expect(INFALLIBLE);
        to.into_writer()
    }

    fn write(self, to: &mut Encoder<Vec<u8>>) -> Encoded {
        to.map(2)?.u8(0)?.array(self.texts.all.len() as u64)?;
        for text in self.texts.all {
            to.str(text)?;
        }
        to.u8(1)?.array(self.records.len() as u64)?;
        for record in self.records {
            match record {
                Some(record) => to.bytes(&record)?,
                None => to.null()?,
            };
        }
        Ok(())
    }
}

/// Writes one record: the fields behind each other, and at last their number before them.
struct RecordWriter<'t, 'a> {
    texts: &'t mut TextsWriter<'a>,
    to: Encoder<Vec<u8>>,
    fields: u64,
}

impl<'a> RecordWriter<'_, 'a> {
    fn held(&mut self, held: &HeldEntry) -> Encoded {
        self.field(TRACK)?.bytes(&held.track.0)?;
        self.number(SIZE, held.size)
    }

    fn listed(&mut self, listed: &'a ListedEntry) -> Encoded {
        if let Some(track) = listed.track {
            self.field(TRACK)?.bytes(&track.0)?;
        }
        self.text(DIRECTORY, &listed.dir)?;
        self.field(NAME)?.str(&listed.name)?;
        self.number(SIZE, listed.size)?;
        self.field(MODIFIED)?.i64(listed.modified)?;
        self.text(CONTAINER, &listed.container)?;
        self.text(CODEC, &listed.codec)?;
        self.number(RATE, listed.rate.into())?;
        self.number(CHANNELS, listed.channels.into())?;
        self.some_number(LAYOUT, listed.layout.map(Into::into))?;
        self.some_number(BITS, listed.bits.map(Into::into))?;
        let micros = u64::try_from(listed.duration.as_micros());
        self.number(DURATION, micros.unwrap_or(u64::MAX))?;
        self.some_number(FRAMES, listed.frames)?;
        let some = |number: u32| (number > 0).then_some(number.into());
        self.some_number(DELAY, some(listed.delay))?;
        self.some_number(PADDING, some(listed.padding))?;
        self.number(AUDIO_START, listed.audio_start)?;
        let mut opening = Encoder::new(Vec::new());
        opening.array(2 * listed.opening.len() as u64)?;
        let mut end = 0;
        for range in &listed.opening {
            let gap = range.start.wrapping_sub(end).cast_signed();
            opening
                .i64(gap)?
                .u64(range.end.saturating_sub(range.start))?;
            end = range.end;
        }
        let opening = opening.into_writer();
        self.field(OPENING)?.bytes(&opening)?;
        self.tags(&listed.tags)?;
        if let Some(gain) = listed.gain {
            let to = self.field(REPLAY_GAIN)?;
            to.array(4)?.encode(gain.track)?.encode(gain.album)?;
            to.encode(gain.track_peak)?.encode(gain.album_peak)?;
        }
        if let Some(picture) = &listed.picture {
            let kind = self.texts.add(&picture.kind);
            let to = self.field(PICTURE)?;
            to.array(if picture.place.is_some() { 4 } else { 2 })?;
            to.bytes(&picture.content.0)?.u64(kind)?;
            if let Some(place) = &picture.place {
                to.u64(place.start)?.u64(place.end)?;
            }
        }
        Ok(())
    }

    fn tags(&mut self, tags: &'a Tags) -> Encoded {
        let mut by_tag: BTreeMap<Tag, Vec<&'a str>> = BTreeMap::new();
        for (tag, value) in tags.iter() {
            by_tag.entry(tag).or_default().push(value);
        }
        if by_tag.is_empty() {
            return Ok(());
        }
        let mut map = Encoder::new(Vec::new());
        map.map(by_tag.len() as u64)?;
        for (tag, values) in by_tag {
            map.u64(tag.number())?;
            if values.len() > 1 {
                map.array(values.len() as u64)?;
            }
            for value in values {
                match tag.is_shared() {
                    true => map.u64(self.texts.add(value))?,
                    false => map.str(value)?,
                };
            }
        }
        let map = map.into_writer();
        self.field(TAGS)?.bytes(&map)?.ok()
    }

    fn text(&mut self, field: u64, text: &'a str) -> Encoded {
        let number = self.texts.add(text);
        self.number(field, number)
    }

    fn number(&mut self, field: u64, number: u64) -> Encoded {
        self.field(field)?.u64(number)?.ok()
    }

    fn some_number(&mut self, field: u64, number: Option<u64>) -> Encoded {
        number.map_or(Ok(()), |number| self.number(field, number))
    }

    /// Where the value of `field` is written to.
    fn field(&mut self, field: u64) -> Result<&mut Encoder<Vec<u8>>, Error<Infallible>> {
        self.fields += 1;
        self.to.u64(field)
    }

    fn finish(self) -> Result<Vec<u8>, Error<Infallible>> {
        let mut record = Encoder::new(Vec::new());
        record.map(self.fields)?;
        let mut record = record.into_writer();
        record.extend(self.to.into_writer());
        Ok(record)
    }
}

const INFALLIBLE: &str = "memory takes whatever is written to it";
