//! 32 secret bytes as a line of text that survives paper and telephone.
//!
//! After a prefix that says what it is come 56 characters of Crockford's
//! base 32: the secret and a checksum of three bytes. Letter case does not
//! matter, and look-alikes (o, i, l) are read as the digits that they are
//! taken for. The checksum is over the prefix, too.

/// `secret` as text under `prefix`.
pub fn encode(prefix: &str, secret: &[u8; 32]) -> String {
    let mut bytes = [0; BYTES];
    bytes[..32].copy_from_slice(secret);
    bytes[32..].copy_from_slice(&checksum(prefix, secret));
    let digits = bytes.chunks_exact(5).flat_map(|five| {
        let bits = five
            .iter()
            .fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
        (0..8).map(move |n| char::from(ALPHABET[(bits >> (35 - 5 * n) & 31) as usize]))
    });
    prefix.chars().chain(digits).collect()
}

/// Reads what [`encode`] wrote under the same prefix.
///
/// # Errors
/// Says what is wrong with `text`, without repeating any of it.
pub fn decode(prefix: &'static str, text: &str) -> Result<[u8; 32], BadKey> {
    let digits = match text.split_at_checked(prefix.len()) {
        Some((start, digits)) if start.eq_ignore_ascii_case(prefix) => digits,
        _ => return Err(BadKey::Prefix(prefix)),
    };
    let len = digits.chars().count();
    if len != DIGITS {
        return Err(BadKey::Length(len));
    }
    let values = digits
        .chars()
        .enumerate()
        .map(|(n, c)| value(c).ok_or(BadKey::Character(n + 1)))
        .collect::<Result<Vec<u64>, _>>()?;
    let mut bytes = [0; BYTES];
    for (five, eight) in bytes.chunks_exact_mut(5).zip(values.chunks_exact(8)) {
        let bits = eight.iter().fold(0, |bits, value| bits << 5 | value);
        five.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    let mut secret = [0; 32];
    secret.copy_from_slice(&bytes[..32]);
    if bytes[32..] != checksum(prefix, &secret) {
        return Err(BadKey::Checksum);
    }
    Ok(secret)
}

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("it does not start with {0}")]
    Prefix(&'static str),
    #[error("it has {0} characters after the prefix where a key has {DIGITS}")]
    Length(usize),
    #[error("character {0} after the prefix does not occur in keys")]
    Character(usize),
    #[error("its checksum is wrong: a character was mistyped")]
    Checksum,
}

fn value(c: char) -> Option<u64> {
    let c = match c.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        c => c,
    };
    let at = ALPHABET.iter().position(|&a| char::from(a) == c)?;
    Some(at as u64)
}

fn checksum(prefix: &str, secret: &[u8; 32]) -> [u8; 3] {
    let mut hasher = blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT);
    hasher.update(prefix.as_bytes()).update(secret);
    let hash = hasher.finalize();
    let [a, b, c, ..] = *hash.as_bytes();
    [a, b, c]
}

/// Crockford's: no i, l, o (digits look like them) and no u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Secret and checksum: a multiple of five, so no bit of a digit is unused.
const BYTES: usize = 35;
const DIGITS: usize = BYTES / 5 * 8;
const CHECKSUM_CONTEXT: &str = "p2pmusic 2024 checksum of a key's text";

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "p2pm1-";

    #[test]
    fn case_and_look_alikes_do_not_matter() {
        let secret = std::array::from_fn(|n| n as u8);
        let text = encode(PREFIX, &secret);
        let mangled = text
            .replacen('0', "O", 3)
            .replacen('1', "l", 2)
            .to_uppercase();
        assert_ne!(mangled, text);
        // The prefix's own digit is not mangled back.
        let mangled = format!("{PREFIX}{}", &mangled[PREFIX.len()..]);
        assert_eq!(decode(PREFIX, &mangled), Ok(secret));
    }

    proptest::proptest! {
        #[test]
        fn every_secret_comes_back_and_any_text_is_survived(secret: [u8; 32], text: String) {
            let written = encode(PREFIX, &secret);
            proptest::prop_assert_eq!(decode(PREFIX, &written), Ok(secret));
            let _ = (decode(PREFIX, &text), decode(PREFIX, &format!("{PREFIX}{text}")));
        }
    }

    #[test]
    fn every_single_mistyped_character_is_noticed() {
        let text = encode(PREFIX, &[0xa5; 32]);
        for at in PREFIX.len()..text.len() {
            let mut typed = text.clone().into_bytes();
            typed[at] = if typed[at] == b'7' { b'8' } else { b'7' };
            let typed = String::from_utf8(typed).unwrap();
            assert_eq!(decode(PREFIX, &typed), Err(BadKey::Checksum), "at {at}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        let good = encode(PREFIX, &[7; 32]);
        let cases = [
            ("", BadKey::Prefix(PREFIX)),
            ("hunter2", BadKey::Prefix(PREFIX)),
            ("p2pé", BadKey::Prefix(PREFIX)),
            ("p2pm1-", BadKey::Length(0)),
            (&good[..good.len() - 1], BadKey::Length(55)),
            (&good.replace(&good[61..], "u"), BadKey::Character(56)),
            (&encode("p2pid1-", &[7; 32]), BadKey::Prefix(PREFIX)),
        ];
        for (text, why) in cases {
            assert_eq!(decode(PREFIX, text), Err(why), "{text}");
        }
    }
}
