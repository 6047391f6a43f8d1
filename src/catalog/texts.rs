//! The texts that the entries of a page have in common.

use minicbor::Decoder;

/// Where the texts of a page are.
#[derive(Clone, Copy, Debug)]
pub struct SharedTexts<'a> {
    /// The page.
    bytes: &'a [u8],
    /// Where in it each text begins.
    starts: &'a [u32],
}

impl<'a> SharedTexts<'a> {
    pub(super) fn new(bytes: &'a [u8], starts: &'a [u32]) -> Self {
        Self { bytes, starts }
    }

    pub(super) fn len(self) -> u64 {
        self.starts.len() as u64
    }

    /// The text of this number.
    pub(super) fn get(self, number: u64) -> Option<&'a str> {
        let start = *self.starts.get(usize::try_from(number).ok()?)?;
        let mut from = Decoder::new(self.bytes);
        from.set_position(start as usize);
        from.str().ok()
    }
}
