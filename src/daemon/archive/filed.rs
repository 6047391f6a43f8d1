//! Which catalogues are filed, whether their owners are believed, and which of them gives way.

use std::collections::BTreeMap;

use crate::{
    catalog::{Holding, MemoryQuota, OwnerSite, Weight},
    id::{KeyMark, PeerId},
};

/// A file with a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filed {
    pub bytes: usize,
    pub site: Option<OwnerSite>,
    pub keys: Vec<KeyMark>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct FiledCatalogues {
    me: PeerId,
    quota: MemoryQuota,
    /// The keys that are believed.
    keys: Vec<KeyMark>,
    files: BTreeMap<PeerId, Filed>,
}

impl FiledCatalogues {
    /// Those of the node `me`, which has so much room and these keys.
    pub fn new(me: PeerId, quota: MemoryQuota, keys: Vec<KeyMark>) -> Self {
        Self {
            me,
            quota,
            keys,
            files: BTreeMap::new(),
        }
    }

    pub fn owners(&self) -> Vec<PeerId> {
        self.files.keys().copied().collect()
    }

    /// What one file may have.
    pub fn most_bytes(&self) -> usize {
        self.quota.one
    }

    pub fn keys(&self) -> Vec<KeyMark> {
        self.keys.clone()
    }

    /// After a reload other keys are believed.
    pub fn set_keys(&mut self, keys: Vec<KeyMark>) {
        self.keys = keys;
    }

    pub fn believes(&self, keys: &[KeyMark]) -> bool {
        !keys.is_empty() && keys.iter().all(|key| self.keys.contains(key))
    }

    /// The owners that were met under a key that is not believed any more.
    pub fn disowned(&self) -> Vec<PeerId> {
        let files = self.files.iter();
        let disowned = files.filter(|(_, file)| !self.believes(&file.keys));
        disowned.map(|(owner, _)| *owner).collect()
    }

    /// It is there, whether there is room for it or not: [`Self::who_yields`] tells.
    pub fn insert(&mut self, owner: PeerId, file: Filed) {
        self.files.insert(owner, file);
    }

    /// Files it if there is room, in place of what was there of this owner; gives the owners that
    /// gave way.
    pub fn admit(&mut self, owner: PeerId, file: Filed) -> Option<Vec<PeerId>> {
        let before = self.files.clone();
        self.files.insert(owner, file);
        let mut evicted = Vec::new();
        while let Some(yields) = self.who_yields(Some(owner)) {
            if yields == owner {
                self.files = before;
                return None;
            }
            self.files.remove(&yields);
            evicted.push(yields);
        }
        Some(evicted)
    }

    pub fn remove(&mut self, owner: PeerId) {
        self.files.remove(&owner);
    }

    /// The owner that has no room any more, since `newcomer` has come.
    pub fn who_yields(&self, newcomer: Option<PeerId>) -> Option<PeerId> {
        let holding = |(owner, file): (&PeerId, &Filed)| {
            let bytes = file.bytes.max(LEAST_BYTES);
            Holding {
                owner: *owner,
                site: file.site,
                is_here: true,
                takes: Weight::of(bytes),
                without_older: None,
            }
        };
        let holdings: Vec<Holding> = self.files.iter().map(holding).collect();
        let newcomer = newcomer.unwrap_or(self.me);
        self.quota.who_yields(&holdings, newcomer)
    }
}

/// What each takes at least of the whole, so that there are not many small ones.
pub(super) const LEAST_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: MemoryQuota = MemoryQuota {
        all: 3 * LEAST_BYTES,
        one: 2 * LEAST_BYTES,
    };

    fn peer(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    fn key(n: u8) -> KeyMark {
        KeyMark([n; 16])
    }

    fn filed(site: u8, parts: usize, keys: &[KeyMark]) -> Filed {
        Filed {
            bytes: parts * LEAST_BYTES,
            site: Some(std::net::IpAddr::from([10, 0, 0, site]).into()),
            keys: keys.to_vec(),
        }
    }

    fn files() -> FiledCatalogues {
        FiledCatalogues::new(peer(200), QUOTA, vec![key(1), key(2)])
    }

    #[test]
    fn an_owner_is_believed_while_all_of_its_keys_are() {
        let mut files = files();
        for (keys, is_believed) in [
            (&[][..], false),
            (&[key(1)], true),
            (&[key(1), key(2)], true),
            (&[key(1), key(3)], false),
        ] {
            assert_eq!(files.believes(keys), is_believed, "{keys:?}");
        }
        files.insert(peer(1), filed(1, 1, &[key(1)]));
        files.insert(peer(2), filed(2, 1, &[key(1), key(2)]));
        assert_eq!(files.disowned(), []);
        files.set_keys(vec![key(1)]);
        assert_eq!(files.disowned(), [peer(2)]);
        files.remove(peer(2));
        assert_eq!(files.owners(), [peer(1)]);
    }

    #[test]
    fn a_host_with_more_than_its_part_gives_way_and_a_newcomer_without_room_changes_nothing() {
        let mut files = files();
        let one = [key(1)];
        for n in 1..=3 {
            // However small it is, it counts as one part.
            assert_eq!(files.admit(peer(n), filed(7, 0, &one)), Some(Vec::new()));
        }
        let evicted = files.admit(peer(9), filed(8, 1, &one)).unwrap();
        assert_eq!(evicted.len(), 1);
        let before = files.owners();
        assert_eq!((before.len(), before.contains(&peer(9))), (3, true));
        assert_eq!(files.admit(peer(10), filed(8, 2, &one)), None);
        assert_eq!(files.owners(), before);
        assert_eq!(files.who_yields(None), None);
    }
}
