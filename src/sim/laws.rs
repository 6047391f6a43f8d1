//! The laws that the compiler does not know: this reads the project's own
//! sources.
//!
//! Looked at are the words of the code, without comments and texts, and
//! without what is under `#[cfg(test)]`, be it in the same file or in its own.

use std::path::{Path, PathBuf};

/// The rooms that decide and never wait, each a file or a folder.
const PURE: &[&str] = &[
    "catalog",
    "cli/doctor/acl.rs",
    "cli/doctor/facts.rs",
    "cli/doctor/findings",
    "cli/doctor/person.rs",
    "cli/doctor/render.rs",
    "content/bitfield.rs",
    "content/blob.rs",
    "content/ranges.rs",
    "content/shelf.rs",
    "content/slow.rs",
    "control/mpd",
    "id.rs",
    "near.rs",
    "node",
    "pairing/attempts.rs",
    "pairing/code.rs",
    "pairing/cpace.rs",
    "pairing/exchange.rs",
    "player/health.rs",
    "player/queue.rs",
    "player/transport.rs",
    "player/underruns.rs",
    "protocol.rs",
    "swarm/asker.rs",
    "swarm/budget.rs",
    "swarm/elsewhere.rs",
    "swarm/guests.rs",
    "swarm/scheduler",
    "swarm/scheduler.rs",
    "swarm/serving",
    "swarm/serving.rs",
    "swarm/unproven.rs",
    "tenure.rs",
    "tracker/link",
    "tracker/links",
    "tracker/registry",
    "unseen.rs",
];

/// What a pure room does not use, and what it would be.
const IMPURE: &[(&str, &str)] = &[
    ("std::fs", "files"),
    ("fs::", "files"),
    ("File::open", "files"),
    ("File::create", "files"),
    ("OpenOptions", "files"),
    ("std::io", "input and output"),
    ("std::thread", "threads"),
    ("thread::", "threads"),
    ("spawn", "threads and tasks"),
    ("TcpStream", "sockets"),
    ("TcpListener", "sockets"),
    ("UdpSocket", "sockets"),
    ("UnixStream", "sockets"),
    ("quinn", "sockets"),
    ("smol", "async"),
    ("async", "async"),
    ("await", "async"),
    ("async_channel", "channels"),
    ("mpsc", "channels"),
    ("Mutex", "locks"),
    ("RwLock", "locks"),
    ("Condvar", "locks"),
    ("OnceLock", "global state"),
    ("LazyLock", "global state"),
    ("thread_local", "global state"),
    ("static mut", "global state"),
    ("Instant::now", "a clock"),
    ("SystemTime", "a clock"),
    (".elapsed()", "a clock"),
    ("std::env", "the environment"),
    ("std::process", "the environment"),
    ("HashMap", "an order that differs from run to run"),
    ("HashSet", "an order that differs from run to run"),
    ("RandomState", "global randomness"),
    ("SystemRandom", "global randomness"),
    ("getrandom", "global randomness"),
];

/// Breaches that have a reason: file, word, and why.
const ALLOWED: &[(&str, &str, &str)] = &[
    // Framing is generic over the stream; it opens none and waits for no
    // clock, and the messages beside it are plain data.
    ("protocol.rs", "async", "read_frame and write_frame"),
    ("protocol.rs", "await", "read_frame and write_frame"),
    (
        "protocol.rs",
        "smol",
        "the traits that they are generic over",
    ),
    ("protocol.rs", "std::io", "the error of the stream"),
    (
        "content/blob.rs",
        "std::io",
        "the traits that bao-tree reads and writes through",
    ),
];

/// Who may ask what time it is, and what for. Everything else goes by the
/// monotonic clock, or by the times of files, which are only compared.
const WALL_CLOCK: &[(&str, &str)] = &[
    (
        "cli/doctor/look/machine.rs",
        "whether the clock is set, for people",
    ),
    (
        "daemon/clock.rs",
        "how long a node was away, where no other clock can tell",
    ),
    ("daemon/logging.rs", "the time of a log line"),
    ("daemon/parts.rs", "a seed, for which any number does"),
    ("peer/mod.rs", "when the database changed, as MPD shows it"),
];

/// Who may use what of a feature folder that is not its own, and why; `node`,
/// `peer`, `daemon`, `cli` and `sim` stand above all of them.
const ARROWS: &[(&str, &str, &str)] = &[
    (
        "swarm",
        "content",
        "what is sent and fetched lies there; below it",
    ),
    (
        "library",
        "media",
        "tags, formats, and what a decoder reads first; below it",
    ),
    ("player", "media", "decoding; below it"),
    ("control", "player::queue", "commands work on the queue"),
    (
        "control",
        "player::transport",
        "commands work on the transport",
    ),
    ("catalog", "media::Format", "an entry says what its file is"),
    (
        "config",
        "player::OutputSpec",
        "`audio.device` is parsed into what it means",
    ),
];

/// Folders that do not know each other but by [`ARROWS`].
const FEATURES: &[&str] = &[
    "tracker",
    "swarm",
    "library",
    "player",
    "control",
    "content",
    "media",
    "discovery",
];
/// What stands above them.
const ABOVE: &[&str] = &["node", "peer", "daemon", "cli", "sim"];

/// Where the rooms meet: the program, the list of its rooms, and the door that
/// benches and fuzz targets come in by.
const ROOTS: &[&str] = &["main", "lib", "door"];

const TEST_ONLY: &str = "#[cfg(test)]";

struct Source {
    /// From `src` on.
    path: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    files.sort();
    let mut tests = Vec::new();
    let mut sources = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source is UTF-8");
        let code = code_of(&text);
        let path = file.strip_prefix(&src).expect("it is below src");
        let path = path.to_str().expect("sources have plain names").to_owned();
        tests.extend(test_modules(&path, &code));
        let code = without_tests(&code);
        sources.push(Source { path, code });
    }
    let is_test = |source: &Source| {
        let module = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        tests.iter().any(|test| is_in(module, test))
    };
    sources.retain(|source| !is_test(source));
    sources
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("sources can be read") {
        let path = entry.expect("sources can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The modules in files of their own that the code at `path` has for tests
/// only.
fn test_modules(path: &str, code: &str) -> Vec<String> {
    let whole = path.trim_end_matches(".rs");
    let dir = match whole.rsplit_once('/') {
        Some((dir, "mod")) => format!("{dir}/"),
        None if ROOTS.contains(&whole) => String::new(),
        _ => format!("{whole}/"),
    };
    let items = code.split(TEST_ONLY).skip(1);
    let declared = items.filter_map(|item| {
        let item = item
            .trim_start()
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub ");
        let (name, _) = item.strip_prefix("mod ")?.split_once(';')?;
        (!name.contains('{')).then(|| format!("{dir}{name}"))
    });
    declared.collect()
}

/// The code without comments, and with texts emptied; lines stay lines.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            'r' if is_raw(&code, rest) => {
                let hashes = rest[1..].bytes().take_while(|b| *b == b'#').count();
                let close = format!("\"{}", "#".repeat(hashes));
                let body = hashes + 2;
                rest[body..]
                    .find(&close)
                    .map_or(rest.len(), |end| body + end + close.len())
            }
            '"' => quoted_len(rest),
            // A quote as a character would look like a text's begin.
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\") => rest[3..].find('\'').map_or(1, |end| end + 4),
            _ => 0,
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
            rest = &rest[skipped..];
        }
    }
    code
}

fn is_raw(before: &str, rest: &str) -> bool {
    let in_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    (!in_word || before.ends_with('b')) && rest[1..].trim_start_matches('#').starts_with('"')
}

fn quoted_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    text.len()
}

/// The code without items under `#[cfg(test)]`, which end with a semicolon or
/// with their braces.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(TEST_ONLY) {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let mut depth = 0;
        let mut end = rest.len();
        for (n, byte) in rest.bytes().enumerate().skip(TEST_ONLY.len()) {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(byte, b';' | b'}') {
                end = n + 1;
                break;
            }
        }
        rest = &rest[end..];
    }
    kept + rest
}

/// The numbers of the lines that have `word` as a whole word.
fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let begins = !word.starts_with(is_part) || !line[..at].ends_with(is_part);
            let ends = !word.ends_with(is_part) || !line[at + word.len()..].starts_with(is_part);
            begins && ends
        })
    };
    let lines = code.lines().enumerate().filter(|(_, line)| whole(line));
    lines.map(|(n, _)| n + 1).collect()
}

/// The paths below `crate::` that the code names.
fn crate_paths(code: &str) -> Vec<String> {
    let code: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        expand("", &code[at + "crate::".len()..], &mut paths);
    }
    paths
}

/// Writes out the braces of a `use`: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand<'a>(prefix: &str, text: &'a str, paths: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    let end = text.find(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
    let (path, mut rest) = text.split_at(end.unwrap_or(text.len()));
    let path = format!("{prefix}{path}");
    if !(path.is_empty() || path.ends_with("::")) || !rest.starts_with('{') {
        paths.push(path);
        return rest;
    }
    loop {
        rest = expand(&path, &rest[1..], paths).trim_start();
        if !rest.starts_with(',') {
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        if let Some(after) = rest[1..].trim_start().strip_prefix('}') {
            return after;
        }
    }
}

fn is_in(path: &str, room: &str) -> bool {
    path.strip_prefix(room)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[test]
fn pure_rooms_are_pure() {
    let mut breaches = Vec::new();
    let mut seen = Vec::new();
    for source in sources() {
        let Some(room) = PURE.iter().find(|room| is_in(&source.path, room)) else {
            continue;
        };
        seen.push(*room);
        for (word, what) in IMPURE {
            let allowed = |(path, allowed, _): &(&str, &str, &str)| {
                (*path, *allowed) == (source.path.as_str(), *word)
            };
            if ALLOWED.iter().any(allowed) {
                continue;
            }
            for line in lines_with(&source.code, word) {
                breaches.push(format!("src/{}:{line}: {word}: {what}", source.path));
            }
        }
    }
    assert!(
        breaches.is_empty(),
        "pure rooms use\n{}",
        breaches.join("\n")
    );
    let missing: Vec<_> = PURE.iter().filter(|room| !seen.contains(room)).collect();
    assert!(
        missing.is_empty(),
        "these rooms are gone or have moved: {missing:?}"
    );
}

/// A clock that jumps by years changes a date on the screen, and nothing else.
#[test]
fn the_wall_clock_is_for_what_is_shown_only() {
    let mut breaches = Vec::new();
    let mut used = vec![false; WALL_CLOCK.len()];
    for source in sources() {
        for word in [
            "SystemTime::now",
            "chrono",
            "CLOCK_REALTIME",
            "OffsetDateTime",
        ] {
            let lines = lines_with(&source.code, word);
            match WALL_CLOCK.iter().position(|(path, _)| *path == source.path) {
                Some(known) => used[known] |= !lines.is_empty(),
                None => breaches.extend(
                    lines
                        .iter()
                        .map(|line| format!("src/{}:{line}", source.path)),
                ),
            }
        }
    }
    assert!(
        breaches.is_empty(),
        "what time it is decides in\n{}",
        breaches.join("\n")
    );
    let unused = WALL_CLOCK.iter().zip(used).filter(|(_, used)| !used);
    assert_eq!(
        unused.count(),
        0,
        "a file of {WALL_CLOCK:?} does not ask any more"
    );
}

#[test]
fn arrows_go_down_only() {
    let mut breaches = Vec::new();
    let mut used = vec![false; ARROWS.len()];
    for source in sources() {
        let room = source.path.split(['/', '.']).next().unwrap_or_default();
        if ABOVE.contains(&room) || ROOTS.contains(&room) {
            continue;
        }
        for path in crate_paths(&source.code) {
            let target = path.split("::").next().unwrap_or_default();
            let is_between = FEATURES.contains(&target) && target != room;
            if !is_between && !ABOVE.contains(&target) {
                continue;
            }
            let arrow = ARROWS.iter().position(|(from, to, _)| {
                let rest = path.strip_prefix(to);
                *from == room && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            });
            match arrow {
                Some(arrow) => used[arrow] = true,
                None => breaches.push(format!("src/{}: crate::{path}", source.path)),
            }
        }
    }
    breaches.dedup();
    assert!(
        breaches.is_empty(),
        "arrows against the floor plan\n{}",
        breaches.join("\n")
    );
    let unused: Vec<_> = ARROWS.iter().zip(used).filter(|(_, used)| !used).collect();
    assert!(unused.is_empty(), "nobody goes there any more: {unused:?}");
}

#[test]
fn a_breach_is_seen_and_a_test_or_a_text_is_none() {
    let code = r##"
        use std::{sync::Arc}; // a HashMap
        /* Instant::now */ const A: &str = "SystemTime \" Mutex"; const B: &str = r#"await"#;
        fn quote() -> char { '"' }
        fn f() { let m = HashMap::new(); MyMutex::new(); }
        #[cfg(test)]
        mod tests { fn g() { Instant::now(); } }
        #[cfg(test)]
        use std::thread;
        fn h() { x.await }
    "##;
    let code = without_tests(&code_of(code));
    for clean in [
        "Instant::now",
        "SystemTime",
        "Mutex",
        "thread::",
        "std::thread",
    ] {
        assert_eq!(lines_with(&code, clean), [0; 0], "{clean}");
    }
    assert_eq!(lines_with(&code, "HashMap"), [5]);
    assert_eq!(lines_with(&code, "await").len(), 1);
}

#[test]
fn a_use_is_written_out() {
    let paths = crate_paths("use crate::{a::{b, c::{d}}, e};\nlet x = crate::f::g();");
    assert_eq!(paths, ["a::b", "a::c::d", "e", "f::g"]);
}
