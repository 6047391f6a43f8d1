//! Which folder may know which, and that no two know each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::house::House;
use crate::lists::{ABOVE, ARROWS, BELOW, CIRCLES, FEATURES, NEVER, ROOTS};

/// The first name of a path: the room below `src` that a file is of.
fn room(path: &str) -> &str {
    path.split(['/', '.']).next().unwrap_or_default()
}

fn is_in(path: &str, place: &str) -> bool {
    let module = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let rest = module.strip_prefix(place);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[test]
fn arrows_go_down_only() {
    let house = House::read();
    let mut breaches = Vec::new();
    let mut used = vec![false; ARROWS.len()];
    for (n, file) in house.files.iter().enumerate() {
        let from = room(&file.path);
        if ABOVE.contains(&from) || ROOTS.contains(&from) {
            continue;
        }
        for (target, line) in house.names_of(n) {
            let target = &house.files[target].path;
            let to = room(target);
            let is_between = FEATURES.contains(&to) && to != from;
            let goes_up = BELOW.contains(&from) && to != from;
            if !is_between && !goes_up && !ABOVE.contains(&to) {
                continue;
            }
            let arrow = ARROWS
                .iter()
                .position(|(room, place, _)| *room == from && is_in(target, place));
            match arrow {
                Some(arrow) => used[arrow] = true,
                None => breaches.push(format!("src/{}:{line}: src/{target}", file.path)),
            }
        }
    }
    assert!(
        breaches.is_empty(),
        "arrows against the floor plan\n{}",
        breaches.join("\n")
    );
    let unused: Vec<_> = ARROWS.iter().zip(used).filter(|(_, used)| !used).collect();
    assert!(unused.is_empty(), "nothing goes there any more: {unused:?}");
}

#[test]
fn some_rooms_never_know_each_other() {
    let house = House::read();
    let mut breaches = Vec::new();
    for (n, file) in house.files.iter().enumerate() {
        let from = room(&file.path);
        for (target, line) in house.names_of(n) {
            let target = &house.files[target].path;
            let never = NEVER.iter();
            let mut broken = never.filter(|(a, b, _)| *a == from && *b == room(target));
            if let Some((.., why)) = broken.next() {
                breaches.push(format!("src/{}:{line}: src/{target}: {why}", file.path));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

/// Of each folder, what its files and folders take from each other; the folder's own file
/// (`mod.rs`, or the file beside it) is above them and is none of them.
fn siblings(house: &House) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut folders: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (n, file) in house.files.iter().enumerate() {
        let from = parts(&file.path);
        for target in house.names_of(n).into_keys() {
            let to = parts(&house.files[target].path);
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if common < from.len() && common < to.len() {
                let folder = folders.entry(from[..common].join("/")).or_default();
                let arrows = folder.entry(from[common].clone()).or_default();
                arrows.insert(to[common].clone());
            }
        }
    }
    folders
}

/// The names of a module's path.
fn parts(path: &str) -> Vec<String> {
    let module = path.trim_end_matches(".rs").trim_end_matches("/mod");
    module.split('/').map(str::to_owned).collect()
}

/// What can be reached from `start`.
fn reached(arrows: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![start.to_owned()];
    while let Some(name) = open.pop() {
        for next in arrows.get(&name).into_iter().flatten() {
            if found.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    found
}

/// The circles of all folders: the folder, and the names that reach each other.
fn circles(house: &House) -> BTreeSet<(String, Vec<String>)> {
    let mut found = BTreeSet::new();
    for (folder, arrows) in siblings(house) {
        for name in arrows.keys() {
            let there = reached(&arrows, name);
            if there.contains(name) {
                let back = |other: &String| reached(&arrows, other).contains(name);
                let circle = there.iter().filter(|other| back(other)).cloned();
                found.insert((folder.clone(), circle.collect()));
            }
        }
    }
    found
}

#[test]
fn nothing_goes_in_circles() {
    let found = circles(&House::read());
    let known: BTreeSet<(String, Vec<String>)> = CIRCLES
        .iter()
        .map(|(folder, names)| {
            let names = names.split_whitespace().map(str::to_owned);
            ((*folder).to_owned(), names.collect())
        })
        .collect();
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "these know each other: {new:#?}");
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(
        gone.is_empty(),
        "take these off the list of circles: {gone:#?}"
    );
}
