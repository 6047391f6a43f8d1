//! Owners that are known here: their catalogues outlive their absence, and this node's
//! restarts.
//!
//! An owner is known once it was here for ten minutes: then it is likely to be one of the
//! house, and to come back. A member that makes itself a new identity again and again leaves
//! nothing behind. The catalogue of a known owner is written down; it is forgotten when the
//! owner was away for 30 days, or when the key is taken away under which it was met.
//!
//! What is decided here is what is written, and when: seldom, since cards wear, and the
//! owner says how often its catalogue changes. Orders are given one at a time. Where there is
//! room for it, the files' keeper knows.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    catalog::{Allowance, Catalogue, Deposit, Filling, Head, OwnerSite, KEPT_FOR},
    id::PeerId,
};

/// See the module's description.
#[derive(Debug)]
pub struct Archive {
    known_after: Duration,
    owners: BTreeMap<PeerId, ArchivedOwner>,
    /// What is to be done whatever else is.
    urgent: VecDeque<ArchiveTask>,
    /// What the files' keeper does now.
    under_way: Option<ArchiveTask>,
    written: Allowance,
    /// Nothing is written before.
    rests_until: Instant,
    /// When there may be something to do; maybe too early.
    due: Option<Instant>,
}

/// What the keeper of the files is to do.
#[derive(Clone, Debug)]
pub enum Archival {
    /// Write it down, in place of what there is of its owner's.
    Write(Box<Deposit>),
    /// The owner was here until now.
    Seen(PeerId),
    Remove(PeerId),
    /// Remove what was written under keys that are not believed any more.
    Judge,
}

/// What became of the last [`Archival`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archived {
    /// It is done; the files of these made room for it.
    Done {
        evicted: Vec<PeerId>,
    },
    /// Others are not to make room for it.
    NoRoom,
    Failed,
    /// The files of these owners are gone.
    Judged {
        disowned: Vec<PeerId>,
    },
}

/// An order in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArchiveTask {
    Write { owner: PeerId, head: Head },
    Seen(PeerId),
    Remove(PeerId),
    Judge,
}

#[derive(Debug)]
struct ArchivedOwner {
    /// Under which it is shown, or was last.
    name: Arc<str>,
    site: Option<OwnerSite>,
    standing: ArchiveStatus,
    /// The newest catalogue of its that is here.
    newest: Option<Head>,
    /// What the disk has.
    file: Option<File>,
    /// When its file may be written again.
    not_before: Instant,
}

#[derive(Clone, Copy, Debug)]
struct File {
    head: Head,
    /// Until when the disk knows that the owner was here.
    seen: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArchiveStatus {
    /// It is here, and not known yet.
    Met { since: Instant },
    /// It is here.
    Known,
    /// It is not, since then, and forgotten at that time.
    Away { since: Instant, until: Instant },
}

impl ArchivedOwner {
    fn is_away(&self) -> bool {
        matches!(self.standing, ArchiveStatus::Away { .. })
    }

    /// What is to be done next for it, and when.
    fn next(&self, owner: PeerId, archive: &Archive) -> Option<(Instant, ArchiveStep)> {
        let order = |at: Instant, task| (at.max(archive.rests_until), ArchiveStep::Order(task));
        let on_disk = self.file.map(|file| file.head);
        let newest = self.newest.filter(|newest| Some(*newest) != on_disk);
        let write = newest.map(|head| order(self.not_before, ArchiveTask::Write { owner, head }));
        let seen = |at| order(at, ArchiveTask::Seen(owner));
        let other = match self.standing {
            ArchiveStatus::Met { since } => {
                return Some((since + archive.known_after, ArchiveStep::Know(owner)));
            }
            ArchiveStatus::Known => self.file.map(|file| seen(file.seen + SEEN_EVERY)),
            ArchiveStatus::Away { since, until } => {
                let file = self.file.filter(|file| since > file.seen + SEEN_ABOUT);
                Some(file.map_or((until, ArchiveStep::Forget(owner)), |_| seen(since)))
            }
        };
        write.into_iter().chain(other).min_by_key(|(at, _)| *at)
    }
}

/// What time brings.
#[derive(Clone, Copy, Debug)]
enum ArchiveStep {
    Know(PeerId),
    Forget(PeerId),
    Order(ArchiveTask),
}

impl Archive {
    /// For owners that are known after so long.
    pub fn new(known_after: Duration, now: Instant) -> Self {
        Self {
            known_after,
            owners: BTreeMap::new(),
            urgent: VecDeque::new(),
            under_way: None,
            written: Allowance::full(WRITTEN, now),
            rests_until: now,
            due: None,
        }
    }

    pub fn handle_here(&mut self, peer: PeerId, site: Option<OwnerSite>, now: Instant) {
        let met = || ArchivedOwner {
            name: peer.to_string().into(),
            site,
            standing: ArchiveStatus::Met { since: now },
            newest: None,
            file: None,
            not_before: now,
        };
        let owner = self.owners.entry(peer).or_insert_with(met);
        owner.site = site.or(owner.site);
        if owner.is_away() {
            owner.standing = ArchiveStatus::Known;
        }
        self.plan(peer);
    }

    /// Says whether it is known.
    pub fn handle_gone(&mut self, peer: PeerId, now: Instant) -> bool {
        let Some(owner) = self.owners.get_mut(&peer) else {
            return false;
        };
        let is_known = match owner.standing {
            ArchiveStatus::Met { since } => now >= since + self.known_after || owner.file.is_some(),
            ArchiveStatus::Known | ArchiveStatus::Away { .. } => true,
        };
        let until = now + KEPT_FOR;
        match is_known {
            true => owner.standing = ArchiveStatus::Away { since: now, until },
            false => _ = self.owners.remove(&peer),
        }
        self.plan(peer);
        is_known
    }

    /// `peer` is shown as `name` now.
    pub fn handle_name(&mut self, peer: PeerId, name: &Arc<str>) {
        if let Some(owner) = self.owners.get_mut(&peer) {
            owner.name = name.clone();
        }
    }

    /// The newest catalogue of `peer` that is here is that of `head`.
    pub fn handle_catalogue(&mut self, peer: PeerId, head: Head) {
        if let Some(owner) = self.owners.get_mut(&peer) {
            owner.newest = Some(head);
            self.plan(peer);
        }
    }

    /// The disk has `deposit`, whose owner was away for so long before this life.
    pub fn handle_recalled(&mut self, deposit: &Deposit, away: Duration, now: Instant) {
        let head = deposit.catalogue.head().head;
        let since = now.checked_sub(away).unwrap_or(now);
        let until = now + KEPT_FOR.saturating_sub(away);
        let recalled = || ArchivedOwner {
            name: deposit.name.clone(),
            site: deposit.site,
            standing: ArchiveStatus::Away { since, until },
            newest: Some(head),
            file: None,
            not_before: now,
        };
        let owner = self.owners.entry(head.owner).or_insert_with(recalled);
        if let ArchiveStatus::Met { .. } = owner.standing {
            owner.standing = ArchiveStatus::Known;
        }
        owner.file.get_or_insert(File { head, seen: since });
        self.plan(head.owner);
    }

    /// Other keys are believed: an owner that is here has to be met again, by one of these.
    pub fn handle_keys(&mut self, now: Instant) {
        for owner in self.owners.values_mut() {
            match owner.standing {
                ArchiveStatus::Away { .. } => owner.newest = owner.file.map(|file| file.head),
                _ => owner.standing = ArchiveStatus::Met { since: now },
            }
        }
        self.owners
            .retain(|_, owner| !owner.is_away() || owner.file.is_some());
        self.urgent.truncate(MAX_URGENT);
        self.urgent.push_front(ArchiveTask::Judge);
        self.due = Some(now);
    }

    /// What became of the last order.
    pub fn handle_archived(&mut self, done: &Archived, now: Instant) {
        match (self.under_way.take(), done) {
            (Some(ArchiveTask::Write { owner, head }), Archived::Done { evicted }) => {
                self.handle_written(owner, head, now);
                evicted.iter().for_each(|peer| self.put_off(*peer, now));
            }
            (Some(ArchiveTask::Write { owner, .. }), Archived::NoRoom) => self.put_off(owner, now),
            (Some(ArchiveTask::Seen(peer)), Archived::Done { .. }) => {
                let owner = self.owners.get_mut(&peer);
                if let Some(file) = owner.and_then(|owner| owner.file.as_mut()) {
                    file.seen = now;
                }
            }
            (_, Archived::Judged { disowned }) => {
                for peer in disowned {
                    match self.owners.get_mut(peer) {
                        Some(owner) if !owner.is_away() => owner.file = None,
                        _ => _ = self.owners.remove(peer),
                    }
                }
            }
            (_, Archived::Failed) => self.rests_until = self.rests_until.max(now + TRY_AGAIN),
            _ => {}
        }
        self.due = Some(now);
    }

    fn handle_written(&mut self, peer: PeerId, head: Head, now: Instant) {
        match self.owners.get_mut(&peer) {
            Some(owner) => {
                owner.file = Some(File { head, seen: now });
                owner.not_before = now + WRITE_EVERY;
            }
            // It was forgotten meanwhile.
            None => self.remove(peer),
        }
    }

    fn put_off(&mut self, peer: PeerId, now: Instant) {
        if let Some(owner) = self.owners.get_mut(&peer) {
            owner.file = None;
            owner.not_before = now + NO_ROOM_FOR;
        }
    }

    fn remove(&mut self, peer: PeerId) {
        if self.urgent.len() < MAX_URGENT {
            self.urgent.push_back(ArchiveTask::Remove(peer));
        }
    }

    /// Forgets owners that are away unless this says that their catalogues are here.
    pub fn retain_away(&mut self, has_catalogue: impl Fn(PeerId) -> bool) {
        self.owners
            .retain(|peer, owner| !owner.is_away() || has_catalogue(*peer));
    }

    /// The owners that are away, what they were called, and until when they are remembered.
    pub fn away(&self) -> impl Iterator<Item = (PeerId, &Arc<str>, Instant)> {
        let owners = self.owners.iter();
        owners.filter_map(|(peer, owner)| match owner.standing {
            ArchiveStatus::Away { until, .. } => Some((*peer, &owner.name, until)),
            _ => None,
        })
    }

    pub fn is_away(&self, peer: PeerId) -> bool {
        self.owners.get(&peer).is_some_and(ArchivedOwner::is_away)
    }

    /// When [`Self::poll`] has something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| self.under_way.is_none())
    }

    /// The next order. `newest` gives an owner's catalogue, and what it takes in bytes.
    pub fn poll(
        &mut self,
        newest: impl Fn(PeerId) -> Option<(Arc<Catalogue>, usize)>,
        now: Instant,
    ) -> Option<Archival> {
        loop {
            let peer = match self.next_task(now)? {
                ArchiveTask::Seen(peer) => return Some(Archival::Seen(peer)),
                ArchiveTask::Remove(peer) => return Some(Archival::Remove(peer)),
                ArchiveTask::Judge => return Some(Archival::Judge),
                ArchiveTask::Write { owner, .. } => owner,
            };
            if let Some((owner, (catalogue, bytes))) = self.owners.get(&peer).zip(newest(peer)) {
                let deposit = Deposit {
                    name: owner.name.clone(),
                    site: owner.site,
                    catalogue,
                };
                self.handle_ordered(bytes, now);
                return Some(Archival::Write(Box::new(deposit)));
            }
            // It was dropped meanwhile.
            self.handle_archived(&Archived::NoRoom, now);
        }
    }

    fn next_task(&mut self, now: Instant) -> Option<ArchiveTask> {
        if self.under_way.is_some() {
            return None;
        }
        self.under_way = self.urgent.pop_front();
        while self.under_way.is_none() && self.due.is_some_and(|due| due <= now) {
            let steps = self.owners.iter();
            let steps = steps.filter_map(|(peer, owner)| owner.next(*peer, self));
            match steps.min_by_key(|(at, _)| *at) {
                Some((at, step)) if at <= now => self.take(step),
                later => self.due = later.map(|(at, _)| at),
            }
        }
        self.under_way
    }

    /// So many bytes are ordered to be written.
    fn handle_ordered(&mut self, bytes: usize, now: Instant) {
        self.written.spend(WRITTEN, bytes, now);
        self.rests_until = self.rests_until.max(self.written.ready(WRITTEN, now));
    }

    fn take(&mut self, step: ArchiveStep) {
        match step {
            ArchiveStep::Know(peer) => {
                if let Some(owner) = self.owners.get_mut(&peer) {
                    owner.standing = ArchiveStatus::Known;
                }
            }
            ArchiveStep::Forget(peer) => {
                self.owners.remove(&peer);
                self.under_way = Some(ArchiveTask::Remove(peer));
            }
            ArchiveStep::Order(task) => self.under_way = Some(task),
        }
    }

    /// There may be something to do for `peer`.
    fn plan(&mut self, peer: PeerId) {
        let owner = self.owners.get(&peer);
        let next = owner.and_then(|owner| owner.next(peer, self));
        self.due = self.due.into_iter().chain(next.map(|(at, _)| at)).min();
    }
}

/// Of one owner, however often it changes.
const WRITE_EVERY: Duration = Duration::from_secs(600);
/// Of all: a house's catalogues at once, then at most 170 MB a day, which a card bears for
/// years.
const WRITTEN: Filling = Filling {
    most: 16 << 20,
    a_second: 2 * 1024,
};
/// A power cut may end this node while an owner is here: its 30 days begin then.
const SEEN_EVERY: Duration = Duration::from_secs(86_400);
/// Of 30 days an hour does not matter.
const SEEN_ABOUT: Duration = Duration::from_secs(3600);
/// A disk that is full or read-only.
const TRY_AGAIN: Duration = Duration::from_secs(600);
/// Others are larger by then, or gone.
const NO_ROOM_FOR: Duration = Duration::from_secs(86_400);
/// More files than there are.
const MAX_URGENT: usize = 4096;
