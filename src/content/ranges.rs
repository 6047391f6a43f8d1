//! Sets of chunk groups: what a source has, what a request asks for, what is here.
//!
//! A set is kept as ranges that are sorted, non-empty and do not touch, so that
//! equal sets are equal values. The same form travels on the wire, as a list of
//! (first, length); a list in any other form is refused there.

use std::fmt;
use std::ops::Range;

use crate::id::{group_count, Group, GROUP_BYTES};

/// A set of chunk groups of one track.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct GroupSet {
    /// Sorted, non-empty; between two of them at least one group is missing.
    ranges: Vec<Range<u32>>,
}

/// Why a list of ranges from the wire is no [`GroupSet`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadRanges {
    /// It has more ranges than one message may carry.
    #[error("more than {MAX_WIRE_RANGES} ranges of chunk groups")]
    TooMany,
    /// A range is empty or goes past the last possible group.
    #[error("a range of chunk groups is empty or too long")]
    BadRange,
    /// A range starts before, or right at, the end of the one before it.
    #[error("ranges of chunk groups overlap, touch or are out of order")]
    Unordered,
}

impl GroupSet {
    /// The set without any group.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// All groups of a track of `size` bytes.
    pub fn all(size: u64) -> Self {
        (0..group_count(size)).into()
    }

    /// The groups that hold the bytes of `range`.
    pub fn of_bytes(range: Range<u64>) -> Self {
        if range.is_empty() {
            return Self::new();
        }
        (Group::of(range.start).0..group_count(range.end)).into()
    }

    /// Parses a list of (first, length).
    ///
    /// # Errors
    /// [`BadRanges`] unless the list is short and in the one form that
    /// [`Self::iter_ranges`] gives.
    pub fn from_wire(list: impl IntoIterator<Item = (u32, u32)>) -> Result<Self, BadRanges> {
        let mut set = Self::new();
        for (start, len) in list {
            set.push_wire(start, len)?;
        }
        Ok(set)
    }

    fn push_wire(&mut self, start: u32, len: u32) -> Result<(), BadRanges> {
        if self.ranges.len() == MAX_WIRE_RANGES {
            return Err(BadRanges::TooMany);
        }
        let end = start.checked_add(len).ok_or(BadRanges::BadRange)?;
        if len == 0 {
            return Err(BadRanges::BadRange);
        }
        if self.ranges.last().is_some_and(|last| start <= last.end) {
            return Err(BadRanges::Unordered);
        }
        self.ranges.push(start..end);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many groups the set has.
    pub fn count(&self) -> u32 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }

    /// How many ranges the set falls into.
    #[cfg(test)]
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    pub fn contains(&self, group: Group) -> bool {
        self.range_of(group.0).is_some()
    }

    /// Whether every group of `other` is in this set.
    pub fn contains_all(&self, other: &Self) -> bool {
        other.ranges.iter().all(|range| {
            self.range_of(range.start)
                .is_some_and(|own| range.end <= own.end)
        })
    }

    /// Whether the two sets have a group in common.
    pub fn intersects(&self, other: &Self) -> bool {
        self.overlaps(other).next().is_some()
    }

    /// The ranges, in order; they do not touch.
    pub fn iter_ranges(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        self.ranges.iter().cloned()
    }

    /// The groups, in order.
    pub fn iter(&self) -> impl Iterator<Item = Group> + '_ {
        self.iter_ranges().flatten().map(Group)
    }

    /// The first group of the set.
    pub fn first(&self) -> Option<Group> {
        self.ranges.first().map(|r| Group(r.start))
    }

    /// The last group of the set.
    pub fn last(&self) -> Option<Group> {
        self.ranges.last().map(|r| Group(r.end - 1))
    }

    /// The first group from `from` on that is not in the set.
    pub fn first_missing(&self, from: Group) -> Group {
        self.range_of(from.0).map_or(from, |r| Group(r.end))
    }

    pub fn insert(&mut self, group: Group) {
        // Group u32::MAX would need a range that ends past u32; no track has it,
        // since a track that long has its group count cut at u32::MAX.
        if let Some(end) = group.0.checked_add(1) {
            self.insert_range(group.0..end);
        }
    }

    /// Adds the groups of `range`.
    pub fn insert_range(&mut self, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        let from = self.ranges.partition_point(|r| r.end < range.start);
        let to = self.ranges.partition_point(|r| r.start <= range.end);
        let merged = if from < to {
            range.start.min(self.ranges[from].start)..range.end.max(self.ranges[to - 1].end)
        } else {
            range
        };
        self.ranges.splice(from..to, [merged]);
    }

    #[cfg(test)]
    pub fn remove(&mut self, group: Group) {
        if let Some(end) = group.0.checked_add(1) {
            *self = self.difference(&(group.0..end).into());
        }
    }

    pub fn union(&self, other: &Self) -> Self {
        let (mut large, small) = if self.ranges.len() < other.ranges.len() {
            (other.clone(), self)
        } else {
            (self.clone(), other)
        };
        for range in small.iter_ranges() {
            large.insert_range(range);
        }
        large
    }

    pub fn intersection(&self, other: &Self) -> Self {
        let ranges = self.overlaps(other).collect();
        Self { ranges }
    }

    /// The ranges of what is in both sets.
    fn overlaps<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Range<u32>> + 'a {
        let (mut a, mut b) = (self.reaching_into(other), other.reaching_into(self));
        std::iter::from_fn(move || {
            while let ([x, ..], [y, ..]) = (a, b) {
                let both = x.start.max(y.start)..x.end.min(y.end);
                if x.end <= y.end {
                    a = &a[1..];
                } else {
                    b = &b[1..];
                }
                if !both.is_empty() {
                    return Some(both);
                }
            }
            None
        })
    }

    /// The ranges but those that end before `other` begins: of many, what a small set has to
    /// do with is found at once.
    fn reaching_into(&self, other: &Self) -> &[Range<u32>] {
        let from = other.ranges.first().map_or(0, |first| first.start);
        let skipped = self.ranges.partition_point(|range| range.end <= from);
        &self.ranges[skipped..]
    }

    /// What is in this set and not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        let mut holes = other.reaching_into(self);
        for range in &self.ranges {
            let mut start = range.start;
            while let [hole, later @ ..] = holes {
                if hole.start >= range.end {
                    break;
                }
                if start < hole.start {
                    ranges.push(start..hole.start);
                }
                start = start.max(hole.end);
                if hole.end > range.end {
                    break; // It may reach into the next range.
                }
                holes = later;
            }
            if start < range.end {
                ranges.push(start..range.end);
            }
        }
        Self { ranges }
    }

    /// The first `n` groups of the set.
    pub fn take(&self, n: u32) -> Self {
        let mut left = n;
        let mut ranges = Vec::new();
        for range in &self.ranges {
            let len = (range.end - range.start).min(left);
            if len == 0 {
                break;
            }
            ranges.push(range.start..range.start + len);
            left -= len;
        }
        Self { ranges }
    }

    /// What of the set lies below group `count`.
    pub fn clip(&self, count: u32) -> Self {
        self.intersection(&(0..count).into())
    }

    /// What of the set lies at `group` or after it.
    pub fn at_or_after(&self, group: Group) -> Self {
        self.intersection(&(group.0..u32::MAX).into())
    }

    /// How many bytes of a track of `size` bytes the groups hold.
    pub fn bytes(&self, size: u64) -> u64 {
        self.ranges
            .iter()
            .map(|r| {
                let end = (u64::from(r.end) * GROUP_BYTES).min(size);
                end.saturating_sub(Group(r.start).start())
            })
            .sum()
    }

    fn range_of(&self, group: u32) -> Option<&Range<u32>> {
        let at = self.ranges.partition_point(|r| r.end <= group);
        self.ranges.get(at).filter(|r| r.contains(&group))
    }
}

impl From<Range<u32>> for GroupSet {
    fn from(range: Range<u32>) -> Self {
        let mut set = Self::new();
        set.insert_range(range);
        set
    }
}

impl Extend<Group> for GroupSet {
    fn extend<I: IntoIterator<Item = Group>>(&mut self, groups: I) {
        for group in groups {
            self.insert(group);
        }
    }
}

impl FromIterator<Group> for GroupSet {
    fn from_iter<I: IntoIterator<Item = Group>>(groups: I) -> Self {
        let mut set = Self::new();
        set.extend(groups);
        set
    }
}

impl fmt::Debug for GroupSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

impl fmt::Display for GroupSet {
    /// `0-3, 7`, with the last group of a range included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.ranges.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let last = range.end - 1;
            if range.start == last {
                write!(f, "{comma}{last}")?;
            } else {
                write!(f, "{comma}{}-{last}", range.start)?;
            }
        }
        Ok(())
    }
}

/// Ranges in one message: a request of 64 groups never has more, and a partial
/// holder whose set is more ragged names the first ones.
pub const MAX_WIRE_RANGES: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn sets() -> impl Strategy<Value = BTreeSet<u32>> {
        proptest::collection::btree_set(0u32..40, 0..40)
    }

    fn group_set(model: &BTreeSet<u32>) -> GroupSet {
        model.iter().copied().map(Group).collect()
    }

    proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(a in sets(), b in sets(), n in 0u32..45) {
            let (x, y) = (group_set(&a), group_set(&b));
            prop_assert_eq!(x.union(&y), group_set(&(&a | &b)));
            prop_assert_eq!(x.intersection(&y), group_set(&(&a & &b)));
            prop_assert_eq!(x.difference(&y), group_set(&(&a - &b)));
            prop_assert_eq!(x.contains_all(&y), a.is_superset(&b));
            prop_assert_eq!(x.intersects(&y), !a.is_disjoint(&b));
            prop_assert_eq!(x.count() as usize, a.len());
            prop_assert_eq!(x.contains(Group(n)), a.contains(&n));
            prop_assert_eq!(x.take(n), a.iter().take(n as usize).copied().map(Group).collect());
            prop_assert_eq!(x.clip(n), a.range(..n).copied().map(Group).collect());
            prop_assert_eq!(x.at_or_after(Group(n)), a.range(n..).copied().map(Group).collect());
            prop_assert_eq!(x.first_missing(Group(n)).0, (n..).find(|g| !a.contains(g)).unwrap());
            let mut without = x.clone();
            without.remove(Group(n));
            prop_assert_eq!(without.contains(Group(n)), false);
            prop_assert_eq!(without.count(), x.count() - u32::from(a.contains(&n)));
        }

        #[test]
        fn nothing_from_the_wire_panics_or_breaks_the_form(
            list in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..70)
        ) {
            if let Ok(set) = GroupSet::from_wire(list.iter().copied()) {
                prop_assert!(set.range_count() <= MAX_WIRE_RANGES);
                prop_assert_eq!(set.iter_ranges().map(|r| (r.start, r.end - r.start)).collect::<Vec<_>>(), list);
            }
        }
    }

    #[test]
    fn refuses_lists_in_any_other_form() {
        let long = (0..=MAX_WIRE_RANGES as u32).map(|i| (i * 2, 1));
        let cases: [(Vec<(u32, u32)>, BadRanges); 6] = [
            (vec![(3, 0)], BadRanges::BadRange),
            (vec![(u32::MAX, 1)], BadRanges::BadRange),
            (vec![(0, 2), (2, 1)], BadRanges::Unordered),
            (vec![(0, 3), (2, 1)], BadRanges::Unordered),
            (vec![(5, 1), (0, 1)], BadRanges::Unordered),
            (long.collect(), BadRanges::TooMany),
        ];
        for (list, why) in cases {
            assert_eq!(GroupSet::from_wire(list), Err(why));
        }
    }

    #[test]
    fn bytes_count_a_short_last_group() {
        assert_eq!(
            GroupSet::all(GROUP_BYTES + 5).bytes(GROUP_BYTES + 5),
            GROUP_BYTES + 5
        );
        assert_eq!(GroupSet::of_bytes(1..GROUP_BYTES + 1), (0..2).into());
        assert_eq!(GroupSet::of_bytes(9..9), GroupSet::new());
    }
}
