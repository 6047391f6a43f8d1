//! A clock that jumps by years changes a date on the screen, and nothing else.

use crate::house::{paths, uses, House};
use crate::lists::WALL_CLOCK;

/// The ways to ask what time it is.
const ASKED: &[&[&str]] = &[
    &["SystemTime", "now"],
    &["chrono"],
    &["CLOCK_REALTIME"],
    &["OffsetDateTime"],
];

#[test]
fn the_wall_clock_is_for_what_is_shown_only() {
    let mut breaches = Vec::new();
    let mut used = vec![false; WALL_CLOCK.len()];
    for file in House::read().files {
        let mut written = paths(&file.words);
        written.extend(file.items.iter().flat_map(|item| uses(item, true)));
        let asks = |path: &[String]| {
            ASKED
                .iter()
                .any(|asked| path.windows(asked.len()).any(|window| window == *asked))
        };
        for (_, line) in written.iter().filter(|(path, _)| asks(path)) {
            match WALL_CLOCK.iter().position(|(path, _)| *path == file.path) {
                Some(known) => used[known] = true,
                None => breaches.push(format!("src/{}:{line}", file.path)),
            }
        }
    }
    assert!(
        breaches.is_empty(),
        "what time it is decides in\n{}",
        breaches.join("\n")
    );
    let unused: Vec<_> = WALL_CLOCK
        .iter()
        .zip(used)
        .filter(|(_, used)| !used)
        .collect();
    assert!(unused.is_empty(), "these do not ask any more: {unused:?}");
}
