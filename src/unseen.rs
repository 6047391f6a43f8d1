//! Characters that nobody sees.
//!
//! Names and tags come from strangers. A line break would make a line of its own; a
//! bidirectional override would show a line backwards, and what takes no room would make
//! two names look the same. All of these are kept from logs, terminals and clients.

/// Whether `c` is not seen, or changes how others are seen. Not among these are
/// variation selectors, which half of all emoji have.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' // soft hyphen
            | '\u{34f}' // grapheme joiner
            | '\u{61c}' // Arabic letter mark
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // fillers
            | '\u{17b4}' | '\u{17b5}' // vowels without a shape
            | '\u{180e}' // vowel separator
            | '\u{200b}'..='\u{200f}' // spaces and joiners without width, marks of direction
            | '\u{2028}'..='\u{202e}' // line and paragraph, embeddings and overrides
            | '\u{2060}'..='\u{206f}' // joiners, invisible operators, isolates
            | '\u{feff}' // the byte order mark
            | '\u{fff9}'..='\u{fffb}' // annotations
            | '\u{e0000}'..='\u{e007f}' // tags
        )
}

/// Whether `text` has one of them. Most text is ASCII, of which that is known at once.
pub fn has_unseen(text: &str) -> bool {
    let is_seen = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    !text.bytes().all(is_seen) && text.contains(is_unseen)
}

/// One line of text, with a blank for each of them.
pub fn one_line(text: &str) -> String {
    text.replace(is_unseen, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_seen_and_tricks_are_not() {
        for seen in [
            "Björk – Jóga",
            "ありがとう",
            "❤\u{fe0f}",
            "a\u{301}",
            "한국",
            "שלום",
            " ",
        ] {
            assert_eq!(one_line(seen), seen);
            assert!(!has_unseen(seen));
        }
        for trick in [
            "a\nb",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{200b}b",
            "a\u{2028}b",
            "a\u{feff}b",
            "a\u{e0041}b",
        ] {
            assert_eq!(one_line(trick), "a b", "{trick:?}");
            assert!(has_unseen(trick), "{trick:?}");
        }
    }
}
