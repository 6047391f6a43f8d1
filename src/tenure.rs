//! What a node is called, where another has the name.

use crate::protocol::MAX_NAME_BYTES;

/// The `number`th name that a peer with the default name `base` tries:
/// `base`, `base-2`, `base-3` and so on, shortened where it would be too long.
pub fn numbered(base: &str, number: u32) -> String {
    if number <= 1 {
        return base.to_owned();
    }
    let suffix = format!("-{number}");
    let mut end = base.len().min(MAX_NAME_BYTES - suffix.len());
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &base[..end])
}

/// Whether `name` is `base` or came from it by [`numbered`].
pub fn is_numbered(name: &str, base: &str) -> bool {
    let number = name.rsplit_once('-').and_then(|(_, n)| n.parse().ok());
    name == base || number.is_some_and(|number| name == numbered(base, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_names_fit_and_are_recognised() {
        assert_eq!(numbered("kitchen", 1), "kitchen");
        assert_eq!(numbered("kitchen", 12), "kitchen-12");
        let long = "ü".repeat(31);
        let name = numbered(&long, 100);
        assert!(
            name.len() <= MAX_NAME_BYTES && name.ends_with("ü-100"),
            "{name}"
        );
        for (name, base, is) in [
            ("kitchen", "kitchen", true),
            ("kitchen-2", "kitchen", true),
            (&name, &long, true),
            ("kitchen-02", "kitchen", false),
            ("kitchen-x", "kitchen", false),
            ("bath-2", "kitchen", false),
        ] {
            assert_eq!(is_numbered(name, base), is, "{name} of {base}");
        }
    }
}
