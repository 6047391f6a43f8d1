//! A source's part in referrals.

use std::time::{Duration, Instant};

use crate::content::ranges::GroupSet;
use crate::id::PeerId;

/// What a source has to do with naming others, and being named.
#[derive(Debug, Default)]
pub(super) struct Referral {
    /// It has named others for these, until then.
    pub(super) referred: GroupSet,
    /// Since when, at the latest.
    pub(super) since: Option<Instant>,
    /// Names of its that have led nowhere, since one led to something.
    pub(super) misleading: u32,
    /// The source that named it.
    pub(super) by: Option<PeerId>,
}

impl Referral {
    /// What of `groups` it has named nobody else for.
    pub(super) fn left_of(&self, groups: GroupSet) -> GroupSet {
        match self.referred.is_empty() {
            true => groups,
            false => groups.difference(&self.referred),
        }
    }

    /// When it may be asked again.
    pub(super) fn until(&self) -> Option<Instant> {
        Some(self.since? + TRY_THEM)
    }

    pub(super) fn expire(&mut self, now: Instant) {
        if self.until().is_some_and(|until| until <= now) {
            (self.referred, self.since) = (GroupSet::new(), None);
        }
    }

    pub(super) fn add(&mut self, groups: &GroupSet, now: Instant) {
        self.referred = self.referred.union(groups);
        self.since = Some(now);
    }

    pub(super) fn take_back(&mut self, groups: &GroupSet) {
        self.referred = self.referred.difference(groups);
        self.since = self.since.filter(|_| !self.referred.is_empty());
    }
}

/// A named source has brought it by then: others ask, too, and it may be a lot.
pub(super) const TRY_THEM: Duration = Duration::from_secs(10);
