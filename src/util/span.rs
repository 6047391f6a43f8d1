//! A range that does not run backwards: what is read from outside may.

use std::ops::Range;

use serde::{de::Error, Deserialize, Deserializer};

/// # Errors
/// What is no range, or ends before it begins.
pub fn in_order<'de, D: Deserializer<'de>>(from: D) -> Result<Range<usize>, D::Error> {
    checked::<D>(Range::deserialize(from)?)
}

/// The same where there may be none.
///
/// # Errors
/// Those of [`in_order`].
pub fn some_in_order<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Range<usize>>, D::Error> {
    let range = Option::<Range<usize>>::deserialize(from)?;
    range.map(checked::<D>).transpose()
}

fn checked<'de, D: Deserializer<'de>>(range: Range<usize>) -> Result<Range<usize>, D::Error> {
    match range.start <= range.end {
        true => Ok(range),
        false => Err(D::Error::custom("the range ends before it begins")),
    }
}
