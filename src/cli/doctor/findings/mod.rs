//! What the facts mean, and what to do about it. Pure.
//!
//! Every check gives at least one line, so that a report also tells what was not the
//! matter, unless the node itself says what is. A cause counts once. What a check could not
//! see, since its user may not, is a note; what did not come back in time is wrong, since
//! the node would wait there, too.

mod files;
mod machine;
mod network;
mod settings;
mod sound;

use super::facts::DoctorFacts;

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub check: &'static str,
    pub level: Level,
    /// What was seen.
    pub seen: String,
    /// What mends it: commands, or what to do by hand.
    pub mend: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    /// Worth knowing; may be meant.
    Note,
    /// Something does not work, or will not for long.
    Wrong,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Wrong => "wrong",
        }
    }
}

impl Finding {
    fn new(check: &'static str, level: Level, seen: impl Into<String>) -> Self {
        Self {
            check,
            level,
            seen: seen.into(),
            mend: Vec::new(),
        }
    }

    fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Level::Ok, seen)
    }

    fn note(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Level::Note, seen)
    }

    fn wrong(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Level::Wrong, seen)
    }

    /// A look that did not come back, and what to try.
    fn hangs(check: &'static str, what: &str, how: impl Into<String>) -> Self {
        Self::wrong(
            check,
            format!("{what} did not answer in time: it hangs, or is very slow"),
        )
        .mended_by(how)
    }

    fn mended_by(mut self, how: impl Into<String>) -> Self {
        self.mend.push(how.into());
        self
    }
}

/// All that there is to say.
#[cold]
pub fn examine(facts: &DoctorFacts) -> Vec<Finding> {
    let mut findings = settings::config(facts);
    findings.extend(settings::unit(facts));
    findings.extend(settings::node(facts));
    if facts.config.is_known() {
        findings.extend(configured(facts));
    }
    if facts.config.config.role.is_peer() {
        findings.extend(sound::mixer(facts));
    }
    findings.extend(network::interfaces(facts));
    findings.extend(network::multicast(facts));
    findings.extend(network::trackers(facts));
    findings.extend(network::firewall(facts));
    findings.extend(machine::power(facts));
    findings.extend(machine::memory(facts));
    findings.extend(machine::buffers(facts));
    findings.extend(machine::clock(facts));
    let seen: Vec<Finding> = findings
        .iter()
        .filter(|f| f.level == Level::Wrong)
        .cloned()
        .collect();
    findings.retain(|finding| !is_said_better(finding, &seen));
    findings
}

/// Whether a problem that the node tells of is among what was `seen` to be wrong: that has
/// what mends it, and counts once.
fn is_said_better(finding: &Finding, seen: &[Finding]) -> bool {
    let Finding {
        check,
        level,
        seen: problem,
        ..
    } = finding;
    let path = problem
        .split([':', ' '])
        .next()
        .filter(|word| word.starts_with('/'));
    *check == "node"
        && *level == Level::Wrong
        && seen.iter().any(|other| match other.check {
            "music" | "cache" | "state" | "key" => {
                path.is_some_and(|path| other.seen.contains(path))
            }
            "network" if problem.contains("(MTU)") => other.seen.contains("(MTU)"),
            "network" => problem.starts_with("no network"),
            "tracker" => problem.starts_with("no tracker"),
            _ => false,
        })
}

/// What there is to say only of a node whose configuration is known.
fn configured(facts: &DoctorFacts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = settings::name(facts).into_iter().collect();
    findings.extend(files::key(facts));
    findings.extend(files::state(facts));
    if facts.config.config.role.is_peer() {
        findings.extend(files::cache(facts));
        findings.extend(files::music(facts));
        findings.extend(sound::device(facts));
        findings.extend(sound::volume(facts));
    }
    findings.extend(network::ports(facts));
    findings
}

/// So many of a thing, as people say it.
fn several(count: u64, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        _ => format!("{count} {thing}s"),
    }
}

/// Bytes as people say them.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, word)) if bytes < 10 * unit => {
            let tenths = bytes.saturating_mul(10) / unit;
            format!("{}.{} {word}", tenths / 10, tenths % 10)
        }
        Some((unit, word)) => format!("{} {word}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

/// For files that hang.
const DISK: &str = "mount; dmesg | tail    # is its disk failing, or its server off?";

#[cfg(test)]
mod tests;
