//! What of a tag's text is kept.

use std::time::Duration;

use crate::{catalog::Tags, unseen::is_unseen};

/// What lofty knows of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTags {
    pub tags: Tags,
    /// For formats whose duration the decoder cannot tell without reading
    /// everything.
    pub duration: Option<Duration>,
    /// Why its tags are not read, if it has some.
    pub trouble: Option<String>,
}

/// One line of at most [`MAX_TAG_BYTES`], or nothing.
pub fn clean(value: &str) -> Option<String> {
    let mut text: String = value
        .chars()
        .take(MAX_TAG_BYTES)
        .map(|c| if is_unseen(c) { ' ' } else { c })
        .collect();
    let mut end = text.len().min(MAX_TAG_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// The number in `7`, `07` or `7/12`.
pub fn number(value: &str) -> Option<u32> {
    value.split('/').next()?.trim().parse().ok()
}

/// A longer value is a mistake or an attack, and no display shows it.
pub const MAX_TAG_BYTES: usize = 240;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_what_stands_before_the_slash() {
        for (text, expected) in [
            ("7", Some(7)),
            ("07", Some(7)),
            (" 7 /12", Some(7)),
            ("7/", Some(7)),
            ("/12", None),
            ("A1", None),
            ("-1", None),
            ("99999999999", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_one_line_that_is_seen_and_short(text in ".{0,400}|[\u{0}-\u{20}é𝄞]{0,300}") {
            let cleaned = clean(&text);
            if let Some(cleaned) = &cleaned {
                prop_assert!(!cleaned.is_empty() && cleaned.len() <= MAX_TAG_BYTES);
                prop_assert_eq!(cleaned.trim(), cleaned);
                prop_assert!(!cleaned.contains(is_unseen));
                let again = clean(cleaned);
                prop_assert_eq!(again.as_ref(), Some(cleaned));
            }
        }
    }
}
