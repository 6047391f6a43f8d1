//! The record of one entry: numbered fields, of which a reader takes those that it knows.
//!
//! A record is a CBOR map (RFC 8949) of definite length, in the order of its fields' numbers,
//! each of which is there once. A field that must be understood to *play* the entry has the
//! key `-1 - number`, all others have their number for a key. A reader skips a field that it
//! does not know. An entry with a hash and without a name is a copy in its owner's cache; one
//! with neither is of a kind that a later version knows, and is not shown.

use minicbor::{decode, Decoder};

use super::texts::SharedTexts;
use crate::id::TrackId;

/// The content's name: 32 bytes. First, since entries are found by it and by their paths.
pub(super) const TRACK: u64 = 0;
/// One of the page's texts.
pub(super) const DIRECTORY: u64 = 1;
/// Text.
pub(super) const NAME: u64 = 2;
/// Bytes.
pub(super) const SIZE: u64 = 3;
/// Seconds since 1970.
pub(super) const MODIFIED: u64 = 4;
/// One of the page's texts: the name of a [`Container`](crate::media::Container).
pub(super) const CONTAINER: u64 = 5;
/// One of the page's texts: the name of a [`Codec`](crate::media::Codec).
pub(super) const CODEC: u64 = 6;
/// Frames per second.
pub(super) const RATE: u64 = 7;
pub(super) const CHANNELS: u64 = 8;
/// A bit for each loudspeaker, as in the channel mask of WAVEFORMATEXTENSIBLE.
pub(super) const LAYOUT: u64 = 9;
/// Bits per sample.
pub(super) const BITS: u64 = 10;
/// Microseconds.
pub(super) const DURATION: u64 = 11;
/// The exact number of frames, without the encoder's delay and padding.
pub(super) const FRAMES: u64 = 12;
/// Frames before the first that is heard.
pub(super) const DELAY: u64 = 13;
/// Frames behind the last that is heard.
pub(super) const PADDING: u64 = 14;
/// Bytes.
pub(super) const AUDIO_START: u64 = 15;
/// Bytes, with an array: for each range, how far behind the end of the one before it begins, and its length;
/// bytes.
pub(super) const OPENING: u64 = 16;
/// Bytes, with a map: see [`PackedTags`](super::packed_tags::PackedTags).
pub(super) const TAGS: u64 = 17;
/// An array: gain of the track and of its album in hundredths of a dB, peak of the track and of
/// its album in 32,768ths of full scale; each may be null.
pub(super) const REPLAY_GAIN: u64 = 18;
/// An array: the hash of the picture's bytes, one of the page's texts for its type, and, unless
/// it is a file of its own, the first byte and the end of its place in the track's file.
pub(super) const PICTURE: u64 = 19;

/// Some of an entry's fields: those that a reader asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSet(u32);

impl FieldSet {
    /// Those of later versions, too.
    pub const ALL: Self = Self(u32::MAX);
    /// What every reader gets: what the content is, and whether the entry is listed.
    pub const LEAST: Self = Self::of(&[TRACK]);
    /// Directory and name.
    pub const PATH: Self = Self::of(&[DIRECTORY, NAME]);
    pub const MODIFIED: Self = Self::of(&[MODIFIED]);
    /// Rate, channels and bits.
    pub const FORMAT: Self = Self::of(&[RATE, CHANNELS, BITS]);
    pub const DURATION: Self = Self::of(&[DURATION]);
    pub const TAGS: Self = Self::of(&[TAGS]);

    const fn of(fields: &[u64]) -> Self {
        match fields {
            [] => Self(0),
            [field, rest @ ..] => Self(1 << *field | Self::of(rest).0),
        }
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of later versions are as one.
    pub(super) fn has(self, field: u64) -> bool {
        self.0 >> field.min(LATER) & 1 == 1
    }

    /// The number behind which none is asked for.
    pub(super) fn last(self) -> u64 {
        match self.has(LATER) {
            true => u64::MAX,
            false => u64::from(self.0.checked_ilog2().unwrap_or(0)),
        }
    }
}

/// Greater than all numbers that this version knows.
const LATER: u64 = 31;

/// Why a record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordError {
    /// It cannot be read.
    Malformed,
    /// What it says breaks the rules that others rely on.
    Rules,
    /// It has too many fields, or they are too long.
    TooLarge,
}

impl From<decode::Error> for RecordError {
    fn from(_: decode::Error) -> Self {
        Self::Malformed
    }
}

impl RecordError {
    pub fn text(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Rules => "an entry breaks the rules",
            Self::TooLarge => "an entry is too large",
        }
    }
}

/// The fields of one record, in order.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    from: Decoder<'a>,
    left: u64,
    before: Option<u64>,
}

/// The key of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FieldKey {
    pub number: u64,
    /// Whether a reader that does not know it cannot play the entry.
    pub is_needed: bool,
}

impl<'a> Fields<'a> {
    pub fn of(record: &'a [u8]) -> Result<Self, RecordError> {
        let mut from = Decoder::new(record);
        let left = from.map()?.ok_or(RecordError::Malformed)?;
        if left > MAX_FIELDS {
            return Err(RecordError::TooLarge);
        }
        Ok(Self {
            from,
            left,
            before: None,
        })
    }

    /// The next key; its value is read from [`Self::value`] before the next call.
    pub fn next_key(&mut self) -> Result<Option<FieldKey>, RecordError> {
        let Some(left) = self.left.checked_sub(1) else {
            return match self.from.position() == self.from.input().len() {
                true => Ok(None),
                false => Err(RecordError::Malformed),
            };
        };
        self.left = left;
        let (number, is_needed) = self.number()?;
        if self.before.replace(number) >= Some(number) {
            return Err(RecordError::Malformed);
        }
        Ok(Some(FieldKey { number, is_needed }))
    }

    /// The number of a field, and whether it has to be understood.
    fn number(&mut self) -> Result<(u64, bool), RecordError> {
        let at = self.from.position();
        // All of this version's are one byte.
        if let Some(short @ 0..SHORT) = self.from.input().get(at) {
            self.from.set_position(at + 1);
            return Ok((u64::from(*short), false));
        }
        let key = i128::from(self.from.int()?);
        let is_needed = key < 0;
        let number = if is_needed { -1 - key } else { key };
        let number = u64::try_from(number).map_err(|_| RecordError::Malformed)?;
        Ok((number, is_needed))
    }

    /// The next key of those that are wanted, or of another that has to be passed over; `None`
    /// behind the last.
    pub fn next_of(&mut self, wanted: FieldSet) -> Result<Option<FieldKey>, RecordError> {
        let last = wanted.last();
        let bytes = self.from.input();
        let mut at = self.from.position();
        while let Some(number @ 0..SHORT) = bytes.get(at) {
            let number = u64::from(*number);
            if wanted.has(number) || number > last || self.left == 0 {
                break;
            }
            let Some(end) = end_of(bytes, at + 1) else {
                break;
            };
            (at, self.left, self.before) = (end, self.left - 1, Some(number));
        }
        self.from.set_position(at);
        Ok(self.next_key()?.filter(|key| key.number <= last))
    }

    pub fn value(&mut self) -> &mut Decoder<'a> {
        &mut self.from
    }

    /// The content, if that is known, and the directory and the name, if the entry is listed.
    pub fn finders(mut self, texts: SharedTexts<'a>) -> Option<EntryKey<'a>> {
        let (mut track, mut dir) = (None, None);
        while let Some(key) = self.next_key().ok()? {
            match key.number {
                TRACK => track = Some(read_track(self.value()).ok()?),
                DIRECTORY => dir = Some(read_text(texts, self.value()).ok()?),
                NAME => return Some((track, Some((dir?, self.value().str().ok()?)))),
                _ => break,
            }
        }
        Some((track, None))
    }
}

/// Content, and directory and name.
type EntryKey<'a> = (Option<TrackId>, Option<(&'a str, &'a str)>);

/// Passes over a value that has been checked before: over most by a look at their first byte.
pub(super) fn pass(from: &mut Decoder<'_>) -> Result<(), RecordError> {
    match end_of(from.input(), from.position()) {
        Some(end) => from.set_position(end),
        None => from.skip()?,
    }
    Ok(())
}

/// The end of the value that begins at `at`, where that can be seen at its first bytes.
fn end_of(bytes: &[u8], at: usize) -> Option<usize> {
    let first = *bytes.get(at)?;
    let length = match (first >> 5, first & 0x1f) {
        // A number, in this byte or behind it.
        (0 | 1, 0..SHORT) => 0,
        (0 | 1, size @ SHORT..=0x1b) => 1 << (size - SHORT),
        // Bytes or a text, and their number in this byte or in the next.
        (2 | 3, length @ 0..SHORT) => usize::from(length),
        (2 | 3, SHORT) => 1 + usize::from(*bytes.get(at + 1)?),
        _ => return None,
    };
    Some(at + 1 + length)
}

/// Arguments of a first byte (RFC 8949, 3) below this are numbers, others say where one is.
const SHORT: u8 = 24;

/// The text of the page that `from` stands before the number of.
pub(super) fn read_text<'a>(
    texts: SharedTexts<'a>,
    from: &mut Decoder<'_>,
) -> Result<&'a str, RecordError> {
    texts.get(from.u64()?).ok_or(RecordError::Malformed)
}

pub(super) fn read_track(from: &mut Decoder<'_>) -> Result<TrackId, RecordError> {
    let bytes = from.bytes()?.try_into();
    Ok(TrackId(bytes.map_err(|_| RecordError::Malformed)?))
}

/// Fields in a record: three times those that there are.
const MAX_FIELDS: u64 = 64;
