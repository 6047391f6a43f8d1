//! What somebody means who types a few words.
//!
//! From best to worst: the URI of a track or of a directory; a title; an album
//! or an artist of exactly that name, or a directory, of which all tracks are
//! meant, in their order; and at last the track in which all words occur, a
//! title counting more than an artist, that more than an album, and that more
//! than a path, a whole word more than its beginning, and that more than a
//! part. Case and accents make no difference.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{Look, Spot, Stage, Then};
use crate::control::mpd::{
    args::{Ack, AckCode},
    song::Song,
    text::{fold, fold_into},
};

/// The best match so far.
#[derive(Debug)]
pub(super) struct Best {
    /// As typed.
    text: String,
    phrase: String,
    words: Vec<String>,
    track: Option<(Score, Spot)>,
    groups: BTreeMap<(Kind, String), Group>,
    buffer: [String; 4],
}

/// How good a single track is; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Score {
    /// The shorter of two titles that have the words is matched more fully.
    Words(u32, Reverse<usize>),
    Title,
    Uri,
}

/// What a group of tracks has in common; the later the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Directory,
    Artist,
    Album,
    Uri,
}

/// Tracks in their order, each once.
type Group = BTreeMap<(Place, String), Spot>;

/// Where in a group a track stands: album, disc, number.
type Place = (String, u32, u32);

impl Best {
    pub fn new(text: &str) -> Self {
        let phrase = fold(text);
        Self {
            text: text.trim_matches('/').to_owned(),
            words: phrase.split_whitespace().map(str::to_owned).collect(),
            phrase: phrase.split_whitespace().collect::<Vec<_>>().join(" "),
            track: None,
            groups: BTreeMap::new(),
            buffer: Default::default(),
        }
    }

    pub fn look(&mut self, song: &Song<'_>, spot: Spot) -> Look {
        song.uri_into(&mut self.buffer[3]);
        let uri = &self.buffer[3];
        if *uri == self.text {
            self.track = Some((Score::Uri, spot));
            return Look::Enough;
        }
        let in_directory = uri
            .strip_prefix(self.text.as_str())
            .is_some_and(|rest| rest.starts_with('/'));
        if in_directory {
            self.join(Kind::Uri, String::new(), song, spot);
        }
        if self.words.is_empty() {
            return Look::Further;
        }
        let tags = song.tags;
        let texts = [
            song.title(),
            tags.artist.unwrap_or_default(),
            tags.album.unwrap_or_default(),
        ];
        for (text, folded) in texts.iter().zip(&mut self.buffer) {
            fold_into(text, folded);
        }
        let uri = fold(&self.buffer[3]);
        self.buffer[3] = uri;
        self.look_at_groups(song, spot);
        if let Some(score) = self.score() {
            if self.track.is_none_or(|(best, _)| score > best) {
                self.track = Some((score, spot));
            }
        }
        Look::Further
    }

    fn look_at_groups(&mut self, song: &Song<'_>, spot: Spot) {
        let [_, artist, album, _] = &self.buffer;
        let whole = &self.phrase;
        let album_artist = song.tags.album_artist;
        let by = album_artist.map_or_else(|| artist.clone(), fold);
        let directory = song.dir.rsplit('/').next().map(fold).unwrap_or_default();
        if album == whole {
            self.join(Kind::Album, by, song, spot);
        } else if artist == whole || by == *whole {
            self.join(Kind::Artist, String::new(), song, spot);
        } else if directory == *whole {
            let whole_path = format!("{}/{}", song.owner, song.dir);
            self.join(Kind::Directory, whole_path, song, spot);
        }
    }

    fn join(&mut self, kind: Kind, name: String, song: &Song<'_>, spot: Spot) {
        let tags = song.tags;
        let (album, title) = match kind {
            // As it lies there.
            Kind::Uri | Kind::Directory => (super::path_key(song), String::new()),
            _ => {
                let date = tags.date.unwrap_or_default();
                let album = tags.album.unwrap_or_default();
                (format!("{date}\0{}", fold(album)), fold(song.title()))
            }
        };
        let place = (album, tags.disc.unwrap_or(0), tags.track.unwrap_or(0));
        let group = self.groups.entry((kind, name)).or_default();
        // The same song of another peer is not wanted twice.
        group.entry((place, title)).or_insert(spot);
    }

    /// How good the track in the buffer is; `None` unless it has all words.
    fn score(&self) -> Option<Score> {
        let [title, ..] = &self.buffer;
        if *title == self.phrase {
            return Some(Score::Title);
        }
        let mut sum = 0;
        for word in &self.words {
            let scores = self.buffer.iter().zip(FIELD_WEIGHTS);
            let best = scores.map(|(text, weight)| weight * occurrence(text, word));
            match best.max() {
                None | Some(0) => return None,
                Some(best) => sum += best,
            }
        }
        Some(Score::Words(sum, Reverse(title.len())))
    }

    pub fn end(self) -> Stage {
        // Of several equally named, the one with the most tracks.
        let groups = self.groups.into_iter();
        let group =
            groups.max_by_key(|((kind, name), group)| (*kind, group.len(), Reverse(name.clone())));
        let track_first = |kind: Kind| match self.track {
            Some((Score::Uri, _)) => true,
            Some((Score::Title, _)) => kind != Kind::Uri,
            _ => false,
        };
        if let Some(((kind, _), group)) = group {
            if !track_first(kind) {
                let what = match kind {
                    Kind::Uri | Kind::Directory => "directory",
                    Kind::Album => "album",
                    Kind::Artist => "artist",
                };
                let spots = group.into_values().collect();
                return Stage::Insert(spots, None, Then::Play(what.into()));
            }
        }
        match self.track {
            Some((_, spot)) => Stage::Insert(vec![spot], None, Then::Play("track".into())),
            None => Stage::Fail(Ack::new(
                AckCode::NoExist,
                format!("nobody who is here has anything like {:?}", self.text),
            )),
        }
    }
}

/// 0 if `word` is not in `text`, more the more it stands by itself.
fn occurrence(text: &str, word: &str) -> u32 {
    let mut best = 0;
    for (at, _) in text.match_indices(word) {
        let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let starts = !is_part(text[..at].chars().next_back());
        let ends = !is_part(text[at + word.len()..].chars().next());
        best = best.max(match (starts, ends) {
            (true, true) => 4,
            (true, false) => 2,
            _ => 1,
        });
    }
    best
}

/// Title, artist, album, path.
const FIELD_WEIGHTS: [u32; 4] = [8, 6, 4, 1];
