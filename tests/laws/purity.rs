//! What is pure: it is told what happened and when, and says what is to be done. Every file is,
//! but for those that [`IMPURE`] names with a reason; and a pure file names nothing of an impure
//! one.

use std::collections::BTreeSet;

use crate::house::{paths, uses, House, SourceFile, Word};
use crate::lists::{CRATES_THAT_ACT, CRATES_THAT_DO_NOT, IMPURE, WORDS};

/// What `file` does itself that a pure one does not: line, word, what that is.
fn acts(file: &SourceFile) -> Vec<(usize, String, &'static str)> {
    let mut written: Vec<_> = paths(&file.words);
    written.extend(file.items.iter().flat_map(|item| uses(item, true)));
    let mut found = Vec::new();
    for (path, line) in &written {
        let first = path[0].as_str();
        if CRATES_THAT_ACT.contains(&first) && path.len() > 1 {
            found.push((*line, path.join("::"), "what this crate does"));
        }
    }
    for (word, what) in WORDS {
        let lines = match word.split_once(['.', '!', '(']) {
            None => paths_with(&written, word),
            Some(_) => words_in_a_row(&file.words, word),
        };
        found.extend(
            lines
                .into_iter()
                .map(|line| (line, (*word).to_owned(), *what)),
        );
    }
    found.sort();
    found.dedup();
    found
}

/// The lines of the paths that `word` is a part of.
fn paths_with(written: &[(Vec<String>, usize)], word: &str) -> Vec<usize> {
    let parts: Vec<&str> = word.split("::").collect();
    let has_it = |path: &[String]| path.windows(parts.len()).any(|window| window == parts);
    let with = written.iter().filter(|(path, _)| has_it(path));
    with.map(|(_, line)| *line).collect()
}

/// The lines where `.name`, `.name(`, `.name()` or `name!` stand.
fn words_in_a_row(words: &[Word], row: &str) -> Vec<usize> {
    let name = row.trim_matches(['.', '!', '(', ')']);
    let (before, after) = row.split_once(name).unwrap_or_default();
    let mut parts = vec![name];
    parts.extend(after.split("").filter(|part| !part.is_empty()));
    if !before.is_empty() {
        parts.insert(0, before);
    }
    let is_it = |window: &&[Word]| window.iter().map(|word| &word.text).eq(parts.iter());
    let found = words.windows(parts.len()).filter(is_it);
    found.map(|window| window[0].line).collect()
}

/// The impure files, as far as the list says so.
fn listed(house: &House) -> BTreeSet<usize> {
    let files = house.files.iter().enumerate();
    files
        .filter(|(_, file)| IMPURE.iter().any(|(path, _)| *path == file.path))
        .map(|(n, _)| n)
        .collect()
}

#[test]
fn what_is_not_listed_as_impure_is_pure() {
    let house = House::read();
    let impure = listed(&house);
    let mut breaches = Vec::new();
    for (n, file) in house.files.iter().enumerate() {
        if impure.contains(&n) {
            continue;
        }
        for (line, word, what) in acts(file) {
            breaches.push(format!("src/{}:{line}: {word}: {what}", file.path));
        }
        for (target, line) in house.names_of(n) {
            if impure.contains(&target) {
                let target = &house.files[target].path;
                breaches.push(format!(
                    "src/{}:{line}: names what {target} defines, which is impure",
                    file.path
                ));
            }
        }
    }
    assert!(
        breaches.is_empty(),
        "these are pure, and yet\n{}",
        breaches.join("\n")
    );
}

#[test]
fn what_is_listed_as_impure_is_there_and_is_impure() {
    let house = House::read();
    let impure = listed(&house);
    for (path, reason) in IMPURE {
        assert!(!reason.is_empty(), "{path} has no reason");
        let n = house.files.iter().position(|file| file.path == *path);
        let n = n.unwrap_or_else(|| panic!("src/{path} is gone or has moved"));
        let through = house
            .names_of(n)
            .into_keys()
            .any(|target| impure.contains(&target));
        assert!(
            through || !acts(&house.files[n]).is_empty(),
            "src/{path} is pure by now: take it off the list"
        );
    }
}

#[test]
fn every_dependency_is_known_to_act_or_not_to() {
    let manifest = include_str!("../../Cargo.toml");
    let manifest: toml::Table = manifest.parse().expect("Cargo.toml is TOML");
    let dependencies = manifest["dependencies"].as_table().expect("a table");
    for name in dependencies.keys().map(|name| name.replace('-', "_")) {
        let acts = CRATES_THAT_ACT.contains(&&*name);
        let does_not = CRATES_THAT_DO_NOT.contains(&&*name);
        assert!(
            acts != does_not,
            "{name} is to be in one of the two lists of crates"
        );
    }
}

#[test]
fn a_breach_is_seen_and_a_test_or_a_text_is_none() {
    let code = r##"
        use std::{sync::Arc}; // a HashMap
        /* Instant::now */ const A: &str = "SystemTime \" Mutex"; const B: &str = r#"await"#;
        fn quote() -> char { '"' }
        fn f() { let m = HashMap::new(); MyMutex::new(); log::debug!("{}", a.elapsed()); }
        #[cfg(test)]
        mod tests { fn g() { Instant::now(); } }
        #[cfg(test)]
        use std::thread;
        fn h(t: T) -> bool { t.is_dir }
        fn i() { use std::{fs, net}; println!("it"); fs::read("it"); }
    "##;
    let house = House::of([("lib.rs".to_owned(), code.to_owned())].into());
    let found: Vec<_> = acts(&house.files[0])
        .into_iter()
        .map(|(line, word, _)| format!("{line} {word}"))
        .collect();
    assert_eq!(
        found,
        ["5 .elapsed()", "5 HashMap", "11 println!", "11 std::fs"]
    );
}

#[test]
fn what_a_file_names_is_found_through_those_that_hand_it_on() {
    let texts = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::Thing; fn f(_: Thing) {}"),
        ("b.rs", "mod inner; pub use self::inner::Thing;"),
        ("b/inner.rs", "pub struct Thing;"),
        (
            "c.rs",
            "use super::b; fn f() -> b::Thing { crate::b::other() }",
        ),
    ];
    let texts = texts.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let house = House::of(texts.into());
    let at = |path: &str| {
        house
            .files
            .iter()
            .position(|file| file.path == path)
            .unwrap()
    };
    let names = |path| house.names_of(at(path)).into_keys().collect::<Vec<_>>();
    assert_eq!(names("a.rs"), [at("b/inner.rs")]);
    assert_eq!(names("c.rs"), [at("b/inner.rs")]);
    assert_eq!(names("b.rs"), [0; 0]);
}
