//! What somebody means who types a few words.
//!
//! A path is what lies there: that track, or all of that directory. Words mean an artist, an
//! album, a directory or a track whose name they are, or else in whose name they all are; the
//! album's and the track's artist help there. Of several, that counts most in which the words
//! stand as whole words, then as beginnings, then as parts; among equals an artist comes before
//! an album, an album before a directory, and a directory before a track, unless that is exactly
//! its name; then the one whose name has the fewest words, then the one with most tracks. Case
//! and accents make no difference.
//!
//! An artist, an album and a directory are meant as a whole and in their order, a track by
//! itself. Only what is as good as the best so far is kept, and of a track its place only.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{path_key, Look, Spot, Stage, Then};
use crate::{
    catalog::Database,
    control::mpd::{
        args::{Ack, AckCode},
        command::Placing,
        song::Song,
        text::{fold, fold_into},
    },
};

/// The best match so far.
#[derive(Debug)]
pub(super) struct Best {
    /// As typed.
    text: String,
    phrase: String,
    words: Vec<String>,
    placing: Placing,
    /// What lies at or under the path that was typed.
    path: Vec<Spot>,
    /// The path of the track that is looked at.
    uri: String,
    /// How well those match that are kept.
    rank: Option<Rank>,
    /// By what they have in common.
    groups: BTreeMap<String, Group>,
    track: Option<(Fullness, Spot)>,
    buffer: Folded,
}

/// How good a match is; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    fit: Fit,
    kind: Kind,
}

/// How the words are in a text; that of several is that of the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Part,
    Beginning,
    Word,
    /// They are all of it.
    Exact,
}

/// What matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Track,
    Directory,
    Album,
    Artist,
}

/// What the words are of a name: the fields that they are in, and the shorter the better.
type Fullness = (u32, Reverse<usize>);

/// The tracks of an artist, an album or a directory.
#[derive(Debug)]
struct Group {
    /// Of its name.
    words: usize,
    spots: Vec<Spot>,
}

/// The texts of the track that is looked at, without case and accents.
#[derive(Debug, Default)]
struct Folded {
    title: String,
    artist: Shared,
    album_artist: Shared,
    album: Shared,
    /// With the owner, without the file's name.
    dir: Shared,
    path: String,
}

/// A text that many tracks in a row have.
#[derive(Debug, Default)]
struct Shared {
    plain: String,
    folded: String,
}

impl Shared {
    fn fill(&mut self, text: &str) {
        if self.plain != text {
            text.clone_into(&mut self.plain);
            fold_into(text, &mut self.folded);
        }
    }
}

impl Folded {
    fn fill(&mut self, song: &Song<'_>, uri: &str) {
        let tags = song.tags;
        self.artist.fill(tags.artist.unwrap_or_default());
        self.album_artist
            .fill(tags.album_artist.unwrap_or_default());
        self.album.fill(tags.album.unwrap_or_default());
        let dir = uri.len() - song.name.len();
        self.dir.fill(uri[..dir].trim_end_matches('/'));
        fold_into(song.name, &mut self.title);
        self.path.clone_from(&self.dir.folded);
        self.path.push('/');
        self.path.push_str(&self.title);
        fold_into(
            tags.title.unwrap_or_else(|| stem(song.name)),
            &mut self.title,
        );
    }
}

impl Best {
    pub fn new(text: &str, placing: Placing) -> Self {
        let words: Vec<_> = fold(text).split_whitespace().map(str::to_owned).collect();
        Self {
            text: text.trim_matches('/').to_owned(),
            phrase: words.join(" "),
            words,
            placing,
            path: Vec::new(),
            uri: String::new(),
            rank: None,
            groups: BTreeMap::new(),
            track: None,
            buffer: Folded::default(),
        }
    }

    pub fn look(&mut self, song: &Song<'_>, spot: Spot) -> Look {
        song.uri_into(&mut self.uri);
        if self.uri == self.text {
            self.path = vec![spot];
            return Look::Enough;
        }
        let under = self.uri.strip_prefix(self.text.as_str());
        if under.is_some_and(|rest| rest.starts_with('/')) {
            self.path.push(spot);
        }
        // A path is never meant as words.
        if self.words.is_empty() || !self.path.is_empty() {
            return Look::Further;
        }
        let mut folded = std::mem::take(&mut self.buffer);
        folded.fill(song, &self.uri);
        self.look_at_artist(&folded, spot);
        self.look_at_album(&folded, song, spot);
        self.look_at_directories(&folded, spot);
        self.look_at_track(&folded, spot);
        self.buffer = folded;
        Look::Further
    }

    fn look_at_artist(&mut self, folded: &Folded, spot: Spot) {
        let names = [&folded.album_artist.folded, &folded.artist.folded];
        let fits = names.map(|name| Some((self.fit(&[name], name)?, name)));
        if let Some((fit, name)) = fits.into_iter().flatten().max_by_key(|(fit, _)| *fit) {
            self.join(fit, Kind::Artist, || name.clone(), name, spot);
        }
    }

    fn look_at_album(&mut self, folded: &Folded, song: &Song<'_>, spot: Spot) {
        let [album, artist] = [&folded.album, &folded.artist].map(|text| &*text.folded);
        let [album_artist, dir] = [&folded.album_artist, &folded.dir].map(|text| &*text.folded);
        let Some(fit) = self.fit(&[album, artist, album_artist], album) else {
            return;
        };
        // Without an artist of its own, an album is what lies together: a sampler has many.
        let key = || match song.tags.album_artist {
            Some(_) => format!("{album}\0{album_artist}"),
            None => format!("{album}\0\0{}", without_disc(dir)),
        };
        self.join(fit, Kind::Album, key, album, spot);
    }

    /// The uppermost directory, but its owner's whole library, that the words name.
    fn look_at_directories(&mut self, folded: &Folded, spot: Spot) {
        let dir = &*folded.dir.folded;
        if self.fit(&[dir], dir).is_none() {
            return;
        }
        let mut begin = dir.find('/').map_or(dir.len(), |at| at + 1);
        while begin < dir.len() {
            let end = dir[begin..].find('/').map_or(dir.len(), |at| begin + at);
            let name = &dir[begin..end];
            if let Some(fit) = self.fit(&[&dir[..end]], name) {
                let path = || dir[..end].to_owned();
                // Somebody's directory of that name is less than all of an artist's music.
                let fit = fit.min(Fit::Word);
                return self.join(fit, Kind::Directory, path, name, spot);
            }
            begin = end + 1;
        }
    }

    fn look_at_track(&mut self, folded: &Folded, spot: Spot) {
        let title = &folded.title;
        let [artist, album] = [&folded.artist, &folded.album].map(|text| &*text.folded);
        let texts = [title, artist, album, &folded.path];
        let fit = match self.fit(&texts, title) {
            Some(fit) => fit,
            // No word is of the title: it is no more than one of those that have the words.
            None if self.words_fit(&texts).is_some() => Fit::Part,
            None => return,
        };
        if !self.admits(Rank {
            fit,
            kind: Kind::Track,
        }) {
            return;
        }
        let fullness = (self.weight(&texts), Reverse(title.len()));
        if self.track.is_none_or(|(best, _)| fullness > best) {
            self.track = Some((fullness, spot));
        }
    }

    /// How the words are in `texts` together, at least one of them in `name`; exact when they
    /// are all of that.
    fn fit(&self, texts: &[&str], name: &str) -> Option<Fit> {
        if *name == self.phrase {
            return Some(Fit::Exact);
        }
        let is_named = self.words.iter().any(|word| name.contains(word.as_str()));
        is_named.then(|| self.words_fit(texts)).flatten()
    }

    fn words_fit(&self, texts: &[&str]) -> Option<Fit> {
        let of_word = |word: &String| texts.iter().filter_map(|text| occurrence(text, word)).max();
        let mut worst = Fit::Word;
        for word in &self.words {
            worst = worst.min(of_word(word)?);
        }
        Some(worst)
    }

    /// A title counts more than an artist, that more than an album, and that more than a path.
    fn weight(&self, texts: &[&str]) -> u32 {
        let of_word = |word: &String| {
            let weights = texts.iter().zip(FIELD_WEIGHTS);
            let found =
                weights.filter_map(|(text, weight)| Some((occurrence(text, word)?, weight)));
            let scores = found.map(|(fit, weight)| match fit {
                Fit::Part => weight,
                Fit::Beginning => 2 * weight,
                Fit::Word | Fit::Exact => 4 * weight,
            });
            scores.max().unwrap_or(0)
        };
        self.words.iter().map(of_word).sum()
    }

    /// Whether something of that rank is to be kept; what is worse is forgotten.
    fn admits(&mut self, rank: Rank) -> bool {
        if self.rank.is_none_or(|best| rank > best) {
            self.rank = Some(rank);
            self.groups.clear();
            self.track = None;
        }
        self.rank == Some(rank)
    }

    fn join(&mut self, fit: Fit, kind: Kind, key: impl FnOnce() -> String, name: &str, spot: Spot) {
        if self.admits(Rank { fit, kind }) {
            let group = self.groups.entry(key()).or_insert_with(|| Group {
                words: name.split_whitespace().count(),
                spots: Vec::new(),
            });
            group.spots.push(spot);
        }
    }

    pub fn end(self, database: &Database) -> Stage {
        let insert = |spots, what: &str| {
            let what = what.to_owned();
            Stage::Insert(spots, None, Then::Play(what, self.placing))
        };
        match (&self.path[..], self.rank.map(|rank| rank.kind)) {
            ([spot], _) if is_at(*spot, &self.text, database) => insert(vec![*spot], "track"),
            ([_, ..], _) => insert(in_order(self.path, Kind::Directory, database), "directory"),
            ([], Some(Kind::Track)) => match self.track {
                Some((_, spot)) => insert(vec![spot], "track"),
                None => Stage::Fail(nothing_like(&self.text)),
            },
            ([], Some(kind)) => {
                let what = match kind {
                    Kind::Artist => "artist",
                    Kind::Album => "album",
                    Kind::Directory | Kind::Track => "directory",
                };
                let fullest = self.groups.into_iter().max_by_key(|(key, group)| {
                    let words = Reverse(group.words);
                    (words, group.spots.len(), Reverse(key.clone()))
                });
                let spots = fullest.map(|(_, group)| group.spots).unwrap_or_default();
                insert(in_order(spots, kind, database), what)
            }
            ([], None) => Stage::Fail(nothing_like(&self.text)),
        }
    }
}

/// How well `word` is in `text`, by where it stands best.
fn occurrence(text: &str, word: &str) -> Option<Fit> {
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let fits = text.match_indices(word).map(|(at, _)| {
        let starts = !is_part(text[..at].chars().next_back());
        let ends = !is_part(text[at + word.len()..].chars().next());
        match (starts, ends) {
            (true, true) => Fit::Word,
            (true, false) => Fit::Beginning,
            _ => Fit::Part,
        }
    });
    fits.max()
}

/// The tracks of a group by album, disc and number, or as they lie there; the same song of
/// another peer is not wanted twice.
fn in_order(spots: Vec<Spot>, kind: Kind, database: &Database) -> Vec<Spot> {
    let mut seen = BTreeSet::new();
    let mut sorted = BTreeMap::new();
    for spot in spots {
        let Some(found) = spot.find(database) else {
            continue;
        };
        let song = Song::from(found);
        let tags = song.tags;
        let album = match kind {
            Kind::Artist => {
                let date = tags.date.unwrap_or_default();
                format!("{date}\0{}", fold(tags.album.unwrap_or_default()))
            }
            _ => String::new(),
        };
        let (disc, number) = match kind {
            Kind::Directory | Kind::Track => (0, 0),
            Kind::Album | Kind::Artist => (tags.disc.unwrap_or(0), tags.track.unwrap_or(0)),
        };
        let is_new = match kind {
            Kind::Directory | Kind::Track => true,
            _ => seen.insert((album.clone(), disc, number, fold(song.title()))),
        };
        if is_new {
            sorted.insert((album, disc, number, path_key(&song)), spot);
        }
    }
    sorted.into_values().collect()
}

/// Whether the track itself lies at `uri`.
fn is_at(spot: Spot, uri: &str, database: &Database) -> bool {
    let song = spot.find(database).map(Song::from);
    song.is_some_and(|song| song.uri() == uri)
}

fn nothing_like(text: &str) -> Ack {
    let text = format!("nobody who is here has anything like {text:?}");
    Ack::new(AckCode::NoExist, text)
}

/// A file's name without its ending.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// The directory of an album, a disc of which lies in `dir`.
fn without_disc(dir: &str) -> &str {
    let Some((above, name)) = dir.rsplit_once('/') else {
        return dir;
    };
    let rest = ["cd", "disc", "disk"]
        .iter()
        .find_map(|word| name.strip_prefix(word));
    let number = rest.map(|rest| rest.trim_start_matches([' ', '-', '_']));
    let is_disc = number.is_some_and(|number| {
        let digits = number.chars().take_while(char::is_ascii_digit).count();
        digits > 0 && !number[digits..].starts_with(char::is_alphanumeric)
    });
    match is_disc {
        true => above,
        false => dir,
    }
}

/// Title, artist, album, path.
const FIELD_WEIGHTS: [u32; 4] = [8, 6, 4, 1];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discs_are_parts_of_their_album() {
        for (dir, album) in [
            ("kitchen/wall/cd1", "kitchen/wall"),
            ("kitchen/wall/disc 2", "kitchen/wall"),
            ("kitchen/wall/disk_3 (bonus)", "kitchen/wall"),
            ("kitchen/wall/cds", "kitchen/wall/cds"),
            ("kitchen/wall/discovery", "kitchen/wall/discovery"),
            ("kitchen", "kitchen"),
        ] {
            assert_eq!(without_disc(dir), album);
        }
    }

    #[test]
    fn whole_words_fit_better_than_beginnings_and_these_better_than_parts() {
        let fit = |text: &str| occurrence(text, "gold");
        assert_eq!(fit("heart of gold"), Some(Fit::Word));
        assert_eq!(fit("goldberg variations"), Some(Fit::Beginning));
        assert_eq!(fit("marigold"), Some(Fit::Part));
        assert_eq!(fit("silver"), None);
    }
}
