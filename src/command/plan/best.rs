//! What a person means by a few words.
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

mod words;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use self::words::{occurrence, weight_of, Fit, Looked, SoughtWords};
use super::{
    order::{album_key, disc_of, path_key, without_disc},
    Look, PlanStage, Spot,
};
use crate::{
    catalog::{Database, FieldSet, Tag},
    command::{song::SongRef, AfterInsert, Placing},
    util::text::fold,
};

/// The best match so far.
#[derive(Debug)]
pub(super) struct Best {
    /// As typed.
    text: String,
    query: SoughtWords,
    placing: Placing,
    /// What lies at or under the path that was typed.
    path: Vec<Spot>,
    /// The path of the track that is looked at.
    uri: String,
    kept: BestMatches,
    looked_at: Folded,
}

/// Those that match best, all as well as each other.
#[derive(Debug, Default)]
struct BestMatches {
    rank: Option<MatchRank>,
    /// By what they have in common.
    groups: BTreeMap<String, MatchGroup>,
    track: Option<(Fullness, Spot)>,
}

/// How good a match is; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct MatchRank {
    fit: Fit,
    kind: MatchKind,
}

/// What matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MatchKind {
    Track,
    Directory,
    Album,
    Artist,
}

/// What the words are of a name: the fields that they are in, and the shorter the better.
type Fullness = (u32, Reverse<usize>);

/// The tracks of an artist, an album or a directory.
#[derive(Debug)]
struct MatchGroup {
    /// Of its name.
    words: usize,
    spots: Vec<Spot>,
}

/// The texts of the track that is looked at.
#[derive(Debug)]
struct Folded {
    title: Looked,
    artist: Looked,
    album_artist: Looked,
    album: Looked,
    /// With the owner, without the file's name.
    dir: Looked,
    /// Which of the directories above the words name, and how well.
    named_dir: Option<(Fit, Range<usize>)>,
    file: Looked,
}

impl Folded {
    fn new(words: &[String]) -> Self {
        let [title, artist, album_artist] = [0; 3].map(|_| Looked::new(words));
        let [album, dir, file] = [0; 3].map(|_| Looked::new(words));
        Self {
            title,
            artist,
            album_artist,
            album,
            dir,
            named_dir: None,
            file,
        }
    }

    fn fill(&mut self, song: &SongRef<'_>, uri: &str, query: &SoughtWords) {
        let words = &query.words;
        let tags = [Tag::Artist, Tag::AlbumArtist, Tag::Album, Tag::Title];
        let [artist, album_artist, album, title] = song.tags.firsts(tags);
        self.artist.fill(artist.unwrap_or_default(), words);
        self.album_artist
            .fill(album_artist.unwrap_or_default(), words);
        self.album.fill(album.unwrap_or_default(), words);
        let dir = uri.len() - song.name.len();
        if self.dir.fill(uri[..dir].trim_end_matches('/'), words) {
            self.named_dir = query.named_dir(&self.dir);
        }
        let title = title.unwrap_or_else(|| stem(song.name));
        self.title.fill(title, words);
    }

    /// How `word`, which is that at `index`, is in the path of the file `name`.
    fn in_path(&mut self, name: &str, index: usize, words: &[String]) -> Option<Fit> {
        self.file.fill(name, words);
        if words[index].contains('/') {
            let path = format!("{}/{}", self.dir.folded, self.file.folded);
            return occurrence(&path, &words[index]);
        }
        self.dir.fits[index].max(self.file.fits[index])
    }
}

impl BestMatches {
    fn may_admit(&self, fit: Fit, kind: MatchKind) -> bool {
        self.rank.is_none_or(|best| MatchRank { fit, kind } >= best)
    }

    /// Whether something of that rank is to be kept; what is worse is forgotten.
    fn admits(&mut self, fit: Fit, kind: MatchKind) -> bool {
        let rank = MatchRank { fit, kind };
        if self.rank.is_none_or(|best| rank > best) {
            *self = Self {
                rank: Some(rank),
                ..Self::default()
            };
        }
        self.rank == Some(rank)
    }

    fn join(&mut self, key: String, name: &str, spot: Spot) {
        let group = self.groups.entry(key).or_insert_with(|| MatchGroup {
            words: name.split_whitespace().count(),
            spots: Vec::new(),
        });
        group.spots.push(spot);
    }

    /// Of several, the one whose name has the fewest words, then the one with most tracks.
    fn fullest(self) -> Option<MatchGroup> {
        let groups = self.groups.into_iter();
        let fullest = groups.max_by_key(|(key, group)| {
            let words = Reverse(group.words);
            (words, group.spots.len(), Reverse(key.clone()))
        });
        Some(fullest?.1)
    }
}

impl Best {
    /// What it looks at.
    pub const FIELDS: FieldSet = FieldSet::PATH.and(FieldSet::TAGS);

    pub fn new(text: &str, placing: Placing) -> Self {
        let query = SoughtWords::new(text);
        Self {
            text: text.trim_matches('/').to_owned(),
            looked_at: Folded::new(&query.words),
            query,
            placing,
            path: Vec::new(),
            uri: String::new(),
            kept: BestMatches::default(),
        }
    }

    pub fn look(&mut self, song: &SongRef<'_>, spot: Spot) -> Look {
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
        if self.query.words.is_empty() || !self.path.is_empty() {
            return Look::Further;
        }
        self.looked_at.fill(song, &self.uri, &self.query);
        self.look_at_artist(spot);
        self.look_at_album(song, spot);
        self.look_at_directories(spot);
        self.look_at_track(song, spot);
        Look::Further
    }

    fn look_at_artist(&mut self, spot: Spot) {
        let names = [&self.looked_at.album_artist, &self.looked_at.artist];
        let fits = names.map(|name| Some((self.query.fit(&[name], name)?, name)));
        let Some((fit, name)) = fits.into_iter().flatten().max_by_key(|(fit, _)| *fit) else {
            return;
        };
        if self.kept.admits(fit, MatchKind::Artist) {
            self.kept.join(name.folded.clone(), &name.folded, spot);
        }
    }

    fn look_at_album(&mut self, song: &SongRef<'_>, spot: Spot) {
        let Folded {
            album,
            artist,
            album_artist,
            dir,
            ..
        } = &self.looked_at;
        let Some(fit) = self.query.fit(&[album, artist, album_artist], album) else {
            return;
        };
        if !self.kept.admits(fit, MatchKind::Album) {
            return;
        }
        // Without an artist of its own, an album is what lies together: a sampler has many.
        let [album, album_artist, dir] = [album, album_artist, dir].map(|text| &*text.folded);
        let key = match song.tag(Tag::AlbumArtist) {
            Some(_) => format!("{album}\0{album_artist}"),
            None => format!("{album}\0\0{}", without_disc(dir)),
        };
        self.kept.join(key, album, spot);
    }

    fn look_at_directories(&mut self, spot: Spot) {
        let Some((fit, name)) = &self.looked_at.named_dir else {
            return;
        };
        // Somebody's directory of that name is less than all of an artist's music.
        if self
            .kept
            .admits((*fit).min(Fit::Word), MatchKind::Directory)
        {
            let dir = &self.looked_at.dir.folded;
            let path = dir[..name.end].to_owned();
            self.kept.join(path, &dir[name.clone()], spot);
        }
    }

    fn look_at_track(&mut self, song: &SongRef<'_>, spot: Spot) {
        let Self {
            query,
            looked_at,
            kept,
            ..
        } = self;
        let mut weight = 0;
        let is_exact = looked_at.title.folded == query.phrase;
        // Where no word is of the title, it is no more than one of those that have the words.
        let mut fit = match looked_at.title.has_a_word() {
            true if is_exact => Fit::Exact,
            true => Fit::Word,
            false => Fit::Part,
        };
        if !kept.may_admit(fit, MatchKind::Track) {
            return;
        }
        for index in 0..query.words.len() {
            let path = looked_at.in_path(song.name, index, &query.words);
            let [title, artist, album] =
                [&looked_at.title, &looked_at.artist, &looked_at.album].map(|it| it.fits[index]);
            let fields = [title, artist, album, path];
            match fields.iter().flatten().max() {
                Some(best) if !is_exact => fit = fit.min(*best),
                Some(_) => {}
                None => return,
            }
            weight += weight_of(fields);
        }
        if kept.admits(fit, MatchKind::Track) {
            let fullness = (weight, Reverse(looked_at.title.folded.len()));
            if kept.track.is_none_or(|(best, _)| fullness > best) {
                kept.track = Some((fullness, spot));
            }
        }
    }

    /// What to play, or the words as they were typed where nothing matches.
    pub fn end(self, database: &Database) -> Result<PlanStage, String> {
        let insert = |spots, what: &str| {
            let what = what.to_owned();
            let then = AfterInsert::Play(what, self.placing);
            Ok(PlanStage::Insert(spots, None, then))
        };
        match (&self.path[..], self.kept.rank.map(|rank| rank.kind)) {
            ([spot], _) if is_at(*spot, &self.text, database) => insert(vec![*spot], "track"),
            ([_, ..], _) => insert(
                in_order(self.path, MatchKind::Directory, database),
                "directory",
            ),
            ([], Some(MatchKind::Track)) => match self.kept.track {
                Some((_, spot)) => insert(vec![spot], "track"),
                None => Err(self.text),
            },
            ([], Some(kind)) => {
                let what = match kind {
                    MatchKind::Artist => "artist",
                    MatchKind::Album => "album",
                    MatchKind::Directory | MatchKind::Track => "directory",
                };
                let spots = self.kept.fullest().map(|group| group.spots);
                insert(in_order(spots.unwrap_or_default(), kind, database), what)
            }
            ([], None) => Err(self.text),
        }
    }

    /// A track of what is meant.
    pub fn meant(self) -> Option<Spot> {
        let track = self.kept.track.map(|(_, spot)| spot);
        let at_path = self.path.first().copied();
        at_path
            .or(track)
            .or_else(|| self.kept.fullest()?.spots.first().copied())
    }
}

/// The tracks of a group by album, disc and number, or as they lie there; the same song of
/// another peer is not wanted twice.
fn in_order(spots: Vec<Spot>, kind: MatchKind, database: &Database) -> Vec<Spot> {
    let mut seen = BTreeSet::new();
    let mut sorted = BTreeMap::new();
    for spot in spots {
        let Some(found) = spot.find(database, Best::FIELDS) else {
            continue;
        };
        let song = SongRef::from(found);
        let tags = song.tags;
        let album = match kind {
            MatchKind::Artist => {
                let [date, album] = tags.firsts([Tag::Date, Tag::Album]);
                let album = fold(album.unwrap_or_default());
                format!("{}\0{album}", date.unwrap_or_default())
            }
            MatchKind::Directory => album_key(&song),
            MatchKind::Album | MatchKind::Track => String::new(),
        };
        let (disc, number) = match kind {
            MatchKind::Directory | MatchKind::Track => (0, 0),
            MatchKind::Album | MatchKind::Artist => {
                (disc_of(&song), tags.number(Tag::Track).unwrap_or(0))
            }
        };
        let is_new = match kind {
            MatchKind::Directory | MatchKind::Track => true,
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
    let song = spot.find(database, FieldSet::PATH).map(SongRef::from);
    song.is_some_and(|song| song.uri() == uri)
}

/// A file's name without its ending.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
