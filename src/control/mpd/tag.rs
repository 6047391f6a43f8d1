//! Which tags a client sees.

use crate::catalog::Tag;

/// The tags that a client wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagMask(u64);

impl TagMask {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(u64::MAX);

    pub fn contains(self, tag: Tag) -> bool {
        self.0 & 1 << tag as u16 != 0
    }

    pub fn with(self, tag: Tag) -> Self {
        Self(self.0 | 1 << tag as u16)
    }

    pub fn without(self, tag: Tag) -> Self {
        Self(self.0 & !(1 << tag as u16))
    }
}

impl Default for TagMask {
    fn default() -> Self {
        Self::ALL
    }
}
