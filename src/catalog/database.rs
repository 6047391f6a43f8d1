//! Every owner's catalogue as one tree, with a directory per peer.

use std::sync::Arc;

use super::{
    pages::Catalogue,
    refs::{EntryRef, ListedRef},
};
use crate::id::{EntryNo, PeerId, TrackId};

/// One peer of the swarm as the database shows it.
#[derive(Clone, Debug)]
pub struct Member {
    pub peer: PeerId,
    /// Unique within the database: the top directory of its tracks.
    pub name: Arc<str>,
    pub catalogue: Arc<Catalogue>,
}

/// An immutable snapshot of all catalogues whose owners are here, ordered by
/// name. Cheap to clone; a long answer is made from one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Database {
    members: Arc<[Member]>,
    /// Grows with every change; MPD's `db_update` and idle watch it.
    version: u64,
}

/// A listed track and where it was found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub member: &'a Member,
    pub no: EntryNo,
    pub listed: ListedRef<'a>,
}

impl Found<'_> {
    /// MPD's name for it: `<peer name>/<path>`.
    #[cfg(test)]
    pub fn uri(&self) -> String {
        format!("{}/{}", self.member.name, self.listed.path())
    }
}

impl Database {
    pub fn new(mut members: Vec<Member>, version: u64) -> Self {
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            members: members.into(),
            version,
        }
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn member(&self, peer: PeerId) -> Option<&Member> {
        self.members.iter().find(|member| member.peer == peer)
    }

    /// Every listed track, by member and entry number.
    #[cfg(test)]
    pub fn tracks(&self) -> impl Iterator<Item = Found<'_>> {
        self.members.iter().flat_map(|member| {
            member.catalogue.entries().filter_map(move |(no, entry)| {
                Some(Found {
                    member,
                    no,
                    listed: entry.listed()?,
                })
            })
        })
    }

    /// The track that `uri` names.
    #[cfg(test)]
    pub fn find(&self, uri: &str) -> Option<Found<'_>> {
        let (name, path) = uri.split_once('/')?;
        let order = |member: &Member| (*member.name).cmp(name);
        let at = self.members.binary_search_by(order).ok()?;
        find_path(&self.members[at], path)
    }

    /// The track at `path` of `peer`'s library.
    pub fn find_at(&self, peer: PeerId, path: &str) -> Option<Found<'_>> {
        find_path(self.member(peer)?, path)
    }

    /// Who has a copy, listed or held, of this content.
    pub fn holders(
        &self,
        track: TrackId,
    ) -> impl Iterator<Item = (&Member, EntryNo, EntryRef<'_>)> {
        self.members.iter().filter_map(move |member| {
            let (no, entry) = member.catalogue.copies(track).next()?;
            Some((member, no, entry))
        })
    }
}

fn find_path<'a>(member: &'a Member, path: &str) -> Option<Found<'a>> {
    let (dir, name) = match path.rsplit_once('/') {
        Some(("", _)) => return None,
        Some(parts) => parts,
        None => ("", path),
    };
    let (no, listed) = member.catalogue.find(dir, name)?;
    Some(Found { member, no, listed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples::{held, song, Owner};

    #[test]
    fn tracks_are_found_by_uri_and_by_content() {
        let member = |seed, name: &str, entries| {
            let owner = Owner::new(seed);
            Member {
                peer: owner.id(),
                name: name.into(),
                catalogue: Arc::new(owner.publish(1, entries)),
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
}
