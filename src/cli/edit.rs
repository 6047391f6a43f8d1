//! A change of the configuration's text that keeps all else in it: a person's keys and
//! comments, and the sample's explanations above what is set.
//!
//! Lines are changed without knowing all of TOML; so what comes out is read again, and
//! counts only if it says what the old text said but for the one key.

use toml::{Table, Value};

/// `text` with `value` as `key` of `table`, which is "" for what stands before all tables.
/// `None` where it is written in a way in which only a person can change it.
pub fn set(text: &str, table: &str, key: &str, value: Value) -> Option<String> {
    let wanted = wanted(text, table, key, &value)?;
    let lines: Vec<&str> = text.lines().collect();
    let line = |key: &str| format!("{key} = {value}");
    let region = region(&lines, table);
    let mut drafts = Vec::new();
    if let Some((first, end)) = region {
        drafts.extend(instead_of_key(&lines, (first, end), key, &line(key)));
        drafts.extend(instead_of_sample(&lines, (first, end), key, &line(key)));
        // A key may not stand behind a table below it, nor in the midst of a list.
        drafts.push(replaced(&lines, first..first, &line(key)));
    }
    if !table.is_empty() {
        let (dotted, before_tables) = (format!("{table}.{key}"), self::region(&lines, "")?);
        drafts.extend(instead_of_key(
            &lines,
            before_tables,
            &dotted,
            &line(&dotted),
        ));
        let gap = if lines.is_empty() { "" } else { "\n" };
        let header = format!("{gap}[{table}]\n{}", line(key));
        drafts.push(replaced(&lines, lines.len()..lines.len(), &header));
        drafts.push(replaced(
            &lines,
            before_tables.0..before_tables.0,
            &line(&dotted),
        ));
    }
    drafts
        .into_iter()
        .find(|draft| draft.parse().is_ok_and(|said: Table| said == wanted))
}

/// What the text says, with the change.
fn wanted(text: &str, table: &str, key: &str, value: &Value) -> Option<Table> {
    let mut said: Table = text.parse().ok()?;
    let place = match table {
        "" => &mut said,
        _ => said
            .entry(table)
            .or_insert_with(|| Table::new().into())
            .as_table_mut()?,
    };
    place.insert(key.to_owned(), value.clone());
    Some(said)
}

/// The lines of a table behind its header, as far as they can be told without parsing.
fn region(lines: &[&str], table: &str) -> Option<(usize, usize)> {
    let header = |line: &&str| {
        let rest = line.trim_start().strip_prefix('[')?;
        Some(rest.split(']').next()?.trim().to_owned())
    };
    let first = match table {
        "" => 0,
        _ => {
            1 + lines
                .iter()
                .position(|line| header(line).as_deref() == Some(table))?
        }
    };
    let length = lines[first..]
        .iter()
        .position(|line| header(line).is_some());
    Some((first, length.map_or(lines.len(), |length| first + length)))
}

/// The key's line replaced, and as many behind it as its value may go on for.
fn instead_of_key(
    lines: &[&str],
    (first, end): (usize, usize),
    key: &str,
    line: &str,
) -> Vec<String> {
    let is_key = |line: &&str| is_assignment(line, key);
    let Some(at) = lines[first..end].iter().position(is_key) else {
        return Vec::new();
    };
    let at = first + at;
    let longest = (at + MAX_VALUE_LINES).min(lines.len());
    (at + 1..=longest)
        .map(|end| replaced(lines, at..end, line))
        .collect()
}

/// The place where the shipped file shows what holds unless the key is set. What a person
/// has put behind a `#` stays.
fn instead_of_sample(
    lines: &[&str],
    (first, end): (usize, usize),
    key: &str,
    line: &str,
) -> Option<String> {
    let is_sample = |line: &&str| {
        let bare = line.strip_prefix('#');
        bare.is_some_and(|bare| is_assignment(bare, key))
    };
    let at = first + lines[first..end].iter().position(is_sample)?;
    let is_shipped = SAMPLE.lines().any(|shipped| shipped == lines[at]);
    Some(match is_shipped {
        true => replaced(lines, at..at + 1, line),
        false => replaced(lines, at + 1..at + 1, line),
    })
}

fn is_assignment(line: &str, key: &str) -> bool {
    let rest = line.trim_start().strip_prefix(key);
    rest.is_some_and(|rest| rest.trim_start().starts_with('='))
}

fn replaced(lines: &[&str], range: std::ops::Range<usize>, by: &str) -> String {
    let mut lines = lines.to_vec();
    lines.splice(range, [by]);
    lines.join("\n") + "\n"
}

/// What is shipped as `/etc/p2pmusic.toml`.
pub const SAMPLE: &str = include_str!("../../etc/p2pmusic.toml");

/// A list of directories that a person wrote one a line; each length is tried.
const MAX_VALUE_LINES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn music() -> Value {
        Value::from(vec!["/srv/music"])
    }

    #[test]
    fn the_samples_own_line_is_used() {
        let mut text = SAMPLE.to_owned();
        for (table, key, value) in [
            ("", "role", "both".into()),
            ("", "name", "kitchen".into()),
            ("swarm", "key_file", "/etc/p2pmusic.key".into()),
            ("peer", "music", music()),
        ] {
            text = set(&text, table, key, value).unwrap();
        }
        let changed: Vec<(&str, &str)> = SAMPLE
            .lines()
            .zip(text.lines())
            .filter(|(before, after)| before != after)
            .collect();
        assert_eq!(
            changed,
            [
                ("#role = \"peer\"", "role = \"both\""),
                ("#name = \"kitchen\"", "name = \"kitchen\""),
                (
                    "#key_file = \"/etc/p2pmusic.key\"",
                    "key_file = \"/etc/p2pmusic.key\""
                ),
                ("#music = [\"/srv/music\"]", "music = [\"/srv/music\"]"),
            ]
        );
        assert_eq!(SAMPLE.lines().count(), text.lines().count());
        // Once more changes that one line again.
        let again = set(&text, "", "role", "peer".into()).unwrap();
        assert_eq!(again.lines().count(), text.lines().count());
    }

    #[test]
    fn what_a_person_wrote_stays() {
        for (before, after) in [
            ("", "[peer]\nmusic = [\"/srv/music\"]\n"),
            (
                "# mine\n[peer]\n#music = [\"/old\"] my old one\nlisten = \"[::]:4680\"\n",
                "# mine\n[peer]\n#music = [\"/old\"] my old one\nmusic = [\"/srv/music\"]\nlisten = \"[::]:4680\"\n",
            ),
            (
                "[peer]\nmusic = [\n  \"/a\", # the first\n  \"/b\"]\nadvertise = false\n[log]\nlevel = \"off\"",
                "[peer]\nmusic = [\"/srv/music\"]\nadvertise = false\n[log]\nlevel = \"off\"\n",
            ),
            ("peer.music = []\n", "peer.music = [\"/srv/music\"]\n"),
            (
                "peer.listen = \"[::]:1\"\n",
                "peer.music = [\"/srv/music\"]\npeer.listen = \"[::]:1\"\n",
            ),
            (
                "[ peer ] # here\n[log]\n",
                "[ peer ] # here\nmusic = [\"/srv/music\"]\n[log]\n",
            ),
            (
                "role = \"both\"",
                "role = \"both\"\n\n[peer]\nmusic = [\"/srv/music\"]\n",
            ),
        ] {
            assert_eq!(set(before, "peer", "music", music()).as_deref(), Some(after));
        }
        assert_eq!(
            set("[log]\nname = 1\n", "", "name", "x".into()).as_deref(),
            Some("name = \"x\"\n[log]\nname = 1\n")
        );
    }

    #[test]
    fn what_only_a_person_can_change_is_left_alone() {
        for text in ["peer = { listen = \"[::]:1\" }\n", "no toml at all"] {
            assert_eq!(set(text, "peer", "music", music()), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_other_key_is_ever_changed(
            at: usize, cut: usize, noise in "[\\[\\]#=\"'a-z. \n]{0,20}", name in ".{1,20}",
        ) {
            let at = (0..=at % SAMPLE.len()).rev().find(|at| SAMPLE.is_char_boundary(*at));
            let at = at.unwrap_or(0);
            let end = (at + cut % 60).min(SAMPLE.len());
            let text = format!("{}{noise}{}", &SAMPLE[..at], SAMPLE.get(end..).unwrap_or(""));
            if let Some(changed) = set(&text, "", "name", name.as_str().into()) {
                let mut before: Table = text.parse().unwrap();
                let mut after: Table = changed.parse().unwrap();
                proptest::prop_assert_eq!(after.remove("name"), Some(name.into()));
                before.remove("name");
                proptest::prop_assert_eq!(before, after);
            }
        }
    }
}
