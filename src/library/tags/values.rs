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

/// The number in `7`, `07`, `7/12` or `7 of 12`.
pub fn number(value: &str) -> Option<u32> {
    let value = value.trim();
    let end = value.find(|c: char| !c.is_ascii_digit());
    let (digits, rest) = value.split_at(end.unwrap_or(value.len()));
    let is_number = !rest.starts_with(|c: char| c.is_alphanumeric());
    digits.parse().ok().filter(|_| is_number)
}

/// A date with dashes, where it is written with slashes or dots, or with nothing between, and the
/// year comes first; any other as it is.
pub fn date(value: &str) -> String {
    let is_number = |text: &str, length| {
        (1..=length).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parts: Vec<&str> = match value.len() {
        8 if is_number(value, 8) => vec![&value[..4], &value[4..6], &value[6..]],
        _ => value.split(['/', '.', '-']).map(str::trim).collect(),
    };
    match &parts[..] {
        [year, rest @ ..]
            if matches!(rest.len(), 1 | 2)
                && year.len() == 4
                && is_number(year, 4)
                && rest.iter().all(|part| is_number(part, 2)) =>
        {
            let rest = rest.iter().map(|part| format!("-{part:0>2}"));
            [(*year).to_owned()].into_iter().chain(rest).collect()
        }
        _ => value.to_owned(),
    }
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
            ("7 of 12", Some(7)),
            ("7th", None),
            ("7é", None),
            ("", None),
            ("7/", Some(7)),
            ("/12", None),
            ("A1", None),
            ("-1", None),
            ("99999999999", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn a_date_has_dashes_where_the_year_comes_first() {
        for (text, expected) in [
            ("2005/06/07", "2005-06-07"),
            ("2005/6/7", "2005-06-07"),
            ("2005.06", "2005-06"),
            ("20050607", "2005-06-07"),
            ("1999-05-01", "1999-05-01"),
            ("1999-05-01T12:00", "1999-05-01T12:00"),
            ("1999", "1999"),
            ("07/06/2005", "07/06/2005"),
            ("2005/06/07/08", "2005/06/07/08"),
            ("2005//07", "2005//07"),
            ("spring 1999", "spring 1999"),
            ("é", "é"),
        ] {
            assert_eq!(date(text), expected, "{text}");
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
