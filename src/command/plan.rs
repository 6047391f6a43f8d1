//! A long answer, made piece by piece from a snapshot of the database.
//!
//! A plan first walks the tracks, a bounded number at each step, and keeps
//! what the answer needs; then it writes the answer, again piece by piece, or
//! hands the songs it found to the queue. The session that walks a plan does other
//! things between its steps; the node never does it at all.

mod best;
mod missed;
mod order;
mod tally;
mod walk;

use std::{collections::BTreeSet, mem, ops::Range, sync::Arc, time::Instant};

use self::{
    best::Best,
    missed::MissedTracks,
    order::{album_key, path_key},
    tally::{DirectoryTally, Tally},
    walk::{Spot, TrackWalk},
};
use super::{
    answer::DirectoryView, rows::RowWriter, song::SongRef, AfterInsert, CommandError,
    DatabaseCommand, Filter, Insertion, Query, Question, QueuePlace, Selection, Sort, SortBy,
};
use crate::{
    catalog::{Database, FieldSet, FoundTrackRef, Interner, Tag},
    id::TrackId,
    playback::queue::{self, QueueItem, QueueSlot},
};

/// A long answer under way. See the module's description.
#[derive(Debug)]
pub struct Plan {
    database: Database,
    /// When it was asked for.
    asked: Instant,
    stage: PlanStage,
}

/// What a step of a plan gave.
#[derive(Debug)]
pub enum PlanStep {
    /// The next part of the answer is out, maybe an empty one.
    Wrote,
    /// The last part of the answer is out.
    Done,
    /// The songs are found; what is done with them is the node's to answer.
    Insert(Insertion),
    Failed(CommandError),
}

#[derive(Debug)]
enum PlanStage {
    Walk(Box<TrackWalk>, Collector),
    Print(std::vec::IntoIter<Spot>, Printer),
    Insert(Vec<Spot>, Option<QueuePlace>, AfterInsert),
    /// Directories, and then songs.
    Directory(Vec<DirectoryView>, Vec<Spot>, Printer),
    Groups(Tally),
    Fail(CommandError),
    /// Songs of the queue, by position, those that pass the filter.
    Queue(std::vec::IntoIter<(usize, QueueSlot)>, Option<Filter>),
    End,
}

/// What is kept of the tracks on the way.
#[derive(Debug)]
enum Collector {
    Hits(Hits),
    Directory(DirectoryTally),
    Tally(Tally),
    Best(Box<Best>),
    Missed(MissedTracks),
}

/// The songs that pass a filter.
#[derive(Debug)]
struct Hits {
    filter: Filter,
    order: SongOrder,
    window: Option<Range<usize>>,
    /// For what is shown once however many have it.
    seen: Option<BTreeSet<TrackId>>,
    found: Vec<(String, Spot)>,
    /// Looking for one track, the walk ends with it.
    only: Option<String>,
    then: PlanOutput,
}

#[derive(Clone, Copy, Debug)]
enum SongOrder {
    AsFound,
    /// Directories together.
    Path,
    /// Those, and in each the albums, and in these discs and tracks.
    Albums,
    By(Sort),
}

#[derive(Clone, Debug)]
enum PlanOutput {
    Print(Printer),
    Insert(Option<QueuePlace>, AfterInsert),
}

/// How a song is written.
#[derive(Clone, Debug)]
enum Printer {
    Songs,
    /// Its name and size only.
    Files,
    /// With its directories before it, and maybe everything about it.
    Tree {
        info: bool,
        directory: String,
    },
}

impl Plan {
    /// The answer to `query`.
    pub fn new(query: Query) -> Self {
        let Query {
            question,
            database,
            asked,
        } = query;
        let stage = match question {
            Question::Database(command) => PlanStage::of(command, &database),
            Question::Queue(slots, filter) => PlanStage::Queue(slots.into_iter(), filter),
        };
        Self {
            database,
            asked,
            stage,
        }
    }

    /// Goes on, looking at `budget` tracks at most (sorting aside).
    pub fn step(&mut self, budget: usize, rows: &mut dyn RowWriter) -> PlanStep {
        self.stage = match mem::replace(&mut self.stage, PlanStage::End) {
            PlanStage::Walk(walk, collector) => self.walk(walk, collector, budget),
            PlanStage::Print(mut spots, mut printer) => {
                let some = spots.by_ref().take(budget);
                let fields = printer.fields();
                for found in some.filter_map(|spot| spot.find(&self.database, fields)) {
                    printer.print(found, rows);
                }
                match spots.as_slice() {
                    [] => PlanStage::End,
                    _ => PlanStage::Print(spots, printer),
                }
            }
            PlanStage::Queue(mut slots, filter) => {
                for (position, slot) in slots.by_ref().take(budget) {
                    let song = SongRef::queued(&slot.item, &self.database);
                    if filter.as_ref().is_none_or(|filter| filter.matches(&song)) {
                        rows.queued(position, slot.id, &song);
                    }
                }
                match slots.as_slice() {
                    [] => PlanStage::End,
                    _ => PlanStage::Queue(slots, filter),
                }
            }
            PlanStage::Insert(spots, at, then) => {
                let items = spots
                    .into_iter()
                    .filter_map(|spot| spot.find(&self.database, FieldSet::ALL));
                let mut shared = Interner::default();
                let queued = |found: FoundTrackRef<'_>| {
                    let mut item = QueueItem::from(found);
                    shared.intern(&mut item.info.tags);
                    Arc::new(item)
                };
                let items = queue::enough(items.map(queued));
                return PlanStep::Insert(Insertion { items, at, then });
            }
            PlanStage::Directory(directories, spots, printer) => {
                for DirectoryView {
                    uri,
                    modified,
                    is_away,
                } in &directories
                {
                    rows.directory(uri, *modified, *is_away);
                }
                PlanStage::Print(spots.into_iter(), printer)
            }
            PlanStage::Groups(tally) => {
                tally.write(rows);
                PlanStage::End
            }
            PlanStage::Fail(error) => return PlanStep::Failed(error),
            PlanStage::End => return PlanStep::Done,
        };
        PlanStep::Wrote
    }

    fn walk(&self, mut walk: Box<TrackWalk>, mut collector: Collector, budget: usize) -> PlanStage {
        let fields = collector.fields();
        for _ in 0..budget {
            let Some(spot) = walk.next(&self.database) else {
                return collector.end(&self.database, self.asked);
            };
            let Some(spot) = spot else { continue };
            if let Some(found) = collector.find(spot, &self.database, fields) {
                if collector.look(&found, spot) == Look::Enough {
                    return collector.end(&self.database, self.asked);
                }
            }
        }
        PlanStage::Walk(walk, collector)
    }
}

/// The track that `uri` names, if it is one.
pub fn track_at(database: &Database, uri: &str) -> Option<Arc<QueueItem>> {
    let uri = trimmed(uri);
    let spot = TrackWalk::under(database, &uri).next(database)??;
    let found = spot.find(database, FieldSet::ALL)?;
    let is_it = !uri.is_empty() && SongRef::from(found).is_at(&uri);
    is_it.then(|| Arc::new(QueueItem::from(found)))
}

impl PlanStage {
    /// Where the answer to `command` begins.
    fn of(command: DatabaseCommand, database: &Database) -> Self {
        match command {
            DatabaseCommand::List { uri, files } => {
                let uri = trimmed(&uri);
                PlanStage::Walk(
                    TrackWalk::in_directory(database, &uri),
                    Collector::Directory(DirectoryTally::new(uri, files, database)),
                )
            }
            DatabaseCommand::ListAll { uri, info } => {
                let directory = String::new();
                let printer = Printer::Tree { info, directory };
                let hits = Hits::under(trimmed(&uri), PlanOutput::Print(printer));
                PlanStage::Walk(hits.walk(database), Collector::Hits(hits))
            }
            DatabaseCommand::Add { uri, at } => {
                let then = PlanOutput::Insert(at, AfterInsert::Nothing);
                let hits = Hits::under(trimmed(&uri), then);
                PlanStage::Walk(hits.walk(database), Collector::Hits(hits))
            }
            DatabaseCommand::Find(selection) => {
                let hits = Hits::select(selection, PlanOutput::Print(Printer::Songs));
                PlanStage::Walk(hits.walk(database), Collector::Hits(hits))
            }
            DatabaseCommand::FindAdd { selection, at } => {
                let hits = Hits::select(selection, PlanOutput::Insert(at, AfterInsert::Nothing));
                PlanStage::Walk(hits.walk(database), Collector::Hits(hits))
            }
            // Each group costs what all have in common: how many there are is not a client's.
            DatabaseCommand::Values { tag, group, .. } if repeats(tag, &group) => {
                PlanStage::Fail(CommandError::RepeatedTag)
            }
            DatabaseCommand::Values { tag, filter, group } => {
                let walk = TrackWalk::matching(database, &filter);
                PlanStage::Walk(walk, Collector::Tally(Tally::values(tag, filter, group)))
            }
            DatabaseCommand::Count { filter, group } => {
                let walk = TrackWalk::matching(database, &filter);
                PlanStage::Walk(walk, Collector::Tally(Tally::count(filter, group)))
            }
            DatabaseCommand::Missed(words) => MissedTracks::like(&words).stage(database),
            DatabaseCommand::PlayBest(words, placing) => PlanStage::Walk(
                TrackWalk::under(database, ""),
                Collector::Best(Box::new(Best::new(&words, placing))),
            ),
        }
    }
}

/// Whether to look further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Further,
    Enough,
}

impl Collector {
    /// What it looks at of a track.
    fn fields(&self) -> FieldSet {
        match self {
            Self::Hits(hits) => hits.fields(),
            Self::Directory(_) => DirectoryTally::FIELDS,
            Self::Tally(tally) => tally.fields(),
            Self::Best(_) => Best::FIELDS,
            Self::Missed(_) => FieldSet::ALL,
        }
    }

    /// The track at `spot`, if it is one of those that are looked at.
    fn find<'a>(
        &self,
        spot: Spot,
        database: &'a Database,
        fields: FieldSet,
    ) -> Option<FoundTrackRef<'a>> {
        match self {
            Self::Missed(_) => MissedTracks::find(spot, database),
            _ => spot.find(database, fields),
        }
    }

    fn look(&mut self, found: &FoundTrackRef<'_>, spot: Spot) -> Look {
        let song = SongRef::from(*found);
        match self {
            Self::Hits(hits) => return hits.look(&song, found.listed.track, spot),
            Self::Directory(directory) => return directory.look(&song, spot),
            Self::Tally(tally) => tally.look(&song, found.listed.track),
            Self::Best(best) => return best.look(&song, spot),
            Self::Missed(missed) => return missed.look(&song, spot),
        }
        Look::Further
    }

    fn end(self, database: &Database, now: Instant) -> PlanStage {
        match self {
            Self::Hits(hits) => hits.end(database),
            Self::Directory(directory) => directory.end(database),
            Self::Tally(tally) => PlanStage::Groups(tally),
            Self::Best(best) => match best.end(database) {
                Ok(stage) => stage,
                // The same is looked for among what owners list that are away.
                Err(words) => MissedTracks::like(&words).stage(database),
            },
            Self::Missed(missed) => missed.end(database, now),
        }
    }
}

impl Hits {
    fn under(uri: String, then: PlanOutput) -> Self {
        Self {
            filter: Filter::base(&uri),
            order: match then {
                PlanOutput::Print(_) => SongOrder::Path,
                PlanOutput::Insert(..) => SongOrder::Albums,
            },
            window: None,
            seen: None,
            found: Vec::new(),
            only: Some(uri),
            then,
        }
    }

    fn select(selection: Selection, then: PlanOutput) -> Self {
        Self {
            filter: selection.filter,
            order: match (selection.sort, &then) {
                (Some(sort), _) => SongOrder::By(sort),
                (None, PlanOutput::Print(_)) => SongOrder::AsFound,
                (None, PlanOutput::Insert(..)) => SongOrder::Albums,
            },
            window: selection.window,
            seen: Some(BTreeSet::new()),
            found: Vec::new(),
            only: None,
            then,
        }
    }

    fn fields(&self) -> FieldSet {
        let order = match self.order {
            SongOrder::AsFound => FieldSet::LEAST,
            SongOrder::Path => FieldSet::PATH,
            SongOrder::Albums => FieldSet::PATH.and(FieldSet::TAGS),
            SongOrder::By(sort) => match sort.by {
                SortBy::Modified => FieldSet::MODIFIED,
                SortBy::Tag(_) => FieldSet::TAGS,
            },
        };
        self.filter.fields().and(order)
    }

    fn walk(&self, database: &Database) -> Box<TrackWalk> {
        match &self.only {
            Some(uri) => TrackWalk::under(database, uri),
            None => TrackWalk::matching(database, &self.filter),
        }
    }

    fn look(&mut self, song: &SongRef<'_>, track: Option<TrackId>, spot: Spot) -> Look {
        if !self.filter.matches(song) || !is_new(&mut self.seen, track) {
            return Look::Further;
        }
        let key = match self.order {
            SongOrder::AsFound => String::new(),
            SongOrder::Path => path_key(song),
            SongOrder::Albums => album_key(song),
            SongOrder::By(sort) => sort_key(song, sort.by),
        };
        self.found.push((key, spot));
        match &self.only {
            Some(uri) if song.is_at(uri) => Look::Enough,
            _ => Look::Further,
        }
    }

    fn end(mut self, database: &Database) -> PlanStage {
        if let (true, Some(uri)) = (self.found.is_empty(), &self.only) {
            return match (uri.as_str(), &self.then) {
                ("", _) => PlanStage::End,
                // It may be no path, but words of what is wanted.
                (uri, PlanOutput::Insert(..)) => {
                    MissedTracks::words(uri, CommandError::NobodyHas(uri.into())).stage(database)
                }
                (uri, PlanOutput::Print(_)) => nobody_has(uri, database),
            };
        }
        match self.order {
            SongOrder::AsFound => {}
            SongOrder::By(sort) if sort.descending => {
                self.found.sort_by(|(a, _), (b, _)| b.cmp(a));
            }
            _ => self.found.sort_by(|(a, _), (b, _)| a.cmp(b)),
        }
        let len = self.found.len();
        let window = self.window.unwrap_or(0..len);
        let window = window.start.min(len)..window.end.min(len);
        let spots: Vec<_> = self.found[window].iter().map(|(_, spot)| *spot).collect();
        match self.then {
            PlanOutput::Print(printer) => PlanStage::Print(spots.into_iter(), printer),
            PlanOutput::Insert(at, then) => PlanStage::Insert(spots, at, then),
        }
    }
}

impl Printer {
    fn fields(&self) -> FieldSet {
        match self {
            Self::Tree { info: false, .. } => FieldSet::PATH,
            Self::Tree { info: true, .. } | Self::Songs | Self::Files => FieldSet::ALL,
        }
    }

    fn print(&mut self, found: FoundTrackRef<'_>, rows: &mut dyn RowWriter) {
        let song = SongRef::from(found);
        match self {
            Self::Songs => rows.song(&song),
            Self::Files => rows.file(song.name, found.listed.size, song.modified),
            Self::Tree { info, directory } => {
                let here = SongRef { name: "", ..song };
                if !here.is_at(directory) {
                    enter(directory, here.uri(), rows);
                }
                match info {
                    true => rows.song(&song),
                    false => rows.path(&song),
                }
            }
        }
    }
}

/// Writes the directories on the way from where the last song was to `here`
/// that have not been written.
fn enter(last: &mut String, here: String, rows: &mut dyn RowWriter) {
    let is_written = |dir: &str| {
        let rest = last.strip_prefix(dir);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let ends = here.match_indices('/').map(|(at, _)| at);
    for end in ends.chain([here.len()]) {
        if !is_written(&here[..end]) {
            rows.directory(&here[..end], None, false);
        }
    }
    *last = here;
}

/// Whether content has not been seen; what is not hashed is always new.
fn is_new(seen: &mut Option<BTreeSet<TrackId>>, track: Option<TrackId>) -> bool {
    match (seen, track) {
        (Some(seen), Some(track)) => seen.insert(track),
        _ => true,
    }
}

fn sort_key(song: &SongRef<'_>, by: SortBy) -> String {
    let tag = match by {
        SortBy::Modified => return format!("{:020}", song.modified.max(0)),
        SortBy::Tag(tag) => tag,
    };
    match tag {
        Tag::Track => format!("{:010}", song.tags.number(tag).unwrap_or(0)),
        Tag::Disc => format!("{:010}", song.tags.number(tag).unwrap_or(0)),
        _ => song.tag_or_fallback(tag).unwrap_or_default().to_owned(),
    }
}

/// A path without slashes at its ends; the root is empty.
fn trimmed(uri: &str) -> String {
    uri.trim_matches('/').to_owned()
}

/// Whether one of these tags is there twice.
fn repeats(tag: Tag, group: &[Tag]) -> bool {
    let mut named = BTreeSet::from([tag]);
    !group.iter().all(|tag| named.insert(*tag))
}

fn nobody_has(uri: &str, database: &Database) -> PlanStage {
    let nothing = CommandError::NobodyHas(uri.to_owned());
    MissedTracks::path(uri.to_owned(), nothing).stage(database)
}
