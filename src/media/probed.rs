//! What is known of a file that was opened as a listener would: its sound, and what was read
//! until that began.

use std::ops::Range;

use super::MediaInfo;
use crate::id::GROUP_BYTES;

/// What a listener wants to know beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Its container is that of the extension.
    pub media: MediaInfo,
    /// Bits a sample; lossy formats have none.
    pub bits: Option<u8>,
    /// Frames that are heard, where that is known exactly.
    pub frames: Option<u64>,
    /// The bytes to be had before the first sound, in whole chunk groups: at
    /// most [`OPENING_RANGES`] ranges, ascending and apart.
    pub opening: Vec<Range<u64>>,
}

/// Why a file is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRejection {
    pub why: String,
    /// Whether that holds until the file changes: it is about the file, and not about
    /// the disk or the rights to it.
    pub is_lasting: bool,
}

/// Adds a range to ascending ranges that lie apart.
pub(super) fn add(ranges: &mut Vec<Range<u64>>, new: Range<u64>) {
    let from = ranges.partition_point(|range| range.end < new.start);
    let to = ranges.partition_point(|range| range.start <= new.end);
    let merged = ranges[from..to].iter().fold(new, |sum, range| {
        sum.start.min(range.start)..sum.end.max(range.end)
    });
    ranges.splice(from..to, [merged]);
}

/// Ranges of groups as ranges of bytes, the nearest ones joined until they are
/// few enough.
pub(super) fn few(mut groups: Vec<Range<u64>>, size: u64) -> Vec<Range<u64>> {
    while groups.len() > OPENING_RANGES {
        let gap = |i: &usize| groups[i + 1].start - groups[*i].end;
        let Some(i) = (0..groups.len() - 1).min_by_key(gap) else {
            break;
        };
        groups[i].end = groups[i + 1].end;
        groups.remove(i + 1);
    }
    groups
        .into_iter()
        .map(|g| g.start * GROUP_BYTES..(g.end * GROUP_BYTES).min(size))
        .collect()
}

/// Ranges in [`Probed::opening`]: a request names them all, and the worst
/// format needs head, setup, first sound and tail.
pub const OPENING_RANGES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_groups_join_where_they_meet() {
        let mut ranges = Vec::new();
        for range in [4..5, 0..1, 9..12, 1..2, 10..11, 5..9] {
            add(&mut ranges, range);
        }
        assert_eq!(ranges, [0..2, 4..12]);
    }

    #[test]
    fn the_nearest_ranges_are_joined_first_and_the_last_is_cut() {
        let groups = (0..9).map(|i| i * 10..i * 10 + if i == 3 { 9 } else { 5 });
        let size = 84 * GROUP_BYTES + 1;
        let ranges = few(groups.collect(), size);
        assert_eq!(ranges.len(), OPENING_RANGES);
        assert_eq!(ranges[3], 30 * GROUP_BYTES..45 * GROUP_BYTES);
        assert_eq!(ranges[7].end, size);
    }
}
