//! Everybody's catalogues, and catching up with those that are newer.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    catalog::{Catalogue, CatchUp, Hash, Head, Need, SignedHead, SyncError},
    id::PeerId,
};

/// The own catalogue and all others that are known, whole ones only.
#[derive(Debug, Default)]
pub struct Catalogues {
    own: Option<Arc<Catalogue>>,
    theirs: BTreeMap<PeerId, Arc<Catalogue>>,
    pending: BTreeMap<PeerId, Pending>,
    /// What to ask for, in the order it came up.
    wants: VecDeque<Want>,
}

/// A piece of a catalogue that somebody should be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub owner: PeerId,
    pub need: Need,
    pub via: Via,
}

/// Who is asked for a catalogue. Neither can forge one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Tracker,
    Owner,
}

#[derive(Debug)]
struct Pending {
    catch_up: CatchUp,
    /// Who has shown this head: who is asked first, and who after that.
    via: Via,
    then: Option<Via>,
    /// When the last piece was asked for; until then it waits for its turn.
    asked: Option<Instant>,
}

impl Catalogues {
    pub fn set_own(&mut self, own: Arc<Catalogue>) {
        self.own = Some(own);
    }

    pub fn own(&self) -> Option<&Arc<Catalogue>> {
        self.own.as_ref()
    }

    pub fn get(&self, owner: PeerId) -> Option<&Arc<Catalogue>> {
        self.theirs.get(&owner)
    }

    /// Starts to catch up with `head`, if that is news.
    ///
    /// # Errors
    /// When the head is forged.
    pub fn handle_head(
        &mut self,
        head: SignedHead,
        via: Via,
        now: Instant,
    ) -> Result<(), SyncError> {
        let owner = head.head.owner;
        let known = self.pending.contains_key(&owner) || self.theirs.contains_key(&owner);
        let mine = self.own.as_ref().is_some_and(|own| own.owner() == owner);
        let pending = self.pending.get_mut(&owner);
        let stale = pending.is_some_and(|pending| {
            let towards = pending.catch_up.head();
            if *towards == head && pending.via != via {
                pending.then = Some(via);
            }
            !head.head.is_newer_than(&towards.head)
        });
        let claims_too_much = via == Via::Owner && head.head.entries > MAX_ENTRIES_OF_ONE;
        if mine || stale || claims_too_much || !self.has_room(&head.head, known) {
            return Ok(());
        }
        let catch_up = match CatchUp::new(head, self.theirs.get(&owner).cloned()) {
            Err(SyncError::Stale) => return Ok(()),
            other => other?,
        };
        self.pending.insert(
            owner,
            Pending {
                catch_up,
                via,
                then: None,
                asked: None,
            },
        );
        self.begin(now);
        Ok(())
    }

    /// Takes the list of an owner's page hashes. Says whether a catalogue is
    /// complete by that.
    ///
    /// # Errors
    /// When it does not fit; the catching up starts anew with the next head.
    pub fn handle_list(
        &mut self,
        owner: PeerId,
        list: Vec<Hash>,
        now: Instant,
    ) -> Result<bool, SyncError> {
        self.feed(owner, now, |catch_up| catch_up.handle_list(list))
    }

    /// Takes a page. Says whether a catalogue is complete by that.
    ///
    /// # Errors
    /// When it does not fit; the catching up starts anew with the next head.
    pub fn handle_page(
        &mut self,
        owner: PeerId,
        index: u32,
        bytes: &[u8],
        now: Instant,
    ) -> Result<bool, SyncError> {
        self.feed(owner, now, |catch_up| catch_up.handle_page(index, bytes))
    }

    /// `owner`'s catalogue cannot be had this way: by the other, or not before its next
    /// head.
    pub fn handle_not_here(&mut self, owner: PeerId, via: Via, now: Instant) {
        let Some(pending) = self.pending.get_mut(&owner) else {
            return;
        };
        match pending.then.take() {
            Some(then) if pending.via == via => {
                pending.via = then;
                if pending.asked.is_some() {
                    self.proceed(owner, now);
                }
            }
            None if pending.via == via => _ = self.pending.remove(&owner),
            // The other way is no way any more.
            _ => {}
        }
        self.begin(now);
    }

    /// The tracker is gone: what it was asked for does not come.
    pub fn handle_lost(&mut self, now: Instant) {
        self.wants.retain(|want| want.via != Via::Tracker);
        let owners: Vec<PeerId> = self.pending.keys().copied().collect();
        for owner in owners {
            self.handle_not_here(owner, Via::Tracker, now);
        }
    }

    /// The next piece to ask for.
    pub fn poll(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let asked = self.pending.values().filter_map(|p| p.asked);
        asked.min().map(|asked| asked + ASK_AGAIN)
    }

    /// Asks again for what has not come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late = |p: &Pending| p.asked.is_some_and(|asked| now >= asked + ASK_AGAIN);
        let owners: Vec<PeerId> = self
            .pending
            .iter()
            .filter(|(_, p)| late(p))
            .map(|(owner, _)| *owner)
            .collect();
        for owner in owners {
            self.proceed(owner, now);
        }
    }

    /// Whether `head`'s catalogue may be kept beside those of the others.
    fn has_room(&self, head: &Head, known: bool) -> bool {
        let pending = self.pending.values().map(|p| p.catch_up.head().head);
        let theirs = self.theirs.values().map(|theirs| theirs.head().head);
        let others = pending
            .chain(theirs)
            .filter(|other| other.owner != head.owner);
        let entries: u64 = others.map(|other| u64::from(other.entries)).sum();
        (known || self.theirs.len() + self.pending.len() < MAX_CATALOGUES)
            && entries + u64::from(head.entries) <= MAX_ENTRIES
    }

    fn feed(
        &mut self,
        owner: PeerId,
        now: Instant,
        step: impl FnOnce(&mut CatchUp) -> Result<(), SyncError>,
    ) -> Result<bool, SyncError> {
        let Some(pending) = self.pending.get_mut(&owner) else {
            return Ok(false);
        };
        if let Err(e) = step(&mut pending.catch_up) {
            self.pending.remove(&owner);
            self.begin(now);
            return Err(e);
        }
        let is_whole = self.proceed(owner, now);
        self.begin(now);
        Ok(is_whole)
    }

    /// Goes on to those whose turn has come: who joins a large swarm would
    /// otherwise ask for a thousand catalogues in one breath.
    fn begin(&mut self, now: Instant) {
        let under_way = self.pending.values().filter(|p| p.asked.is_some()).count();
        let waiting = self.pending.iter().filter(|(_, p)| p.asked.is_none());
        let next = waiting.take(MAX_CATCHING_UP.saturating_sub(under_way));
        for owner in next.map(|(owner, _)| *owner).collect::<Vec<_>>() {
            self.proceed(owner, now);
        }
    }

    /// Asks for the next piece, or swaps the finished catalogue in and says so.
    fn proceed(&mut self, owner: PeerId, now: Instant) -> bool {
        let Some(pending) = self.pending.get_mut(&owner) else {
            return false;
        };
        let need = pending.catch_up.need();
        if need != Need::Nothing {
            pending.asked = Some(now);
            let via = pending.via;
            self.wants.push_back(Want { owner, need, via });
            return false;
        }
        let finished = self
            .pending
            .remove(&owner)
            .and_then(|p| p.catch_up.finish());
        if let Some(catalogue) = finished {
            self.theirs.insert(owner, Arc::new(catalogue));
        }
        true
    }
}

/// A tracker, or an owner, answers in milliseconds; one that is swamped is not helped
/// by asking more often.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Catalogues that are fetched at a time: enough to keep the line busy while
/// the tracker answers, and pages that find room in its outbox.
const MAX_CATCHING_UP: usize = 8;
/// Four times what a tracker takes: of those who are gone some are kept.
const MAX_CATALOGUES: usize = 4096;
/// Of all catalogues together. A thousand speakers with a thousand tracks each have
/// as many, and fill a Pi of 512 MB; no more are taken of whoever says that there are.
const MAX_ENTRIES: u64 = 1 << 20;
/// Of one who alone says so, and may say so to keep others out: several times the
/// largest library.
const MAX_ENTRIES_OF_ONE: u32 = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples::{song, Owner};

    #[test]
    fn a_swarm_of_catalogues_is_fetched_a_few_at_a_time() {
        let now = Instant::now();
        let owners: Vec<Catalogue> = (0..50)
            .map(|seed| Owner::new(seed).publish(1, vec![song("a", "b", None)]))
            .collect();
        let mut catalogues = Catalogues::default();
        for owner in &owners {
            let head = *owner.head();
            catalogues.handle_head(head, Via::Tracker, now).unwrap();
        }
        let mut asked: VecDeque<Want> = VecDeque::new();
        let mut whole = 0;
        loop {
            asked.extend(std::iter::from_fn(|| catalogues.poll()));
            assert!(asked.len() <= MAX_CATCHING_UP, "{}", asked.len());
            let Some(Want { owner, need, .. }) = asked.pop_front() else {
                break;
            };
            let theirs = owners.iter().find(|o| o.owner() == owner).unwrap();
            let is_whole = match need {
                // One that the tracker has lost meanwhile does not stop the rest.
                Need::List if owner == owners[7].owner() => {
                    catalogues.handle_not_here(owner, Via::Tracker, now);
                    false
                }
                Need::List => catalogues
                    .handle_list(owner, theirs.list().to_vec(), now)
                    .unwrap(),
                Need::Page(n) => {
                    let page = theirs.pages()[n as usize].encode();
                    catalogues.handle_page(owner, n, &page, now).unwrap()
                }
                Need::Nothing => false,
            };
            whole += usize::from(is_whole);
        }
        assert_eq!(whole, 49);
        assert_eq!(catalogues.poll_timeout(), None);
    }

    #[test]
    fn where_one_way_ends_the_other_is_taken() {
        let now = Instant::now();
        let owner = Owner::new(1).publish(1, vec![song("a", "b", None)]);
        let (id, head) = (owner.owner(), *owner.head());
        let want = |via| {
            Some(Want {
                owner: id,
                need: Need::List,
                via,
            })
        };
        let mut catalogues = Catalogues::default();
        catalogues.handle_head(head, Via::Tracker, now).unwrap();
        catalogues.handle_head(head, Via::Owner, now).unwrap();
        assert_eq!(catalogues.poll(), want(Via::Tracker));
        assert_eq!(catalogues.poll(), None, "it is asked for once");
        catalogues.handle_lost(now);
        assert_eq!(catalogues.poll(), want(Via::Owner));
        catalogues.handle_not_here(id, Via::Owner, now);
        assert_eq!(catalogues.poll_timeout(), None);
        // The next greeting shows the head again.
        catalogues.handle_head(head, Via::Owner, now).unwrap();
        assert_eq!(catalogues.poll(), want(Via::Owner));
    }
}
