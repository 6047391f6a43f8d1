//! Every owner's catalogue as one tree, with a directory per peer.
//!
//! The catalogue of an owner that is away may be in it, too. Of that one only those tracks
//! are shown that a peer which is here has: copies are listed like originals. What can be
//! played is so always what is shown.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    deposit::KEPT_FOR,
    fields::FieldSet,
    pages::Catalogue,
    refs::{EntryRef, ListedRef},
};
use crate::id::{EntryNo, PeerId, TrackId};

/// One peer of the swarm as the database shows it.
#[derive(Clone, Debug)]
pub struct DatabaseMember {
    pub peer: PeerId,
    /// Unique within the database: the top directory of its tracks.
    pub name: Arc<str>,
    pub catalogue: Arc<Catalogue>,
    /// Until when its catalogue is kept, if it is not in the swarm now. It may be away since
    /// before this machine's start, for which there is no instant.
    pub kept_until: Option<Instant>,
}

impl DatabaseMember {
    /// Whether it is in the swarm now.
    pub fn is_here(&self) -> bool {
        self.kept_until.is_none()
    }

    /// How long it has been away, if it is.
    pub fn away_for(&self, now: Instant) -> Option<Duration> {
        let left = self.kept_until?.saturating_duration_since(now);
        Some(KEPT_FOR.saturating_sub(left))
    }
}

/// An immutable snapshot of catalogues, ordered by name, after those of owners that are
/// here the others. Cheap to clone; a long answer is made from one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Database {
    members: Arc<[DatabaseMember]>,
    /// Grows with every change; MPD's `db_update` and idle watch it.
    version: u64,
}

/// A listed track and where it was found.
#[derive(Clone, Copy, Debug)]
pub struct FoundTrackRef<'a> {
    pub member: &'a DatabaseMember,
    pub no: EntryNo,
    pub listed: ListedRef<'a>,
}

impl FoundTrackRef<'_> {
    /// MPD's name for it: `<peer name>/<path>`.
    #[cfg(test)]
    pub fn uri(&self) -> String {
        format!("{}/{}", self.member.name, self.listed.path())
    }
}

impl Database {
    pub fn new(mut members: Vec<DatabaseMember>, version: u64) -> Self {
        members.sort_by(|a, b| (!a.is_here(), &a.name).cmp(&(!b.is_here(), &b.name)));
        Self {
            members: members.into(),
            version,
        }
    }

    pub fn members(&self) -> &[DatabaseMember] {
        &self.members
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// `peer`, if it is here.
    pub fn member(&self, peer: PeerId) -> Option<&DatabaseMember> {
        self.known(peer).filter(|member| member.is_here())
    }

    /// `peer`, be it here or away.
    pub fn known(&self, peer: PeerId) -> Option<&DatabaseMember> {
        self.members.iter().find(|member| member.peer == peer)
    }

    /// The `wanted` fields of the entry that `member` lists as `no`, if a present peer has its
    /// content.
    pub fn listed<'a>(
        &self,
        member: &'a DatabaseMember,
        no: EntryNo,
        wanted: FieldSet,
    ) -> Option<ListedRef<'a>> {
        let listed = member.catalogue.get_some(no, wanted)?.listed()?;
        self.is_had(member, listed.track).then_some(listed)
    }

    /// The entry that `member` lists as `no`, if it is away and no peer that is here has its
    /// content.
    pub fn missed<'a>(&self, member: &'a DatabaseMember, no: EntryNo) -> Option<ListedRef<'a>> {
        let listed = member.catalogue.get(no)?.listed()?;
        (!self.is_had(member, listed.track)).then_some(listed)
    }

    fn is_had(&self, member: &DatabaseMember, track: Option<TrackId>) -> bool {
        let is_held = |track| self.holders(track).next().is_some();
        member.is_here() || track.is_some_and(is_held)
    }

    /// Every listed track, by member and entry number.
    #[cfg(test)]
    pub fn tracks(&self) -> impl Iterator<Item = FoundTrackRef<'_>> {
        self.members.iter().flat_map(move |member| {
            member.catalogue.entries().filter_map(move |(no, _)| {
                Some(FoundTrackRef {
                    member,
                    no,
                    listed: self.listed(member, no, FieldSet::ALL)?,
                })
            })
        })
    }

    /// The track that `uri` names.
    #[cfg(test)]
    pub fn find(&self, uri: &str) -> Option<FoundTrackRef<'_>> {
        let (name, path) = uri.split_once('/')?;
        let member = self.members.iter().find(|member| *member.name == *name)?;
        self.find_of(member, path)
    }

    /// The track at `path` of `peer`'s library.
    pub fn find_at(&self, peer: PeerId, path: &str) -> Option<FoundTrackRef<'_>> {
        self.find_of(self.known(peer)?, path)
    }

    fn find_of<'a>(&'a self, member: &'a DatabaseMember, path: &str) -> Option<FoundTrackRef<'a>> {
        find_path(member, path).filter(|found| self.is_had(member, found.listed.track))
    }

    /// What some catalogue says of this content, be its owner here or away.
    pub fn described(&self, track: TrackId) -> Option<ListedRef<'_>> {
        let copies = self.members.iter().flat_map(|m| m.catalogue.copies(track));
        copies.into_iter().find_map(|(_, entry)| entry.listed())
    }

    /// The peers that are here and have a copy, listed or held, of this content.
    pub fn holders(
        &self,
        track: TrackId,
    ) -> impl Iterator<Item = (&DatabaseMember, EntryNo, EntryRef<'_>)> {
        let here = self.members.iter().take_while(|member| member.is_here());
        here.filter_map(move |member| {
            let (no, entry) = member.catalogue.copies(track).next()?;
            Some((member, no, entry))
        })
    }
}

fn find_path<'a>(member: &'a DatabaseMember, path: &str) -> Option<FoundTrackRef<'a>> {
    let (dir, name) = match path.rsplit_once('/') {
        Some(("", _)) => return None,
        Some(parts) => parts,
        None => ("", path),
    };
    let (no, listed) = member.catalogue.find(dir, name)?;
    Some(FoundTrackRef { member, no, listed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples::{held, song, SampleOwner};

    #[test]
    fn tracks_are_found_by_uri_and_by_content() {
        let member = |seed, name: &str, entries| {
            let owner = SampleOwner::new(seed);
            DatabaseMember {
                peer: owner.id(),
                name: name.into(),
                catalogue: Arc::new(owner.publish(1, entries)),
                kept_until: None,
            }
        };
        let kitchen = member(
            1,
            "kitchen",
            vec![
                None,
                song("a/b", "c.flac", Some(7)),
                song("", "top.mp3", None),
            ],
        );
        let attic = member(2, "attic", vec![held(7), held(7)]);
        let database = Database::new(vec![kitchen.clone(), attic], 3);

        for uri in ["kitchen/a/b/c.flac", "kitchen/top.mp3"] {
            assert_eq!(database.find(uri).unwrap().uri(), uri);
        }
        for uri in [
            "",
            "kitchen",
            "kitchen/",
            "kitchen/a/b",
            "cellar/top.mp3",
            "attic/top.mp3",
            "kitchen//top.mp3",
        ] {
            assert!(database.find(uri).is_none(), "{uri}");
        }
        let found = database.find_at(kitchen.peer, "a/b/c.flac").unwrap();
        assert_eq!(found.no, EntryNo(1));
        let holders = database.holders(TrackId([7; 32]));
        let holders: Vec<_> = holders
            .map(|(member, no, _)| (&*member.name, no.0))
            .collect();
        assert_eq!(holders, [("attic", 0), ("kitchen", 1)]);
    }

    #[test]
    fn of_an_owner_that_is_away_that_is_shown_which_somebody_has() {
        let now = Instant::now();
        let member = |seed, name: &str, is_here: bool, entries| {
            let owner = SampleOwner::new(seed);
            DatabaseMember {
                peer: owner.id(),
                name: name.into(),
                catalogue: Arc::new(owner.publish(1, entries)),
                kept_until: (!is_here).then_some(now + KEPT_FOR),
            }
        };
        let songs = |of: [Option<u8>; 3]| {
            let song = |(n, content): (usize, &Option<u8>)| song("a", &n.to_string(), *content);
            of.iter().enumerate().map(song).collect()
        };
        let attic = member(1, "attic", false, songs([Some(7), Some(8), None]));
        let barn = member(2, "barn", false, songs([Some(8), Some(9), None]));
        let cellar = member(3, "cellar", true, vec![held(7), song("b", "1", Some(9))]);
        let database = Database::new(vec![attic.clone(), barn, cellar.clone()], 1);
        let uris: Vec<_> = database.tracks().map(|found| found.uri()).collect();
        // Copies of those that are away themselves are none.
        assert_eq!(uris, ["cellar/b/1", "attic/a/0", "barn/a/1"]);
        assert!(database.find("attic/a/0").is_some());
        assert!(database.find_at(attic.peer, "a/1").is_none());
        let missed = |of: &DatabaseMember, no| database.missed(of, EntryNo(no)).is_some();
        assert_eq!([0, 1, 2].map(|no| missed(&attic, no)), [false, true, true]);
        assert_eq!([0, 1].map(|no| missed(&cellar, no)), [false; 2]);
        let hour = Duration::from_secs(3600);
        assert_eq!(attic.away_for(now + hour), Some(hour));
        assert_eq!(cellar.away_for(now), None);
        assert!(database.member(attic.peer).is_none());
        assert!(database.known(attic.peer).is_some());
        let holders = database.holders(TrackId([7; 32]));
        let holders: Vec<_> = holders.map(|(member, ..)| member.peer).collect();
        assert_eq!(holders, [cellar.peer]);
        let described = database.described(TrackId([7; 32])).unwrap();
        assert_eq!(described.path(), "a/0");
    }
}
