//! Genres as ID3 codes them.

use lofty::id3::v1::GENRES;

/// The genres in a text of ID3: `(17)`, `17`, `(51)(39)`, `(4)Eurodisco`, `((so called)`, `(RX)`.
///
/// Source: ID3v2.3, 4.2.1, TCON; ID3v2.4, 4.2.3, TCON.
pub fn genres(value: &str) -> Vec<String> {
    let mut genres = Vec::new();
    let mut rest = value.trim();
    while let Some(inner) = rest.strip_prefix('(') {
        if inner.starts_with('(') {
            rest = inner;
            break;
        }
        let coded = inner.split_once(')');
        let Some((genre, behind)) = coded.and_then(|(code, rest)| Some((genre(code)?, rest)))
        else {
            break;
        };
        genres.push(genre.to_owned());
        rest = behind.trim();
    }
    if !rest.is_empty() {
        genres.push(genre(rest).unwrap_or(rest).to_owned());
    }
    genres
}

/// The genre of a code.
fn genre(code: &str) -> Option<&'static str> {
    match code {
        "RX" => Some("Remix"),
        "CR" => Some("Cover"),
        _ => GENRES.get(code.parse::<usize>().ok()?).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genres_are_read_as_id3_codes_them() {
        for (text, expected) in [
            ("(17)", &["Rock"][..]),
            ("17", &["Rock"]),
            ("(51)(39)", &["Techno-Industrial", "Noise"]),
            ("(4)Eurodisco", &["Disco", "Eurodisco"]),
            ("((so called)", &["(so called)"]),
            ("(RX)", &["Remix"]),
            ("(999)", &["(999)"]),
            ("(live) Rock", &["(live) Rock"]),
            ("Drum & Bass", &["Drum & Bass"]),
            (" ", &[]),
        ] {
            assert_eq!(genres(text), expected, "{text}");
        }
    }
}
