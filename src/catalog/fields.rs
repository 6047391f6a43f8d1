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
        let key = i128::from(self.from.int()?);
        let is_needed = key < 0;
        let number = if is_needed { -1 - key } else { key };
        let number = u64::try_from(number).map_err(|_| RecordError::Malformed)?;
        if self.before.replace(number) >= Some(number) {
            return Err(RecordError::Malformed);
        }
        Ok(Some(FieldKey { number, is_needed }))
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
