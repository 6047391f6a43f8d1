//! What a movie (ISO/IEC 14496-12) says of its sound's time: which track it is, where in
//! what the codec gives it begins, and how long it is.
//!
//! Codecs put some samples before the sound and behind it. An edit list says which are to
//! be heard, or a comment of iTunes' (`iTunSMPB`), which is exact where the list counts in
//! coarse units.

use std::ops::Range;

use super::atoms::{children, fields, Atom};
use super::{be_u32, ParserInput, TrackEnds, ViewError};

/// The track that is played.
pub(super) struct SoundTrack {
    pub id: u32,
    per_second: u32,
    /// Units of all its samples that the movie itself lists.
    total: u64,
    /// The first unit that is heard, and how many are, in the movie's units.
    edit: Option<(u64, u64)>,
}

/// What kind of track it is: `soun`, `vide` or another.
pub(super) fn handler<E>(
    file: &mut ParserInput<'_, '_, E>,
    track: &Atom,
) -> Result<Option<[u8; 4]>, ViewError<E>> {
    let Some(handler) = find(file, track.body.clone(), &[b"mdia", b"hdlr"])? else {
        return Ok(None);
    };
    if handler.end - handler.start < 12 {
        return Ok(None);
    }
    let name = file.bytes(handler.start + 8, 4)?;
    Ok(Some([name[0], name[1], name[2], name[3]]))
}

impl SoundTrack {
    /// Reads what a `trak` says of its time; `None` where a part of it is missing.
    pub fn read<E>(
        file: &mut ParserInput<'_, '_, E>,
        track: &Atom,
    ) -> Result<Option<Self>, ViewError<E>> {
        let inside = track.body.clone();
        let header = find(file, inside.clone(), &[b"tkhd"])?;
        let media = find(file, inside.clone(), &[b"mdia", b"mdhd"])?;
        let (Some(header), Some(media)) = (header, media) else {
            return Ok(None);
        };
        let id = dated(file, &header)?;
        let per_second = dated(file, &media)?;
        let times = find(file, inside.clone(), &[b"mdia", b"minf", b"stbl", b"stts"])?;
        let total = match times {
            Some(times) => total(file, &times)?,
            None => 0,
        };
        let edits = find(file, inside, &[b"edts", b"elst"])?;
        let edit = match edits {
            Some(edits) => edit(file, &edits)?,
            None => None,
        };
        Ok(Some(Self {
            id,
            per_second,
            total,
            edit,
        }))
    }

    /// Adds what a `moof` has of the track. `default` is how long a sample is by `trex`.
    pub fn add_fragment<E>(
        &mut self,
        file: &mut ParserInput<'_, '_, E>,
        fragment: &Atom,
        default: u32,
    ) -> Result<(), ViewError<E>> {
        for traf in children(file, fragment.body.clone())? {
            if traf.kind != *b"traf" {
                continue;
            }
            let mut default = default;
            let mut is_ours = false;
            for atom in children(file, traf.body)? {
                let at = atom.body.start;
                match &atom.kind {
                    b"tfhd" => {
                        let flags = be_u32(&file.bytes(at, 4)?);
                        is_ours = be_u32(&file.bytes(at + 4, 4)?) == self.id;
                        if flags & 0x8 != 0 {
                            let before = fields(flags, &[(0x1, 8), (0x2, 4)]);
                            default = be_u32(&file.bytes(at + 8 + before, 4)?);
                        }
                    }
                    b"trun" if is_ours => {
                        let run = run(file, &atom.body, default)?;
                        self.total = self.total.saturating_add(run);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Where the sound begins and ends. `movie` is the `moov`, and the units of its edit
    /// lists are what its header says.
    pub fn ends<E>(
        &self,
        file: &mut ParserInput<'_, '_, E>,
        movie: &Atom,
    ) -> Result<Option<TrackEnds>, ViewError<E>> {
        if self.per_second == 0 {
            return Ok(None);
        }
        let header = find(file, movie.body.clone(), &[b"mvhd"])?;
        let movie_units = match header {
            Some(header) => dated(file, &header)?.max(1),
            None => 1,
        };
        let scale = |units: u64| {
            let scaled = u128::from(units) * u128::from(self.per_second);
            let rounded = (scaled + u128::from(movie_units) / 2) / u128::from(movie_units);
            u64::try_from(rounded).unwrap_or(u64::MAX)
        };
        let (first, stated) = self
            .edit
            .filter(|(first, _)| self.total == 0 || *first < self.total)
            .map_or((0, 0), |(first, length)| (first, scale(length)));
        let rest = self.total.saturating_sub(first);
        // The edit list counts in units of this many.
        let unit = scale(1).saturating_add(1);
        let is_cut = stated > 0 && rest > stated.saturating_add(unit);
        if first == 0 || is_cut && movie_units < self.per_second {
            if let Some((first, length)) = stated_by_itunes(file, movie)? {
                let has_room = first
                    .checked_add(length)
                    .is_some_and(|end| end <= self.total);
                if length > 0 && has_room {
                    return Ok(Some(self.ends_at(first, length)));
                }
            }
        }
        Ok(Some(
            self.ends_at(first, if is_cut { stated } else { rest }),
        ))
    }

    fn ends_at(&self, first: u64, length: u64) -> TrackEnds {
        TrackEnds {
            first,
            length: Some(length).filter(|&length| length > 0),
            per_second: self.per_second,
        }
    }
}

/// How long a sample of each track is by `mvex`, if a fragment does not say it.
pub(super) fn default_duration<E>(
    file: &mut ParserInput<'_, '_, E>,
    movie: &Atom,
    id: u32,
) -> Result<u32, ViewError<E>> {
    let Some(extended) = find(file, movie.body.clone(), &[b"mvex"])? else {
        return Ok(0);
    };
    for atom in children(file, extended)? {
        if atom.kind == *b"trex" && be_u32(&file.bytes(atom.body.start + 4, 4)?) == id {
            return Ok(be_u32(&file.bytes(atom.body.start + 12, 4)?));
        }
    }
    Ok(0)
}

/// The body of the first atom at this path.
fn find<E>(
    file: &mut ParserInput<'_, '_, E>,
    mut range: Range<u64>,
    path: &[&[u8; 4]],
) -> Result<Option<Range<u64>>, ViewError<E>> {
    for kind in path {
        let atoms = children(file, range)?;
        let Some(atom) = atoms.into_iter().find(|atom| atom.kind == **kind) else {
            return Ok(None);
        };
        range = atom.body;
    }
    Ok(Some(range))
}

/// The number behind the two dates that `mvhd`, `mdhd` and `tkhd` begin with: units in a
/// second, or the track's number.
fn dated<E>(file: &mut ParserInput<'_, '_, E>, body: &Range<u64>) -> Result<u32, ViewError<E>> {
    let version = file.bytes(body.start, 1)?[0];
    let at = body.start + if version == 1 { 20 } else { 12 };
    Ok(be_u32(&file.bytes(at, 4)?))
}

/// The sum of an `stts`.
fn total<E>(file: &mut ParserInput<'_, '_, E>, body: &Range<u64>) -> Result<u64, ViewError<E>> {
    let count = u64::from(be_u32(&file.bytes(body.start + 4, 4)?));
    let end = (body.start + 8 + count * 8).min(body.end);
    sum(file, body.start + 8..end, 8, |row| {
        u64::from(be_u32(row)) * u64::from(be_u32(&row[4..]))
    })
}

/// How long all samples of a `trun` are.
fn run<E>(
    file: &mut ParserInput<'_, '_, E>,
    body: &Range<u64>,
    default: u32,
) -> Result<u64, ViewError<E>> {
    let flags = be_u32(&file.bytes(body.start, 4)?);
    let count = u64::from(be_u32(&file.bytes(body.start + 4, 4)?));
    if flags & 0x100 == 0 {
        return Ok(count * u64::from(default));
    }
    let start = body.start + 8 + fields(flags, &[(0x1, 4), (0x4, 4)]);
    let row = fields(flags, &[(0x100, 4), (0x200, 4), (0x400, 4), (0x800, 4)]);
    let end = (start + count * row).min(body.end);
    sum(file, start..end, row, |row| u64::from(be_u32(row)))
}

/// The sum of what `value` makes of each row of a table.
fn sum<E>(
    file: &mut ParserInput<'_, '_, E>,
    table: Range<u64>,
    row: u64,
    value: impl Fn(&[u8]) -> u64,
) -> Result<u64, ViewError<E>> {
    let mut all = 0u64;
    let mut at = table.start;
    while at + row <= table.end {
        let part = (table.end - at).min(ROWS * row) / row * row;
        let rows = file.bytes(at, part as usize)?; // at most ROWS of 16 bytes
        for row in rows.chunks_exact(row as usize) {
            all = all.saturating_add(value(row));
        }
        at += part;
    }
    Ok(all)
}

/// The first edit of an `elst` that is not empty: what it begins with, in the track's
/// units, and how long it is, in the movie's; 0 where there are others.
fn edit<E>(
    file: &mut ParserInput<'_, '_, E>,
    body: &Range<u64>,
) -> Result<Option<(u64, u64)>, ViewError<E>> {
    let is_long = file.bytes(body.start, 1)?[0] == 1;
    let count = u64::from(be_u32(&file.bytes(body.start + 4, 4)?)).min(EDITS);
    let row = if is_long { 20 } else { 12 };
    let mut found: Option<(u64, u64)> = None;
    for n in 0..count {
        let entry = file.bytes(body.start + 8 + n * row, row as usize)?;
        let word = |at: usize| u64::from(be_u32(&entry[at..]));
        let (length, first) = match is_long {
            true => (word(0) << 32 | word(4), (word(8) << 32 | word(12)) as i64),
            false => (word(0), i64::from(word(4) as u32 as i32)),
        };
        let Ok(first) = u64::try_from(first) else {
            continue; // an empty one
        };
        match &mut found {
            Some((_, length)) => *length = 0,
            None => found = Some((first, length)),
        }
    }
    Ok(found)
}

/// First frame and number of frames by iTunes: hexadecimal numbers in a comment, of which
/// the second is the encoder's delay and the fourth the length.
fn stated_by_itunes<E>(
    file: &mut ParserInput<'_, '_, E>,
    movie: &Atom,
) -> Result<Option<(u64, u64)>, ViewError<E>> {
    let mut range = movie.body.clone();
    for (kind, skipped) in [(b"udta", 0), (b"meta", 4), (b"ilst", 0)] {
        let atoms = leniently(file, range)?;
        let Some(atom) = atoms.into_iter().find(|atom| atom.kind == *kind) else {
            return Ok(None);
        };
        range = atom.body.start + skipped..atom.body.end;
    }
    for item in leniently(file, range)? {
        let len = item.body.end - item.body.start;
        if item.kind != *b"----" || len > COMMENT {
            continue;
        }
        let comment = file.bytes(item.body.start, len as usize)?;
        if !comment.windows(NAME.len()).any(|part| part == NAME) {
            continue;
        }
        let Some(at) = comment.windows(4).position(|part| part == b"data") else {
            continue;
        };
        // Behind the name come the type and the language.
        let text = String::from_utf8_lossy(comment.get(at + 12..).unwrap_or_default());
        let numbers: Vec<_> = text.split_ascii_whitespace().take(4).collect();
        let number = |n: usize| u64::from_str_radix(numbers.get(n).copied()?, 16).ok();
        return Ok(number(1)
            .zip(number(3))
            .filter(|(first, _)| *first <= DELAY));
    }
    Ok(None)
}

/// The atoms of a range as far as they are sound: tags are often ended by some zeros.
fn leniently<E>(
    file: &mut ParserInput<'_, '_, E>,
    range: Range<u64>,
) -> Result<Vec<Atom>, ViewError<E>> {
    let mut atoms = Vec::new();
    let mut start = range.start;
    while start + 8 <= range.end && atoms.len() < ITEMS {
        let head = file.bytes(start, 8)?;
        let end = start + u64::from(be_u32(&head));
        if end < start + 8 || end > range.end {
            break;
        }
        atoms.push(Atom {
            kind: [head[4], head[5], head[6], head[7]],
            start,
            body: start + 8..end,
        });
        start = end;
    }
    Ok(atoms)
}

const NAME: &[u8] = b"iTunSMPB";

/// The longest delay that is believed: that of eight frames of HE-AAC.
const DELAY: u64 = 16_384;

/// Of iTunes, with its names: some 200 bytes.
const COMMENT: u64 = 1024;

/// Tags of one file; iTunes writes some thirty.
const ITEMS: usize = 128;

/// Edits that are looked at; encoders write one or two.
const EDITS: u64 = 16;

/// Of a table, read at once.
const ROWS: u64 = 4096;
