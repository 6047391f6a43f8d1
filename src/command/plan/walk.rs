//! Which tracks a plan looks at: no more than its answer can be made of.

use std::ops::Range;

use crate::{
    catalog::{Catalogue, Database, DatabaseMember, FieldSet, FoundTrackRef, PAGE_ENTRIES},
    command::Filter,
    id::EntryNo,
};

/// Where a track is in the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub member: usize,
    pub no: EntryNo,
}

impl Spot {
    /// The `wanted` fields of the track, if one is there.
    pub fn find(self, database: &Database, wanted: FieldSet) -> Option<FoundTrackRef<'_>> {
        let member = database.members().get(self.member)?;
        let listed = database.listed(member, self.no, wanted)?;
        let no = self.no;
        Some(FoundTrackRef { member, no, listed })
    }
}

/// Tracks of some members, one member after the other.
#[derive(Debug)]
pub(super) struct TrackWalk {
    /// Those that are behind the one that is walked.
    members: Range<usize>,
    scope: WalkScope,
    member: usize,
    /// What is left of a part of that one, as the scope counts.
    left: Range<usize>,
    /// How many of its parts have been begun.
    parts: usize,
}

/// Which of a member's tracks.
#[derive(Debug)]
enum WalkScope {
    /// In the order of their numbers, those in whose pages all these texts are.
    Numbers(Vec<String>),
    /// In the order of their paths: what is at or below this one, which is the member's own,
    /// or of members that are here what is at it or in it.
    Path { path: String, is_deep: bool },
}

impl TrackWalk {
    /// Over what is at or below `uri`.
    pub fn under(database: &Database, uri: &str) -> Box<Self> {
        Self::at(database, uri, true)
    }

    /// Over what is at or in `uri`. What is below it is in the members' directories already,
    /// but for owners that are away, of which not all tracks are shown.
    pub fn in_directory(database: &Database, uri: &str) -> Box<Self> {
        Self::at(database, uri, false)
    }

    fn at(database: &Database, uri: &str, is_deep: bool) -> Box<Self> {
        let (name, path) = uri.split_once('/').unwrap_or((uri, ""));
        let members = database.members();
        let range = match members.iter().position(|member| &*member.name == name) {
            _ if uri.is_empty() => 0..members.len(),
            Some(at) => at..at + 1,
            None => 0..0,
        };
        let path = path.to_owned();
        let scope = match uri.is_empty() && is_deep {
            true => WalkScope::Numbers(Vec::new()),
            false => WalkScope::Path { path, is_deep },
        };
        Self::over(range, scope)
    }

    /// Over all that may pass `filter`.
    pub fn matching(database: &Database, filter: &Filter) -> Box<Self> {
        let texts = filter.shared_texts();
        Self::over(0..database.members().len(), WalkScope::Numbers(texts))
    }

    fn over(members: Range<usize>, scope: WalkScope) -> Box<Self> {
        Box::new(Self {
            member: members.start,
            members,
            scope,
            left: 0..0,
            parts: PARTS,
        })
    }

    /// Without the first `count` members of the database.
    pub fn behind(mut self: Box<Self>, count: usize) -> Box<Self> {
        self.members.start = self.members.start.max(count);
        self
    }

    /// The next entry's spot, be there a track or not; inner `None`: it has only found that
    /// there is none in a page.
    pub fn next(&mut self, database: &Database) -> Option<Option<Spot>> {
        loop {
            if self.left.is_empty() {
                if self.parts == PARTS {
                    (self.member, self.parts) = (self.members.next()?, 0);
                }
                let member = database.members().get(self.member)?;
                self.left = self.scope.part(self.parts, member);
                self.parts += 1;
                continue;
            }
            let catalogue = &database.members().get(self.member)?.catalogue;
            if !self.scope.may_be_at(self.left.start, catalogue) {
                self.left.start = self.left.end.min(self.left.start + PAGE_ENTRIES);
                return Some(None);
            }
            let place = self.left.next()?;
            let member = self.member;
            let spot = |no| Spot { member, no };
            return Some(self.scope.number(place, catalogue).map(spot));
        }
    }
}

impl WalkScope {
    /// The places of what is walked of a member in one of the [`PARTS`] of that.
    fn part(&self, part: usize, member: &DatabaseMember) -> Range<usize> {
        let catalogue = &member.catalogue;
        match (self, part) {
            (Self::Numbers(_), 0) => 0..catalogue.pages().len() * PAGE_ENTRIES,
            (Self::Path { path, .. }, 0) => catalogue.at_path(path),
            (Self::Path { path, .. }, 1) => catalogue.in_directory(path),
            (Self::Path { path, is_deep }, _) if *is_deep || !member.is_here() => {
                catalogue.below_directory(path)
            }
            _ => 0..0,
        }
    }

    /// Whether one of the tracks of the page that begins at `place`, if one does there, may be
    /// looked for.
    fn may_be_at(&self, place: usize, catalogue: &Catalogue) -> bool {
        let Self::Numbers(texts) = self else {
            return true;
        };
        if texts.is_empty() || !place.is_multiple_of(PAGE_ENTRIES) {
            return true;
        }
        let page = catalogue.pages().get(place / PAGE_ENTRIES);
        page.is_some_and(|page| texts.iter().all(|text| page.may_have(text)))
    }

    fn number(&self, place: usize, catalogue: &Catalogue) -> Option<EntryNo> {
        match self {
            Self::Numbers(_) => u32::try_from(place).ok().map(EntryNo),
            Self::Path { .. } => catalogue.by_path(place),
        }
    }
}

/// What is at a path, in it, and below it. Each is looked for when the one before has ended: a
/// track that is added ends the walk in the first.
const PARTS: usize = 3;
