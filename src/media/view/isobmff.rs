//! AAC in ISO base media (ISO/IEC 14496-12). Offsets into the file are absolute,
//! so nothing can be left out before the sound: `udta` and `meta`, where the
//! pictures are, become `free` space of the same size, full of zeros.
//!
//! The demuxer walks over the sound to see what follows, and reads the last
//! 64 KiB of what it skips. So the sound's atom is shown with a long tail of
//! zeros, which spares the fetching.

use std::ops::Range;

use super::atoms::{children, fields, next, Atom, ATOMS};
use super::movie::{self, SoundTrack};
use super::{be_u32, ParserInput, Segment, Shown, TrackEnds, ViewError, TAKE};

pub(super) fn view<E>(file: &mut ParserInput<'_, '_, E>) -> Result<Shown, ViewError<E>> {
    if file.bytes(4, 4)? != *b"ftyp" {
        return Err(ViewError::Malformed("the ftyp atom is missing"));
    }
    let mut edits = Vec::new();
    let (mut movies, mut media) = (0, None);
    let (mut plain, mut sound) = (true, None);
    let (atoms, end, is_cut) = top_level(file)?;
    if atoms.first().is_none_or(|kind| kind.body.end > FILE_TYPE) {
        return Err(ViewError::Malformed("the ftyp atom is too long"));
    }
    for atom in &atoms {
        match &atom.kind {
            // The demuxer reads every one, and takes the last.
            b"moov" => {
                movies += 1;
                sound = check_movie(file, atom, &mut edits)?.map(|sound| (atom, sound));
            }
            b"mdat" if media.is_none() => media = Some(atom),
            b"free" | b"skip" | b"wide" => edits.push(Edit::hide(atom)),
            b"meta" => edits.push(Edit::hide(atom)),
            b"moof" => {
                plain = false;
                check_length(atom)?;
                check_samples(file, atom.body.clone(), 0)?;
            }
            b"mdat" => plain = false,
            // Its sum is not believed.
            b"sidx" => edits.push(Edit::hide(atom)),
            _ => {}
        }
    }
    if movies == 0 {
        return Err(ViewError::Malformed("the moov atom is missing"));
    }
    let audio_start = media.map_or(0, |media| media.body.start);
    let plain = plain && movies == 1;
    if let Some(edit) = media.filter(|_| plain).and_then(|media| {
        // There is nothing behind that the demuxer could look for.
        Edit::lengthen(media, if is_cut { 0 } else { TAIL })
    }) {
        edits.push(edit);
    }
    let ends = match sound {
        Some((movie, mut sound)) => {
            let default = movie::default_duration(file, movie, sound.id)?;
            for fragment in atoms.iter().filter(|atom| atom.kind == *b"moof") {
                sound.add_fragment(file, fragment, default)?;
            }
            sound.ends(file, movie)?
        }
        None => None,
    };
    // What it says is the length of what was cut off.
    let ends = ends.map(|ends| match is_cut {
        true => TrackEnds {
            length: None,
            ..ends
        },
        false => ends,
    });
    Ok(Shown {
        segments: apply(edits, end),
        bits: None,
        audio_start,
        ends,
        states_frames: false,
    })
}

/// The atoms of the file, where the last one ends, since other things may follow, and
/// whether that is the sound's and cut off, as downloads are.
fn top_level<E>(file: &mut ParserInput<'_, '_, E>) -> Result<(Vec<Atom>, u64, bool), ViewError<E>> {
    let mut atoms: Vec<Atom> = Vec::new();
    let (mut start, mut is_cut) = (0, false);
    while start < file.size {
        match next(file, start..file.size) {
            Ok(atom) => {
                start = atom.body.end;
                atoms.push(atom);
            }
            Err(ViewError::Malformed(_)) if atoms.iter().any(|atom| atom.kind == *b"moov") => {
                let is_sound = file.size - start > 16 && file.bytes(start + 4, 4)? == *b"mdat";
                if is_sound && atoms.iter().all(|atom| atom.kind != *b"mdat") {
                    atoms.push(cut_off(file, start)?);
                    (start, is_cut) = (file.size, true);
                }
                break;
            }
            Err(e) => return Err(e),
        }
        if atoms.len() > ATOMS {
            return Err(ViewError::Malformed("it has too many atoms"));
        }
    }
    Ok((atoms, start, is_cut))
}

/// The sound's atom as far as it is there.
fn cut_off<E>(file: &mut ParserInput<'_, '_, E>, start: u64) -> Result<Atom, ViewError<E>> {
    let is_long = be_u32(&file.bytes(start, 4)?) == 1;
    let body = start + if is_long { 16 } else { 8 };
    Ok(Atom {
        kind: *b"mdat",
        start,
        body: body.min(file.size)..file.size,
    })
}

/// Checks all that the demuxer reads of a `moov` atom, and hides what it need not: all
/// tracks but the first of sound. What is known of that is returned.
fn check_movie<E>(
    file: &mut ParserInput<'_, '_, E>,
    movie: &Atom,
    edits: &mut Vec<Edit>,
) -> Result<Option<SoundTrack>, ViewError<E>> {
    check_length(movie)?;
    let mut sound = None;
    let mut has_sound = false;
    let atoms = children(file, movie.body.clone())?;
    for atom in &atoms {
        match &atom.kind {
            b"udta" | b"meta" | b"free" | b"skip" => edits.push(Edit::hide(atom)),
            b"trak" => {
                let handler = movie::handler(file, atom)?;
                if has_sound || handler.is_some_and(|kind| kind != *b"soun") {
                    edits.push(Edit::hide(atom));
                    continue;
                }
                check_tables(file, atom.body.clone(), 0)?;
                check_samples(file, atom.body.clone(), 0)?;
                if handler.is_some() {
                    has_sound = true;
                    sound = SoundTrack::read(file, atom)?;
                }
            }
            _ => {}
        }
    }
    for atom in atoms.iter().filter(|atom| atom.kind == *b"mvex") {
        check_samples(file, atom.body.clone(), 0)?;
        // The demuxer wants as many of these as there are tracks.
        for extended in children(file, atom.body.clone())? {
            let Some(sound) = sound.as_ref().filter(|_| extended.kind == *b"trex") else {
                continue;
            };
            if be_u32(&file.bytes(extended.body.start + 4, 4)?) != sound.id {
                edits.push(Edit::hide(&extended));
            }
        }
    }
    Ok(sound)
}

fn check_length<E>(atom: &Atom) -> Result<(), ViewError<E>> {
    match atom.body.end - atom.start <= MOVIE {
        true => Ok(()),
        false => Err(ViewError::Malformed(
            "its tables are longer than any sound's",
        )),
    }
}

/// Refuses time scales of 0, which make the demuxer panic, and tables that claim
/// more entries than they have, for which it would allocate.
fn check_tables<E>(
    file: &mut ParserInput<'_, '_, E>,
    range: Range<u64>,
    depth: u8,
) -> Result<(), ViewError<E>> {
    for atom in children(file, range)? {
        let there = atom.body.end - atom.body.start;
        let u32_at = |file: &mut ParserInput<'_, '_, E>, at: u64| {
            file.bytes(atom.body.start + at, 4).map(|b| be_u32(&b))
        };
        let (count_at, entry) = match &atom.kind {
            b"mdia" | b"minf" | b"stbl" | b"edts" if depth < DEPTH => {
                check_tables(file, atom.body.clone(), depth + 1)?;
                continue;
            }
            b"mdhd" => {
                let version = file.bytes(atom.body.start, 1)?[0];
                if u32_at(file, if version == 1 { 20 } else { 12 })? == 0 {
                    return Err(ViewError::Malformed("its time scale is 0"));
                }
                continue;
            }
            b"elst" => match file.bytes(atom.body.start, 1)?[0] {
                1 => (4, 20),
                _ => (4, 12),
            },
            b"stts" | b"ctts" | b"co64" => (4, 8),
            b"stsc" => (4, 12),
            b"stco" => (4, 4),
            // A common size for all samples takes the place of the table.
            b"stsz" if u32_at(file, 4)? == 0 => (8, 4),
            _ => continue,
        };
        let claimed = u64::from(u32_at(file, count_at)?) * entry;
        if claimed > there.saturating_sub(count_at + 4) {
            return Err(ViewError::Malformed(TOO_MANY));
        }
    }
    Ok(())
}

/// Refuses samples that are longer than any of a sound's: the demuxer allocates what
/// a table says before it reads.
fn check_samples<E>(
    file: &mut ParserInput<'_, '_, E>,
    range: Range<u64>,
    depth: u8,
) -> Result<(), ViewError<E>> {
    for atom in children(file, range)? {
        let body = &atom.body;
        let word = |file: &mut ParserInput<'_, '_, E>, at: u64| {
            let at = body.start.saturating_add(at);
            file.bytes(at, 4).map(|b| be_u32(&b))
        };
        match &atom.kind {
            b"mdia" | b"minf" | b"stbl" | b"traf" if depth < DEPTH => {
                check_samples(file, body.clone(), depth + 1)?;
            }
            b"stsz" => match word(file, 4)? {
                0 => check_sizes(file, body.start + 12..body.end, 4, 0)?,
                common => check_size(common)?,
            },
            b"trex" => check_size(word(file, 16)?)?,
            b"tfhd" => {
                let flags = word(file, 0)?;
                if flags & 0x10 != 0 {
                    let before = [(0x1, 8), (0x2, 4), (0x8, 4)];
                    check_size(word(file, 8 + fields(flags, &before))?)?;
                }
            }
            b"trun" => {
                let (flags, count) = (word(file, 0)?, u64::from(word(file, 4)?));
                let table = body.start + 8 + fields(flags, &[(0x1, 4), (0x4, 4)]);
                let before = fields(flags, &[(0x100, 4)]);
                let row = before + fields(flags, &[(0x200, 4), (0x400, 4), (0x800, 4)]);
                if count > RUN || count * row > body.end.saturating_sub(table) {
                    return Err(ViewError::Malformed(TOO_MANY));
                }
                if flags & 0x200 != 0 {
                    check_sizes(file, table..body.end, row, before)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks the size at `at` in each `row` bytes of a table.
fn check_sizes<E>(
    file: &mut ParserInput<'_, '_, E>,
    table: Range<u64>,
    row: u64,
    at: u64,
) -> Result<(), ViewError<E>> {
    let mut start = table.start;
    while start < table.end {
        let rows = (table.end - start).min(TAKE as u64 / row * row) / row;
        if rows == 0 {
            break;
        }
        // At most `TAKE`.
        let part = file.bytes(start, (rows * row) as usize)?;
        for row in part.chunks_exact(row as usize) {
            check_size(be_u32(&row[at as usize..]))?;
        }
        start += rows * row;
    }
    Ok(())
}

fn check_size<E>(size: u32) -> Result<(), ViewError<E>> {
    match size <= MAX_SAMPLE {
        true => Ok(()),
        false => Err(ViewError::Malformed("a sample is too long for a sound's")),
    }
}

/// A stretch of the file that is shown otherwise.
struct Edit {
    range: Range<u64>,
    shown: Vec<Segment>,
}

impl Edit {
    fn hide(atom: &Atom) -> Self {
        let mut head = Vec::new();
        let len = atom.body.end - atom.start;
        match u32::try_from(len) {
            Ok(len) => {
                head.extend_from_slice(&len.to_be_bytes());
                head.extend_from_slice(b"free");
            }
            Err(_) => {
                head.extend_from_slice(&1u32.to_be_bytes());
                head.extend_from_slice(b"free");
                head.extend_from_slice(&len.to_be_bytes());
            }
        }
        let zeros = len - head.len() as u64; // an atom has at least its head
        Self {
            range: atom.start..atom.body.end,
            shown: vec![Segment::Bytes(head), Segment::Zeros(zeros)],
        }
    }

    /// Shows the sound's atom with a tail of zeros, if its head can say so.
    fn lengthen(media: &Atom, tail: u64) -> Option<Self> {
        let len = media.body.end - media.start + tail;
        let mut head = Vec::new();
        if media.body.start - media.start == 16 {
            head.extend_from_slice(&1u32.to_be_bytes());
            head.extend_from_slice(b"mdat");
            head.extend_from_slice(&len.to_be_bytes());
        } else {
            head.extend_from_slice(&u32::try_from(len).ok()?.to_be_bytes());
            head.extend_from_slice(b"mdat");
        }
        Some(Self {
            range: media.start..media.body.end,
            shown: vec![
                Segment::Bytes(head),
                Segment::File(media.body.clone()),
                Segment::Zeros(tail),
            ],
        })
    }
}

/// The file with all edits, which do not overlap, since atoms do not.
fn apply(mut edits: Vec<Edit>, size: u64) -> Vec<Segment> {
    edits.sort_by_key(|edit| edit.range.start);
    let mut segments = Vec::new();
    let mut done = 0;
    for edit in edits {
        segments.push(Segment::File(done..edit.range.start));
        segments.extend(edit.shown);
        done = edit.range.end;
    }
    segments.push(Segment::File(done..size));
    segments.retain(|segment| segment.len() > 0);
    segments
}

const TOO_MANY: &str = "a table claims too many entries";

/// Some brands of four bytes; with more, the bytes of its length could look like the
/// beginning of another format to the demuxer's search.
const FILE_TYPE: u64 = 4096;

/// A day of AAC has 10 million samples, of which a table has four bytes each; a
/// longer movie would be read into memory all the same.
const MOVIE: u64 = 64 * 1024 * 1024;

/// Samples in one run of a fragment, of which nothing need be said but how many: some
/// hours.
const RUN: u64 = 1 << 20;

/// trak, mdia, minf, stbl.
const DEPTH: u8 = 3;

/// Of one AAC frame: 6144 bits a channel, and room for padding.
const MAX_SAMPLE: u32 = 64 * 1024;

/// Twice what the demuxer reads of what it skips.
const TAIL: u64 = 128 * 1024;
