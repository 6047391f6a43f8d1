//! Tags are read by lofty. What Symphonia reads of them on its way to the sound is dropped, and
//! what it decodes them with has the tables of all that browsers know: 0.17 MB.

use std::borrow::Cow;

/// How text is written.
pub struct Encoding {
    is_wide: bool,
}

pub static UTF_16BE: &Encoding = &Encoding { is_wide: true };
/// Of this only ASCII is read.
pub static SHIFT_JIS: &Encoding = &Encoding { is_wide: false };

impl Encoding {
    /// The text, how it was written, and whether some of it is not readable.
    pub fn decode(&'static self, bytes: &[u8]) -> (Cow<'static, str>, &'static Self, bool) {
        let text = if self.is_wide {
            wide(bytes)
        } else {
            let ascii = |&byte: &u8| if byte.is_ascii() { byte.into() } else { REPLACED };
            bytes.iter().map(ascii).collect()
        };
        let is_bad = text.contains(REPLACED);
        (text.into(), self, is_bad)
    }
}

/// Big-endian, unless a byte order mark says otherwise.
fn wide(bytes: &[u8]) -> String {
    let (bytes, unit): (_, fn([u8; 2]) -> u16) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => (rest, u16::from_be_bytes),
        _ => (bytes, u16::from_be_bytes),
    };
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units)
        .map(|read| read.unwrap_or(REPLACED))
        .collect()
}

const REPLACED: char = char::REPLACEMENT_CHARACTER;
