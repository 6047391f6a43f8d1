//! The byte ranges that opening a file touches, as they lie in a page.

use std::ops::Range;

use minicbor::Decoder;

use super::fields::RecordError;

/// The byte ranges of an entry's opening, packed: few readers of an entry need them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening<'a>(&'a [u8]);

impl<'a> Opening<'a> {
    /// The array in these bytes, which is looked at when it is asked for.
    pub(super) fn packed(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether it is an array of ranges, and nothing behind it; of an entry that says none, it
    /// is empty.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(super) fn check(self) -> Result<(), RecordError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut from = Decoder::new(self.0);
        let numbers = from.array()?.ok_or(RecordError::Malformed)?;
        let mut end = 0;
        for _ in 0..numbers / 2 {
            end = next_range(&mut from, end)
                .ok_or(RecordError::Malformed)?
                .end;
        }
        match numbers % 2 == 0 && from.position() == self.0.len() {
            true => Ok(()),
            false => Err(RecordError::Malformed),
        }
    }

    pub fn ranges(self) -> impl Iterator<Item = Range<u64>> + 'a {
        let mut from = Decoder::new(self.0);
        let numbers = from.array().ok().flatten().unwrap_or(0);
        let mut end = 0;
        (0..numbers / 2).map_while(move |_| {
            let range = next_range(&mut from, end)?;
            end = range.end;
            Some(range)
        })
    }
}

/// The range behind one that ends at `end`.
fn next_range(from: &mut Decoder<'_>, end: u64) -> Option<Range<u64>> {
    let start = end.checked_add_signed(from.i64().ok()?)?;
    Some(start..start.checked_add(from.u64().ok()?)?)
}
