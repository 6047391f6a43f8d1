//! Comments have nouns for their subjects: the source, the requester, the listener.

use std::{fs, path::Path};

use crate::house::rust_files;

/// Words that stand for one.
const PRONOUNS: [&str; 3] = ["who", "whom", "whoever"];
/// The nouns of which it may be said.
const NOUNS: [&str; 3] = ["person", "persons", "people"];

#[test]
fn comments_name_the_thing_that_they_are_about() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut breaches = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz/fuzz_targets"] {
        for path in rust_files(&root.join(folder)) {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let name = path.strip_prefix(root).expect("below it").display();
            for (n, line) in text.lines().enumerate() {
                let Some(comment) = comment(line) else {
                    continue;
                };
                if has_pronoun(comment) {
                    breaches.push(format!("{name}:{}: {}", n + 1, line.trim()));
                }
            }
        }
    }
    assert!(
        breaches.is_empty(),
        "give these a noun:\n{}",
        breaches.join("\n")
    );
}

/// The comment that a line is, or ends with.
fn comment(line: &str) -> Option<&str> {
    match line.trim_start().strip_prefix("//") {
        Some(comment) => Some(comment),
        None => line.split_once(" // ").map(|(_, comment)| comment),
    }
}

fn has_pronoun(comment: &str) -> bool {
    let words: Vec<&str> = comment
        .split(|c: char| !c.is_alphanumeric() && c != '`' && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    words.iter().enumerate().any(|(n, word)| {
        let noun = n > 0 && NOUNS.contains(&words[n - 1]);
        PRONOUNS.contains(&&*word.to_lowercase()) && n > 0 && !noun
            || n == 0 && PRONOUNS.contains(&&*word.to_lowercase()) && word.starts_with('W')
    })
}

#[test]
fn a_person_may_be_who_and_a_peer_may_not() {
    for right in [
        " What a person who types a search would not type.",
        " Whether the user `who` may.",
        " who types it (the noun stands in the line before)",
    ] {
        assert!(!has_pronoun(right), "{right}");
    }
    for wrong in [
        " Who asks is served.",
        " Serves whoever asks.",
        " To whom it is sent.",
        " A peer who asks.",
    ] {
        assert!(has_pronoun(wrong), "{wrong}");
    }
}
