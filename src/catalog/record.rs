//! Reading the record of one entry.

use std::time::Duration;

use minicbor::Decoder;

use super::{
    entry::{HeldEntry, ReplayGain},
    fields::{
        pass, read_text, read_track, FieldSet, Fields, RecordError, AUDIO_START, BITS, CHANNELS,
        CODEC, CONTAINER, DELAY, DIRECTORY, DURATION, FRAMES, LAYOUT, MODIFIED, NAME, OPENING,
        PADDING, PICTURE, RATE, REPLAY_GAIN, SIZE, TAGS, TRACK,
    },
    opening::Opening,
    packed_tags::PackedTags,
    refs::{EntryRef, ListedRef, PictureRef},
    tags::TagsRef,
    texts::SharedTexts,
};

/// Reads the `wanted` fields of the entry of `record`, whose page has these texts; the others are
/// as of one of which nothing is known. `None` for one of a kind that is not known.
///
/// # Errors
/// [`RecordError`]; a record of a page that is kept has been read before.
pub(super) fn read<'a>(
    texts: SharedTexts<'a>,
    record: &'a [u8],
    wanted: FieldSet,
) -> Result<Option<EntryRef<'a>>, RecordError> {
    let wanted = wanted.and(FieldSet::LEAST);
    let mut fields = Fields::of(record)?;
    let mut listed = ListedRef::empty(texts);
    let (mut dir, mut name) = (None, None);
    let stops = wanted.and(FieldSet::PATH);
    while let Some(key) = fields.next_of(stops)? {
        let from = fields.value();
        if !wanted.has(key.number) {
            match key.number {
                DIRECTORY => dir = Some(""),
                NAME => name = Some(""),
                _ => {}
            }
            pass(from)?;
            continue;
        }
        match key.number {
            TRACK => listed.track = Some(read_track(from)?),
            DIRECTORY => dir = Some(read_text(texts, from)?),
            NAME => name = Some(from.str()?),
            SIZE => listed.size = from.u64()?,
            MODIFIED => listed.modified = from.i64()?,
            CONTAINER => listed.container = read_text(texts, from)?,
            CODEC => listed.codec = read_text(texts, from)?,
            RATE => listed.rate = from.u32()?,
            CHANNELS => listed.channels = from.u16()?,
            LAYOUT => listed.layout = Some(from.u32()?),
            BITS => listed.bits = Some(from.u8()?),
            DURATION => listed.duration = Duration::from_micros(from.u64()?),
            FRAMES => listed.frames = Some(from.u64()?),
            DELAY => listed.delay = from.u32()?,
            PADDING => listed.padding = from.u32()?,
            AUDIO_START => listed.audio_start = from.u64()?,
            OPENING => listed.opening = Opening::packed(from.bytes()?),
            TAGS => {
                let tags = PackedTags::new(texts, from.bytes()?);
                listed.tags = TagsRef::Packed(tags);
            }
            REPLAY_GAIN => listed.gain = Some(read_gain(from)?),
            PICTURE => listed.picture = Some(read_picture(texts, from)?),
            number => {
                from.skip()?;
                if key.is_needed {
                    listed.needs.get_or_insert(number);
                }
            }
        }
    }
    if let (Some(dir), Some(name)) = (dir, name) {
        (listed.dir, listed.name) = (dir, name);
        return Ok(Some(EntryRef::Listed(listed)));
    }
    let size = listed.size;
    let held = listed.track.map(|track| HeldEntry { track, size });
    Ok(held.map(EntryRef::Held))
}

/// Reads a foreign record to the end, and checks that it keeps to the rules.
///
/// # Errors
/// [`RecordError`].
pub(super) fn check(texts: SharedTexts<'_>, record: &[u8]) -> Result<(), RecordError> {
    let listed = match read(texts, record, FieldSet::ALL)? {
        None => return within_bounds(record.len()),
        Some(EntryRef::Held(held)) if held.is_sane() => return within_bounds(record.len()),
        Some(EntryRef::Held(_)) => return Err(RecordError::Rules),
        Some(EntryRef::Listed(listed)) => listed,
    };
    let tags = match listed.tags {
        TagsRef::Packed(tags) => tags.check()?,
        TagsRef::Owned(_) => 0,
    };
    let shared = [listed.dir, listed.container, listed.codec];
    let shared: usize = shared.iter().map(|text| text.len()).sum();
    within_bounds(record.len() + tags + shared)?;
    listed.opening.check()?;
    match listed.is_sane() {
        true => Ok(()),
        false => Err(RecordError::Rules),
    }
}

fn within_bounds(bytes: usize) -> Result<(), RecordError> {
    match bytes <= MAX_ENTRY_BYTES {
        true => Ok(()),
        false => Err(RecordError::TooLarge),
    }
}

fn read_gain(from: &mut Decoder<'_>) -> Result<ReplayGain, RecordError> {
    let fields = from.array()?.ok_or(RecordError::Malformed)?;
    if fields < 4 {
        return Err(RecordError::Malformed);
    }
    let gain = ReplayGain {
        track: from.decode()?,
        album: from.decode()?,
        track_peak: from.decode()?,
        album_peak: from.decode()?,
    };
    skip(from, fields - 4)?;
    Ok(gain)
}

fn read_picture<'a>(
    texts: SharedTexts<'a>,
    from: &mut Decoder<'a>,
) -> Result<PictureRef<'a>, RecordError> {
    let fields = from.array()?.ok_or(RecordError::Malformed)?;
    if fields < 2 {
        return Err(RecordError::Malformed);
    }
    let (content, kind) = (read_track(from)?, read_text(texts, from)?);
    let mut place = None;
    if fields >= 4 {
        place = Some((from.u64()?, from.u64()?));
        skip(from, fields - 4)?;
    } else {
        skip(from, fields - 2)?;
    }
    Ok(PictureRef {
        content,
        kind,
        place,
    })
}

/// What later versions have added at the end of an array.
fn skip(from: &mut Decoder<'_>, values: u64) -> Result<(), RecordError> {
    for _ in 0..values {
        from.skip()?;
    }
    Ok(())
}

/// A record, and the texts of its page that it names.
pub(super) const MAX_ENTRY_BYTES: usize = 8 * 1024;
