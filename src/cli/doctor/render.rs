//! The report, for people and for scripts. Pure.

use std::fmt::Write as _;

use serde_json::{json, Value};

use super::{
    facts::{DoctorFacts, Machine},
    findings::{size, Finding, Level},
};
use crate::unseen::one_line;

/// For people: what machine it is, a line for each check, and below a finding what mends
/// it.
pub fn text(facts: &DoctorFacts, findings: &[Finding]) -> String {
    let mut text = String::new();
    for (name, value) in head(facts) {
        _ = writeln!(text, "{name:<9} {}", without_secrets(&value));
    }
    text.push('\n');
    for finding in findings {
        let Finding {
            check,
            level,
            seen,
            mend,
        } = finding;
        _ = writeln!(
            text,
            "{:<5} {check:<9} {}",
            level.word(),
            without_secrets(seen)
        );
        for how in mend {
            _ = writeln!(text, "                  {}", without_secrets(how));
        }
    }
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    let (wrong, notes) = (count(Level::Wrong), count(Level::Note));
    let verdict = match wrong {
        0 => "nothing is wrong".to_owned(),
        1 => "one thing is wrong".to_owned(),
        many => format!("{many} things are wrong"),
    };
    let notes = match notes {
        0 => String::new(),
        1 => ", one note".to_owned(),
        many => format!(", {many} notes"),
    };
    _ = writeln!(text, "\n{verdict}{notes}");
    text
}

/// For scripts.
pub fn json(facts: &DoctorFacts, findings: &[Finding]) -> String {
    let rows = findings.iter().map(|finding| {
        let mend: Vec<_> = finding
            .mend
            .iter()
            .map(|how| without_secrets(how))
            .collect();
        json!({
            "check": finding.check,
            "level": finding.level.word(),
            "seen": without_secrets(&finding.seen),
            "mend": mend,
        })
    });
    let rows: Vec<Value> = rows.collect();
    let head = head(facts).into_iter();
    let head = head.map(|(name, value)| (name.to_owned(), without_secrets(&value).into()));
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    let all = json!({
        "machine": Value::Object(head.collect()),
        "wrong": count(Level::Wrong),
        "notes": count(Level::Note),
        "checks": rows,
    });
    format!("{all:#}\n")
}

fn head(facts: &DoctorFacts) -> Vec<(&'static str, String)> {
    let Machine {
        model,
        kernel,
        system,
        architecture,
        cores,
        aes,
        ..
    } = &facts.machine;
    let memory = facts.machine.memory.map_or("unknown".into(), size);
    let aes = match aes {
        Some(true) => ", AES",
        Some(false) => ", no AES",
        None => "",
    };
    let cores = match cores {
        1 => "1 core".to_owned(),
        many => format!("{many} cores"),
    };
    let sees_more = match facts.looker.is_root() {
        true => "",
        false => "; `sudo p2pmusic doctor` sees more",
    };
    vec![
        ("p2pmusic", env!("CARGO_PKG_VERSION").to_owned()),
        ("machine", model.clone().unwrap_or_else(|| "unknown".into())),
        ("cpu", format!("{architecture}, {cores}{aes}")),
        ("memory", memory),
        ("system", format!("{system}, Linux {kernel}")),
        ("looks as", format!("{}{sees_more}", facts.looker.name)),
        ("runs as", facts.runner.name.clone()),
    ]
}

/// The last line of defence, for a report that is pasted in public: whatever looks like
/// a key of a swarm or of a node is not shown, wherever it comes from. Characters that
/// nobody sees, which names on the network may have, do not reach the terminal.
fn without_secrets(text: &str) -> String {
    let mut clean = one_line(text);
    for prefix in ["p2pm1-", "p2pid1-"] {
        let mut from = 0;
        while let Some(found) = clean[from..].to_ascii_lowercase().find(prefix) {
            let begin = from + found + prefix.len();
            let end = clean[begin..].find(|c: char| !c.is_ascii_alphanumeric());
            let end = end.map_or(clean.len(), |end| begin + end);
            clean.replace_range(begin..end, HIDDEN);
            from = begin + HIDDEN.len();
        }
    }
    clean
}

const HIDDEN: &str = "(not shown)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_gets_through() {
        let key = crate::identity::new_key().unwrap().to_string();
        for text in [
            key.clone(),
            format!("a {key}, {key}\u{1b}[2J"),
            format!("é{}", key.to_ascii_uppercase()),
            "p2pid1-0123".into(),
        ] {
            let shown = without_secrets(&text);
            assert!(!shown.to_ascii_uppercase().contains(&key[6..]), "{shown}");
            assert!(
                shown.contains(HIDDEN) && !shown.contains('\u{1b}'),
                "{shown}"
            );
        }
        assert_eq!(
            without_secrets("p2pm1- is how a key begins"),
            "p2pm1-(not shown) is how a key begins"
        );
        assert_eq!(without_secrets("nothing"), "nothing");
    }
}
