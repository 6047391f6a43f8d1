//! What everybody should know, and how far each has been told.
//!
//! News are kept as state, not as a queue for each receiver: one fact a
//! subject, in the order in which the subjects last changed. A connection is a
//! place in that order. So a change costs the same however many must hear of
//! it, those that are equally far are sent the same bytes, and a slow one misses
//! what was outdated meanwhile, but takes no memory.
//!
//! That a peer is gone is kept until everybody was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{id::PeerId, protocol::FromTracker};

/// A place in the order of changes; the beginning is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NewsPosition(u64);

/// The next facts for a connection at a certain place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bulletin {
    /// Each with the peer that it is about, which is not told of itself.
    pub facts: Vec<(PeerId, Arc<FromTracker>)>,
    /// Where that leads.
    pub up_to: NewsPosition,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NewsSubject {
    /// Whether it is here, and where.
    Peer(PeerId),
    Head(PeerId),
}

#[derive(Debug, Default)]
pub struct MemberNews {
    facts: BTreeMap<NewsPosition, (PeerId, Arc<FromTracker>)>,
    places: BTreeMap<NewsSubject, NewsPosition>,
    /// Where it says that somebody is gone.
    farewells: BTreeSet<NewsPosition>,
    last: NewsPosition,
}

impl Bulletin {
    /// What of it is for `peer`.
    pub fn for_peer(&self, peer: PeerId) -> impl Iterator<Item = &Arc<FromTracker>> {
        let others = self.facts.iter().filter(move |(about, _)| *about != peer);
        others.map(|(_, message)| message)
    }

    pub fn is_about(&self, peer: PeerId) -> bool {
        self.facts.iter().any(|(about, _)| *about == peer)
    }
}

impl MemberNews {
    /// Takes news of `about`: a peer's record or head, or that it is gone, which
    /// stands for all that was known of it.
    pub fn publish(&mut self, about: PeerId, message: FromTracker) {
        let is_farewell = matches!(message, FromTracker::Gone { .. });
        let subject = match message {
            FromTracker::Head(_) => NewsSubject::Head(about),
            _ => NewsSubject::Peer(about),
        };
        if is_farewell {
            self.forget(NewsSubject::Head(about));
        }
        self.forget(subject);
        self.last.0 += 1;
        self.facts.insert(self.last, (about, Arc::new(message)));
        self.places.insert(subject, self.last);
        if is_farewell {
            self.farewells.insert(self.last);
        }
    }

    /// The catalogue of `about` cannot be had here any more.
    pub fn handle_dropped(&mut self, about: PeerId) {
        self.forget(NewsSubject::Head(about));
    }

    /// The newest change.
    pub fn last(&self) -> NewsPosition {
        self.last
    }

    /// What follows `place`. A connection at the beginning knows of no peer, and
    /// need not hear which are gone.
    pub fn after(&self, place: NewsPosition) -> Bulletin {
        let is_new = place == NewsPosition::default();
        let next = self.facts.range(NewsPosition(place.0 + 1)..);
        let next = next.filter(|(at, _)| !is_new || !self.farewells.contains(at));
        let mut next = next.map(|(&at, fact)| (at, fact.clone()));
        let (places, facts): (Vec<NewsPosition>, Vec<_>) = next.by_ref().take(MAX_BULLETIN).unzip();
        let up_to = match next.next() {
            Some(_) => places.last().copied().unwrap_or(self.last),
            None => self.last,
        };
        Bulletin { facts, up_to }
    }

    /// Forgets the farewells that all have heard, `slowest` being the place that
    /// is furthest back, and those that are too many. Gives
    /// the place that one must have reached to have missed none.
    pub fn prune(&mut self, slowest: NewsPosition) -> NewsPosition {
        let mut missed = NewsPosition::default();
        while let Some(&oldest) = self.farewells.first() {
            if oldest > slowest {
                if self.farewells.len() <= MAX_FAREWELLS {
                    break;
                }
                missed = oldest;
            }
            if let Some((about, _)) = self.facts.get(&oldest) {
                self.forget(NewsSubject::Peer(*about));
            }
            self.farewells.remove(&oldest);
        }
        missed
    }

    fn forget(&mut self, subject: NewsSubject) {
        if let Some(place) = self.places.remove(&subject) {
            self.facts.remove(&place);
            self.farewells.remove(&place);
        }
    }
}

/// Some 64 KiB of records and heads: a few packets' worth at home, and a piece
/// that bad Wi-Fi takes in a second or so.
const MAX_BULLETIN: usize = 256;
/// Farewells that some have not heard yet. A connection that is further back than this
/// many departures does not read.
const MAX_FAREWELLS: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(peer: u8) -> PeerId {
        PeerId([peer; 32])
    }

    fn gone(peer: u8, left: bool) -> FromTracker {
        let peer = id(peer);
        FromTracker::Gone { peer, left }
    }

    /// Stands for a record, whose kind of fact it is.
    fn here(nonce: u64) -> FromTracker {
        FromTracker::Ping { nonce }
    }

    #[test]
    fn who_is_slow_hears_the_newest_of_each_only() {
        let mut news = MemberNews::default();
        for nonce in 0..100_000 {
            news.publish(id((nonce % 3) as u8), here(nonce));
        }
        let bulletin = news.after(NewsPosition::default());
        let told: Vec<_> = bulletin.for_peer(id(9)).map(|m| (**m).clone()).collect();
        assert_eq!(told, [here(99_997), here(99_998), here(99_999)]);
        assert_eq!(bulletin.up_to, news.last());
        assert_eq!(bulletin.for_peer(id(0)).count(), 2, "not of itself");
        assert_eq!(news.after(news.last()).facts, []);
    }

    #[test]
    fn farewells_last_until_all_have_heard_and_are_bounded() {
        let mut news = MemberNews::default();
        news.publish(id(0), here(0));
        let start = news.last();
        news.publish(id(1), gone(1, true));
        assert_eq!(
            news.after(NewsPosition::default()).facts.len(),
            1,
            "a newcomer's"
        );
        assert_eq!(news.prune(start), NewsPosition::default());
        assert_eq!(news.after(start).facts.len(), 1);
        let missed = news.prune(news.last());
        assert_eq!(missed, NewsPosition::default(), "nobody missed anything");
        assert_eq!(news.after(start).facts, []);

        for n in 1..=MAX_FAREWELLS as u32 + 1 {
            let mut peer = [0; 32];
            peer[..4].copy_from_slice(&n.to_be_bytes());
            let peer = PeerId(peer);
            news.publish(peer, FromTracker::Gone { peer, left: false });
        }
        let missed = news.prune(start);
        assert!(missed > start, "somebody at the start has missed one");
        assert_eq!(news.farewells.len(), MAX_FAREWELLS);
        assert_eq!(news.facts.len(), 1 + MAX_FAREWELLS);
    }

    proptest! {
        /// However often one listens, what one knows in the end is the same.
        #[test]
        fn all_end_up_knowing_the_same(
            happenings in prop::collection::vec((0..4u8, 0..3u8, any::<bool>()), 0..60),
        ) {
            let mut news = MemberNews::default();
            let mut truth: BTreeMap<PeerId, FromTracker> = BTreeMap::new();
            let (mut place, mut heard) = (NewsPosition::default(), BTreeMap::new());
            let mut listen = |news: &MemberNews, place: &mut NewsPosition| {
                let bulletin = news.after(*place);
                for (about, message) in bulletin.facts {
                    match &*message {
                        FromTracker::Gone { .. } => heard.remove(&about),
                        here => heard.insert(about, here.clone()),
                    };
                }
                *place = bulletin.up_to;
            };
            for (nonce, (peer, what, listens)) in happenings.into_iter().enumerate() {
                let message = match what {
                    0 => gone(peer, listens),
                    _ => here(nonce as u64),
                };
                match &message {
                    FromTracker::Gone { .. } => truth.remove(&id(peer)),
                    here => truth.insert(id(peer), here.clone()),
                };
                news.publish(id(peer), message);
                if listens {
                    listen(&news, &mut place);
                    news.prune(place);
                }
            }
            listen(&news, &mut place);
            prop_assert_eq!(heard, truth);
        }
    }
}
