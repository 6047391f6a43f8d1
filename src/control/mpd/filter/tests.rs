use std::fmt;

use proptest::prelude::*;

use super::*;
use crate::{
    catalog::FoundTrackRef,
    command::song::SongRef,
    control::{
        fixture,
        mpd::{args::quote, dates::format_time},
    },
};

fn parse(words: &[&str], folded: bool) -> Result<Filter, Ack> {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    let mut args = Args::new("find", words);
    let filter = take_some(&mut args, folded)?;
    args.end().map(|()| filter)
}

fn titles(words: &[&str], folded: bool) -> Vec<String> {
    let filter = parse(words, folded).unwrap();
    let database = fixture::database();
    for whole in database.tracks() {
        let FoundTrackRef { member, no, .. } = whole;
        let listed = database.listed(member, no, filter.fields()).unwrap();
        let some = FoundTrackRef { listed, ..whole };
        let [whole, some] = [whole, some].map(|found| filter.matches(&found.into()));
        assert_eq!(whole, some, "{filter}");
    }
    let songs = database.tracks().map(SongRef::from);
    let found = songs.filter(|song| filter.matches(song));
    let mut titles: Vec<_> = found.map(|song| song.title().to_owned()).collect();
    titles.dedup();
    titles
}

#[test]
fn expressions_select_songs() {
    let cases: [(&str, &[&str]); 9] = [
        ("(Title == 'So What')", &["So What"]),
        ("(title == 'so what')", &[]),
        (
            "((artist == 'Miles Davis') AND (title contains 'Blue'))",
            &["Blue in Green"],
        ),
        (
            "((album starts_with 'Kind') AND (!(title == 'So What')))",
            &["Freddie Freeloader", "Blue in Green"],
        ),
        ("(base 'kitchen/sigur')", &["Svefn-g-englar"]),
        ("(base 'kitchen/sig')", &[]),
        ("(file == 'studio/what.mp3')", &["Whatever"]),
        (
            "((base 'studio') AND (AudioFormat == '44100:*:2') AND (title !contains 'a'))",
            &[],
        ),
        ("(modified-since '2030-01-01T00:00:00Z')", &[]),
    ];
    for (expression, expected) in cases {
        assert_eq!(titles(&[expression], false), expected, "{expression}");
    }
}

#[test]
fn a_search_folds_and_looks_for_parts() {
    assert_eq!(titles(&["artist", "sigur ros"], true), ["Svefn-g-englar"]);
    assert_eq!(
        titles(&["any", "BLUE", "any", "train"], true),
        ["Blue Train"]
    );
    assert_eq!(titles(&["(album == 'KIND of blue')"], true).len(), 4);
    assert_eq!(titles(&["artist", "Sigur"], false), [] as [&str; 0]);
    assert_eq!(titles(&["albumartist", "The Band"], false), ["Whatever"]);
    assert_eq!(titles(&["title", ""], false), ["untagged.wav"]);
}

#[test]
fn wrong_expressions_are_refused() {
    let deep = "(!".repeat(20) + "(title == 'x')" + &")".repeat(20);
    for bad in [
        "(",
        "()",
        "(title)",
        "(title == x)",
        "(title == 'x'",
        "(title == 'x') y",
        "(titel == 'x')",
        "((title == 'x') (title == 'y'))",
        "(title =~ 'x')",
        "(AudioFormat == '1:2')",
        "(modified-since 'x')",
        "(any == 'x\\')",
        &deep,
    ] {
        assert!(parse(&[bad], false).is_err(), "{bad}");
    }
}

fn first(database: &crate::catalog::Database) -> SongRef<'_> {
    database
        .tracks()
        .next()
        .expect("the kitchen has some")
        .into()
}

fn node() -> impl Strategy<Value = String> {
    let tag = prop::sample::select(vec!["Title", "any", "file", "Date"]);
    let operator = prop::sample::select(vec![
        "==",
        "!=",
        "contains",
        "!contains",
        "starts_with",
        "!starts_with",
    ]);
    let text = (tag, operator, ".*")
        .prop_map(|(tag, op, value)| format!("({tag} {op} {})", quote(&value)));
    let leaf = prop_oneof![
        4 => text,
        1 => Just("(base 'a/b')".to_owned()),
        1 => Just("(AudioFormat == '*:16:2')".to_owned()),
        1 => (0..2_000_000_000i64).prop_map(|time| format!("(modified-since '{time}')")),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|node| format!("(!{node})")),
            prop::collection::vec(inner, 2..4)
                .prop_map(|nodes| format!("({})", nodes.join(" AND "))),
        ]
    })
}

proptest! {
    #[test]
    fn under_a_directory_means_what_it_says(
        dir in "([ab]{1,2}(/[ab]{1,2}){0,2})?",
        name in "[ab]{1,2}",
        directory in "([ab]{1,2}(/[ab]{1,2}){0,3})?",
    ) {
        let database = fixture::database();
        let song = SongRef { owner: "a", dir: &dir, name: &name, ..first(&database) };
        let uri = song.uri();
        let is_under = directory.is_empty()
            || uri == directory
            || uri.starts_with(&format!("{directory}/"));
        prop_assert_eq!(Filter::base(&directory).matches(&song), is_under, "{}", uri);
    }

    #[test]
    fn an_expression_comes_back_as_itself(expression in node(), folded: bool) {
        let filter = parse(&[&expression], folded).unwrap();
        prop_assert_eq!(parse(&[&filter.to_string()], folded).unwrap(), filter);
    }

    #[test]
    fn anything_is_parsed_or_refused(text in "\\(?[()!='\" a-zA-Z0-9:\\\\]*", folded: bool) {
        let _ = parse(&[&text], folded);
    }
}

impl fmt::Display for Filter {
    /// The filter as an expression, which parses to the same again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl fmt::Display for FilterNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(nodes) => {
                f.write_str("(")?;
                for (n, node) in nodes.iter().enumerate() {
                    let and = if n > 0 { " AND " } else { "" };
                    write!(f, "{and}{node}")?;
                }
                f.write_str(")")
            }
            Self::Not(node) => write!(f, "(!{node})"),
            Self::Text {
                field,
                how,
                negated,
                value,
            } => {
                let operator = match (how, negated) {
                    (How::Equals, false) => "==",
                    (How::Equals, true) => "!=",
                    (How::Contains, false) => "contains",
                    (How::Contains, true) => "!contains",
                    (How::StartsWith, false) => "starts_with",
                    (How::StartsWith, true) => "!starts_with",
                };
                let field = match field {
                    FilterField::Tag(tag) => tag.name(),
                    FilterField::Any => "any",
                    FilterField::File => "file",
                };
                write!(f, "({field} {operator} {})", quote(value))
            }
            Self::Base(directory) => write!(f, "(base {})", quote(directory)),
            Self::ModifiedSince(time) => write!(f, "(modified-since '{}')", format_time(*time)),
            Self::AudioFormat(parts) => {
                let part = |n: usize| parts[n].map_or("*".to_owned(), |part| part.to_string());
                write!(f, "(AudioFormat == '{}:{}:{}')", part(0), part(1), part(2))
            }
        }
    }
}
