//! Answers that sum tracks up: a directory, the values of a tag, a count.

use std::collections::{BTreeMap, BTreeSet};

use super::{nobody_has, Look, PlanStage, Printer, Spot};
use crate::{
    catalog::{Database, FieldSet, Tag},
    command::{
        answer::{DirectoryView, SongSum},
        rows::RowWriter,
        song::SongRef,
        Filter,
    },
    id::TrackId,
};

/// One directory's directories and files.
#[derive(Debug)]
pub(super) struct DirectoryTally {
    uri: String,
    /// Names and sizes only.
    files: bool,
    /// Names, and when something under them was last modified.
    directories: BTreeMap<String, i64>,
    songs: BTreeMap<String, Spot>,
}

impl DirectoryTally {
    /// What it looks at of a track.
    pub const FIELDS: FieldSet = FieldSet::PATH.and(FieldSet::MODIFIED);

    pub fn new(uri: String, files: bool, database: &Database) -> Self {
        let mut this = Self {
            uri,
            files,
            directories: BTreeMap::new(),
            songs: BTreeMap::new(),
        };
        this.enter_known(database);
        this
    }

    /// Takes the directories of members that are here, of which everything is shown.
    fn enter_known(&mut self, database: &Database) {
        let uri = self.uri.clone();
        let (name, path) = uri.split_once('/').unwrap_or((&uri, ""));
        for member in database.members().iter().filter(|member| member.is_here()) {
            if uri.is_empty() {
                // A peer without music is there all the same.
                let newest = member.catalogue.directory("").map(|(newest, _)| newest);
                self.enter(&member.name, newest.unwrap_or_default());
            } else if *member.name == *name {
                let inner = member.catalogue.directory(path);
                let inner = inner.into_iter().flat_map(|(_, inner)| inner);
                // Names of members are different, so this one is the only one.
                self.directories = inner
                    .map(|(name, newest)| (name.to_owned(), newest))
                    .collect();
            }
        }
    }

    pub fn look(&mut self, song: &SongRef<'_>, spot: Spot) -> Look {
        if self.uri.is_empty() {
            self.enter(song.owner, song.modified);
            return Look::Further;
        }
        let uri = song.uri();
        let Some(rest) = uri.strip_prefix(&self.uri) else {
            return Look::Further;
        };
        if rest.is_empty() {
            self.songs.insert(song.name.to_owned(), spot);
            return Look::Enough;
        }
        match rest.strip_prefix('/').map(|rest| rest.split_once('/')) {
            Some(Some((directory, _))) => self.enter(directory, song.modified),
            Some(None) => _ = self.songs.insert(song.name.to_owned(), spot),
            None => {}
        }
        Look::Further
    }

    fn enter(&mut self, directory: &str, modified: i64) {
        if let Some(newest) = self.directories.get_mut(directory) {
            *newest = modified.max(*newest);
        } else {
            self.directories.insert(directory.to_owned(), modified);
        }
    }

    pub fn end(self, database: &Database) -> PlanStage {
        let mut here = database.members().iter().filter(|member| member.is_here());
        let is_there = self.uri.is_empty() || here.any(|member| *member.name == *self.uri);
        if self.directories.is_empty() && self.songs.is_empty() && !is_there {
            return nobody_has(&self.uri, database);
        }
        let prefix = match self.uri.as_str() {
            uri if uri.is_empty() || self.files => String::new(),
            uri => format!("{uri}/"),
        };
        let members = database.members().iter();
        let away: BTreeSet<&str> = match self.uri.is_empty() {
            true => members.filter(|m| !m.is_here()).map(|m| &*m.name).collect(),
            false => BTreeSet::new(),
        };
        let directories = self.directories.iter();
        let directories = directories.map(|(name, modified)| DirectoryView {
            uri: format!("{prefix}{name}"),
            modified: Some(*modified).filter(|modified| *modified > 0),
            is_away: away.contains(name.as_str()),
        });
        let directories = directories.collect();
        let printer = match self.files {
            true => Printer::Files,
            false => Printer::Songs,
        };
        PlanStage::Directory(directories, self.songs.into_values().collect(), printer)
    }
}

/// Songs summed up by the values of their tags.
#[derive(Debug)]
pub(super) struct Tally {
    filter: Filter,
    /// From the outermost group inwards.
    tags: Vec<Tag>,
    /// Whether songs are counted, or the innermost tag's values shown.
    counts: bool,
    seen: Option<BTreeSet<TrackId>>,
    sums: BTreeMap<Vec<String>, SongSum>,
    /// What is not in these yet: songs, one behind the other, of the same values.
    run: Option<(Vec<String>, SongSum)>,
}

impl Tally {
    pub fn values(tag: Tag, filter: Filter, mut group: Vec<Tag>) -> Self {
        group.push(tag);
        Self {
            filter,
            tags: group,
            counts: false,
            seen: None,
            sums: BTreeMap::new(),
            run: None,
        }
    }

    pub fn count(filter: Filter, group: Option<Tag>) -> Self {
        Self {
            filter,
            tags: group.into_iter().collect(),
            counts: true,
            seen: Some(BTreeSet::new()),
            sums: BTreeMap::new(),
            run: None,
        }
    }

    /// What it looks at of a track.
    pub fn fields(&self) -> FieldSet {
        let tags = match self.tags.is_empty() {
            true => FieldSet::LEAST,
            false => FieldSet::TAGS,
        };
        let playtime = match self.counts {
            true => FieldSet::DURATION,
            false => FieldSet::LEAST,
        };
        self.filter.fields().and(tags).and(playtime)
    }

    pub fn look(&mut self, song: &SongRef<'_>, track: Option<TrackId>) {
        if !self.filter.matches(song) || !super::is_new(&mut self.seen, track) {
            return;
        }
        if !self.is_of_run(song) {
            let values = self.tags.iter().map(|tag| only_value(song, *tag));
            let values = values.map(|value| value.map(str::to_owned)).collect();
            let Some(values) = values else {
                return self.add_each(song);
            };
            let last = self.run.replace((values, SongSum::default()));
            self.add(last);
        }
        if let Some((_, sum)) = &mut self.run {
            sum.songs += 1;
            sum.playtime = sum.playtime.saturating_add(song.duration);
        }
    }

    /// Whether the song has the values of the one before.
    fn is_of_run(&self, song: &SongRef<'_>) -> bool {
        self.run.as_ref().is_some_and(|(values, _)| {
            let mut pairs = self.tags.iter().zip(values);
            pairs.all(|(tag, value)| only_value(song, *tag) == Some(value))
        })
    }

    /// Counts a song for each of its values.
    fn add_each(&mut self, song: &SongRef<'_>) {
        let mut each = vec![Vec::new()];
        for tag in &self.tags {
            let mut values: Vec<&str> = song.values(*tag).collect();
            if values.is_empty() {
                values.push("");
            }
            let with = |(begun, value): (&Vec<String>, &&str)| {
                let value = (*value).to_owned();
                begun.iter().cloned().chain([value]).collect()
            };
            let pairs = each
                .iter()
                .flat_map(|begun| values.iter().map(move |it| (begun, it)));
            each = pairs.take(MAX_GROUPS).map(with).collect();
        }
        for values in each {
            let one = SongSum {
                songs: 1,
                playtime: song.duration,
            };
            self.add(Some((values, one)));
        }
    }

    fn add(&mut self, run: Option<(Vec<String>, SongSum)>) {
        let Some((values, more)) = run else { return };
        let sum = self.sums.entry(values).or_default();
        sum.songs += more.songs;
        sum.playtime = sum.playtime.saturating_add(more.playtime);
    }

    pub fn write(mut self, rows: &mut dyn RowWriter) {
        let last = self.run.take();
        self.add(last);
        if self.counts && self.tags.is_empty() {
            self.sums.entry(Vec::new()).or_default();
        }
        let mut last: &[String] = &[];
        for (values, sum) in &self.sums {
            let known = last.iter().zip(values).take_while(|(a, b)| a == b).count();
            rows.group(&self.tags, values, known, self.counts.then_some(*sum));
            last = values;
        }
    }
}

/// The value of a tag, unless there are several.
fn only_value<'a>(song: &SongRef<'a>, tag: Tag) -> Option<&'a str> {
    let mut values = song.values(tag);
    let first = values.next().unwrap_or_default();
    values.next().is_none().then_some(first)
}

/// Of one song: a few values of a few tags are as many as music has.
const MAX_GROUPS: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        catalog::Tags,
        control::mpd::{command::ReplyForm, print::RowPrinter, tag::TagMask},
    };

    #[test]
    fn a_song_counts_for_each_of_its_values() {
        let tags: Tags = [
            (Tag::Genre, "Jazz"),
            (Tag::Genre, "Funk"),
            (Tag::Artist, "Trio"),
        ]
        .into_iter()
        .collect();
        let song = SongRef {
            owner: "attic",
            dir: "",
            name: "a.flac",
            tags: (&tags).into(),
            duration: Duration::from_secs(7),
            rate: 44_100,
            bits: None,
            channels: 2,
            modified: 0,
            is_away: false,
        };
        let tally = |mut tally: Tally| {
            tally.look(&song, None);
            let mut rows = RowPrinter::new(ReplyForm::Whole, TagMask::ALL);
            tally.write(&mut rows);
            rows.take().into_string()
        };
        let genres = tally(Tally::values(
            Tag::Genre,
            Filter::base(""),
            vec![Tag::AlbumArtist],
        ));
        assert_eq!(genres, "AlbumArtist: Trio\nGenre: Funk\nGenre: Jazz\n");
        let counts = tally(Tally::count(Filter::base(""), Some(Tag::Genre)));
        let each = |genre| format!("Genre: {genre}\nsongs: 1\nplaytime: 7\n");
        assert_eq!(counts, [each("Funk"), each("Jazz")].concat());
    }
}
