//! Names on disk are bytes; names in the catalogue are text.
//!
//! What is seen of UTF-8 stays as it is. Every other byte (of a sequence
//! that is not UTF-8, or of a character that nobody sees) becomes `\xNN` with two
//! lower-case digits, and a backslash becomes two. So each name on disk has
//! exactly one text and each text at most one name on disk, a newline never
//! reaches a line protocol, and almost every real name is unchanged. `/` stays
//! the separator; no escape produces one.

use std::fmt::Write as _;

use crate::unseen::is_unseen;

/// The text that stands for the path `bytes`.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str(r"\\"),
                c if is_unseen(c) => escape_bytes(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => text.push(c),
            }
        }
        escape_bytes(&mut text, chunk.invalid());
    }
    text
}

/// The path that `text` stands for; `None` if [`escape`] never writes that.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escaped = &rest[at + 1..];
        rest = if let Some(rest) = escaped.strip_prefix('\\') {
            bytes.push(b'\\');
            rest
        } else {
            let digits = escaped.strip_prefix('x')?.get(..2)?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            &escaped[3..]
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    // `\x41`, `\x0A` or a raw newline would be second texts for a name.
    (escape(&bytes) == text).then_some(bytes)
}

fn escape_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_must_be_is_escaped() {
        for (bytes, text) in [
            (&b"Bj\xc3\xb6rk/J\xc3\xb3ga.flac"[..], "Björk/Jóga.flac"),
            (b"caf\xe9.mp3", r"caf\xe9.mp3"),
            (b"two\nlines", r"two\x0alines"),
            (b"next\xc2\x85line", r"next\xc2\x85line"),
            (
                "a\u{202e}b\u{200b}".as_bytes(),
                r"a\xe2\x80\xaeb\xe2\x80\x8b",
            ),
            (br"AC\DC", r"AC\\DC"),
            (br"\x0a", r"\\x0a"),
        ] {
            assert_eq!(escape(bytes), text);
            assert_eq!(unescape(text).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn a_second_text_for_a_name_is_none() {
        for text in [
            r"\x41",
            r"\x0A",
            r"\x5c",
            r"\xc3\xb6",
            r"\x2f",
            "\n",
            r"\",
            r"\x",
            r"\xé",
            r"\q",
        ] {
            assert_eq!(unescape(text), None, "{text:?}");
        }
    }

    /// Bytes that are often almost UTF-8, or almost an escape.
    fn name() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<u8>().prop_map(|b| vec![b]),
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            prop::sample::select(vec![r"\", r"\x", "0a", "/", "\u{85}"])
                .prop_map(|s| s.as_bytes().to_vec()),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// This also proves that no two names share a text.
        #[test]
        fn every_name_comes_back(name in name()) {
            let text = escape(&name);
            prop_assert!(!text.contains(is_unseen));
            prop_assert_eq!(text.matches('/').count(), name.iter().filter(|b| **b == b'/').count());
            prop_assert_eq!(unescape(&text), Some(name));
        }

        #[test]
        fn a_text_that_is_read_is_the_one_that_is_written(text in r"[\\x0-9a-f/é\n]{0,12}") {
            if let Some(name) = unescape(&text) {
                prop_assert_eq!(escape(&name), text);
            }
        }
    }
}
