//! Which of the members that show a code is meant.

use std::{
    collections::BTreeMap,
    net::{Ipv6Addr, SocketAddr},
};

use crate::cli::args::PAIRING_PORT;

/// Why none is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMember {
    #[error(
        "no speaker near shows a code. Run `sudo p2pmusic pair` on one that is in the swarm, and \
         then this again; where that is not found (multicast), `--at` its name or address"
    )]
    Nobody,
    #[error("several speakers show a code: {0}; which one, says `--member NAME` or `--at HOST`")]
    Several(String),
    #[error("no speaker that is called {wanted:?} shows a code, but {there}")]
    NotThere { wanted: String, there: String },
}

/// How it is found out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WhichMember {
    /// It is called so.
    Named(String),
    /// A person says it, asked this.
    Asked(String),
}

/// Which of `members` is meant: the one that is `wanted`, the only one, or what a person at the
/// terminal says.
///
/// # Errors
/// When there is none, or are several and nobody to ask.
pub(super) fn which(
    members: &BTreeMap<String, Vec<SocketAddr>>,
    wanted: Option<&str>,
    has_person: bool,
) -> Result<WhichMember, NoMember> {
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    match (wanted, names.as_slice()) {
        (_, []) => Err(NoMember::Nobody),
        (Some(wanted), _) => Ok(WhichMember::Named(wanted.to_owned())),
        (None, [one]) => Ok(WhichMember::Named((*one).to_owned())),
        (None, _) if !has_person => Err(NoMember::Several(names.join(", "))),
        (None, _) => Ok(WhichMember::Asked(format!(
            "Several speakers show a code: {}\nWhich one? ",
            names.join(", ")
        ))),
    }
}

/// The addresses of the one that is called as in `choice`.
///
/// # Errors
/// When none is called so, or several are.
pub(super) fn named(
    members: &BTreeMap<String, Vec<SocketAddr>>,
    choice: &str,
) -> Result<Vec<SocketAddr>, NoMember> {
    let there = || members.keys().cloned().collect::<Vec<_>>().join(", ");
    let wanted = choice.trim().to_lowercase();
    // What is announced is the name and the beginning of an id.
    let is_it =
        |name: &str| name == wanted || name.rsplit_once(' ').is_some_and(|(n, _)| n == wanted);
    let mut fitting = members.iter().filter(|(name, _)| is_it(name));
    match (fitting.next(), fitting.next()) {
        (Some((_, at)), None) => Ok(at.clone()),
        (Some(_), Some(_)) => Err(NoMember::Several(there())),
        (None, _) => Err(NoMember::NotThere {
            wanted,
            there: there(),
        }),
    }
}

/// `at` with the port of pairings where it has none.
pub(super) fn with_port(at: &str) -> String {
    let bare = at.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<Ipv6Addr>().is_ok() {
        return format!("[{bare}]:{PAIRING_PORT}");
    }
    match at.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => at.into(),
        _ => format!("{at}:{PAIRING_PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_asked_only_where_several_are_and_none_is_wanted() {
        let members = |names: &[&str]| {
            let members = names.iter().map(|name| ((*name).to_owned(), Vec::new()));
            members.collect::<BTreeMap<_, _>>()
        };
        let (none, one, two) = (
            members(&[]),
            members(&["attic 01"]),
            members(&["attic 01", "den 02"]),
        );
        let is_named = |name: &str| Ok(WhichMember::Named(name.to_owned()));
        for (members, wanted, has_person, expected) in [
            (&none, Some("attic"), true, Err(NoMember::Nobody)),
            (&one, None, false, is_named("attic 01")),
            (&one, Some("den"), true, is_named("den")),
            (&two, Some("den"), false, is_named("den")),
            (
                &two,
                None,
                false,
                Err(NoMember::Several("attic 01, den 02".into())),
            ),
        ] {
            assert_eq!(which(members, wanted, has_person), expected, "{wanted:?}");
        }
        let asked = which(&two, None, true);
        assert!(
            matches!(asked, Ok(WhichMember::Asked(question)) if question.contains("attic 01, den 02"))
        );
        let not_there = named(&two, " Cellar\n");
        assert_eq!(
            not_there.map_err(|why| why.to_string()),
            Err(
                "no speaker that is called \"cellar\" shows a code, but attic 01, den 02"
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_host_alone_is_asked_at_the_port_of_pairings() {
        for (at, expected) in [
            ("kitchen.local", "kitchen.local:4671"),
            ("10.0.0.7:99", "10.0.0.7:99"),
            ("fd00::7", "[fd00::7]:4671"),
            ("[fd00::7]", "[fd00::7]:4671"),
            ("[fd00::7]:99", "[fd00::7]:99"),
        ] {
            assert_eq!(with_port(at), expected);
        }
    }
}
